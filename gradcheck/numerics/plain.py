"""A few fast losses of every cell are compared with the plain loss.

The plain loss is the definition.  Losses that a model computes faster, from its structure, must agree with it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
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


def require_equal(problem: Problem, evaluated: tuple[Array, Array] | None, step: Array) -> None:
    """Raise ArithmeticError where ``compare`` finds that the fast losses of a problem differ from the plain ones."""
    assert problem.perturbed_losses is not None
    apart = compare(problem, problem.perturbed_losses, evaluated, step)
    if apart is not None:
        name, position = problem.layout.locate(apart.weight)
        raise ArithmeticError(
            f"{name}{list(position)}: the perturbed loss is {float(apart.fast)!r} by structure and "
            f"{float(apart.full)!r} in full, which rounding does not explain"
        )


def doubtful(problems: Sequence[Problem], evaluated: tuple[Array, Array], step: Array) -> list[tuple[int, int]]:
    """The problems and steps of which ``compare`` has to say whether the losses differ; of all others they do not.

    problems : of one size.   evaluated : points (count size, k) of all weights of all problems, and the fast losses there.
    step : (steps, count, size) the steps that were taken.

    The same losses as there are compared by the first of its limits, of all problems at once.
    """
    count, size = len(problems), problems[0].theta.size
    taken = np.ascontiguousarray(step.transpose(1, 0, 2))  # (count, steps, size)
    theta = np.stack([problem.theta for problem in problems])
    # which weights, (count, steps, COMPARED), and on which side of theta
    first = np.array(
        [
            [zlib.crc32(row.tobytes(), zlib.crc32(t.tobytes())) for row in rows]
            for t, rows in zip(theta, taken, strict=True)
        ]
    )
    chosen = (first[..., None] + np.arange(COMPARED) * (size // COMPARED + 1)) % size
    up = (first & 1).astype(bool)[..., None, None]
    taken = np.take_along_axis(taken, chosen, axis=2)
    rows = np.arange(count)[:, None, None] * size + chosen
    points, losses = evaluated[0][rows], evaluated[1][rows]
    here = theta.reshape(-1)[rows]
    away = np.abs(np.abs((points - here[..., None]).astype(np.float64)) - taken[..., None])
    last = points.shape[-1] - 1
    column = np.where(up[..., 0], away.argmin(axis=-1), last - away[..., ::-1].argmin(axis=-1))[..., None]
    moved, fast = (np.take_along_axis(x, column, axis=-1) for x in (points, losses))
    thetas = np.broadcast_to(theta[:, None, None], (*chosen.shape, size)).copy()
    np.put_along_axis(thetas, chosen[..., None], moved, axis=-1)
    full = np.stack([_plain_losses(p, some.reshape(-1, size)) for p, some in zip(problems, thetas, strict=True)])
    full, fast = full.reshape(chosen.shape), fast[..., 0]
    # as in ``compare``
    h = np.abs((moved[..., 0] - here).astype(np.float64))
    line, gradient = (np.stack([getattr(p.rounding, name) for p in problems]) for name in ("line", "gradient"))
    unit, underflow = problems[0].rounding.unit, problems[0].rounding.underflow
    center = np.array([problem.center for problem in problems])[:, None, None]
    with np.errstate(all="ignore"):
        apart = np.abs((fast - full).astype(np.float64))
        change = np.abs((full - center).astype(np.float64))
        grown = np.where(h > 0, gradient.reshape(-1)[rows] * h, 0.0)
        noise = np.array([problem.rounding.loss for problem in problems])[:, None, None]
        for part in (line.reshape(-1)[rows], grown, 4 * unit * change):
            noise = np.hypot(noise, part)
        # a part in a million of the limit: hypot of four is rounded otherwise here
        same = (apart <= (1 - 1e-6) * MARGIN * DEVIATIONS * noise + underflow) & (taken > 0)
    return [(p, k) for p, k in np.argwhere(~same.all(axis=2)).tolist()]


def _plain_losses(problem: Problem, thetas: Array) -> Array:
    """The plain loss at each of several thetas (b, size)."""
    if problem.losses is not None:
        return problem.losses(thetas)
    return np.array([problem.loss(theta) for theta in thetas])


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
