"""Arrow arrays from Python values and NumPy arrays, buffer by buffer.

The slow way, ``pyarrow.array``, is the definition.  Its first call imports pandas where that is installed, which takes as
long as a small run; these functions do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import mul

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

_LARGEST = np.iinfo(np.int32).max  # what the offsets of a string or list array can hold


def texts(values: Sequence[str | None], times: Sequence[int] | None = None) -> pa.StringArray:
    """Strings, each repeated as many `times`; None is null.

    Raises pa.ArrowCapacityError for more than 2 GB.
    """
    # most columns hold few different values, and often a single one
    known = {value: b"" if value is None else value.encode() for value in set(values)}
    if len(known) == 1:
        ((value, text),) = known.items()
        total = len(values) if times is None else sum(times)
        lengths, data = np.full(total, len(text)), text * total
        valid = _validity(np.zeros(total, dtype=bool)) if value is None else None
    else:
        encoded = [known[value] for value in values]
        lengths = _repeated(np.fromiter(map(len, encoded), np.int64, len(encoded)), times)
        data = b"".join(encoded if times is None else map(mul, encoded, times))
        valid = _validity(_known(values), times)
    return pa.Array.from_buffers(pa.string(), len(lengths), [valid, _offsets(lengths), pa.py_buffer(data)])


def reals(
    values: ArrayLike, valid: NDArray[np.bool_] | None = None, times: Sequence[int] | None = None
) -> pa.DoubleArray:
    """float64, each repeated as many `times`; null where `valid` is False."""
    array = _repeated(np.ascontiguousarray(values, dtype=np.float64), times)
    return pa.Array.from_buffers(pa.float64(), len(array), [_validity(valid, times), pa.py_buffer(array)])


def counts(values: Sequence[int | None] | NDArray[np.integer], times: Sequence[int] | None = None) -> pa.Int64Array:
    """int64, each repeated as many `times`; None is null."""
    valid = None if isinstance(values, np.ndarray) else _known(values)
    known = values if valid is None else [0 if value is None else value for value in values]
    array = _repeated(np.ascontiguousarray(known, dtype=np.int64), times)
    return pa.Array.from_buffers(pa.int64(), len(array), [_validity(valid, times), pa.py_buffer(array)])


def _repeated(array: np.ndarray, times: Sequence[int] | None) -> np.ndarray:
    return array if times is None else np.repeat(array, times)


def flags(values: Sequence[bool | None]) -> pa.BooleanArray:
    """Booleans; None is null."""
    bits = pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little"))  # bool(None) is False
    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(_known(values)), bits])


def positions(values: Sequence[Sequence[int]]) -> pa.ListArray:
    """Lists of int32, such as the indices of an entry."""
    flat = np.array(list(chain.from_iterable(values)), dtype=np.int32)
    items = pa.Array.from_buffers(pa.int32(), len(flat), [None, pa.py_buffer(flat)])
    buffers = [None, _offsets(np.fromiter(map(len, values), np.int64, len(values)))]
    return pa.Array.from_buffers(pa.list_(pa.int32()), len(values), buffers, children=[items])


def _known(values: Sequence[object]) -> NDArray[np.bool_] | None:
    """Where values are not None; None where all are."""
    return np.array([value is not None for value in values], dtype=bool) if None in values else None


def _validity(valid: NDArray[np.bool_] | None, times: Sequence[int] | None = None) -> pa.Buffer | None:
    """One bit an entry; None where all are valid."""
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(_repeated(valid, times), bitorder="little"))


def _offsets(lengths: Sequence[int] | NDArray[np.integer]) -> pa.Buffer:
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    if ends[-1] > _LARGEST:
        raise pa.ArrowCapacityError(f"{ends[-1]} entries in a column, must be at most {_LARGEST}")
    return pa.py_buffer(ends.astype(np.int32))
