"""Two computations of one number, which differ by rounding alone where both are right: how far may they be apart?

What they differ by at near points is rounding too, drawn anew, and its deviation is measured there.  A mistake is smooth: at
near points it is the same number, and no deviation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.numerics.measured.student import quantile
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

# How far the near points lie, relative to the numbers: the first show the rounding of float64, the others that of float32
# inside a function too.  A mistake changes there by no more than a few times that share of it.
NEAR = (2.0**-36, 2.0**-36, 2.0**-36, 2.0**-36, 2.0**-18, 2.0**-18, 2.0**-18, 2.0**-18)
# Roundings that add up in a sum of a million terms, sqrt(10**6), relative to the sum of their sizes: the least bound.
ROUNDINGS = 2.0**10


def bound_of(difference: Array, beside: list[Array], floor: Array) -> Array:
    """The largest ``difference`` that rounding can explain, from that at near points, and from what it is in any case."""
    if len(beside) < 3:
        return floor
    samples = np.stack([difference, *beside])
    return quantile(len(beside)) * samples.std(axis=0, ddof=1) + floor


def near(theta: Array, low: Array | None, high: Array | None) -> list[Array]:
    """Points beside theta inside the limits; the same ones for the same theta."""
    rng = np.random.default_rng(theta.size)
    size = np.where(theta == 0, 1.0, np.abs(theta.astype(np.float64)))
    found = []
    for share in NEAR:
        moved = theta + (share * size * rng.uniform(-1, 1, theta.size)).astype(theta.dtype)
        found.append(moved if low is None or high is None else np.clip(moved, low, high).astype(theta.dtype))
    return found


def at(function: Callable[[Array], Array], points: list[Array]) -> list[Array]:
    """The finite values of a function; what it raises at a point is no value, as beyond the edge of its domain."""
    found = []
    for point in points:
        try:
            value = function(point)
        except Exception:  # the caller's function may raise anything
            continue
        if np.isfinite(value).all():
            found.append(value)
    return found


def size_of(hessian: Array) -> Array:
    """The size of the terms of which each entry is a sum: sqrt(m_i m_j), m_i the largest of row and column i.

    An entry of X^T D X may be small because its terms cancel.  Where D is positive they are no larger than
    sqrt(H_ii H_jj), by Cauchy and Schwarz.
    """
    size = np.where(np.isfinite(hessian), np.abs(hessian), 0.0)
    most = np.sqrt(np.maximum(size.max(axis=0, initial=0.0), size.max(axis=1, initial=0.0)))
    return most[:, None] * most[None, :]


def roundoff_of(values: Array, dtype: np.dtype[np.floating]) -> float:
    """Unit roundoff of the numbers: of their type, of that of x0, or of float32 where they are float32 numbers."""
    u = max(unit_roundoff(dtype), unit_roundoff(values.dtype) if values.dtype.kind == "f" else 0.0)
    with np.errstate(all="ignore"):
        single = (values.astype(np.float32) == values)[np.isfinite(values)].all()
    return max(u, unit_roundoff(np.dtype(np.float32))) if single else u
