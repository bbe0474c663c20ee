"""One's own gradient: every way to state it, to break the contract and to print it; nothing is left changed."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from waiting import PATIENCE

import gradcheck
from gradcheck import ContractError, GradientMismatch, assert_gradient, check_gradient
from gradcheck.columns.weights import ERRORS
from gradcheck.numerics.measured.noise import POINTS
from gradcheck.numerics.schemes import SCHEMES

REAL_SCHEMES = [name for name, scheme in SCHEMES.items() if not scheme.complex_valued]
Array = np.ndarray


def tree(f: Callable[[Array], Array], x: Any) -> Any:
    """f of every array of x, in x's own structure."""
    if isinstance(x, dict):
        return {key: f(value) for key, value in x.items()}
    if hasattr(x, "_make"):
        return x._make(f(value) for value in x)
    if isinstance(x, (list, tuple)):
        return type(x)(f(value) for value in x)
    return f(x)


def leaves(x: Any) -> list[Array]:
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


def exp_loss(x: Any) -> Any:
    """sum exp(x / 2): its gradient exp(x / 2) / 2 is nowhere 0."""
    return sum((np.exp(part / 2).sum() for part in leaves(x)), 0.0)


def exp_gradient(x: Any) -> Any:
    return tree(lambda part: np.exp(part / 2) / 2, x)


def change_last(x: Any, factor: float) -> Any:
    """exp_gradient with the last entry of the last parameter that has any off by a factor."""
    gradient = tree(np.array, exp_gradient(x))
    last = [part for part in leaves(gradient) if part.size][-1]
    last[(-1,) * last.ndim] *= factor
    return gradient


RNG = np.random.default_rng(0)
Point = namedtuple("Point", ["W", "b"])

X0 = {
    "scalar": 1.5,
    "0-d": np.array(-0.7),
    "vector": RNG.normal(size=4),
    "list of numbers": [0.3, -1.2, 2.0],
    "integers": np.array([1, 2, -3]),
    "matrix": RNG.normal(size=(3, 2)),
    "Fortran order": np.asfortranarray(RNG.normal(size=(3, 2))),
    "four axes": RNG.normal(size=(2, 1, 3, 2)),
    "strided": RNG.normal(size=12)[::3],
    "dict": {"W": RNG.normal(size=(2, 3)), "b": RNG.normal(size=2)},
    "dict with a scalar and an empty array": {"a": np.array(0.4), "empty": np.empty((0, 3)), "c": RNG.normal(size=2)},
    "dict with numbers as keys": {1: RNG.normal(size=2), 2: RNG.normal(size=3)},
    "ordered dict": OrderedDict(b=RNG.normal(size=2), a=RNG.normal(size=3)),
    "list": [RNG.normal(size=(2, 2)), RNG.normal(size=3)],
    "tuple": (RNG.normal(size=(2, 2)), np.array(0.5)),
    "namedtuple": Point(RNG.normal(size=(2, 2)), RNG.normal(size=2)),
}


# -------------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("x0", X0.values(), ids=X0.keys())
def test_parameters_of_any_structure_are_judged_and_one_wrong_entry_is_found(x0: Any) -> None:
    whole = np.asarray(x0) if isinstance(x0, list) and not isinstance(x0[0], np.ndarray) else x0
    right = check_gradient(exp_loss, exp_gradient, x0)
    assert right.ok
    assert bool(right)
    n = sum(np.size(part) for part in leaves(whole))
    assert right.count("match") == n == len(right.errors) == right.n_weights
    wrong = check_gradient(exp_loss, lambda x: change_last(x, 1 + 1e-4), x0)
    assert wrong.verdict == "mismatch"
    assert not wrong
    assert [i for i, v in enumerate(wrong.table["verdict"]) if v == "mismatch"] == [n - 1]


def test_the_function_receives_the_structure_shapes_and_dtype_of_x0() -> None:
    seen: list[Any] = []

    def fun(x: Any) -> float:
        seen.append(x)
        return exp_loss(x)

    check_gradient(fun, exp_gradient, X0["namedtuple"])
    assert {type(x) for x in seen} == {Point}
    seen.clear()
    check_gradient(fun, exp_gradient, X0["dict with numbers as keys"])
    assert {tuple(x) for x in seen} == {(1, 2)}
    seen.clear()
    check_gradient(fun, exp_gradient, X0["matrix"].astype(np.longdouble))
    assert {(x.shape, x.dtype) for x in seen} == {((3, 2), np.dtype(np.longdouble))}


def test_names_of_the_parameters_are_the_callers() -> None:
    names = {
        "vector": ["x"],
        "dict": ["W", "b"],
        "list": ["x0", "x1"],
        "namedtuple": ["W", "b"],
        "dict with numbers as keys": ["1", "2"],
    }
    for key, wanted in names.items():
        assert list(dict.fromkeys(check_gradient(exp_loss, exp_gradient, X0[key]).table["param"])) == wanted
    assert check_gradient(exp_loss, exp_gradient, X0["dict"]).entry(4) == "W[1,1]"
    assert check_gradient(exp_loss, exp_gradient, X0["0-d"]).entry(0) == "x"


@pytest.mark.parametrize("empty", [np.empty(0), np.empty((0, 3)), [], {}, {"a": np.empty(0)}], ids=repr)
def test_nothing_to_check_is_inconclusive(empty: Any) -> None:
    outcome = check_gradient(lambda x: 1.0, lambda x: x if isinstance(x, dict) else np.asarray(x), empty)
    assert outcome.verdict == "inconclusive"
    assert len(outcome.errors) == 0
    assert "0 weights" in str(outcome)


