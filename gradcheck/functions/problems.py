"""Somebody else's function and gradient as problems that can be checked, one for each output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck.functions.calls import Calls
from gradcheck.functions.measured import measured_rounding
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray

# Evaluations of a function of several outputs that are kept: all outputs are examined at the same points.
CACHED = 200_000


def problems(calls: Calls, theta: Array, value: Array, gradient: Array, seed: int) -> list[Problem]:
    """One problem for each output of the function.  The outputs share their evaluations."""
    measured = measured_rounding(calls, theta, value, gradient, seed)
    if len(value) == 1:
        loss = lambda point: calls.perturbed(point)[0]  # noqa: E731
        return [_problem(calls, theta, loss, gradient[0], measured[0])]
    cache: dict[bytes, Array] = {}

    def output(k: int) -> Callable[[Array], Array]:
        def loss(point: Array) -> Array:
            key = point.tobytes()
            if key not in cache:
                if len(cache) >= CACHED:
                    cache.clear()
                cache[key] = calls.perturbed(point)
            return cache[key][k]

        return loss

    # the steps are chosen by one noise for all outputs, so that all are evaluated at the same points
    sizes = np.abs(value).astype(np.float64)
    relative = [DEVIATIONS * r.loss / s for r, s in zip(measured, sizes, strict=True) if s > DEVIATIONS * r.loss]
    common = float(np.median(relative)) if relative else 1.0
    posed = [_problem(calls, theta, output(k), gradient[k], measured[k]) for k in range(len(value))]
    return [replace(p, relative_noise=common) for p in posed]


def _problem(
    calls: Calls, theta: Array, loss: Callable[[Array], Array], gradient: Array, rounding: Rounding
) -> Problem:
    return Problem(
        layout=calls.parameters.layout,
        theta=theta,
        loss=loss,
        analytic=gradient,
        correct=None,
        rounding=rounding,
        kinked=True,
        opaque=True,
        low=calls.low,
        high=calls.high,
    )
