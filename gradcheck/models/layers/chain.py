"""Layers behind one another, and a shortcut around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, add
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Chain(Layer[list[Any]]):
    """x -> l_L(… l_2(l_1(x))): each layer takes what the one before it gives."""

    layers: tuple[Layer[Any], ...] = ()

    @property
    def kink(self) -> str | None:
        return next((layer.kink for layer in self.layers if layer.kink is not None), None)

    def shapes(self, shape: Shape) -> Iterator[tuple[Layer[Any], Shape]]:
        """Each layer with the shape of its input."""
        for layer in self.layers:
            yield layer, shape
            shape = layer.output(shape)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for layer, own in self.shapes(shape):
            found |= layer.parameters(own)
        return found

    def output(self, shape: Shape) -> Shape:
        for layer in self.layers:
            shape = layer.output(shape)
        return shape

    def width(self, shape: Shape) -> int:
        return sum(layer.width(own) for layer, own in self.shapes(shape))

    def forward(self, params: Params, x: Array) -> tuple[Array, list[Any]]:
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(params, x)
            caches.append(cache)
        return x, caches

    def backward(self, params: Params, cache: list[Any], dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        gradients: dict[str, Array] = {}
        for layer, own in zip(reversed(self.layers), reversed(cache), strict=True):
            dout, more = layer.backward(params, own, dout, parts)
            add(gradients, more)
        return dout, gradients

    def all_steps(self) -> frozenset[str]:
        """The steps of which the backward pass is made."""
        return frozenset(step for layer in self.leaves() for step in layer.steps)

    def leaves(self) -> Iterator[Layer[Any]]:
        """All layers, a chain before those that it is made of."""
        for layer in self.layers:
            yield layer
            if isinstance(layer, Chain):
                yield from layer.leaves()

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        found: dict[str, str] = {}
        for layer in reversed(self.layers):
            found |= layer.derivatives_in_symbols(symbols)
        return found

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        found: dict[str, str] = {}
        for layer in reversed(self.layers):
            found |= layer.made_of(symbols)
        return found
