"""What people stumble over: a wrong use that looks like a wrong gradient is told from one, in words that help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck import ContractError, check_gradient

Array = np.ndarray
X = np.array([0.5, 1.5])


def square(x: Array) -> Any:
    return np.sum(x**2)


# ------------------------------------------------------------------------------------------------- gradients that add up


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2), st.sampled_from([np.float32, np.float64]))
def test_gradients_that_add_up_are_told_whatever_was_left_in_them_before(left: list[float], dtype: Any) -> None:
    w, kept = X.astype(dtype), np.array(left, dtype)

    def adds() -> Array:
        np.add(kept, 2 * w, out=kept)
        return kept

    with pytest.raises(ContractError, match=r"jac is not deterministic.*set the gradients to 0 before each call"):
        check_gradient(lambda: square(w), adds, w, inplace=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gradients_that_are_drawn_are_not_said_to_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.raises(
        ContractError, match=r"jac is not deterministic.*begin with the same seed at each call, or switch"
    ):
        check_gradient(square, lambda x: 2 * x + rng.random(2), X)


# ------------------------------------------------------------------------------------- numbers taken out of an object


class Regression:
    def __init__(self) -> None:
        self.coef_, self.intercept_ = np.array([0.3, -0.2]), 0.7

    def loss(self) -> Any:
        return np.sum(np.exp(X * self.coef_ + self.intercept_))

    def gradients(self) -> Any:
        e = np.exp(X * self.coef_ + self.intercept_)
        return {"coef_": X * e, "intercept_": e.sum()}


@pytest.mark.parametrize("bounds", [None, {"intercept_": (0, 1)}])
def test_a_number_taken_out_of_an_object_is_a_copy_and_accuses_nobody(bounds: Any) -> None:
    m = Regression()
    taken = {"coef_": m.coef_, "intercept_": m.intercept_}
    with pytest.raises(
        ContractError, match=r"does not compute with intercept_ of x0: .*vars\(obj\), or make it an array"
    ):
        check_gradient(m.loss, m.gradients, taken, inplace=True, bounds=bounds)
    assert taken["intercept_"] == m.intercept_ == 0.7
    # both ways that the message names
    assert check_gradient(m.loss, m.gradients, vars(m), inplace=True).verdict == "match"
    m.intercept_ = np.array(0.7)  # type: ignore[assignment]
    taken["intercept_"] = m.intercept_
    assert check_gradient(m.loss, m.gradients, taken, inplace=True).verdict == "match"


def test_a_number_whose_gradient_is_wrong_is_accused_all_the_same() -> None:
    m = Regression()
    wrong = check_gradient(
        m.loss, lambda: m.gradients() | {"intercept_": 1.0}, vars(m), inplace=True, bounds={"intercept_": (0, 0.7)}
    )
    assert set(wrong.errors.query("verdict == 'mismatch'").param) == {"intercept_"}


# ----------------------------------------------------------------------------------------- settings beside parameters


@dataclass
class Model:
    W: Array
    steps: int = 3
    order: Array = field(default_factory=lambda: np.array([1, 0]))


def recurrent(m: Model) -> Any:
    h = np.ones(2)
    for _ in range(m.steps):
        h = np.tanh(m.W * h)[m.order]
    return h.sum()


def test_settings_that_a_dataclass_of_gradients_keeps_are_frozen() -> None:
    m = Model(np.array([0.4, -0.3]))

    def gradient(m: Model) -> Model:
        hs, d, dW = [np.ones(2)], np.ones(2), np.zeros(2)
        for _ in range(m.steps):
            hs.append(np.tanh(m.W * hs[-1])[m.order])
        for h, before in zip(hs[:0:-1], hs[-2::-1], strict=True):
            inner = (d * (1 - h**2))[np.argsort(m.order)]
            dW, d = dW + inner * before, inner * m.W
        return replace(m, W=dW)

    r = check_gradient(recurrent, gradient, m)
    assert (r.verdict, r.frozen) == ("match", ("steps", "order"))
    wrong = check_gradient(recurrent, lambda m: replace(m, W=2 * gradient(m).W), m)
    assert (wrong.verdict, wrong.frozen) == ("mismatch", ("steps", "order"))


@dataclass
class Scaled:
    W: Array
    a: int = 2


def test_a_whole_number_of_a_dataclass_with_a_slope_of_its_own_is_a_parameter() -> None:
    r = check_gradient(
        lambda p: p.a**3 * np.sum(p.W), lambda p: Scaled(p.a**3 * np.ones(2), 3 * p.a**2 * p.W.sum()), Scaled(X)
    )
    assert (r.verdict, r.frozen, r.n_weights) == ("match", (), 3)


# --------------------------------------------------------------------------------------------- what a refusal says


def cached(p: list[Array]) -> Any:
    return p[0] * p[1], (p[0], p[1], np.ones(3))


A, B = np.ones((4, 2)), np.ones(2)
LARGE = {"dW": np.ones((30, 30)), "db": np.ones(30)}

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "gradients for a function": (lambda: check_gradient(square, LARGE, LARGE), "^jac is a dict: must be a function"),  # type: ignore[arg-type]
    "an array for a function": (lambda: check_gradient(np.ones(99), square, X), "^fun is a ndarray: must be a function"),  # type: ignore[arg-type]
    "a tuple of lists for a dict": (
        lambda: check_gradient(lambda p: 1.0, lambda p: ([B], [B]), {"b": [B, B], "W": [A, A, A]}),
        "return a dict like it, with a gradient for each",
    ),
    "a parameter without a gradient": (
        lambda: check_gradient(lambda p: 1.0, lambda p: {"a": B, "b": None}, {"a": B, "b": B}),
        "the gradient of b is None: .*; if b is no parameter, leave it out of x0",
    ),
    "a complex gradient": (lambda: check_gradient(square, lambda x: 2j * x, X), "float64; return its real part"),
    "a coarse gradient": (
        lambda: check_gradient(square, lambda x: (2 * x).astype("f"), X), "float64: compute it in float64"
    ),
    "a derivative entry by entry": (lambda: check_gradient(np.exp, np.exp, X), r"outputs of shape \(2,\), .*np.diag"),
    "a column": (lambda: check_gradient(square, lambda x: 2 * x[:, None], X), "another shape; return it as an array"),
    "gradients in another order": (
        lambda: check_gradient(lambda p: 1.0, lambda p: (B, A), (A, B)), "it is that of x1; do the gradients stand in"
    ),
    "output and cache": (
        lambda: check_gradient(cached, lambda p, d: [d * p[1], (d * p[0]).sum(0)], [A, B], vjp=True),
        r"^jac raises ValueError: .*where fun returns \(out, cache\), pass its output alone, lambda x: forward\(x\)\[0\]",
    ),
    "an object": (lambda: check_gradient(square, square, Regression()), r"\{'coef_': obj.coef_, 'intercept_': obj.inter"),
    "a generator": (lambda: check_gradient(square, square, iter([A])), r"such as list\(x0\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_the_next_step_in_one_line(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ContractError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 330


def test_the_next_step_after_output_and_cache_is_right() -> None:
    assert check_gradient(lambda p: cached(p)[0], lambda p, d: [d * p[1], (d * p[0]).sum(0)], [A, B], vjp=True).ok


def test_exceptions_of_a_gradient_itself_are_those_of_the_caller() -> None:
    def fails(x: Array) -> Array:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        check_gradient(square, fails, X)


def test_a_parameter_that_the_loss_does_not_read_is_said_to_be_perhaps_a_copy() -> None:
    r = check_gradient(
        lambda p: square(p["a"]), lambda p: {"a": 2 * p["a"], "b": np.ones(3)}, {"a": X, "b": np.ones(3)}
    )
    assert "does not change at all with b" in r.diagnosis
    assert "no copy?" in r.diagnosis
