"""Rounding errors as values: what a model knows of its own, and the constants of the error analysis.

All of it is float64, whatever the dtype of the computation that it describes.
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
# exp, log and tanh are not always rounded correctly: a measured variance of twice as much, in single and double precision
ELEMENTARY = 2 * VARIANCE
# what underflow may cost in spacings of the numbers next to 0: a sum of a million terms, each rounded to a multiple of the
# spacing, has an error of about so many
UNDERFLOWS = 2.0**10


@dataclass(frozen=True, eq=False)
class Rounding:
    """The effects of rounding and clipping at one theta.

    loss : standard deviation of the rounding error of the loss.
    line : (size,) standard deviation of the part of that error which two points that differ in one weight do not share.
    gradient : (size,) standard deviation of the rounding error of the analytic gradient.
    clipped : (size,) upper bound of what clipped examples, whose loss is flat, contribute to the textbook gradient.
    length : (size,) the scale of the loss: the step of a weight that changes the input of some unit by about 1 (linear: by many
        residuals).
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
        """The error that underflow can cause in a loss or a gradient: a thousand spacings of the numbers next to 0."""
        return _underflow(self.unit)


@cache
def _underflow(unit: float) -> float:
    # the spacing is the smallest normal number times eps; that of longdouble is 0 in float64
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
    """The largest power of 2 not above abs(x), 0 for 0.  Rounding changes x by at most this times u.

    For a float it is a NumPy number, whose square overflows to inf; that of a Python float raises.
    """
    if isinstance(x, float):
        return np.float64(math.ldexp(0.5, math.frexp(x)[1]) if x else 0.0)
    return np.where(x == 0, 0.0, np.ldexp(0.5, np.frexp(x)[1]))


@overload
def known(deviation: float) -> float: ...
@overload
def known(deviation: Array) -> Array: ...
def known(deviation: Array | float) -> Array | float:
    """The deviations, with inf for NaN: where squares overflow in float64, nothing is known."""
    unknown = np.isnan(deviation)
    if isinstance(deviation, float):
        return math.inf if unknown else deviation
    return np.where(unknown, np.inf, deviation) if unknown.any() else deviation
