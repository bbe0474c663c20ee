"""Named columns of a CSV or Parquet file as NumPy arrays (pyarrow is imported only when a file is read)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import one_line

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def column_names(path: Path, max_bytes: int) -> list[str]:
    """Names of the columns, in the order of the file.

    Raises ValueError that begins with ``data.path=`` where the file cannot be used.
    """
    return list(_table(path, *_stamp(path, max_bytes), max_bytes).column_names)


def index_columns(path: Path, max_bytes: int) -> list[str]:
    """The columns in which pandas has saved the index of a Parquet file, in the order of the file.

    The file's metadata names them.  Where another program has dropped the metadata, the names that pandas makes up for
    an index without one are left.  Raises as `column_names`.
    """
    table = _table(path, *_stamp(path, max_bytes), max_bytes)
    if SUFFIXES[path.suffix.lower()] != "parquet":
        return []
    try:
        said = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):  # not what pandas writes
        said = {}
    levels = said.get("index_columns") if isinstance(said, dict) else None
    # a RangeIndex is no column: a mapping says where it starts and ends
    named = {level for level in levels if isinstance(level, str)} if isinstance(levels, list) else set()
    return [name for name in table.column_names if name in named or _UNNAMED_LEVEL.fullmatch(name)]


def nameless(names: Iterable[str]) -> list[int]:
    """Places of the columns without a name: an index in a CSV file has none, nor has it once pandas has read it."""
    return [i for i, name in enumerate(names) if not name.strip() or _UNNAMED.fullmatch(name)]


_UNNAMED_LEVEL = re.compile(r"__index_level_\d+__")
_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?(\.\d+)?")


def n_rows(path: Path, max_bytes: int) -> int:
    """Number of rows; raises as `column_names`."""
    return int(_table(path, *_stamp(path, max_bytes), max_bytes).num_rows)


def numeric_column(path: Path, column: str, key: str, max_bytes: int) -> NDArray[np.float64]:
    """A column as float64 (n,); true and false count as 1 and 0.

    Raises ValueError that begins with ``key=column`` where there is no such column or it holds text, an empty field,
    NaN or inf.
    """
    values = _column(path, column, key, max_bytes)
    array = _as_float(values)
    if array is None:
        raise ValueError(f"{key}={column}: holds {_first_text(values)}, must hold numbers only")
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"{key}={column}: holds {array[row]} in row {row + 1}, must hold finite numbers only")
    return array


def label_column(path: Path, column: str, key: str, max_bytes: int) -> NDArray[np.float64] | list[str]:
    """A column of class labels: float64 (n,) where it is numeric, a list of strings where it is text.

    Raises ValueError as `numeric_column`, also for text that stands for a missing label: an empty one would be a class.
    """
    import pyarrow as pa

    values = _column(path, column, key, max_bytes, "a label")
    kind = values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return numeric_column(path, column, key, max_bytes)
    labels = [str(value) for value in values.to_pylist()]
    missing = {label for label in set(labels) if label.strip() in _MISSING}
    if missing:
        row = next(i for i, label in enumerate(labels) if label in missing)
        shown = repr(labels[row]) if labels[row].strip() else "empty"
        raise ValueError(
            f"{key}={column}: the label in row {row + 1} of {path} is {shown}, which stands for a missing one; drop the"
            " row or name the class otherwise"
        )
    return labels


# what pandas and pyarrow read as missing, and what they write for it where a column is text
_MISSING = {
    *("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "NaT"),
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
}


def _stamp(path: Path, max_bytes: int) -> tuple[int, int]:
    """Modification time and size, which tell a changed file from one that was read before."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"data.path={path}: must end in {', '.join(SUFFIXES)}")
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"data.path={path}: {error.strerror or error}") from None
    if not path.is_file():
        raise ValueError(f"data.path={path}: is not a file")
    if status.st_size == 0:
        raise ValueError(f"data.path={path}: the file is empty")
    if status.st_size > max_bytes:
        raise ValueError(f"data.path={path}: has {status.st_size} bytes, more than data.max_bytes={max_bytes}")
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)  # a sweep reads the same file for every cell
def _table(path: Path, _mtime: int, size: int, max_bytes: int) -> pa.Table:
    import pyarrow as pa

    try:
        if SUFFIXES[path.suffix.lower()] == "csv":
            from pyarrow import csv

            # one block, so that the type of a column is inferred from all of its rows
            table = csv.read_csv(path, read_options=csv.ReadOptions(block_size=min(size + 1, 2**31 - 1)))
        else:
            from pyarrow import parquet

            metadata = parquet.read_metadata(path)
            # compressed pages can be far larger in memory than on disk
            pages = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            # and a column that repeats itself takes next to nothing in its pages
            unpacked = max(pages, 8 * metadata.num_rows * metadata.num_columns)
            if unpacked > max_bytes:
                raise ValueError(f"data.path={path}: unpacks to {unpacked} bytes, more than data.max_bytes={max_bytes}")
            table = parquet.read_table(path)
        names = list(table.column_names)  # decodes them
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.path={path}: cannot be read: {one_line(error)[:200]}") from None
    if not names or table.num_rows == 0:
        raise ValueError(f"data.path={path}: the file has no rows")
    return table


def _column(path: Path, column: str, key: str, max_bytes: int, wanted: str = "a number") -> pa.ChunkedArray:
    """The column without missing fields, dictionaries decoded."""
    import pyarrow as pa

    table = _table(path, *_stamp(path, max_bytes), max_bytes)
    places = table.schema.get_all_field_indices(column)
    if not places:
        raise ValueError(f"{key}={column}: no such column in {path}; it has {_some(table.column_names)}")
    if len(places) > 1:
        raise ValueError(f"{key}={column}: {len(places)} columns of {path} have this name")
    values = table.column(places[0])
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy()))
        raise ValueError(f"{key}={column}: the field in row {row + 1} of {path} is missing or NaN, must be {wanted}")
    return values


def _as_float(values: pa.ChunkedArray) -> NDArray[np.float64] | None:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        array: NDArray[np.float64] = np.asarray(values.to_numpy(), dtype=np.float64)
        return array
    if pa.types.is_decimal(kind):
        return np.array([float(value) for value in values.to_pylist()], dtype=np.float64)
    return None


def _first_text(values: pa.ChunkedArray) -> str:
    """What to show of a column that is not numeric: its first field that is no number."""
    for row, value in enumerate(values.to_pylist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f"{str(value)[:40]!r} in row {row + 1}"
    return f"values of type {values.type}"


def _some(names: list[str], limit: int = 10) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, … ({len(names)} columns)"
