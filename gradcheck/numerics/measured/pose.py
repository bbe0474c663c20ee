"""A loss of one number as a problem, its noise measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.numerics.layout import Layout
from gradcheck.numerics.measured.noise import measured_noise
from gradcheck.numerics.problem import Losses, Measured, Problem
from gradcheck.numerics.rounding import VARIANCE, Rounding, unit_roundoff

Array = np.ndarray


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
    unit = unit_roundoff(zero.dtype)
    floor = np.full(1, unit * abs(float(loss(zero))) * VARIANCE**0.5)
    everywhere = np.full(1, -np.inf), np.full(1, np.inf)
    noise = measured_noise(lambda t: np.atleast_1d(loss(t)), zero, np.full(1, length), everywhere, floor)
    own = np.full(1, deviation)
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
        measured=Measured(noise.degrees),
    )
