"""Column chunks of Parquet files that were decoded before.  The slow way, to decode each chunk, is the definition.

Most columns of a part are one value, often null, in all its rows, and the same in the next part: a setting that was not
swept.  Their chunks are equal byte by byte, some 100 bytes each, and to decode one takes longer than to find it here.
Nothing that a footer claims of values or nulls is believed: the bytes say what the values are, and where they and the
schema are those of a chunk that was decoded, so are its values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SHORT = 512  # bytes of a chunk that is looked up
SMALL = 2**16  # bytes of an array that is kept
KEPT = 1024  # arrays, of all files
SCHEMAS = 8

# number of the schema, place of the column, rows, values, compression, whether without a dictionary, the chunk's bytes
Key = tuple[int, int, int, int, str, bool, bytes]


class Chunks:
    """Arrays by the chunks that they were decoded from.

    dictionaries : the columns of the last file that were read as dictionaries; those of the next one are likely the same.
    ahead : by the columns of a file those of them that are read when it is opened.
    """

    def __init__(self) -> None:
        self.dictionaries: list[str] = []
        self.ahead: dict[tuple[str, ...], list[str]] = {}
        self._arrays: dict[Key, pa.Array] = {}  # oldest first
        self._schemas: list[tuple[int, dict[str, int], str, pa.Schema]] = []  # newest first
        self._numbers = count()

    def keys(
        self, metadata: pq.FileMetaData, schema: pa.Schema, content: bytes, names: Iterable[str]
    ) -> dict[str, Key]:
        """For each of some columns whose chunk is short what tells it from others; of a file of one row group.

        metadata, schema : its footer, and its columns as they are read.   content : the whole file.
        """
        made_by = str(metadata.created_by)
        # the releases before read some bytes beyond the end of a chunk, which then are not all that matters
        if not made_by.startswith("parquet-cpp-arrow ") or metadata.num_row_groups != 1:
            return {}
        if metadata.num_columns != len(schema):  # a column of several fields has a chunk for each
            return {}
        number, places = self._number(made_by, schema)
        group, found = metadata.row_group(0), {}
        rows = group.num_rows
        for name in names:
            i = places.get(name)
            if i is None:
                continue
            column = group.column(i)
            length, start, dictionary = (
                column.total_compressed_size,
                column.data_page_offset,
                column.dictionary_page_offset,
            )
            if dictionary is not None and 0 < dictionary < start:
                start = dictionary
            if 0 < length <= SHORT and 0 < start <= len(content) - length:
                chunk = content[start : start + length]
                found[name] = (number, i, rows, column.num_values, column.compression, dictionary is None, chunk)
        return found

    def _number(self, made_by: str, schema: pa.Schema) -> tuple[int, dict[str, int]]:
        """One number for all files whose schemas are equal, and `_places` of it."""
        for number, places, maker, known in self._schemas:
            if maker == made_by and known.equals(schema):
                return number, places
        number, places = next(self._numbers), _places(schema)
        self._schemas = [(number, places, made_by, schema), *self._schemas[: SCHEMAS - 1]]
        return number, places

    def get(self, keys: Mapping[str, Key]) -> dict[str, pa.Array]:
        """The columns that were decoded before."""
        return {name: array for name, key in keys.items() if (array := self._arrays.get(key)) is not None}

    def put(self, key: Key, array: pa.Array) -> None:
        """Keep a column that was decoded."""
        if array.nbytes <= SMALL:
            self._arrays[key] = array
            for oldest in list(islice(self._arrays, max(0, len(self._arrays) - KEPT))):
                self._arrays.pop(oldest, None)


def _places(schema: pa.Schema) -> dict[str, int]:
    """Where the columns are whose name is theirs alone and whose type in Arrow leaves Parquet one way to store a value."""
    import pyarrow as pa

    kinds = {pa.bool_(), pa.int64(), pa.float64(), pa.string(), pa.large_string()}
    kinds |= {pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())}
    often = Counter(schema.names)
    return {field.name: i for i, field in enumerate(schema) if field.type in kinds and often[field.name] == 1}
