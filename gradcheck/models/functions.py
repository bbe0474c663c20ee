"""Elementary functions in the form that neither overflows nor cancels, for real and for complex arguments.

Complex arguments are those of the complex-step derivative (Squire and Trapp, SIAM Review 40, 1998): a real point with an
infinitesimal imaginary part.  Branches therefore look at the real part alone, and ``np.abs``, which is not analytic, is
never applied to a complex number.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def is_complex(z: Array) -> bool:
    """Whether the numbers are complex."""
    return z.dtype.kind == "c"


def minus_abs(z: Array) -> Array:
    """-|z|, continued analytically from the real axis: -z where Re z >= 0, else z."""
    return np.where(z.real >= 0, -z, z) if is_complex(z) else -np.abs(z)


def positive_part(z: Array) -> Array:
    """max(z, 0), continued analytically from the real axis; at 0 from the side of ``minus_abs``, so their sum is too."""
    return np.where(z.real >= 0, z, 0) if is_complex(z) else np.maximum(z, 0)


def clip(z: Array, low: float, high: float) -> Array:
    """min(max(z, low), high); outside the limits the derivative is 0, so the imaginary part is dropped there."""
    if not is_complex(z):
        # as np.clip, which takes five times as long for a few numbers
        return np.minimum(np.maximum(z, low), high)
    return np.where(z.real < low, low, np.where(z.real > high, high, z))


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), from exp(-|z|), which never overflows."""
    e = np.exp(minus_abs(z))
    return np.where(z.real >= 0, 1, e) / (1 + e)


def log1p(z: Array) -> Array:
    """log(1 + z) with a small relative error near 0 in the real part too, which ``np.log1p`` of a complex number has not.

    |1 + z|**2 - 1 = x (2 + x) + y**2 for z = x + i y.
    """
    if not is_complex(z):
        return np.log1p(z)
    x, y = z.real, z.imag
    return np.log1p(x * (2 + x) + y * y) / 2 + 1j * np.arctan2(y, 1 + x)


def tanh(z: Array) -> Array:
    """tanh, with a small relative error in the imaginary part too, however large |Re z|: (1 - e**2 + 2 i e sin 2y) over
    (1 + e**2 + 2 e cos 2y) with e = exp(-2 |x|) for z = x + i y, times the sign of x in its real part."""
    if not is_complex(z):
        return np.tanh(z)
    x, y = z.real, z.imag
    e = np.exp(-2 * np.abs(x))
    below = 1 + e * e + 2 * e * np.cos(2 * y)
    return np.sign(x) * -np.expm1(-4 * np.abs(x)) / below + 1j * (2 * e * np.sin(2 * y) / below)


def softplus(z: Array) -> Array:
    """log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|))."""
    return positive_part(z) + log1p(np.exp(minus_abs(z)))


def softmax(z: Array) -> Array:
    """exp(z_ik) / sum_l exp(z_il) for each row i (last axis: k), shifted by the row's largest real part."""
    e = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    """log of ``softmax(z)``: z_ik - m_i - log(sum_l exp(z_il - m_i)) with the row's largest real part m_i."""
    shifted = z - z.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def total(terms: Array) -> Array:
    """Sum of ``terms`` (n, k), or of each of a stack of them (B, n, k); the examples are contiguous, so NumPy sums pairwise."""
    return terms.sum() if terms.ndim == 2 else terms.reshape(len(terms), -1).sum(axis=1)
