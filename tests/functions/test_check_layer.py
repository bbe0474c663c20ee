"""A layer as people have it: every way to call it, to keep parameters and gradients; what it keeps stays as it was."""

from __future__ import annotations

import copy
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers.activations import ReLU, Sigmoid, Tanh
from layers.attention import CausalSelfAttention, Embedding
from layers.base import Layer
from layers.composite import Residual
from layers.convolution import AvgPool2d, Conv2d, MaxPool2d
from layers.dense import Dense, Flatten
from layers.normalization import BatchNorm, Dropout, LayerNorm
from layers.recurrent import LSTM, RNN

from gradcheck import ContractError, check_layer
from gradcheck.functions.layers.state import State

Array = np.ndarray
RNG = np.random.default_rng(0)


def x_of(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


# ------------------------------------------------------------------------------------- layers that are right, and wrong

RIGHT: dict[str, tuple[Any, Any]] = {
    "dense": (Dense(3, 2, RNG), x_of(4, 3)),
    "dense along time": (Dense(3, 2, RNG), x_of(2, 3, 3)),
    "flatten": (Flatten(), x_of(2, 3, 2)),
    "relu": (ReLU(), x_of(4, 3)),
    "tanh": (Tanh(), x_of(4, 3)),
    "sigmoid": (Sigmoid(), x_of(4, 3)),
    "convolution": (Conv2d(2, 2, 3, RNG), x_of(2, 2, 4, 5)),
    "convolution with stride and padding": (Conv2d(2, 2, 3, RNG, stride=2, padding=1), x_of(1, 2, 5, 4)),
    "max pool": (MaxPool2d(2, 2), x_of(2, 1, 4, 5)),
    "max pool with overlap": (MaxPool2d(3, 1), x_of(1, 2, 4, 4)),
    "average pool": (AvgPool2d(2, 1), x_of(1, 2, 3, 4)),
    "batch norm": (BatchNorm(3, RNG), x_of(5, 3)),
    "layer norm": (LayerNorm(4, RNG), x_of(2, 3, 4)),
    "dropout": (Dropout(0.6, np.random.default_rng(3)), x_of(4, 3)),
    "rnn": (RNN(2, 3, RNG), x_of(2, 4, 2)),
    "lstm": (LSTM(2, 2, RNG), x_of(2, 3, 2)),
    "attention": (CausalSelfAttention(3, RNG), x_of(2, 3, 3)),
    "residual": (Residual([Dense(3, 3, RNG), Tanh()]), x_of(2, 3)),
    "embedding": (Embedding(4, 2, RNG), np.array([[0, 1, 1], [3, 1, 0]])),
}


@pytest.mark.parametrize(("layer", "x"), RIGHT.values(), ids=RIGHT.keys())
def test_a_right_layer_matches_in_its_input_and_in_every_parameter(layer: Any, x: Any) -> None:
    r = check_layer(layer, x)
    assert r.ok, str(r)
    names = set(r.table["param"])
    own = {f"layers[0].{n}" for n in layer.layers[0].params} if isinstance(layer, Residual) else set(layer.params)
    assert names == own | ({"input"} if x.dtype.kind == "f" else set())


@pytest.mark.parametrize(("layer", "x"), RIGHT.values(), ids=RIGHT.keys())
def test_one_wrong_entry_of_one_gradient_is_found(layer: Any, x: Any) -> None:
    """Whichever gradient: each in turn gets an error of one part in 1,000 in its largest entry."""
    for name in [*layer.params, *(["input"] if x.dtype.kind == "f" else [])]:
        wrong = copy.deepcopy(layer)
        right = wrong.backward

        def backward(dout: Array, wrong: Any = wrong, name: str = name, right: Any = right) -> Any:
            dx = right(dout)
            changed = dx if name == "input" else wrong.grads[name]
            at = np.unravel_index(np.abs(changed).argmax(), changed.shape)
            changed = changed.copy()
            changed[at] *= 1.001
            if name == "input":
                return changed
            wrong.grads[name] = changed
            return dx

        wrong.backward = backward
        r = check_layer(wrong, x)
        found = [(p, v) for p, v in zip(r.table["param"], r.table["verdict"], strict=True) if v == "mismatch"]
        assert found == [(name, "mismatch")], str(r)


# --------------------------------------------------------------------------------------------- every way to have a layer

W, B = RNG.normal(size=(3, 2)), RNG.normal(size=2)


def affine(x: Array, w: Array, b: Array) -> Array:
    return x @ w + b


def gradients(x: Array, w: Array, dout: Array, off: float) -> tuple[Array, Array, Array]:
    """The right gradients, but the bias' times ``off``."""
    return dout @ w.T, x.T @ dout, off * dout.sum(axis=0)


class InDicts:
    def __init__(self, off: float) -> None:
        self.params, self.grads, self.off = {"W": W.copy(), "b": B.copy()}, {}, off

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.params["W"], self.params["b"])

    def backward(self, dout: Array) -> Array:
        dx, dw, db = gradients(self.x, self.params["W"], dout, self.off)
        self.grads = {"W": dw, "b": db}
        return dx


class WithPrefix(InDicts):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads = {"d" + name: value for name, value in self.grads.items()}
        return dx


class InLists:
    """As in books: two lists, the gradients written into buffers."""

    def __init__(self, off: float) -> None:
        self.params, self.off = [W.copy(), B.copy()], off
        self.grads = [np.full_like(p, 7.0) for p in self.params]

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, *self.params)

    def backward(self, dout: Array) -> Array:
        dx, dw, db = gradients(self.x, self.params[0], dout, self.off)
        self.grads[0][...], self.grads[1][...] = dw, db
        return dx


