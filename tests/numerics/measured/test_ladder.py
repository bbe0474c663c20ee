"""What quotients at several steps say of each other: order, truncation, kinks; and windows around a weight."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.numerics.measured import window
from gradcheck.numerics.measured.ladder import appraised, jump_seen, order
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.pool import LEAST, pairs, pooled

U = 2.0**-53


def line(f: Callable[[float], float], steps: list[float], x: float = 0.0, noise: float = 1e-16) -> Line:
    made = Line(x, 1.0, U, noise=noise, degrees=math.inf, floor=noise)
    for h in steps:
        told(made, f, [h, -h])
    return made


def told(made: Line, f: Callable[[float], float], offsets: list[float]) -> None:
    made.changes.update({t: f(made.x + t) - f(made.x) for t in offsets})


def rungs(made: Line, steps: list[float]) -> list[Rung]:
    found = [made.rung(h, 0) for h in steps]
    assert None not in found
    return [r for r in found if r is not None]


STEPS = [2.0**-k for k in (9, 7, 5, 3)]


@given(a=st.floats(0.3, 3.0), b=st.floats(-1.0, 1.0))
def test_a_smooth_loss_has_the_order_two(a: float, b: float) -> None:
    made = line(lambda x: math.exp(a * x) + b * x, STEPS[:3])
    assert order(rungs(made, STEPS[:3]), [1e-13] * 3) == 2.0


@pytest.mark.parametrize("power", [1.5, 1.3, 1.1])
@pytest.mark.parametrize("side", [0.7, -1.0])
def test_a_singularity_has_its_own_order(power: float, side: float) -> None:
    """abs(t)**p on one side has quotients c h**(p - 1): they fall far more slowly than h**2."""
    made = line(lambda x: side * max(x, 0.0) ** power + 0.2 * x, STEPS)
    assert order(rungs(made, STEPS), [1e-13] * 4) <= power - 1 + 1e-9


@given(a=st.floats(0.3, 3.0), power=st.sampled_from([3, 4, 5]), c=st.floats(-2.0, 2.0))
def test_the_bound_of_every_rung_contains_the_derivative(a: float, power: int, c: float) -> None:
    # no step above a tenth of the scale of exp(a x)
    made = line(lambda x: math.exp(a * x) + c * x**power, STEPS[:3], x=0.5)
    true = a * math.exp(a * 0.5) + c * power * 0.5 ** (power - 1)
    for found in appraised(made, rungs(made, STEPS[:3])):
        assert abs(found.value - true) <= found.bound


@given(jump=st.floats(0.01, 10.0), curvature=st.floats(-3.0, 3.0), noise=st.sampled_from([1e-16, 1e-10, 1e-6]))
def test_a_kink_at_theta_is_seen_and_its_size_is_right(jump: float, curvature: float, noise: float) -> None:
    near, far = rungs(line(lambda x: jump / 2 * abs(x) + curvature * x * x, STEPS[1:3], noise=noise), STEPS[1:3])[::-1]
    seen = jump_seen(*sorted((near, far)), noise)
    if jump > 100 * noise / STEPS[2] and jump > 4 * abs(curvature) * STEPS[1]:
        assert seen == pytest.approx(jump / 2, rel=1e-6)


@given(curvature=st.floats(-100.0, 100.0), third=st.floats(-100.0, 100.0))
def test_no_kink_is_seen_in_a_smooth_loss(curvature: float, third: float) -> None:
    made = line(lambda x: curvature * x * x + third * x**3 + x, STEPS[:2], noise=1e-14)
    near, far = rungs(made, STEPS[:2])
    assert jump_seen(near, far, 1e-14) == 0.0


# --- windows ----------------------------------------------------------------------------------------------------------


def looked(
    f: Callable[[float], float], step: float, x: float = 0.5, noise: float = 1e-16, side: int = 0
) -> window.Window:
    made = Line(x, 1.0, U, noise=noise, degrees=13.0, floor=1e-17)
    step = made.on_grid(step)
    told(made, f, window.points(made, step, side))
    return window.look(made, step, side)


@pytest.mark.parametrize("side", [0, 1, -1])
@given(a=st.floats(0.3, 3.0))
def test_a_smooth_loss_makes_a_good_window_with_the_right_slope(side: int, a: float) -> None:
    found = looked(lambda x: math.exp(a * x), 1e-3, side=side, noise=1e-15)
    assert found.state == "good"
    # the cubic neglects the fifth derivative at the step of 1e-3, on one side the fourth at twice that
    assert found.slope == pytest.approx(a * math.exp(a / 2), abs=20 * found.error + 1e-7)


@given(jump=st.floats(0.1, 10.0), slope=st.floats(-3.0, 3.0))
def test_a_kink_at_theta_is_told_from_structure(jump: float, slope: float) -> None:
    found = looked(lambda x: jump / 2 * abs(x - 0.5) + slope * x + x * x, 1e-3)
    assert found.state == "kink"
    assert found.jump == pytest.approx(jump / 2, rel=1e-2)


@given(part=st.floats(0.3, 0.7), sign=st.sampled_from([1, -1]), jump=st.floats(0.1, 10.0))
def test_a_kink_beside_theta_makes_no_good_window_or_a_noisy_one(part: float, sign: int, jump: float) -> None:
    step = 1e-3
    found = looked(lambda x: jump * abs(x - 0.5 - sign * part * step) + x * x, step)
    # by itself one side has a residual that looks like noise; that noise is then of the size of what the kink bends
    assert found.state != "good" or found.noise > 0.01 * jump * step


def test_constant_values_are_a_plateau_and_what_is_not_finite_is_said() -> None:
    assert looked(lambda x: round(x, 1), 1e-3).state == "plateau"
    assert looked(lambda x: math.log(x - 0.4999) if x > 0.4999 else math.nan, 1e-3).state == "not finite"


@pytest.mark.parametrize("sigma", [1e-12, 1e-8])
def test_the_noise_of_a_window_is_that_which_is_there(sigma: float) -> None:
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        found.append(looked(lambda x, rng=rng: math.sin(x) + sigma * rng.normal(), 1e-3, noise=1e-16).noise / sigma)
    # the difference from the loss at theta, itself noisy, is common to all points and goes into the constant
    assert 0.7 < np.median(found) < 1.3


# --- many weights -----------------------------------------------------------------------------------------------------


def pool(count: int, sigma: float, known: float, kinks: int = 0, seed: int = 0) -> list[Line]:
    rng = np.random.default_rng(seed)
    lines, both = [], []
    for k in range(count):
        made = Line(0.5, 1.0, U, noise=known, degrees=13.0, floor=1e-17)
        jump = float(k < kinks)
        for t in (1e-4, -1e-4, 4e-4, -4e-4):
            made.changes[t] = (0.3 + k) * t + 0.7 * t * t + jump * abs(t) + sigma * rng.normal()
        lines.append(made)
        both.append(rungs(made, [1e-4, 4e-4]))
    pooled(lines, pairs(lines, both))
    return lines


@pytest.mark.parametrize("kinks", [0, 5])
def test_many_weights_know_the_noise_better_than_one_line(kinks: int) -> None:
    lines = pool(60, 1e-10, 1.5e-10, kinks)
    assert all(made.degrees > 30 for made in lines)
    assert lines[0].noise == pytest.approx(1e-10, rel=0.4)
    assert len({made.noise for made in lines}) == 1


def test_few_weights_and_contradictions_leave_the_noise_of_the_line() -> None:
    assert {made.noise for made in pool(LEAST - 1, 1e-10, 1.5e-10)} == {1.5e-10}
    # a hundred times more is curvature or a kink of most weights, not noise
    assert {made.noise for made in pool(60, 1e-8, 1e-10)} == {1e-10}
