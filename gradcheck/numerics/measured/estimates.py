"""Derivatives of a loss that has no error analysis of its own: noise, scale, kinks and truncation are measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import median_low
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.explore import scouted
from gradcheck.numerics.measured.finer import ROUNDED
from gradcheck.numerics.measured.given import part_of_scale
from gradcheck.numerics.measured.gradient import with_gradient_noise
from gradcheck.numerics.measured.pool import pairs, pooled
from gradcheck.numerics.measured.screen import Along, Screen
from gradcheck.numerics.measured.search import search
from gradcheck.numerics.measured.stairs import jumps
from gradcheck.numerics.measured.steps import STRIDES_ALLOWED, WINDOWS
from gradcheck.numerics.measured.together import Evaluate, Together
from gradcheck.numerics.measured.weight import CENTRAL, Asked, Weight, common, weight_at
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.steps import Step

Array = np.ndarray

# Of MANY weights and more, FIRST are searched before the others, which then begin where those ended.
MANY, FIRST = 16, 4
# Further steps that are tried where the first weights showed nothing.
HIDDEN = 2
# First steps that are off by no more than this are kept.
OFF = 4.0
# Where one claim of so many agrees with what was found, the weights do not stand on a stair together.
AGREEING = 4


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
    weights = {r: weight_at(problem, known, asked, int(index[r])) for r in few.tolist()}
    first = list(weights.values())
    together = Together(problem, evaluate, index)
    factor = _off(together, weights)
    _searched(together, weights)
    vain, hidden = bool(first) and all(w.in_vain for w in first), bool(first) and all(w.hidden for w in first)

    def other(r: int) -> Weight:
        """A weight that is searched after the first ones, which may have shown that little is to be found."""
        weight = weight_at(problem, known, asked, int(index[r]), factor)
        weight.steps.windows_allowed = 1 if vain else WINDOWS
        weight.steps.strides_allowed = HIDDEN if hidden else STRIDES_ALLOWED
        return weight

    others = np.delete(places, few)
    screen = _screen(problem, known, asked, index, others, factor) if first else None
    rest = {r: other(r) for r in (screen.left if screen else others.tolist())}
    _begun(together, rest, screen)
    _searched(together, rest, screen, other)
    weights |= rest
    found = _whole(weights, screen, len(index))
    analytic = problem.analytic.astype(np.float64)[index]
    apart = accused(analytic, found.value, found.bound, accept)
    doubted = accused(analytic, found.value, found.bound + found.doubt, accept).any()
    # a stair that several weights share hides their slopes alike: where many claims agree with what was found there is none,
    # and a weight alone was moved across its stairs by its own search
    if doubted and 1 < len(index) > AGREEING * np.count_nonzero(found.agree):
        moved = np.isfinite(found.slope)
        found = _on_stairs(found, jumps(problem, index[moved], found.slope[moved]))
    steps = np.full(problem.theta.size, np.inf)
    steps[index] = found.reached
    return _columns(found, apart, match_at), with_gradient_noise(problem, index[apart], steps)


class Whole(NamedTuple):
    """What was found of all weights, each (m,): as of ``Found``, and what the search beside a formula found.

    slope, noise : the search's own derivative and its roundoff.   reached : as of ``Weight``.
    agree : whether the claim agrees with that derivative.
    """

    step: Array
    value: Array
    truncation: Array
    roundoff: Array
    kink: Array
    doubt: Array
    slope: Array
    noise: Array
    reached: Array
    agree: Array

    @property
    def bound(self) -> Array:
        """How far each value can be from the derivative."""
        return self.truncation + self.roundoff

    @property
    def doubted(self) -> Array:
        """The bound that an accusation must exceed."""
        return (self.truncation + self.doubt) + self.roundoff


def _whole(weights: dict[int, Weight], screen: Screen | None, count: int) -> Whole:
    """What was found of all weights, those of the screen among them."""
    found = np.zeros((len(Whole._fields), count))
    for places, of, agree in screen.ended if screen else []:
        reached = np.where(np.isfinite(of.bound) & (of.step > 0), of.step, np.inf)
        found[:, places] = *of, np.zeros(len(places)), of.value, of.roundoff, reached, agree
    if weights:
        found[:, list(weights)] = np.array([_row(weight) for weight in weights.values()]).T
    return Whole(*found)


def _row(weight: Weight) -> tuple[float, ...]:
    f, best = weight.found, weight.best
    assert best is not None
    own = best.value, best.roundoff, weight.reached, float(weight.steps.claim.agrees(best))
    return f.step, f.value, f.truncation, f.roundoff, f.kink, f.doubt, *own


def _on_stairs(found: Whole, jump: float) -> Whole:
    """What was found of a loss that jumps: a stair that is wider than the step hides a slope of the jump over the step.

    A stair that is narrower was a part of the noise at that step.
    """
    return found._replace(doubt=found.doubt + np.fmax(0.0, jump / found.reached - found.noise))


def _begun(together: Together, weights: dict[int, Weight], screen: Screen | None = None) -> None:
    """Evaluate the first points of some weights."""
    steps = {r: w.steps for r, w in weights.items()}
    together.evaluated({r: w.begin() for r, w in weights.items()}, steps, screen)
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


def _searched(
    together: Together,
    weights: dict[int, Weight],
    screen: Screen | None = None,
    other: Callable[[int], Weight] | None = None,
) -> None:
    """Let the searches of some weights go on until all have ended, and those of the weights that the screen leaves.

    other : a weight that it leaves.
    """
    lines = [w.line for w in weights.values()]
    first = pairs(lines, [w.steps.whole() for w in weights.values()])
    if screen:
        lines, first = [*lines, screen.line], first.beside(screen.pairs())
    pooled(lines, first)
    _ended(together, weights, screen, other)
    again = {r: w for r, w in weights.items() if w.left}
    for weight in again.values():
        weight.steps.claim = replace(weight.steps.claim, match_at=weight.left)
    _ended(together, again)


def _ended(
    together: Together,
    weights: dict[int, Weight],
    screen: Screen | None = None,
    other: Callable[[int], Weight] | None = None,
) -> None:
    """Search the derivatives of some weights."""
    steps = {r: w.steps for r, w in weights.items()}
    searches = {r: search(w.steps, w.start) for r, w in weights.items()}

    def begin(r: int) -> None:
        assert screen is not None
        assert other is not None
        weight = weights[r] = other(r)
        weight.line.noise, weight.line.degrees = screen.line.noise, screen.line.degrees
        steps[r], searches[r] = weight.steps, weight.retraced(screen.known(r))

    for r, found in together.ended(searches, steps, screen, begin).items():
        weights[r].best = found


def accused(claim: Array, value: Array, bound: Array, accept: float) -> Array:
    """Whether claims lie outside of the bounds of derivatives."""
    apart: Array = np.abs(claim - value) > bound + accept * np.maximum(np.abs(claim), np.abs(value))
    return apart


def _screen(
    problem: Problem, known: Measured, asked: Asked, index: Array, places: Array, factor: float
) -> Screen | None:
    """The weights at these places of ``index``, to be screened together.

    None where a formula is asked for, and where the loss did not show its noise, so that each line finds its own.
    """
    some = index[places]
    line, claim, relative = common(problem, known, asked, int(some[0]))
    usual = isinstance(asked.eps, str) and asked.scheme is CENTRAL and math.isfinite(known.level)
    if not usual or not (problem.rounding.line[some] == line.noise).all():
        return None
    x, room = problem.theta[some].astype(np.float64), np.full(len(some), np.inf)
    for limit in (problem.low, problem.high):
        if limit is not None:
            room = np.minimum(room, np.abs(limit[some].astype(np.float64) - x))
    start = factor * (problem.rounding.length[some] * part_of_scale(relative, 2))
    along = Along(places, x, start, problem.analytic[some].astype(np.float64), room)
    return Screen(along, line, claim)


def _columns(found: Whole, apart: Array, match_at: float) -> Estimate:
    """What was found as columns.  A kink counts only where it keeps the derivative from being known well enough."""
    finite = np.isfinite(found.value)
    return Estimate(
        found.step,
        np.where(finite, found.value, 0.0),
        np.where(apart, found.truncation + found.doubt, found.truncation),
        found.roundoff,
        np.where(2 * found.bound <= match_at * np.abs(found.value), 0.0, found.kink),
        finite,
        np.zeros(len(finite), dtype=bool),
    )
