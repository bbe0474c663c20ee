"""Weights beside the wall of a barrier, beneath a white noise: no larger step is finite, and quotients converge at none."""

from __future__ import annotations

import numpy as np
import pytest
import quietly

Array = np.ndarray


@pytest.mark.parametrize("seed", [33, 38, 77, 89])
def test_an_accusation_at_the_largest_finite_step_is_held_back_where_nothing_converges(seed: int) -> None:
    """At each of these seeds a right gradient was accused before smaller steps were asked."""
    rng = np.random.default_rng(seed)
    x, near, far = rng.uniform(0.5, 1, 20), 10.0 ** rng.uniform(-9, -6, 20), 10.0 ** rng.uniform(-5, -3, 20)
    size, low, high = 10.0 ** rng.uniform(-3, 0), x - near, x + far

    def loss(p: Array) -> float:
        noise = np.random.default_rng(p.view(np.uint64)).uniform(-1, 1)
        return float(-np.sum(np.log(p - low) + np.log(high - p))) + size * noise

    r = quietly.check(loss, lambda p: -1 / (p - low) + 1 / (high - p), x)
    assert r.count("mismatch") == 0, str(r)