class AddsUp(InLists):
    """Gradient buffers are added to, and not empty."""

    def backward(self, dout: Array) -> Array:
        dx, dw, db = gradients(self.x, self.params[0], dout, self.off)
        self.grads[0] += dw
        self.grads[1] += db
        return dx


class Attributes:
    spelling = "d{}"

    def __init__(self, off: float) -> None:
        self.W, self.b, self.off, self.rate = W.copy(), B.copy(), off, 0.1

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.W, self.b)

    def backward(self, dout: Array) -> Array:
        dx, dw, db = gradients(self.x, self.W, dout, self.off)
        setattr(self, self.spelling.format("W"), dw)
        setattr(self, self.spelling.format("b"), db)
        return dx


class GradAttributes(Attributes):
    spelling = "grad_{}"


class InSlots:
    __slots__ = ("W", "b", "dW", "db", "off", "x")

    def __init__(self, off: float) -> None:
        self.W, self.b, self.off = W.copy(), B.copy(), off

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.W, self.b)

    def backward(self, dout: Array) -> Array:
        dx, self.dW, self.db = gradients(self.x, self.W, dout, self.off)
        return dx


class TorchStyle:
    def __init__(self, off: float) -> None:
        self.weight = SimpleNamespace(data=W.copy(), grad=None)
        self.bias, self.off = SimpleNamespace(data=B.copy(), grad=None), off

    def parameters(self) -> list[Any]:
        return [self.weight, self.bias]

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.weight.data, self.bias.data)

    def backward(self, dout: Array) -> Array:
        dx, self.weight.grad, self.bias.grad = gradients(self.x, self.weight.data, dout, self.off)
        return dx


class Named(TorchStyle):
    def named_parameters(self) -> Any:
        yield from (("weight", self.weight), ("bias", self.bias))


class Callable_:
    """``__call__`` instead of forward; backward gets the input first, under the name that forward has for it."""

    def __init__(self, off: float) -> None:
        self.W, self.b, self.off = W.copy(), B.copy(), off

    def __call__(self, inputs: Array) -> Array:
        return affine(inputs, self.W, self.b)

    def backward(self, inputs: Array, upstream: Array) -> Array:
        dx, self.dW, self.db = gradients(inputs, self.W, upstream, self.off)
        return dx


class KeepsAll:
    """forward returns nothing and keeps ``output``; backward returns nothing and keeps ``dinputs``."""

    def __init__(self, off: float) -> None:
        self.weights, self.biases, self.off = W.copy(), B.copy(), off

    def forward(self, inputs: Array) -> None:
        self.inputs, self.output = inputs, affine(inputs, self.weights, self.biases)

    def backward(self, dvalues: Array) -> None:
        self.dinputs, self.dweights, self.dbiases = gradients(self.inputs, self.weights, dvalues, self.off)


class HandsOnACache(Attributes):
    def forward(self, x: Array) -> Any:
        return affine(x, self.W, self.b), (x, self.W)

    def backward(self, dout: Array, cache: Any) -> Array:  # type: ignore[override]
        dx, self.dW, self.db = gradients(*cache, dout, self.off)
        return dx


class ReturnsAll(Attributes):
    def backward(self, dout: Array) -> Any:
        return gradients(self.x, self.W, dout, self.off)


class ReturnsADict(Attributes):
    def backward(self, dout: Array) -> Any:
        return dict(zip(("dx", "dW", "db"), gradients(self.x, self.W, dout, self.off), strict=True))


class ReturnsADictBehind(Attributes):
    def backward(self, dout: Array) -> Any:
        dx, dw, db = gradients(self.x, self.W, dout, self.off)
        return dx, {"dW": dw, "db": db}


class OtherDicts(InDicts):
    """The dicts are called otherwise, and the gradients' like the parameters'."""

    def __init__(self, off: float) -> None:
        self.weights, self.dweights, self.off = {"W": W.copy(), "b": B.copy()}, {}, off

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.weights["W"], self.weights["b"])

    def backward(self, dout: Array) -> Array:
        dx, dw, db = gradients(self.x, self.weights["W"], dout, self.off)
        self.dweights = {"W": dw, "b": db}
        return dx


class Methods:
    """Arrays from one method, their gradients from another."""

    def __init__(self, off: float) -> None:
        self._values, self._slopes, self.off = (W.copy(), B.copy()), (), off

    def parameters(self) -> Any:
        return list(self._values)

    def gradients(self) -> Any:
        return list(self._slopes)

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, *self._values)

    def backward(self, dout: Array) -> Array:
        dx, *self._slopes = gradients(self.x, self._values[0], dout, self.off)
        return dx


class HoldsALayer:
    """The parameters are those of a layer that it holds."""

    def __init__(self, off: float) -> None:
        self.inner = InDicts(off)

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x)

    def backward(self, dout: Array) -> Array:
        return self.inner.backward(dout)


class Static:
    """No object at all: the functions of a class, with a context."""

    @staticmethod
    def forward(x: Array, w: Array, b: Array) -> Any:
        return affine(x, w, b), (x, w)

    @staticmethod
    def backward(dout: Array, cache: Any) -> Any:
        return gradients(*cache, dout, 1.0)


