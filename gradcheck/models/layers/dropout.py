"""Dropout with a mask that does not change from call to call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, Unfit, require_count
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Dropout(Layer[Array]):
    """Inverted dropout: x * kept / (1 - dropout).  Which entries are kept follows from the shape and the seed alone."""

    dropout: float = 0.5
    dropout_seed: int = 0

    steps = ("dropout_mask", "dropout_scale")

    def require(self) -> None:
        require_rate(self.dropout)
        require_count("dropout_seed", self.dropout_seed, 0)

    def output(self, shape: Shape) -> Shape:
        return shape

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        kept = drawn(x.shape, self.dropout, self.dropout_seed, self.number)
        return x * kept / (1 - self.dropout), kept

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        kept = parts.dropout_mask(cache, self.dropout)
        return dout * kept * dout.dtype.type(parts.dropout_scale(self.dropout)), {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        return {"dx of dropout": f"d * {symbols.step('dropout_mask')}{symbols.step('dropout_scale', p='p')}"}


def require_rate(rate: float) -> None:
    """Raise Unfit unless it is a share of entries to drop."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise Unfit(f"dropout={rate}: must be a number >= 0 and < 1")


@lru_cache(maxsize=64)
def drawn(shape: Shape, rate: float, seed: int, layer: int) -> Array:
    """Which entries are kept, each with probability 1 - rate; read-only."""
    kept = np.random.default_rng([seed, layer]).random(shape) >= rate
    kept.flags.writeable = False
    return kept
