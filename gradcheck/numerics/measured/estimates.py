"""Derivatives of a loss that has no error analysis of its own: noise, scale, kinks and truncation are measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.explore import scouted
from gradcheck.numerics.measured.finer import ROUNDED
from gradcheck.numerics.measured.given import RATIO, Given, beside, first_step, given
from gradcheck.numerics.measured.gradient import with_gradient_noise
from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.pool import pooled
from gradcheck.numerics.measured.search import search
from gradcheck.numerics.measured.stairs import jumps
from gradcheck.numerics.measured.steps import STRIDES_ALLOWED, WINDOWS, Claim, Steps
from gradcheck.numerics.measured.together import Evaluate, Together
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES, Scheme
from gradcheck.numerics.steps import Step

Array = np.ndarray

CENTRAL = SCHEMES["central"]
# Of MANY weights and more, FIRST are searched before the others, which then begin where those ended.
MANY, FIRST = 16, 4
# Further steps that are tried where the first weights showed nothing.
HIDDEN = 4
# The part of match_at that is left for the search beside a quotient of first order.
FIRST_ORDER = 0.1
# First steps that are off by no more than this are kept.
OFF = 4.0
# The search beside a formula goes on where more than this part of match_at is left for it.
LEFT = 10.0
# Where one claim of so many agrees with what was found, the weights do not stand on a stair together.
AGREEING = 4


class Asked(NamedTuple):
    """What is asked of every weight.   least : a claim up to this one may be a rounding error of the others."""

    scheme: Scheme
    eps: Step
    match_at: float
    accept: float
    least: float


class Weight:
    """One weight under search: what was asked, and what is known.

    own : the formula that was asked for; None where the search's own best quotient is the answer.   start : the first step.
    """

    def __init__(self, line: Line, claim: Claim, own: Given | None, start: float) -> None:
        self.line, self.own, self.start = line, own, start
        self.steps = Steps(line, claim)
        self.best: Found | None = None

    def begin(self) -> list[float]:
        """The offsets to be evaluated first."""
        if self.own is None:
            return self.steps.wanted(self.start, RATIO * self.start)
        # steps that leave the domain are not taken
        mirrored = self.own.mirrored if self.line.side(self.own.step) == 0 else ()
        return [t for t in (*self.own.offsets, *mirrored) if t]

    def beside(self) -> list[float]:
        """The offsets to be evaluated beside those of a formula."""
        if self.own is None:
            return []
        self.steps.own = self.own.rungs(self.line)
        # the error of a quotient of first order, which is added to the bound, takes a part of what is asked for
        asked = self.steps.claim.match_at * (FIRST_ORDER if self.own.mirrored else 1.0)
        further = beside(self.steps.own, self.line, asked, self.start)
        return self.steps.wanted_half(*further) if len(further) == 2 else self.steps.wanted(*further)

    @property
    def in_vain(self) -> bool:
        """Whether windows were looked at, and showed neither that the claim is right nor that it is wrong."""
        return bool(self.steps.windows) and self.hidden

    @property
    def hidden(self) -> bool:
        """Whether the search ended without a derivative that shows whether the claim is right."""
        return self.best is not None and self.steps.claim.undecided(self.best)

    @property
    def left(self) -> float:
        """What is left of ``match_at`` for the search, where that ended too early for the formula; 0 where it need not go on.

        The formula's bound is that of the search and the distance between the two.
        """
        claim = self.steps.claim
        if self.best is None or not self.own or not claim.agrees(self.best) or claim.resolved(self.found):
            return 0.0
        size = max(abs(claim.value), abs(self.best.value))
        left = claim.match_at - 2 * (self.found.bound - self.best.bound) / size
        return left if left > claim.match_at / LEFT else 0.0

    @property
    def reached(self) -> float:
        """How far the weight was moved for the derivative that the search found; infinite where it found none."""
        assert self.best is not None
        return self.best.step if math.isfinite(self.best.bound) and self.best.step > 0 else math.inf

    @property
    def found(self) -> Found:
        """The derivative that was asked for, once the search has ended."""
        assert self.best is not None
        return self.own.bounded(self.line, self.best) if self.own else self.best


def estimates(
    problem: Problem, evaluate: Evaluate, scheme: Scheme, eps: Step, match_at: float, index: Array, accept: float = 0.0
) -> tuple[Estimate, Rounding]:
    """Derivatives of the weights ``index`` (m,) and their bounds, with the rounding errors that were measured.

    evaluate : losses with theta[index[r]] replaced by points[r, c].
    """
    known = problem.measured
    assert known is not None
    # an entry may be wrong by roundings of the largest one
    least = ROUNDED * problem.rounding.unit * float(np.max(np.abs(problem.analytic), initial=0.0))
    asked = Asked(scheme, eps, match_at, accept, least)
    places = np.arange(len(index))
    few = places[:: -(-len(index) // FIRST)] if len(index) >= MANY else places[:0]
    weights = {int(r): _weight(problem, known, asked, int(index[r])) for r in few}
    first = list(weights.values())
    together = Together(problem, evaluate, index)
    factor = _off(together, weights)
    _searched(together, weights)
    rest = {int(r): _weight(problem, known, asked, int(index[r]), factor) for r in places if int(r) not in weights}
    vain, hidden = bool(first) and all(w.in_vain for w in first), bool(first) and all(w.hidden for w in first)
    for weight in rest.values():
        weight.steps.windows_allowed = 1 if vain else WINDOWS
        weight.steps.strides_allowed = HIDDEN if hidden else STRIDES_ALLOWED
    _begun(together, rest)
    _searched(together, rest)
    weights |= rest
    analytic = problem.analytic.astype(np.float64)[index]
    found = [weight.found for _, weight in sorted(weights.items())]
    apart = [accused(a, f, accept) for a, f in zip(analytic.tolist(), found, strict=True)]
    doubted = any(accused(a, f.doubted, accept) for a, f in zip(analytic.tolist(), found, strict=True))
    if doubted and _on_one_stair(weights):
        slopes = np.array([w.best.value if w.best else 0.0 for _, w in sorted(weights.items())])
        moved = np.isfinite(slopes)
        found = _on_stairs(found, weights, jumps(problem, index[moved], slopes[moved]))
    steps = np.full(problem.theta.size, np.inf)
    steps[index] = [w.reached for _, w in sorted(weights.items())]
    return _columns(found, apart, match_at), with_gradient_noise(problem, index[apart], steps)


def _on_one_stair(weights: dict[int, Weight]) -> bool:
    """Whether many weights may stand on one stair, so that the slope of a part of the loss is missing from all of them.

    A stair that several weights share hides their slopes alike: where many claims agree with what was found there is none.
    A weight alone was moved across its stairs by its own search.
    """
    agreeing = sum(w.best is not None and w.steps.claim.agrees(w.best) for w in weights.values())
    return len(weights) > 1 and len(weights) > AGREEING * agreeing


def _on_stairs(found: list[Found], weights: dict[int, Weight], jump: float) -> list[Found]:
    """What was found of a loss that jumps: a stair that is wider than the step hides a slope of the jump over the step.

    A stair that is narrower was a part of the noise at that step.
    """
    more = [max(0.0, jump / w.reached - w.best.roundoff) if w.best else 0.0 for _, w in sorted(weights.items())]
    return [f._replace(doubt=f.doubt + hidden) for f, hidden in zip(found, more, strict=True)]


def _begun(together: Together, weights: dict[int, Weight]) -> None:
    """Evaluate the first points of some weights."""
    steps = {r: w.steps for r, w in weights.items()}
    together.evaluated({r: w.begin() for r, w in weights.items()}, steps)
    together.evaluated({r: w.beside() for r, w in weights.items()}, steps)


def _off(together: Together, weights: dict[int, Weight]) -> float:
    """By what factor the first steps of some weights are off, as their quotients show, whatever is claimed."""
    _begun(together, weights)
    steps = {r: w.steps for r, w in weights.items()}
    first = {r: [rung.step for rung in one.rungs()] for r, one in steps.items()}
    together.ended({r: scouted(one) for r, one in steps.items()}, steps)
    ratios = []
    for r, one in steps.items():
        best = one.best()
        # a loss that moves on one side alone has a kink there, which says nothing of its scale
        if first[r] and math.isfinite(best.bound) and best.step > 0 and not one.one_sided_at_last:
            ratios.append(best.step / min(max(best.step, first[r][0]), first[r][-1]))
    if 2 * len(ratios) < len(weights) or not ratios:
        return 1.0
    off = median_low(ratios)
    # so that two steps RATIO apart lie about the best one
    return 1.0 if 1 / OFF <= off <= OFF else off * (2.0 if off > 1 else 0.5)


def _searched(together: Together, weights: dict[int, Weight]) -> None:
    """Let the searches of some weights go on until all have ended."""
    pooled([w.line for w in weights.values()], [w.steps.whole() for w in weights.values()])
    _ended(together, weights)
    again = {r: w for r, w in weights.items() if w.left}
    for weight in again.values():
        weight.steps.claim = replace(weight.steps.claim, match_at=weight.left)
    _ended(together, again)


def _ended(together: Together, weights: dict[int, Weight]) -> None:
    """Search the derivatives of some weights."""
    searches = {r: search(w.steps, w.start) for r, w in weights.items()}
    for r, found in together.ended(searches, {r: w.steps for r, w in weights.items()}).items():
        weights[r].best = found


def accused(claim: float, found: Found, accept: float) -> bool:
    """Whether a claim lies outside of the bound of a derivative."""
    return abs(claim - found.value) > found.bound + accept * max(abs(claim), abs(found.value))


def _weight(problem: Problem, known: Measured, asked: Asked, i: int, factor: float = 1.0) -> Weight:
    """A weight whose search begins ``factor`` times the usual first step away."""
    theta, rounding = problem.theta[i], problem.rounding
    x, scale, noise = float(theta), float(rounding.length[i]), float(rounding.line[i])
    below = np.inf if problem.low is None else x - float(problem.low[i])
    above = np.inf if problem.high is None else float(problem.high[i]) - x
    # the last operation of the loss rounds by half a spacing at most, by u / sqrt(3) of its size in the mean square
    floor = 0.5 * rounding.unit * abs(float(problem.center))
    size = abs(float(problem.center))
    line = Line(x, scale, rounding.unit, below, above, noise, known.degrees, floor, size, known.level, known.power)
    claim = Claim(float(problem.analytic[i]), asked.match_at, asked.accept, asked.least)
    relative = problem.relative_noise or noise / max(abs(float(problem.center)), noise, 5e-324)
    relative = min(1.0, max(relative, rounding.unit))
    start = factor * first_step(scale, relative, 2)
    own = None
    if not isinstance(asked.eps, str):
        own = given(asked.scheme, theta, asked.eps)
    elif asked.scheme is not CENTRAL:
        own = given(asked.scheme, theta, factor * first_step(scale, relative, asked.scheme.order))
    return Weight(line, claim, own, start)


def _columns(found: Sequence[Found], apart: Sequence[bool], match_at: float) -> Estimate:
    """What was found as columns.  A kink counts only where it keeps the derivative from being known well enough."""
    kinks = [0.0 if 2 * f.bound <= match_at * abs(f.value) else f.kink for f in found]
    truncation = [f.truncation + f.doubt if wrong else f.truncation for f, wrong in zip(found, apart, strict=True)]
    values = np.array([f.value for f in found])
    finite = np.isfinite(values)
    return Estimate(
        np.array([f.step for f in found]),
        np.where(finite, values, 0.0),
        np.array(truncation),
        np.array([f.roundoff for f in found]),
        np.array(kinks),
        finite,
        np.zeros(len(found), dtype=bool),
    )
