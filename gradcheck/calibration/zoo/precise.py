"""A function that is written once for NumPy runs with 80 digits too: on arrays of mpmath numbers.

A function of a family takes x and ``m``, which has ``exp``, ``log`` and so on: NumPy itself, or ``PRECISE``.  Sums, products
and comparisons of arrays work on either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import TypeAlias

import mpmath
import numpy as np
from mpmath import mpf

from gradcheck.calibration.zoo.derivatives import DIGITS
from gradcheck.calibration.zoo.instance import Array, Instance

Functions: TypeAlias = ModuleType | SimpleNamespace
Written: TypeAlias = Callable[[Array, Functions], Array | float]


def _logaddexp(a: mpf, b: mpf) -> mpf:
    return max(a, b) + mpmath.log1p(mpmath.exp(-abs(a - b)))


PRECISE = SimpleNamespace(
    **{
        name: np.frompyfunc(getattr(mpmath, name), 1, 1)
        for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sinh", "cosh", "sqrt", "sign", "floor")
    },
    arctan=np.frompyfunc(mpmath.atan, 1, 1),
    logaddexp=np.frompyfunc(_logaddexp, 2, 1),
    special=SimpleNamespace(
        gammaln=np.frompyfunc(mpmath.loggamma, 1, 1),
        digamma=np.frompyfunc(mpmath.digamma, 1, 1),
        erf=np.frompyfunc(mpmath.erf, 1, 1),
        log_ndtr=np.frompyfunc(lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2), 1, 1),
    ),
)


def precise(values: Array | Sequence[mpf]) -> Array:
    """An array of mpmath numbers with exactly these values."""
    found = np.empty(np.shape(values), dtype=object)
    flat = np.asarray(values).reshape(-1)
    for i, v in enumerate(flat):
        found.reshape(-1)[i] = v if isinstance(v, mpf) else mpf(float(v))
    return found


def written(
    fun: Written,
    jac: Written,
    x: Array,
    *,
    kinks: bool = False,
    bias: float = 0.0,
    float32: bool = False,
    ideal: tuple[Written, Written] | None = None,
) -> Instance:
    """The instance of a function and a gradient that are written for NumPy and for ``PRECISE`` alike.

    ideal : function and gradient without their rounding to few digits, where fun has one.
    """
    ideal_fun, ideal_jac = ideal or (fun, jac)
    with mpmath.workdps(DIGITS):
        correct = np.array([float(v) for v in ideal_jac(precise(x), PRECISE)])  # type: ignore[union-attr]
    return Instance(
        x=x,
        fun=lambda at: float(fun(at, np)),
        jac=lambda at: np.asarray(jac(at, np), dtype=at.dtype),
        correct=correct,
        exact=lambda at: ideal_fun(precise(at), PRECISE),
        kinks=kinks,
        bias=bias,
        float32=float32,
    )


def size(rng: np.random.Generator, low: int = 20, high: int = 40) -> int:
    """How many weights: in three of five draws between low and high, else 1 to 5."""
    return int(rng.integers(low, high + 1) if rng.random() < 0.6 else rng.integers(1, 6))


def log_uniform(rng: np.random.Generator, low: float, high: float, n: int | None = None) -> Array:
    """Numbers whose logarithms are uniform between those of low and high."""
    return np.exp(rng.uniform(np.log(low), np.log(high), n))
