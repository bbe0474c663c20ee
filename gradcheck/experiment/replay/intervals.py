"""Intervals: how far each stored figure of a cell may lie from the recomputed one.

Two computations of a weight may differ by its bound, which numeric and analytic gradient share: |da| + |dn| <= bound.  A
figure that is computed from them gets the interval that its formula gives: the formulas are monotone in each argument, so
that its ends are their values at the ends of the arguments.  A resolution 2 bound / max(|a|, |n|) has no upper end where
both gradients may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck.numerics.compare import REL_ERR_FLOOR, absolute_error, medians, norm_difference, relative_error
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import DISTANCES

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Columns = Mapping[str, Array]

NUMBERS = (
    *("weight", "step", "analytic", "numeric", "correct"),
    *("abs_err", "rel_err", "truncation", "roundoff", "bound", "resolution"),
)
# Of each derived column: the numbers of the row that it is computed from.
DERIVED = {
    "abs_err": ("analytic", "numeric"),
    "rel_err": ("analytic", "numeric"),
    "resolution": ("analytic", "numeric", "bound"),
}
# Of each figure of a cell: the column whose maximum or median it is, or the columns that it is computed from.
FIGURES = {
    "max_rel_err": ("rel_err",),
    "median_rel_err": ("rel_err",),
    "norm_difference": ("analytic", "numeric"),
    "max_resolution": ("resolution",),
    "median_resolution": ("resolution",),
}
# The generators multiply table entries and now and then take a logarithm or a root, which math libraries round differently.
LIBM_ULPS = 4.0
# A chosen step comes from a ladder of at most 8 rungs, each twice the one before or more: 2**8 covers what was ever seen.
STEPS_APART = 2.0**DISTANCES
# How much larger the bound at another rung may be.  Where the loss is smooth two rungs that may both be chosen differ by less
# than 3; among kinks one may find a gap between them that another misses, 7 times was seen.
OTHER_RUNG = 8.0
# A quotient of sums is rounded three times, and a norm of m entries is known to m / 2 + 2 units; far below any bound.
ROUNDING = 2.0**-50


class Interval(NamedTuple):
    """The values that a record may have, around the recomputed one; `high` is infinite where there is no upper end."""

    low: Array
    value: Array
    high: Array

    @classmethod
    def around(cls, value: Array, radius: Array) -> Interval:
        return cls(value - radius, value, value + radius)

    def distance(self, recorded: Array) -> Array:
        """0 at the value, 1 at an end, linear between and beyond; infinite where only one of them is a number.

        Towards an infinite end the distance is 0.
        """
        with np.errstate(all="ignore"):
            above, below = recorded - self.value, self.value - recorded
            found = np.where(above > 0, above / (self.high - self.value), below / (self.value - self.low))
        found = np.where(np.isnan(found), math.inf, found)
        inside = (recorded == self.value) | (np.isinf(self.value) & (recorded >= self.low))
        return np.where(inside, 0.0, found)


def of_weights(
    w: Columns, auto: Flags, dtype: str, rounding: Rounding | None, recorded: Columns | None = None
) -> dict[str, Interval]:
    """Intervals of the columns of ``errors``, from the recomputed ones.

    auto : where the step was chosen.
    rounding : None where it is not known, as of two records; the bounds alone count then.
    recorded : the columns that are compared; where another step was chosen, their bounds belong to that step.
    """
    bound = own = w["bound"]
    with np.errstate(all="ignore"):
        if recorded is not None:
            # the noise that is measured anew, and kinks, may lead to another rung: each number has the bound of its own step
            other = auto & (recorded["step"] != w["step"])
            own = np.where(other, OTHER_RUNG * bound, bound)
            bound = np.where(other, bound + np.minimum(recorded["bound"], own), bound)
        claimed = bound
        if rounding is not None:
            # the bound has room for the rounding of the correct gradient; a wrong one that is larger is rounded more
            claimed = bound + max(0.0, _gain(w) - 1) * DEVIATIONS * rounding.gradient[: len(bound)]
        a, n = np.abs(w["analytic"]), np.abs(w["numeric"])
        apart, size, larger = w["abs_err"], a + n, np.maximum(a, n)
        found = {name: Interval.around(w[name], bound) for name in ("numeric", "correct")}
        # a bound and both its parts are measured by losses, whose noise the bound covers
        found |= {name: Interval.around(w[name], own) for name in ("truncation", "roundoff", "bound")}
        found["analytic"] = Interval.around(w["analytic"], claimed)
        found["abs_err"] = Interval(np.maximum(0.0, apart - claimed), apart, apart + claimed)
        found["rel_err"] = _of_quotient(w["rel_err"], (apart, claimed), (size, claimed), REL_ERR_FLOOR)
        least = np.maximum(0.0, larger - claimed)
        found["resolution"] = Interval(
            np.zeros(len(bound)), w["resolution"], np.where(least > 0, 2 * (w["bound"] + own) / least, math.inf)
        )
    # longdouble is stored as float64, and computed no worse
    precision = np.float32 if dtype == "float32" else np.float64
    spacing = LIBM_ULPS * np.spacing(np.abs(w["weight"]).astype(precision)).astype(np.float64)
    found["weight"] = Interval.around(w["weight"], spacing)
    found["step"] = Interval.around(w["step"], np.where(auto, STEPS_APART * np.abs(w["step"]), spacing))
    return found


def _gain(w: Columns) -> float:
    """How much larger than the gradient its wrong form is, and its rounding errors with it; 1 where that is not known."""
    correct, claimed = (float(np.abs(w[name]).max(initial=0.0)) for name in ("correct", "analytic"))
    return claimed / correct if correct > 0 and math.isfinite(claimed) else 1.0


def _of_quotient(value: Array, above: tuple[Array, Array], below: tuple[Array, Array], floor: float) -> Interval:
    """The interval of min(1, p / max(floor, q)), each of p and q given with its radius."""
    (p, dp), (q, dq) = above, below
    low = np.maximum(0.0, p - dp) / np.maximum(floor, q + dq)
    high = np.minimum(1.0, (p + dp) / np.maximum(floor, q - dq))
    high = np.where(np.isnan(high), 1.0, high)
    return Interval(np.minimum(low, value) * (1 - ROUNDING), value, np.maximum(high, value) * (1 + ROUNDING))


def of_cell(w: Columns, intervals: Mapping[str, Interval], loss: float, rounding: Rounding) -> dict[str, Interval]:
    """Intervals of the figures of ``cells``, each (1,): a maximum and a median move no further than what they are taken of."""
    noise = DEVIATIONS * rounding.loss + 2 * rounding.unit * abs(loss) + rounding.underflow
    found = {"loss": Interval.around(np.array([loss]), np.array([noise]))}
    for name, columns in FIGURES.items():
        if len(columns) == 1:
            # the largest of none is not known, which NaN says
            of = _median if name.startswith("median") else _largest
            found[name] = Interval(*(of(ends) for ends in intervals[columns[0]]))
    with np.errstate(all="ignore"):
        a, n, d, b = (
            np.array([np.linalg.norm(x)])
            for x in (w["analytic"], w["numeric"], w["analytic"] - w["numeric"], _radius(intervals["analytic"]))
        )
        value = np.array([norm_difference(w["analytic"], w["numeric"])])
        # |da| + |dn| <= b, so that ||da|| + ||dn|| is at most sqrt(2) ||b||
        found["norm_difference"] = _of_quotient(value, (d, b), (a + n, math.sqrt(2) * b), 0.0)
    return found


def _radius(interval: Interval) -> Array:
    return np.where(np.isnan(interval.value), 0.0, interval.high - interval.value)


def _largest(values: Array) -> Array:
    known = values[~np.isnan(values)]
    return known.max(keepdims=True) if len(known) else np.array([math.nan])


def _median(values: Array) -> Array:
    return np.atleast_1d(medians(values))


# ------------------------------------------------------------------------------------------- what follows from a record


def derived(w: Columns) -> dict[str, Array]:
    """The derived columns of ``errors`` computed from the others.

    Sums, differences and quotients of float64, which are the same to the bit on every machine.
    """
    with np.errstate(all="ignore"):
        larger = np.fmax(np.abs(w["analytic"]), np.abs(w["numeric"]))
        resolution = np.where(larger > 0, 2 * w["bound"] / larger, np.inf)
    return {
        "abs_err": absolute_error(w["analytic"], w["numeric"]),
        "rel_err": relative_error(w["analytic"], w["numeric"]),
        "resolution": np.where(np.isnan(resolution), np.inf, resolution),
    }


def figures(w: Columns) -> dict[str, Array]:
    """The figures of ``cells`` that follow from the columns of ``errors``, each (1,); NaN where one is not known."""
    return {
        "max_rel_err": _largest(w["rel_err"]),
        "median_rel_err": _median(w["rel_err"]),
        "norm_difference": np.array([norm_difference(w["analytic"], w["numeric"])]),
        "max_resolution": _largest(w["resolution"]),
        "median_resolution": _median(w["resolution"]),
    }


def agrees(a: Array, b: Array) -> Flags:
    """Equal but for the order in which a norm is summed, or both unknown."""
    with np.errstate(all="ignore"):
        near = np.isfinite(b) & (np.abs(a - b) <= ROUNDING * np.abs(b))
    return np.asarray((a == b) | near | (np.isnan(a) & np.isnan(b)))
