"""The formulas of the page are true: read as formulas and computed, they are the gradients that the models and bugs make."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from instances import INSTANCES, Instance
from test_bugs import CURVE_SLOPES, SLOPES, VALUES, close, meaningful

from gradcheck.bugs import BUGS
from gradcheck.bugs.page import in_whole, wrong
from gradcheck.models import OneD
from gradcheck.models.batch import Batch
from gradcheck.models.symbols import Symbols
from gradcheck.numerics.streams import stream

LAST_ROW = ", but 0 in the last row"
TOKEN = re.compile(r"\d+|\^T|\^2|[A-Za-z]\w*'?|[-+*/(),]")


class Number:
    """What a symbol stands for: side by side two matrices are multiplied, * and what has no columns is elementwise."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value)

    @property
    def T(self) -> Number:
        return Number(self.value.T)

    @property
    def squared(self) -> Number:
        return Number(self.value**2)

    def __matmul__(self, other: Number) -> Number:
        matrices = self.value.ndim == other.value.ndim == 2
        return Number(self.value @ other.value if matrices else self.value * other.value)

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value)

    def __sub__(self, other: Number) -> Number:
        return Number(self.value - other.value)

    def __mul__(self, other: Number) -> Number:
        return Number(self.value * other.value)

    def __truediv__(self, other: Number) -> Number:
        return Number(self.value / other.value)

    def __neg__(self) -> Number:
        return Number(-self.value)


def function(f: Callable[[Any], Any]) -> Callable[[Number], Number]:
    return lambda x: Number(f(x.value))


FUNCTIONS: dict[str, Callable[..., Number]] = {
    "sigmoid": function(lambda z: 1 / (1 + np.exp(-z))),
    "mean": function(lambda y: y.mean(axis=0)),
    "exp": function(np.exp),
    "rows": function(lambda e: e.sum(axis=1, keepdims=True)),
    "all": function(np.sum),
    "columns": function(lambda e: e.sum(axis=0)),
    "reshape": lambda a, shape: Number(a.value.reshape(shape.value.shape)),
}


def computed(text: str, known: dict[str, Any]) -> Number:
    """A formula as it stands on the page; ``known`` are its symbols and functions."""
    text, cut, _ = text.partition(LAST_ROW)
    text = re.sub(r"sum_i (delta(?:_\d)?)\b", r"columns(\1)", text).replace("shape of ", "")
    text = text.replace("sum_{j,m} exp(z_jm)", "all(exp(z))").replace("sum_m exp(z_im)", "rows(exp(z))")
    names: dict[str, Any] = {}
    code: list[str] = []
    before = "("
    for token in TOKEN.findall(text.replace("z_ik", "z")):
        called = before in known and callable(known[before])
        if before not in "(,+-*/" and token not in ")+-*/,^T^2" and not (called and token == "("):
            code.append("@")
        name = f"v{len(names)}"
        if token in ("^T", "^2"):
            code.append(".T" if token == "^T" else ".squared")
        elif token[0].isalnum():
            names[name] = known[token] if token in known else Number(float(token))
            code.append(name)
        else:
            code.append(token)
        before = token
    found: Number = eval("".join(code), names)
    if cut:
        found.value[-1:] = 0
    return found


def of_layer(text: str, layer: int, last: int) -> str:
    """A formula for layer l or L as one of a layer with a number."""
    text = text.replace("_{l,i}", f"_{layer}").replace("_{l-1}", f"_{layer - 1}").replace("_{l+1}", f"_{layer + 1}")
    text = re.sub(r"_\{(\d),i\}", r"_\1", text).replace("delta_i", "delta")
    return re.sub(r"_l\b", f"_{layer}", re.sub(r"_L\b", f"_{last}", text))


