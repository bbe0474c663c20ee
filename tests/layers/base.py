"""What every layer has: parameters, their gradients, a forward and a backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


class Layer:
    """A step of a network, and the step back.

    ``forward(x)`` returns the output and keeps what ``backward`` needs.  ``backward(dout)`` takes the gradient of the loss by
    the output, puts the gradients of the parameters into ``grads``, and returns the gradient by the input.
    """

    def __init__(self, **params: Array) -> None:
        self.params: dict[str, Array] = dict(params)
        self.grads: dict[str, Array] = {}
        self.kept: Any = None

    def forward(self, x: Array) -> Array:
        """The output."""
        raise NotImplementedError

    def backward(self, dout: Array) -> Array:
        """The gradient by the input."""
        raise NotImplementedError
