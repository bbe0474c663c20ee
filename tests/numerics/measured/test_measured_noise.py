"""The noise of a function that somebody else wrote, measured on a line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exact import LONG, U
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.numerics.measured import near_line, noise

Array = np.ndarray
SMOOTH = near_line.JUDGED


def measured(loss: Callable[[Array], float], theta: Array, low: float = -np.inf, high: float = np.inf) -> noise.Noise:
    limits = np.full(theta.size, low), np.full(theta.size, high)
    floor = np.full(1, U[theta.dtype] * abs(float(loss(theta))) / 3**0.5)
    return noise.measured_noise(
        lambda points: np.stack([np.atleast_1d(loss(x)) for x in points]),
        theta,
        np.abs(theta.astype(float)),
        limits,
        floor,
        np.abs(np.atleast_1d(loss(theta))),
    )


@pytest.mark.parametrize("sigma", [1e-3, 1e-12, 1e-200])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_a_difference_table_recovers_a_planted_noise(sigma: float, kind: str) -> None:
    rng = np.random.default_rng(0)
    x = np.arange(SMOOTH)
    shape = (2000, SMOOTH)
    planted = rng.normal(size=shape) if kind == "normal" else rng.uniform(-1, 1, shape) * 3**0.5
    smooth = sigma * (5 + 0.3 * x + 0.01 * x**2)
    found = np.array([noise.table(smooth + sigma * row) for row in planted]) / sigma
    # unbiased in its square from the third order on, where the polynomial is gone
    assert np.sqrt(np.mean(found[:, 2:] ** 2, axis=0)) == pytest.approx(np.ones(found.shape[1] - 2), abs=0.1)


def test_without_noise_a_polynomial_of_second_degree_leaves_nothing() -> None:
    x = np.arange(SMOOTH, dtype=float)
    assert (noise.table(3 + 2 * x + x**2)[2:] == 0).all()
    assert noise.table(x**3)[2] > 1


@pytest.mark.parametrize("sigma", [1e-3, 1e-12, 1e-200])
def test_the_residual_of_a_polynomial_is_the_planted_deviation(sigma: float) -> None:
    rng, places = np.random.default_rng(1), np.array(near_line.PLACES)
    smooth = sigma * (5 + 0.3 * places - 0.02 * places**4)
    found = np.array([noise.residual(smooth + sigma * rng.normal(size=noise.POINTS)) for _ in range(2000)]) / sigma
    # 13 degrees of freedom: the mean square of 2,000 of them is known to 2 / sqrt(26,000), 1.2%
    assert np.mean(found**2) == pytest.approx(1, abs=0.05)
    assert noise.residual(smooth) < 1e-11 * sigma


@given(st.integers(0, 2**32 - 1))
def test_noise_settles_and_a_smooth_function_does_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(SMOOTH) / SMOOTH
    assert not noise.settled(np.exp(rng.uniform(0.5, 2) * x))
    assert noise.settled(1 + 1e-3 * x + 1e-4 * np.where(np.arange(SMOOTH) % 2, 1.0, -1.0) * rng.uniform(0.5, 1))


def test_noise_nearly_always_settles() -> None:
    rng = np.random.default_rng(2)
    assert np.mean([noise.settled(rng.normal(size=SMOOTH)) for _ in range(500)]) > 0.9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0] * 8, True),
        ([1, 1, 1, 1, 1, 2, 2, 2], True),
        ([1, 1, 2, 2, 3, 3, 4, 4], True),
        ([1, 2, 3, 4, 5, 6, 7, 7], False),
        ([1, 2, 1, 2, 1, 2, 1, 2], False),
    ],
)
def test_a_plateau_is_where_half_of_the_neighbours_are_equal(values: list[float], expected: bool) -> None:
    assert noise.plateau(np.array(values, float)) is expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cancelled", [1.0, 1e3])
def test_the_measured_noise_of_a_function_is_its_rounding_noise(dtype: type, cancelled: float) -> None:
    """(c + f) - c rounds c + f: a uniform error of one spacing, whose standard deviation is known."""
    c, found = dtype(cancelled), []
    for seed in range(20):
        theta = np.random.default_rng(seed).uniform(0.3, 1.5, 3).astype(dtype)
        found.append(measured(lambda p: (c + np.sin(p).sum()) - c, theta).deviation[0])
    expected = float(np.spacing(c + dtype(2))) / math.sqrt(12)
    # the rounding of the three sines and their sum, less than one unit each, comes on top
    assert expected / 2 < np.median(found) < 2 * (expected + 4 * U[np.dtype(dtype)])


@given(
    digits=st.integers(3, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_function_that_prints_few_digits_has_the_noise_of_its_last_one(digits: int, seed: int) -> None:
    theta = np.random.default_rng(seed).uniform(0.3, 1.2, 3)
    found = measured(lambda x: float(f"{1 + np.sin(x).sum():.{digits}e}"), theta)
    # the value is in 1 ... 4, so its last digit is 10**-digits, rounded uniformly
    expected = 10.0**-digits / math.sqrt(12)
    assert expected / 4 < found.deviation[0] < 4 * expected
    assert found.degrees >= 13


@given(sigma=st.sampled_from([1e-12, 1e-8, 1e-4]), seed=st.integers(0, 2**32 - 1))
def test_white_noise_is_measured_as_what_it_is(sigma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = measured(lambda x: float(np.exp(x).sum() + sigma * rng.normal()), rng.uniform(-1, 1, 4))
    # a deviation of 13 degrees of freedom lies outside of this once in ten thousand times
    assert sigma / 3 < found.deviation[0] < 3 * sigma


@pytest.mark.parametrize(
    ("loss", "theta", "most"),
    [
        # equal rises, to the bit, call for no smaller spacing: only points at other distances show the rounding
        (lambda x: x[0], [1.3], noise.POINTS),
        # what a polynomial of higher degree explains needs no search for a jump
        (lambda x: 1 + math.sin(7e4 * x[0]), [0.7], noise.POINTS + 2),
    ],
)
def test_the_noise_of_a_smooth_loss_takes_few_points(loss: Any, theta: list[float], most: int) -> None:
    calls = []
    found = measured(lambda x: calls.append(1) or loss(x), np.array(theta))
    # two of them are the test's own
    assert len(calls) - 2 <= most
    assert found.deviation[0] < 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64, LONG])
def test_every_point_of_a_line_is_exact_in_every_coordinate(dtype: type) -> None:
    theta = np.array([1.5, -3e4, 1e-6, 0.0], dtype)
    reach = np.array([1.5, -1.5e4, 0.7e-6, -1.0])
    beside, part = near_line.steps_along(theta, reach, noise.SPACING * U[np.dtype(dtype)], U[np.dtype(dtype)])
    points = np.array([near_line.on_line(theta, beside, part, [place])[0] for place in near_line.PLACES])
    for place, point in zip(near_line.PLACES, points, strict=True):
        # no rounding: the distance between two points is so many parts to the bit
        assert ((point - points[0]).astype(LONG) == round(place * near_line.PARTS) * part.astype(LONG)).all()
    assert len({point.tobytes() for point in points}) == noise.POINTS
    assert (np.sign(part) == np.sign(reach)).all()


@pytest.mark.parametrize("factor", [3.0, 1e1, 1e2, 1e3])
def test_a_product_with_a_number_of_few_digits_is_rounded_anew_at_each_point(factor: float) -> None:
    rng = np.random.default_rng(int(factor))
    for x in rng.uniform(0.1, 3.0, 20):
        found = measured(lambda p: float(np.sin(factor * p[0])), np.array([x]))
        # half a spacing of the product, uniform, times the slope of the sine
        rounding = np.spacing(factor * x) / 12**0.5 * abs(np.cos(factor * x))
        assert found.deviation[0] > rounding / 4


def test_nothing_outside_the_domain_is_evaluated_and_its_edge_is_no_obstacle() -> None:
    def loss(x: Array) -> float:
        assert (x >= 0).all()
        return float(np.sqrt(x).sum())

    found = measured(loss, np.array([0.0, 1.0, 4.0]), low=0.0)
    assert 0 < found.deviation[0] < 1e-14


def test_where_no_line_is_finite_the_last_rounding_is_what_is_known() -> None:
    theta = np.array([1.0, 2.0])
    found = measured(lambda x: 3.0 if (x == theta).all() else math.nan, theta)
    assert found.deviation[0] == U[theta.dtype] * 3.0 / 3**0.5
    assert found.degrees == 3.0
