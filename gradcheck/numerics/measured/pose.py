"""A loss without an error analysis as a problem: its noise is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.numerics.layout import Layout
from gradcheck.numerics.measured.noise import Noise, measured_noise
from gradcheck.numerics.measured.scales import scales
from gradcheck.numerics.problem import Losses, Measured, Problem
from gradcheck.numerics.rounding import VARIANCE, Rounding, unit_roundoff

Array = np.ndarray


def around(
    layout: Layout,
    theta: Array,
    loss: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
) -> Problem:
    """A loss of many weights around theta as a problem, with a gradient that is known to be right.

    loss, gradient : at any theta, in its dtype.
    """
    length, claim = scales(layout, theta), gradient(theta)
    noise = _noise(loss, theta, length)
    unit = unit_roundoff(theta.dtype)
    size = np.abs(np.where(np.isfinite(claim), claim, 0.0)).astype(np.float64)
    line = np.full(theta.size, noise.deviation[0])
    # even an exact gradient is rounded a few times
    rounding = Rounding(float(noise.deviation[0]), line, 2 * unit * size, np.zeros(theta.size), length, unit)
    return Problem(
        layout=layout,
        theta=theta,
        loss=loss,
        analytic=claim,
        correct=claim,
        rounding=rounding,
        kinked=True,
        measured=Measured(noise.degrees, gradient, float(noise.level[0]), float(noise.power[0]), follows_dtype=True),
    )


def along(
    loss: Callable[[Array], Array],
    dtype: np.dtype,
    slope: float,
    deviation: float,
    length: float,
    kinked: bool = True,
    losses: Losses | None = None,
) -> Problem:
    """phi(t) = loss((t,)) around t = 0 as a problem of one weight.

    slope : the derivative that is claimed, whose rounding error has the standard deviation ``deviation``.
    length : a guess of phi's own scale.   losses : many losses at once, as in ``Problem``.
    """
    zero = np.zeros(1, dtype)
    noise = _noise(loss, zero, np.full(1, length))
    own, unit = np.full(1, deviation), unit_roundoff(zero.dtype)
    rounding = Rounding(float(noise.deviation[0]), noise.deviation, own, np.zeros(1), np.full(1, length), unit)
    return Problem(
        layout=Layout(("t",), ((),)),
        theta=zero,
        loss=loss,
        perturbed_losses=losses,
        analytic=np.full(1, slope, zero.dtype),
        correct=None,
        rounding=rounding,
        kinked=kinked,
        measured=Measured(noise.degrees, level=float(noise.level[0]), power=float(noise.power[0])),
    )


def _noise(loss: Callable[[Array], Array], theta: Array, length: Array) -> Noise:
    # the last operation of the loss rounds by half a spacing at most
    size = np.full(1, abs(float(loss(theta))))
    floor = unit_roundoff(theta.dtype) * size * VARIANCE**0.5
    everywhere = np.full(theta.size, -np.inf), np.full(theta.size, np.inf)
    return measured_noise(
        lambda points: np.stack([np.atleast_1d(loss(p)) for p in points]), theta, length, everywhere, floor, size
    )
