"""Tables in text: CSV and its relatives, plain or compressed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from gradcheck.errors import one_line
from gradcheck.experiment.sources.tables.dialect import Dialect, dialect_of
from gradcheck.experiment.sources.tables.records import BLANKS, lines_of, records
from gradcheck.experiment.sources.tables.wanted import Read, Wanted

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 1 << 20  # bytes that are read at a time
PARSED = 1 << 26  # and parsed: few large blocks are given back whole, and several threads are no faster
SAMPLE = 1 << 16  # of which the dialect is found; more where they hold few lines
TOKENS = 100_000  # rows that pandas takes apart at a time
UTF16 = (b"\xff\xfe", b"\xfe\xff")
# What a text file may be that is no table, by its first characters.
OTHERS = {
    "<!doctype": "is HTML, perhaps the page of a download that failed",
    "<html": "is HTML, perhaps the page of a download that failed",
    "<?xml": "is XML; save it as CSV",
    "{": "is JSON; save it as CSV",
    "version https://git-lfs": "is a pointer of Git LFS; fetch the file with git lfs pull",
}
# Blanks around a word that stands for a missing value.
PADDING = ((" ", ""), ("", " "), (" ", " "))
HINT = "; say how it is written with data.sep= or data.comment=, or take out the lines that are no rows"
Rows: TypeAlias = "bytes | pa.NativeFile"


def read(wanted: Wanted, compression: str | None) -> Read:
    """The columns of a text table that are used.  Raises ValueError where it cannot be read."""
    import pyarrow as pa

    try:
        with closing(_opened(wanted, compression)) as stream:
            blocks = _blocks(stream, wanted)
            head, cut = _head(blocks)
            _refuse_others(head, wanted)
            dialect = dialect_of(list(lines_of([head])), cut, wanted)
            used = wanted.used(dialect.names)
            rows, complete = _rows(chain([head], blocks), isinstance(stream, io.FileIO), dialect, wanted)
        table = _table(rows, dialect, used, wanted)
    except (pa.ArrowException, OSError, EOFError, UnicodeError, csv.Error) as error:
        words = one_line(error)[:200]
        if words == "Empty CSV file":
            raise wanted.refusal("the file has no rows") from None
        raise wanted.refusal(f"cannot be read: {words}{HINT if 'xpected' in words else ''}") from None
    columns = {place: table.column(i) for i, place in enumerate(used)}
    return Read(dialect.names, columns, table.num_rows, said=dialect.said(wanted), complete=complete)


# ------------------------------------------------------------------------------------------------------------ its bytes


def _opened(wanted: Wanted, compression: str | None) -> BinaryIO:
    """The bytes of the file in UTF-8, unpacked."""
    import pyarrow as pa

    if compression is not None:
        return cast(BinaryIO, pa.input_stream(str(wanted.path), compression=compression))
    stream = io.FileIO(wanted.path)
    if stream.read(2) in UTF16:
        with stream:
            stream.seek(0)
            try:
                return io.BytesIO(stream.readall().decode("utf-16").encode())
            except UnicodeError:
                raise wanted.refusal("cannot be read: is neither utf-8 nor utf-16 text") from None
    stream.seek(0)
    return cast(BinaryIO, stream)


def _blocks(stream: BinaryIO, wanted: Wanted) -> Iterator[bytes]:
    """The blocks of a stream.  Raises ValueError where it unpacks to more than is allowed."""
    size = 0
    while block := stream.read(BLOCK):
        size += len(block)
        if size > wanted.max_bytes:
            raise wanted.refusal(f"unpacks to more than data.max_bytes={wanted.max_bytes}")
        yield block


def _head(blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes, which hold several lines, and whether others follow."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= SAMPLE and len(head.splitlines()) > 20:
            return head, True
    return head, False


def _refuse_others(head: bytes, wanted: Wanted) -> None:
    text = head[:BLOCK].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if b"\0" in head.partition(b"\n")[0]:  # rows below the first may not be wanted
        raise wanted.refusal("cannot be read: is no table in text, as utf-8, and none in Parquet, Arrow or Feather")
    if re.search(r"(?mi)^@relation\s", text):
        raise wanted.refusal(
            "cannot be read: is ARFF; save what follows @data, below a line with the names of the columns"
        )
    for begin, what in OTHERS.items():
        if text[: len(begin)].lower() == begin:
            raise wanted.refusal(f"cannot be read: {what}")


def _rows(blocks: Iterable[bytes], plain: bool, dialect: Dialect, wanted: Wanted) -> tuple[Rows, bool]:
    """The rows that are wanted, and whether these are all.

    plain : whether the rows can be read from the file as they stand there.
    """
    import pyarrow as pa

    if wanted.n is not None:
        return _first_rows(blocks, dialect, wanted.n, wanted.comment is not None)
    if plain and dialect.comment is None and not _by_pandas(dialect, False):
        file = pa.OSFile(str(wanted.path))
        file.seek(dialect.start)
        return file, True
    return b"".join(blocks)[dialect.start :], True


def _first_rows(blocks: Iterable[bytes], dialect: Dialect, n: int, tails: bool) -> tuple[bytes, bool]:
    """The bytes of the first n rows, and whether there are no others.  What follows them is not looked at."""
    lines = lines_of(_after(blocks, dialect.start))
    read: list[bytes] = []

    def noted() -> Iterator[bytes]:
        for line in lines:
            read.append(line)
            yield line

    for count, _ in enumerate(records(noted(), dialect.sep, dialect.comment, tails, dialect.late), start=1):
        if count == n:
            return b"".join(read), next(lines, None) is None
    return b"".join(read), True


def _after(blocks: Iterable[bytes], start: int) -> Iterator[bytes]:
    """Blocks of bytes without the first ones."""
    for block in blocks:
        yield block[start:]
        start = max(0, start - len(block))


# ------------------------------------------------------------------------------------------------------------- its rows


def _by_pandas(dialect: Dialect, tails: bool) -> bool:
    """Whether pandas takes the lines apart: pyarrow knows neither blanks that separate fields nor comments after them."""
    return dialect.sep == BLANKS or dialect.late or tails


def _table(rows: Rows, dialect: Dialect, used: Sequence[int], wanted: Wanted) -> pa.Table:
    """The columns that are used, with the type of each inferred from all rows."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    sep, names = dialect.sep, [str(i) for i in range(len(dialect.names))]
    tails = wanted.comment is not None
    if isinstance(rows, bytes):
        if dialect.comment is not None and not tails:
            sign = re.escape(dialect.comment.encode())
            rows = re.sub(rb"(?:^|(?<=[\r\n]))[ \t]*" + sign + rb"[^\r\n]*", b"", rows)
        if _by_pandas(dialect, tails):
            rows, sep, names = _taken_apart(rows, dialect, used, wanted), ",", [str(i) for i in used]
        if not rows.strip():
            raise wanted.refusal("the file has no rows")
        rows = pa.BufferReader(rows)
    missing = [*arrow_csv.ConvertOptions().null_values, *(wanted.na or ())]
    table = arrow_csv.read_csv(
        rows,
        # a block holds whole rows, whatever stands in quotes; the type of a column comes from all blocks
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=PARSED, column_names=names),
        parse_options=arrow_csv.ParseOptions(delimiter=sep, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            decimal_point=dialect.decimal,
            null_values=[*missing, *(f"{a}{word}{b}" for word in missing for a, b in PADDING)],
            include_columns=[str(i) for i in used],
        ),
    )
    if table.num_rows == 0:
        raise wanted.refusal("the file has no rows")
    return table


