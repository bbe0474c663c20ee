"""Three kinds of numbers in which a loss of the zoo runs: float64, complex, mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np
from scipy import special

Values = Any  # an array or a scalar in one kind of numbers
Elementwise = Callable[[Values], Values]


@dataclass(frozen=True)
class Arithmetic:
    """What a loss needs beside + - * / and @; the field ``real`` of a number or an array decides its branches."""

    exp: Elementwise
    log: Elementwise
    log1p: Elementwise
    expm1: Elementwise
    sqrt: Elementwise
    sin: Elementwise
    cos: Elementwise
    tanh: Elementwise
    solve: Callable[[Values, Values], Values]
    logdet: Elementwise  # of a positive definite matrix
    gammaln: Elementwise
    digamma: Elementwise
    log_ndtr: Elementwise  # logarithm of the normal distribution function

    def logsumexp(self, z: Values, axis: int = -1) -> Values:
        """log sum exp along an axis, the largest exponent taken out."""
        top = z.real.max(axis=axis, keepdims=True)
        return self.log(self.exp(z - top).sum(axis=axis)) + top.squeeze(axis)

    def softmax(self, z: Values, axis: int = -1) -> Values:
        """exp(z) / sum exp(z) along an axis."""
        e = self.exp(z - z.real.max(axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    def softplus(self, z: Values) -> Values:
        """log(1 + exp(z)), without overflow."""
        positive = z.real > 0
        return np.where(positive, z, 0) + self.log1p(self.exp(np.where(positive, -z, z)))

    def sigmoid(self, z: Values) -> Values:
        """1 / (1 + exp(-z)), without overflow."""
        e = self.exp(np.where(z.real > 0, -z, z))
        return np.where(z.real > 0, 1, e) / (1 + e)


def scalars(x: Values) -> list[Values]:
    """The numbers of an array for a loop; Python's own float is the fastest."""
    return x.tolist() if x.dtype == float else list(x)


def eliminated(A: Values, b: Values) -> Values:
    """A^-1 b by Gaussian elimination with partial pivoting, for numbers that LAPACK does not know."""
    A, b = +A, +b  # copies
    n = len(A)
    for k in range(n):
        p = k + int(np.argmax(np.abs(A[k:, k])))
        if p != k:
            A[[k, p]], b[[k, p]] = A[[p, k]], b[[p, k]]
        factors = A[k + 1 :, k] / A[k, k]
        A[k + 1 :, k:] -= np.multiply.outer(factors, A[k, k:])
        b[k + 1 :] -= np.multiply.outer(factors, b[k])
    for k in reversed(range(n)):
        b[k] = (b[k] - A[k, k + 1 :] @ b[k + 1 :]) / A[k, k]
    return b


def tridiagonal(A: Values, b: Values, a: Arithmetic) -> Values:
    """A^-1 b for a tridiagonal A that needs no pivoting."""
    if a is not EXACT:
        return a.solve(A, b)
    A, b, n = A * mpmath.mpf(1), b * mpmath.mpf(1), len(b)
    diagonal, right = scalars(np.diagonal(A)), scalars(b)
    for k in range(1, n):
        factor = A[k, k - 1] / diagonal[k - 1]
        diagonal[k] = diagonal[k] - factor * A[k - 1, k]
        right[k] = right[k] - factor * right[k - 1]
    right[-1] = right[-1] / diagonal[-1]
    for k in reversed(range(n - 1)):
        right[k] = (right[k] - A[k, k + 1] * right[k + 1]) / diagonal[k]
    return np.array(right)


def pivots(A: Values) -> Values:
    """Pivots of Gaussian elimination without exchanges; their product is the determinant."""
    A = +A
    for k in range(len(A)):
        A[k + 1 :, k:] -= np.multiply.outer(A[k + 1 :, k] / A[k, k], A[k, k:])
    return np.diagonal(A)


def _solved(A: Values, b: Values) -> Values:
    """``eliminated`` in mpmath's numbers, whatever is given."""
    one = mpmath.mpf(1)
    return eliminated(np.asarray(A, dtype=object) * one, np.asarray(b, dtype=object) * one)


def _exactly(f: Callable[[Any], Any]) -> Elementwise:
    return np.frompyfunc(f, 1, 1)


def _log_ndtr(z: Any) -> Any:
    return mpmath.log(mpmath.erfc(-z / mpmath.sqrt(2)) / 2)


FLOAT = Arithmetic(
    exp=np.exp,
    log=np.log,
    log1p=np.log1p,
    expm1=np.expm1,
    sqrt=np.sqrt,
    sin=np.sin,
    cos=np.cos,
    tanh=np.tanh,
    solve=np.linalg.solve,
    logdet=lambda A: 2 * np.log(np.diagonal(np.linalg.cholesky(A))).sum(),
    gammaln=special.gammaln,
    digamma=special.digamma,
    log_ndtr=special.log_ndtr,
)
COMPLEX = replace(FLOAT, logdet=lambda A: np.log(pivots(A)).sum(), gammaln=special.loggamma)
EXACT = Arithmetic(
    exp=_exactly(mpmath.exp),
    log=_exactly(mpmath.log),
    log1p=_exactly(mpmath.log1p),
    expm1=_exactly(mpmath.expm1),
    sqrt=_exactly(mpmath.sqrt),
    sin=_exactly(mpmath.sin),
    cos=_exactly(mpmath.cos),
    tanh=_exactly(mpmath.tanh),
    solve=_solved,
    logdet=lambda A: _exactly(mpmath.log)(pivots(A)).sum(),
    gammaln=_exactly(mpmath.loggamma),
    digamma=_exactly(mpmath.digamma),
    log_ndtr=_exactly(_log_ndtr),
)
LOG_2PI = math.log(2 * math.pi)
