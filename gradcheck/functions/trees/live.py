"""The caller's own arrays as places that are written, compared and restored to the bit."""

from __future__ import annotations

import copy
from typing import Protocol

import numpy as np

from gradcheck.functions.trees.paths import Step, get, put

Array = np.ndarray


class Live(Protocol):
    """Numbers of the caller that can be changed in place."""

    def require_writable(self) -> None:
        """Raise ValueError, which says why, where they cannot be changed after all."""

    def write(self, numbers: Array) -> None:
        """Set all of them."""

    def read(self) -> Array:
        """All of them, as an array that need not be a copy."""

    def memory(self) -> Array | None:
        """An array of NumPy over the same memory; None where there is none."""

    def restore(self) -> None:
        """Bring back what was there when this was made, to the bit."""

    def accumulates(self, gradient: object) -> bool:
        """Whether ``gradient`` is one that the leaf itself keeps, and that is the sum of those from all its places."""


class Alone:
    """A leaf that keeps no gradient."""

    def accumulates(self, gradient: object) -> bool:
        return False


class LiveArray(Alone):
    """An array of NumPy."""

    def __init__(self, array: Array) -> None:
        self._array, self._saved = array, array.copy()

    def require_writable(self) -> None:
        if not self._array.flags.writeable:
            raise ValueError("is read-only: pass the array that it is a view of, or a copy that fun reads")
        if repeats_itself(self._array):
            raise ValueError("has entries that share their memory: pass the array that it is a view of")

    def write(self, numbers: Array) -> None:
        self._array[...] = numbers

    def read(self) -> Array:
        return self._array

    def memory(self) -> Array | None:
        return self._array

    def restore(self) -> None:
        self._array[...] = self._saved


class LiveList(Alone):
    """A list of numbers, or of such lists."""

    def __init__(self, numbers: list[object]) -> None:
        self._list, self._saved = numbers, copy.deepcopy(numbers)

    def require_writable(self) -> None:
        if holds_tuple(self._list):
            raise ValueError("has a tuple of numbers inside: make it an array")

    def write(self, numbers: Array) -> None:
        assign(self._list, numbers.tolist())

    def read(self) -> Array:
        return np.asarray(self._list)

    def memory(self) -> Array | None:
        return None

    def restore(self) -> None:
        assign(self._list, self._saved)


class LiveNumber(Alone):
    """A number, in whatever holds it."""

    def __init__(self, number: object, container: object, step: Step) -> None:
        self._number, self._container, self._step = number, container, step

    def require_writable(self) -> None:
        try:
            put(self._container, self._step, self._number)
        except (TypeError, AttributeError):
            kind = type(self._container).__name__
            raise ValueError(
                f"is a number in a {kind}, which cannot be changed: make it an array, np.array(…)"
            ) from None

    def write(self, numbers: Array) -> None:
        value = numbers[()]
        put(self._container, self._step, value if isinstance(self._number, np.generic) else value.item())

    def read(self) -> Array:
        return np.asarray(get(self._container, self._step))

    def memory(self) -> Array | None:
        return None

    def restore(self) -> None:
        put(self._container, self._step, self._number)


def assign(numbers: list[object], values: list[object]) -> None:
    """Set the entries of nested lists, which stay the lists that they are."""
    for i, value in enumerate(values):
        inner = numbers[i]
        if isinstance(inner, list) and isinstance(value, list):
            assign(inner, value)
        else:
            numbers[i] = value


def holds_tuple(numbers: object) -> bool:
    """Whether a tuple stands in nested lists."""
    return isinstance(numbers, tuple) or (isinstance(numbers, list) and any(map(holds_tuple, numbers)))


def repeats_itself(array: Array) -> bool:
    """Whether two entries of an array lie at the same place."""
    if array.size < 2 or array.flags.c_contiguous or array.flags.f_contiguous:
        return False
    places = np.zeros((), np.int64)
    for length, stride in zip(array.shape, array.strides, strict=True):
        places = places[..., None] + np.arange(length) * stride
    return np.unique(places).size < array.size
