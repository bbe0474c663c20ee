"""Functions that act on each entry."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Array) -> Array:
        """The output."""
        self.kept = x > 0
        return np.where(self.kept, x, 0.0)

    def backward(self, dout: Array) -> Array:
        """dy where x > 0, else 0."""
        return np.where(self.kept, dout, 0.0)


class Tanh(Layer):
    """tanh x."""

    def forward(self, x: Array) -> Array:
        """The output."""
        self.kept = np.tanh(x)
        return self.kept

    def backward(self, dout: Array) -> Array:
        """dy (1 - y^2)."""
        return dout * (1 - self.kept**2)


class Sigmoid(Layer):
    """1 / (1 + exp -x)."""

    def forward(self, x: Array) -> Array:
        """The output."""
        self.kept = 0.5 * (1 + np.tanh(x / 2))
        return self.kept

    def backward(self, dout: Array) -> Array:
        """dy y (1 - y)."""
        return dout * self.kept * (1 - self.kept)