@pytest.mark.parametrize("scheme", REAL_SCHEMES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize("eps", ["auto", 1e-3])
def test_every_scheme_dtype_and_step(scheme: str, dtype: str, eps: Any) -> None:
    x0 = np.array([0.4, -1.1, 2.0], dtype)
    outcome = check_gradient(exp_loss, exp_gradient, x0, scheme=scheme, eps=eps)
    assert outcome.count("mismatch") == 0, str(outcome)
    # a scale that is not known allows no step at which the noise of so many points falls below 1% in single precision
    weak = len(SCHEMES[scheme].pairs) > 2 and dtype == "float32"
    # with a step as long as 1e-3 or in single precision the smallest derivative is not seen to 1%
    assert outcome.ok or (outcome.verdict == "partial" and dtype == "float32") or weak, str(outcome)
    assert outcome.dtype == (dtype if np.dtype(dtype) != np.float64 else "float64")
    wrong = check_gradient(
        exp_loss, lambda x: change_last(x, x.dtype.type(1.5 if weak else 1.05)), x0, scheme=scheme, eps=eps
    )
    assert [v == "mismatch" for v in wrong.table["verdict"]] == [False, False, True], str(wrong)
    if eps != "auto":
        # the step that is stored is the one that was taken
        assert np.abs(outcome.table["step"] - eps).max() <= np.finfo(np.float32).eps * 2
        assert set(outcome.table["step_rule"]) == {"fixed"}


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
@pytest.mark.parametrize("eps", ["auto", 1e-20, 1e-3])
def test_the_complex_step(dtype: Any, eps: Any) -> None:
    x0 = np.array([0.4, -1.1, 2.0], dtype)
    outcome = check_gradient(exp_loss, exp_gradient, x0, scheme="complex_step", eps=eps)
    assert outcome.count("match") == 3, str(outcome)
    if eps != 1e-3:
        # nothing cancels: the difference is a few units of rounding
        assert outcome.table["rel_err"].max() <= 8 * max(np.finfo(dtype).eps, np.finfo(np.float64).eps)


UNSAFE: dict[str, Callable[[Array], Any]] = {
    "abs": lambda x: (np.abs(x) ** 2).sum(),
    "conjugate": lambda x: np.vdot(x, x),
    "norm": lambda x: np.linalg.norm(x),
    "real": lambda x: (x.real**2).sum(),
    "float": lambda x: float(x[0]) ** 2 + float(x[1]),
    "assigned into floats": lambda x: float_copy(x),
    "one entry alone": lambda x: (x**2).sum() + 0.1 * np.abs(x[1]),
}


def float_copy(x: Array) -> Any:
    y = np.empty(x.shape)
    y[:] = x
    return (y**2).sum()


@pytest.mark.parametrize("name", UNSAFE)
def test_a_function_that_is_not_complex_safe_is_told_so(name: str) -> None:
    fun = UNSAFE[name]
    with pytest.raises(ContractError, match=r"complex_step.*not complex-safe"):
        check_gradient(fun, lambda x: 2 * x, np.array([0.5, 1.5, -0.7]), scheme="complex_step")


def test_the_complex_step_accepts_a_hard_but_analytic_function() -> None:
    def fun(x: Array) -> Any:
        return np.log(np.exp(3 * x).sum()) + np.sin(40 * x[0]) + 1e6 * x[1] ** 3

    def jac(x: Array) -> Array:
        gradient = 3 * np.exp(3 * x) / np.exp(3 * x).sum()
        gradient[0] += 40 * np.cos(40 * x[0])
        gradient[1] += 3e6 * x[1] ** 2
        return gradient

    assert check_gradient(fun, jac, np.array([0.5, -0.3, 1.0]), scheme="complex_step").count("match") == 3


def test_arguments_and_value_with_gradient() -> None:
    A, b = RNG.normal(size=(3, 3)), RNG.normal(size=3)

    def both(x: Array, A: Array, b: Array) -> tuple[float, Array]:
        r = A @ x - b
        return float(r @ r), 2 * A.T @ r

    x0 = np.array([0.1, -0.5, 0.7])
    for outcome in (
        check_gradient(both, True, x0, (A, b)),
        check_gradient(lambda x, A, b: both(x, A, b)[0], lambda x, A, b: both(x, A, b)[1], x0, (A, b)),
    ):
        assert outcome.count("match") == 3
    assert check_gradient(lambda x, c: c * x**2, lambda x, c: 2 * c * x, 1.0, 3.0).ok  # one argument, as SciPy takes it


def test_a_sample_is_drawn_by_its_seed_and_an_error_elsewhere_is_not_seen() -> None:
    x0 = np.linspace(-1, 1, 50)
    first, again = (check_gradient(exp_loss, exp_gradient, x0, sample=7, seed=3) for _ in range(2))
    other = check_gradient(exp_loss, exp_gradient, x0, sample=7, seed=4)
    assert len(first.errors) == 7
    assert first.n_weights == 50
    assert "7 sampled of 50 weights" in str(first)
    assert first.errors.equals(again.errors)
    assert list(first.table["flat_index"]) != list(other.table["flat_index"])
    assert check_gradient(exp_loss, lambda x: change_last(x, 2.0), x0, sample=50).count("mismatch") == 1
    assert check_gradient(exp_loss, exp_gradient, x0, sample=500).count("match") == 50


@pytest.mark.parametrize("sample", [0, -1, 2.5, True])
def test_a_sample_that_is_no_count_is_refused(sample: Any) -> None:
    with pytest.raises(ValueError, match="sample="):
        check_gradient(exp_loss, exp_gradient, np.ones(3), sample=sample)


# --------------------------------------------------------------------------------------------------- several outputs


def layer(x: Array) -> Array:
    return np.tanh(x[:2, None] * x[None, 1:])


def layer_jacobian(x: Array) -> Array:
    slope = 1 - layer(x) ** 2
    out = np.zeros((2, x.size - 1, x.size))
    for i in range(2):
        for j in range(x.size - 1):
            out[i, j, i] += slope[i, j] * x[j + 1]
            out[i, j, j + 1] += slope[i, j] * x[i]
    return out


X_LAYER = np.array([0.5, -0.4, 0.8, 1.2])


def test_a_jacobian_is_checked_entry_by_entry() -> None:
    right = check_gradient(layer, layer_jacobian, X_LAYER)
    assert right.count("mismatch") == 0
    assert right.n_weights == 24 == len(right.errors)
    # what an output does not depend on has the derivative 0 on both sides
    zeros = layer_jacobian(X_LAYER).reshape(-1) == 0
    assert [r == "exempt" for r in right.table["reason"]] == list(zeros)
    assert (right.verdict, right.judged, right.ok) == ("match", 1.0, True)

    def wrong(x: Array) -> Array:
        jacobian = layer_jacobian(x)
        jacobian[1, 2, 3] *= 1 + 1e-4
        return jacobian

    outcome = check_gradient(layer, wrong, X_LAYER)
    (row,) = outcome.errors.query("verdict == 'mismatch'").to_dict("records")
    assert list(row["position"]) == [1, 2, 3]
    assert row["flat_index"] == np.ravel_multi_index((1, 2, 3), (2, 3, 4))
    assert "x[1,2,3]" in str(outcome)


def test_a_jacobian_of_several_parameters_has_the_outputs_shape_in_front_of_each() -> None:
    x0 = {"W": RNG.normal(size=(2, 3)), "b": RNG.normal(size=2)}
    x = np.array([0.3, -0.8, 1.1])

    def fun(p: dict[str, Array]) -> Array:
        return np.exp(0.3 * (p["W"] @ x + p["b"]))

    def jac(p: dict[str, Array]) -> dict[str, Array]:
        slope = np.diag(0.3 * fun(p))
        return {"W": slope[:, :, None] * x, "b": slope}

    right = check_gradient(fun, jac, x0)
    assert right.count("match") == 8, str(right)
    assert list(right.table["flat_index"]) == list(range(16))
    assert right.table["param"] == ["W"] * 12 + ["b"] * 4
    assert right.table["position"][:12] == [list(p) for p in np.ndindex(2, 2, 3)]
    assert np.array_equal(right.table["analytic"], np.concatenate([jac(x0)["W"].ravel(), jac(x0)["b"].ravel()]))
    assert np.array_equal(right.table["weight"][:6], x0["W"].ravel())

    def wrong(p: dict[str, Array]) -> dict[str, Array]:
        return {**jac(p), "b": 2 * jac(p)["b"]}

    outcome = check_gradient(fun, wrong, x0)
    assert [outcome.entry(i) for i, v in enumerate(outcome.table["verdict"]) if v == "mismatch"] == ["b[0,0]", "b[1,1]"]
    some = check_gradient(fun, jac, x0, sample=3)
    assert len(some.errors) == 6
    assert some.n_weights == 16


def test_the_outputs_of_a_jacobian_share_their_evaluations() -> None:
    A = RNG.normal(size=(9, 4))
    outcome = check_gradient(lambda x: np.exp(A @ x), lambda x: np.exp(A @ x)[:, None] * A, X_LAYER)
    one = check_gradient(lambda x: np.exp(A @ x)[0], lambda x: np.exp(A @ x)[0] * A[0], X_LAYER)
    assert outcome.count("match") == 36
    # nine outputs, each with its own steps, which depend on its noise: at worst some points are not shared
    assert outcome.nfev <= 2 * one.nfev


def test_a_sparse_jacobian_is_taken() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x0 = np.array([0.5, 1.5])
    assert check_gradient(lambda x: x**2, lambda x: sparse.csr_array(np.diag(2 * x)), x0).count("match") == 2


def test_a_value_of_size_one_is_a_number() -> None:
    x0 = np.array([0.5, 1.5])
    for shape in ((), (1,), (1, 1)):
        fun = lambda x, shape=shape: np.reshape((x**2).sum(), shape)  # noqa: E731
        assert check_gradient(fun, lambda x: 2 * x, x0).ok
        assert check_gradient(fun, lambda x, shape=shape: (2 * x).reshape(*shape, 2), x0).ok


def test_a_layers_backward_is_checked_with_a_random_upstream_gradient() -> None:
    X = RNG.normal(size=(5, 3))

    def forward(p: dict[str, Array], X: Array) -> Array:
        return np.maximum(X @ p["W"] + p["b"], 0)

    def backward(p: dict[str, Array], dout: Array, X: Array) -> dict[str, Array]:
        dz = dout * (X @ p["W"] + p["b"] > 0)
        return {"W": X.T @ dz, "b": dz.sum(axis=0)}

    x0 = {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4)}
    right = check_gradient(forward, backward, x0, (X,), vjp=True)
    assert right.ok
    # the weights of a unit that is 0 for all five rows
    assert right.count("match") == 4 * np.any(forward(x0, X) > 0, axis=0).sum() == 16 - right.count("inconclusive")

    def forgotten(p: dict[str, Array], dout: Array, X: Array) -> dict[str, Array]:
        return {"W": X.T @ dout, "b": backward(p, dout, X)["b"]}

    outcome = check_gradient(forward, forgotten, x0, (X,), vjp=True)
    assert {p for p, v in zip(outcome.table["param"], outcome.table["verdict"], strict=True) if v == "mismatch"} == {
        "W"
    }
    # the same seed draws the same upstream gradient
    seeds = [check_gradient(forward, backward, x0, (X,), vjp=True, seed=s).table["analytic"] for s in (0, 0, 1)]
    assert np.array_equal(seeds[0], seeds[1])
    assert not np.array_equal(seeds[0], seeds[2])


