"""A net of dense layers with a head: forward pass, loss and textbook gradient on a flat theta.

Layer l = 1..L computes z_l = a_{l-1} W_l + b_l with a_0 = X and, for the hidden layers, a_l = g(z_l); the head makes the loss
of the last z.  A linear model is the case L = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.models.batch import Batch
from gradcheck.models.functions import total
from gradcheck.models.heads import Head
from gradcheck.models.parts import TEXTBOOK, Parts
from gradcheck.models.symbols import Equations, Symbols, plus, product
from gradcheck.numerics.layout import Layout

Array = np.ndarray


class Trace(NamedTuple):
    """A forward pass: parameters by name, inputs a_0..a_{L-1} of the layers and their outputs z_1..z_L, each (n, h)."""

    params: dict[str, Array]
    inputs: list[Array]
    zs: list[Array]

    @property
    def weights(self) -> list[Array]:
        """W_1..W_L."""
        return [v for name, v in self.params.items() if name[0] == "W"]

    @property
    def biases(self) -> list[Array]:
        """b_1..b_L, or none."""
        return [v for name, v in self.params.items() if name[0] == "b"]

    @property
    def suffixes(self) -> list[str]:
        """What follows W and b in the names of the layers' parameters."""
        return [name[1:] for name in self.params if name[0] == "W"]


@lru_cache(maxsize=256)
def _layout(widths: tuple[int, ...], bias: bool, numbered: bool) -> Layout:
    names: list[str] = []
    shapes: list[tuple[int, ...]] = []
    for layer, (rows, columns) in enumerate(pairwise(widths), start=1):
        suffix = str(layer) if numbered else ""
        names.append("W" + suffix)
        shapes.append((rows, columns))
        if bias:
            names.append("b" + suffix)
            shapes.append((columns,))
    return Layout(tuple(names), tuple(shapes))


