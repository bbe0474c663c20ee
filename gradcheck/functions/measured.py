"""Rounding errors of somebody else's function, as far as they are measured before any weight is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradcheck.functions.calls import Calls
from gradcheck.functions.points import Rows
from gradcheck.numerics.measured.noise import Noise, measured_noise
from gradcheck.numerics.measured.scales import scales
from gradcheck.numerics.rounding import VARIANCE, Rounding, unit_roundoff

Array = np.ndarray

# Bytes of gradients that are kept.
KEPT_BYTES = 2**26


def measured_rounding(calls: Calls, theta: Array, value: Array, gradient: Array) -> tuple[list[Rounding], Noise]:
    """The rounding errors of each output, and how its noise was measured.

    The noise of the gradient is a few units of its last place, as of any correct one; more is measured where it matters.
    """
    u = unit_roundoff(theta.dtype)
    length = scales(calls.parameters.layout, theta)
    # the last operation rounds, in the type in which the value was returned
    returned = calls.precision or theta.dtype
    floor = np.spacing(np.abs(value).astype(returned)).astype(np.float64) / 2 * VARIANCE**0.5
    low = np.full(theta.size, -np.inf) if calls.low is None else calls.low
    high = np.full(theta.size, np.inf) if calls.high is None else calls.high
    noise = measured_noise(lambda points: calls.many(Rows(points)), theta, length, (low, high), floor, np.abs(value))
    rows = np.abs(np.where(np.isfinite(gradient), gradient, 0.0)).astype(np.float64)
    own = 2 * max(u, unit_roundoff(returned), unit_roundoff(calls.given or theta.dtype)) * rows
    zero = np.zeros(theta.size)
    return [
        Rounding(float(s), np.full(theta.size, float(s)), own[k], zero, length, u)
        for k, s in enumerate(noise.deviation)
    ], noise


@dataclass(eq=False)
class Gradients:
    """The claimed gradients of all outputs beside theta, each asked for once: all outputs are looked at on the same line.

    outputs : how many.   kept : those of the last points, by the bits of the point.
    """

    calls: Calls
    outputs: int
    kept: dict[bytes, Array] = field(default_factory=dict)

    def at(self, theta: Array, output: int) -> Array:
        """One output's gradient at theta; NaN where it raises, as it may beyond the edge of its domain."""
        key = theta.tobytes()
        if key not in self.kept:
            if (len(self.kept) + 1) * self.outputs * theta.nbytes > KEPT_BYTES and self.kept:
                self.kept.pop(next(iter(self.kept)))
            self.kept[key] = self._called(theta)
        return self.kept[key][output]

    def _called(self, theta: Array) -> Array:
        try:
            return self.calls.gradient(theta)
        except Exception:  # the caller's function may raise anything
            return np.full((self.outputs, theta.size), np.nan, theta.dtype)
