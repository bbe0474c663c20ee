"""Rounding errors of sums and products as NumPy and BLAS compute them: variances and their parts, in float64."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import overload

import numpy as np

from gradcheck.numerics.rounding import VARIANCE, binade

Array = np.ndarray

# terms and sums a little below a power of 2 pass it along the line, or in some of the blocks, and are rounded by twice as
# much there: half as much variance again, measured
ACROSS = 1.5


@lru_cache(maxsize=256)
def _partial_sums(n: int) -> tuple[Array, Array]:
    """How many terms each addition of NumPy's pairwise sum of n terms has gathered, and how often; (m,), (m,).

    Fewer than 8 terms are added in turn; up to 128 in eight sums that are added in pairs, the rest of the division by 8 in
    turn; more are halved.
    """
    counts: Counter[int] = Counter()
    if n < 8:
        counts.update(range(2, n + 1))
    elif n <= 128:
        m = n // 8
        counts.update(dict.fromkeys(range(2, m + 1), 8))
        counts.update({2 * m: 4, 4 * m: 2, 8 * m: 1})
        counts.update(range(8 * m + 1, n + 1))
    else:
        half = n // 2 - n // 2 % 8
        for part in (half, n - half):
            gathered, often = _partial_sums(part)
            counts.update(dict(zip(gathered.tolist(), often.tolist(), strict=True)))
        counts.update([n])
    return np.array(list(counts)), np.array(list(counts.values()))


@overload
def sum_roundings(total: float, n: int, groups: float = 1.0) -> float: ...
@overload
def sum_roundings(total: Array, n: int, groups: Array) -> Array: ...
def sum_roundings(total: float | Array, n: int, groups: float | Array = 1.0) -> float | Array:
    """Sum of the squares of the partial sums' binades, of n terms of about equal size; or of several such sums, (p,).

    groups : how many equal terms there are of each; sums of equal terms make equal errors.
    """
    gathered, often = _partial_sums(n)
    total, groups = np.asarray(total)[..., None], np.asarray(groups)[..., None]
    found = (often * np.minimum(often, groups) * binade(total / max(n, 1) * gathered) ** 2).sum(axis=-1)
    return found if found.ndim else float(found)


def product_variance(a2: Array, w2: Array, z2: Array, u: float) -> Array:
    """Variance of the rounding error of z = a W, from the squares of its factors and its value.

    Each entry is a sum of d products, in the worst implementation accumulated one after the other.  Terms of random sign
    make partial sums whose squares add up to d / 2 times the sum of squares; terms of one sign, to d / 3 of z**2.
    """
    d = a2.shape[-1]
    return VARIANCE * u * u * ((1 + d / 2) * (a2 @ w2) + (2 + d / 3) * z2)


def repetitions(z: Array) -> Array:
    """``repetition`` of several layers' outputs (p, n, h), (p,)."""
    ordered = np.sort(z[:, :, 0], axis=1)
    found = np.ones(len(z))
    for k in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)):
        found[k] = repetition(z[k])
    return found


def repetition(z: Array) -> float:
    """Mean size of the group of equal examples that an example belongs to, from a layer's outputs z (n, h); >= 1."""
    n = len(z)
    ordered = np.sort(z[:, 0])  # np.unique does the same in ten times the time
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) >= n - 1:
        return 1.0 if n else 0.0
    ends = np.concatenate([changes, [n]])
    counts = np.concatenate([ends[:1], ends[1:] - ends[:-1]])
    return float((counts.astype(float) ** 2).sum() / n)
