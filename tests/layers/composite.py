"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Sequence

from layers.base import Array, Layer


class Residual(Layer):
    """x + f(x), where f is a chain of layers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = list(layers)

    def forward(self, x: Array) -> Array:
        """The output."""
        out = x
        for layer in self.layers:
            out = layer.forward(out)
        return x + out

    def backward(self, dout: Array) -> Array:
        """The gradient by the input: through the chain, and past it."""
        inner = dout
        for layer in reversed(self.layers):
            inner = layer.backward(inner)
        return dout + inner
