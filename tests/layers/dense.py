"""A dense layer, and a change of shape."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


class Dense(Layer):
    """y = x W + b, for x (..., d), W (d, k), b (k,).

    dW = x^T dy and db = sum dy over all axes but the last, dx = dy W^T.
    """

    def __init__(self, d: int, k: int, rng: np.random.Generator) -> None:
        super().__init__(W=rng.normal(size=(d, k)) / np.sqrt(d), b=rng.normal(size=k))

    def forward(self, x: Array) -> Array:
        """The output (..., k)."""
        self.kept = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input (..., d)."""
        x, W = self.kept, self.params["W"]
        rows, upstream = x.reshape(-1, W.shape[0]), dout.reshape(-1, W.shape[1])
        self.grads = {"W": rows.T @ upstream, "b": upstream.sum(axis=0)}
        return dout @ W.T


class Flatten(Layer):
    """One row (n, d) of each example (n, ...)."""

    def forward(self, x: Array) -> Array:
        """The rows."""
        self.kept = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dout: Array) -> Array:
        """The gradient in the shape of the input."""
        return dout.reshape(self.kept)
