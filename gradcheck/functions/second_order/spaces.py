"""Vectors as a caller has them, an array or any nesting of dicts, lists and tuples of arrays, and flat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError
from gradcheck.functions.trees.kinds import Kind, read
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

# An array, or any nesting of dicts, lists and tuples of arrays.
Vector: TypeAlias = ArrayLike | Mapping[Any, Any] | Sequence[Any]


class Leaf(NamedTuple):
    """An array of a structure: its name by path, its shape, its type and its kind."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.inexact]
    kind: Kind

    @property
    def size(self) -> int:
        """How many entries."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Space:
    """The structure of a vector.

    like : a vector of this structure, of which the nesting counts.   leaves : its arrays, in order.
    """

    like: object
    leaves: tuple[Leaf, ...]

    @property
    def size(self) -> int:
        """How many entries."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def dtype(self) -> np.dtype[np.inexact]:
        """The type of a flat vector."""
        return np.result_type(*(leaf.dtype for leaf in self.leaves))

    @property
    def complex_entries(self) -> Array:
        """Which entries are complex, (size,) bool."""
        return np.repeat([leaf.dtype.kind == "c" for leaf in self.leaves], [leaf.size for leaf in self.leaves])

    @property
    def unit(self) -> float:
        """Unit roundoff of its coarsest array."""
        return max(unit_roundoff(np.dtype(leaf.dtype.type(0).real.dtype)) for leaf in self.leaves)

    @property
    def parts(self) -> list[tuple[str, slice]]:
        """The name and the place of each array in a flat vector."""
        ends = np.cumsum([leaf.size for leaf in self.leaves]).tolist()
        return [(leaf.name, slice(end - leaf.size, end)) for leaf, end in zip(self.leaves, ends, strict=True)]

    def tree(self, flat: Array) -> object:
        """A flat vector in this structure; every array is a copy in its own type, of the kind in which it came."""
        arrays: list[object] = []
        for leaf, (_, where) in zip(self.leaves, self.parts, strict=True):
            part = flat[where]
            part = part if leaf.dtype.kind == "c" else part.real
            arrays.append(leaf.kind.make(part.astype(leaf.dtype).reshape(leaf.shape)))
        return _packed(self.like, iter(arrays))

    def flat(self, value: object, what: str) -> Array:
        """A vector that must have this structure, flat.

        what : its name in messages.   Raises ContractError.
        """
        found = _leaves(value, "", what)
        names = [name for name, _, _ in found]
        if names != [leaf.name for leaf in self.leaves]:
            given = _told([(name, array.shape) for name, array, _ in found])
            wanted = _told([(leaf.name, leaf.shape) for leaf in self.leaves])
            raise ContractError(f"{what} is {given}, but must be like {wanted}{_hint(value, self)}")
        for (name, array, _), leaf in zip(found, self.leaves, strict=True):
            if array.shape != leaf.shape:
                of = f" for {name}" if name else ""
                hint = ": it is the transpose" if array.ndim > 1 and array.T.shape == leaf.shape else ""
                raise ContractError(f"{what} has the shape {array.shape}{of}, but must have {leaf.shape}{hint}")
        return np.concatenate([array.reshape(-1) for _, array, _ in found])

    def entry(self, flat: int, name: str) -> str:
        """How an entry is called; ``name`` is that of a single array."""
        for leaf, (_, where) in zip(self.leaves, self.parts, strict=True):
            if where.start <= flat < where.stop:
                position = np.unravel_index(flat - where.start, leaf.shape) if leaf.shape else ()
                return (leaf.name or name) + (f"[{','.join(str(int(i)) for i in position)}]" if position else "")
        raise IndexError(flat)


def space_of(value: object, what: str) -> tuple[Space, Array]:
    """The structure of a vector, and the vector flat.  Integers become float64.  Raises ContractError."""
    found = _leaves(value, "", what)
    if not sum(array.size for _, array, _ in found):
        raise ContractError(f"{what} has no entries")
    space = Space(value, tuple(Leaf(name, array.shape, array.dtype, kind) for name, array, kind in found))
    return space, np.concatenate([array.reshape(-1) for _, array, _ in found])


def _leaves(value: object, name: str, what: str) -> list[tuple[str, Array, Kind]]:
    if value is None:
        raise ContractError(f"{what} is None{f' in {name}' if name else ''}: it must be an array")
    if isinstance(value, Mapping):
        return [leaf for k, v in value.items() for leaf in _leaves(v, f"{name}.{k}" if name else str(k), what)]
    if isinstance(value, (list, tuple)) and not _is_numbers(value):
        return [leaf for k, v in enumerate(value) for leaf in _leaves(v, f"{name}[{k}]", what)]
    found = read(value, what, inner=bool(name))
    array = None if found is None else np.asarray(found.numbers)
    if found is None or array is None or array.dtype.kind not in "iufc" or array.dtype == np.float16:
        dtype = f" of dtype {value.dtype}" if isinstance(value, np.ndarray) else ""
        raise ContractError(
            f"{what} is a {type(value).__name__}{dtype}: it must be an array of real or complex numbers, float32 or finer"
        )
    return [(name, array.astype(np.float64) if array.dtype.kind in "iu" else array, found.kind)]


def _is_numbers(value: object) -> bool:
    """Whether a list is one array rather than several: rectangular, of nothing but numbers."""
    if not isinstance(value, (list, tuple)) or hasattr(value, "_fields"):
        return isinstance(value, (int, float, complex, np.number))
    if not all(map(_is_numbers, value)):
        return False
    return len({np.shape(v) if isinstance(v, (list, tuple)) else () for v in value}) < 2


def _packed(like: object, arrays: Iterator[object]) -> object:
    if isinstance(like, Mapping):
        return {k: _packed(v, arrays) for k, v in like.items()}
    if isinstance(like, (list, tuple)) and not _is_numbers(like):
        values = [_packed(v, arrays) for v in like]
        make = getattr(type(like), "_make", None)
        return values if isinstance(like, list) else make(values) if make else tuple(values)
    return next(arrays)


def _told(found: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    if [name for name, _ in found] == [""]:
        return f"one array {found[0][1]}"
    return f"{len(found)} arrays ({', '.join(f'{name} {shape}' for name, shape in found[:4])})"


def _hint(value: object, space: Space) -> str:
    if isinstance(value, (tuple, list)) and len(space.leaves) == 1 and len(value) == 1:
        return ": take its first and only entry, [0]"
    if isinstance(value, (tuple, list)) and len(space.leaves) == 1:
        return ": return that of x0 alone"
    return ""
