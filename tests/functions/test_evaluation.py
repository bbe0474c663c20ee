"""How somebody's function is evaluated: the values are those of plain calls, and what breaks its contract is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.calls import Calls
from gradcheck.functions.evaluation import WATCHED
from gradcheck.functions.points import Entries, Line, Rows
from gradcheck.functions.trees.start import flatten

Array = np.ndarray
DTYPES = [np.float32, np.float64, np.longdouble]


def leaves(x: Any) -> list[Array]:
    return list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, (list, tuple)) else [x]


def value(x: Any) -> Any:
    return sum((np.sum(np.sin(leaf) * (k + 1)) for k, leaf in enumerate(leaves(x))), start=np.float32(0))


def gradient(x: Any) -> Any:
    parts = [np.cos(leaf) * (k + 1) for k, leaf in enumerate(leaves(x))]
    if isinstance(x, dict):
        return dict(zip(x, parts, strict=True))
    return parts if isinstance(x, list) else tuple(parts) if isinstance(x, tuple) else parts[0]


def calls_of(fun: Callable[..., Any], x0: Any, jac: Any = gradient, **settings: Any) -> tuple[Calls, Array]:
    parameters, theta = flatten(x0)
    calls = Calls(fun, jac, Arguments(()), parameters, **settings)
    calls.outputs(theta)
    return calls, theta


@st.composite
def starts(draw: st.DrawFn) -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(DTYPES))
    shapes = draw(st.lists(st.sampled_from([(), (1,), (3,), (2, 3)]), min_size=1, max_size=3))
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    kind = draw(st.sampled_from(["array", "dict", "list", "tuple"]))
    if kind == "array":
        return arrays[0]
    return {f"p{k}": a for k, a in enumerate(arrays)} if kind == "dict" else (list if kind == "list" else tuple)(arrays)


@settings(max_examples=60, deadline=None)
@given(starts(), st.integers(0, 99))
def test_values_at_many_points_are_those_of_plain_calls_to_the_bit(x0: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calls, theta = calls_of(value, x0)
    index = rng.integers(0, theta.size, 5)
    at = rng.normal(size=(5, 3)).astype(theta.dtype)
    found = calls.entries(theta, index, at)
    plain = np.empty((5, 3), theta.dtype)
    for r in range(5):
        for c in range(3):
            point = theta.copy()
            point[index[r]] = at[r, c]
            plain[r, c] = value(calls.parameters.views(point))
    assert np.array_equal(found[..., 0], plain)
    v, t = rng.normal(size=theta.size).astype(theta.dtype), rng.normal(size=4).astype(theta.dtype)
    line = calls.along(theta, slice(0, theta.size), v, t)[:, 0]
    assert np.array_equal(line, [theta.dtype.type(value(calls.parameters.views(theta + s * v))) for s in t])
    assert calls.nfev == 1 + 15 + 4


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99))
def test_points_are_inside_where_their_entries_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=4)
    low, high = theta - rng.uniform(0, 1, 4), theta + rng.uniform(0, 1, 4)
    for points in (
        Entries(theta, rng.integers(0, 4, 20), rng.normal(size=20)),
        Line(theta, slice(1, 3), rng.normal(size=2), rng.normal(size=20) / 2),
        Rows(theta + rng.normal(size=(20, 4)) / 4),
    ):
        plain = [bool(((p >= low) & (p <= high)).all()) for p in map(points.at, range(points.count))]
        assert points.inside(low, high).tolist() == plain
        assert np.array_equal(points.stack(), [points.at(j) for j in range(points.count)])
        some = np.flatnonzero(plain)
        assert all(np.array_equal(points.some(some).at(k), points.at(j)) for k, j in enumerate(some.tolist()))


@pytest.mark.parametrize("after", [0, 1, 2, 7, 30])
def test_an_argument_that_is_changed_late_is_seen(after: int) -> None:
    calls = [0]

    def fun(x: Array) -> Any:
        calls[0] += 1
        found = np.sum(np.exp(x))
        if calls[0] > after:
            x[0] += 1
        return found

    with pytest.raises(gradcheck.ContractError, match="fun changes its argument x in place"):
        gradcheck.check_gradient(fun, np.exp, np.ones(3))


def test_a_large_argument_that_is_always_changed_is_seen() -> None:
    def fun(x: Array) -> Any:
        x *= 2
        return np.sum(x)

    with pytest.raises(gradcheck.ContractError, match="fun changes its argument x in place"):
        gradcheck.check_gradient(fun, lambda x: 2 * np.ones_like(x), np.ones(WATCHED))


def test_where_the_function_raises_there_is_no_value_and_all_others_are_right() -> None:
    def fun(x: Array) -> Any:
        if x[1] > 2:
            raise RuntimeError("too\nlarge")
        return np.sum(x)

    calls, theta = calls_of(fun, np.ones(3))
    found = calls.entries(theta, np.array([0, 1]), np.array([[5.0, 1.5], [3.0, 1.5]]))[..., 0]
    assert np.array_equal(found, [[7.0, 3.5], [np.nan, 3.5]], equal_nan=True)
    assert calls.raised == ["RuntimeError: too large"]


def test_a_value_that_drifts_is_seen_at_the_end() -> None:
    """The planted fault: the first two calls agree, so that only the last call at x0 can show it."""
    calls = [0]

    def fun(x: Array) -> Any:
        calls[0] += 1
        return np.sum(x**2) * (1 if calls[0] <= 25 else 1 + 1e-6)

    with pytest.raises(gradcheck.ContractError, match="fun is not deterministic"):
        gradcheck.check_gradient(fun, lambda x: 2 * x, np.ones(3))


def test_the_last_call_is_at_x0() -> None:
    seen: list[Array] = []

    def fun(x: Array) -> Any:
        seen.append(x.copy())
        return np.sum(x**2)

    x0 = np.arange(1.0, 4.0)
    r = gradcheck.check_gradient(fun, lambda x: 2 * x, x0)
    assert np.array_equal(seen[-1], x0)
    assert r.nfev == len(seen)


# --- a function that does not read its argument -----------------------------------------------------------------------


class Net:
    """The course idiom: the net holds its weights itself."""

    def __init__(self) -> None:
        self.w = np.array([0.3, -0.2])

    def loss(self) -> float:
        return float(np.sum(np.exp(self.w)))

    def gradient(self) -> Array:
        return np.exp(self.w)


def test_a_function_that_reads_its_weights_elsewhere_is_told_so() -> None:
    net = Net()
    with pytest.raises(gradcheck.ContractError, match=r"fun returned the same value, 2\.16.*does not read x") as error:
        gradcheck.check_gradient(lambda w: net.loss(), lambda w: net.gradient(), net.w)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("many", [3, 4000])
@pytest.mark.parametrize("jac", [True, False])
def test_so_is_one_of_any_structure_and_size(many: int, jac: bool) -> None:
    x0 = {"W": np.ones((many, 2)), "b": np.zeros(2)}
    ones = {name: np.ones_like(part) for name, part in x0.items()}
    with pytest.raises(gradcheck.ContractError, match="does not read x"):
        gradcheck.check_gradient(
            (lambda p: (0.5, ones)) if jac else (lambda p: 0.5), True if jac else lambda p: ones, x0
        )


def reads(x: Array) -> bool:
    return bool(np.isnan(x).any())


READERS: dict[str, Callable[[Array], float]] = {
    "NaN is another value": lambda x: np.nan if reads(x) else 1.0,
    "an exception is another value": lambda x: 1.0 if not reads(x) else 1 / 0,
    "another value where x is NaN": lambda x: 2.0 if reads(x) else 1.0,
    "a plateau that ends far away": lambda x: 1.0 if np.abs(x).max() < 50 else 2.0,
    "a plateau that ends near": lambda x: 1.0 if np.abs(x).max() < 1.5 else 2.0,
}


@pytest.mark.parametrize("name", READERS)
def test_a_plateau_is_no_function_that_does_not_read_x(name: str) -> None:
    r = gradcheck.check_gradient(READERS[name], lambda x: 1e-12 * np.ones(2), np.ones(2))
    assert r.verdict in ("inconclusive", "mismatch")


def test_where_the_gradient_is_0_it_need_not_read_x() -> None:
    r = gradcheck.check_gradient(lambda x: 1.0, lambda x: np.zeros(2), np.ones(2))
    assert (r.verdict, r.reason) == ("inconclusive", "exempt")


def test_nothing_outside_bounds_is_evaluated_to_see_whether_x_is_read() -> None:
    seen: list[Array] = []

    def fun(x: Array) -> float:
        seen.append(x.copy())
        return 1.0

    with pytest.raises(gradcheck.ContractError, match="does not read x"):
        gradcheck.check_gradient(fun, lambda x: np.ones(2), np.ones(2), bounds=[(0, 2), (None, 1)])
    points = np.array([x for x in seen if not np.isnan(x).any()])
    assert (points >= [0, -np.inf]).all()
    assert (points <= [2, 1]).all()


# --- float32 ----------------------------------------------------------------------------------------------------------


def net_of(dtype: Any, inside: Any = None) -> tuple[Any, Any, dict[str, Array]]:
    """A small net; ``inside`` is a dtype to which its weights are cast."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)).astype(dtype), rng.normal(size=30).astype(dtype)
    x0 = {"W": rng.normal(size=(4, 3)).astype(dtype), "v": rng.normal(size=3).astype(dtype)}

    def parts(p: dict[str, Array]) -> tuple[Array, Array, Array]:
        W, v = (p[name] if inside is None else p[name].astype(inside) for name in ("W", "v"))
        a = np.tanh(X @ W)
        return a, a @ v - y, v

    def loss(p: dict[str, Array]) -> Any:
        _, e, _ = parts(p)
        return (e * e).mean() / 2

    def jac(p: dict[str, Array]) -> dict[str, Array]:
        a, e, v = parts(p)
        e = e / e.dtype.type(len(e))
        return {"W": X.T @ (e[:, None] * v * (1 - a * a)), "v": a.T @ e}

    return loss, jac, x0


