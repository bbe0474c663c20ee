"""A product with J and one with its adjoint at flat vectors, and the inner products that they enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.second_order.spaces import Space, space_of

Array = np.ndarray


@dataclass
class Operator:
    """``jvp`` and ``vjp`` at flat vectors, counted.

    space : of x.   out : of what jvp returns.   bilinear : <u, w> = sum(u w) rather than sum(conj(u) w).
    """

    jvp: Callable[..., object]
    vjp: Callable[..., object]
    args: tuple[object, ...]
    space: Space
    out: Space
    bilinear: bool = False
    njvp: int = 0
    nvjp: int = 0

    @property
    def unit(self) -> float:
        """Unit roundoff of the coarsest vector."""
        return max(self.space.unit, self.out.unit)

    def push(self, x: Array, v: Array) -> Array:
        """J v."""
        self.njvp += 1
        return self.out.flat(self._called("jvp", self.jvp, x, (self.space, v, "v")), "what jvp returns")

    def pull(self, x: Array, u: Array) -> Array:
        """J^T u."""
        self.nvjp += 1
        found = self.space.flat(self._called("vjp", self.vjp, x, (self.out, u, "u")), "what vjp returns")
        return found if self.space.complex_entries.any() else found.real

    def inner(self, a: Array, b: Array) -> complex:
        """The inner product of two flat vectors, in double precision at least."""
        wide = np.result_type(a, b, np.float64)
        product = (a if self.bilinear else a.conj()).astype(wide) * b.astype(wide)
        return complex(product.sum())

    def size(self, value: complex) -> complex:
        """Of an inner product what is compared: its real part, unless the product is bilinear."""
        return value if self.bilinear else value.real

    def _called(self, name: str, function: Callable[..., object], x: Array, other: tuple[Space, Array, str]) -> object:
        space, flat, called = other
        point, vector = self.space.tree(x), space.tree(flat)
        value = function(point, vector, *self.args)
        for argument, tree, where, before in (("x", point, self.space, x), (called, vector, space, flat)):
            now = space_of(tree, argument)[1]
            if not np.array_equal(now, space_of(where.tree(before), argument)[1], equal_nan=True):
                raise ContractError(f"{name} changes its argument {argument} in place: let it work on a copy")
        return value
