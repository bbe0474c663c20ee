"""What holds of measured derivatives whatever the function: bounds contain the truth, and claims do not steer the search."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.numerics.measured.noise import POINTS

Array = np.ndarray
some = settings(max_examples=15)

# smooth functions of one number, each written once for mpmath and once for NumPy, by the module of functions
SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "sin": lambda m, t: m.sin(t) + 1.5,
    "exp": lambda m, t: m.exp(t),
    "tanh": lambda m, t: m.tanh(t),
    "bell": lambda m, t: m.exp(-t * t),
    "hill": lambda m, t: 1 / (1 + t * t),
    "root": lambda m, t: m.sqrt(1 + t * t),
}


def hashed(x: float) -> float:
    """White noise that is a function: uniform in [-1, 1], from the bits of x."""
    return int.from_bytes(hashlib.blake2b(np.float64(x).tobytes(), digest_size=6).digest(), "big") / 2**47 - 1


NOISE: dict[str, Callable[[float, float, float], float]] = {
    "none": lambda value, x, sigma: value,
    "white": lambda value, x, sigma: value + sigma * hashed(x),
    "stairs": lambda value, x, sigma: round(value / sigma) * sigma,
    "growing": lambda value, x, sigma: value + sigma * hashed(x) * (1 + 0.1 * abs(value)),
}


def posed(shape: str, kind: str, rate: float, at: float, sigma: float) -> tuple[Callable[[Array], float], float]:
    """A noisy loss of one weight, and the derivative of the smooth one by mpmath at t = rate x."""
    smooth = SHAPES[shape]
    with mp.workdps(40):
        true = float(mp.diff(lambda t: smooth(mp, t), mp.mpf(rate * at)) * rate)
    return lambda x: NOISE[kind](float(smooth(np, rate * x[0])), float(x[0]), sigma), true


@pytest.mark.parametrize("kind", NOISE)
@some
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    rate=st.floats(-3.0, 3.0).map(lambda k: 10.0**k),
    t=st.floats(-1.5, 1.5).filter(lambda t: abs(t) > 1e-3),
    sigma=st.floats(-12.0, -5.0).map(lambda k: 10.0**k),
)
def test_the_bound_contains_the_derivative(kind: str, shape: str, rate: float, t: float, sigma: float) -> None:
    fun, true = posed(shape, kind, rate, t / rate, sigma)
    for factor in (1.0, 1 + 1e-4, 1.5):
        r = gradcheck.check_gradient(fun, lambda x, f=factor: np.array([f * true]), np.array([t / rate]))
        numeric, bound = r.table["numeric"][0], r.table["bound"][0]
        assert abs(numeric - true) <= bound, (factor, str(r))
        if factor == 1.0:
            assert r.count("mismatch") == 0
        # an error above the resolution is no match
        elif abs(factor - 1) > r.table["resolution"][0]:
            assert r.verdict == "mismatch", (factor, str(r))


@some
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    t=st.floats(0.1, 1.5),
    eps=st.floats(-9.0, -1.0).map(lambda k: 10.0**k),
    scheme=st.sampled_from(["central", "forward", "five_point"]),
)
def test_a_given_step_is_the_one_that_is_judged(shape: str, t: float, eps: float, scheme: str) -> None:
    fun, true = posed(shape, "none", 1.0, t, 1.0)
    r = gradcheck.check_gradient(fun, lambda x: np.array([true]), np.array([t]), eps=eps, scheme=scheme)
    # the point is rounded to a number of the dtype, by half a spacing
    assert r.table["step"][0] == pytest.approx(eps, abs=np.spacing(t + eps))
    assert abs(r.table["numeric"][0] - true) <= r.table["bound"][0]
    if scheme == "central":
        h = r.table["step"][0]
        x = np.array([t])
        assert r.table["numeric"][0] == pytest.approx((fun(x + h) - fun(x - h)) / (2 * h), rel=1e-5, abs=1e-15 / h)
    assert r.verdict != "mismatch"


@pytest.mark.parametrize("kind", NOISE)
@some
@given(
    shape=st.sampled_from(sorted(SHAPES)), t=st.floats(0.2, 1.5), wrong=st.tuples(st.floats(1.5, 9), st.floats(1.5, 9))
)
def test_the_order_of_steps_does_not_depend_on_the_claim(
    kind: str, shape: str, t: float, wrong: tuple[float, float]
) -> None:
    fun, true = posed(shape, kind, 1.0, t, 1e-9)
    tried: list[list[float]] = []
    for factor in wrong:
        points: list[float] = []

        def loss(x: Array, points: list[float] = points) -> float:
            points.append(float(x[0]))
            return fun(x)

        gradcheck.check_gradient(loss, lambda x, f=factor: np.array([f * true]), np.array([t]))
        tried.append(points)
    # one claim may end the search before the other; up to there the points are the same
    length = min(map(len, tried))
    assert tried[0][:length] == tried[1][:length]


@pytest.mark.parametrize("sigma", [1e-14, 1e-8])
def test_an_accusation_measures_the_noise_anew_at_its_step(sigma: float) -> None:
    """Sixteen points and more within the step that accuses, and the gradient beside x0."""
    fun, true = posed("exp", "white", 1.0, 0.7, sigma)
    points: list[float] = []

    def loss(x: Array) -> float:
        points.append(float(x[0]))
        return fun(x)

    r = gradcheck.check_gradient(loss, lambda x: 1.5 * np.exp(x), np.array([0.7]))
    assert r.verdict == "mismatch"
    assert abs(r.table["numeric"][0] - true) <= r.table["bound"][0]
    step = r.table["step"][0]
    distances = np.abs(np.array(points) - 0.7)
    assert np.count_nonzero((distances > step / 16) & (distances <= step * (1 + 1e-9))) >= 16
    assert r.njev == 2 + POINTS


def separable(size: int, seed: int) -> tuple[Callable[[Array], float], Callable[[Array], Array], Array]:
    rng = np.random.default_rng(seed)
    a = rng.uniform(0.5, 2.0, size)
    return lambda x: float(np.exp(a * x).sum()), lambda x: a * np.exp(a * x), rng.uniform(-1, 1, size)


def test_thirty_weights_take_six_evaluations_each_in_the_median() -> None:
    found = []
    for seed in range(9):
        fun, jac, x0 = separable(30, seed)
        r = gradcheck.check_gradient(fun, jac, x0)
        assert r.verdict == "match"
        found.append(r.nfev / 30)
    assert np.median(found) <= 6
    assert max(found) <= 10


@pytest.mark.parametrize("size", [1, 2, 5, 10, 19])
def test_few_weights_take_24_evaluations_and_six_each(size: int) -> None:
    found = []
    for seed in range(9):
        fun, jac, x0 = separable(size, seed)
        found.append(gradcheck.check_gradient(fun, jac, x0).nfev)
    assert np.median(found) <= 24 + 6 * size


def test_the_noise_of_a_hash_is_white() -> None:
    values = np.array([hashed(1 + k * math.ulp(1.0)) for k in range(4000)])
    assert abs(values.mean()) < 0.05
    assert values.std() == pytest.approx(3**-0.5, rel=0.05)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.06
