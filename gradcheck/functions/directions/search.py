"""The search for the entries that make the slope along a direction wrong.

Halves of the direction tell where: the error of a half is its slope minus its part of v . g, and the errors of both add
up.  log2(n) halvings lead to one entry (group testing by bisection: Dorfman, Annals of Mathematical Statistics 14, 1943;
Hwang, JASA 67, 1972).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

import numpy as np

from gradcheck.functions.directions.entries import Entries
from gradcheck.functions.directions.slopes import Slope, dot
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import Scheme

Array = np.ndarray

# Entries of a parameter that are checked besides, for the diagnosis, where many of it are wrong.
MORE = 8
# Wrong entries that are searched for; where there are more, the first ones are enough to act on.
LOCATED = 10
# Where this share of the entries that were taken is wrong, too many are for a search.
DENSE = 0.1
# Halvings that may end in no wrong entry before the error is called spread out.
LOST = 3
# An error whose part of the slope is below this share of the bound cannot be followed further: 2.75 of the noise's
# measured deviations, of which the bound has 11.
FOLLOWED = 0.25


def explain(
    problem: Problem, slope: Slope, scheme: Scheme, work: Array, entries: Entries, rng: np.random.Generator
) -> bool:
    """Find the entries that make a slope wrong; returns whether they account for all of its error.

    work : the gradient; wrong entries are replaced by their numeric derivatives when they are found.
    """
    where = slope.where

    def correct() -> None:
        """Replace wrong entries of the gradient by their numeric derivatives."""
        for j in entries.wrong:
            if math.isfinite(entries.numeric[j]):
                work[j] = entries.numeric[j]

    def error() -> float:
        return slope.numeric - dot(slope.v, work[where])

    correct()
    if slope.verdict != "mismatch" or abs(error()) <= slope.allowed:
        return True
    here = np.array([j for j in entries.numeric if where.start <= j < where.stop], dtype=np.intp)
    wrong = sum(int(j) in entries.wrong for j in here)
    dense = wrong >= 2 and wrong >= DENSE * len(here)
    if not dense:
        lost = 0
        for j in _descents(problem, slope, scheme, work):
            before = len(entries.wrong)
            if j is not None:
                entries.judge(np.array([j]))
            lost += len(entries.wrong) == before
            correct()
            if abs(error()) <= slope.allowed:
                return True
            if lost >= LOST or len(entries.wrong) >= LOCATED:
                break
    # too many to be found one by one: a few more entries show what kind of mistake it is
    n = where.stop - where.start
    entries.judge(where.start + rng.choice(n, min(MORE, n), replace=False))
    return False


def _descents(problem: Problem, slope: Slope, scheme: Scheme, work: Array) -> Iterator[int | None]:
    """Entries that make a slope wrong, the largest part of its error first; None where a descent lost it in the noise.

    The caller may correct ``work`` between two descents.
    """
    base, step = slope.where.start, problem.theta.dtype.type(slope.step)
    center = problem.loss(problem.theta)

    def error(low: int, high: int) -> float:
        """Slope minus the part of v . g over theta[low:high]; NaN where the loss is not finite."""
        v = slope.v[low - base : high - base]

        def at(t: np.inexact) -> Array:
            point = problem.theta.astype(np.result_type(problem.theta.dtype, t))
            point[low:high] += t * v
            return point

        if scheme.complex_valued:
            found = float(problem.loss(at(1j * step)).imag / step)
        else:
            up, down = (problem.loss(at(t)) for t in (step, -step))
            if np.isfinite(up) and np.isfinite(down):
                found = float((up - center) / step - (down - center) / step) / 2
            else:
                # at the edge of a domain three points on one side, (-3 f(0) + 4 f(h) - f(2 h)) / 2 h
                h, near = (step, up) if np.isfinite(up) else (-step, down)
                far = problem.loss(at(2 * h))
                found = float((4 * (near - center) - (far - center)) / (2 * h))
        return found - dot(v, work[low:high])

    queue = [(-abs(slope.numeric - slope.analytic), base, slope.where.stop)]
    while queue:
        size, low, high = heapq.heappop(queue)
        if -size < FOLLOWED * slope.allowed:
            return
        while high - low > 1:
            middle = (low + high) // 2
            halves = []
            for half in ((low, middle), (middle, high)):
                e = error(*half)
                halves.append((-abs(e) if math.isfinite(e) else 0.0, *half))
            halves.sort()
            heapq.heappush(queue, halves[1])
            size, low, high = halves[0]
            if -size < FOLLOWED * slope.allowed:
                break
        yield low if high - low == 1 else None
