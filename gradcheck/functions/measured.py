"""Rounding errors of somebody else's function and gradient, measured around x0."""

from __future__ import annotations

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.calls import Calls
from gradcheck.functions.noise import COARSE, POINTS, SPACING, coarse_noise, directions, line, near_noise, reach
from gradcheck.functions.parameters import Parameters
from gradcheck.numerics.rounding import Rounding, unit_roundoff

Array = np.ndarray

# The standard deviation is measured from a few differences, so it may be half the true one.
MEASURED = 2.0


def length_scales(parameters: Parameters, theta: Array) -> Array:
    """A first guess of the scale of the function: |x_i|, at least 1% of its parameter's rms, 1 where all is 0."""
    length = np.empty(theta.size)
    for where in parameters.layout.slices.values():
        part = np.abs(theta[where].astype(np.float64))
        # in units of the largest, so that no square overflows or vanishes
        largest = float(part.max(initial=0.0))
        rms = largest * float(np.sqrt(np.mean((part / largest) ** 2))) if largest > 0 else 0.0
        length[where] = np.maximum(part, 1e-2 * rms) if rms > 0 else 1.0
    return length


def measured_rounding(calls: Calls, theta: Array, value: Array, gradient: Array, seed: int) -> list[Rounding]:
    """Noise of each output and of its gradient from difference tables along lines through theta."""
    rng = np.random.default_rng(seed)
    u = unit_roundoff(theta.dtype)
    length = length_scales(calls.parameters, theta)
    # at least half a spacing of the value, in the type in which it was returned
    returned = calls.precision or theta.dtype
    noise = np.spacing(np.abs(value).astype(returned)).astype(np.float64) / 2
    coarse = u * COARSE < 1e-3
    for _ in range(2):
        points, values = _finite_line(calls, theta, length, SPACING, rng)
        if values is not None:
            noise = np.fmax(noise, near_noise(values))
    near = points
    if coarse:
        _, values = _finite_line(calls, theta, length, COARSE, rng)
        if values is not None:
            noise = np.fmax(noise, coarse_noise(values))
    rows = np.abs(np.where(np.isfinite(gradient), gradient, 0.0)).astype(np.float64)
    # even an exact gradient is rounded a few times
    given = calls.given or theta.dtype
    own = 2 * max(u, unit_roundoff(returned), unit_roundoff(given)) * rows
    if given != theta.dtype:  # the gradient is that of a coarser x, which moves on a coarser line alone
        near, _ = _finite_line(calls, theta.astype(given), length, SPACING, rng)
    values = np.stack([_gradient_or_nan(calls, p, gradient) for p in near])
    with np.errstate(all="ignore"):
        own = np.fmax(own, near_noise(values))
    zero = np.zeros(theta.size)
    noise = [MEASURED * float(s) for s in noise]
    return [Rounding(s, np.full(theta.size, s), MEASURED * own[k], zero, length, u) for k, s in enumerate(noise)]


def _finite_line(
    calls: Calls, theta: Array, length: Array, spacing: float, rng: np.random.Generator
) -> tuple[list[Array], Array | None]:
    """The points of a line on which the function is finite, and its values (p, k); None for the values where none was found."""
    low = np.full(theta.size, -np.inf) if calls.low is None else calls.low
    high = np.full(theta.size, np.inf) if calls.high is None else calls.high
    step = reach(theta, length, spacing)
    points = [theta] * POINTS
    for direction in directions(theta, low, high, 8 * step, rng):
        if not direction.any():
            continue
        points = line(theta, direction, length, spacing)
        values: list[Array] = []
        for p in points:
            values.append(calls.perturbed(p))
            if not np.isfinite(values[-1]).all():
                break
        else:
            return points, np.stack(values)
    return points, None


def _gradient_or_nan(calls: Calls, theta: Array, like: Array) -> Array:
    """The gradient at theta; NaN where it raises, as it may beyond the edge of its domain."""
    try:
        return calls.gradient(theta)
    except ContractError:
        raise
    except Exception:
        return np.full(like.shape, np.nan, theta.dtype)
