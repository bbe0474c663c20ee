"""From numbers and bounds to a verdict, of one weight and of many.

A weight is a ``mismatch`` only if rounding and truncation cannot explain the difference.  It is a ``match`` only if a relative
error of ``match_at`` would have been seen.  Otherwise it is ``inconclusive`` or ``nondifferentiable``, with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.compare import absolute_error, relative_error
from gradcheck.numerics.names import Verdict
from gradcheck.numerics.quotients import DEVIATIONS, Estimate
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray

VERDICTS = ("match", "mismatch", "inconclusive", "nondifferentiable")
# The verdicts of many weights: those of one and ``partial``, where some match and others cannot be judged.
OF_MANY = ("match", "mismatch", "partial", "inconclusive", "nondifferentiable")
# The share of the weights that must have been judged where not all of them match.
MIN_JUDGED = 0.9
# Reasons: the weight has no path to the loss; theta lies on a kink, and the gradient between the slopes on both sides.
EXEMPT, CORNER = "exempt", "corner"
# The one reason of a match: the difference is above the bound, and ``accept`` takes it.
ACCEPTED = "accepted"
# The gradient is 0 and its derivative cannot be resolved.
STATIONARY = "stationary"
# The evaluations that the caller allowed were spent.
BUDGET = "budget"


class Reason(NamedTuple):
    """Why a weight was not judged, or not by its bound alone, and what is left to do about it.

    fixed : what to do where the step was given, the best first.   auto : where it was chosen, so that no other step would do
        better.
    """

    what: str
    fixed: tuple[str, ...] = ()
    auto: tuple[str, ...] = ()

    def advice(self, auto: bool, dtype: str = "float32") -> str:
        """What is left to do; nothing that is done already."""
        left = [way for way in (self.auto if auto else self.fixed) if way != _FLOAT64 or dtype == "float32"]
        return " or ".join(filter(None, (", ".join(left[:-1]), *left[-1:])))

    def text(self, auto: bool, dtype: str = "float32") -> str:
        """The reason with its advice, for a person."""
        advice = self.advice(auto, dtype)
        return f"{self.what}: {advice}" if advice else self.what


_FLOAT64, _ELSEWHERE = "compute in float64", "take another theta"
_SMALLER, _LARGER, _BOUNDS = "take a smaller eps", "take a larger eps", "give bounds inside the domain"
REASONS: dict[str, Reason] = {
    "step_vanished": Reason(
        "the step is smaller than the spacing of the numbers at this weight", (_LARGER,), (_FLOAT64, _ELSEWHERE)
    ),
    "overflow": Reason(
        "the loss is not finite at a perturbed point", (_SMALLER, _BOUNDS, _ELSEWHERE), (_BOUNDS, _ELSEWHERE)
    ),
    "saturated": Reason(
        "clipped probabilities make the loss flat where the textbook gradient is not",
        ("scale the data or weights down",),
        ("scale the data or weights down",),
    ),
    "kink": Reason("the step crosses a kink of the loss", (_SMALLER, _ELSEWHERE), (_ELSEWHERE,)),
    "corner": Reason(
        "theta lies on a kink of the loss: the gradient lies between the slopes on both sides along this coordinate,"
        " more cannot be told here"
    ),
    "exempt": Reason(
        "the gradient is 0 and the loss does not change with this weight: it has no path to the loss, nothing is judged"
    ),
    "stationary": Reason("the gradient is 0 and no relative error can be seen beside it", (_ELSEWHERE,), (_ELSEWHERE,)),
    "flat": Reason(
        "the loss does not change with this weight, nor can it beyond its rounding", (_ELSEWHERE,), (_ELSEWHERE,)
    ),
    "truncation": Reason(
        "the step is too large for the curvature of the loss, and a smaller one may drown in rounding",
        (_SMALLER, _FLOAT64, _ELSEWHERE),
        (_FLOAT64, _ELSEWHERE),
    ),
    "noise": Reason(
        "rounding of the loss hides the derivative",
        (_LARGER, "compute all of it in float64", _ELSEWHERE),
        ("compute all of it in float64", _ELSEWHERE),
    ),
    "budget": Reason(
        "max_nfev was spent before this weight could be judged",
        ("take a larger max_nfev",),
        ("take a larger max_nfev",),
    ),
    "accepted": Reason("the difference is above the bound, but no larger than accept allows"),
}

# The relative error of rounding a value to float64 when it is stored, and the smallest positive float64.
STORAGE = 2.0**-53
SMALLEST = 2.0**-1074
# Significant bits kept of truncation and roundoff; rounding up adds at most 1/8192.
BOUND_BITS = 14


@dataclass(frozen=True, eq=False)
class Judgement:
    """The columns of a verdict, each (m,), or (s, m) for s steps.

    Errors, bounds and the resolution are float64.  ``verdict`` and ``reason`` are arrays of objects: words, None for no reason.
    """

    abs_err: Array
    rel_err: Array
    truncation: Array
    roundoff: Array
    bound: Array
    resolution: Array
    verdict: Array
    reason: Array

    @property
    def _columns(self) -> tuple[Array, ...]:
        return tuple(vars(self).values())

    def one_step(self) -> Judgement:
        """The columns of one step (m,), as if of several (1, m)."""
        return Judgement(*(column[None] for column in self._columns))

    @staticmethod
    def empty(size: int) -> Judgement:
        """Columns of one step to be filled, block after block."""
        return Judgement(*(np.empty(size) for _ in range(6)), *(np.empty(size, dtype=object) for _ in range(2)))

    def put(self, start: int, block: Judgement) -> None:
        """Fill in the columns of a block, whose first weight is ``start``."""
        for column, values in zip(self._columns, block._columns, strict=True):
            column[start : start + len(values)] = values

    def at(self, step: int) -> Judgement:
        """The columns of one of several steps."""
        return Judgement(*(column[step] for column in self._columns))

    def mapped(self, arranged: Callable[[Array], Array]) -> Judgement:
        """Every column as a function arranges it."""
        return Judgement(*map(arranged, self._columns))


def shortened(bound: Array) -> Array:
    """An upper bound rounded up to ``BOUND_BITS`` significant bits; more bits would mean nothing and take space.

    Subnormal, infinite and NaN bounds are returned unchanged.
    """
    mantissa, exponent = np.frexp(bound)
    short = np.ldexp(np.ceil(np.ldexp(mantissa, BOUND_BITS)), exponent - BOUND_BITS)
    return np.where(np.isfinite(short) & (short >= bound), short, bound)


def judge(
    analytic: Array,
    estimate: Estimate,
    rounding: Rounding,
    index: Array,
    match_at: float,
    kinked: bool,
    accept: float = 0.0,
    outweighs: float = 1.0,
) -> Judgement:
    """The verdicts of the weights of ``index``, at one step or at s of them.

    analytic : (m,) float64, the gradient under test at these weights.
    estimate : the numeric derivatives and their bounds.
    rounding : the problem's rounding errors, for the errors of the analytic gradient and the share of clipped examples.
    match_at : the relative error that must have been visible for a ``match``.
    kinked : True if the kinks that a step crosses are those of the model; False if they are limits of clipped probabilities.
    accept : the relative difference, beside the bound, that is no ``mismatch``: of a loss that is exact to a tolerance only.
    outweighs : the reason is ``truncation`` where that is more than so many times the roundoff, else ``noise``.
    """
    numeric = estimate.value
    abs_err = absolute_error(analytic, numeric)
    clipped = rounding.clipped[index]
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(analytic), np.abs(numeric))
        stored = STORAGE * (np.where(np.isfinite(analytic), np.abs(analytic), 0.0) + np.abs(numeric)) + SMALLEST
        # truncation and difference are rounded to float64 too, where they were computed in longdouble
        stored = stored + np.where(np.isfinite(estimate.truncation), 4 * STORAGE * estimate.truncation, 0.0)
        # at least 2 u abs(g), since the last operation of a correct gradient rounds, however exact the others are
        own = DEVIATIONS * rounding.gradient[index] + 2 * rounding.unit * np.abs(numeric) + rounding.underflow
        truncation = estimate.truncation + clipped
        roundoff = estimate.roundoff + own + stored
        truncation = shortened(np.where(np.isnan(truncation), np.inf, truncation))
        roundoff = shortened(np.where(np.isnan(roundoff), np.inf, roundoff))
        bound = truncation + roundoff
        resolution = np.where(size > 0, 2 * bound / size, np.inf)
        resolution = np.where(np.isnan(resolution), np.inf, resolution)
        beyond = abs_err > bound
        # an infinite gradient would accept itself
        mismatch = (beyond & ~(abs_err <= bound + accept * size) if accept else beyond) | ~np.isfinite(analytic)
        bent = estimate.kink + clipped > bound / 2
        kink = (estimate.kink > bound / 2) & kinked
        match = resolution + accept <= match_at
        # a step as long as the loss's scale changes the loss by less than its noise, so no step shows this derivative
        hidden = size * rounding.length[index] <= DEVIATIONS * rounding.line[index]
        flat = estimate.still & hidden
    known = [
        ("step_vanished", estimate.step == 0),
        ("overflow", ~estimate.finite),
        ("saturated", bent),
        (STATIONARY, np.broadcast_to(analytic == 0, mismatch.shape)),
        ("flat", flat),
        ("truncation", truncation > outweighs * roundoff),
    ]
    match &= ~mismatch & ~kink
    verdict, reason = _words(mismatch, kink, match, known)
    if accept:
        reason[match & beyond] = ACCEPTED
    return Judgement(
        abs_err,
        relative_error(analytic, numeric),
        truncation,
        roundoff,
        bound,
        resolution,
        verdict,
        reason,
    )


def _words(mismatch: Array, kink: Array, match: Array, known: Sequence[tuple[str, Array]]) -> tuple[Array, Array]:
    """Verdict and reason of each weight: ``mismatch`` precedes ``match``, which precedes ``kink``; else it is inconclusive.

    known : reasons why a weight cannot be judged, and where they hold.  The first one counts; ``noise`` where none holds.
    """
    verdict = np.full(mismatch.shape, "inconclusive", dtype=object)
    reason = np.full(mismatch.shape, "noise", dtype=object)
    # the first reason that holds wins, so it is written last
    for code, where in reversed(known):
        reason[where] = code
    for word, code, where in (
        ("nondifferentiable", "kink", kink),
        ("match", None, match),
        ("mismatch", None, mismatch),
    ):
        verdict[where], reason[where] = word, code
    return verdict, reason


def without_path(judged: Judgement, exempt: Array) -> Judgement:
    """The judgement with the weights ``exempt``, bool of the shape of the verdicts, without a path to the loss."""
    verdict, reason = judged.verdict.copy(), judged.reason.copy()
    verdict[exempt], reason[exempt] = "inconclusive", EXEMPT
    return replace(judged, verdict=verdict, reason=reason)


def at_corners(judged: Judgement, corner: Array) -> Judgement:
    """The judgement with theta on a kink of the weights ``corner``, bool of the shape of the verdicts."""
    reason = judged.reason.copy()
    reason[corner] = CORNER
    return replace(judged, reason=reason)


# ---------------------------------------------------------------------------------------------------------- of many


@dataclass(frozen=True)
class Whole:
    """The verdict of many weights.

    n_exempt : weights without a path to the loss.
    n_judged : weights that match or mismatch, or at which theta lies on a kink with the gradient between both slopes.
    ok : whether no weight is wrong and enough were judged.
    """

    verdict: Verdict
    n_weights: int
    n_exempt: int
    n_judged: int
    ok: bool

    @property
    def judged(self) -> float:
        """Judged weights over weights that are not exempt; 0 where all are exempt."""
        counted = self.n_weights - self.n_exempt
        return self.n_judged / counted if counted else 0.0


def whole(
    verdicts: Sequence[str], reasons: Sequence[str | None], params: Sequence[str], min_judged: float = MIN_JUDGED
) -> Whole:
    """The verdict of many weights, from verdict, reason and parameter of each.

    ``mismatch`` if any weight is; ``match`` if all that are not exempt are, at least one; ``partial`` if some match; else
    ``nondifferentiable`` if any weight is, else ``inconclusive``.
    A match is ok.  So is a partial or nondifferentiable verdict if a share of ``min_judged`` was judged and, in every parameter
    that is not all exempt, one weight; ``min_judged`` 0 requires neither.
    """
    n, matching = len(verdicts), verdicts.count("match")
    if matching == n and n:
        return Whole("match", n, 0, n, True)
    exempt = reasons.count(EXEMPT)
    judged = matching + verdicts.count("mismatch") + reasons.count(CORNER)
    verdict = of_counts(
        {
            "match": matching,
            "mismatch": verdicts.count("mismatch"),
            "nondifferentiable": verdicts.count("nondifferentiable"),
        },
        n - exempt,
    )
    if verdict not in ("partial", "nondifferentiable"):
        return Whole(verdict, n, exempt, judged, verdict == "match")
    # both sides are the float64 nearest to a fraction, so 9 of 10 equals 0.9
    enough = judged / (n - exempt) >= min_judged
    return Whole(verdict, n, exempt, judged, enough and (not min_judged or _everywhere(verdicts, reasons, params)))


def of_counts(counts: Mapping[str, int], not_exempt: int) -> Verdict:
    """The verdict of many weights from the count of each verdict and of weights that are not exempt."""
    if counts["mismatch"]:
        return "mismatch"
    if counts["match"]:
        return "match" if counts["match"] == not_exempt else "partial"
    return "nondifferentiable" if counts["nondifferentiable"] else "inconclusive"


def is_judged(verdict: str, reason: str | None) -> bool:
    """Whether a weight was judged."""
    return verdict in ("match", "mismatch") or reason == CORNER


def _everywhere(verdicts: Sequence[str], reasons: Sequence[str | None], params: Sequence[str]) -> bool:
    """Whether every parameter has a judged weight or only exempt ones."""
    counted, judged = Counter[str](), Counter[str]()
    for verdict, reason, param in zip(verdicts, reasons, params, strict=True):
        counted[param] += reason != EXEMPT
        judged[param] += is_judged(verdict, reason)
    return all(judged[param] or not n for param, n in counted.items())


def missed(analytic: Array, correct: Array, bound: Array, verdicts: Array) -> int:
    """How many weights match though a planted bug moved their gradient by more than 2 bounds, so that the numbers show it."""
    with np.errstate(all="ignore"):
        visible = np.abs(analytic - correct) > 2 * bound
    return int((visible & (verdicts == "match")).sum())