def test_a_float32_net_is_checked_in_float64_where_it_takes_it() -> None:
    loss, jac, x0 = net_of(np.float32)
    kinds: list[Any] = []

    def watched(p: dict[str, Array]) -> dict[str, Array]:
        kinds.append(p["W"].dtype)
        return jac(p)

    r = gradcheck.check_gradient(loss, watched, x0)
    assert r.verdict == "match", str(r)
    assert (r.dtype, set(kinds)) == ("float32", {np.dtype(np.float32)})
    assert r.resolution < 1e-2
    # the gradient is that of jac at the float32 x0, to the bit
    assert np.array_equal(r.table["analytic"][:12], jac(x0)["W"].reshape(-1).astype(float))

    def wrong(p: dict[str, Array]) -> dict[str, Array]:
        return {name: part * np.float32(1.01) for name, part in jac(p).items()}

    assert gradcheck.check_gradient(loss, wrong, x0).verdict == "mismatch"


def refuses(p: dict[str, Array]) -> Any:
    if p["W"].dtype != np.float32:
        raise TypeError("float32 only")
    return net_of(np.float32)[0](p)


def other(p: dict[str, Array]) -> Any:
    return net_of(np.float32)[0](p) * (1 if p["W"].dtype == np.float32 else 2)


def rounds(p: dict[str, Array]) -> Any:
    return np.float64(np.float32(net_of(np.float32)[0](p)))