def _taken_apart(rows: bytes, dialect: Dialect, used: Sequence[int], wanted: Wanted) -> bytes:
    """The rows as plain CSV, with the fields that are used."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import compute
    from pyarrow import csv as arrow_csv

    sink = io.BytesIO()
    names = [str(i) for i in used]
    try:
        frames = pd.read_csv(
            io.BytesIO(rows),
            sep=r"\s+" if dialect.sep == BLANKS else dialect.sep,
            skipinitialspace=True,
            comment=wanted.comment,
            header=None,
            dtype=str,
            na_filter=False,
            chunksize=TOKENS,
        )
        short = False
        for frame in frames:
            if frame.shape[1] != len(dialect.names):
                raise wanted.refusal(
                    f"cannot be read: a row has {frame.shape[1]} fields, not {len(dialect.names)}{HINT}"
                )
            short = short or bool((frame.iloc[:, -1] == "").any())
            columns = [pa.array(frame.iloc[:, i], pa.string()) for i in used]
            if wanted.comment is not None:  # blanks before a comment are no part of the field
                columns = [compute.utf8_rtrim(column, characters=" \t") for column in columns]
            options = arrow_csv.WriteOptions(include_header=False)
            arrow_csv.write_csv(pa.table(columns, names), sink, write_options=options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        words = one_line(error).removeprefix("Error tokenizing data. C error: ")
        raise wanted.refusal(f"cannot be read: {words}{HINT}") from None
    if short:  # pandas fills up rows that lack fields
        lines = lines_of([rows])
        found = records(lines, dialect.sep, dialect.comment, wanted.comment is not None, dialect.late)
        for row, record in enumerate(found, start=1):
            if len(record.fields) != len(dialect.names):
                raise wanted.refusal(
                    f"cannot be read: row {row} has {len(record.fields)} fields, not {len(dialect.names)}{HINT}"
                )
    return sink.getvalue()
