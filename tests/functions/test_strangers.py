"""Other people's functions, drawn at random: plain errors in smooth losses, walls, dead units, biases that drop out.

Each property is asked of many draws at once: a search that loses one accusation in a hundred loses none in a single example.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quietly import check

from gradcheck.numerics.measured import near_line, noise

Array = np.ndarray
few = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


class Net:
    """The mean squared error of a net of one hidden layer, and its gradient."""

    def __init__(self, rng: np.random.Generator, unit: str) -> None:
        self.X, self.Y, self.unit = rng.normal(size=(16, 3)), rng.normal(size=(16, 1)), unit
        self.x0 = rng.normal(size=24)

    def hidden(self, p: Array) -> tuple[Array, Array]:
        z = self.X @ p[:18].reshape(3, 6)
        return (np.tanh(z), 1 - np.tanh(z) ** 2) if self.unit == "tanh" else (np.maximum(z, 0), (z > 0) * 1.0)

    def loss(self, p: Array) -> float:
        return float(np.mean((self.hidden(p)[0] @ p[18:, None] - self.Y) ** 2))

    def gradient(self, p: Array, mask: bool = True) -> Array:
        h, slope = self.hidden(p)
        d = 2 * (h @ p[18:, None] - self.Y) / 16
        return np.r_[(self.X.T @ (d @ p[None, 18:] * (slope if mask else 1.0))).ravel(), (h.T @ d).ravel()]


@few
@given(seed=SEEDS, factor=st.sampled_from([0.5, 0.9, 1.5, 2.0, -1.0]), eps=st.sampled_from(["auto", 1e-3, 1e-5]))
def test_a_plain_error_in_every_weight_of_a_smooth_net_is_seen_in_each(seed: int, factor: float, eps: Any) -> None:
    net = Net(np.random.default_rng(seed), "tanh")
    wrong = check(net.loss, lambda p: factor * net.gradient(p), net.x0, eps=eps)
    large = np.abs(net.gradient(net.x0)) > 1e-4
    assert all(v == "mismatch" for v, one in zip(wrong.table["verdict"], large, strict=True) if one), str(wrong)
    assert check(net.loss, net.gradient, net.x0, eps=eps).count("mismatch") == 0


@few
@given(seed=SEEDS)
def test_a_missing_mask_is_seen_in_units_that_are_switched_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Net(rng, "relu")
    net.X, dead = np.abs(net.X), np.arange(18) % 6 < rng.integers(1, 5)
    net.x0[:18] = np.where(dead, -np.abs(net.x0[:18]), np.abs(net.x0[:18]))
    wrong = check(net.loss, lambda p: net.gradient(p, mask=False), net.x0)
    claims = np.abs(net.gradient(net.x0, mask=False)[:18])
    verdicts = wrong.table["verdict"][:18]
    assert all(v == "mismatch" for v, d, c in zip(verdicts, dead, claims, strict=True) if d and c > 1e-6), str(wrong)
    assert check(net.loss, net.gradient, net.x0).count("mismatch") == 0


@few
@given(seed=SEEDS)
def test_a_bias_before_a_normalisation_moves_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(16, 4)), rng.normal(size=(16, 6))

    def loss(p: dict[str, Array]) -> float:
        h = X @ p["W"] + p["b"]
        h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
        return float(((np.tanh(h) - Y) ** 2).sum())

    x0 = {"W": rng.normal(size=(4, 6)), "b": rng.normal(size=6)}
    claim = {"W": np.zeros((4, 6)), "b": rng.choice([-1, 1], 6) * rng.uniform(0.05, 3, 6)}
    r = check(loss, lambda p: claim, x0)
    assert set(r.table["verdict"][24:]) == {"mismatch"}, str(r)
    zero = check(loss, lambda p: {"W": claim["W"], "b": np.zeros(6)}, x0)
    assert "mismatch" not in zero.table["verdict"][24:]


@few
@given(seed=SEEDS, near=st.floats(-7.0, -1.0))
def test_a_wall_beside_the_weight_does_not_hide_an_error(seed: int, near: float) -> None:
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(10, 3)), 10.0 ** rng.uniform(near, 1, 10)

    def loss(x: Array) -> float:
        return float(x.sum() - 1e-3 * np.log(b - A @ x).sum())

    def gradient(x: Array) -> Array:
        return 1 + 1e-3 * A.T @ (1 / (b - A @ x))

    wrong = check(loss, lambda x: 2 * gradient(x), np.zeros(3))
    assert wrong.count("mismatch") == 3, str(wrong)
    assert check(loss, gradient, np.zeros(3)).count("mismatch") == 0


@pytest.mark.parametrize("rises", [1, 3, 8, 24, 64.03, 7.97, 16.01, 40])
def test_the_noise_of_few_digits_is_seen_however_many_of_them_a_spacing_rises(rises: float) -> None:
    digit = 1e-5
    places = np.array(near_line.PLACES)
    values = np.rint(3e5 + 0.2 + rises * places) * digit
    # uniform rounding has a deviation of 0.29 digits; 18 points show a part of it at least
    assert noise.residual(values) > 0.05 * digit
