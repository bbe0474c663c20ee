"""Weights beside a wall, a pole or a bound, beneath a white noise: larger steps tell nothing of the slope there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import quietly
import walls
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.numerics.measured.line import Line

Array = np.ndarray

SEEDS = {
    "barrier": (0, 4),
    "bounds": (1, 8),
    "poles": (0, 191),
    "clipped": (22,),
    "roots": (8, 9),
    "entropy": (5, 25),
}


@pytest.mark.parametrize("kind", walls.KINDS)
def test_no_right_gradient_is_accused_beside_a_wall(kind: str) -> None:
    """At most of these seeds a right gradient was accused before a wall limited the steps that are believed."""
    for seed in SEEDS.get(kind, (0,)):
        of = walls.walled(kind, seed)
        r = quietly.check(of.fun, of.jac, of.x, **of.keys)
        assert r.count("mismatch") == 0, f"{seed}: {r}"


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


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([-1.0, 0.5, 1.1, 3.0]))
def test_a_wrong_gradient_beside_a_wall_is_still_found_without_noise(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    x, near = rng.uniform(0.5, 1, 6), 10.0 ** rng.uniform(-4, -1, 6)
    r = quietly.check(lambda p: -np.sum(np.log(p - (x - near))), lambda p: -factor / (p - (x - near)), x)
    assert r.count("mismatch") == 6, str(r)


def test_a_weight_has_room_up_to_the_nearest_wall_that_is_known() -> None:
    assert Line(2.0, 1.0, 2.0**-53).room == 2.0
    assert Line(0.0, 1.0, 2.0**-53).room == math.inf
    assert Line(2.0, 1.0, 2.0**-53, below=0.5, above=0.0).room == 0.5
    line = Line(2.0, 1.0, 2.0**-53)
    line.changes |= {-0.25: math.nan, 0.75: math.inf, 0.125: 1.0}
    assert line.room == 0.25
