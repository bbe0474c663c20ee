"""``accept``: a loss that is exact only to a tolerance has a gradient that may differ by as much, and by no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions.budget import LARGE

Array = np.ndarray


def loss(x: Array) -> float:
    return float(np.sum(np.exp(x)))


def off(by: float) -> Any:
    """The gradient of ``loss`` with a smooth bias, as of a solver that stops at a tolerance."""
    return lambda x: np.exp(x) * (1 + by)


X0 = np.linspace(-1, 1, 7)


def fixed_point(x: Array, tolerance: float = 1e-9) -> float:
    """sum of y with y = cos(x y) / 2, iterated until it moves by less than the tolerance."""
    y = np.full_like(x, 0.4)
    while True:
        y, before = np.cos(x * y) / 2, y
        if np.max(np.abs(y - before)) < tolerance:
            return float(np.sum(y))


def adjoint(x: Array) -> Array:
    """The gradient of the fixed point, from the implicit function theorem at y to the last digit."""
    y = np.full_like(x, 0.4)
    for _ in range(200):
        y = np.cos(x * y) / 2
    s = -np.sin(x * y) / 2
    return s * y / (1 - s * x)


def test_the_bias_of_a_tolerance_is_a_mismatch_that_says_what_it_may_be_and_how_it_is_taken() -> None:
    r = gradcheck.check_gradient(loss, off(1.6e-8), X0)
    assert r.verdict == "mismatch"
    assert "they agree to 1.6e-08: if fun iterates to a tolerance, that is it; accept=1e-07 takes it" in str(r)
    taken = gradcheck.check_gradient(loss, off(1.6e-8), X0, accept=1e-7)
    assert taken.verdict == "match"
    assert set(taken.table["reason"]) == {"accepted"}
    assert taken.reason is None
    assert "accepted: 7 in x" in str(taken)
    gradcheck.assert_gradient(loss, off(1.6e-8), X0, accept=1e-7, strict=True)


def test_a_solver_with_a_loose_tolerance_matches_where_it_is_accepted() -> None:
    x = np.array([0.9, 1.3, 1.7])
    r = gradcheck.check_gradient(fixed_point, adjoint, x, eps=1e-3, accept=1e-4)
    assert r.ok, str(r)


def test_a_large_difference_is_not_called_a_tolerance() -> None:
    assert "tolerance" not in str(gradcheck.check_gradient(loss, off(1e-3), X0))


@settings(max_examples=20, deadline=None)
@given(st.floats(-8, -2.5), st.sampled_from([1e-6, 1e-4, 5e-3]), st.integers(0, 99))
def test_a_weight_is_wrong_exactly_where_its_definition_says_so(size: float, accept: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=3)
    r = gradcheck.check_gradient(loss, off(10.0**size), x, accept=accept)
    t = r.table
    larger = np.fmax(np.abs(t["analytic"]), np.abs(t["numeric"]))
    wrong = t["abs_err"] > t["bound"] + accept * larger
    assert (np.array(t["verdict"]) == "mismatch").tolist() == wrong.tolist()
    assert np.array_equal(t["resolution"], 2 * t["bound"] / larger)
    if r.verdict == "match":
        assert r.resolution == max(t["resolution"]) + accept
        assert f"(accept={accept:g} included)" in str(r)


@pytest.mark.parametrize("n", [LARGE + 1, 3 * LARGE])
def test_along_directions_the_bias_of_every_entry_is_accepted_and_a_wrong_entry_is_not(n: int) -> None:
    x = np.random.default_rng(1).normal(size=n) / 4
    noisy = np.random.default_rng(2).normal(size=n)

    def biased(x: Array) -> Array:
        return np.exp(x) * (1 + 1e-7 * noisy / np.abs(noisy).max())

    def wrong(x: Array) -> Array:
        g = biased(x)
        g[7] *= 1.1
        return g

    r = gradcheck.check_gradient(loss, biased, x, accept=1e-7)
    assert r.verdict == "match", str(r)
    r = gradcheck.check_gradient(loss, wrong, x, accept=1e-7)
    assert r.verdict == "mismatch"
    assert r.worst(1)["flat_index"].tolist() == [7]


@pytest.mark.parametrize("accept", [-1e-9, 1e-2, 1.0, float("nan"), True, "much", None])
def test_what_is_accepted_is_a_number_below_match_at(accept: Any) -> None:
    with pytest.raises(ValueError, match=r"^accept=.*: must be a number >= 0 below match_at=0\.01"):
        gradcheck.check_gradient(loss, off(0), X0, accept=accept)
