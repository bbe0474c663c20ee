"""Tables in columns: Parquet, Arrow and Feather files, and folders of such parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gradcheck.errors import one_line
from gradcheck.experiment.sources.tables.kinds import kind_of
from gradcheck.experiment.sources.tables.wanted import Read, Wanted

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 65_536  # that are read at a time, where some are enough
UNNAMED_LEVEL = re.compile(r"__index_level_\d+__")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # as Hive writes a missing one


def read(wanted: Wanted, parts: Sequence[Path]) -> Read:
    """The columns of a table that are used, from its parts in their order.  Raises ValueError."""
    import pyarrow as pa

    part = parts[0]
    try:
        schemas = []
        for part in parts:
            schemas.append(_schema(part, wanted))
        partitions = [partition(part, wanted.path) for part in parts]
        names = tuple(schemas[0].names) + tuple(key for key in partitions[0] if key not in schemas[0].names)
        used = wanted.used(names)
        tables, rows = [], 0
        for part, schema, values in zip(parts, schemas, partitions, strict=True):
            left = None if wanted.n is None else wanted.n - rows
            if left is not None and left <= 0:
                break
            if len(parts) > 1 and {*schema.names, *values} != {*names}:
                cure = f"write both with the same, or name one with data.path={wanted.path / parts[0].name}"
                raise wanted.refusal(f"{part.name} has other columns than {parts[0].name}; {cure}")
            tables.append(_table(part, names, used, values, left, wanted))
            rows += tables[-1].num_rows
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        which = f"{part.relative_to(wanted.path)}: " if len(parts) > 1 else ""
        raise wanted.refusal(f"cannot be read: {which}{one_line(error)[:200]}") from None
    if not names or table.num_rows == 0:
        raise wanted.refusal("the file has no rows")
    columns = {place: _inferred(table.column(i), names[place], partitions[0]) for i, place in enumerate(used)}
    complete = wanted.n is None or table.num_rows < wanted.n
    return Read(names, columns, table.num_rows, index=index_of(schemas[0]), complete=complete)


def partition(part: Path, folder: Path) -> dict[str, str]:
    """The columns whose values the folders of a part name, as ``year=2020/month=1``."""
    if part == folder:
        return {}
    pairs = [name.partition("=") for name in part.relative_to(folder).parts[:-1] if "=" in name]
    return {unquote(key): unquote(value) for key, _, value in pairs}


def index_of(schema: pa.Schema) -> tuple[str, ...]:
    """The columns in which pandas has saved the index, in the order of the file.

    The file's metadata names them.  Where another program has dropped the metadata, the names that pandas makes up for
    an index without one are left.
    """
    try:
        said = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):  # not what pandas writes
        said = {}
    levels = said.get("index_columns") if isinstance(said, dict) else None
    # a RangeIndex is no column: a mapping says where it starts and ends
    named = {level for level in levels if isinstance(level, str)} if isinstance(levels, list) else set()
    return tuple(name for name in schema.names if name in named or UNNAMED_LEVEL.fullmatch(name))


def _schema(part: Path, wanted: Wanted) -> pa.Schema:
    """The schema of a part.  Raises ValueError for one that unpacks to too much."""
    import pyarrow as pa

    if kind_of(part) != "parquet":
        with pa.OSFile(str(part)) as file:
            return pa.ipc.open_file(file).schema
    from pyarrow import parquet

    with parquet.ParquetFile(part) as opened:
        metadata = opened.metadata
        # compressed pages can be far larger in memory than on disk
        pages = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        # and a column that repeats itself takes next to nothing in its pages
        unpacked = max(pages, 8 * metadata.num_rows * metadata.num_columns)
        if unpacked > wanted.max_bytes:
            raise wanted.refusal(f"unpacks to {unpacked} bytes, more than data.max_bytes={wanted.max_bytes}")
        return opened.schema_arrow


def _table(
    part: Path,
    names: Sequence[str],
    used: Sequence[int],
    values: dict[str, str],
    n: int | None,
    wanted: Wanted,
) -> pa.Table:
    """The columns at some places of a part, the first n rows or all."""
    import pyarrow as pa

    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _batches(part, [names[i] for i in used if names[i] not in values]):
        batches.append(batch if n is None else batch.slice(0, n - rows))
        rows += batches[-1].num_rows
        size += batches[-1].nbytes
        if size > wanted.max_bytes:
            raise wanted.refusal(f"unpacks to more than data.max_bytes={wanted.max_bytes}")
        if n is not None and rows >= n:
            break
    own = pa.Table.from_batches(batches) if batches else None
    columns = []
    for i in used:
        if names[i] in values:
            value = values[names[i]]
            columns.append(pa.array([None if value == NO_VALUE else value] * rows, pa.string()))
        elif own is None:
            columns.append(pa.array([], pa.null()))
        else:
            columns.append(own.column(_place(own.schema.names, names, i)))
    return pa.table(columns, names=[str(i) for i in used])


def _place(found: Sequence[str], names: Sequence[str], i: int) -> int:
    """Where the i-th column stands among those that were read; of several with one name each is read."""
    same = [j for j, name in enumerate(found) if name == names[i]]
    return same[min(sum(name == names[i] for name in names[:i]), len(same) - 1)]


def _batches(part: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a part, one at a time, with at least the columns of some names."""
    import pyarrow as pa

    if kind_of(part) == "parquet":
        from pyarrow import parquet

        with parquet.ParquetFile(part) as opened:
            yield from opened.iter_batches(ROWS, columns=list(dict.fromkeys(names)))
        return
    with pa.OSFile(str(part)) as file:
        reader = pa.ipc.open_file(file)
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def _inferred(column: pa.ChunkedArray, name: str, partitions: dict[str, str]) -> pa.ChunkedArray:
    """A column of the names of folders as numbers, where all of them are."""
    import pyarrow as pa

    if name not in partitions:
        return column
    for kind in (pa.int64(), pa.float64()):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    return column
