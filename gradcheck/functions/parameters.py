"""A caller's parameters, an array or any nesting of arrays, as one flat vector and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.claims import NONE, Sought, entries
from gradcheck.functions.trees.foreign import numbers
from gradcheck.functions.trees.kinds import Kind
from gradcheck.functions.trees.paths import MISSING, Path, at, is_setting
from gradcheck.numerics.layout import Layout

Array = np.ndarray

# What a caller may pass as x0: an array, or any nesting of mappings, lists, tuples and dataclasses of arrays.
Start: TypeAlias = object
# What the caller's functions get, in the same structure.
Tree: TypeAlias = object
Structure = Literal["array", "dict", "list", "tuple", "tree"]
# Which of two gradients a complex parameter z = x + iy has: df/dx + i df/dy, or df/dx - i df/dy.
Convention = Literal["conjugate", "plain"]
LIKE = "must have the structure and the shapes of x0"


@dataclass(frozen=True)
class Leaf:
    """An array of the caller's.

    paths : where it stands; in several places only where they share their memory, in place.
    slots : numbers of its parameters in the layout: one, or two for a complex array, its real and its imaginary part.
    """

    name: str
    paths: tuple[Path, ...]
    kind: Kind
    shape: tuple[int, ...]
    slots: tuple[int, ...]

    @property
    def is_complex(self) -> bool:
        return len(self.slots) == 2


class Part(NamedTuple):
    """An array, and the caller's entry for it in a structure like that of x0."""

    name: str
    shape: tuple[int, ...]
    entry: object


