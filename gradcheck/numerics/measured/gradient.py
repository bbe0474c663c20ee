"""The rounding errors of a claimed gradient: seen in numbers of more digits, or measured beside theta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck.numerics.measured.finer import in_finer_numbers, left
from gradcheck.numerics.measured.near_line import BESIDE, JUDGED, PLACES, on_line, steps_along
from gradcheck.numerics.measured.noise import DEGREE, FACTOR, POINTS, SPACING, plateau, residual
from gradcheck.numerics.measured.student import quantile
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray

# Standard deviation of a rounding error, uniform in half a unit to both sides.
UNIFORM = 12**-0.5
# Spacings that are tried, each FACTOR times the one before.
SPACINGS = 6


def with_gradient_noise(problem: Problem, index: Array, steps: Array | None = None) -> Rounding:
    """The problem's rounding errors, those of the entries ``index`` (m,) of its claimed gradient measured.

    steps : (size,) how far each weight was moved for its derivative, infinite where it was not.
    It costs evaluations of the gradient, so it is asked only where an entry is disputed.
    """
    rounding, known = problem.rounding, problem.measured
    if known is None or known.gradient_at is None or not len(index):
        return rounding
    claim = in_finer_numbers(problem)
    if claim is None:
        error = gradient_noise(problem, known.gradient_at, index, steps)
    else:
        error = (claim.error + left(problem, claim, claim.error))[index]
    gradient = rounding.gradient.copy()
    gradient[index] = np.fmax(gradient[index], error / DEVIATIONS)
    return replace(rounding, gradient=gradient)


def gradient_noise(
    problem: Problem, gradient_at: Callable[[Array], Array], index: Array, steps: Array | None = None
) -> Array:
    """The largest error by rounding of the entries ``index`` (m,) of the claimed gradient; 0 where none was seen.

    The gradient is taken at the points of a line beside theta, not at theta itself, where it may be wrong.  An entry
    that is constant on the line shows its noise only with a larger spacing: 1 - s near s = 1 has few digits.
    The line begins no farther away than the derivative was seen: beyond, a pole or a wall would be taken for noise.
    """
    theta, rounding = problem.theta, problem.rounding
    rng = np.random.default_rng(theta.size)
    span = np.maximum(rounding.length, np.abs(theta.astype(np.float64)))
    if steps is not None:
        span = np.minimum(span, steps / BESIDE)
    signs = rng.choice([-1.0, 1.0], theta.size) * rng.uniform(0.5, 1.0, theta.size)
    low = np.full(theta.size, -np.inf) if problem.low is None else problem.low
    high = np.full(theta.size, np.inf) if problem.high is None else problem.high
    found = np.zeros(len(index))
    open_ones = np.ones(len(index), dtype=bool)
    for k in range(SPACINGS):
        spacing = SPACING * rounding.unit * FACTOR**k
        room = np.where(signs > 0, high - theta, theta - low) >= (BESIDE + PLACES[-1] * spacing) * span
        reach = np.where(room, signs, -signs) * span
        beside, part = steps_along(theta, reach, spacing, rounding.unit)
        rows = []
        for place in PLACES:
            point = on_line(theta, beside, part, [place])[0]
            rows.append(gradient_at(np.clip(point, low, high).astype(theta.dtype))[index])
        values = np.stack(rows)
        for r in np.flatnonzero(open_ones):
            column = values[:, r]
            if not np.isfinite(column).all():
                continue
            if not plateau(column[:JUDGED]):
                found[r], open_ones[r] = residual(column), False
            else:
                # a value of few digits is rounded to a multiple of the smallest difference that was seen, uniformly
                steps = np.abs(np.diff(column))
                found[r] = float(np.min(steps[steps > 0], initial=np.inf)) * UNIFORM if steps.any() else found[r]
        if not open_ones.any():
            break
    return quantile(POINTS - DEGREE - 1) * found
