"""A shortcut around layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.layer import Params, Shape
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Residual(Chain):
    """x + l_L(… l_1(x)), where the layers keep the shape."""

    steps = ("shortcut",)

    def output(self, shape: Shape) -> Shape:
        found = super().output(shape)
        if found != shape:
            raise ValueError(f"a shortcut around layers that make {found} of {shape}: they must keep the shape")
        return shape

    def forward(self, params: Params, x: Array) -> tuple[Array, list[Any]]:
        out, caches = super().forward(params, x)
        return x + out, caches

    def backward(self, params: Params, cache: list[Any], dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        dx, gradients = super().backward(params, cache, dout, parts)
        return parts.shortcut(dout) + dx, gradients

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        own = symbols.step("shortcut")
        below = "d below the last layer of the block"
        return {"d below a residual block": f"{own} + {below}" if own != "0" else below} | super().made_of(symbols)
