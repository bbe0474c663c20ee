"""What every net has beside its own layers: dense layers, activations, and the way from an array to a vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.layers.layer import Layer, Params, Shape
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Dense(Layer[Array]):
    """x W + b along the last axis: (n, …, d) -> (n, …, units), with W (d, units) and b (units,)."""

    units: int = 1
    bias: bool = True

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        found: dict[str, Shape] = {f"W{self.tag}": (shape[-1], self.units)}
        if self.bias:
            found[f"b{self.tag}"] = (self.units,)
        return found

    def output(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        z = x @ params[f"W{self.tag}"]
        return (z + params[f"b{self.tag}"] if self.bias else z), x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        weight = params[f"W{self.tag}"]
        rows, delta = cache.reshape(-1, cache.shape[-1]), dout.reshape(-1, self.units)
        gradients = {f"W{self.tag}": rows.T @ delta}
        if self.bias:
            gradients[f"b{self.tag}"] = delta.sum(axis=0)
        return dout @ weight.T, gradients

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {"dW of a dense layer": "x^T d"} | ({"db of a dense layer": "sum_i d_i"} if self.bias else {})


@dataclass(frozen=True)
class Activate(Layer[tuple[Array, Array]]):
    """g(x), entry by entry."""

    activation: str = "tanh"

    steps = ("activation_derivative",)

    @property
    def kink(self) -> str | None:
        return self.activation if ACTIVATIONS[self.activation].kinked else None

    def output(self, shape: Shape) -> Shape:
        return shape

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Array, Array]]:
        a = ACTIVATIONS[self.activation].value(x)
        return a, (x, a)

    def backward(
        self, params: Params, cache: tuple[Array, Array], dout: Array, parts: Parts
    ) -> tuple[Array, dict[str, Array]]:
        z, a = cache
        slope = parts.activation_derivative(ACTIVATIONS[self.activation], z, a, self.number)
        return parts.below(dout, self.number) * slope, {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        below = symbols.step("below", delta="d")
        return {"d": f"({below}) * {symbols.step('activation_derivative', z='z', a='a')} before an activation a = g(z)"}


@dataclass(frozen=True)
class Flatten(Layer[Shape]):
    """Each example as one vector: (n, …) -> (n, d)."""

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def forward(self, params: Params, x: Array) -> tuple[Array, Shape]:
        return x.reshape(len(x), -1), x.shape

    def backward(self, params: Params, cache: Shape, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        return dout.reshape(cache), {}
