"""Wrong uses of check_gradient: each is refused in one line that says what was found and what to do."""

from __future__ import annotations

import pickle
from collections import namedtuple
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structures import array, leaves, mapped, nested

from gradcheck import check_gradient

Array = np.ndarray


class Net:
    def __init__(self) -> None:
        self.W, self.b = np.ones((2, 2)), 0.5

    def loss(self) -> Any:
        return np.sum(np.exp(self.W)) + self.b**2

    def gradients(self) -> Any:
        return {"W": np.exp(self.W), "b": 2 * self.b}


def square(x: Array) -> Any:
    return np.sum(x**2)


def double(x: Array) -> Array:
    return 2 * x


def loss(p: dict[str, Array]) -> Any:
    return np.sum(np.exp(p["W"])) + np.sum(p["b"] ** 2)


def gradients(p: dict[str, Array]) -> dict[str, Array]:
    return {"W": np.exp(p["W"]), "b": 2 * p["b"]}


def nothing(*_: Any) -> float:
    return 1.0


NET = Net()
X = np.ones(3)
P = {"W": np.ones((2, 2)), "b": np.ones(2)}
BASE = np.arange(6.0)
READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
CIRCLE: dict[str, Any] = {"W": X}
CIRCLE["me"] = CIRCLE
LAYERS = {"layers": [{"W": np.ones(2)}, {"W": np.ones(2)}]}
RNG = np.random.default_rng(0)
SERIES = pd.Series([1.0, 2.0], index=["age", "sex"])


def checked(fun: Any, jac: Any, x0: Any, *args: Any, **options: Any) -> Callable[[], Any]:
    return lambda: check_gradient(fun, jac, x0, *args, **options)


