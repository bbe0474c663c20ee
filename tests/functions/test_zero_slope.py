"""Weights along which a loss has the derivative 0, though it moves: their wrong gradients are found like all others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import quietly
from hypothesis import example, given, settings
from hypothesis import strategies as st

Array = np.ndarray
Net = dict[str, Array]
# The loss of an example by its score z and its centred label y, with the derivative by z.
LOSSES: dict[str, tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]] = {
    "logistic": (lambda z, y: np.logaddexp(0, z) - (y + 0.5) * z, lambda z, y: 1 / (1 + np.exp(-z)) - 0.5 - y),
    "squares": (lambda z, y: (z - y) ** 2 / 2, lambda z, y: z - y),
    "log-cosh": (lambda z, y: np.log(np.cosh(z - y)), lambda z, y: np.tanh(z - y)),
    "quartic": (lambda z, y: (z - y) ** 2 + (z - y) ** 4, lambda z, y: 2 * (z - y) + 4 * (z - y) ** 3),
}


@pytest.mark.parametrize("kind", LOSSES)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32), size=st.floats(-4.0, 0.0))
@example(seed=0, size=-1.0)
def test_a_wrong_bias_of_a_balanced_net_is_found_where_its_weights_are_0(kind: str, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    n, d, error = 2 * int(rng.integers(5, 60)), int(rng.integers(1, 8)), 10.0**size
    of, by_score = LOSSES[kind]
    x, y = rng.normal(size=(n, d)), np.tile([-0.5, 0.5], n // 2)
    x -= x.mean(axis=0)

    def fun(p: Net) -> float:
        return float(np.mean(of(x @ p["W"] + p["b"], y)))

    def jac(p: Net, error: float) -> Net:
        each = by_score(x @ p["W"] + p["b"], y) / n
        return {"W": x.T @ each, "b": np.array([each.sum() + error])}

    at = {"W": np.zeros(d), "b": np.zeros(1)}
    wrong = quietly.check(fun, lambda p: jac(p, error), at)
    assert wrong.verdict == "mismatch", str(wrong)
    verdicts = wrong.errors["verdict"]
    assert set(wrong.errors["param"][verdicts == "mismatch"]) == {"b"}, str(wrong)
    right = quietly.check(fun, lambda p: jac(p, 0.0), at)
    assert right.count("mismatch") == 0, str(right)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), steep=st.floats(0.0, 8.0))
def test_a_step_far_above_the_scale_shows_no_derivative_of_0(seed: int, steep: float) -> None:
    """There a bounded loss has quotients near 0 at every step."""
    rng = np.random.default_rng(seed)
    a, phase = 10.0**steep * rng.uniform(0.5, 2.0, 4), rng.uniform(-0.5, 0.5, 4)
    r = quietly.check(
        lambda w: float(np.sum(np.tanh(a * w + phase))), lambda w: a * (1 - np.tanh(a * w + phase) ** 2), np.zeros(4)
    )
    assert r.count("mismatch") == 0, str(r)