@dataclass(frozen=True)
class Parameters:
    """How the caller's parameters lie in theta.

    layout : a name and a shape for each part of theta.   arrays : the caller's arrays.
    pack : makes the caller's structure of a list of arrays, one for each part.
    kind : the structure of x0.   words : the same for a message.   frozen : names of what is no parameter.
    doubtful : those of them, and their places, that are parameters if they have a gradient.
    convention : that of complex gradients.   shares : whether what ``views`` makes shares its memory with theta.
    """

    layout: Layout
    arrays: tuple[Leaf, ...]
    pack: Callable[[list[Array]], Tree]
    kind: Structure
    words: str
    frozen: tuple[str, ...] = ()
    doubtful: tuple[tuple[str, Path], ...] = ()
    convention: Convention = "conjugate"
    shares: bool = True

    @property
    def single(self) -> bool:
        """Whether x0 is one array."""
        return self.kind == "array"

    def views(self, theta: Array) -> Tree:
        """The structure of x0 with views into theta (size,); or into a stack of thetas (k, size), with an axis k in front."""
        return self.pack(self.split(theta))

    def split(self, theta: Array) -> list[Array]:
        """Views into theta, or into a stack of thetas, one for each part of the layout."""
        if theta.ndim == 1:
            return [theta[a:b].reshape(shape) for a, b, shape in self._places]
        return [theta[:, a:b].reshape(len(theta), *shape) for a, b, shape in self._places]

    @cached_property
    def _places(self) -> list[tuple[int, int, tuple[int, ...]]]:
        return [
            (where.start, where.stop, shape)
            for where, shape in zip(self.layout.slices.values(), self.layout.shapes, strict=True)
        ]

    def changed(self, x: object, theta: Array) -> str | None:
        """The name of the first leaf of x that is not as ``views(theta)`` made it; None where all are.

        theta (size,) stands for any number of equal points where x is a stack of them.
        """
        parts = self.split(theta)
        for leaf in self.arrays:
            then = joined([parts[slot] for slot in leaf.slots])
            for path in leaf.paths:
                here = at(x, path)
                now = _numbers(leaf, here)
                if now is not None and now.ndim == then.ndim + 1 and now.shape[1:] == then.shape:
                    then = then[None] if len(now) == 1 else np.broadcast_to(then, now.shape)
                if now is None or not _same(now, then):
                    return leaf.name
        return None

    def parts(self, value: object, what: str, outer: tuple[int, ...] = ()) -> list[Part]:
        """Name, shape and the caller's entry for each array in ``value``, which has the structure of x0.

        what : its name in messages, such as "the gradient".
        outer : shape of several outputs, which precedes the shape of each array.
        Raises ContractError where the structure is another.
        """
        found = self.entries(value, what, outer)
        return [Part(leaf.name, leaf.shape, claim) for leaf, claims in found for claim in claims]

    def entries(self, value: object, what: str, outer: tuple[int, ...] = ()) -> list[tuple[Leaf, list[object]]]:
        """Each array with its entries in ``value``, one for each place where it stands; as ``parts``."""
        if self.single:
            if value is None:
                raise ContractError(f"{what} is None: {NONE}")
            if isinstance(value, Mapping):
                raise ContractError(f"{what} is a dict, but x0 is one array")
            if isinstance(value, (tuple, list)) and several(value, outer + self.arrays[0].shape):
                kind = type(value).__name__
                raise ContractError(
                    f"{what} is a {kind} of {len(value)} gradients for one input: return that of x0 alone"
                )
            return [(leaf, [value]) for leaf in self.arrays]
        sought = [Sought(leaf.name, leaf.paths) for leaf in self.arrays]
        return list(zip(self.arrays, entries(value, sought, what, self.words), strict=True))

    def with_entry(self, value: object, x: object) -> list[str]:
        """Names of the doubtful leaves of x for which ``value``, a gradient, has an entry.  ContractError."""
        sought = [Sought(leaf.name, leaf.paths) for leaf in self.arrays]
        asked = [Sought(name, (path,), optional=True) for name, path in self.doubtful]
        found = entries(value, [*sought, *asked], "the gradient", self.words)[len(sought) :]
        entry = {name: path for (name, path), each in zip(self.doubtful, found, strict=True) if each}
        # of whole numbers alone each may be its own slope, as of x**2 / 2
        return [name for name, path in entry.items() if not (self.arrays and is_setting(x, value, path))]

    def read(self, x: object) -> Array:
        """The flat vector of another structure like x0.  Raises ContractError where it is another structure."""
        parts: list[Array] = [np.empty(0)] * len(self.layout.names)
        for leaf in self.arrays:
            here = at(x, leaf.paths[0])
            if here is None or here is MISSING:
                raise ContractError(f"{LIKE}; it has nothing at {leaf.name}")
            try:
                array = np.asarray(leaf.kind.numbers(here))
            except ValueError as error:
                raise ContractError(f"{LIKE}; {leaf.name} {error}") from None
            if array.shape != leaf.shape or array.dtype.kind not in ("iufc" if leaf.is_complex else "iuf"):
                raise ContractError(
                    f"{LIKE}; {leaf.name} has the shape {array.shape} and dtype {array.dtype}, in x0 {leaf.shape}"
                )
            if not np.isfinite(array).all():
                raise ContractError(f"x0 ({leaf.name}) has an entry that is not finite")
            for slot, part in zip(leaf.slots, (array.real, array.imag) if leaf.is_complex else (array,), strict=True):
                parts[slot] = part.reshape(-1)
        return np.concatenate(parts) if parts else np.empty(0)


def _numbers(leaf: Leaf, here: object) -> Array | None:
    """The numbers of a leaf as it stands somewhere; None where it is gone, or has other labels."""
    if here is None or here is MISSING:
        return None
    try:
        return np.asarray(leaf.kind.numbers(here))
    except ValueError:
        return None


def _same(now: Array, then: Array) -> bool:
    """Whether two arrays have the same entries, NaN for NaN; most have none, and to look for it takes three times as long."""
    return np.array_equal(now, then) or np.array_equal(now, then, equal_nan=True)


def joined(parts: Sequence[Array]) -> Array:
    """One array of its real and its imaginary part, to the bit; a real one as it is."""
    if len(parts) == 1:
        return parts[0]
    found = np.empty(parts[0].shape, np.result_type(parts[0], np.complex64))
    found.real, found.imag = parts
    return found


def several(value: Sequence[object], shape: tuple[int, ...]) -> bool:
    """Whether a list or tuple holds several gradients rather than the rows of one."""
    if not any(v is None or isinstance(numbers(v), np.ndarray) for v in value):
        return False
    try:
        return np.asarray([numbers(v) for v in value]).shape != shape
    except ValueError:
        return True
