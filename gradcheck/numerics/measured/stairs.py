"""A loss of which a part has few digits: smooth on one of its stairs, where that part's slope is missing."""

from __future__ import annotations

import itertools
import math

import numpy as np

from gradcheck.numerics.measured.jump import jump
from gradcheck.numerics.measured.ladder import STRIDES, Found, jump_at_theta, spaced
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.steps import ALIVE, Search, Steps
from gradcheck.numerics.measured.window import PLACES
from gradcheck.numerics.problem import Problem

Array = np.ndarray

# Steps above one that was taken at which a derivative is looked for that was not seen.
NEXT = STRIDES[:3]
# Two steps show the derivative alike within this.
ALIKE = 0.2
# A larger step whose derivative differs by more than this part is followed by further ones.
STEEP = 1e-3
# How far many weights are moved together where stairs are sought, in units of their scales: less where the loss is not finite,
# or shows none, but LOOKED times at most where it is finite.
NEARER = tuple(0.5 / 8**k for k in range(7))
LOOKED = 3
# Degree of the polynomial that is taken off there.
DEGREE = 3


def stairs(steps: Steps, found: Found, noise: float) -> Search[float]:
    """By how much the loss jumps between the step of a derivative and larger ones, which show another derivative; else 0.

    A loss that is continuous changes ever less in a shrinking interval; at a jump it does not.
    noise : the deviation of the loss's noise at the step of the derivative.
    """
    line = steps.line
    top = steps.rungs()[-1]
    if top.step > found.step and abs(top.value - found.value) > found.bound + abs(found.value) * STEEP:
        yield steps.wanted(*(factor * top.step for factor in NEXT if factor * top.step <= line.scale))
    step = _larger(steps, found)
    return (yield from _jump(line, (found.value,), step, 0, noise)) if step else 0.0


def jumps(problem: Problem, index: Array, slopes: Array) -> float:
    """By how much the loss jumps at most, on both sides of theta, where many weights are moved together; 0 where it does not.

    One weight may never leave its stair before the loss bends.  A loss that jumps on one side alone has no stairs.
    index, slopes : (m,) the weights that are moved, and the derivatives that were found.
    """
    theta, scale = problem.theta, problem.rounding.length
    rng = np.random.default_rng(theta.size)
    toward = np.zeros(theta.size)
    toward[index] = scale[index] * rng.choice([-1.0, 1.0], len(index)) * rng.uniform(0.5, 1.0, len(index))
    slope = float(slopes @ toward[index])
    low = np.full(theta.size, -np.inf) if problem.low is None else problem.low
    high = np.full(theta.size, np.inf) if problem.high is None else problem.high
    line = Line(0.0, 1.0, problem.rounding.unit)

    def evaluated(search: Search[float | None]) -> float | None:
        try:
            while True:
                for t in next(search):
                    point = np.clip(theta + (t * toward).astype(theta.dtype), low, high).astype(theta.dtype)
                    line.changes[t] = float(problem.loss(point) - problem.center)
        except StopIteration as end:
            return end.value

    looked = 0
    for reach in NEARER:
        sides = []
        for side in (1, -1):
            sides.append(evaluated(_along(line, slope, side * reach, problem.rounding.loss)))
            if not sides[-1]:
                break
        found = [jump for jump in sides if jump is not None]
        if len(found) == 2 and min(found) > 0:
            return max(found)
        looked += bool(found)
        if looked == LOOKED:
            break
    return 0.0


def _along(line: Line, slope: float, reach: float, noise: float) -> Search[float | None]:
    """By how much the loss jumps on one side of theta; None where it is not finite there.

    slope : of the loss on its stair.  Less that, it only moves where it jumps, but for its curvature.
    """
    places = [reach * place for place in PLACES]
    yield places
    values = np.array([line.changes[t] for t in places])
    if not np.isfinite(values).all():
        return None
    smooth = np.linalg.lstsq(np.array(places)[:, None] ** np.arange(1, DEGREE + 1), values, rcond=None)[0]
    side = 1 if reach > 0 else -1
    jump = yield from _jump(line, (slope,), abs(reach), side, noise)
    return jump or (yield from _jump(line, tuple(smooth.tolist()), abs(reach), side, noise))


def _larger(steps: Steps, found: Found) -> float:
    """The step within the loss's guessed scale at which larger steps show another derivative than was found; else 0."""
    line = steps.line
    above = [r for r in steps.rungs() if found.step < r.step <= line.scale and not r.silent]
    for near, far in itertools.pairwise(spaced(above, 0) if above else []):
        gap, other = near.value - found.value, far.value - found.value
        alike = abs(gap - other) <= ALIKE * abs(gap)
        # at a kink beside theta larger steps are alike too
        alike = alike and jump_at_theta(near, far, line.noise)[0] <= abs(gap) / 2
        if alike and abs(gap) > found.bound:
            return near.step
    if len(above) < 2:
        return 0.0
    near, last = above[-2:]
    gap, bent = abs(last.value - found.value), abs(last.bend - last.step / near.step * near.bend) / 2
    if gap <= found.bound + abs(found.value) * STEEP and bent <= abs(last.bend) / 4:
        return 0.0
    return last.step


def _jump(line: Line, smooth: tuple[float, ...], step: float, side: int, noise: float) -> Search[float]:
    """By how much the loss less a smooth part jumps between two points no farther than a step from theta; 0 where it does not.

    smooth : coefficients of t, t**2 and so on.   side : where the points lie; 0 for both sides.
    """

    def rest(t: float) -> float:
        return (line.changes.get(t, math.nan) if t else 0.0) - sum(c * t ** (k + 1) for k, c in enumerate(smooth))

    def middle(low: float, high: float) -> float:
        return math.copysign(line.on_grid(abs(low + high) / 2), low + high)

    places = sorted(t for t in (0.0, *line.changes) if abs(t) <= step and t * side >= 0 and math.isfinite(rest(t)))
    between = max(itertools.pairwise(places), key=lambda two: abs(rest(two[1]) - rest(two[0])))
    halves = jump(between, (rest(between[0]), rest(between[1])), middle, ALIVE * noise)
    try:
        place = next(halves)
        while True:
            yield [place] if place not in line.changes else []
            place = halves.send(rest(place))
    except StopIteration as end:
        return float(end.value)
