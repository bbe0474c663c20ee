"""Functions as other people write them: no right gradient is accused, and no visible error is missed.

Scales far from abs(x), few digits, saturation, gradients that round badly, kinks at x0 and beside it: each at its least input,
and at random scales and positions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import ContractError
from gradcheck.functions.outcome import Outcome

Array = np.ndarray
few = settings(max_examples=12)


def check(fun: Callable[..., Any], jac: Callable[..., Any], x0: Any, **keys: Any) -> Outcome:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return gradcheck.check_gradient(fun, jac, np.asarray(x0, dtype=keys.pop("dtype", float)), **keys)


def verdicts(r: Outcome) -> list[str]:
    return list(r.table["verdict"])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# ------------------------------------------------------------------------------------------- the scale of each weight


@few
@given(far=st.floats(3.0, 9.0), slope=st.floats(-9.0, -3.0))
@example(far=9.0, slope=-9.0)
def test_a_large_weight_does_not_give_its_scale_to_a_small_one(far: float, slope: float) -> None:
    c = 10.0**slope
    r = check(lambda x: np.sin(x[0]) + c * x[1], lambda x: np.array([np.cos(x[0]), c]), [1.0, 10.0**far])
    # the second weight changes the loss by c x at most; its noise is that of a loss of about 1
    assert r.verdict == "match", str(r)


@few
@given(large=st.floats(6.0, 12.0), small=st.floats(-12.0, -6.0))
@example(large=12.0, small=-12.0)
def test_square_roots_of_24_decades(large: float, small: float) -> None:
    r = check(lambda x: np.sqrt(x).sum(), lambda x: 0.5 / np.sqrt(x), [10.0**large, 10.0**small, 1.0])
    assert r.count("mismatch") == 0, str(r)
    assert verdicts(r)[0] == "match"
    # h / x of the smallest is 1e-2 at least where the noise of the sum is below 1e-4 of the root itself
    if 2.0**-53 * 10 ** (large / 2) < 1e-7 * 10 ** (small / 2):
        assert r.verdict == "match", str(r)


@few
@given(decades=st.floats(2.0, 6.0), x=st.floats(0.1, 3.0))
@example(decades=6.0, x=0.7)
def test_rates_of_twelve_decades_in_one_array(decades: float, x: float) -> None:
    k = 10.0 ** np.linspace(-decades, decades, 13)
    r = check(lambda x: np.sin(k * x + 0.3).sum(), lambda x: k * np.cos(k * x + 0.3), np.full(13, x))
    assert r.count("mismatch") == 0, str(r)
    assert r.judged >= 0.9, str(r)
    wrong = check(lambda x: np.sin(k * x + 0.3).sum(), lambda x: 1.1 * k * np.cos(k * x + 0.3), np.full(13, x))
    assert wrong.verdict == "mismatch"
    assert wrong.count("match") == 0


@few
@given(apart=st.floats(-8.0, -3.0), a=st.floats(0.1, 9.0), sign=st.sampled_from([1.0, -1.0]))
@example(apart=-8.0, a=0.7, sign=1.0)
def test_beside_a_pole(apart: float, a: float, sign: float) -> None:
    x0 = a + sign * 10.0**apart
    r = check(lambda x: 1 / (x[0] - a), lambda x: -1 / (x - a) ** 2, [x0])
    assert r.count("mismatch") == 0, str(r)
    assert check(lambda x: 1 / (x[0] - a), lambda x: -2 / (x - a) ** 2, [x0]).count("match") == 0


@few
@given(scale=st.floats(-8.0, -2.0), at=st.floats(-1.5, 1.5), a=st.floats(-3.0, 3.0))
@example(scale=-8.0, at=0.3, a=0.7)
@example(scale=-8.0, at=0.5, a=0.0)
def test_a_step_far_narrower_than_the_weight(scale: float, at: float, a: float) -> None:
    d = 10.0**scale
    r = check(lambda x: np.tanh((x[0] - a) / d), lambda x: (1 - np.tanh((x - a) / d) ** 2) / d, [a + at * d])
    assert r.count("mismatch") == 0, str(r)


def test_a_rate_of_a_hundred_million_at_zero() -> None:
    r = check(lambda w: np.tanh(1e8 * w[0] + 0.5), lambda w: 1e8 * (1 - np.tanh(1e8 * w + 0.5) ** 2), [0.0])
    assert r.count("mismatch") == 0, str(r)


@few
@given(mean=st.floats(3.0, 7.0), seed=st.integers(0, 99))
@example(mean=7.0, seed=0)
def test_the_location_of_a_sample_far_from_zero(mean: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = 10.0**mean + rng.normal(size=50)
    r = check(
        lambda m: 0.5 * ((data - m[0]) ** 2).sum(),
        lambda m: (m - data).sum(keepdims=True),
        [data.mean() + rng.normal()],
    )
    assert r.count("mismatch") == 0, str(r)


# ---------------------------------------------------------------------------------------------------------- few digits


@few
@given(digits=st.integers(5, 9), seed=st.integers(0, 99))
@example(digits=6, seed=0)
def test_a_loss_that_is_printed_with_few_digits(digits: int, seed: int) -> None:
    x0 = np.random.default_rng(seed).uniform(0.2, 1.2, 3)
    r = check(lambda x: float(f"{np.sum(np.sin(x)):.{digits}g}"), np.cos, x0)
    assert r.count("mismatch") == 0, str(r)
    assert set(r.table["reason"]) <= {None, "noise"}
    if digits >= 6:
        wrong = check(lambda x: float(f"{np.sum(np.sin(x)):.{digits}g}"), lambda x: 1.5 * np.cos(x), x0)
        assert wrong.verdict == "mismatch", str(wrong)


@few
@given(digits=st.integers(5, 10), x=st.floats(0.3, 3.0))
@example(digits=8, x=1.3)
def test_a_loss_that_is_rounded(digits: int, x: float) -> None:
    r = check(lambda x: round(float(x[0] ** 2), digits), lambda x: 2 * x, [x])
    assert r.count("mismatch") == 0, str(r)


@few
@given(seed=st.integers(0, 99))
def test_float32_inside_and_float64_outside(seed: int) -> None:
    x0 = np.random.default_rng(seed).uniform(0.2, 1.2, 4)
    r = check(lambda x: float(np.sin(x.astype(np.float32)).sum()), np.cos, x0)
    assert r.verdict == "match", str(r)


def fixed_point(x: Array, tolerance: float) -> float:
    z = 0.0
    while abs(0.5 * math.cos(z) + float(x[0]) - z) > tolerance:
        z = 0.5 * math.cos(z) + float(x[0])
    return z


def adjoint(x: Array) -> Array:
    return np.array([1 / (1 + 0.5 * math.sin(fixed_point(x, 1e-15)))])


def test_a_smooth_bias_of_a_solver_is_a_mismatch_that_says_so_and_accept_takes_it() -> None:
    def loss(x: Array) -> float:
        # the tolerance bends the derivative by 1.6e-8 of itself, smoothly
        return fixed_point(x, 1e-14) * (1 + 1.6e-8)

    r = check(loss, adjoint, [0.7])
    assert r.verdict == "mismatch"
    assert "they agree to 1.6e-08: if fun iterates to a tolerance, that is it" in str(r)
    assert check(loss, adjoint, [0.7], accept=1e-6).verdict == "match"


@few
@given(x=st.floats(0.1, 1.4))
def test_a_solver_whose_number_of_iterations_varies(x: float) -> None:
    """Its noise is a saw: one iteration more or less, wherever x moves."""

    def loss(x: Array) -> float:
        z, tolerance = 0.0, 1e-6 * (1 + 0.9 * math.sin(1e9 * float(x[0])))
        while abs(0.5 * math.cos(z) + float(x[0]) - z) > tolerance:
            z = 0.5 * math.cos(z) + float(x[0])
        return z

    r = check(loss, adjoint, [x])
    assert r.count("mismatch") == 0, str(r)


# --------------------------------------------------------------------------------- saturation, and the gradient's noise


@few
@given(w=st.floats(20.0, 36.0))
@example(w=30.0)
def test_the_plateau_of_the_textbook_log_loss(w: float) -> None:
    r = check(lambda w: -np.log(1 - sigmoid(w[0])), sigmoid, [w])
    assert r.count("mismatch") == 0, str(r)


@few
@given(w=st.floats(10.0, 36.0))
@example(w=25.0)
@pytest.mark.parametrize("scheme", ["central", "complex_step"])
def test_a_gradient_that_cancels_is_not_accused_for_its_rounding(scheme: str, w: float) -> None:
    r = check(lambda w: np.log(1 + np.exp(-w[0])), lambda w: sigmoid(w) - 1, [w], scheme=scheme)
    assert r.count("mismatch") == 0, str(r)


@few
@given(w=st.floats(-0.5, 0.5), rate=st.floats(3.0, 6.0))
@example(w=0.0, rate=6.0)
def test_noise_that_grows_with_the_step(w: float, rate: float) -> None:
    k = 10.0**rate

    def margin(w: float) -> float:
        return (k + 0.7) * w - k * w

    r = check(
        lambda w: np.logaddexp(0, -margin(w[0])), lambda w: np.array([-0.7 * sigmoid(np.array(-0.7 * w[0]))]), [w]
    )
    assert r.count("mismatch") == 0, str(r)
    assert r.table["abs_err"][0] <= r.table["bound"][0]


# ---------------------------------------------------------------------------------------------------- misses and kinks


@few
@given(other=st.floats(-2.0, 2.0).filter(lambda x: abs(x) > 1e-6), wrong=st.floats(0.6, 3.0))
@example(other=0.3, wrong=1.0)
def test_a_gradient_that_is_wrong_at_x0_alone_is_found(other: float, wrong: float) -> None:
    r = check(lambda x: np.logaddexp(0, x).sum(), lambda x: np.where(x == 0, wrong, sigmoid(x)), [0.0, other])
    assert verdicts(r) == ["mismatch", "match"], str(r)


@few
@given(outside=st.floats(1.01, 10.0), sign=st.sampled_from([1.0, -1.0]), scale=st.floats(-3.0, 3.0))
@example(outside=5.0, sign=1.0, scale=0.0)
def test_an_impossible_subgradient_is_a_mismatch(outside: float, sign: float, scale: float) -> None:
    c = 10.0**scale
    r = check(lambda x: c * abs(x).sum(), lambda x: c * np.where(x == 0, sign * outside, np.sign(x)), [0.0, 0.3])
    assert verdicts(r) == ["mismatch", "match"], str(r)


@few
@given(inside=st.floats(-0.99, 0.99), scale=st.floats(-3.0, 3.0))
@example(inside=0.0, scale=0.0)
def test_a_valid_subgradient_is_between_the_slopes(inside: float, scale: float) -> None:
    c = 10.0**scale
    r = check(lambda x: c * abs(x).sum(), lambda x: c * np.where(x == 0, inside, np.sign(x)), [0.0, 0.3])
    assert verdicts(r) == ["nondifferentiable", "match"], str(r)
    assert r.table["reason"][0] == "corner"
    assert r.ok
    assert "between the slopes on both sides" in str(r)


@pytest.mark.parametrize("claimed", [0.0, 0.5, 1.0])
def test_relu_at_zero_has_any_slope_from_0_to_1(claimed: float) -> None:
    r = check(lambda x: np.maximum(x, 0).sum(), lambda x: np.where(x == 0, claimed, x > 0), [0.0, 0.3])
    assert r.ok, str(r)
    assert verdicts(r)[1] == "match"
    assert r.count("mismatch") == 0


@few
@given(
    k=st.floats(-9.0, -5.0),
    a=st.floats(0.1, 3.0),
    side=st.sampled_from([1.0, -1.0]),
    x=st.sampled_from([1.0, 0.3, 2.7]),
)
@example(k=-9.0, a=2.0, side=1.0, x=1.0)
@example(k=-5.0, a=2.0, side=1.0, x=1.0)
def test_a_kink_between_x0_and_the_step(k: float, a: float, side: float, x: float) -> None:
    at = x + side * 10.0**k
    r = check(lambda x: 1 + np.sin(x[0]) + a * abs(x[0] - at), lambda x: np.cos(x) + a * np.sign(x - at), [x])
    assert r.count("mismatch") == 0, str(r)


# ---------------------------------------------------------------------------------------------------- the function's use


def test_a_function_that_does_not_use_its_argument_is_refused() -> None:
    weights = np.ones(3)
    with pytest.raises(ContractError, match="same value"):
        check(lambda x: (weights**2).sum(), lambda x: 2 * weights, weights)


def float32_net(seed: int) -> tuple[Callable[[Array], Any], Callable[[Array], Array], Array]:
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=20).astype(np.float32)

    def loss(p: Array) -> Any:
        p = p.astype(np.float32)
        h = np.tanh(X @ p[:12].reshape(3, 4) + p[12:16])
        return ((h @ p[16:20] + p[20] - y) ** 2).mean(dtype=np.float32)

    def gradient(p: Array) -> Array:
        p = p.astype(np.float32)
        h = np.tanh(X @ p[:12].reshape(3, 4) + p[12:16])
        e = (h @ p[16:20] + p[20] - y) * np.float32(2 / 20)
        dh = np.outer(e, p[16:20]) * (1 - h * h)
        return np.concatenate([(X.T @ dh).ravel(), dh.sum(0), h.T @ e, [e.sum()]]).astype(np.float32)

    return loss, gradient, rng.normal(size=21) * 0.5


def test_float32_nets_are_judged() -> None:
    """Of the entries above 1e-2 of the largest, nine of ten match at 5e-2."""
    counted = matching = 0
    for seed in range(6):
        loss, gradient, p = float32_net(seed)
        r = check(loss, gradient, p, dtype=np.float32, match_at=5e-2)
        assert r.count("mismatch") == 0, str(r)
        g = np.abs(np.array(r.table["analytic"]))
        large = g > 1e-2 * g.max()
        counted += int(large.sum())
        matching += int((np.array(verdicts(r), dtype=object)[large] == "match").sum())
    assert matching >= 0.9 * counted
    loss, gradient, p = float32_net(0)
    assert check(loss, lambda p: 1.5 * gradient(p), p, dtype=np.float32).verdict == "mismatch"


def test_almost_nothing_judged_is_not_ok() -> None:
    x0 = np.linspace(0.3, 2, 10)
    r = check(
        lambda x: np.sin(x[0]) + 1e-25 * np.sin(x[1:]).sum(),
        lambda x: np.concatenate([np.cos(x[:1]), 3e-25 * np.cos(x[1:])]),
        x0,
    )
    assert (r.verdict, r.ok, r.n_weights) == ("partial", False, 10)
    assert set(r.table["reason"][1:]) == {"noise"}


def test_advice_is_what_is_left_to_do() -> None:
    def loss(x: Array) -> float:
        return 0.0 if x[0] == 1 else -math.inf

    r = check(loss, lambda x: np.ones(1), [1.0])
    assert list(r.table["reason"]) == ["overflow"]
    hidden = check(lambda x: 1.0 + 1e-25 * x[0] + 0 * x[1:].sum(), lambda x: np.array([1e-25, 0.0]), [1.0, 2.0])
    assert "take a larger eps" not in str(hidden)