STYLES: dict[str, Callable[[float], Any]] = {
    cls.__name__: cls
    for cls in (
        InDicts, WithPrefix, InLists, AddsUp, Attributes, GradAttributes, InSlots, TorchStyle, Named, Callable_, KeepsAll,
        HandsOnACache, ReturnsAll, ReturnsADict, ReturnsADictBehind, OtherDicts, Methods, HoldsALayer,
    )
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES.keys())
def test_parameters_are_found_wherever_they_are_kept(style: Callable[[float], Any]) -> None:
    x = x_of(4, 3)
    right = check_layer(style(1.0), x)
    assert right.ok
    assert right.n_weights == x.size + W.size + B.size == right.count("match")
    wrong = check_layer(style(1.5), x)
    found = {p for p, v in zip(wrong.table["param"], wrong.table["verdict"], strict=True) if v == "mismatch"}
    assert len(found) == 1
    assert wrong.count("mismatch") == B.size


def cached(off: float) -> Any:
    def forward(x: Array, w: Array, b: Array) -> Any:
        return affine(x, w, b), (x, w)

    return forward, lambda dout, cache: gradients(*cache, dout, off)


def uncached(off: float) -> Any:
    return affine, lambda dout, x, w: gradients(x, w, dout, off)


def by_name(off: float) -> Any:
    return affine, lambda dout, x, w: dict(zip(("dx", "dw", "db"), gradients(x, w, dout, off), strict=True))


def input_first(off: float) -> Any:
    return affine, lambda x, w, b, dout: list(gradients(x, w, dout, off))


@pytest.mark.parametrize("pair", [cached, uncached, by_name, input_first], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "params", [{"w": W, "b": B}, OrderedDict(w=W, b=B), (W, B), [W, B]], ids=lambda p: type(p).__name__
)
def test_a_pair_of_functions_is_a_layer(pair: Callable[[float], Any], params: Any) -> None:
    x, before = x_of(4, 3), (W.copy(), B.copy())
    right = check_layer(pair(1.0), x, params=params)
    assert right.ok
    assert list(dict.fromkeys(right.table["param"])) == ["input", "w", "b"]
    wrong = check_layer(pair(0.5), x, params=params)
    assert {p for p, v in zip(wrong.table["param"], wrong.table["verdict"], strict=True) if v == "mismatch"} == {"b"}
    assert all(np.array_equal(a, b) for a, b in zip((W, B), before, strict=True))


def test_a_class_of_static_functions_is_a_pair() -> None:
    for layer in (Static, Static()):
        assert check_layer((layer.forward, layer.backward), x_of(4, 3), params={"w": W, "b": B}).ok
    assert check_layer(Static, x_of(4, 3), params={"w": W, "b": B}).ok


def test_a_layer_that_knows_its_neighbours_is_checked_alone() -> None:
    first, second = InDicts(1.0), InDicts(1.5)
    first.next, second.previous = second, first  # type: ignore[attr-defined]
    r = check_layer(first, x_of(4, 3))
    assert r.ok, str(r)
    assert set(r.table["param"]) == {"input", "W", "b"}


def test_an_array_that_the_output_does_not_depend_on_is_no_parameter() -> None:
    layer = Attributes(1.0)
    layer.unused = np.zeros(3)  # type: ignore[attr-defined]
    assert set(check_layer(layer, x_of(4, 3)).table["param"]) == {"input", "W", "b"}


def test_a_constant_is_one_that_is_read_only() -> None:
    class Scaled(Attributes):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.scale = np.array([1.0, 2.0, 3.0])

        def forward(self, x: Array) -> Array:
            return super().forward(x * self.scale)

        def backward(self, dout: Array) -> Array:
            return super().backward(dout) * self.scale

    layer = Scaled()
    with pytest.raises(ContractError, match=r"scale changes the output.*scale\.flags\.writeable = False"):
        check_layer(layer, x_of(4, 3))
    layer.scale.flags.writeable = False
    r = check_layer(layer, x_of(4, 3))
    assert r.ok
    assert set(r.table["param"]) == {"input", "W", "b"}


def test_other_methods_of_an_object_are_a_pair() -> None:
    layer = InDicts(1.0)
    pair = (layer.forward, layer.backward)
    r = check_layer(pair, x_of(4, 3))
    assert r.ok
    assert set(r.table["param"]) == {"input", "W", "b"}


@pytest.mark.parametrize("names", [["W"], ["W", "b"]])
def test_params_says_which_are_checked(names: list[str]) -> None:
    layer = Attributes(1.0)
    for params in (names, {name: getattr(layer, name) for name in names}):
        r = check_layer(layer, x_of(4, 3), params=params)
        assert r.ok
        assert set(r.table["param"]) == {"input", *names}


def test_a_parameter_may_have_another_name_in_params() -> None:
    layer = Attributes(1.0)
    r = check_layer(layer, x_of(4, 3), params={"weights": layer.W})
    assert r.ok
    assert set(r.table["param"]) == {"input", "weights"}


def test_a_number_may_be_a_parameter() -> None:
    class Leaky:
        def __init__(self, off: float) -> None:
            self.alpha, self.off = 0.3, off

        def forward(self, x: Array) -> Array:
            self.x = x
            return np.where(x > 0, x, self.alpha * x)

        def backward(self, dout: Array) -> Array:
            self.dalpha = self.off * (dout * np.minimum(self.x, 0)).sum()
            return dout * np.where(self.x > 0, 1, self.alpha)

    layer = Leaky(1.0)
    assert check_layer(layer, x_of(3, 4)).ok
    assert (type(layer.alpha), layer.alpha) == (float, 0.3)
    wrong = check_layer(Leaky(1.1), x_of(3, 4))
    assert [p for p, v in zip(wrong.table["param"], wrong.table["verdict"], strict=True) if v == "mismatch"] == [
        "alpha"
    ]


