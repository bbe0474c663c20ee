"""Pooling of images: one number for each window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.models.functions import is_complex
from gradcheck.models.layers.layer import Layer, Params, Shape, require_count
from gradcheck.models.layers.windows import places, positions, require_fit, require_image, windows
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Pool(Layer[Array]):
    """Windows of ``pool_size`` x ``pool_size`` pixels, ``pool_stride`` apart (0: the size, so that none overlap)."""

    pool_size: int = 2
    pool_stride: int = 0

    def require(self) -> None:
        require_count("pool_size", self.pool_size, 1)
        require_count("pool_stride", self.pool_stride, 0)

    @property
    def stride(self) -> int:
        """Pixels from a window to the next."""
        return self.pool_stride or self.pool_size

    def output(self, shape: Shape) -> Shape:
        channels, *sides = require_image(shape, "pooling")
        require_fit(shape, self.pool_size, f"pool_size={self.pool_size}")
        return (channels, *(positions(side, self.pool_size, self.stride) for side in sides))

    def width(self, shape: Shape) -> int:
        channels, height, width = self.output(shape)
        return channels * (1 + self.pool_size**2) * height * width

    def _windows(self, x: Array) -> Array:
        return windows(x, self._index(x))

    def _index(self, x: Array) -> Array:
        return places(*x.shape[2:], self.pool_size, self.stride, 1)

    def _as_image(self, pooled: Array, x: Array) -> Array:
        """One number for each window, (n, c, P), in rows and columns."""
        return pooled.reshape(*x.shape[:2], positions(x.shape[2], self.pool_size, self.stride), -1)

    def _spread(self, x: Array, shares: Array, chosen: Array, parts: Parts) -> Array:
        """dx from the shares (n, c, S, P) of the windows' entries, window by window."""
        flat = np.zeros((*x.shape[:2], x[0, 0].size), dtype=shares.dtype)
        for window, where in enumerate(self._index(x).T):
            flat[:, :, where] = parts.add_window(flat[:, :, where], shares[..., window], chosen[..., window])
        return flat.reshape(x.shape)


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest entry of each window; at a tie the first."""

    steps = ("pool_choice", "add_window")

    @property
    def kink(self) -> str:
        return "max pooling"

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        found = self._windows(x)
        if is_complex(x):
            first = found.real.argmax(axis=2, keepdims=True)
            best = np.take_along_axis(found, first, axis=2)[:, :, 0]
        else:
            best = found.max(axis=2)
        return self._as_image(best, x), x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        found = self._windows(cache)
        shares = np.broadcast_to(dout.reshape(*dout.shape[:2], 1, -1), found.shape)
        return self._spread(cache, shares, parts.pool_choice(found), parts), {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        here = symbols.step("pool_choice")
        return {"dx of max pooling": symbols.step("add_window", values=f"d_p where x is {here} of window p")}


@dataclass(frozen=True)
class AveragePool(Pool):
    """The mean of each window."""

    steps = ("add_window",)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        found = self._windows(x)
        mean = found.sum(axis=2) / found.shape[2]
        return self._as_image(mean, x), x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        size = self.pool_size**2
        delta = dout.reshape(*dout.shape[:2], 1, -1) / size
        shares = np.broadcast_to(delta, (*delta.shape[:2], size, delta.shape[3]))
        return self._spread(cache, shares, np.ones(shares.shape, bool), parts), {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        return {"dx of average pooling": symbols.step("add_window", values="d_p / S where x is in window p")}
