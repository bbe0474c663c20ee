"""Where a parameter's numbers lie: in an array of the caller's, in a tensor, or as a number in a container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.leaves import real_array
from gradcheck.functions.layers.tensors import is_tensor

Array = np.ndarray


class Slot(Protocol):
    """The place of one parameter."""

    @property
    def array(self) -> Array:
        """Its numbers now; a copy is taken by whoever keeps them."""

    def write(self, values: Array) -> None:
        """Put other numbers there, in the same object where it is an array."""


@dataclass(frozen=True)
class InPlace:
    """An array whose entries are overwritten, so that all who hold it see the new numbers."""

    array: Array

    def write(self, values: Array) -> None:
        """Overwrite the entries."""
        self.array[...] = values


@dataclass
class Number:
    """A number that stands in an attribute, a dict or a list."""

    read: Callable[[], object]
    replace: Callable[[object], None]
    kind: type = field(default=float)

    @property
    def array(self) -> Array:
        """The number as an array of no axes."""
        return np.asarray(self.read(), dtype=np.float64)

    def write(self, values: Array) -> None:
        """Replace the number by another of its kind."""
        self.replace(self.kind(values))


@dataclass
class Handed:
    """An array that is an argument of forward: each call gets a new copy."""

    array: Array

    def write(self, values: Array) -> None:
        """Remember the numbers for the next call."""
        self.array = np.array(values, dtype=self.array.dtype)


def in_container(
    name: str, value: object, replace: Callable[[object], None], read: Callable[[], object]
) -> Slot | None:
    """The slot of a value that stands in a container; None for what is no parameter (integers, text, None).

    Raises ContractError for an array that cannot be written.
    """
    array = real_array(value)
    if array is None:
        return None
    if is_tensor(value) or isinstance(value, np.ndarray):
        if not array.flags.writeable:
            raise ContractError(f"{name} is a read-only array: the check must be able to change its entries")
        return InPlace(array)
    if isinstance(value, (float, np.floating)):
        return Number(read, replace, type(value))
    return None