def test_an_array_that_stands_in_two_places_is_one_parameter() -> None:
    class Tied(Layer):
        def __init__(self) -> None:
            shared = RNG.normal(size=(3, 3))
            super().__init__(W=shared, U=shared)

        def forward(self, x: Array) -> Array:
            self.kept = (x, x @ self.params["W"])
            return self.kept[1] @ self.params["U"]

        def backward(self, dout: Array) -> Array:
            x, h = self.kept
            dh = dout @ self.params["U"].T
            self.grads = {"W": x.T @ dh, "U": h.T @ dout}
            return dh @ self.params["W"].T

    r = check_layer(Tied(), x_of(4, 3))
    assert r.ok, str(r)
    assert set(r.table["param"]) == {"input", "W"}


# --------------------------------------------------------------------------------------- several inputs, several outputs


def lstm_step(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    z = x @ Wx + h @ Wh + b
    k = h.shape[1]
    i, f, o = (1 / (1 + np.exp(-z[:, j * k : (j + 1) * k])) for j in range(3))
    g = np.tanh(z[:, 3 * k :])
    next_c = f * c + i * g
    squashed = np.tanh(next_c)
    return o * squashed, next_c, (x, h, c, Wx, Wh, i, f, o, g, squashed)


def lstm_step_back(dnext_h: Array, dnext_c: Array, cache: Any) -> Any:
    x, h, c, Wx, Wh, i, f, o, g, squashed = cache
    dc = dnext_c + dnext_h * o * (1 - squashed**2)
    dz = np.hstack([dc * g * i * (1 - i), dc * c * f * (1 - f), dnext_h * squashed * o * (1 - o), dc * i * (1 - g**2)])
    return dz @ Wx.T, dz @ Wh.T, dc * f, x.T @ dz, h.T @ dz, dz.sum(axis=0)


STEP = {"Wx": RNG.normal(size=(3, 8)), "Wh": RNG.normal(size=(2, 8)), "b": RNG.normal(size=8)}


def test_a_step_with_a_state_has_several_inputs_and_outputs() -> None:
    x = (x_of(2, 3), x_of(2, 2), x_of(2, 2))
    r = check_layer((lstm_step, lstm_step_back), x, params=STEP)
    assert r.ok, str(r)
    assert list(dict.fromkeys(r.table["param"])) == ["input[0]", "input[1]", "input[2]", "Wx", "Wh", "b"]
    # the state may as well be parameters in front of the weights
    again = check_layer((lstm_step, lstm_step_back), x[0], params={"h": x[1], "c": x[2], **STEP})
    assert again.ok
    assert list(dict.fromkeys(again.table["param"])) == ["input", "h", "c", "Wx", "Wh", "b"]


def test_a_wrong_gradient_of_one_of_several_inputs_is_named() -> None:
    def back(dnext_h: Array, dnext_c: Array, cache: Any) -> Any:
        found = list(lstm_step_back(dnext_h, 0 * dnext_c, cache))
        return found

    x = (x_of(2, 3), x_of(2, 2), x_of(2, 2))
    r = check_layer((lstm_step, back), x, params=STEP)
    wrong = {p for p, v in zip(r.table["param"], r.table["verdict"], strict=True) if v == "mismatch"}
    assert {"input[2]", "Wx"} <= wrong


class InDict:
    """A dict goes in, a dict comes out."""

    def forward(self, x: dict[str, Array]) -> dict[str, Array]:
        self.x = x
        return {"sum": x["a"] + x["b"], "product": x["a"] * x["b"]}

    def backward(self, dout: dict[str, Array]) -> dict[str, Array]:
        a, b = self.x["a"], self.x["b"]
        return {"a": dout["sum"] + dout["product"] * b, "b": dout["sum"] + dout["product"] * a}


class InTuples:
    """Two inputs as one tuple, two outputs, and a state that is a number."""

    def forward(self, x: tuple[Array, Array]) -> tuple[Array, Array]:
        self.x = x
        return x[0] @ x[1].T, x[0].sum(axis=0)

    def backward(self, dout: tuple[Array, Array]) -> tuple[Array, Array]:
        return dout[0] @ self.x[1] + dout[1], dout[0].T @ self.x[0]


def test_structures_go_in_and_come_out() -> None:
    r = check_layer(InDict(), {"a": x_of(3), "b": x_of(3) + 1})
    assert r.ok, str(r)
    assert set(r.table["param"]) == {"input.a", "input.b"}
    assert check_layer(InTuples(), (x_of(3, 2), x_of(4, 2))).ok
    assert check_layer(InTuples(), [x_of(3, 2), x_of(4, 2)]).ok


def test_labels_beside_the_input_have_no_gradient() -> None:
    class Loss:
        def forward(self, z: Array, labels: Array) -> float:
            p = np.exp(z - z.max(axis=1, keepdims=True))
            self.p, self.labels = p / p.sum(axis=1, keepdims=True), labels
            return -np.log(self.p[np.arange(len(z)), labels]).mean()

        def backward(self, dout: float = 1) -> Array:
            dz = self.p.copy()
            dz[np.arange(len(dz)), self.labels] -= 1
            return dout * dz / len(dz)

    labels = np.array([0, 3, 1])
    for r in (check_layer(Loss(), (x_of(3, 4), labels)), check_layer(Loss(), x_of(3, 4), args=(labels,))):
        assert r.ok, str(r)
        assert r.n_weights == 12


def test_a_loss_may_take_no_upstream_gradient() -> None:
    class Half:
        def forward(self, x: Array) -> float:
            self.x = x
            return (x**2).sum() / 2

        def backward(self) -> Array:
            return self.x

    r = check_layer(Half(), x_of(5))
    assert r.ok
    assert "backward takes no upstream gradient: it was checked with 1" in str(r)


def test_a_loss_that_ignores_its_upstream_gradient_is_checked_with_the_default() -> None:
    class Half:
        def forward(self, x: Array) -> float:
            self.x = x
            return (x**2).sum() / 2

        def backward(self, dout: float = 2) -> Array:
            return 2 * self.x

    r = check_layer(Half(), x_of(5))
    assert r.ok
    assert r.notes == ("backward takes dout=2 as its default: it was checked with 2",)
    assert check_layer(Half(), x_of(5), upstream=1.0).verdict == "mismatch"


# ----------------------------------------------------------------------------------------------------------- embedding


@pytest.mark.parametrize("adds", [True, False])
def test_words_have_no_gradient_and_repeated_ones_add_up(adds: bool) -> None:
    def forward(words: Array, E: Array) -> Any:
        return E[words], (words, E)

    def backward(dout: Array, cache: Any) -> Array:
        words, E = cache
        dE = np.zeros_like(E)
        if adds:
            np.add.at(dE, words, dout)
        else:
            dE[words] += dout
        return dE

    words = np.array([[0, 2, 2], [2, 1, 0]])
    r = check_layer((forward, backward), words, params={"E": x_of(4, 2)})
    assert r.notes == ("the input is of integers: it has no gradient",)
    assert r.verdict == ("match" if adds else "mismatch")
    rows = {p[0] for p, v in zip(r.table["position"], r.table["verdict"], strict=True) if v == "mismatch"}
    assert rows == (set() if adds else {0, 2})
    every = {p[0] for p, v in zip(r.table["position"], r.table["reason"], strict=True) if v == "exempt"}
    assert every == {3}


# ------------------------------------------------------------------------------------------------------ random numbers


class Global:
    def forward(self, x: Array) -> Array:
        self.mask = np.random.rand(*x.shape) < 0.5
        return x * self.mask

    def backward(self, dout: Array) -> Array:
        return dout * self.mask


class Standard(Global):
    def forward(self, x: Array) -> Array:
        self.mask = np.array([random.random() < 0.5 for _ in range(x.size)]).reshape(x.shape)
        return x * self.mask


GENERATOR = np.random.default_rng(5)


class OfTheModule(Global):
    def forward(self, x: Array) -> Array:
        self.mask = GENERATOR.random(x.shape) < 0.5
        return x * self.mask


class Old(Global):
    def __init__(self) -> None:
        self.random = np.random.RandomState(0)

    def forward(self, x: Array) -> Array:
        self.mask = self.random.rand(*x.shape) < 0.5
        return x * self.mask


class Fresh(Global):
    def forward(self, x: Array) -> Array:
        self.mask = np.random.default_rng().random(x.shape) < 0.5
        return x * self.mask


@pytest.mark.parametrize("layer", [Global(), Standard(), OfTheModule(), Old(), Dropout(0.5, np.random.default_rng(1))])
def test_a_layer_that_draws_begins_each_call_with_the_same_random_state(layer: Any) -> None:
    np.random.seed(3)
    random.seed(4)
    states = (repr(np.random.get_state()), random.getstate(), repr(GENERATOR.bit_generator.state))
    r = check_layer(layer, x_of(6, 5))
    assert r.ok, str(r)
    assert any("same random state" in note for note in r.notes)
    assert "same random state" in str(r)
    assert (repr(np.random.get_state()), random.getstate(), repr(GENERATOR.bit_generator.state)) == states


def test_a_layer_that_draws_from_elsewhere_is_told_the_ways_out() -> None:
    with pytest.raises(ContractError, match=r"not deterministic.*seed.*mask.*evaluation mode"):
        check_layer(Fresh(), x_of(6, 5))


class BuiltLate:
    """The parameters are made in the first call, for as many features as the input has; the random numbers are the layer's."""

    W: Array | None = None

    def __init__(self, off: float) -> None:
        self.off, self.rng = off, np.random.default_rng(7)

    def forward(self, x: Array) -> Array:
        if self.W is None:
            self.W, self.b = self.rng.normal(size=(x.shape[1], 2)), np.zeros(2)
        self.x = x
        return affine(x, self.W, self.b)

    def backward(self, dout: Array) -> Array:
        assert self.W is not None
        dx, self.dW, self.db = gradients(self.x, self.W, dout, self.off)
        return dx


def test_parameters_that_are_made_in_the_first_call_are_checked_and_not_left_behind() -> None:
    layer = BuiltLate(1.0)
    before = list(vars(layer)), repr(layer.rng.bit_generator.state)
    r = check_layer(layer, x_of(4, 3))
    assert r.ok, str(r)
    assert set(r.table["param"]) == {"input", "W", "b"}
    assert r.notes == ("the layer makes W, b in its first call: every call began after one",)
    assert (list(vars(layer)), repr(layer.rng.bit_generator.state)) == before
    wrong = check_layer(BuiltLate(0.5), x_of(4, 3))
    assert {p for p, v in zip(wrong.table["param"], wrong.table["verdict"], strict=True) if v == "mismatch"} == {"b"}


def test_a_layer_that_does_not_draw_says_nothing_of_it() -> None:
    assert check_layer(Tanh(), x_of(3)).notes == ()


# ------------------------------------------------------------------------------------------------- nothing is changed


class Keeper:
    """A layer that keeps things in every way there is."""

    shared: ClassVar[dict[str, Any]] = {}
    calls = 0

    def __init__(self) -> None:
        self.W = RNG.normal(size=(2, 2))
        self.mean, self.history, self.last = np.zeros(2), [], deque([1, 2], maxlen=4)
        self.inner = SimpleNamespace(count=0, buffer=np.zeros(3), names={"a"})
        self.random = random.Random(1)
        self.tree = {"deep": [np.zeros(2), {"x": 1}]}
        self.nan = np.array([np.nan, -0.0])

    def forward(self, x: Array) -> Array:
        Keeper.calls += 1
        Keeper.shared["x"] = x
        self.mean += x.mean(axis=0)
        self.history.append(x)
        self.last.append(len(self.history))
        self.inner.count += 1
        self.inner.buffer[:] = self.random.random()
        self.inner.names.add("b")
        self.tree["deep"][0] += 1
        self.tree["new"] = x
        self.nan[:] = 0
        self.x = x
        return x @ self.W + 0.01 * self.inner.count

    def backward(self, dout: Array) -> Array:
        self.history.pop()
        self.dW = self.x.T @ dout
        return dout @ self.W.T


def parts(value: Any, path: str = "") -> dict[str, Any]:
    """Every array and container in an object by path, with its identity and content."""
    found: dict[str, Any] = {}
    if isinstance(value, np.ndarray):
        return {path: (id(value), value.tobytes())}
    if isinstance(value, (set, deque)):
        return {path: (id(value), repr(value))}
    if isinstance(value, random.Random):
        return {path: (id(value), value.getstate())}
    if isinstance(value, dict):
        found = {path: (id(value), list(value))}
        items = list(value.items())
    elif isinstance(value, list):
        found = {path: (id(value), len(value))}
        items = list(enumerate(value))
    elif hasattr(value, "__dict__"):
        found = {path: (id(value), list(vars(value)))}
        items = list(vars(value).items())
    else:
        return {path: value}
    for key, part in items:
        found |= parts(part, f"{path}.{key}")
    return found


def test_what_an_object_keeps_is_left_as_it_was_to_the_bit_and_in_the_same_objects() -> None:
    layer, x = Keeper(), x_of(3, 2)
    layer.forward(x_of(4, 2))
    before, own = parts(layer), (parts(Keeper.shared), Keeper.calls)
    assert check_layer(layer, x).ok
    assert parts(layer) == before
    assert (parts(Keeper.shared), Keeper.calls) == own


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_is_left_as_it_was_where_a_call_raises(error: type[BaseException]) -> None:
    class Breaks(Keeper):
        def backward(self, dout: Array) -> Array:
            super().backward(dout)
            raise error("no")

    layer = Breaks()
    before = parts(layer)
    with pytest.raises((ContractError, KeyboardInterrupt)):
        check_layer(layer, x_of(3, 2))
    assert parts(layer) == before


@pytest.mark.parametrize("after", range(1, 40, 3))
def test_it_is_left_as_it_was_wherever_it_is_interrupted(after: int) -> None:
    count = itertools.count()

    class Breaks(Dense):
        def forward(self, x: Array) -> Array:
            if next(count) == after:
                raise KeyboardInterrupt
            return super().forward(x)

    layer = Breaks(2, 2, RNG)
    before = parts(layer)
    with pytest.raises(KeyboardInterrupt):
        check_layer(layer, x_of(3, 2))
    assert parts(layer) == before


@pytest.mark.parametrize(("layer", "x"), RIGHT.values(), ids=RIGHT.keys())
def test_a_layer_in_use_is_left_as_it_was(layer: Any, x: Any) -> None:
    """After a pass forward and back it holds a cache and gradients: all of it stays."""
    layer = copy.deepcopy(layer)
    layer.backward(np.ones_like(layer.forward(x)))
    before, given = parts(layer), x.copy()
    assert check_layer(layer, x).ok
    assert parts(layer) == before
    assert np.array_equal(x, given)


def test_what_functions_keep_is_left_as_it_was() -> None:
    kept: dict[str, Any] = {"n": 0}

    def forward(x: Array, mode: dict[str, Any]) -> Array:
        kept["x"] = x
        kept["n"] += 1
        mode["mean"] = mode["mean"] + x.mean()
        forward.calls = getattr(forward, "calls", 0) + 1  # type: ignore[attr-defined]
        return x**2 + 0.1 * kept["n"]

    def backward(dout: Array) -> Array:
        return 2 * kept["x"] * dout

    mode = {"mean": 0.0}
    assert check_layer((forward, backward), x_of(3), args=(mode,)).ok
    assert (kept, mode, hasattr(forward, "calls")) == ({"n": 0}, {"mean": 0.0}, False)


TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
KEPT: list[Any] = []


def test_a_library_that_a_function_names_is_no_state_and_the_callers_own_things_are() -> None:
    def forward(x: Array) -> Array:
        KEPT.append(x)
        return x * TABLE["a"].to_numpy() * len(KEPT) * np.asarray(given_values(3))

    state = State((forward, np.sin))
    assert any(one is KEPT for one in state.reached)
    assert not any(one is TABLE or one is pd.DataFrame for one in state.reached)
    assert check_layer((forward, lambda dout: dout * TABLE["a"].to_numpy()), x_of(3)).ok
    assert KEPT == []


def given_values(n: int) -> list[float]:
    return [1.0] * n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.data())
