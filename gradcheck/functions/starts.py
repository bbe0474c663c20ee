"""The points at which a gradient is checked: x0 alone, x0 with others around it, or those that a caller gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError
from gradcheck.functions.calls import Calls
from gradcheck.functions.parameters import Parameters
from gradcheck.functions.trees.foreign import numbers
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray
# A number of points; or the points themselves, as an array with one more axis in front or a list of structures like x0.
Given: TypeAlias = int | ArrayLike | Sequence[Any]

# How far the points lie from x0, in units of max(|x0|, 1): the standard deviation of each entry.
SPREAD = 0.1
# How often a point at which ``fun`` is not finite is brought half as near to x0.
NEARER = 10


def given(points: Given | None, parameters: Parameters, theta: Array) -> int | list[Array]:
    """How many points are to be drawn, or those that were given, flat.  Raises ValueError or ContractError."""
    if points is None:
        return 1
    if isinstance(points, (int, np.integer)) and not isinstance(points, bool) and points >= 1:
        return int(points)
    rows = points if isinstance(points, (list, tuple)) else numbers(points)
    if not isinstance(rows, (list, tuple)) and (not isinstance(rows, np.ndarray) or rows.ndim == 0):
        raise ValueError(f"points={points!r}: must be a number of points >= 1, or the points")
    found = []
    for i, point in enumerate(rows):
        try:
            flat = parameters.read(point)
        except ContractError as error:
            raise ContractError(f"points[{i}]: {error}") from None
        found.append(flat.astype(theta.dtype))
    if not found:
        raise ValueError("points: there is none; give a number >= 1, or at least one point")
    return found


def require_inside(points: list[Array], low: Array, high: Array) -> None:
    """Raise ContractError where a given point lies outside the limits."""
    for i, point in enumerate(points):
        if ((point < low) | (point > high)).any():
            raise ContractError(f"points[{i}] lies outside bounds")


def around(calls: Calls, theta: Array, rng: np.random.Generator) -> Array:
    """A point theta + 0.1 max(|theta|, 1) N(0, 1) inside the limits of ``calls``, at which ``fun`` is finite.

    An entry that would leave the limits is drawn between theta and the limit.  Where ``fun`` is not finite, the point is
    brought nearer to theta.
    """
    center = theta.astype(np.float64)
    moved = center + SPREAD * np.maximum(np.abs(center), 1.0) * rng.standard_normal(theta.size)
    if calls.low is not None and calls.high is not None:
        # at most half the way to the limit: a difference needs room on both sides
        share = rng.uniform(0, 0.5, theta.size)
        moved = np.where(moved < calls.low, center + share * (calls.low - center), moved)
        moved = np.where(moved > calls.high, center + share * (calls.high - center), moved)
    for _ in range(NEARER):
        point = moved.astype(theta.dtype)
        if np.isfinite(calls.perturbed(point)).all():
            return point
        moved = (moved + center) / 2
    least = 2 * unit_roundoff(theta.dtype)
    raise ContractError(
        f"points: fun is not finite at points {SPREAD:g} to {SPREAD / 2**NEARER:.0e} max(|x0|, 1) away"
        f" (spacing {least:.0e}): give the points, or bounds"
    )
