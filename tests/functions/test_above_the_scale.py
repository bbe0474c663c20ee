"""Steps far above the scale of a loss: quotients there agree with each other, and with a claim that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from quietly import check

Array = np.ndarray
few = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
N, ROWS = 24, 20


def hinges(seed: int, offset: float = 0.0) -> tuple[Callable[[Array], float], Callable[[Array], Array], Array]:
    """A mean of hinges by weights whose steps of 1 to 1e-8 move it alike, its gradient, and these steps."""
    rng = np.random.default_rng(seed)
    X, scale = rng.normal(size=(ROWS, N)), 10 ** rng.uniform(0, 8, N)

    def loss(w: Array) -> float:
        return offset + float(np.maximum(0, 1 - X @ (scale * w)).mean())

    return loss, lambda w: -scale * (X * (X @ (scale * w) < 1)[:, None]).mean(axis=0), 1 / scale


def central(loss: Callable[[Array], float], x0: Array, h: float) -> Array:
    """Central quotients at one step."""
    return np.array([(loss(x0 + h * e) - loss(x0 - h * e)) / (2 * h) for e in np.eye(len(x0))])


@few
@given(seed=SEEDS)
def test_a_claim_that_agrees_with_a_quotient_across_many_kinks_is_no_match(seed: int) -> None:
    loss, gradient, _ = hinges(seed)
    x0 = np.zeros(N)
    right, across = gradient(x0), central(loss, x0, 3e-4)
    found = check(loss, lambda _: across, x0).table
    far_off = np.abs(across - right) > 2e-2 * np.abs(right)
    assert not (far_off & (np.array(found["verdict"]) == "match")).any()
    assert (np.abs(found["numeric"] - right) <= found["bound"]).all()
    assert check(loss, gradient, x0).count("mismatch") == 0


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, digits=st.floats(-9.0, -2.0), offset=st.floats(4.0, 8.0))
def test_a_bound_at_a_fixed_step_holds_where_noise_hides_the_order_of_the_truncation(
    seed: int, digits: float, offset: float
) -> None:
    """The constant hides what smaller steps would show: that the slope jumps between them."""
    loss, gradient, scale = hinges(seed, 10**offset)
    x0, h = np.random.default_rng(seed).normal(0, 0.5, N) * scale, 10**digits
    right, claimed = gradient(x0), central(loss, x0, h)
    for claim in (right, claimed):
        found = check(loss, lambda _, claim=claim: claim, x0, eps=h).table
        # the right gradient is rounded itself
        assert (np.abs(found["numeric"] - right) <= found["bound"] + 1e-14 * np.abs(right)).all()


@few
@given(seed=SEEDS, power=st.floats(2.0, 8.0))
def test_the_bound_of_a_zero_that_only_large_steps_show_reaches_the_slope(seed: int, power: float) -> None:
    """A wave on a parabola at 0: float32 loses the wave at every step at which the parabola is large."""
    scale = 10**power * np.random.default_rng(seed).uniform(1, 2, 4)

    def loss(x: Array) -> float:
        z = (scale * x).astype(np.float32)
        return float(np.sum(np.sin(z) + z * z))

    found = check(loss, lambda x: np.zeros(4), np.zeros(4)).table
    assert set(found["verdict"]) == {"mismatch"} or (np.abs(found["numeric"] - scale) <= found["bound"]).all()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
@example(seed=349)
def test_a_loss_that_moves_by_less_than_its_stairs_is_not_accused_at_zero(seed: int) -> None:
    """Its scale is far below all steps, so that it only seems to make noise."""
    rng = np.random.default_rng(seed)
    scale, stair = 10 ** rng.uniform(2, 8, 6), 0.25
    a, offset = 10 ** rng.uniform(-2, 0.3) * stair * rng.uniform(0.5, 1, 6), 10 ** rng.uniform(5, 7) + rng.uniform(0, 1)

    def loss(x: Array) -> float:
        z = scale * x
        return stair * round((offset + float(a @ (z / (1 + z * z) + 0.3 * np.cos(np.sqrt(1 + z * z))))) / stair)

    h = 10 ** rng.uniform(-12, 0)
    assert check(loss, lambda x: a * scale, np.zeros(6), eps=h).count("mismatch") == 0


@few
@given(seed=SEEDS)
def test_a_corner_that_is_smooth_beside_theta_is_not_accused_though_noise_hides_it(seed: int) -> None:
    """The slope at theta is that of no step that the noise lets through; the even part of the loss shows that it turns."""
    rng = np.random.default_rng(seed)
    corner, width = 10 ** rng.uniform(-5.3, -4, N), 10 ** rng.uniform(-6.5, -5, N)
    at, slope = width * rng.uniform(-1.5, 1.5, N), rng.normal(size=N) * 10 ** rng.uniform(-6, -4.5, N)

    def loss(x: Array) -> float:
        d = x - 1
        noise = np.random.default_rng(x.view(np.uint64)).uniform(-1, 1)
        smooth = 0.67 * d * d + 0.1 * d**3 + slope * d
        return 2 + float(np.sum(smooth + corner * np.sqrt((d - at) ** 2 + width**2))) + 2e-9 * noise

    right = slope - corner * at / np.sqrt(at**2 + width**2)
    assert check(loss, lambda x: right, np.ones(N)).count("mismatch") == 0
