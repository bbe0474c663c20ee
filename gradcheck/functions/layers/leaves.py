"""What goes into a layer and what comes out: an array, or a nesting of tuples, lists and dicts with arrays at the leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.tensors import array_of, is_tensor

Array = np.ndarray

# Smaller floating types have too few digits for a difference to mean anything.
DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.longdouble))


class Leaf(NamedTuple):
    """An array of real numbers inside a structure, and its name by path: ``input``, ``input[0]``, ``input.h``."""

    name: str
    array: Array


def is_nested(value: object) -> bool:
    """Whether this is a structure of several values: a dict, or a list or tuple that is no array of numbers."""
    if isinstance(value, Mapping):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    return any(is_tensor(v) or isinstance(v, np.ndarray) or v is None or is_nested(v) for v in value) or not _is_array(
        value
    )


def _is_array(value: Sequence[object]) -> bool:
    try:
        return np.asarray(value).dtype.kind in "iufb"
    except Exception:  # ragged
        return False


def branches(value: object, name: str) -> Iterator[tuple[str, object]]:
    """The direct parts of a structure with their names."""
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        fields = getattr(value, "_fields", None)
        for i, part in enumerate(value):
            yield (f"{name}.{fields[i]}" if fields else f"{name}[{i}]"), part


def real_array(value: object) -> Array | None:
    """The value as an array of real floating numbers; None for integers, text, None and whatever is no array of them."""
    if value is None or isinstance(value, (bool, str, bytes)):
        return None
    try:
        array = array_of(value) if is_tensor(value) else np.asarray(value)
    except Exception:  # no array at all
        return None
    return array if array.dtype.kind == "f" else None


def leaves(value: object, name: str) -> list[Leaf]:
    """The arrays of real numbers in a structure, in order."""
    if is_nested(value):
        return [leaf for where, part in branches(value, name) for leaf in leaves(part, where)]
    array = real_array(value)
    return [] if array is None else [Leaf(name, array)]


def rebuilt(value: object, arrays: Iterator[Array], made: Callable[[Array, object], object]) -> object:
    """The structure with other arrays at its leaves; what is no array of real numbers is handed on as a copy.

    made : makes a leaf of an array, in the kind of the leaf that was there.
    """
    if isinstance(value, Mapping):
        return {key: rebuilt(part, arrays, made) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and is_nested(value):
        parts = [rebuilt(part, arrays, made) for part in value]
        if isinstance(value, list):
            return parts
        make = getattr(type(value), "_make", tuple)
        return make(parts)
    if real_array(value) is not None:
        return made(next(arrays), value)
    return value.copy() if isinstance(value, np.ndarray) else value


def require_usable(leaf: Leaf) -> None:
    """Raise ContractError for numbers in which no difference can be taken."""
    if leaf.array.dtype not in DTYPES:
        raise ContractError(f"{leaf.name} has dtype {leaf.array.dtype}: must be float32, float64 or longdouble")
    if not np.isfinite(leaf.array).all():
        raise ContractError(f"{leaf.name} has an entry that is not finite")
