"""Losses of which a part has few digits, beneath a finer noise: their noise is measured, and no right gradient is accused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import quietly
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.measured import noise
from gradcheck.numerics.measured.pose import around
from gradcheck.numerics.measured.stairs import jumps

Array = np.ndarray
Loss = Callable[[Array], float]
few, fewer = settings(max_examples=12), settings(max_examples=4)
SEEDS = st.integers(0, 2**32)


def white(loss: Loss, size: float) -> Loss:
    """The loss with a noise that each point has for itself."""

    def noisy(x: Array) -> float:
        return loss(x) + size * np.random.default_rng(x.view(np.uint64)).uniform(-1, 1)

    return noisy


def measured(loss: Loss, x: Array) -> noise.Noise:
    everywhere = np.full(x.size, -np.inf), np.full(x.size, np.inf)
    value = np.abs(np.atleast_1d(loss(x)))
    size = np.where(x == 0, 1.0, np.abs(x))
    return noise.measured_noise(
        lambda points: np.stack([np.atleast_1d(loss(p)) for p in points]), x, size, everywhere, np.zeros(1), value
    )


def posed(loss: Loss, x: Array, slopes: Array | None = None) -> float:
    layout = Layout(("x",), ((x.size,),))
    problem = around(layout, x, lambda p: np.asarray(loss(p)), np.zeros_like)
    return jumps(problem, np.arange(x.size), np.zeros(x.size) if slopes is None else slopes)


# --------------------------------------------------------------------------------------------- the noise that is measured


@few
@given(seed=SEEDS, digits=st.floats(7.5, 9.5), fine=st.floats(-3.0, -2.0))
@example(seed=0, digits=8.0, fine=-3.0)
def test_stairs_show_beneath_a_finer_noise(seed: int, digits: float, fine: float) -> None:
    """A near line shows the fine noise alone."""
    rng = np.random.default_rng(seed)
    a, x, unit = rng.uniform(1, 3, 10), rng.uniform(0.5, 1, 10), 10.0**-digits
    found = measured(white(lambda p: unit * round(float(np.sum(a * np.sin(p))) / unit), unit * 10.0**fine), x)
    # ten of the points show the stairs; their mean square lies within a factor of 6 of its own but once in ten thousand times
    assert 0.3 <= found.deviation[0] / (unit / 12**0.5) <= 2.5


@few
@given(seed=SEEDS, rate=st.floats(0.0, 8.0))
@example(seed=0, rate=8.0)
def test_a_loss_that_moves_faster_than_was_guessed_has_no_stairs(seed: int, rate: float) -> None:
    phase = np.random.default_rng(seed).uniform(0.1, 1.0, 4)
    found = measured(lambda x: float(np.sum(np.sin(10.0**rate * x + phase))), np.zeros(4))
    # at the rate 1e8 a line of 1e-14 radians between its points is the nearest that is laid; its fifth differences are rounding
    assert found.deviation[0] < 1e-9


@few
@given(seed=SEEDS, digits=st.integers(4, 9))
def test_the_noise_of_a_number_of_few_digits_grows_like_the_number(seed: int, digits: int) -> None:
    a = np.random.default_rng(seed).uniform(1, 3, 10)
    found = measured(lambda x: float(f"{np.sum(a * np.sin(x)):.{digits}g}"), np.zeros(10))
    # two deviations of 13 degrees of freedom, and where in its decade each number lies, over 7 decades
    assert found.power[0] >= 0.75


def test_a_constant_noise_does_not_grow_faster_than_that_of_squares() -> None:
    assert measured(white(lambda x: float(np.sum(x**2)), 1e-9), np.zeros(10)).power[0] == noise.ROOT


# ------------------------------------------------------------------------------------------------------ jumps of a loss


def textbook(seed: int, n: int = 20) -> tuple[Loss, Callable[[Array], Array], Array]:
    """The textbook's log-loss where it is saturated: 1 - s has few digits, so each example's part of it has wide stairs."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(15, n)), rng.normal(size=n)
    x *= (rng.uniform(30, 36, 15) / np.abs(x @ w))[:, None]
    y = (x @ w > 0) ^ (rng.random(15) < 0.3)

    def s(w: Array) -> Array:
        return 1 / (1 + np.exp(-(x @ w)))

    def loss(w: Array) -> float:
        with np.errstate(all="ignore"):
            return float(-np.mean(np.where(y, np.log(s(w)), np.log(1 - s(w)))))

    return loss, lambda w: x.T @ (s(w) - y) / 15, w


