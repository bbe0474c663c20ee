"""Whether a weight could have been judged: some central step shows its derivative, by the true noise and truncation."""

from __future__ import annotations

import math

import mpmath
import numpy as np

from gradcheck.calibration.zoo.derivatives import DIGITS
from gradcheck.calibration.zoo.instance import Array, Instance

# Steps that are looked at, over the size of the weight, or 1, or the step that changes the value by its own size: half
# decades, the likeliest first.
_EXPONENTS = sorted(np.arange(-12, 0.5, 0.5), key=lambda e: abs(e + 4))
# Where the noise is looked at, over the step.
_PLACES = (1.0, -1.0, 0.9, -0.9, 0.8, -0.8)


def showing_step(of: Instance, index: int, match_at: float) -> float:
    """A central step h with 4 noise / h + truncation(h) <= match_at abs(correct) / 4; 0 where there is none.

    The noise is half the range of fun less the ideal function about x ± h; the truncation is that of the ideal function.
    """
    with np.errstate(all="ignore"):
        moves = abs(of.fun(of.x) / float(of.correct[index]))  # the value changes by its own size
    units = [abs(float(of.x[index])), 1.0, float(f"{moves:.0e}")]
    for unit in dict.fromkeys(unit for unit in units if 0 < unit < math.inf):
        for exponent in _EXPONENTS:
            if shows(of, index, unit * 10.0**exponent, match_at):
                return float(unit * 10.0**exponent)
    return 0.0


def shows(of: Instance, index: int, step: float, match_at: float) -> bool:
    """Whether the central difference with this step shows the derivative."""
    assert of.exact is not None
    correct = float(of.correct[index])
    allowed = match_at * abs(correct) / 4
    points = [_moved(of.x, index, place * step) for place in _PLACES]
    width = float(points[0][index]) - float(points[1][index])
    with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
        try:
            values = [of.fun(at) for at in points]
        except (ValueError, ZeroDivisionError, OverflowError):
            return False  # outside of where the function is defined
        # The difference of the computed values errs by no more than noise / h + truncation, so most steps end here.
        if width == 0 or not abs((values[0] - values[1]) / width - correct) <= allowed:
            return False
        try:
            ideal = [of.exact([mpmath.mpf(float(v)) for v in at]) for at in points[:2]]
            truncation = abs(float((ideal[0] - ideal[1]) / width - correct))
            if not truncation <= allowed:
                return False
            ideal += [of.exact([mpmath.mpf(float(v)) for v in at]) for at in points[2:]]
            noise = [float(value - known) for value, known in zip(values, ideal, strict=True)]
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            return False  # outside of where the function is defined
    if not all(map(math.isfinite, noise)):
        return False
    spread = (max(noise) - min(noise)) / 2
    return 4 * spread / step + truncation <= allowed


def _moved(x: Array, index: int, by: float) -> Array:
    moved = x.copy()
    moved[index] += by
    return moved
