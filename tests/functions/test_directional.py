"""Large gradients along random directions: what is wrong is found to the entry, what is right is never accused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions.budget import LARGE, SAMPLED, entries_taken
from gradcheck.functions.directions.outcome import DirectionalOutcome
from gradcheck.functions.directions.search import LOCATED, MORE
from gradcheck.numerics.measured.noise import POINTS

# so many that few entries are taken one by one
N = 40_000
Loss = Callable[[Any], Any]


def logistic(
    n: int = N, examples: int = 6, seed: int = 0, dtype: Any = np.float64, scale: float = 1.0
) -> tuple[Loss, Loss, np.ndarray]:
    """Loss, gradient and a point."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((examples, n)).astype(dtype)
    y = rng.integers(0, 2, examples).astype(dtype)
    w = (scale * rng.standard_normal(n) / np.sqrt(n)).astype(dtype)

    def loss(w: np.ndarray) -> Any:
        z = X @ w
        return np.mean(np.logaddexp(np.zeros_like(z), z) - y * z)

    def gradient(w: np.ndarray) -> np.ndarray:
        return X.T @ ((1 / (1 + np.exp(-(X @ w))) - y) / dtype(examples))

    return loss, gradient, w


def off(gradient: Loss, entries: list[int], size: float) -> Loss:
    """A gradient with some entries off by a share of the largest one."""

    def wrong(w: np.ndarray) -> np.ndarray:
        g = gradient(w).copy()
        g[entries] += g.dtype.type(size) * np.abs(g).max()
        return g

    return wrong


def wrong_entries(r: Any) -> list[int]:
    return [int(i) for i, v in zip(r.table["flat_index"], r.table["verdict"], strict=True) if v == "mismatch"]