@dataclass(frozen=True, eq=False)
class Net:
    """Dense layers and a head.

    hidden, activation : widths of the hidden layers, and their activation.   bias : whether every layer has a b.
    l2 : of the penalty l2 / 2 sum(W**2).   averaged : whether the loss is divided by the number of examples.
    numbered : whether the parameters carry the number of their layer: W1, b1, … instead of W, b.
    """

    head: Head
    hidden: tuple[int, ...] = ()
    activation: Activation = ACTIVATIONS["identity"]
    bias: bool = True
    l2: float = 0.0
    averaged: bool = True
    numbered: bool = True

    @property
    def kinked(self) -> bool:
        """Whether the loss has kinks, and hence no continuation into the complex plane."""
        return bool(self.hidden) and self.activation.kinked

    def layout(self, batch: Batch) -> Layout:
        """Names and shapes of the parameters for this batch."""
        return _layout((batch.X.shape[-1], *self.hidden, self.head.outputs(batch.y)), self.bias, self.numbered)

    def forward(self, theta: Array, batch: Batch) -> Trace:
        """All layers' inputs and outputs at the flat parameter vector ``theta``, in its dtype; or at a stack of them."""
        trace = Trace(self.layout(batch).split(theta), [batch.X], [])
        weights, biases = trace.weights, trace.biases
        for layer, weight in enumerate(weights):
            z = trace.inputs[layer] @ weight
            if biases:
                z += biases[layer][..., None, :]
            trace.zs.append(z)
            if layer < len(weights) - 1:
                trace.inputs.append(self.activation.value(z))
        return trace

    def data_loss(self, z: Array, y: Array) -> Array:
        """Loss of the last layer's z without the penalty; scalar."""
        return self.scaled(self.head.total(z, y), z.shape[-2])

    def scaled(self, total: Array, n: int) -> Array:
        """The loss of ``total`` over n examples: times the head's factor, over n where it is averaged."""
        factor = self.head.factor
        loss = total * factor if factor != 1 else total
        return loss / n if self.averaged else loss

    def penalty(self, params: dict[str, Array]) -> Array | float:
        """l2 / 2 times the sum of squares of all W; the biases are left out."""
        if self.l2 == 0:
            return 0.0
        return self.l2 / 2 * sum(total(w * w) for name, w in params.items() if name[0] == "W")

    def loss(self, theta: Array, batch: Batch) -> Array:
        """The loss at the flat ``theta``: factor * total (/ n) + l2 / 2 sum(W**2); scalar of theta's dtype.

        Of several thetas (b, size) it is (b,), the same but for rounding.

        A complex ``theta`` gives the analytic continuation unless the net is ``kinked``.
        """
        trace = self.forward(theta, batch)
        return self.data_loss(trace.zs[-1], batch.y) + self.penalty(trace.params)

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        """The textbook gradient of ``loss``, flat, in theta's dtype, made of ``parts``; or of a stack of nets, each with a
        theta (p, size) and examples X (p, n, d) of its own.

        dW_l = a_{l-1}^T delta_l / n + l2 W_l,  db_l = sum_i delta_l,i / n,  delta_{l} = (delta_{l+1} W_{l+1}^T) * g'(z_l).
        """
        trace = self.forward(theta, batch)
        params, inputs, zs = trace
        n, suffixes = batch.X.shape[-2], trace.suffixes
        gradients: dict[str, Array] = {}
        delta = parts.examples(self.head.delta(zs[-1], batch.y, parts))
        for layer in range(len(zs), 0, -1):
            weight, bias = "W" + suffixes[layer - 1], "b" + suffixes[layer - 1]
            total = inputs[layer - 1].swapaxes(-1, -2) @ delta
            dw = parts.weight(parts.mean(total, n) if self.averaged else total, layer)
            gradients[weight] = parts.data_term(dw) + parts.penalty(weight, params[weight], self.l2)
            if self.bias:
                # the copy makes the examples contiguous, so that NumPy sums them pairwise
                total = np.ascontiguousarray(delta.swapaxes(-1, -2)).sum(axis=-1)
                db = parts.bias(parts.mean(total, n) if self.averaged else total, layer)
                gradients[bias] = parts.data_term(db) + parts.penalty(bias, params[bias], self.l2)
            if layer > 1:
                z, a = zs[layer - 2], inputs[layer - 1]
                slope = parts.activation_derivative(self.activation, z, a, layer - 1)
                delta = parts.below(delta @ params[weight].swapaxes(-1, -2), layer - 1) * slope
        layout = self.layout(batch)
        if theta.ndim == 1:
            return layout.join(gradients, theta.dtype)
        found = np.concatenate([gradients[name].reshape(len(theta), -1) for name in layout.names], axis=1)
        return found.astype(theta.dtype, copy=False)

    def equations(self, symbols: Symbols) -> Equations:
        """``gradient`` in symbols, for layer l of a net whose layers have numbers."""
        derivatives: dict[str, str] = {}
        for layer in ["l", *symbols.layers] if self.numbered else [""]:
            derivatives |= self._derivatives(symbols, layer)
        made_of: dict[str, str] = {}
        if self.hidden:
            below = symbols.step("below", delta="delta_{l+1} W_{l+1}^T")
            made_of["delta_l"] = product(below, symbols.step("activation_derivative", z="z_l", a="a_l"))
        last = "_L" if self.numbered else ""
        made_of |= {
            f"delta{last}" if name == "delta" else name: text
            for name, text in self.head.delta_in_symbols(symbols).items()
        }
        made_of["z_l" if self.numbered else "z"] = self._z(symbols)
        if self.hidden:
            made_of["a_l"] = "g(z_l)"
        if self.numbered:
            made_of["a_0"] = symbols.step("X")
        return Equations(derivatives, made_of, "dW_1" if self.numbered else "dW")

    def _derivatives(self, symbols: Symbols, layer: str) -> dict[str, str]:
        """By W and b of a layer: ``l`` for any, ``2`` for the second, nothing for the only one."""
        suffix, row = (f"_{layer}", f"_{{{layer},i}}") if layer else ("", "_i")
        below = {"": symbols.step("X"), "l": "a_{l-1}"}.get(layer) or f"a_{int(layer) - 1}"
        sums = {"weight": f"{below}^T delta{suffix}"} | ({"bias": f"sum_i delta{row}"} if self.bias else {})
        found = {}
        for kind, summed in sums.items():
            name = ("W" if kind == "weight" else "b") + suffix
            mean = symbols.step("mean", total=summed, n="n") if self.averaged else summed
            data = symbols.step(kind, layer, gradient=mean, W=name)
            penalty = symbols.step("penalty" if kind == "weight" else "penalty_of_bias", W=name, b=name)
            found[f"d{name}"] = plus(symbols.step("data_term", gradient=data) if data != "0" else data, penalty)
        return found

    def _z(self, symbols: Symbols) -> str:
        inner = "a_{l-1} W_l" if self.numbered else f"{symbols.step('X')} W"
        return plus(inner, ("b_l" if self.numbered else "b") if self.bias else "0")
