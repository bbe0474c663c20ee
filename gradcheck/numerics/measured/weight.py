"""One weight under search: its line, its claim, the formula that was asked for, and what was found."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.given import RATIO, Given, beside, first_step, given
from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.search import search
from gradcheck.numerics.measured.steps import Claim, Search, Steps
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.schemes import SCHEMES, Scheme
from gradcheck.numerics.steps import Step

CENTRAL = SCHEMES["central"]
# The part of match_at that is left for the search beside a quotient of first order.
FIRST_ORDER = 0.1
# The search beside a formula goes on where more than this part of match_at is left for it.
LEFT = 10.0


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

    def retraced(self, known: dict[float, float]) -> Search[Found]:
        """The search of a weight whose first losses are known: it asks for those that are not."""
        self.line.changes.update((t, known[t]) for t in self.begin())
        searched = search(self.steps, self.start)
        while True:
            try:
                offsets = next(searched)
            except StopIteration as end:
                found: Found = end.value
                return found
            if offsets and known.keys() >= set(offsets):
                self.line.changes.update((t, known[t]) for t in offsets)
            else:
                yield offsets

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


def common(problem: Problem, known: Measured, asked: Asked, i: int) -> tuple[Line, Claim, float]:
    """The line of a weight and its claim, as far as all weights have them in common, and the relative noise."""
    rounding, size = problem.rounding, abs(float(problem.center))
    noise = float(rounding.line[i])
    # the last operation of the loss rounds by half a spacing at most, by u / sqrt(3) of its size in the mean square
    floor = 0.5 * rounding.unit * size
    line = Line(0.0, 1.0, rounding.unit, np.inf, np.inf, noise, known.degrees, floor, size, known.level, known.power)
    relative = problem.relative_noise or noise / max(size, noise, 5e-324)
    return line, Claim(0.0, asked.match_at, asked.accept, asked.least), min(1.0, max(relative, rounding.unit))


def weight_at(problem: Problem, known: Measured, asked: Asked, i: int, factor: float = 1.0) -> Weight:
    """A weight whose search begins ``factor`` times the usual first step away."""
    theta, scale = problem.theta[i], float(problem.rounding.length[i])
    line, claim, relative = common(problem, known, asked, i)
    line.x, line.scale = float(theta), scale
    if problem.low is not None and problem.high is not None:
        line.below, line.above = line.x - float(problem.low[i]), float(problem.high[i]) - line.x
    claim = replace(claim, value=float(problem.analytic[i]))
    own = None
    if not isinstance(asked.eps, str):
        own = given(asked.scheme, theta, asked.eps)
    elif asked.scheme is not CENTRAL:
        own = given(asked.scheme, theta, factor * first_step(scale, relative, asked.scheme.order))
    return Weight(line, claim, own, factor * first_step(scale, relative, 2))
