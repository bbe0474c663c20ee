"""How large a recorded file may be: a small one from a stranger can unpack to more than fits into memory.

The footer of a Parquet file claims numbers of rows, columns and bytes.  Too large a claim is refused before any data is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.errors import BadInput, Damaged

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_COLUMNS = 2000  # a run has some fifty, and one for each key that was swept
MAX_FOOTER = 16_000_000  # bytes, for all row groups of a million cells in one file
MAX_CELLS = 10_000_000
MAX_WEIGHTS = 100_000_000_000
MAX_BYTES = 8_000_000_000  # of one row group, unpacked
# an id has 64 random bits: n different ones take at least n (64 - log2 n) bits, which is more than 4 n bytes
BYTES_OF_ID, FEW = 4, 1000
# bytes of text: per row in most columns, per row in `config`, and of any column however short it is
BYTES_OF_TEXT, BYTES_OF_CONFIG, BYTES_OF_COLUMN = 4_000, 10_000_000, 1_000_000
_TEXTS = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")


def require_footer(place: object, tail: bytes) -> None:
    """Raise BadInput for a footer that is too long to be read; `tail` : the last 8 bytes of the file."""
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PAR1" and length > MAX_FOOTER:
        raise BadInput(f"{place}: its footer has {length} bytes, must have at most {MAX_FOOTER}")


def require_modest(place: object, metadata: pq.FileMetaData, size: int, ids: bool) -> list[str]:
    """Raise BadInput for a file that claims more than a run can hold.

    metadata : the footer.   size : bytes of the file.   ids : whether each row has an id of its own.

    Returns the columns whose texts are stored in dictionaries: read as dictionaries, they take no more memory than there.
    """
    rows, most = metadata.num_rows, MAX_CELLS if ids else MAX_WEIGHTS
    if metadata.num_columns > MAX_COLUMNS:
        raise BadInput(f"{place}: has {metadata.num_columns} columns, must have at most {MAX_COLUMNS}")
    if rows > most:
        raise BadInput(f"{place}: has {rows} rows, must have at most {most}")
    if ids and rows > FEW + size // BYTES_OF_ID:
        raise BadInput(f"{place}: claims {rows} rows in {size} bytes, which cannot hold so many different ids")
    dictionaries: dict[str, None] = {}
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        if group.total_byte_size > MAX_BYTES:
            raise BadInput(f"{place}: unpacks to {group.total_byte_size} bytes, must be at most {MAX_BYTES}")
        if group.num_columns != metadata.num_columns:  # pyarrow would read beyond the end
            raise Damaged(f"{place}: damaged: {group.num_columns} of {metadata.num_columns} columns in a row group")
        for c in range(group.num_columns):
            column = group.column(c)
            if column.physical_type not in _TEXTS:
                continue
            path, size = column.path_in_schema, column.total_uncompressed_size
            if size > BYTES_OF_COLUMN and size > (most := _most(path, group.num_rows)):
                raise _too_long(place, path, size, most)
            encodings = column.encodings
            if "RLE_DICTIONARY" in encodings or "PLAIN_DICTIONARY" in encodings:
                dictionaries[path] = None
    return list(dictionaries)


def require_short(place: object, batch: pa.RecordBatch) -> None:
    """Raise BadInput where texts that are stored in a dictionary would take too much memory when they are unpacked."""
    import pyarrow as pa
    from pyarrow import compute

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_dictionary(column.type) or column.type.value_type not in (pa.string(), pa.binary()):
            continue
        most = _most(name, len(column))
        if column.dictionary.nbytes * len(column) <= most:  # none of its texts is longer than all of them
            continue
        longest = compute.max(compute.binary_length(column.dictionary)).as_py() or 0
        if longest * len(column) <= most:
            continue
        lengths = compute.cast(compute.binary_length(column.dictionary), pa.int64()).take(column.indices)
        if (unpacked := compute.sum(lengths).as_py() or 0) > most:
            raise _too_long(place, name, unpacked, most)


def _most(column: str, rows: int) -> int:
    return min(MAX_BYTES, max(BYTES_OF_COLUMN, rows * (BYTES_OF_CONFIG if column == "config" else BYTES_OF_TEXT)))


def _too_long(place: object, column: str, size: int, most: int) -> BadInput:
    return BadInput(f"{place}: its column {column[:40]} holds {size} bytes of text, must hold at most {most}")
