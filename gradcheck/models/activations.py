"""Activation functions of hidden layers, each with its derivative and what the error analysis needs of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.models.functions import is_complex, sigmoid, softplus, tanh

Array = np.ndarray


@dataclass(frozen=True)
class Activation:
    """g(z), g'(z), whether g has a kink at 0, and what the error analysis needs of it.

    curvature : an upper bound of |g''| off the kink.
    roundings : of g, in units of an elementary function's; 0 where g and g' are exact.
    steepness : an upper bound of |g''| / g', where g' is computed with a small relative error however small it is; else None.
    in_place : g of real numbers written over z, where that takes one call of NumPy; else None.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    kinked: bool
    curvature: float
    roundings: float = 0.0
    steepness: float | None = None
    in_place: Callable[[Array], Array] | None = None

    def over(self, z: Array) -> Array:
        """g(z), written over z where that is faster: the caller needs z no more."""
        return self.value(z) if self.in_place is None or is_complex(z) else self.in_place(z)


def _relu(z: Array) -> Array:
    return np.maximum(z, 0)


def _relu_derivative(z: Array) -> Array:
    # 0 at the kink itself, the usual convention
    return (z > 0).astype(z.dtype)


def _tanh_derivative(z: Array) -> Array:
    t = np.tanh(z)
    # not 1 - t * t: the product is exact in its small factor, so a saturated unit keeps its relative accuracy
    return (1 - t) * (1 + t)


def _sigmoid_derivative(z: Array) -> Array:
    return sigmoid(z) * sigmoid(-z)


def _identity(z: Array) -> Array:
    return z


ACTIVATIONS: dict[str, Activation] = {
    a.name: a
    for a in (
        # max(z, 0) and z are not rounded, nor are 0 and 1
        Activation("relu", _relu, _relu_derivative, True, 0.0, in_place=lambda z: np.maximum(z, 0, out=z)),
        # tanh is one function; sigmoid an exp, a sum and a quotient; softplus an exp, a log1p and a sum of less than the result
        # max |g''|: 4 / (3 sqrt 3) for tanh, 1 / (6 sqrt 3) for sigmoid, 1 / 4 for softplus
        Activation("tanh", tanh, _tanh_derivative, False, 0.77, 1.0, in_place=lambda z: np.tanh(z, out=z)),
        Activation("sigmoid", sigmoid, _sigmoid_derivative, False, 0.0963, 2.0, 1.0),
        Activation("softplus", softplus, sigmoid, False, 0.25, 2.0, 1.0),
        Activation("identity", _identity, np.ones_like, False, 0.0),
    )
}