NARROW = {
    "casts to float32": net_of(np.float32, np.float32)[0],
    "float32 inside, float64 outside": lambda p: float(net_of(np.float32, np.float32)[0](p)) / 3,
    "raises": refuses,
    "another function": other,
    "rounds its value": rounds,
}


@pytest.mark.parametrize("name", NARROW)
def test_float32_stays_where_the_function_does_not_compute_in_float64(name: str) -> None:
    _, jac, x0 = net_of(np.float32)
    factor = 1 / 3 if "outside" in name else 1
    seen: list[Any] = []

    def fun(p: dict[str, Array]) -> Any:
        seen.append(p["W"].dtype)
        return NARROW[name](p)

    def right(p: dict[str, Array]) -> dict[str, Array]:
        return {key: part * np.float32(factor) for key, part in jac(p).items()}

    r = gradcheck.check_gradient(fun, right, x0)
    assert r.verdict != "mismatch", str(r)
    # it was tried at most twice
    assert seen.count(np.dtype(np.float64)) <= 2


def test_an_exact_float32_value_is_no_sign_of_float32() -> None:
    # 1 + 4 + 9 is exact in every dtype
    r = gradcheck.check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, np.array([1, 2, 3], np.float32))
    assert r.verdict == "match"
    assert r.resolution < 1e-4
