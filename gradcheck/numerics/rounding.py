"""Rounding errors as values: what a model says of its own, and the words in which it is said.

Everything here is float64: it describes the numerics, it is no part of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import overload

import numpy as np

Array = np.ndarray

# a rounding error is uniform in [-u, u], so its variance is u**2 / 3
VARIANCE = 1 / 3
# an exp, log or tanh in single or double precision is not always rounded correctly: its variance is twice that, measured
ELEMENTARY = 2 * VARIANCE
# results near 0 that are each rounded to a multiple of the smallest number: as many as the terms of a sum of a million
UNDERFLOWS = 2.0**10


@dataclass(frozen=True, eq=False)
class Rounding:
    """What rounding and clipping do at one theta.

    loss : standard deviation of the rounding error of the loss, evaluated as a whole.
    line : (size,) that of the part which two points that differ in this weight alone do not share.
    gradient : (size,) standard deviation of the analytic gradient's rounding error.
    clipped : (size,) what the clipped examples, whose loss is flat, contribute to the textbook gradient; an upper bound.
    length : (size,) the step at which a weight changes some unit's input by about 1 (linear: by many residuals): the scale
        of the loss.
    unit : unit roundoff u of the dtype.
    """

    loss: float
    line: Array
    gradient: Array
    clipped: Array
    length: Array
    unit: float

    @property
    def underflow(self) -> float:
        """What underflow can take from a loss or a gradient: a thousand spacings of the numbers next to 0."""
        return _underflow(self.unit)


@cache
def _underflow(unit: float) -> float:
    # the smallest normal number times eps is that spacing; for longdouble it is 0 in float64
    known = (np.finfo(t) for t in (np.float32, np.float64, np.longdouble))
    return UNDERFLOWS * next(float(f.tiny) * float(f.eps) for f in known if float(f.eps) == 2 * unit)


def unit_roundoff(dtype: np.dtype) -> float:
    """Half the spacing of the numbers at 1."""
    return float(np.finfo(dtype).eps) / 2


@overload
def binade(x: float) -> np.float64: ...
@overload
def binade(x: Array) -> Array: ...
def binade(x: Array | float) -> Array | np.float64:
    """The largest power of 2 not above abs(x): times u the most by which rounding can change x; 0 of 0.

    A number of NumPy, whose square overflows to inf where that of a Python float raises.
    """
    if isinstance(x, float):
        return np.float64(math.ldexp(0.5, math.frexp(x)[1]) if x else 0.0)
    return np.where(x == 0, 0.0, np.ldexp(0.5, np.frexp(x)[1]))


@overload
def known(deviation: float) -> float: ...
@overload
def known(deviation: Array) -> Array: ...
def known(deviation: Array | float) -> Array | float:
    """The deviations, inf where squares that left the range of float64 have made them NaN: nothing is known there."""
    unknown = np.isnan(deviation)
    if isinstance(deviation, float):
        return math.inf if unknown else deviation
    return np.where(unknown, np.inf, deviation) if unknown.any() else deviation
