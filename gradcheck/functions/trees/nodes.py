"""Somebody's structure, taken apart into leaves and put together again around others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, is_dataclass
from numbers import Number
from typing import Any, Protocol

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.paths import Field, Index, Key, Path, fields_of, is_namedtuple, named

# Levels of nesting; what is deeper holds itself.
DEEPEST = 64


class Node(Protocol):
    """A part of a structure."""

    def build(self, parts: Sequence[object]) -> object:
        """The part anew, around the leaves of the whole structure."""


@dataclass(frozen=True)
class Leaf:
    """The leaf of this number."""

    number: int

    def build(self, parts: Sequence[object]) -> object:
        return parts[self.number]


@dataclass(frozen=True)
class Frozen:
    """What is handed on as it is."""

    value: object

    def build(self, parts: Sequence[object]) -> object:
        return self.value


@dataclass(frozen=True)
class Dict:
    """A dict, or another mapping, in the order of its keys."""

    like: Mapping[object, object]
    nodes: tuple[tuple[object, Node], ...]

    def build(self, parts: Sequence[object]) -> object:
        entries = {key: node.build(parts) for key, node in self.nodes}
        if type(self.like) is dict:
            return entries
        if isinstance(self.like, MutableMapping):
            made = copy.copy(self.like)
            made.update(entries)
            return made
        return type(self.like)(entries)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Row:
    """A list, a tuple or a NamedTuple."""

    make: Callable[[list[Any]], object]
    nodes: tuple[Node, ...]

    def build(self, parts: Sequence[object]) -> object:
        return self.make([node.build(parts) for node in self.nodes])


@dataclass(frozen=True)
class Record:
    """A dataclass.  It is copied, not constructed: what its constructor does was done once."""

    like: object
    nodes: tuple[tuple[str, Node], ...]

    def build(self, parts: Sequence[object]) -> object:
        made = copy.copy(self.like)
        for name, node in self.nodes:
            # a frozen dataclass has no assignment of its own
            object.__setattr__(made, name, node.build(parts))
        return made


def taken_apart(value: object, take: Callable[[Path, object], Node], path: Path = ()) -> Node:
    """The structure of ``value``.   take : makes the node of what is no container.   ContractError."""
    if len(path) > DEEPEST:
        raise ContractError(
            f"x0 is nested more than {DEEPEST} levels deep, or holds itself ({named(path[:3])}…): pass the parameters alone"
        )
    # a sparse matrix of SciPy may be a dict of its entries
    if isinstance(value, Mapping) and not is_dataclass(value) and not hasattr(value, "toarray"):
        return Dict(_shallow(value), tuple((k, taken_apart(v, take, (*path, Key(k)))) for k, v in value.items()))
    names = fields_of(value)
    if names:
        if isinstance(value, tuple):
            places = [Field(name, Index(i, len(names))) for i, name in enumerate(names)]
            entries = zip(value, places, strict=True)
            return Row(type(value)._make, tuple(taken_apart(v, take, (*path, place)) for v, place in entries))  # type: ignore[attr-defined]
        return Record(
            value, tuple((name, taken_apart(getattr(value, name), take, (*path, Field(name)))) for name in names)
        )
    if isinstance(value, (list, tuple)) and not is_numbers(value, outermost=not path):
        n = len(value)
        return Row(type(value), tuple(taken_apart(v, take, (*path, Index(i, n))) for i, v in enumerate(value)))
    return take(path, value)


def is_numbers(value: Sequence[object], outermost: bool = False) -> bool:
    """Whether NumPy makes one rectangular array of numbers of a list or tuple; of an empty one where it is the outermost."""
    if not _all_numbers(value):
        return False
    if not len(value):
        return outermost
    try:
        return np.asarray(value).dtype.kind in "iufc"
    except ValueError:  # ragged
        return False


def _all_numbers(value: object) -> bool:
    if isinstance(value, (list, tuple)) and not is_namedtuple(value):
        return all(map(_all_numbers, value))
    return isinstance(value, (Number, np.number)) and not isinstance(value, (bool, np.bool_))


def _shallow(value: Mapping[object, object]) -> Mapping[object, object]:
    """A mapping of the same class, without the caller's leaves where that is easy."""
    return {} if type(value) is dict else value