def net(seed: int = 0) -> tuple[Loss, Loss, dict[str, np.ndarray]]:
    """sum((tanh(X W1 + b1) W2 - y)**2) / 2 n with its gradient: three parameters of different sizes and scales."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((12, 200)), rng.standard_normal((12, 3))
    x0 = {
        "W1": rng.standard_normal((200, 40)) / 14,
        "b1": np.zeros(40),
        "W2": 10 * rng.standard_normal((40, 3)),
    }

    def loss(p: dict[str, np.ndarray]) -> float:
        return float(np.sum((np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] - y) ** 2) / 24)

    def gradient(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        a = np.tanh(X @ p["W1"] + p["b1"])
        delta = (a @ p["W2"] - y) / 12
        back = (delta @ p["W2"].T) * (1 - a * a)
        return {"W1": X.T @ back, "b1": back.sum(axis=0), "W2": a.T @ delta}

    return loss, gradient, x0


@cache
def of_a_right_net() -> Any:
    loss, gradient, x0 = net()
    return gradcheck.check_gradient(loss, gradient, x0)


def test_many_right_gradients_are_never_accused() -> None:
    for seed in range(6):
        loss, gradient, w = logistic(N, 4, seed, scale=10.0 ** (seed % 4 - 1))
        r = gradcheck.check_gradient(loss, gradient, w, seed=seed)
        assert isinstance(r, DirectionalOutcome)
        assert r.verdict == "match", (seed, str(r))
        assert len(r.table["verdict"]) == entries_taken(N)
        assert r.resolution < 1e-5
        assert r.entry_resolution < 1e-2


@given(st.integers(LARGE - 100, 10 * LARGE))
def test_the_entries_taken_one_by_one_fall_without_a_cliff(n: int) -> None:
    here, next_ = entries_taken(n), entries_taken(n + 1)
    assert here == n if n <= LARGE else SAMPLED <= here <= LARGE
    assert abs(next_ - here) <= 1 + 2 * here / n


@pytest.mark.parametrize("size", [1e-2, 1e-5])
def test_one_wrong_entry_is_found_and_no_other(size: float) -> None:
    for seed in range(4):
        loss, gradient, w = logistic(seed=seed)
        entry = int(np.random.default_rng(seed).integers(N))
        r = gradcheck.check_gradient(loss, off(gradient, [entry], size), w, seed=seed)
        assert r.verdict == "mismatch"
        assert wrong_entries(r) == [entry]
        assert r.explained
        assert f"x[{entry}]" in str(r)


def test_an_error_above_the_stated_resolution_is_seen_and_one_far_below_is_not() -> None:
    loss, gradient, w = logistic()
    resolution = gradcheck.check_gradient(loss, gradient, w).entry_resolution
    assert wrong_entries(gradcheck.check_gradient(loss, off(gradient, [7], 1.1 * resolution), w)) == [7]
    assert gradcheck.check_gradient(loss, off(gradient, [7], 1e-4 * resolution), w).ok


def test_several_wrong_entries_are_all_found() -> None:
    loss, gradient, w = logistic()
    entries = [0, 1, 1234, 2222, N - 1]
    r = gradcheck.check_gradient(loss, off(gradient, entries, 1e-2), w)
    assert wrong_entries(r) == entries
    assert r.explained


def test_more_wrong_entries_than_are_searched_for_are_said_to_be_more() -> None:
    loss, gradient, w = logistic()
    entries = list(range(100, 100 + 3 * LOCATED))
    r = gradcheck.check_gradient(loss, off(gradient, entries, 0.5), w)
    found = wrong_entries(r)
    assert r.verdict == "mismatch"
    assert len(found) >= LOCATED
    assert set(found) <= set(entries)
    assert not r.explained
    assert "more are wrong" in str(r)


@pytest.mark.parametrize("name", ["W1", "b1", "W2"])
def test_a_wrong_parameter_is_told_from_the_right_ones(name: str) -> None:
    loss, gradient, x0 = net()

    def wrong(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        g = gradient(p)
        return g | {name: 2 * g[name]}

    r = gradcheck.check_gradient(loss, wrong, x0)
    assert of_a_right_net().ok
    assert {p.name: p.verdict for p in r.parameters} == {n: "mismatch" if n == name else "match" for n in x0}
    found = [(p, v) for p, v in zip(r.table["param"], r.table["verdict"], strict=True) if v == "mismatch"]
    assert {p for p, _ in found} == {name}
    assert len(found) >= MORE / 2
    assert r.diagnosis is not None
    assert name in r.diagnosis


def test_one_wrong_entry_of_a_small_parameter_is_found() -> None:
    loss, gradient, x0 = net()

    def wrong(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        g = gradient(p)
        g["b1"][17] *= 1.01
        return g

    r = gradcheck.check_gradient(loss, wrong, x0)
    assert [r.entry(i) for i, v in enumerate(r.table["verdict"]) if v == "mismatch"] == ["b1[17]"]


def test_float32_finds_what_its_digits_show_and_accuses_nothing_right() -> None:
    for seed in range(2):
        loss, gradient, w = logistic(seed=seed, dtype=np.float32, scale=0.0)
        r = gradcheck.check_gradient(loss, gradient, w, seed=seed)
        assert r.verdict in ("match", "partial", "inconclusive"), str(r)
        assert wrong_entries(gradcheck.check_gradient(loss, off(gradient, [seed], 0.5), w, seed=seed)) == [seed]


def test_entries_that_are_not_finite_are_named() -> None:
    loss, gradient, w = logistic()

    def wrong(w: np.ndarray) -> np.ndarray:
        g = gradient(w)
        g[[5, 3000]] = np.nan, np.inf
        return g

    r = gradcheck.check_gradient(loss, wrong, w)
    assert wrong_entries(r) == [5, 3000]


def test_at_the_limits_directions_point_inwards() -> None:
    rng = np.random.default_rng(0)
    x0 = rng.uniform(0.5, 1.5, N)
    x0[::3] = 0.0
    c = rng.uniform(1, 2, N)

    def loss(x: np.ndarray) -> float:
        assert (x >= 0).all()
        return float(np.sum(c * x + x * x))

    bounds = [(0, None)] * N
    assert gradcheck.check_gradient(loss, lambda x: c + 2 * x, x0, bounds=bounds).ok
    r = gradcheck.check_gradient(loss, off(lambda x: c + 2 * x, [3], 1e-2), x0, bounds=bounds)
    assert wrong_entries(r) == [3]


@pytest.mark.parametrize("options", [{"scheme": "complex_step"}, {"scheme": "forward"}, {"eps": 1e-5}, {"seed": 3}])
def test_every_way_of_differencing_finds_the_entry(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    c, x0 = rng.standard_normal(N), rng.standard_normal(N)

    def loss(x: np.ndarray) -> Any:
        return np.sum(c * np.sin(x))

    assert gradcheck.check_gradient(loss, lambda x: c * np.cos(x), x0, **options).ok
    r = gradcheck.check_gradient(loss, off(lambda x: c * np.cos(x), [123], 1e-2), x0, **options)
    assert wrong_entries(r) == [123]


def test_a_vector_jacobian_product_is_checked_along_directions_too() -> None:
    rng = np.random.default_rng(2)
    A, x0 = rng.standard_normal((5, N)) / 50, rng.standard_normal(N)

    def forward(x: np.ndarray) -> np.ndarray:
        return np.tanh(A @ x)

    def backward(x: np.ndarray, dout: np.ndarray) -> np.ndarray:
        return A.T @ (dout * (1 - np.tanh(A @ x) ** 2))

    assert gradcheck.check_gradient(forward, backward, x0, vjp=True).ok

    def wrong(x: np.ndarray, dout: np.ndarray) -> np.ndarray:
        return off(lambda x: backward(x, dout), [99], 1e-2)(x)

    assert wrong_entries(gradcheck.check_gradient(forward, wrong, x0, vjp=True)) == [99]


def test_a_sample_and_a_small_model_are_checked_entry_by_entry() -> None:
    loss, gradient, w = logistic()
    assert not isinstance(gradcheck.check_gradient(loss, gradient, w, sample=20), DirectionalOutcome)
    loss, gradient, w = logistic(50)
    assert not isinstance(gradcheck.check_gradient(loss, gradient, w), DirectionalOutcome)


def test_a_million_entries_wrong_by_little_each_are_wrong_together() -> None:
    loss, gradient, w = logistic()
    r = gradcheck.check_gradient(loss, lambda w: gradient(w) * (1 + 1e-4), w)
    assert r.verdict == "mismatch"
    assert not r.ok
    with pytest.raises(gradcheck.GradientMismatch, match="MISMATCH"):
        gradcheck.assert_gradient(loss, lambda w: gradient(w) * (1 + 1e-4), w)


def test_the_evaluations_stay_few() -> None:
    """4 a direction and an entry that agree, 24 for the noise of each line; an accused one, and a halving, about 30 more."""
    loss, gradient, w = logistic()
    right = gradcheck.check_gradient(loss, gradient, w)
    wrong = gradcheck.check_gradient(loss, off(gradient, [77], 1e-2), w)
    assert right.nfev <= (4 + 24) * 2 + 4 * entries_taken(N) + 24 + 3
    assert wrong.nfev - right.nfev <= 4 * np.ceil(np.log2(N)) + 4 * 30
    # the gradient's own noise is measured for the accused entry alone
    assert right.njev == 2
    assert wrong.njev == 2 + POINTS


def test_rows_depend_on_the_seed_alone() -> None:
    loss, gradient, w = logistic()
    one, two = (gradcheck.check_gradient(loss, gradient, w, seed=5) for _ in range(2))
    assert one.errors.equals(two.errors)
    assert [d.numeric for d in one.directions] == [d.numeric for d in two.directions]
    other = gradcheck.check_gradient(loss, gradient, w, seed=6)
    assert not np.array_equal(one.table["flat_index"], other.table["flat_index"])
