"""The structure of x0: what the caller's functions get of a flat point, and what they return as a flat vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.parameters import Leaf, Parameters
from gradcheck.functions.second_order.matrices import HessianError
from gradcheck.numerics.layout import Layout

Array = np.ndarray


@dataclass(frozen=True)
class Structure:
    """The structure of x0."""

    parameters: Parameters

    @property
    def layout(self) -> Layout:
        """Names and shapes of its arrays."""
        return self.parameters.layout

    @property
    def single(self) -> bool:
        """Whether x0 is one array."""
        return self.parameters.single

    def tree(self, theta: Array) -> object:
        """A flat point as the caller's functions get it; it shares memory with theta where it can."""
        return self.parameters.views(theta)

    def flat(self, value: object, what: str) -> Array:
        """What a caller's function returned like x0, flat, in its own type.

        what : its name in messages.   Raises HessianError.
        """
        try:
            found = self.parameters.entries(value, what)
        except ContractError as error:
            raise HessianError(str(error)) from None
        return np.concatenate([self._part(leaf, claims[0], what) for leaf, claims in found])

    def _part(self, leaf: Leaf, entry: object, what: str) -> Array:
        of = "" if self.single else f" for {leaf.name}"
        try:
            array = np.asarray(leaf.kind.numbers(entry))
        except Exception as error:  # ragged, with other labels, or something that is no array at all
            raise HessianError(f"{what}{of}: {error}; it must have the shape {leaf.shape}") from None
        if array.dtype.kind not in "iufc":
            raise HessianError(f"{what} has dtype {array.dtype}{of}: it must be real numbers")
        if array.size != int(np.prod(leaf.shape)):
            raise HessianError(f"{what} has the shape {array.shape}{of}, but must have {leaf.shape}")
        return array.reshape(-1)


def real(parameters: Parameters) -> Structure:
    """The structure; ContractError where an array is complex."""
    for leaf in parameters.arrays:
        if leaf.is_complex:
            raise ContractError(
                f"x0 ({leaf.name}) is complex: give its real and its imaginary part as two arrays, each has derivatives"
            )
    return Structure(parameters)