def gradient(
    equations: dict[str, str], instance: Instance, theta: np.ndarray, batch: Batch, stale: Batch
) -> np.ndarray:
    """The gradient of which these are the equations, flat."""
    model, layout = instance.model, instance.model.layout(batch)
    params = layout.split(theta)
    known: dict[str, Any] = {**FUNCTIONS, "l2": Number(model.l2), "n": Number(len(batch.X))}
    if isinstance(model, OneD):
        known |= {"theta": Number(params["theta"]), "x": Number(model.x), "f'": function(CURVE_SLOPES[model.curve])}
        return computed(equations["dtheta"], known).value.reshape(1)
    outputs = layout.shapes[-1][-1]
    activation = model.net.activation.name
    known |= {re.sub(r"(\d)", r"_\1", name): Number(value) for name, value in params.items()}
    known |= {"X": Number(batch.X), "y": Number(batch.y), "X'": Number(stale.X), "y'": Number(stale.y)}
    known |= {"g": function(VALUES[activation]), "g'": function(SLOPES[activation])}
    known["onehot"] = function(lambda y: np.eye(outputs)[y])
    last = len(model.net.hidden) + 1
    numbered = "a_0" in equations
    layers = range(1, last + 1) if numbered else [0]

    def of(name: str, layer: int) -> Number:
        own = of_layer(name, layer, last)
        key = own if own in equations else name
        return computed(of_layer(equations[key], layer, last), known)

    if numbered:
        known["a_0"] = of("a_0", 0)
    for layer in layers:
        known[f"z_{layer}" if numbered else "z"] = of("z_l" if numbered else "z", layer)
        if layer < last and numbered:
            known[f"a_{layer}"] = of("a_l", layer)
    known["z"] = known[f"z_{last}"] if numbered else known["z"]
    known |= {name.partition("_")[0]: of(name, 0) for name in ("o", "p_ik") if name in equations}
    known[f"delta_{last}" if numbered else "delta"] = of("delta_L" if numbered else "delta", last)
    for layer in range(last - 1, 0, -1):
        below = of("delta_l", layer).value
        known[f"delta_{layer}"] = Number(np.broadcast_to(below, known[f"z_{layer}"].value.shape))
    found = []
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        layer = int(name[1:] or 0)
        term = of(f"d{name[0]}_l" if layer else f"d{name[0]}", layer).value
        found.append(np.broadcast_to(term, shape).reshape(-1))
    return np.concatenate(found)


def on_the_page(name: str, instance: Instance) -> dict[str, str]:
    """The right equations of an instance, and the wrong ones in their places."""
    right = instance.model.equations(Symbols())
    return right.derivatives | right.made_of | wrong(BUGS[name](), instance.model)


def said_and_made(name: str, instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    theta, batch = instance.theta(), instance.batch()
    rows = stream(0, "bug").integers(len(batch.X), size=len(batch.X)) if len(batch.X) else np.empty(0, int)
    made = BUGS[name]().gradient(instance.model, theta, batch)
    stale = Batch(batch.X[rows], batch.y[rows])
    return made, gradient(on_the_page(name, instance), instance, theta, batch, stale)


# which labels are flipped is drawn; what is said of a finished gradient needs no model
STEPWISE = [name for name, cls in BUGS.items() if not in_whole(cls()) and name != "label_flip"] + ["none"]
CASES = [(name, one) for name in STEPWISE for one in INSTANCES if meaningful(BUGS[name](), one)]


# the mistakes in layers of sequences and images have formulas of their own: test_sequence_bugs
WITH_CASES = [name for name in STEPWISE if name in dict(CASES)]


@pytest.mark.parametrize("name", WITH_CASES)
def test_the_page_has_the_gradient_that_is_made(name: str) -> None:
    other = []
    for instance in (instance for bug, instance in CASES if bug == name):
        made, said = said_and_made(name, instance)
        right = instance.model.gradient(instance.theta(), instance.batch())
        largest = max(float(np.abs(g).max()) for g in (made, said, right))
        if not close(made, said, scale=largest if name != "double_mean" else None):
            other.append(instance.name)
    assert other == []


@pytest.mark.parametrize("name", [name for name in WITH_CASES if name != "none"])
def test_another_formula_would_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the page shows the right gradient for the wrong one."""
    cases = [instance for bug, instance in CASES if bug == name]
    monkeypatch.setattr(BUGS[name], "formula", {})
    monkeypatch.setattr(BUGS[name], "symbols", lambda self, model: Symbols())
    assert any(not close(*said_and_made(name, instance)) for instance in cases)


@pytest.mark.parametrize(("name", "factor"), [("none", 1.0), ("sign_flip", -1.0), ("scale", 1.001)])
def test_what_is_said_of_a_finished_gradient_is_made(name: str, factor: float) -> None:
    instance = next(one for one in INSTANCES if one.model.name == "linear")
    known = {"dW": Number(1.0), "db": Number(1.0), "magnitude": Number(BUGS[name]().magnitude or 0)}
    said = BUGS[name].formula["gradient"].format(g="dW")
    assert close(np.asarray(computed(said, known).value), np.asarray(factor))
    theta, batch = instance.theta(), instance.batch()
    assert close(BUGS[name]().gradient(instance.model, theta, batch), factor * instance.model.gradient(theta, batch))