# --------------------------------------------------------------------------------------------------- edges of domains


def test_at_the_edge_of_a_domain_a_one_sided_scheme_is_used() -> None:
    x0 = np.array([0.7, 0.0, 2.0])

    def fun(x: Array) -> float:
        if (x < 0).any():
            raise ValueError("x must not\nbe negative")
        return float(np.exp(x).sum())

    def jac(x: Array) -> Array:
        return np.exp(x)

    outcome = check_gradient(fun, jac, x0)
    assert outcome.count("match") == 3, str(outcome)
    assert "fun raised near x0: ValueError: x must not be negative" in str(outcome)
    wrong = check_gradient(fun, lambda x: jac(x) * [1, 1.01, 1], x0)
    assert [v == "mismatch" for v in wrong.table["verdict"]] == [False, True, False]
    forward = check_gradient(fun, jac, x0, scheme="forward", eps=1e-6)
    assert forward.count("match") == 3, str(forward)
    # a step that leads out of the domain says nothing, and says so
    fixed = check_gradient(fun, jac, x0, scheme="central", eps=1e-6)
    assert fixed.table["verdict"] == ["match", "inconclusive", "match"]
    assert fixed.reason == "overflow"


def test_nothing_outside_bounds_is_evaluated() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x0 = np.array([0.0, 1.0, 0.5, 2.0])
    low, high = np.array([0.0, -1.0, -np.inf, 2.0]), np.array([5.0, 1.0, np.inf, 3.0])
    seen: list[Array] = []

    def fun(x: Array) -> float:
        seen.append(x.copy())
        return exp_loss(x)

    pairs = [(0, 5), (-1, 1), (None, None), (2, 3)]
    for bounds in (pairs, optimize.Bounds(low, high)):
        outcome = check_gradient(fun, exp_gradient, x0, bounds=bounds)
        assert outcome.count("match") == 4, str(outcome)
        assert check_gradient(fun, lambda x: exp_gradient(x) * 1.001, x0, bounds=bounds).count("mismatch") == 4
    assert (np.array(seen) >= low).all()
    assert (np.array(seen) <= high).all()
    assert check_gradient(exp_loss, exp_gradient, x0, bounds=optimize.Bounds(-5, 5)).count("match") == 4


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([(0, 1)], "2 pairs"),
        ([(0, 1), (2, 3)], "outside bounds: entry 1 is 0.5"),
        (3, "pairs"),
        ([(0, 1), "a"], "pairs"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(bounds: Any, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        check_gradient(exp_loss, exp_gradient, np.array([0.5, 0.5]), bounds=bounds)


def test_a_kink_is_no_false_alarm() -> None:
    x0 = np.array([0.0, 1.0, -2.0])
    outcome = check_gradient(lambda x: np.abs(x).sum(), np.sign, x0)
    assert outcome.table["verdict"][1:] == ["match", "match"]
    assert outcome.table["verdict"][0] in ("nondifferentiable", "inconclusive")
    # any slope between those on both sides is as good
    for slope in (1.0, -1.0, 0.3):
        other = check_gradient(lambda x: np.abs(x).sum(), lambda x, s=slope: np.where(x == 0, s, np.sign(x)), x0)
        assert other.count("mismatch") == 0, str(other)


def test_a_function_that_computes_in_single_precision_is_no_false_alarm() -> None:
    A = RNG.normal(size=(20, 4)).astype(np.float32)

    def fun(x: Array) -> float:
        return float((np.tanh(A @ x.astype(np.float32)) ** 2).sum())

    def jac(x: Array) -> Array:
        t = np.tanh(A @ x.astype(np.float32))
        return (A.T @ (2 * t * (1 - t**2))).astype(np.float64)

    for seed in range(10):
        x0 = np.random.default_rng(seed).normal(size=4) * 0.3
        outcome = check_gradient(fun, jac, x0, seed=seed)
        assert outcome.count("mismatch") == 0, str(outcome)
        assert outcome.verdict in ("match", "partial"), str(outcome)
        assert check_gradient(fun, lambda x: 1.1 * jac(x), x0, seed=seed).verdict == "mismatch"


# ----------------------------------------------------------------------------------------------------------- contract

MATRIX = np.arange(1.0, 7.0).reshape(2, 3)


def square(x: Array) -> float:
    return float((x**2).sum())


class Noisy:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, x: Array) -> float:
        return square(x) + 1e-3 * self.rng.standard_normal()


def in_place(x: Array) -> float:
    x -= x.mean()
    return square(x)


def in_place_gradient(x: Array) -> Array:
    x *= 2
    return x


def in_place_argument(x: Array, data: Array) -> float:
    data -= 1.0
    return float(((x - data) ** 2).sum())


class Growing:
    """A value whose shape depends on x."""

    def __call__(self, x: Array) -> Array:
        return x[: 2 if x[0] == 1.0 else 3]


P = {"W": MATRIX, "b": np.ones(2)}


def square_dict(p: dict[str, Array]) -> float:
    return square(p["W"]) + square(p["b"])


BROKEN: dict[str, tuple[Any, Any, Any, dict[str, Any], str]] = {
    "transpose": (
        square,
        lambda x: 2 * x.T,
        MATRIX,
        {},
        r"the gradient has the shape \(3, 2\), but must have \(2, 3\): it is the transpose",
    ),
    "flattened": (
        square,
        lambda x: 2 * x.ravel(),
        MATRIX,
        {},
        r"shape \(6,\), but must have \(2, 3\): the same number of entries in another shape",
    ),
    "shape": (square, lambda x: x[0], MATRIX, {}, r"the gradient has the shape \(3,\), but must have \(2, 3\)$"),
    "transpose of one": (
        square_dict,
        lambda p: {"W": 2 * p["W"].T, "b": 2 * p["b"]},
        P,
        {},
        "the gradient of W has the shape .* it is the transpose",
    ),
    "missing": (square_dict, lambda p: {"W": 2 * p["W"]}, P, {}, "no entry for b"),
    "None": (square, lambda x: None, MATRIX, {}, "the gradient is None"),
    "None for one": (
        square_dict,
        lambda p: {"W": 2 * p["W"], "b": None},
        P,
        {},
        r"the gradient of b is None: it must be an array of shape \(2,\)",
    ),
    "array for a dict": (square_dict, lambda p: p["W"], P, {}, "is a ndarray, but x0 is a dict of W, b"),
    "dict for an array": (square, lambda x: {"x": x}, MATRIX, {}, "is a dict, but x0 is one array"),
    "several": (square, lambda x: (2 * x, x[0]), MATRIX, {}, "tuple of 2 gradients for one input"),
    "several alike": (square, lambda x: (2 * x, 2 * x), MATRIX, {}, "tuple of 2 gradients for one input"),
    "several with None": (square, lambda x: (2 * x, None), MATRIX, {}, "tuple of 2 gradients for one input"),
    "too few": (lambda p: square(p[0]), lambda p: [2 * p[0]], [MATRIX, MATRIX], {}, "has 1 arrays, but x0 has 2"),
    "complex": (square, lambda x: 2 * x + 0j, MATRIX, {}, "dtype complex128: it must be real numbers"),
    "object": (square, lambda x: (2 * x).astype(object), MATRIX, {}, "dtype object"),
    "text": (square, lambda x: (2 * x).astype(str), MATRIX, {}, "dtype <U"),
    "boolean": (square, lambda x: x > 0, MATRIX, {}, "dtype bool"),
    "single precision": (
        square,
        lambda x: (2 * x).astype(np.float32),
        MATRIX,
        {},
        "dtype float32, but x0 and the value of fun have float64",
    ),
    "ragged": (square, lambda x: [[1.0], [1.0, 2.0]], MATRIX, {}, "no array of numbers"),
    "value None": (lambda x: None, lambda x: 2 * x, MATRIX, {}, "fun returns None"),
    "value text": (lambda x: "1", lambda x: 2 * x, MATRIX, {}, "fun returns <U1"),
    "value empty": (lambda x: np.empty(0), lambda x: 2 * x, MATRIX, {}, "fun returns an empty array"),
    "value complex": (
        lambda x: 1j * square(x),
        lambda x: 2 * x,
        MATRIX,
        {},
        "fun returns complex128: it must return real numbers",
    ),
    "pair": (lambda x: (square(x), 2 * x), lambda x: 2 * x, MATRIX, {}, "say jac=True"),
    "no pair": (
        square,
        True,
        MATRIX,
        {},
        r"jac=True means that fun returns \(value, gradient\), but it returns one float",
    ),
    "triple": (lambda x: (1.0, x, x), True, MATRIX, {}, "but it returns 3 things"),
    "changing shape": (
        Growing(),
        lambda x: np.eye(2, 3),
        np.array([1.0, 2.0, 3.0]),
        {},
        r"fun returns the shape \(3,\) at a perturbed x, but \(2,\) at x0",
    ),
    "not deterministic": (
        Noisy(),
        lambda x: 2 * x,
        MATRIX,
        {},
        r"fun is not deterministic: two calls with the same x differ by 0\.000\d+",
    ),
    "global random state": (
        lambda x: square(x) + np.random.rand(),
        lambda x: 2 * x,
        MATRIX,
        {},
        "fun is not deterministic",
    ),
    "gradient not deterministic": (
        square,
        lambda x: 2 * x + 1e-3 * np.random.rand(*x.shape),
        MATRIX,
        {},
        "jac is not deterministic",
    ),
    "in place": (in_place, lambda x: 2 * x, MATRIX, {}, "fun changes its argument x in place"),
    "gradient in place": (square, in_place_gradient, MATRIX, {}, "jac changes its argument x in place"),
    "argument in place": (
        in_place_argument,
        lambda x, d: 2 * (x - d),
        MATRIX,
        {"args": (MATRIX.copy(),)},
        r"fun changes its argument args\[0\] in place",
    ),
    "value nan": (lambda x: np.nan, lambda x: 2 * x, MATRIX, {}, "fun is nan at x0"),
    "value infinite": (lambda x: -np.inf, lambda x: 2 * x, MATRIX, {}, "fun is -inf at x0"),
    "x0 nan": (square, lambda x: 2 * x, np.array([1.0, np.nan]), {}, "x0 has an entry that is not finite"),
    "x0 None": (square, lambda x: 2 * x, None, {}, "x0 is None"),
    "x0 complex": (square, lambda x: 2 * x, np.array([1j]), {}, "x0 has dtype complex128"),
    "x0 half": (square, lambda x: 2 * x, np.ones(2, np.float16), {}, "x0 has dtype float16"),
    "x0 of one": (
        square_dict,
        lambda p: p,
        {"W": np.ones(2, "M8[s]"), "b": MATRIX},
        {},
        r"x0 \(W\) has dtype datetime64",
    ),
    "eps 0": (square, lambda x: 2 * x, MATRIX, {"eps": 0}, "eps=0: must be a finite number > 0"),
    "eps negative": (square, lambda x: 2 * x, MATRIX, {"eps": -1e-6}, "eps=-1e-06: must be"),
    "eps nan": (square, lambda x: 2 * x, MATRIX, {"eps": np.nan}, "eps=nan"),
    "eps text": (square, lambda x: 2 * x, MATRIX, {"eps": "small"}, "eps='small'"),
    "eps None": (square, lambda x: 2 * x, MATRIX, {"eps": None}, "eps=None"),
    "no jac": (square, None, MATRIX, {}, "jac=None: must be a function, or True"),
    "jac False": (square, False, MATRIX, {}, "jac=False"),
    "no fun": (1.0, lambda x: 2 * x, MATRIX, {}, "fun=1.0: must be a function"),
    "vjp of both": (square, True, MATRIX, {"vjp": True}, "vjp=True: needs jac"),
    "dout in place": (
        lambda x: x**2,
        lambda x, dout: np.multiply(dout, 2 * x, out=dout),
        MATRIX,
        {"vjp": True},
        "jac changes its argument dout in place",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_the_functions_is_said_in_one_line(name: str) -> None:
    fun, jac, x0, options, words = BROKEN[name]
    state = np.random.get_state()[1].copy()
    before = [np.array(part, copy=True) for part in leaves(x0)] if x0 is not None and "ragged" not in name else []
    with pytest.raises(ContractError, match=words) as caught:
        check_gradient(fun, jac, x0, **options)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert np.array_equal(np.random.get_state()[1], state)
    for now, then in zip(leaves(x0), before, strict=False):
        assert np.array_equal(now, then, equal_nan=np.asarray(then).dtype.kind == "f")


def test_the_same_calls_without_the_flaw_are_taken() -> None:
    assert check_gradient(square, lambda x: 2 * x, MATRIX).ok
    assert check_gradient(square_dict, lambda p: {k: 2 * v for k, v in p.items()}, P).ok
    # what is no gradient of a parameter is ignored
    assert check_gradient(square_dict, lambda p: {k: 2 * v for k, v in p.items()} | {"cache": None}, P).ok
    # rows of one gradient, not several gradients
    assert check_gradient(square, lambda x: list(2 * x), MATRIX).ok
    # a gradient of integers is one of numbers
    assert check_gradient(lambda x: x.sum(), lambda x: np.ones(x.shape, int), MATRIX).ok


@pytest.mark.parametrize(("option", "words"), [({"scheme": "middle"}, "scheme='middle': must be one of central"),
                                               ({"match_at": 0}, "match_at=0"), ({"match_at": -1}, "match_at=-1")])  # fmt: skip
def test_a_setting_out_of_range_is_refused(option: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_gradient(square, lambda x: 2 * x, MATRIX, **option)


def test_single_precision_has_no_complex_step() -> None:
    with pytest.raises(ValueError, match=r"complex_step.*float32"):
        check_gradient(square, lambda x: 2 * x, MATRIX.astype(np.float32), scheme="complex_step")


def test_a_gradient_that_is_not_finite_is_a_mismatch() -> None:
    outcome = check_gradient(square, lambda x: np.where(x == 2, np.nan, 2 * x), MATRIX)
    assert outcome.verdict == "mismatch"
    assert [outcome.entry(i) for i, v in enumerate(outcome.table["verdict"]) if v == "mismatch"] == ["x[0,1]"]
    assert outcome.diagnosis_kind == "not_finite"
    assert "x[0,1]" in str(outcome)


# ------------------------------------------------------------------------------------------------- nothing is left changed


@pytest.mark.parametrize("fails", [None, "fun", "jac", "contract", "mismatch"])
def test_nothing_is_left_changed(fails: str | None) -> None:
    x0 = {"W": MATRIX.copy(), "b": np.ones(2)}
    data, cache = np.arange(3.0), {"calls": 0}

    class Stop(Exception):
        pass

    def fun(p: dict[str, Array], data: Array, cache: dict[str, Any]) -> Any:
        np.random.seed(1)
        random.seed(1)
        np.seterr(all="raise")
        warnings.simplefilter("error")
        cache["calls"] += 1
        if fails == "fun":
            raise Stop
        return np.nan if fails == "contract" else square_dict(p) + data.sum()

    def jac(p: dict[str, Array], data: Array, cache: dict[str, Any]) -> Any:
        np.random.rand()
        if fails == "jac":
            raise Stop
        return {k: (3 if fails == "mismatch" else 2) * v for k, v in p.items()}

    np.random.seed(5)
    state, own = np.random.get_state(), random.getstate()
    errors, filters = np.geterr(), list(warnings.filters)
    if fails in (None, "mismatch"):
        assert check_gradient(fun, jac, x0, (data, cache)).verdict == (fails or "match")
    else:
        with pytest.raises(ContractError if fails == "contract" else Stop):
            check_gradient(fun, jac, x0, (data, cache))
    now = np.random.get_state()
    assert np.array_equal(now[1], state[1])
    assert now[2:] == state[2:]
    assert random.getstate() == own
    assert np.geterr() == errors
    assert list(warnings.filters) == filters
    assert np.array_equal(x0["W"], MATRIX)
    assert np.array_equal(x0["b"], np.ones(2))
    assert np.array_equal(data, np.arange(3.0))
    assert cache == {"calls": 0}


def test_arguments_that_cannot_be_copied_are_handed_over() -> None:
    assert check_gradient(lambda x, m: m.sum(x**2), lambda x, m: 2 * x, MATRIX, (np,)).ok


def test_large_arguments_are_watched_but_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    import gradcheck.functions.arguments

    monkeypatch.setattr(gradcheck.functions.arguments, "COPIED", 8)
    data = np.arange(3.0)
    seen: list[int] = []

    def fun(x: Array, data: Array) -> float:
        seen.append(id(data))
        return square(x) * data.sum()

    assert check_gradient(fun, lambda x, d: 2 * x * d.sum(), MATRIX, (data,)).ok
    assert set(seen) == {id(data)}
    with pytest.raises(ContractError, match=r"args\[0\] in place"):
        check_gradient(in_place_argument, lambda x, d: 2 * (x - d), MATRIX, (MATRIX.copy(),))


def test_no_warning_of_a_perturbed_point_reaches_the_caller() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = check_gradient(
            lambda x: np.sqrt(x).sum() + np.exp(x).sum(), lambda x: 0.5 / np.sqrt(x) + np.exp(x), np.array([1e-9, 2.0])
        )
    assert outcome.count("mismatch") == 0


# ---------------------------------------------------------------------------------------------------- what a person sees


def two_layers(p: dict[str, Array], X: Array, y: Array) -> float:
    r = np.tanh(X @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"] - y
    return 0.5 * float((r**2).sum())


def two_layers_wrong(p: dict[str, Array], X: Array, y: Array) -> dict[str, Array]:
    """The gradient, with dW2 twice too large."""
    h = np.tanh(X @ p["W1"] + p["b1"])
    r = h @ p["W2"] + p["b2"] - y
    d = (r @ p["W2"].T) * (1 - h**2)
    return {"W1": X.T @ d, "b1": d.sum(axis=0), "W2": 2 * h.T @ r, "b2": r.sum(axis=0)}


def two_layers_outcome(**options: Any) -> gradcheck.Outcome:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    X[:, 2] = 0.0
    shapes = {"W1": (4, 5), "b1": (5,), "W2": (5, 3), "b2": (3,)}
    x0 = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return check_gradient(two_layers, two_layers_wrong, x0, (X, y), **options)


def test_what_is_printed_of_a_mismatch() -> None:
    lines = str(two_layers_outcome()).splitlines()
    assert lines[0] == "MISMATCH  15 of 43 weights are wrong (all of W2)"
    assert lines[1] == "W2 is 2 times too large; every other judged parameter is right: look at dW2 alone."
    assert re.split(r"  +", lines[2].strip()) == [
        "weight",
        "analytic",
        "numeric",
        "ratio",
        "difference",
        "correct could show",
    ]
    weight, analytic, numeric, ratio, difference, bound = lines[3].split()
    assert re.fullmatch(r"W2\[\d,\d\]", weight)
    assert float(ratio) == 2.0
    assert float(analytic) == pytest.approx(2 * float(numeric), rel=1e-3)  # four digits are shown
    assert float(difference) > 1e3 * float(bound)
    assert lines[8] == " … 10 more: r.errors.query(\"verdict == 'mismatch'\")"
    assert lines[9].startswith(" exempt: 5 in W1, the gradient is 0 and the loss does not change with this weight")
    assert re.fullmatch(r"central, step auto, float64; \d+ loss evaluations", lines[-1])
    assert len(lines) == 11
    assert len({len(line) for line in lines[2:8]}) == 1  # the table is aligned
    assert max(map(len, lines)) < 140


def test_the_difference_shows_in_the_digits() -> None:
    text = str(check_gradient(exp_loss, lambda x: change_last(x, 1 + 1e-6), np.array([0.3, 1.0])))
    row = next(line for line in text.splitlines() if line.startswith(" x[1]"))
    _, analytic, numeric, ratio, *_ = row.split()
    assert analytic != numeric
    assert float(ratio) == pytest.approx(1 + 1e-6, abs=1e-8)  # three digits of the difference


def test_what_is_printed_of_a_match_and_of_nothing_judged() -> None:
    first, *_ = str(check_gradient(exp_loss, exp_gradient, np.ones(3))).splitlines()
    assert re.fullmatch(r"MATCH  3 of 3 weights agree; a relative error above \S+ would have been seen", first)
    outcome = check_gradient(square, lambda x: 2 * x, np.zeros(2))
    assert str(outcome).startswith("INCONCLUSIVE  none of 2 weights could be judged")
    assert outcome.reason == "stationary"
    assert not outcome


def test_every_mismatch_is_a_row_and_the_worst_come_first() -> None:
    outcome = two_layers_outcome()
    assert outcome.errors.query("verdict == 'mismatch'")["param"].tolist() == ["W2"] * 15
    worst = outcome.worst(3)
    assert len(worst) == 3
    scores = (worst["abs_err"] / worst["bound"]).to_numpy()
    assert (np.diff(scores) <= 0).all()
    assert scores[0] == (outcome.errors["abs_err"] / outcome.errors["bound"]).max()


def test_the_counts_of_calls_are_right() -> None:
    calls = {"fun": 0, "jac": 0}

    def fun(x: Array) -> float:
        calls["fun"] += 1
        return square(x)

    def jac(x: Array) -> Array:
        calls["jac"] += 1
        return 2 * x

    outcome = check_gradient(fun, jac, MATRIX)
    assert (outcome.nfev, outcome.njev) == (calls["fun"], calls["jac"])
    assert outcome.njev == 2
    # where a claim is disputed, the noise of the gradient is measured on lines of so many points, the first of which shows it
    disputed = check_gradient(fun, lambda x: 1.5 * jac(x), MATRIX)
    assert disputed.njev == 2 + POINTS
    assert disputed.njev + 2 == calls["jac"]


def test_the_full_frame_has_the_columns_of_a_run() -> None:
    frame = two_layers_outcome().to_frame(full=True)
    assert list(frame.columns) == ERRORS.names
    assert isinstance(frame, pd.DataFrame)
    assert frame["flat_index"].tolist() == list(range(43))
    assert frame["position"][1] == [0, 1]
    assert frame["eps"].isna().all()
    assert frame["correct"].isna().all()
    assert set(frame["scheme"]) == {"central"}


@pytest.mark.parametrize("options", [{}, {"eps": 1e-5}, {"sample": 9}])
def test_parquet_holds_the_same_numbers_in_the_schema_of_a_run(tmp_path: Path, options: dict[str, Any]) -> None:
    outcome = two_layers_outcome(**options)
    path = tmp_path / "errors.parquet"
    outcome.to_parquet(path)
    outcome.to_parquet(str(path))  # again, over the old one
    assert [p.name for p in tmp_path.iterdir()] == ["errors.parquet"]
    table = pq.read_table(path)
    assert table.schema.remove_metadata().equals(ERRORS)
    for name in ("analytic", "numeric", "bound", "step", "weight"):
        assert np.array_equal(table[name].to_numpy(), outcome.table[name])
    assert table["verdict"].to_pylist() == outcome.table["verdict"]
    assert table["position"].to_pylist() == outcome.table["position"]
    assert set(table["eps"].to_pylist()) == {options.get("eps")}
    assert table["correct"].null_count == len(table)


def test_the_columns_obey_their_definitions() -> None:
    t = two_layers_outcome().table
    assert np.array_equal(t["abs_err"], np.abs(t["analytic"] - t["numeric"]))
    assert np.array_equal(t["rel_err"], t["abs_err"] / np.maximum(1e-8, np.abs(t["analytic"]) + np.abs(t["numeric"])))
    assert np.array_equal(t["bound"], t["truncation"] + t["roundoff"])
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(t["analytic"]), np.abs(t["numeric"]))
        assert np.array_equal(t["resolution"], np.where(size > 0, 2 * t["bound"] / size, np.inf))
    for verdict, mismatch in zip(t["verdict"], t["abs_err"] > t["bound"], strict=True):
        assert (verdict == "mismatch") == mismatch


# -------------------------------------------------------------------------------------------------------------- assert


def test_assert_gradient_raises_the_report_unless_all_is_right() -> None:
    assert assert_gradient(exp_loss, exp_gradient, np.ones(3)) is None
    with pytest.raises(GradientMismatch) as caught:
        assert_gradient(exp_loss, lambda x: 2 * exp_gradient(x), np.ones(3))
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == str(check_gradient(exp_loss, lambda x: 2 * exp_gradient(x), np.ones(3)))
    with pytest.raises(GradientMismatch, match="INCONCLUSIVE"):
        assert_gradient(square, lambda x: 2 * x, np.zeros(2))


def test_strict_wants_every_weight_to_match() -> None:
    x0 = np.arange(10.0)
    assert_gradient(square, lambda x: 2 * x, x0)
    with pytest.raises(
        GradientMismatch, match=r"(?s)not judged: 1 in x.*strict: every weight that is not exempt must match"
    ):
        assert_gradient(square, lambda x: 2 * x, x0, strict=True)
    assert_gradient(square, lambda x: 2 * x, x0 + 1, strict=True, scheme="five_point")


def hidden(wrong: int, n: int = 10) -> tuple[Any, Any, np.ndarray]:
    """A loss of which all but one entry drown in the rounding of a large constant, and a gradient that has those ``wrong``."""
    small = np.full(n, 1e-13)
    small[0] = 1.0

    def fun(x: np.ndarray) -> float:
        return float(1e3 + (small * np.sin(x)).sum())

    def jac(x: np.ndarray) -> np.ndarray:
        factor = np.ones(n)
        factor[n - wrong :] = 3.0
        return factor * small * np.cos(x)

    return fun, jac, np.linspace(0.1, 1.0, n)


@pytest.mark.parametrize("wrong", [0, 9])
def test_what_is_hidden_by_noise_is_partial_whether_it_is_wrong_or_not(wrong: int) -> None:
    """9 of 10 entries wrong three times pass for nothing: they were not judged, and that is said."""
    fun, jac, x0 = hidden(wrong)
    outcome = check_gradient(fun, jac, x0)
    assert (outcome.verdict, outcome.count("match"), outcome.judged) == ("partial", 1, 0.1)
    assert not outcome
    assert not outcome.ok
    assert str(outcome).startswith("PARTIAL  1 of 10 weights agree, 9 could not be judged; ")
    with pytest.raises(GradientMismatch, match=r"0\.1 of the weights was judged, min_judged=0\.9 asks for more"):
        assert_gradient(fun, jac, x0)
    assert check_gradient(fun, jac, x0, min_judged=0.1)
    assert_gradient(fun, jac, x0, min_judged=0.1)
    with pytest.raises(GradientMismatch, match="strict"):
        assert_gradient(fun, jac, x0, min_judged=0.1, strict=True)


def test_in_every_parameter_one_weight_is_to_be_judged() -> None:
    def fun(p: dict[str, np.ndarray]) -> float:
        return float(np.sin(p["W"]).sum() + p["b"] ** 2)

    def jac(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"W": np.cos(p["W"]), "b": 2 * p["b"]}

    x0 = {"W": np.linspace(0.1, 1, 30), "b": np.array(0.0)}
    outcome = check_gradient(fun, jac, x0)
    assert (outcome.verdict, outcome.ok) == ("partial", False)
    assert outcome.judged == 30 / 31
    with pytest.raises(GradientMismatch, match="in a parameter no weight was judged"):
        assert_gradient(fun, jac, x0)
    assert check_gradient(fun, jac, x0, min_judged=0).ok
    assert check_gradient(fun, jac, x0 | {"b": np.array(0.5)}).verdict == "match"


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), True, "all", None])
def test_a_share_out_of_range_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"min_judged=.*must be a share from 0 to 1"):
        check_gradient(exp_loss, exp_gradient, np.ones(3), min_judged=bad)


