"""The truncation of the steps of a ladder, seen from their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.numerics.ladder import CENTRAL, truncations
from gradcheck.numerics.quotients import Quotients


@pytest.mark.parametrize("start", [1e-4, 1e-2, 1.0, 1e2])
def test_bounds_hold_whatever_the_noise_of_each_step_is(start: float) -> None:
    """Quotients T r**(2 k) + e_k, where each e_k is anything up to the noise, which falls with the step.

    start : the truncation T of the smallest step, in units of its noise.
    """
    rng, steps, gain = np.random.default_rng(int(1e6 * start)), 5, CENTRAL.ratio**CENTRAL.order
    noise = np.broadcast_to(CENTRAL.ratio ** -np.arange(steps, dtype=float), (4000, steps))
    # many errors are as large as they may be
    part = np.clip(rng.uniform(-1.5, 1.5, noise.shape), -1, 1)
    error = start * gain ** np.arange(steps) + part * noise
    nothing = np.zeros(noise.shape)
    found = Quotients(error, noise, nothing, nothing, nothing == 0, nothing > 0)
    multiples = CENTRAL.ratio ** np.arange(steps, dtype=float)
    none = np.zeros(len(noise), dtype=bool)
    bound = noise + truncations(multiples, found, CENTRAL, np.full(len(noise), np.inf), none)
    # where both steps err by all of their noise, n / 4 and n, the truncation lacks (n + n / 4 - n / 2) / (gain - 1) = n / 20; a
    # step that is judged by a smaller one lacks what that one lacks
    assert (np.abs(error) <= bound + 1.001 * noise[:, :1] / 20).all()
