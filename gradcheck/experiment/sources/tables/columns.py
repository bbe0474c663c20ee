"""Columns of a table as NumPy arrays, and what is wrong with those that cannot be used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import one_line
from gradcheck.experiment.sources.tables.dialect import COMMA_NUMBER, COMMENTS, NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

# What pandas and pyarrow read as missing, and what they write for it where a column is text.
MISSING = frozenset(
    {
        *("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "NaT"),
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
    }
)
_GROUPED = re.compile(r"[+-]?\d{1,3}([., '_\u00a0\u202f]\d{3})+([.,]\d+)?")
# And what stands for it in the files of others; a class with such a name is none.
NO_LABEL = MISSING | {"?", "."}


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    values : float64 (n,); NaN where `absent`.
    absent : where the field is empty or stands for a missing value, (n,) bool; None for nowhere.
    """

    values: NDArray[np.float64]
    absent: NDArray[np.bool_] | None

    def fault(self, where: str, wanted: str = "a number") -> str | None:
        """What is wrong with the first value that is not finite; None where all are."""
        finite = np.isfinite(self.values)
        if finite.all():
            return None
        row = int(np.argmin(finite))
        if self.absent is not None and self.absent[row]:
            return f"the field in row {row + 1} of {where} is missing or NaN, must be {wanted}"
        return f"holds {self.values[row]} in row {row + 1}, must hold finite numbers only"

    def missing(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Where a value is missing: absent, NaN, or one of the numbers among some words, (n,) bool."""
        sentinels = [float(word) for word in words if NUMBER.fullmatch(word)]
        found: NDArray[np.bool_] = np.isnan(self.values)
        return found | np.isin(self.values, sentinels) if sentinels else found


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, with the words of a dictionary written out."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether a column holds text."""
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(column: pa.ChunkedArray) -> bool:
    """Whether a column holds bytes that are no text."""
    import pyarrow as pa

    return bool(pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type))


def numbers(column: pa.ChunkedArray) -> Numbers | None:
    """A column as numbers, true and false as 1 and 0; None where it holds anything else."""
    import pyarrow as pa

    column = decoded(column)
    kind = column.type
    if is_text(column):
        signed = _without_plus(column)
        if signed is None:
            return None
        column, kind = signed, signed.type
    absent = np.asarray(column.is_null()) if column.null_count else None
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan), absent)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Numbers(np.asarray(column.to_numpy(), dtype=np.float64), absent)
    if pa.types.is_decimal(kind):
        values = [np.nan if value is None else float(value) for value in column.to_pylist()]
        return Numbers(np.array(values, dtype=np.float64), absent)
    return None


def _without_plus(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Numbers of which some begin with a plus, which pyarrow does not read; None where there are others."""
    import pyarrow as pa
    from pyarrow import compute

    if not compute.any(compute.match_substring(column, "+")).as_py():
        return None
    bare = compute.replace_substring_regex(compute.utf8_trim(column, " \t"), r"^\+([0-9.])", r"\1")
    try:
        return bare.cast(pa.float64())
    except pa.ArrowInvalid:
        return None


def labels(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.intp]] | None:
    """The different words of a column, and for each row which of them it is; None for a column of other kind.

    Days, times and bytes that are text count as they are written.  The place of a missing field is -1.
    """
    import pyarrow as pa

    column = decoded(column)
    if pa.types.is_temporal(column.type) or is_bytes(column):
        try:
            column = column.cast(pa.string())
        except pa.ArrowException:  # bytes that are no text
            return None
    if not is_text(column):
        return None
    coded = column.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy().astype(np.intp)
    return [str(word) for word in coded.dictionary.to_pylist()], codes


@dataclass(frozen=True)
class Words:
    """What a column that is no numbers holds: its first word and where, and the words if they are few."""

    word: str
    row: int
    others: tuple[str, ...]

    def advice(self) -> str:
        """What may be typed to read the column, where that can be guessed; empty where not."""
        if self.word and COMMA_NUMBER.fullmatch(self.word.strip()):
            return "\"data.decimal=','\" if that is a decimal comma"
        if _GROUPED.fullmatch(self.word.strip()):
            return "write the numbers without what separates thousands"
        for sign in COMMENTS:
            begin, _, after = self.word.partition(sign)
            bare = begin.strip()
            if after and (not bare or NUMBER.fullmatch(bare) or COMMA_NUMBER.fullmatch(bare)):
                return f"\"data.comment='{sign}'\" if that is a comment"
        if self.others:
            words = ",".join(f"'{word}'" for word in self.others)
            return f'"data.na=[{words}]" leaves out the rows with such a word'
        return ""


def words_of(column: pa.ChunkedArray) -> Words:
    """What to say of a column that is no numbers."""
    column = decoded(column)
    found: Counter[str] = Counter()
    first, at, rows = "", 0, 0
    comma: tuple[str, int] | None = None
    for row, value in enumerate(_shown(column)):
        rows += 1
        if value.strip() in MISSING or NUMBER.fullmatch(value.strip()):
            continue
        if COMMA_NUMBER.fullmatch(value.strip()):
            comma = comma or (value, row + 1)
            continue
        if not found:
            first, at = value, row + 1
        if len(found) <= 3:
            found[value] += 1
    few = len(found) <= 3 and 2 * sum(found.values()) <= rows and not any("'" in word for word in found)
    if not found and comma is not None:
        return Words(*comma, ())
    if not found:
        return Words(f"values of type {column.type}", 0, ())
    return Words(one_line(first)[:40], at, tuple(word.strip() for word in found) if few else ())


def _shown(column: pa.ChunkedArray) -> Iterator[str]:
    for chunk in column.chunks:
        for value in chunk.to_pylist():
            yield "" if value is None else str(value)