@settings(max_examples=1)
@given(seed=SEEDS, fine=st.floats(-12.0, -7.0), eps=st.sampled_from(["auto", 3e-5, 1e-3]))
@example(seed=9, fine=-8.0, eps=1e-3)
@example(seed=1, fine=-7.0, eps="auto")
def test_a_saturated_log_loss_accuses_no_right_gradient(seed: int, fine: float, eps: float | str) -> None:
    loss, gradient, w = textbook(seed)
    r = quietly.check(white(loss, 10.0**fine), gradient, w, eps=eps)
    assert mismatches(r) == 0, str(r)


SMOOTH: dict[str, Loss] = {
    "smooth": lambda x: float(np.sum(np.sin(3 * x))),
    "kinked": lambda x: float(np.sum(np.abs(np.sin(9 * x)))),
    "steep": lambda x: float(np.sum(np.tanh(1e3 * (x - 0.7)))),
    "one jump": lambda x: float(np.sum(np.sin(x))) + float(np.sum(x) > 5.1),
    "pole": lambda x: float(np.sum(x) + 1 / (np.sum(x) - 5.1000001)),
}


@pytest.mark.parametrize("kind", SMOOTH)
def test_a_loss_without_stairs_does_not_jump_on_both_sides(kind: str) -> None:
    with np.errstate(all="ignore"):
        assert posed(SMOOTH[kind], np.linspace(0.2, 0.8, 10)) == 0


@few
@given(seed=SEEDS, unit=st.floats(-3.0, -2.0))
def test_stairs_are_as_high_as_they_were_planted(seed: int, unit: float) -> None:
    a, x, height = np.random.default_rng(seed).uniform(1, 3, 10), np.linspace(0.2, 0.8, 10), 10.0**unit

    def loss(x: Array) -> float:
        return float(np.sum(a * np.sin(x)) + height * np.floor(np.sum(a * x) / (2 * height)))

    found = posed(loss, x, a * np.cos(x))
    assert found == pytest.approx(height, rel=0.1)


# ---------------------------------------------------------------------------------------------------- what may hide a slope


def mismatches(r: Outcome) -> int:
    return r.count("mismatch")


@fewer
@given(seed=SEEDS, eps=st.floats(-3.0, -1.0))
def test_a_loss_in_half_precision_with_a_slight_noise_is_not_flat(seed: int, eps: float) -> None:
    """Within one of its stairs only the noise shows, and far above its own scale a loss may move up on both sides."""
    rng = np.random.default_rng(seed)
    s, phase = 2.0 ** -rng.integers(5, 25, 12), rng.uniform(0, 6, 12)
    x = s * rng.uniform(0.5, 1.0, 12)

    def loss(x: Array) -> float:
        return float(np.float16(4 + np.sum(np.sin(x / s + phase)))) + 1e-14 * np.sin(1e12 * np.sum(x / s))

    r = quietly.check(loss, lambda x: np.cos(x / s + phase) / s, x, eps=10.0**eps)
    assert mismatches(r) == 0, str(r)


@fewer
@given(seed=SEEDS)
def test_a_wave_that_looks_like_noise_leaves_a_claim_of_0_its_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, rate = rng.uniform(100, 1000, 8), rng.uniform(1, 5, 8)
    right = rate * np.cos(rate * x) / 30
    r = quietly.check(
        white(lambda x: 1e5 + float(np.sum(np.sin(rate * x))) / 30, 1e-3), lambda x: 0 * rate * np.cos(rate * x), x
    )
    error = np.abs(np.asarray(r.table["numeric"]) - right)
    assert (error <= np.asarray(r.table["bound"])).all(), str(r)


@pytest.mark.parametrize("seed", [25, 36, *range(6)])
def test_a_loss_that_is_flat_on_every_line_has_the_noise_of_its_unit(seed: int) -> None:
    """One of its units, seen at a single step, shows no derivative: at two of these seeds a wrong claim agreed with it."""
    rng = np.random.default_rng(seed)
    scale, part, unit = 10.0 ** rng.uniform(-8, 8), 1 + 10.0 ** rng.uniform(-2.5, -0.5), 1e-2
    x, a = scale * rng.uniform(5, 50, 20), rng.uniform(1e-4, 1e-3, 20) / scale

    def loss(x: Array) -> float:
        return unit * round((5e4 + 3 * float(np.sum(np.tanh(a * x)))) / unit)

    right = 3 * a / np.cosh(a * x) ** 2
    r = quietly.check(loss, lambda x: 3 * a / np.cosh(a * x) ** 2 * part, x)
    error = np.abs(np.asarray(r.table["numeric"]) - right)
    assert (error <= np.asarray(r.table["bound"])).all(), str(r)
