"""A few fast losses of every cell are compared with the plain loss.

The plain loss is the definition.  Losses that a model computes faster, from its structure, must agree with it.
"""

from __future__ import annotations

import math
import zlib
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.problem import Losses, Problem
from gradcheck.numerics.quotients import DEVIATIONS

Array = np.ndarray

# how many weights of a cell are compared
COMPARED = 3
# the step of a weight that was not moved, or moved along the imaginary axis; in units of the loss's scale
FRACTION = 2.0**-10
# the errors of both computations vary; a mistake differs by more
MARGIN = 2


class Apart(NamedTuple):
    """A weight whose fast loss differs from the plain one by more than rounding explains: its index and both losses."""

    weight: int
    fast: Array
    full: Array


def compare(problem: Problem, fast: Losses, evaluated: tuple[Array, Array] | None, step: Array) -> Apart | None:
    """The first of a few weights whose perturbed loss differs from the plain loss by more than rounding explains, or None.

    fast : the losses of the problem computed from its structure.
    evaluated : points (size, k) of every weight, and what ``fast`` gave there; None where they were not kept.
    step : (size,) the steps that were taken; 0 where there was none.

    Compared is the point nearest to theta + step or theta - step.  A weight without one is moved by a step of its own.
    Which weights are compared follows from theta and the steps alone.
    """
    theta, rounding, center = problem.theta, problem.rounding, problem.center
    size = theta.size
    first = zlib.crc32(step.tobytes(), zlib.crc32(theta.tobytes()))
    side = 1 if first & 1 else -1
    for i in sorted({(first + k * (size // COMPARED + 1)) % size for k in range(COMPARED)}):
        moved = theta.copy()
        taken = float(step[i])
        if evaluated is None or not taken > 0:
            moved[i] += theta.dtype.type(FRACTION * rounding.length[i])
            value = fast(np.array([i]), moved[i : i + 1, None])[0][0, 0]
        else:
            points, losses = evaluated[0][i], evaluated[1][i]
            away = [abs(abs(x) - taken) for x in (points - theta[i])[::side].tolist()]
            c = away.index(min(away))
            moved[i], value = points[::side][c], losses[::side][c]
        h = abs(float(moved[i] - theta[i]))
        full = problem.loss(moved)
        apart = abs(float(value - full))
        change = abs(float(full - center))
        # noise of the loss at theta, what errors of the derivative add along the step, and rounding of the change itself
        # (rounding.gradient may be infinite, hence no product with a step of 0)
        grown = rounding.gradient[i] * h if h else 0.0
        noise = math.hypot(rounding.loss, rounding.line[i], grown, 4 * rounding.unit * change)
        if apart <= MARGIN * DEVIATIONS * noise + rounding.underflow or not np.isfinite(value):
            continue  # a fast loss may overflow where the plain one does not; then it gives no derivative
        # far above the scale of the loss, examples whose loss was negligible at theta may dominate
        if problem.rounding_at is not None:
            noise = math.hypot(noise, problem.rounding_at(moved).loss)
        if not apart <= MARGIN * DEVIATIONS * noise + rounding.underflow:
            return Apart(i, value, full)
    return None
