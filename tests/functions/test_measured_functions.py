"""Functions as other people write them: no right gradient is accused, and no visible error is missed.

Scales far from abs(x), few digits, saturation, gradients that round badly, kinks at x0 and beside it: each at its least input,
and at random scales and positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import quietly
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradcheck import ContractError
from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.schemes import SCHEMES

Array = np.ndarray
few = settings(max_examples=12)


def check(fun: Callable[..., Any], jac: Callable[..., Any], x0: Any, **keys: Any) -> Outcome:
    return quietly.check(fun, jac, np.asarray(x0, dtype=keys.pop("dtype", float)), **keys)


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


# ------------------------------------------------------------------------------------ flat parts, stairs and fast waves


@few
@given(seed=st.integers(0, 2**32), n=st.integers(2, 30))
@example(seed=0, n=25)
@pytest.mark.parametrize("unit", ["relu", "dropout"])
def test_a_missing_mask_is_a_mismatch_where_the_unit_is_off(unit: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=n) + np.copysign(0.1, rng.normal(size=n)), 1 + rng.random(n)
    # so far from their kink that they do not move the loss by 1e-3 of the rms, where an exempt weight must not
    x = np.copysign(np.maximum(np.abs(x), 0.05), x)
    x[0] = abs(x[0])  # something moves the loss
    on = x > 0 if unit == "relu" else rng.random(n) < 0.5
    on[0] = True

    def loss(x: Array) -> float:
        return float(np.sum(c * (np.maximum(x, 0) if unit == "relu" else on * np.sin(x))))

    def backward(x: Array) -> Array:  # as if every unit were on
        return c if unit == "relu" else c * np.cos(x)

    assert [v == "mismatch" for v in verdicts(check(loss, backward, x))] == list(~on)
    r = check(loss, lambda x: on * backward(x), x)
    assert r.verdict == "match"
    assert [reason == "exempt" for reason in r.table["reason"]] == list(~on)


@pytest.mark.parametrize("w", [25.0, 30.0, 34.0, 36.0])
@pytest.mark.parametrize("feature", [1.0, 0.05, 1e-3])
def test_a_plateau_of_the_log_loss_beside_other_weights_is_not_accused(w: float, feature: float) -> None:
    features = np.array([1.0, feature])

    def loss(x: Array) -> float:
        return float(-np.log(1 - sigmoid(x[:2] @ features)) + x[2] ** 2)

    def gradient(x: Array) -> Array:
        return np.append(sigmoid(x[:2] @ features) * features, 2 * x[2])

    assert check(loss, gradient, [w, 0.3, 1.0]).count("mismatch") == 0


@few
@given(width=st.floats(-5.0, -3.0), slope=st.floats(-2.0, 2.0), seed=st.integers(0, 2**32))
def test_a_loss_of_which_a_part_rises_in_stairs_is_not_accused(width: float, slope: float, seed: int) -> None:
    x, q = np.random.default_rng(seed).uniform(0.5, 2.0, 4), 10.0**width

    def loss(x: Array) -> float:
        return float(np.sum(np.sin(x)) + slope * q * round(float(np.sum(x)) / q))

    # on a stair the slope of that part is missing, but larger steps show it
    assert check(loss, lambda x: np.cos(x) + slope, x).count("mismatch") == 0


def test_a_few_stairs_within_the_size_of_a_weight_are_seen() -> None:
    def loss(x: Array) -> float:
        return round(382 + 0.1467 * math.sin(x[0]), 3) + 1e-3 * x[0]

    assert check(loss, lambda x: 0.1467 * np.cos(x) + 1e-3, [0.03126]).count("mismatch") == 0


@few
@given(rate=st.floats(6.0, 9.0), seed=st.integers(0, 2**32))
@example(rate=7.0, seed=1)
@example(rate=6.625, seed=36031784)
def test_a_wave_far_faster_than_every_step_is_not_taken_for_noise(rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = 10.0 ** rng.uniform(rate - 1, rate, 3)
    phases = rng.uniform(0, 6, 3)

    def loss(x: Array) -> float:
        return 0.25 * round(float(np.sum(20 * np.sin(rates * x + phases))) / 0.25)

    r = check(loss, lambda x: 20 * rates * np.cos(rates * x + phases), np.zeros(3))
    assert r.count("mismatch") == 0, str(r)


@few
@given(power=st.floats(-8.0, 8.0), seed=st.integers(0, 2**32))
@example(power=8.0, seed=0)
def test_weights_of_0_have_any_scale(power: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, phase = 10.0**power, rng.uniform(0.1, 1.0, 4)
    r = check(lambda x: np.sum(np.sin(rate * x + phase)), lambda x: rate * np.cos(rate * x + phase), np.zeros(4))
    assert r.verdict == "match", str(r)


# -------------------------------------------------------------------------------------------- the size of the noise


@few
@given(seed=st.integers(0, 2**32), scale=st.floats(-6.0, 6.0))
def test_a_bound_holds_at_an_optimum_whose_residuals_are_rounding_errors(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(9, 4)), rng.normal(size=4) * 10.0**scale
    y = X @ w
    r = check(lambda w: np.sum((X @ w - y) ** 2) / 2, lambda w: X.T @ (X @ w - y), w)
    exactly = [[Fraction(float(v)) for v in row] for row in X]
    rest = [sum(a * Fraction(float(v)) for a, v in zip(row, w, strict=True)) for row in exactly]
    rest = [s - Fraction(float(v)) for s, v in zip(rest, y, strict=True)]
    for i, (numeric, bound) in enumerate(zip(r.table["numeric"], r.table["bound"], strict=True)):
        true = float(sum(row[i] * s for row, s in zip(exactly, rest, strict=True)))
        # the true derivative is rounded to float64
        assert abs(numeric - true) <= bound * (1 + 1e-12), (i, numeric, true, bound)


@few
@given(large=st.floats(4.0, 7.5), seed=st.integers(0, 2**32))
def test_an_error_of_the_argument_that_is_alike_at_steps_of_powers_of_two_is_seen(large: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x0, big = rng.uniform(0.5, 2.0, 20).astype(np.float32), np.float32(10.0**large)

    def loss(x: Array) -> float:
        d = (x.astype(np.float32) - x0).astype(np.float32)
        return float(np.sum(np.sin(x0 + ((big + 1) * d - big * d))))

    r = check(loss, np.cos, x0, dtype=np.float32)
    # what is rounded is the distance from x0, by up to 10**large units of its last place, at every step alike
    error = np.abs(np.array(r.table["numeric"]) - np.cos(x0.astype(float)))
    assert (error <= np.array(r.table["bound"])).all()
    assert r.count("mismatch") == 0


@few
@given(gap=st.floats(-9.0, -5.0), noise=st.floats(-14.0, -8.0))
def test_quotients_that_do_not_converge_have_no_bound(gap: float, noise: float) -> None:
    apart, sigma = 10.0**gap, 10.0**noise

    def loss(x: Array) -> float:
        with np.errstate(all="ignore"):
            return float(-np.log(1 - x[0]) + sigma * math.sin(1e13 * x[0]))

    x = np.array([1 - apart])
    r = check(loss, lambda x: np.zeros(1), x)
    true = 1 / (1 - x[0])
    assert abs(r.table["numeric"][0] - true) <= r.table["bound"][0]


# ------------------------------------------------------------------------------------------------- how it is searched


def test_the_points_of_many_weights_do_not_depend_on_what_is_claimed() -> None:
    x = np.random.default_rng(5).uniform(0.5, 3.0, 40)

    def points(factor: float) -> set[bytes]:
        seen: set[bytes] = set()

        def loss(x: Array) -> float:
            seen.add(x.tobytes())
            return float(np.sum(np.sin(300 * x)))

        check(loss, lambda x: factor * 300 * np.cos(300 * x), x)
        return seen

    right, wrong = points(1.0), points(1.5)
    assert right < wrong


@pytest.mark.parametrize("scheme", ["forward", "backward", "five_point", "seven_point", "richardson"])
def test_another_scheme_takes_its_own_points_and_four_more(scheme: str) -> None:
    x = np.random.default_rng(0).uniform(0.5, 2.0, 40)
    r = check(lambda x: np.sum(np.sin(x)), np.cos, x, scheme=scheme)
    assert r.verdict == "match"
    # the error of a formula of first order is about 12 sqrt(u), and no cosine here is below 0.01
    assert r.resolution < 1e-4
    # the noise, the leaders' and the last call are shared by all
    assert r.nfev / 40 <= SCHEMES[scheme].evaluations + 4


@few
@given(center=st.floats(4.0, 7.0), seed=st.integers(0, 2**32))
def test_a_parabola_has_no_scale_above_which_its_slope_is_not_sought(center: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    offset, x = 10.0**center, rng.uniform(0.5, 2.0, 2)

    def loss(x: Array) -> float:
        return float((x[0] - offset) ** 2 + (x[1] - 0.9) ** 2)

    # the first term hides the slope of the second one but at steps far above x[1] itself
    r = check(loss, lambda x: np.array([2 * (x[0] - offset), 2 * (x[1] - 0.9)]), x)
    assert r.verdict == "match", str(r)


@few
@given(gap=st.floats(-9.0, -6.0), sigma=st.floats(-6.0, -2.0), seed=st.integers(0, 2**32))
def test_a_wall_beside_x0_under_white_noise_accuses_nobody(gap: float, sigma: float, seed: int) -> None:
    apart, noise = 10.0**gap, 10.0**sigma

    def loss(x: Array) -> float:
        with np.errstate(all="ignore"):
            bits = np.random.default_rng([seed, *x.view(np.uint64).tolist()])
            return float(-np.log(1 - x).sum() + noise * bits.uniform(-1, 1))

    r = check(loss, lambda x: 1 / (1 - x), np.array([1 - apart, 0.3]))
    assert r.count("mismatch") == 0, str(r)


def test_a_claim_within_the_roundings_of_its_gradient_is_not_accused_where_the_loss_is_flat() -> None:
    # the second entry is a difference of two large ones, 1e-10 instead of 0
    r = check(lambda x: np.sum(np.sin(1e6 * x[:1])), lambda x: np.array([1e6 * np.cos(1e6 * x[0]), 1e-10]), [0.3, 2.0])
    assert r.count("mismatch") == 0
    r = check(lambda x: np.sum(np.sin(x[:1])), lambda x: np.array([np.cos(x[0]), 1e-10]), [0.3, 2.0])
    assert verdicts(r) == ["match", "mismatch"]