def inplace(x0: Any, fun: Any = nothing, jac: Any = nothing, **options: Any) -> Callable[[], Any]:
    return lambda: check_gradient(fun, jac, x0, inplace=True, **options)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    # x0
    "an object": (checked(nothing, nothing, NET), r"x0 is an object of the class Net: pass vars\(obj\), or"),
    "an object inside": (checked(loss, gradients, {"net": NET}), r"x0 \(net\) is an object of the class Net: pass vars"),
    "an object in place": (inplace(NET, NET.loss, NET.gradients), r"of the class Net: pass vars\(obj\)"),
    "a set": (checked(square, double, {1.0, 2.0}), "x0 is a set: pass a list or a dict of arrays"),
    "a generator": (checked(square, double, (i for i in range(3))), "x0 is a generator: pass a list"),
    "a function": (checked(loss, gradients, P | {"act": square}), r"x0 \(act\) is a function \(square\): pass"),
    "a ufunc": (checked(loss, gradients, P | {"act": np.tanh}), r"x0 \(act\) is a function \(tanh\): pass"),
    "a class": (checked(loss, gradients, Net), r"x0 is a function \(Net\): pass the parameters alone"),
    "text": (checked(square, double, "abc"), "x0 is 'abc': it must be an array of numbers"),
    "bool": (checked(square, double, np.array([True])), "x0 is a ndarray of bool: it must be an array of numbers"),
    "an array of arrays": (checked(square, double, np.array([X, np.ones(2)], object)), "x0 is an array of objects"),
    "itself": (checked(loss, gradients, CIRCLE), "x0 is nested more than 64 levels deep, or holds itself"),
    "nothing": (checked(nothing, lambda p: {}, {"n": 3, "on": True}), "x0 has nothing to check: n, on are frozen"),
    "complex": (checked(square, double, X * 1j), 'dtype complex128: convention="conjugate" .* "plain"'),
    "complex points of complex parameters": (
        checked(square, double, X * 1j, convention="plain", scheme="complex_step"), "x of x0 is complex already",
    ),
    "another convention": (checked(square, double, X, convention="torch"), "convention='torch': must be one of"),
    "a frame with text": (checked(nothing, nothing, pd.DataFrame({"a": [1.0], "b": ["x"]})), "has columns that are no numbers"),
    # calls
    "fun without x": (checked(lambda: 1.0, double, X), r"fun cannot be called as fun\(x\): .*say inplace=True"),
    "jac without x": (checked(square, lambda: X, X), r"jac cannot be called as jac\(x\): .*say inplace=True"),
    "fun with x in place": (inplace(X, square, double), r"called as fun\(\): .*with inplace=True it gets no x"),
    "backward without dout": (checked(double, double, X, vjp=True), r"jac\(x, dout\): .*it gets the upstream gradient dout"),
    "too many args": (checked(square, double, X, (1, 2)), r"as fun\(x, …, …\): too many positional arguments; args= and"),
    "too few args": (checked(lambda x, y: 1.0, double, X), "missing a required argument: 'y'; args= and kwargs="),
    "an unknown keyword": (checked(square, double, X, kwargs={"lam": 1}), r"fun\(x, lam=…\): got an unexpected .*'lam'"),
    "kwargs of no names": (checked(square, double, X, kwargs=[1]), r"kwargs=\[1\]: must be a dict from names"),
    # names
    "names of a dict": (checked(loss, gradients, P, names=["W", "b"]), r"names=\['W', 'b'\]: x0 is a dict, whose keys"),
    "names of a matrix": (checked(square, double, np.ones((2, 2)), names=["a"]), r"a ndarray of shape \(2, 2\); names are"),
    "too few labels": (checked(square, double, X, names=["a", "b"]), "names: 2 names for 3 entries of x0"),
    "a label twice": (checked(square, double, X, names=["a", "b", "a"]), "names: a stands there twice"),
    "names as text": (checked(square, double, X, names="abc"), "names='abc': must be a list of 3 names"),
    "names of a list": (checked(square, double, [X, X], names=["a"]), "names: 1 names for 2 arrays of x0"),
    "names of labels": (checked(nothing, nothing, SERIES, names=["a", "b"]), "x0 is a Series of shape"),
    "names of fields": (checked(nothing, nothing, namedtuple("P", "a b")(1.0, 2.0), names=["a", "b"]), "x0 is a P; names"),
    # gradients
    "nothing is returned": (inplace(P, lambda: loss(P), lambda: None), "the gradient is None: it must be like x0; where"),
    "one is missing": (checked(loss, lambda p: {"W": p["W"]}, P), "no entry for b; it has W; if b is no parameter"),
    "two ways to name": (checked(loss, lambda p: {"W": 1, "db": 1}, P), "no entry for b; it has W, db: all names alike"),
    "a slip of the key": (checked(loss, lambda p: {"dW": 1, "dB": 1}, P), "no entry for db; it has dW, dB"),
    "a tuple for a dict": (checked(loss, lambda p: (1, 1), P), r"is a tuple, but x0 is a dict of W, b: return dict\(zip"),
    "one vector for all": (checked(loss, lambda p: np.ones(6), P), "is a ndarray, but x0 is a dict of W, b"),
    "a dict for a list": (checked(nothing, lambda p: {"dW": 1}, [X, X]), "it has dW: return a list of 2 arrays, or name those"),
    "a generator of random numbers": (checked(loss, gradients, P | {"rng": RNG}), r"x0 \(rng\) is a Generator, .*leave it out"),
    "a list too long": (checked(nothing, lambda p: {"layers": [{"W": X}] * 3}, LAYERS), "has 3 arrays, but x0 has 2"),
    "no list": (checked(nothing, lambda p: {"layers": {"W": X}}, LAYERS), r"no entry for layers\[0\].W, layers\[1\].W"),
    "other labels": (
        checked(lambda s: (s**2).sum(), lambda s: pd.Series([1.0, 2.0], index=["age", "sx"]), SERIES),
        "the gradient has the labels age, sx, but x0 has age, sex",
    ),
    # limits and points
    "an unknown name": (checked(loss, gradients, P, bounds={"w": (0, None)}), "bounds: x0 has no parameter w; it has W, b"),
    "the limits of what is frozen": (
        checked(loss, gradients, P | {"k": 3}, bounds={"k": (0, None)}),
        r"bounds: x0 has no parameter k \(frozen: it has no gradient\)",
    ),
    "no pair": (checked(loss, gradients, P, bounds={"W": 3}), "bounds: 'W' has 3: must be a pair"),
    "text in a pair": (checked(loss, gradients, P, bounds={"W": ("a", 1)}), "bounds=.*must be 6 pairs"),
    "limits of another shape": (checked(loss, gradients, P, bounds={"W": (X, None)}), r"a limit of shape \(3,\) for 4 weights"),
    "limits that cross": (checked(loss, gradients, P, bounds=(1, 0)), r"lower limit of W\[0,0\] is 1, above the upper one"),
    "outside of one": (checked(loss, gradients, P, bounds={"b": (2, None)}), r"outside bounds: entry 4, b\[0\], is 1, not in"),
    "a point that lacks an array": (checked(loss, gradients, P, points=[{"W": X}]), r"points\[0\]: must have the structure.*"),
    "a point of text": (checked(loss, gradients, P, points=[{"W": "a", "b": X}]), r"points\[0\]: must .*W has the shape \(\)"),
    # in place
    "other processes": (inplace(X, workers=2), "inplace=True together with workers has no meaning: .*leave one of them out"),
    "stacks": (inplace(X, vectorized=True), "inplace=True together with vectorized"),
    "complex points": (inplace(X, scheme="complex_step"), "inplace=True together with scheme='complex_step'"),
    "read-only": (inplace({"W": READ_ONLY}), r"x0 \(W\) is read-only: pass the array that it is a view of"),
    "views that overlap": (inplace({"a": BASE[:4], "b": BASE[2:]}), "a and b overlap in memory: pass the array that both"),
    "entries that overlap": (
        inplace(np.lib.stride_tricks.as_strided(BASE, (4, 3), (8, 8))), "x0 has entries that share their memory",
    ),
    "whole numbers": (inplace(np.arange(3)), r"x0 holds whole numbers, .*pass it with astype\(float\)"),
    "a number alone": (inplace(1.5), "x0 is a float, which cannot be changed in place: let fun and jac take x"),
    "a number in a tuple": (inplace((1.5, X)), r"x0 \(x0\) is a number in a tuple, .*make it an array"),
    "two floating types": (inplace({"a": X, "b": X.astype("f")}), r"x0 mixes float64 \(a\) and float32 \(b\): give all arrays"),
    "a number with more digits": (inplace({"a": 0.1, "b": X.astype("f")}), r"x0 \(a\) is 0.1, which float32 does not hold"),
    "all attributes": (
        inplace(vars(NET) | {"cache": X}, NET.loss, NET.gradients), "no entry for cache; it has W, b; if cache is no parameter",
    ),
    # outputs
    "several outputs": (checked(lambda x: (x, x[:1]), double, X), "fun returns a tuple that is no array"),
    "an output of nothing": (checked(lambda x: (None,), lambda x, d: x, X, vjp=True), "fun returns a tuple without any array"),
    "stacks of structures": (
        checked(lambda x: {"a": x}, lambda x, d: d["a"], X, vjp=True, vectorized=True), "fun must return one array, not a",
    ),
    "a series in stacks": (checked(nothing, nothing, SERIES, vectorized=True), "x is a series, which holds one point"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_refused_in_one_line_that_says_what_to_do(name: str) -> None:
    call, words = WRONG[name]
    kept = [a.copy() for a in (X, BASE, *P.values())]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert type(caught.value).__name__ in ("ContractError", "ValueError")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    for now, then in zip((X, BASE, *P.values()), kept, strict=True):
        assert np.array_equal(now, then)


# ---------------------------------------------------------------------------------------------------- random wrong uses

ODD = st.sampled_from(
    [
        None, True, "text", 3, 0.25, 1 + 2j, np.float32(0.5), [0.1, 0.2], (0.1, 0.2), [[0.1], [0.2]], [], {}, X, X * 1j,
        np.arange(3), np.array(["a"], object), np.array([np.nan]), READ_ONLY, NET, np.tanh, SERIES,
        pd.DataFrame(np.ones((2, 2))),
        pd.Series(["a"]), BASE.astype(np.float32), np.longdouble(0.5),
    ]
)  # fmt: skip


def value(x: Any) -> float:
    """A sum over whatever in x is a number."""
    numbers = [np.asarray(leaf) for leaf in leaves(x) if not isinstance(leaf, (Net, str, bool)) and leaf is not None]
    return float(sum(np.sum(np.sin(np.abs(a))) for a in numbers if a.dtype.kind in "iufc"))


@st.composite
def mutated(draw: st.DrawFn, x: Any) -> Any:
    """A structure somewhat like x, as a gradient that somebody returns."""
    how = draw(st.sampled_from(["as it is", "prefix", "less", "more", "odd", "list", "inside"]))
    if how == "odd":
        return draw(ODD)
    if isinstance(x, dict):
        prefix = draw(st.sampled_from(["d", "grad_"])) if how == "prefix" else ""
        made = {(f"{prefix}{k}" if prefix else k): draw(mutated(v)) if how == "inside" else v for k, v in x.items()}
        return dict(list(made.items())[:-1]) if how == "less" else made | {"more": 1.0} if how == "more" else made
    if isinstance(x, list):
        return x[:-1] if how == "less" else [*x, 1.0] if how == "more" else tuple(x) if how == "list" else x
    return x


def outcome_or_line(call: Callable[[], Any]) -> str:
    """What a check says.  Another exception than a ValueError is none of what it may say."""
    try:
        return str(call())
    except ValueError as error:
        return str(error)


@settings(max_examples=60, deadline=None)
@given(st.data(), nested(st.one_of(array(), array(), ODD)), st.booleans(), st.sampled_from([None, "conjugate"]))
def test_whatever_is_passed_ends_in_an_outcome_or_in_one_line(
    data: Any, x: Any, inplace: bool, convention: Any
) -> None:
    claim = data.draw(mutated(x))
    options: dict[str, Any] = {"convention": convention, "max_nfev": 300, "vjp": data.draw(st.booleans())}
    further = [{}, {}, {"names": ["a", "b"]}, {"bounds": {"W": (-9, 9)}}, {"points": [x]}, {"sample": 2}]
    options |= data.draw(st.sampled_from(further))
    before = pickle.dumps(mapped(lambda leaf: leaf if isinstance(leaf, np.ndarray) else None, x))
    if inplace:
        call = partial(check_gradient, lambda: value(x), lambda *_: claim, x, inplace=True, **options)
    else:
        call = partial(check_gradient, value, lambda *_: claim, x, **options)
    said = outcome_or_line(call)
    assert said.startswith(("MATCH", "MISMATCH", "PARTIAL", "INCONCLUSIVE", "NONDIFF")) or "\n" not in said
    assert pickle.dumps(mapped(lambda leaf: leaf if isinstance(leaf, np.ndarray) else None, x)) == before


def test_the_same_without_the_mistake_is_taken() -> None:
    assert check_gradient(loss, gradients, P).ok
    assert check_gradient(square, double, X).ok
    assert check_gradient(NET.loss, NET.gradients, vars(NET), inplace=True).ok
