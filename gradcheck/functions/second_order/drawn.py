"""The Hessian by many parameters: its products with drawn vectors, beside differences of the gradient along them.

With V the matrix of k vectors, t -> g(x + V t) is a function of k numbers, whose Jacobian at 0 is H V.  No entry of V is 0, so
an error E of the Hessian is seen in every row in which E V is above its bound.  v_i H v_j = v_j H v_i shows symmetry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradcheck.functions.second_order.matrices import Shape
from gradcheck.functions.second_order.structure import Structure
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.measured.scales import scales

Array = np.ndarray

# How many vectors are drawn.
VECTORS = 6


def vectors(layout: Layout, theta: Array, seed: int) -> Array:
    """V (n, VECTORS): entries of the size of those of x, none near 0, of random signs."""
    rng = np.random.default_rng(seed)
    shape = (theta.size, VECTORS)
    drawn = scales(layout, theta)[:, None] * rng.uniform(0.5, 1.0, shape) * rng.choice([-1.0, 1.0], shape)
    return drawn.astype(theta.dtype)


@dataclass
class Multiplied:
    """``hess`` as the products with vectors, without a dense matrix where it is sparse."""

    hess: Callable[..., object]
    structure: Structure
    shape: Shape

    def __call__(self, theta: Array, v: Array, *args: object, **kwargs: object) -> Array:
        """H V (n, k) at a flat point."""
        return self.shape.times(self.hess(self.structure.tree(theta), *args, **kwargs), v)


@dataclass
class EachProduct:
    """``hessp`` as the products with vectors, one after the other."""

    product: Callable[..., Array]

    def __call__(self, theta: Array, v: Array, *args: object, **kwargs: object) -> Array:
        """H V (n, k) at a flat point."""
        return np.stack([self.product(theta, column, *args, **kwargs) for column in v.T.copy()], axis=1)


@dataclass
class Along:
    """A gradient as a function of t (k,), at x + V t.

    low, high : limits outside which it is NaN.
    """

    gradient: Callable[..., Array]
    x: Array
    v: Array
    low: Array | None
    high: Array | None

    def __call__(self, t: Array, *args: object, **kwargs: object) -> Array:
        """g(x + V t), (n,)."""
        theta = self.x + self.v @ t
        if self.low is not None and self.high is not None and ((theta < self.low) | (theta > self.high)).any():
            return np.full(theta.size, np.nan)
        return self.gradient(theta, *args, **kwargs)


@dataclass
class AlongProducts:
    """The Jacobian of ``Along``: H V at x + V t."""

    products: Callable[..., Array]
    x: Array
    v: Array

    def __call__(self, t: Array, *args: object, **kwargs: object) -> Array:
        """H V, (n, k)."""
        return self.products((self.x + self.v @ t).astype(self.x.dtype), self.v, *args, **kwargs)


@dataclass
class BothSides:
    """V^T H V (k, k), which is its own transpose if the Hessian is."""

    products: Callable[..., Array]
    v: Array
    args: tuple[object, ...]
    kwargs: Mapping[str, object]

    def __call__(self, theta: Array) -> Array:
        """The matrix at a flat point."""
        return self.v.T @ self.products(theta, self.v, *self.args, **self.kwargs)
