"""Where a leaf stands in somebody's structure, and what stands at that place in another one.

This module asks objects of others for their keys and attributes; no other does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from numbers import Number
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Key:
    """An entry of a dict."""

    key: object


@dataclass(frozen=True)
class Index:
    """An entry of a list or tuple of so many."""

    index: int
    length: int


@dataclass(frozen=True)
class Field:
    """A field of a NamedTuple or a dataclass.   place : of a NamedTuple, its entry, which a plain tuple has too."""

    name: str
    place: Index | None = None


Step: TypeAlias = Key | Index | Field
Path: TypeAlias = tuple[Step, ...]


class Missing:
    """What stands where there is nothing."""


MISSING = Missing()


@runtime_checkable
class Keyed(Protocol):
    """What has keys: a dict, the file of ``numpy.savez``, a pandas Series."""

    def keys(self) -> object: ...
    def __getitem__(self, key: object, /) -> object: ...


def named(path: Path, names: Sequence[str] | None = None) -> str:
    """The name of a leaf: ``layers[0].W``; ``x`` for x0 itself, ``x1`` for the second entry of a list.

    names : those of the entries of the outermost list or tuple, in place of x0, x1, ...
    """
    if not path:
        return "x"
    first, *others = path
    if isinstance(first, Index):
        text = f"x{first.index}" if names is None else names[first.index]
    else:
        text = _word(first)
    for step in others:
        text += f"[{step.index}]" if isinstance(step, Index) else f".{_word(step)}"
    return text


def last_name(path: Path) -> int:
    """Which step is the last that has a name; -1 where none has."""
    return max((k for k, step in enumerate(path) if not isinstance(step, Index)), default=-1)


def at(value: object, path: Path, prefix: str = "") -> object:
    """What stands at a path of ``value``, with a prefix before the last name of the path; MISSING where nothing does."""
    prefixed = last_name(path) if prefix else -1
    for k, step in enumerate(path):
        value = get(value, step, prefix if k == prefixed else "")
        if value is MISSING:
            break
    return value


def get(container: object, step: Step, prefix: str = "") -> object:
    """One entry of a container, by its key, its index or its attribute; MISSING where it has none."""
    if isinstance(step, Index):
        rows = isinstance(container, (list, tuple)) or (isinstance(container, np.ndarray) and container.ndim > 0)
        return container[step.index] if rows and len(container) == step.length else MISSING  # type: ignore[arg-type, index]
    if isinstance(step, Field) and step.place and isinstance(container, (list, tuple)) and not is_namedtuple(container):
        return get(container, step.place)
    key = step.key if isinstance(step, Key) else step.name
    wanted = f"{prefix}{key}" if prefix else key
    if isinstance(container, (Mapping, Keyed)):
        try:
            return container[wanted]
        except (KeyError, IndexError, TypeError):
            return MISSING
    if is_record(container) and isinstance(wanted, str):
        return getattr(container, wanted, MISSING)
    return MISSING


def put(container: object, step: Step, value: object) -> None:
    """Set one entry of a container that can be changed.  Raises TypeError or AttributeError for one that cannot.

    Nothing is set in a container that is not there any more.
    """
    if container is MISSING:
        return
    if isinstance(step, Field):
        setattr(container, step.name, value)
    else:
        container[step.index if isinstance(step, Index) else step.key] = value  # type: ignore[index]


def is_record(value: object) -> bool:
    """Whether the attributes of ``value`` may be parameters or gradients: those of an array or a number are not."""
    if isinstance(value, tuple):
        return is_namedtuple(value)
    if value is None or isinstance(value, (np.ndarray, Number, str, bytes, list, set, frozenset, type)):
        return False
    return not (hasattr(value, "__array__") or hasattr(value, "toarray"))


def is_namedtuple(value: object) -> bool:
    """Whether a tuple has names for its entries."""
    return isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(value, "_make")


def fields_of(value: object) -> tuple[str, ...]:
    """Names of the fields of a NamedTuple or a dataclass; () of anything else."""
    if is_namedtuple(value):
        return tuple(value._fields)  # type: ignore[attr-defined]
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(name for name in value.__dataclass_fields__ if hasattr(value, name))
    return ()


def is_setting(x: object, gradient: object, path: Path) -> bool:
    """Whether a field with whole numbers of a dataclass is copied into its gradient, an object of the same class.

    ``dataclasses.replace(x, W=dW)``, or a tree of JAX, keeps the settings of x beside the gradients: they are no slopes.
    """
    if not path or not isinstance(path[-1], Field) or path[-1].place is not None:
        return False
    if type(at(x, path[:-1])) is not type(at(gradient, path[:-1])):
        return False
    here, there = at(x, path), at(gradient, path)
    if not isinstance(there, (int, np.integer, np.ndarray)) or type(here) is not type(there):
        return False
    return np.asarray(there).dtype.kind in "iu" and np.array_equal(np.asarray(here), np.asarray(there))


def _word(step: Step) -> str:
    return str(step.key) if isinstance(step, Key) else step.name if isinstance(step, Field) else str(step.index)