def test_any_wrong_entry_is_found_and_no_other_is_accused(
    seed: int, n: int, d: int, k: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    layer = Dense(d, k, rng)
    name = data.draw(st.sampled_from(["input", "W", "b"]))
    shape = {"input": (n, d), "W": (d, k), "b": (k,)}[name]
    at = tuple(data.draw(st.integers(0, s - 1)) for s in shape)
    right = layer.backward

    def backward(dout: Array) -> Array:
        dx = right(dout)
        (dx if name == "input" else layer.grads[name])[at] += 0.1
        return dx

    layer.backward = backward  # type: ignore[method-assign]
    r = check_layer(layer, rng.normal(size=(n, d)), seed=seed % 7)
    wrong = [
        (p, tuple(i))
        for p, i, v in zip(r.table["param"], r.table["position"], r.table["verdict"], strict=True)
        if v == "mismatch"
    ]
    assert wrong == [(name, at)]


# ------------------------------------------------------------------------------------------------------------- settings


def test_the_upstream_gradient_may_be_given() -> None:
    """A mistake in one output is not seen where its upstream gradient is 0."""

    class Wrong(Tanh):
        def backward(self, dout: Array) -> Array:
            dx = super().backward(dout)
            dx[0] *= 2
            return dx

    hidden = np.ones((3, 2))
    hidden[0] = 0
    assert check_layer(Wrong(), x_of(3, 2)).verdict == "mismatch"
    assert check_layer(Wrong(), x_of(3, 2), upstream=hidden).verdict == "match"
    assert check_layer(Wrong(), x_of(3, 2), upstream=np.ones((3, 2))).verdict == "mismatch"


def test_settings_are_those_of_check_gradient() -> None:
    r = check_layer(Dense(3, 2, RNG), x_of(4, 3), eps=1e-5, scheme="five_point", sample=5, match_at=0.1, min_judged=0.5)
    assert (r.eps, r.scheme, len(r.table["param"]), r.match_at, r.min_judged) == (1e-5, "five_point", 5, 0.1, 0.5)
    assert len(check_layer(Tanh(), x_of(4), points=3).points) == 3


def test_float32_layers_are_checked_in_float32() -> None:
    layer = Dense(3, 2, RNG)
    layer.params = {name: value.astype(np.float32) for name, value in layer.params.items()}
    r = check_layer(layer, x_of(4, 3), match_at=5e-2)
    assert r.ok, str(r)
    assert r.dtype == "float32"
    assert layer.params["W"].dtype == np.float32


# ------------------------------------------------------------------------------------------------------------ wrong uses


class Without(Attributes):
    def backward(self, dout: Array) -> Array:
        dx, self.dW, _ = gradients(self.x, self.W, dout, 1.0)
        return dx


class LacksEntry(InDicts):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        del self.grads["b"]
        return dx


class LacksGrad(TorchStyle):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.bias.grad = None
        return dx


class Transposed(Attributes):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.dW = self.dW.T
        return dx


class NoReturn(Attributes):
    def backward(self, dout: Array) -> None:  # type: ignore[override]
        super().backward(dout)


class Descends(Attributes):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.W -= 0.1 * self.dW
        return dx


class Rebinds(Attributes):
    def backward(self, dout: Array) -> Array:
        dx, dw, _ = gradients(self.x, self.W, dout, 1.0)
        self.W = self.W - 0.1 * dw
        self.dW = dw
        return dx


class Unknown(InDicts):
    """Parameters in a dict that nothing tells to be one, and no gradient."""

    def __init__(self) -> None:
        self.theta = {"W": W.copy(), "b": B.copy()}

    def forward(self, x: Array) -> Array:
        self.x = x
        return affine(x, self.theta["W"], self.theta["b"])

    def backward(self, dout: Array) -> Array:
        return dout @ self.theta["W"].T


class InPlaceReLU:
    def forward(self, x: Array) -> Array:
        self.mask = x < 0
        x[self.mask] = 0
        return x

    def backward(self, dout: Array) -> Array:
        dout[self.mask] = 0
        return dout


class Clips(Attributes):
    def forward(self, x: Array) -> Array:
        np.clip(self.W, -0.1, 0.1, out=self.W)
        return super().forward(x)


class NeedsMore(Attributes):
    def forward(self, x: Array, train: bool) -> Array:  # type: ignore[override]
        return super().forward(x)


class WrongShape(Tanh):
    def backward(self, dout: Array) -> Array:
        return super().backward(dout).sum(axis=0)


class Ragged(Tanh):
    def forward(self, x: Array) -> Any:
        return "out"


class NotFinite(Tanh):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * np.inf


class ReadOnly(Attributes):
    def __init__(self) -> None:
        super().__init__(1.0)
        self.params = {"W": W.copy()}
        self.params["W"].flags.writeable = False


class Chance(Tanh):
    def backward(self, dout: Array) -> Array:
        return super().backward(dout) * np.random.default_rng().random()


X = x_of(4, 3)
OVERLAP = np.arange(8.0)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no backward": (lambda: check_layer(SimpleNamespace(forward=np.sin), X), ContractError, "has no backward"),
    "no forward": (lambda: check_layer(SimpleNamespace(backward=np.sin), X), ContractError, "has no forward"),
    "a function": (lambda: check_layer(np.tanh, X), ContractError, "no backward"),
    "a class": (lambda: check_layer(Dense, X), ContractError, "this is a class: hand an object"),
    "three functions": (lambda: check_layer((np.sin, np.cos, np.tan), X), ContractError, "a pair must be two functions"),
    "a pair with an array": (lambda: check_layer((np.sin, X), X), ContractError, "a pair must be two functions"),
    "a parameter without gradient": (lambda: check_layer(Without(1.0), X), ContractError, "b changes the output.*no db"),
    "an entry missing in grads": (lambda: check_layer(LacksEntry(1.0), X), ContractError, "b has no gradient"),
    "grad is None": (lambda: check_layer(LacksGrad(1.0), X), ContractError, r"parameters\[1\] has no gradient"),
    "a transposed gradient": (lambda: check_layer(Transposed(1.0), X), ContractError, "gradient of W.*it is the transpose"),
    "no gradient of the input": (lambda: check_layer(NoReturn(1.0), X), ContractError, "backward returns None.*its input"),
    "a step of descent": (lambda: check_layer(Descends(1.0), X), ContractError, "backward changes its parameter W"),
    "a step of descent that rebinds": (
        lambda: check_layer(Rebinds(1.0), X), ContractError, "backward changes its parameter W"),
    "parameters in an unknown place": (
        lambda: check_layer(Unknown(), X), ContractError, "theta.W, theta.b change the output and have no gradient"),
    "the input is changed": (lambda: check_layer(InPlaceReLU(), X), ContractError, "forward changes its input in place"),
    "a parameter is changed": (
        lambda: check_layer(Clips(1.0), X, params=["W"]), ContractError, "forward changes its parameter W"),
    "an argument is missing": (lambda: check_layer(NeedsMore(1.0), X), ContractError, "'train'; further arguments.*args="),
    "forward raises": (lambda: check_layer(Dense(5, 2, RNG), X), ContractError, r"forward raises ValueError.*array \(4, 3\)"),
    "backward raises": (
        lambda: check_layer((np.sin, lambda dout: dout.nothing), X), ContractError, "backward raises AttributeError"),
    "another shape": (lambda: check_layer(WrongShape(), X), ContractError, r"has the shape \(3,\), but must have \(4, 3\)"),
    "text comes out": (lambda: check_layer(Ragged(), X), ContractError, "must be an array of real numbers"),
    "not finite": (lambda: check_layer(NotFinite(), X), ContractError, "must be finite at x"),
    "a read-only parameter": (lambda: check_layer(ReadOnly(), X), ContractError, "W is a read-only array"),
    "backward by chance": (lambda: check_layer(Chance(), X), ContractError, "backward is not deterministic"),
    "a copy in params": (
        lambda: check_layer(Attributes(1.0), X, params={"W": W.copy()}), ContractError, "hand the very array"),
    "an unknown name in params": (
        lambda: check_layer(Attributes(1.0), X, params=["V"]), ContractError, "has no array of real numbers 'V'; it has W, b"),
    "params is a number": (lambda: check_layer(Attributes(1.0), X, params=3), ContractError, "params=3: must be a dict"),
    "parameters of functions missing": (lambda: check_layer(cached(1.0), X), ContractError, "parameters with params="),
    "parameters that overlap": (
        lambda: check_layer(Layer_of(OVERLAP[:6], OVERLAP[2:]), X), ContractError, "overlap in memory"),
    "too many gradients": (
        lambda: check_layer((affine, lambda d, x, w: (d @ w.T,) * 4), X, params={"w": W, "b": B}),
        ContractError, "returns 4 gradients.*the input and of w, b"),
    "integers and no parameters": (
        lambda: check_layer((lambda x: x * 1.0, lambda d: d), np.arange(3)), ContractError, "nothing to check"),
    "text goes in": (lambda: check_layer(Tanh(), "abc"), ContractError, "must be an array of numbers"),
    "x is ragged": (lambda: check_layer(Tanh(), [[1.0], [1.0, 2.0]]), ContractError, "ragged|array"),
    "x is not finite": (lambda: check_layer(Tanh(), [1.0, np.nan]), ContractError, "input has an entry that is not finite"),
    "x in float16": (lambda: check_layer(Tanh(), X.astype(np.float16)), ContractError, "input has dtype float16"),
    "upstream of another shape": (
        lambda: check_layer(Tanh(), X, upstream=np.ones(2)), ContractError, r"upstream has the shape \(2,\)"),
    "upstream is text": (lambda: check_layer(Tanh(), X, upstream="u"), ContractError, "upstream is a str"),
    "no upstream, many outputs": (
        lambda: check_layer((np.sin, lambda: 1), X), ContractError, "takes no upstream gradient"),
    "vjp": (lambda: check_layer(Tanh(), X, vjp=True), ValueError, "always a product"),
    "workers": (lambda: check_layer(Tanh(), X, workers=2), ValueError, "side by side"),
    "an unknown setting": (lambda: check_layer(Tanh(), X, step=1), ValueError, "there is no such setting; settings are eps"),
    "complex step": (lambda: check_layer(Tanh(), X, scheme="complex_step"), ValueError, "arrays are real"),
    "a negative step": (lambda: check_layer(Tanh(), X, eps=-1), ContractError, "eps=-1"),
}  # fmt: skip


def Layer_of(a: Array, b: Array) -> Any:
    class Two(Layer):
        def forward(self, x: Array) -> Array:
            self.kept = x
            return x * self.params["a"].sum() * self.params["b"].sum()

        def backward(self, dout: Array) -> Array:
            self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
            return dout

    return Two(a=a, b=b)


@pytest.mark.parametrize(("use", "kind", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_is_refused_in_one_line_that_says_the_next_step(
    use: Callable[[], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        use()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_an_upstream_gradient_that_is_changed_in_place_is_noted() -> None:
    class Masks(ReLU):
        def backward(self, dout: Array) -> Array:
            dout[~self.kept] = 0
            return dout

    r = check_layer(Masks(), x_of(4, 3))
    assert r.ok
    assert any("upstream gradient in place" in note for note in r.notes)