def test_pytest_shows_just_the_report(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np\nimport gradcheck\n\n\n"
        "def test_mine():\n"
        "    gradcheck.assert_gradient(lambda x: (x**2).sum(), lambda x: 3 * x, np.array([1.5, 2.5]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={"PYTHONPATH": str(Path(gradcheck.__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    shown = [line for line in done.stdout.splitlines() if line.startswith("E ")]
    assert done.returncode == 1
    assert "MISMATCH  2 of 2 weights are wrong" in shown[0]
    assert "gradient.py" not in done.stdout
    assert "Outcome" not in done.stdout
    assert len(shown) == len(str(check_gradient(square, lambda x: 3 * x, np.array([1.5, 2.5]))).splitlines())


# ------------------------------------------------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("seed", range(25))
def test_random_smooth_functions_are_right_and_wrong_by_a_thousandth_found(seed: int) -> None:
    """Sums of exp, sin, powers and products over eight decades of scale, each with its own gradient."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    x0 = rng.normal(size=n) * 10 ** rng.uniform(-4, 4)
    scale = np.abs(x0).max()
    a, b, w = rng.normal(size=n) / scale, rng.normal(size=n) / scale, rng.normal(size=n)
    offset = rng.choice([0.0, 1.0, 1e4])

    def fun(x: Array) -> float:
        return offset + float(w @ np.sin(a * x) + np.exp(b @ x) + (a @ x) ** 3)

    def jac(x: Array) -> Array:
        return w * a * np.cos(a * x) + b * np.exp(b @ x) + 3 * (a @ x) ** 2 * a

    outcome = check_gradient(fun, jac, x0)
    assert outcome.count("mismatch") == 0, str(outcome)
    assert outcome.ok
    j = int(np.argmax(np.abs(jac(x0))))
    wrong = check_gradient(fun, lambda x: jac(x) * np.where(np.arange(n) == j, 1.001, 1.0), x0)
    assert [i for i, v in enumerate(wrong.table["verdict"]) if v == "mismatch"] == [j]


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_a_slope_that_is_reached_slowly_is_no_false_alarm(power: float) -> None:
    """sign(x) |x|**p has the slope 0 at 0, and h**(p - 1) as its difference there."""
    outcome = check_gradient(
        lambda x: (np.sign(x) * np.abs(x) ** power).sum(),
        lambda x: power * np.abs(x) ** (power - 1),
        np.array([0.0, 1.0]),
    )
    assert outcome.count("mismatch") == 0, str(outcome)
    assert outcome.table["verdict"][1] == "match"
