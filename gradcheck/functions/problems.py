"""Somebody else's function and gradient as problems that can be checked, one for each output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from gradcheck.functions.calls import Calls
from gradcheck.functions.measured import Gradients, measured_rounding
from gradcheck.functions.points import Entries
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray

# Evaluations of a function of several outputs that are kept: all outputs are examined at the same points.
CACHED = 200_000


def problems(calls: Calls, theta: Array, value: Array, gradient: Array, seed: int) -> list[Problem]:
    """One problem for each output of the function, whose losses come in batches.  The outputs share their evaluations.

    value, gradient : those at theta, (k,) and (k, size).
    """
    measured, noise = measured_rounding(calls, theta, value, gradient)
    beside = Gradients(calls, len(value))
    known = [
        Measured(noise.degrees, partial(beside.at, output=k), float(noise.level[k]), float(noise.power[k]))
        for k in range(len(value))
    ]
    if len(value) == 1:
        return [_problem(calls, theta, _Losses(calls, theta, value), 0, gradient[0], measured[0], known[0])]
    shared = _Shared(calls, theta, value)
    # the steps are chosen by one noise for all outputs, so that all are evaluated at the same points
    sizes = np.abs(value).astype(np.float64)
    relative = [r.loss / s for r, s in zip(measured, sizes, strict=True) if s > r.loss]
    common = float(np.median(relative)) if relative else 1.0
    posed = [_problem(calls, theta, shared, k, gradient[k], measured[k], known[k]) for k in range(len(value))]
    return [replace(p, relative_noise=common) for p in posed]


def _problem(
    calls: Calls, theta: Array, losses: _Losses, output: int, gradient: Array, rounding: Rounding, known: Measured
) -> Problem:
    return Problem(
        layout=calls.parameters.layout,
        theta=theta,
        loss=losses.loss(output),
        perturbed_losses=losses.perturbed(output),
        analytic=gradient.astype(theta.dtype),
        correct=None,
        rounding=rounding,
        kinked=True,
        measured=known,
        low=calls.low,
        high=calls.high,
    )


@dataclass(eq=False)
class _Losses:
    """The losses around theta, where their values (k,) are known."""

    calls: Calls
    theta: Array
    value: Array

    def loss(self, output: int) -> Callable[[Array], Array]:
        """One output at a point."""

        def at(point: Array) -> Array:
            values: Array = self.value if point is self.theta else self.calls.perturbed(point)
            return values[output]

        return at

    def perturbed(self, output: int) -> Callable[[Array, Array], tuple[Array, Array]]:
        """One output at many points, as ``Problem.perturbed_losses``; opaque losses do not know how kinks bend them."""

        def at(index: Array, points: Array) -> tuple[Array, Array]:
            return self.entries(index, points)[..., output], np.zeros(points.shape)

        return at

    def entries(self, index: Array, points: Array) -> Array:
        """All outputs at theta with entry ``index[r]`` replaced by ``points[r, c]``: (m, c, k)."""
        return self.calls.entries(self.theta, index, points)


@dataclass(eq=False)
class _Shared(_Losses):
    """The same, where every point is evaluated once for all outputs."""

    known: dict[tuple[int, complex], Array] = field(default_factory=dict)

    def entries(self, index: Array, points: Array) -> Array:
        if len(self.known) >= CACHED:
            self.known.clear()
        each, flat = np.repeat(index, points.shape[1]), points.reshape(-1)
        keys = list(zip(each.tolist(), flat.tolist(), strict=True))
        first: dict[tuple[int, complex], int] = {}
        for j, key in enumerate(keys):
            if key not in self.known:
                first.setdefault(key, j)
        if first:
            new = list(first.values())
            self.known.update(zip(first, self.calls.many(Entries(self.theta, each[new], flat[new])), strict=True))
        return np.array([self.known[key] for key in keys]).reshape(*points.shape, len(self.value))
