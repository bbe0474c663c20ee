"""Derivatives of a loss that has no error analysis of its own: noise, scale, kinks and truncation are measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradcheck.numerics.measured.given import Given, beside, first_step, given
from gradcheck.numerics.measured.gradient import with_gradient_noise
from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.pool import pooled
from gradcheck.numerics.measured.search import RATIO, search
from gradcheck.numerics.measured.steps import Claim, Search, Steps
from gradcheck.numerics.problem import Evaluations, Measured, Problem
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES, Scheme
from gradcheck.numerics.steps import Step

Array = np.ndarray
Evaluate = Callable[[Array, Array], Evaluations]

CENTRAL = SCHEMES["central"]


class Weight:
    """One weight under search: what was asked, what is known, and the search that is under way."""

    def __init__(self, line: Line, claim: Claim, own: Given | None, first: tuple[float, ...], start: float) -> None:
        self.line, self.own, self.first = line, own, first
        self.steps = Steps(line, claim)
        self.search: Search = search(self.steps, start)
        self.found: Found | None = None

    def begin(self) -> list[float]:
        """The offsets to be evaluated first."""
        asked = self.steps.wanted(*self.first)
        return asked + [t for t in (self.own.offsets if self.own else ()) if t and t not in asked]

    def go_on(self, central: bool) -> list[float]:
        """The offsets that are needed next; none at the end."""
        if self.own and central and self.own.step and not self.steps.given:
            self.steps.given = self.line.pair(*sorted(self.own.offsets))
        try:
            while True:
                asked = next(self.search)
                if asked:
                    return asked
        except StopIteration as end:
            found: Found = end.value
            self.found = self.own.bounded(self.line, found) if self.own else found
            return []


def estimates(
    problem: Problem, evaluate: Evaluate, scheme: Scheme, eps: Step, match_at: float, index: Array, accept: float = 0.0
) -> tuple[Estimate, Rounding]:
    """Derivatives of the weights ``index`` (m,) and their bounds, with the rounding errors that were measured.

    evaluate : losses with theta[index[r]] replaced by points[r, c].
    """
    assert problem.measured is not None
    weights = [_weight(problem, problem.measured, scheme, eps, match_at, accept, int(i)) for i in index]
    _evaluated(problem, evaluate, index, [w.begin() for w in weights], weights)
    pooled([w.line for w in weights], [w.steps.rungs() for w in weights])
    open_ones = list(range(len(weights)))
    while open_ones:
        asked = [weights[r].go_on(scheme is CENTRAL) for r in open_ones]
        going = [(r, offsets) for r, offsets in zip(open_ones, asked, strict=True) if offsets]
        open_ones = [r for r, _ in going]
        _evaluated(problem, evaluate, index[open_ones], [o for _, o in going], [weights[r] for r in open_ones])
    analytic = problem.analytic.astype(np.float64)[index]
    found = [w.found for w in weights if w.found is not None]
    apart = [accused(a, f, accept) for a, f in zip(analytic.tolist(), found, strict=True)]
    return _columns(found, apart, match_at), with_gradient_noise(problem, index[apart])


def accused(claim: float, found: Found, accept: float) -> bool:
    """Whether a claim lies outside of the bound of a derivative."""
    return abs(claim - found.value) > found.bound + accept * max(abs(claim), abs(found.value))


def _weight(
    problem: Problem, known: Measured, scheme: Scheme, eps: Step, match_at: float, accept: float, i: int
) -> Weight:
    theta, rounding = problem.theta[i], problem.rounding
    x, scale, noise = float(theta), float(rounding.length[i]), float(rounding.line[i])
    below = np.inf if problem.low is None else x - float(problem.low[i])
    above = np.inf if problem.high is None else float(problem.high[i]) - x
    # the last operation of the loss rounds by half a spacing at most, by u / sqrt(3) of its size in the mean square
    floor = 0.5 * rounding.unit * abs(float(problem.center))
    line = Line(x, scale, rounding.unit, below, above, noise, known.degrees, floor)
    claim = Claim(float(problem.analytic[i]), match_at, accept)
    relative = problem.relative_noise or noise / max(abs(float(problem.center)), noise, 5e-324)
    relative = min(1.0, max(relative, rounding.unit))
    start = first_step(scale, relative, 2)
    if isinstance(eps, str):
        if scheme is CENTRAL:
            return Weight(line, claim, None, (start, RATIO * start), start)
        own = given(scheme, theta, first_step(scale, relative, scheme.order))
    else:
        own = given(scheme, theta, eps)
    # steps that leave the domain are not taken
    if scheme is CENTRAL and own.step and line.side(own.step) == 0:
        return Weight(line, claim, own, beside(own.step, start), start)
    return Weight(line, claim, own, (start, RATIO * start), start)


def _evaluated(
    problem: Problem, evaluate: Evaluate, index: Array, asked: Sequence[list[float]], weights: Sequence[Weight]
) -> None:
    """Evaluate what the weights asked for, those with the same number of points together, and tell their lines."""
    groups: dict[int, list[int]] = {}
    for r, wanted in enumerate(asked):
        if wanted:
            groups.setdefault(len(wanted), []).append(r)
    for rows in groups.values():
        offsets = np.array([asked[r] for r in rows])
        some = index[rows]
        points = problem.theta[some][:, None] + offsets.astype(problem.theta.dtype)
        losses = evaluate(some, points).losses
        with np.errstate(all="ignore"):
            # subtract in the dtype, then convert: float64 would round longdouble losses that are nearly equal
            changes = (losses - problem.center).astype(np.float64)
        for r, ts, cs in zip(rows, offsets.tolist(), changes.tolist(), strict=True):
            weights[r].line.changes.update(zip(ts, cs, strict=True))


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
