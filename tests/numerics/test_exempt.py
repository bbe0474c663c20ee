"""Weights without a path to the loss are exempt, and only those: however small a path is, the weight is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from exact import cell
from hypothesis import given
from hypothesis import strategies as st

import gradcheck
from gradcheck.models import MLP
from gradcheck.numerics.check import check, check_steps
from gradcheck.numerics.exempt import away, root_mean_square, same_bits
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

Array = np.ndarray
REAL = [name for name, scheme in SCHEMES.items() if not scheme.complex_valued]
SIZE = 5


def problem(used: Array, theta: Array, scale: float = 1.0, opaque: bool = False, limits: Any = (None, None)) -> Problem:
    """sum of scale_i sin(theta_i**2 + 1) over the ``used`` weights; the gradient of all others is claimed to be 0."""
    factors = np.where(used, scale, 0.0)

    def loss(point: Array) -> Array:
        return (factors * np.sin(point**2 + 1)).sum() + 1

    gradient = np.where(used, factors * 2 * theta * np.cos(theta**2 + 1), 0.0)
    noise = 2.0**-50
    rounding = Rounding(noise, np.full(SIZE, noise), np.full(SIZE, noise), np.zeros(SIZE), np.ones(SIZE), 2.0**-53)
    return Problem(
        layout=Layout(("W", "b"), ((SIZE - 1,), (1,))),
        theta=theta,
        loss=loss,
        analytic=gradient,
        correct=gradient,
        rounding=rounding,
        measured=Measured(math.inf) if opaque else None,
        low=limits[0],
        high=limits[1],
    )


used_weights = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(np.array)
thetas = st.lists(st.floats(0.2, 1.5), min_size=SIZE, max_size=SIZE).map(np.array)


@given(used_weights, thetas, st.sampled_from(list(SCHEMES)), st.sampled_from([AUTO, 1e-3, 1e-6, 1e-17]), st.booleans())
def test_exempt_are_just_the_weights_without_a_path(used, theta, scheme, eps, opaque):
    result = check(problem(used, theta, opaque=opaque), SCHEMES[scheme], eps, 1e-2)
    assert [r == "exempt" for r in result.weights["reason"]] == (~used).tolist()
    assert all(v == "inconclusive" for v, u in zip(result.weights["verdict"], used, strict=True) if not u)
    assert result.summary["n_exempt"] == (~used).sum()
    assert result.summary["n_inconclusive"] >= result.summary["n_exempt"]


@given(
    used_weights,
    thetas,
    st.sampled_from(REAL),
    st.lists(st.sampled_from([1e-1, 1e-4, 1e-9, 1e-17]), min_size=2, max_size=4),
)
def test_nor_does_it_depend_on_which_other_steps_are_looked_at(used, theta, scheme, steps):
    posed = problem(used, theta, scale=1e-12)  # so small a path that some steps do not show it
    theta[0] = 1e-9
    together = check_steps(posed, SCHEMES[scheme], steps, 1e-2)
    for eps, found in zip(steps, together, strict=True):
        alone = check(posed, SCHEMES[scheme], eps, 1e-2)
        assert found.weights["reason"] == alone.weights["reason"]
        assert found.summary == alone.summary


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("eps", [AUTO, 1e-6, 1e-17])
@pytest.mark.parametrize("opaque", [False, True])
def test_a_path_that_the_steps_do_not_show_is_one_all_the_same(scheme, eps, opaque):
    """At theta = 0 the slope of theta**2 is 0, and at a step of 1e-6 it is below the last digit of the loss."""
    used, theta = np.ones(SIZE, bool), np.zeros(SIZE)
    result = check(problem(used, theta, opaque=opaque), SCHEMES[scheme], eps, 1e-2)
    assert "exempt" not in result.weights["reason"]
    assert result.summary["n_exempt"] == 0
    assert result.summary["verdict"] == "inconclusive"
    if eps != 1e-17:
        assert set(result.weights["reason"]) == {"stationary"}


def test_a_forgotten_gradient_is_not_exempt_even_where_its_path_is_hidden():
    """The planted fault: the claim is 0, the loss changes by less than a digit at any step, but not at a thousandth of W."""
    theta = np.array([1e6, 1.0, 1.0, 1.0, 1.0])

    def loss(point):
        return 1 + 1e-16 * (point[0] - 1e6)

    rounding = Rounding(1e-16, np.full(SIZE, 1e-16), np.zeros(SIZE), np.zeros(SIZE), np.ones(SIZE), 2.0**-53)
    posed = Problem(
        layout=Layout(("W",), ((SIZE,),)), theta=theta, loss=loss,
        analytic=np.zeros(SIZE), correct=None, rounding=rounding,
    )  # fmt: skip
    found = check(posed, SCHEMES["central"], 1e-3, 1e-2)
    assert found.weights["reason"] == ["stationary"] + ["exempt"] * 4


def test_two_points_more_are_evaluated_for_those_that_would_be_exempt_and_counted():
    used, theta = np.array([True, False, True, False, True]), np.full(SIZE, 0.7)
    points: list[Array] = []
    posed = problem(used, theta)
    from dataclasses import replace

    inner = posed.loss
    counted = replace(posed, loss=lambda p: points.append(p.copy()) or inner(p))
    found = check(counted, SCHEMES["central"], 1e-5, 1e-2)
    assert found.summary["n_evals"] == len(points)
    without = check(problem(np.ones(SIZE, bool), theta), SCHEMES["central"], 1e-5, 1e-2).summary["n_evals"]
    assert found.summary["n_evals"] == without + 2 * 2
    moved = sorted(float(p[1] - theta[1]) for p in points if p[1] != theta[1])
    assert moved[0] == pytest.approx(-0.7e-3)
    assert moved[-1] == pytest.approx(0.7e-3)


def test_nothing_is_evaluated_outside_the_domain_for_it():
    used, theta = np.array([True, False, False, False, True]), np.full(SIZE, 0.7)
    low, high = np.full(SIZE, 0.7), np.full(SIZE, 2.0)
    high[2] = 0.7  # cannot be moved at all
    seen: list[Array] = []
    posed = problem(used, theta, opaque=True, limits=(low, high))
    inner = posed.loss

    def inside(point):
        if ((point < low) | (point > high)).any():
            return math.nan
        seen.append(point.copy())
        return inner(point)

    from dataclasses import replace

    found = check(replace(posed, loss=inside), SCHEMES["forward"], 1e-5, 1e-2)
    assert found.weights["reason"][1] == found.weights["reason"][3] == "exempt"
    assert found.weights["reason"][2] != "exempt"
    assert min(p.min() for p in seen) >= 0.7


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3), st.sampled_from([np.float32, np.float64, np.longdouble])
)
def test_how_far_a_weight_is_moved(values, dtype):
    with np.errstate(over="ignore"):
        theta = np.array([*values, 0.0], dtype)
    theta[~np.isfinite(theta)] = 1
    layout = Layout(("W", "b"), ((3,), ()))
    points = away(theta, np.arange(4), layout)
    assert points.dtype == dtype
    exact = [abs(float(t)) for t in theta[:3]]
    largest = max(exact)
    rms = largest * math.sqrt(sum((e / largest) ** 2 for e in exact) / 3) if largest else 0.0
    for i, size in enumerate([*(max(e, rms) or 1.0 for e in exact), 1.0]):
        spacing = float(np.spacing(np.abs(theta[i]) + dtype(1e-3 * min(size, 1e30))))
        assert float(points[i, 1]) - float(theta[i]) == pytest.approx(1e-3 * size, rel=1e-5, abs=4 * spacing + 1e-40)
        assert float(theta[i]) - float(points[i, 0]) == pytest.approx(1e-3 * size, rel=1e-5, abs=4 * spacing + 1e-40)


def test_the_root_mean_square_neither_overflows_nor_vanishes():
    for scale in (1e-200, 1.0, 1e200):
        assert float(root_mean_square(np.array([3.0, 4.0]) * scale)) == pytest.approx(
            math.sqrt(12.5) * scale, rel=1e-15
        )
    assert root_mean_square(np.zeros(3)) == 0
    assert root_mean_square(np.zeros(0)) == 0


def test_the_same_bits():
    assert same_bits(np.array([0.0, -0.0, 1.0, np.nan, np.inf]), np.array([0.0, 0.0, 1.0, np.nan, np.inf])).tolist() == [
        True, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["central", "forward", "richardson", "complex_step"])
@pytest.mark.parametrize("eps", [None, 1e-5])
def test_an_input_that_is_always_zero_has_no_path(scheme, eps):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 3))
    X[:, 1] = 0
    y = (X[:, 0] > 0).astype(float)[:, None]
    weights = {"W1": rng.normal(size=(3, 2)), "b1": rng.normal(size=2), "W2": rng.normal(size=(2, 1)), "b2": [0.1]}
    found = cell(
        MLP([2]),
        [X.tolist(), y.tolist()],
        {k: np.asarray(v).tolist() for k, v in weights.items()},
        eps=eps,
        scheme=scheme,
    )
    exempt = [
        (p, tuple(x))
        for p, x, r in zip(*(found.weights[c] for c in ("param", "position", "reason")), strict=True)
        if r == "exempt"
    ]
    assert exempt == [("W1", (1, 0)), ("W1", (1, 1))]
    assert (found.summary["verdict"], found.summary["ok"]) == ("match", True)


def test_one_whose_weights_are_all_exempt_judges_nothing():
    r = gradcheck.check_gradient(lambda x: 3.0, np.zeros_like, np.ones(4))
    assert (r.verdict, r.reason, r.judged, bool(r)) == ("inconclusive", "exempt", 0.0, False)
    assert str(r).startswith("INCONCLUSIVE  4 weights: every one is exempt, none has a path to the loss")


def test_an_unused_parameter_of_somebody_s_function_is_named_and_does_not_matter():
    r = gradcheck.check_gradient(
        lambda p: float(np.sin(p["W"]).sum()),
        lambda p: {"W": np.cos(p["W"]), "old": np.zeros(3)},
        {"W": np.ones(4), "old": np.ones(3)},
    )
    assert (r.verdict, r.ok, r.judged) == ("match", True, 1.0)
    assert "MATCH  4 of 4 weights that are not exempt" in str(r)
    assert " exempt: 3 in old" in str(r)
    gradcheck.assert_gradient(lambda p: float(np.sin(p["W"]).sum()), lambda p: {"W": np.cos(p["W"]), "old": np.zeros(3)},
                              {"W": np.ones(4), "old": np.ones(3)}, strict=True)  # fmt: skip
