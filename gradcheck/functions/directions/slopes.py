"""Slopes of a loss along random directions, beside those of the gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck.functions.calls import Calls
from gradcheck.functions.settings import Settings
from gradcheck.numerics.examine import examine
from gradcheck.numerics.measured.pose import along
from gradcheck.numerics.names import WeightVerdict
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import ACCEPTED, BUDGET

Array = np.ndarray
Limits = tuple[Array, Array]

# Components of a direction: random signs, sizes between this and 1 in units of the root mean square of the parameter.
SMALLEST = 0.5


@dataclass(frozen=True)
class Slope:
    """The check of one direction.

    name : the parameter that it moves, or None for all.   where : its part of theta.   v : (n,) the direction there.
    numeric : the slope by differences at ``step``, which differs from the true one by at most ``bound``.
    accepted : the difference, beside the bound, that is no mismatch.
    """

    name: str | None
    where: slice
    v: Array
    analytic: float
    numeric: float
    step: float
    bound: float
    verdict: WeightVerdict
    reason: str | None
    accepted: float = 0.0

    @property
    def allowed(self) -> float:
        """The largest difference that is no mismatch."""
        return self.bound + self.accepted


def parts(problem: Problem) -> list[tuple[str | None, slice]]:
    """The directions to take: the name of the parameter that each moves (None for all), and its part of theta."""
    everything = slice(0, problem.theta.size)
    named: list[tuple[str | None, slice]] = [(n, w) for n, w in problem.layout.slices.items() if w.stop > w.start]
    return [(None, everything), *(named if len(named) > 1 else [(named[0][0], everything)])]


def _size(problem: Problem, where: slice) -> float:
    """Root mean square of some weights, 1 where all are 0."""
    values = problem.theta[where].astype(np.float64)
    return float(np.sqrt(np.mean(values**2))) or 1.0


def direction(
    problem: Problem, where: slice, eps: Step, unknown: Array, limits: Limits | None, rng: np.random.Generator
) -> Array:
    """A random direction for some weights.

    Only the components of ``unknown``, whose gradient is not finite, are 0.  At a limit a component points inwards.
    """
    n = where.stop - where.start
    v = np.empty(n)
    for inner in problem.layout.slices.values():
        low, high = max(inner.start, where.start), min(inner.stop, where.stop)
        if high > low:
            own = rng.uniform(SMALLEST, 1.0, high - low)
            own *= _size(problem, slice(low, high)) if eps == AUTO else 1.0
            v[low - where.start : high - where.start] = own
    v *= rng.integers(0, 2, n) * 2 - 1
    if eps != AUTO:
        # a step of length eps along v moves the weights by eps in the Euclidean norm
        v /= np.linalg.norm(v)
    if limits is not None:
        low, high = (limit[where] for limit in limits)
        theta = problem.theta[where]
        v = np.where(theta <= low, np.abs(v), np.where(theta >= high, -np.abs(v), v))
    if unknown.size:
        v[unknown[(unknown >= where.start) & (unknown < where.stop)] - where.start] = 0.0
    return v.astype(problem.theta.dtype)


def slope_along(
    problem: Problem, calls: Calls, name: str | None, where: slice, v: Array, gradient: Array, asked: Settings
) -> Slope:
    """The slope along v, which moves the weights of a parameter or (None) all, beside that of the gradient."""
    line = _along(problem, calls, where, v, gradient, asked.step)
    index, against, cut = np.zeros(1, dtype=np.intp), asked.against, calls.cut.other
    calls.cut.other = False
    estimate, judged, *_ = examine(
        line, asked.formula, asked.step, against.match_at, index, sought=against.match_at / len(v)
    )
    unfinished = calls.cut.other
    calls.cut.other |= cut
    found = Slope(
        name,
        where,
        v,
        float(line.analytic[0]),
        float(estimate.value[0]),
        float(estimate.step[0]),
        float(judged.bound[0]),
        judged.verdict[0],
        judged.reason[0],
        # the sum of differences that are accepted in the entries; the signs of v are independent, so it is as rarely larger
        # as a sum of rounding errors
        against.accept * DEVIATIONS * float(np.linalg.norm(v.astype(np.float64) * gradient[where])),
    )
    if unfinished and found.verdict == "inconclusive":
        return replace(found, reason=BUDGET)
    if found.verdict != "mismatch" or not abs(found.analytic - found.numeric) <= found.allowed:
        return found
    if float(judged.resolution[0]) + against.accept <= against.match_at:
        return replace(found, verdict="match", reason=ACCEPTED)
    return replace(found, verdict="inconclusive", reason="noise")


def _along(problem: Problem, calls: Calls, where: slice, v: Array, gradient: Array, eps: Step) -> Problem:
    """phi(t) = loss(theta + t v) as a problem of one weight, t = 0."""
    rounding = problem.rounding
    own = float(np.linalg.norm(v.astype(np.float64) * rounding.gradient[where]))
    # with auto t = 1 moves the weights by about their own size
    length = 1.0 if eps == AUTO else _size(problem, where) * len(v) ** 0.5

    def at(t: Array) -> Array:
        point = problem.theta.astype(np.result_type(problem.theta.dtype, t.dtype))
        point[where] += t[0] * v
        return point

    def losses(index: Array, t: Array) -> tuple[Array, Array]:
        return calls.along(problem.theta, where, v, t.reshape(-1))[:, 0].reshape(t.shape), np.zeros(t.shape)

    return along(
        lambda t: problem.loss(at(t)) if t.any() else problem.center,
        problem.theta.dtype,
        dot(v, gradient[where]),
        own,
        length,
        problem.kinked,
        losses,
    )


def dot(v: Array, g: Array) -> float:
    """v . g, summed pairwise in the widest dtype, so that its rounding is far below that of the terms."""
    return float((v.astype(np.longdouble) * g).sum())
