"""A network that is one function: its first wrong step by its intermediates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcheck import ContractError, check_intermediates

Array = np.ndarray
Arrays = dict[str, Array]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))
P = {
    "W1": RNG.normal(size=(3, 4)), "b1": RNG.normal(size=4), "W2": RNG.normal(size=(4, 4)), "b2": RNG.normal(size=4),
    "W3": RNG.normal(size=(4, 2)), "c": RNG.normal(size=2),
}  # fmt: skip


def forward(p: Arrays, replace: Arrays | None = None) -> tuple[float, Arrays]:
    """Three layers with a way past the second; the loss is the mean square, and a penalty."""
    found: Arrays = {}

    def use(name: str, value: Array) -> Array:
        found[name] = (replace or {}).get(name, value)
        return found[name]

    z1 = use("z1", X @ p["W1"] + p["b1"])
    a1 = use("a1", np.tanh(z1))
    z2 = use("z2", a1 @ p["W2"] + p["b2"])
    a2 = use("a2", np.maximum(z2, 0))
    s = use("s", a1 + a2)
    out = use("out", s @ p["W3"] + p["c"])
    return float(((out - Y) ** 2).sum() / len(Y) + 0.05 * (p["W1"] ** 2).sum()), found


def gradients(p: Arrays, factors: dict[str, float] | None = None, mask: bool = True) -> Arrays:
    """The gradients of all, in the order of the backward pass; those of ``factors`` are off, and what is below with them."""
    _, c = forward(p)
    g: Arrays = {}

    def put(name: str, value: Array) -> Array:
        g[name] = value * (factors or {}).get(name, 1.0)
        return g[name]

    out = put("out", 2 * (c["out"] - Y) / len(Y))
    put("W3", c["s"].T @ out)
    put("c", out.sum(axis=0))
    s = put("s", out @ p["W3"].T)
    a2 = put("a2", s)
    z2 = put("z2", a2 * (c["z2"] > 0) if mask else a2)
    put("W2", c["a1"].T @ z2)
    put("b2", z2.sum(axis=0))
    a1 = put("a1", s + z2 @ p["W2"].T)
    z1 = put("z1", a1 * (1 - c["a1"] ** 2))
    put("W1", X.T @ z1 + 0.1 * p["W1"])
    put("b1", z1.sum(axis=0))
    return g


def back(factors: dict[str, float] | None = None, spelling: str = "{}", **options: Any) -> Callable[[Arrays], Arrays]:
    return lambda p: {spelling.format(name): value for name, value in gradients(p, factors, **options).items()}


# name of the gradient -> (index, step): through which it goes back
STEPS = {
    "out": (6, "loss"), "W3": (5, "out"), "c": (5, "out"), "s": (5, "out"), "a2": (4, "s"), "z2": (3, "a2"),
    "W2": (2, "z2"), "b2": (2, "z2"), "a1": (2, "z2"), "z1": (1, "a1"), "W1": (0, "z1"), "b1": (0, "z1"),
}  # fmt: skip


@pytest.mark.parametrize("spelling", ["{}", "d{}", "grad_{}"])
def test_a_right_network_matches(spelling: str) -> None:
    r = check_intermediates(forward, back(spelling=spelling), P)
    assert r.ok, str(r)
    assert r.first_wrong is None
    assert {name for step in r.steps for name in step.names} == set(STEPS)


@pytest.mark.parametrize(("name", "factor"), [*((name, 1.01) for name in STEPS), ("s", 0.0), ("W2", 0.0)])
def test_the_first_wrong_step_is_named_whatever_is_wrong_below(name: str, factor: float) -> None:
    r = check_intermediates(forward, back({name: factor}), P, sample=20)
    assert r.first_wrong == (*STEPS[name], name), str(r)
    assert [n for step in r.steps for n in step.wrong] == [name]


@pytest.mark.parametrize(("first", "second"), [("s", "z1"), ("W3", "a1"), ("z2", "b1")])
def test_of_two_mistakes_the_first_is_that_nearest_to_the_loss(first: str, second: str) -> None:
    r = check_intermediates(forward, back({first: 1.1, second: 0.9}), P)
    assert r.first_wrong == (*STEPS[first], first)
    assert {n for step in r.steps for n in step.wrong} == {first, second}


def test_a_missing_mask_is_named() -> None:
    r = check_intermediates(forward, back(mask=False), P)
    assert r.first_wrong == (3, "a2", "z2")
    assert "a2: the gradient of z2 is wrong; everything below is wrong because of it." in str(r)


def test_two_dicts_may_come_back() -> None:
    def backward(p: Arrays) -> tuple[Arrays, Arrays]:
        g = gradients(p, {"a1": 2.0})
        return {n: g[n] for n in P}, {n: g[n] for n in g if n not in P}

    assert check_intermediates(forward, backward, P).first_wrong == (2, "z2", "a1")


def test_an_intermediate_without_gradient_is_passed_over() -> None:
    def backward(p: Arrays) -> Arrays:
        g = gradients(p, {"z1": 1.5})
        del g["z2"], g["s"]
        return g

    r = check_intermediates(forward, backward, P)
    assert r.first_wrong is not None
    assert r.first_wrong.name == "z1"
    assert "no gradient of z2, s: passed over" in str(r)
    assert check_intermediates(forward, lambda p: {n: v for n, v in gradients(p).items() if n not in ("z2", "s")}, P).ok


def test_without_replace_it_says_which_parameters_are_wrong() -> None:
    r = check_intermediates(lambda p: forward(p), back({"a1": 2.0}), P)
    assert r.verdict == "mismatch"
    assert r.first_wrong is None
    assert {name for step in r.steps for name in step.wrong} == {"W1", "b1"}
    assert "forward takes no replace={name: array}" in str(r)
    assert check_intermediates(lambda p: forward(p), back(), P).ok


def test_further_arguments_go_to_both_and_nothing_is_changed() -> None:
    kept: dict[str, Any] = {}

    def one(p: Arrays, x: Array, replace: Any = None) -> Any:
        kept["n"] = kept.get("n", 0) + 1
        z = (replace or {}).get("z", p["w"] * x)
        return np.sum(z**3), {"z": z, "mask": z > 0}

    def two(p: Arrays, x: Array) -> Arrays:
        z = p["w"] * x
        return {"dz": 3 * z**2, "dw": 3 * z**2 * x}

    p, x = {"w": np.array([1.0, 2.0])}, np.array([0.5, -1.0])
    before = p["w"].tobytes(), x.tobytes()
    assert check_intermediates(one, two, p, args=(x,)).ok
    assert (p["w"].tobytes(), x.tobytes()) == before
    assert kept == {}


@pytest.mark.parametrize("p", [[np.array([1.0, 2.0])], (np.array([1.0, 2.0]),), np.array([1.0, 2.0])])
def test_parameters_may_be_a_list_or_one_array(p: Any) -> None:
    def first(p: Any) -> Array:
        return p if isinstance(p, np.ndarray) else p[0]

    name = "x" if isinstance(p, np.ndarray) else "[0]"

    def one(p: Any, replace: Any = None) -> Any:
        z = (replace or {}).get("z", first(p) ** 2)
        return np.sum(z), {"z": z}

    right = check_intermediates(one, lambda p: {"z": np.ones(2), name: 2 * first(p)}, p)
    assert right.ok
    wrong = check_intermediates(one, lambda p: {"z": np.ones(2), name: first(p)}, p)
    assert wrong.first_wrong == (0, "z", name)


def ignores(p: Arrays, replace: Arrays | None = None) -> tuple[float, Arrays]:
    return forward(p)


COUNT = iter(range(10**6))
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "forward is no function": (lambda: check_intermediates(3, back(), P), ContractError, "forward is a int"),
    "backward is no function": (lambda: check_intermediates(forward, P, P), ContractError, "backward is a dict"),
    "no intermediates": (lambda: check_intermediates(lambda p: 1.0, back(), P), ContractError, "must return .loss, dict"),
    "no number": (lambda: check_intermediates(lambda p: (X, {}), back(), P), ContractError, "loss of the shape"),
    "forward raises": (lambda: check_intermediates(lambda p: p["V"], back(), P), ContractError, "forward.p. raises KeyError"),
    "backward raises": (
        lambda: check_intermediates(forward, lambda p: p["V"], P), ContractError, "backward.p. raises KeyError"),
    "a list of gradients": (
        lambda: check_intermediates(forward, lambda p: [1.0, 2.0], P), ContractError, "must return a dict of gradients"),
    "a parameter without gradient": (
        lambda: check_intermediates(forward, lambda p: {"W2": gradients(p)["W2"]}, P), ContractError, "no gradient of W1, b1"),
    "a transposed gradient": (
        lambda: check_intermediates(forward, lambda p: {**gradients(p), "W1": gradients(p)["W1"].T}, P),
        ContractError, "gradient of W1.*it is the transpose"),
    "replace is ignored": (
        lambda: check_intermediates(ignores, back(), P), ContractError, "forward ignores replace=.'z1'"),
    "no parameters": (lambda: check_intermediates(forward, back(), {}), ContractError, "must be a dict of arrays"),
    "not finite": (
        lambda: check_intermediates(lambda p: (np.inf, {}), back(), P), ContractError, "must be finite at p"),
    "by chance": (
        lambda: check_intermediates(lambda p: (float(next(COUNT)), {}), back(), P), ContractError, "not deterministic"),
    "points": (lambda: check_intermediates(forward, back(), P, points=2), ValueError, "no meaning here"),
    "vjp": (lambda: check_intermediates(forward, back(), P, vjp=True), ValueError, "upstream"),
}  # fmt: skip


@pytest.mark.parametrize(("use", "kind", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_is_refused_in_one_line(use: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        use()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
