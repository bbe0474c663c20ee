"""From numbers and bounds to a verdict.

A weight is ``mismatch`` only if no rounding and no truncation can explain the difference, ``match`` only if a relative error
of ``match_at`` would have been seen, and otherwise ``inconclusive`` or ``nondifferentiable`` with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.compare import absolute_error, relative_error
from gradcheck.models.rounding import Rounding
from gradcheck.quotients import DEVIATIONS, Estimate

Array = np.ndarray

VERDICTS = ("match", "mismatch", "inconclusive", "nondifferentiable")

REASONS: dict[str, str] = {
    "step_vanished": "the step is smaller than the spacing of the numbers at this weight: take a larger eps",
    "overflow": "the loss is not finite at a perturbed point: take a smaller eps or smaller data",
    "saturated": "clipped probabilities make the loss flat where the textbook gradient is not: scale the data or weights down",
    "kink": "the step crosses a kink of the loss: take a smaller eps, or another theta",
    "flat": "the loss does not change with this weight, nor can it beyond its rounding: try another theta",
    "truncation": "the step is too large for the curvature of the loss: take a smaller eps",
    "noise": "rounding of the loss hides the derivative: take a larger eps or a higher precision",
}

# rounding to float64 when a value is stored
STORAGE = 2.0**-53
SMALLEST = 2.0**-1074
# of a bound's two parts: no more than 1/8192 is added to either
BOUND_BITS = 14


@dataclass(frozen=True, eq=False)
class Judgement:
    """The columns of a verdict, each (m,): floats in float64, ``verdict`` and ``reason`` as lists of words.

    For s steps (s, m), and lists of lists.
    """

    abs_err: Array
    rel_err: Array
    truncation: Array
    roundoff: Array
    bound: Array
    resolution: Array
    verdict: list[Any]
    reason: list[Any]

    def one_step(self) -> Judgement:
        """The columns of one step, as of several of which it is the first."""
        columns: list[Any] = [getattr(self, name) for name in self.__dataclass_fields__]
        with_axis: list[Any] = [c[None] if isinstance(c, np.ndarray) else [c] for c in columns]
        return Judgement(*with_axis)

    def at(self, step: int) -> Judgement:
        """The columns of one of several steps."""
        return Judgement(*(getattr(self, name)[step] for name in self.__dataclass_fields__))


def shortened(bound: Array) -> Array:
    """An upper bound rounded up to ``BOUND_BITS`` significant bits: more would say nothing, and would be stored.

    Subnormal numbers and what is not finite are left as they are.
    """
    mantissa, exponent = np.frexp(bound)
    short = np.ldexp(np.ceil(np.ldexp(mantissa, BOUND_BITS)), exponent - BOUND_BITS)
    return np.where(np.isfinite(short) & (short >= bound), short, bound)


def judge(
    analytic: Array, estimate: Estimate, rounding: Rounding, index: Array, match_at: float, kinked: bool
) -> Judgement:
    """Judge the weights of ``index``, with one step or with s of them.

    analytic : (m,) float64, the gradient under test at these weights.
    estimate : the numeric derivatives and their bounds.
    rounding : that of the whole problem, for the analytic gradient's own errors and the clipped examples' share.
    match_at : the relative error that must have been visible for a ``match``.
    kinked : whether what a step crosses are kinks of the model; else they are limits of clipped probabilities.
    """
    numeric = estimate.value
    abs_err = absolute_error(analytic, numeric)
    clipped = rounding.clipped[index]
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(analytic), np.abs(numeric))
        stored = STORAGE * (np.where(np.isfinite(analytic), np.abs(analytic), 0.0) + np.abs(numeric)) + SMALLEST
        # a truncation measured in longdouble is rounded to float64 too, and so is the difference
        stored = stored + np.where(np.isfinite(estimate.truncation), 4 * STORAGE * estimate.truncation, 0.0)
        # 2 u |g| at least: a correct gradient ends in one rounding, however exact the rest was
        own = DEVIATIONS * rounding.gradient[index] + 2 * rounding.unit * np.abs(numeric) + rounding.underflow
        truncation = estimate.truncation + clipped
        roundoff = estimate.roundoff + own + stored
        truncation = shortened(np.where(np.isnan(truncation), np.inf, truncation))
        roundoff = shortened(np.where(np.isnan(roundoff), np.inf, roundoff))
        bound = truncation + roundoff
        resolution = np.where(size > 0, 2 * bound / size, np.inf)
        resolution = np.where(np.isnan(resolution), np.inf, resolution)
        mismatch = (abs_err > bound) | ~np.isfinite(analytic)
        bent = estimate.kink + clipped > bound / 2
        kink = (estimate.kink > bound / 2) & kinked
        match = resolution <= match_at
        # a step as long as the loss's scale would change it by less than its noise: no step can show this derivative
        hidden = size * rounding.length[index] <= DEVIATIONS * rounding.line[index]
        flat = ((analytic == 0) & (numeric == 0)) | (estimate.still & hidden)
    known = [
        ("step_vanished", estimate.step == 0),
        ("overflow", ~estimate.finite),
        ("saturated", bent),
        ("flat", flat),
        ("truncation", truncation > roundoff),
    ]
    plain = ~mismatch & match & ~kink
    verdict = np.full(mismatch.shape, "inconclusive", dtype=object)
    reason = np.full(mismatch.shape, "noise", dtype=object)
    # the first that holds is written last
    for code, where in reversed(known):
        reason[where] = code
    for word, code, where in (
        ("nondifferentiable", "kink", kink),
        ("match", None, plain),
        ("mismatch", None, mismatch),
    ):
        verdict[where], reason[where] = word, code
    return Judgement(
        abs_err,
        relative_error(analytic, numeric),
        truncation,
        roundoff,
        bound,
        resolution,
        verdict.tolist(),
        reason.tolist(),
    )


def overall(verdicts: Iterable[str]) -> str:
    """The verdict of many: mismatch if any is, else match, else nondifferentiable, else inconclusive."""
    found = set(verdicts)
    return next((v for v in ("mismatch", "match", "nondifferentiable") if v in found), "inconclusive")
