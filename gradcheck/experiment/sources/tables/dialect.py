"""How a text table is written: what separates its fields, its decimal sign, its comments, and the names of its columns.

The first lines are read in several ways.  A way is right if every line then has as many fields, and the columns that
were named are there.  Where two ways are right and differ, the file is refused: a table is never read by a guess.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from gradcheck.errors import one_line
from gradcheck.experiment.sources.tables.records import BLANKS, Record, records
from gradcheck.experiment.sources.tables.wanted import Wanted, places

SEPARATORS = (",", ";", "\t", "|", BLANKS)
WORDS = {"\t": "tab", BLANKS: "blanks"}  # what is typed for them
COMMENTS = ("#", "%")
RECORDS = 200  # of the first lines that are looked at
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
# pyarrow takes the highest bit of such a number for its sign
_HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]{16,}", re.ASCII)
_BY_PLACE = re.compile(r"f(0|[1-9]\d*)", re.ASCII)


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    names : of the columns; f0, f1, ... where the file gives none.
    start : the byte at which the first row begins.
    header : whether the first line has the names.
    late : whether quoted fields begin after blanks.
    """

    sep: str
    decimal: str
    comment: str | None
    names: tuple[str, ...]
    start: int
    header: bool
    late: bool = False

    def said(self, wanted: Wanted) -> str:
        """What was found out about it, as overrides; empty where it is as one expects."""
        found = []
        if self.sep != "," and wanted.sep is None:
            sep = WORDS.get(self.sep)
            found.append(f"data.sep={sep}" if sep else f"\"data.sep='{self.sep}'\"")
        if self.decimal != "." and wanted.decimal is None:
            found.append(f"\"data.decimal='{self.decimal}'\"")
        if self.comment is not None and wanted.comment is None:
            found.append(f"\"data.comment='{self.comment}'\"")
        if not self.header:
            found.append(f"no line of names: the columns are called f0 … f{len(self.names) - 1}")
        elif all(NUMBER.fullmatch(name.strip()) for name in self.names if name.strip()):
            found.append(f"the names {_start_of(self.names)} from its first line")
        return ", ".join(found)


@dataclass(frozen=True)
class _Way:
    """A way to read the first lines, and how well it does.

    late : whether quoted fields begin after blanks.
    matches : whether the columns that were named are there.
    even : whether all lines have as many fields.
    share : of the fields that are numbers.
    """

    sep: str
    comment: str | None
    late: bool
    found: list[Record]
    header: bool
    matches: bool
    even: bool
    share: float

    @property
    def whole(self) -> bool:
        return self.matches and self.even

    @property
    def first(self) -> list[str]:
        return self.found[0].fields

    @property
    def body(self) -> list[list[str]]:
        return [record.fields for record in self.found[self.header :]]

    @property
    def merit(self) -> tuple[float, ...]:
        several = len(self.first) > 1
        plain = (self.sep != BLANKS, self.comment is None)
        return (self.whole, self.matches and several, self.even, *plain, self.share, len(self.first))


def dialect_of(lines: Sequence[bytes], cut: bool, wanted: Wanted) -> Dialect:
    """The dialect in which the first lines of a file are written.

    cut : whether more lines follow.

    Raises ValueError where it is in doubt.
    """
    ways = _ways(lines, cut, wanted, RECORDS)
    if wanted.n is not None and not any(way.whole for way in ways):
        ways = _ways(lines, cut, wanted, min(RECORDS, wanted.n))  # whatever the rows below may hold
    if not ways:
        raise wanted.refusal("the file has no rows")
    best = max(ways, key=lambda way: way.merit)
    if best.whole:
        _refuse_doubt(best, [way for way in ways if way.whole], wanted)
        _refuse_numbers_as_names(best, wanted)
    names = _names(best)
    if any("\udc80" <= sign <= "\udcff" for name in names for sign in name):
        raise not_utf8(wanted)
    start = best.found[0].end if best.header else best.found[0].begin
    decimal = _decimal(best, wanted.used(names), wanted)
    return Dialect(best.sep, decimal, best.comment, names, start, best.header, best.late)


def not_utf8(wanted: Wanted) -> ValueError:
    """The error that a file is in another encoding."""
    return wanted.refusal(
        "cannot be read: is no utf-8 text; write it anew in utf-8, for example with: iconv -f latin1 -t utf-8"
    )


def _late(found: Sequence[Record], lines: Sequence[bytes], sep: str) -> bool:
    """Whether quotes follow blanks that follow separators, in records that were read as if quotes began fields.

    Of the lines alone it cannot be told, since a field in quotes may hold a separator, a blank and a quote; of the
    records alone neither, since it may begin with a blank and a quote.
    """
    fields = (field for record in found for field in record.fields)
    if sep == BLANKS or not any(field[:1] in (" ", "\t") and field.lstrip(" \t").startswith('"') for field in fields):
        return False
    begun = re.compile(rb"(?:^|" + re.escape(sep.encode()) + rb')[ \t]+"')
    return any(begun.search(line) for line in lines)


def _ways(lines: Sequence[bytes], cut: bool, wanted: Wanted, rows: int) -> list[_Way]:
    begins = {line.decode("utf-8", "replace").lstrip(" \t\ufeff")[:1] for line in lines}
    comments = [None, *(sign for sign in COMMENTS if sign in begins)] if wanted.comment is None else [wanted.comment]
    seps = SEPARATORS if wanted.sep is None else (wanted.sep,)
    ways = []
    size = sum(map(len, lines))
    limit = rows + (not _by_place(wanted))
    for comment in comments:
        for sep in seps:
            try:
                tails = wanted.comment is not None
                found = list(islice(records(lines, sep, comment, tails), limit))
                if late := _late(found, lines, sep):
                    found = list(islice(records(lines, sep, comment, tails, late), limit))
            except csv.Error:
                continue
            if cut and len(found) > 1 and found[-1].end >= size:
                found.pop()  # it may go on
            if found:
                ways.append(_way(sep, comment, late, found, wanted))
    return ways


def _way(sep: str, comment: str | None, late: bool, found: list[Record], wanted: Wanted) -> _Way:
    first = tuple(found[0].fields)
    named = all(places(first, name) for name in wanted.names)
    by_place = not named and _by_place(wanted) and all(int(name[1:]) < len(first) for name in wanted.names)
    body = [record.fields for record in found[not by_place :]]
    widths = {len(fields) for fields in body}
    allowed = {len(first), len(first) + (not by_place and _one_more(sep, body))}
    even = len(first) > 1 and len(widths) <= 1 and widths <= allowed
    fields = [field.strip() for row in body for field in row if field.strip()]
    # a comma at the end separates rather than begins no decimals
    numbers = sum(
        bool(NUMBER.fullmatch(field) or (field[-1] != "," and COMMA_NUMBER.fullmatch(field))) for field in fields
    )
    share = numbers / len(fields) if fields else 0.0
    return _Way(sep, comment, late, found, not by_place, named or by_place, even, share)


def _one_more(sep: str, body: list[list[str]]) -> bool:
    """Whether rows may have a field more than there are names: the row's name before them, or nothing after them.

    Where commas separate, a number in front is none: a comma in it may be another one, between decimals or thousands.
    """
    ended = all(not row[-1].strip() for row in body)
    return sep != "," or ended or not all(NUMBER.fullmatch(row[0].strip()) for row in body)


def _by_place(wanted: Wanted) -> bool:
    """Whether the columns are named by their places."""
    return all(_BY_PLACE.fullmatch(name) for name in wanted.names)


def _refuse_doubt(best: _Way, whole: Sequence[_Way], wanted: Wanted) -> None:
    """Raise ValueError where another separator does as well and gives other fields."""
    for way in whole:
        if way.comment == best.comment and way.share >= best.share and _bare(way) != _bare(best):
            one, other = (f"data.sep={WORDS.get(sep) or repr(sep)}" for sep in (best.sep, way.sep))
            raise wanted.refusal(f'its fields may be separated in two ways: say which, with "{one}" or "{other}"')


def _bare(way: _Way) -> list[list[str]]:
    return [[field.strip() for field in row] for row in way.body]


def _refuse_numbers_as_names(best: _Way, wanted: Wanted) -> None:
    """Raise ValueError where the first line may be data though the columns named are in it."""
    names = [name.strip() for name in best.first]
    given = [name for name in names if name]
    if not best.header or not all(NUMBER.fullmatch(name) for name in given):
        return
    counted = all(name.isdecimal() for name in given) and len(given) < 1000
    first = int(given[0]) if counted else 0
    counted = counted and [str(first + i) for i in range(len(given))] == given
    if not counted or (first != 0 and len(given) < 3):
        raise wanted.refusal(
            f"its first line holds numbers only, {_start_of(names)}: if it is data, call the columns f0 …"
            f" f{len(names) - 1}, as in data.target=f{len(names) - 1}; if not, name them in words"
        )


def looks_like_data(names: Sequence[str]) -> bool:
    """Whether a line that was taken for the names of columns may be a row."""
    return any(NUMBER.fullmatch(name.strip()) for name in names)


def _start_of(names: Sequence[str]) -> str:
    return one_line(", ".join(names[:5])) + (", …" if len(names) > 5 else "")


def _names(best: _Way) -> tuple[str, ...]:
    first, body = tuple(best.first), best.body
    if not best.header:
        return tuple(f"f{i}" for i in range(len(first)))
    if best.even and body and len(body[0]) == len(first) + 1:
        # a separator ends each row, or the first column has the names of the rows (as R writes it)
        return (*first, "") if all(row[-1].strip() == "" for row in body) else ("", *first)
    return first


def _decimal(best: _Way, used: Sequence[int], wanted: Wanted) -> str:
    """The decimal sign of the numbers in the columns that are used."""
    fields = [row[i].strip() for row in best.body for i in used if i < len(row)]
    if long := next(filter(_HEXADECIMAL.fullmatch, fields), None):
        raise wanted.refusal(f"holds {long}; write long hexadecimal numbers in decimals")
    commas = [field for field in fields if COMMA_NUMBER.fullmatch(field)]
    if wanted.decimal is not None:
        return wanted.decimal
    if not commas or any("." in field and NUMBER.fullmatch(field) for field in fields):
        return "."
    if all(_THOUSANDS.fullmatch(field) for field in commas):
        meant = commas[0].replace(",", ""), commas[0].replace(",", ".")
        raise wanted.refusal(
            f"{commas[0]!r} may mean {meant[0]} or {meant[1]}: say data.decimal=\"','\", or take out the commas between"
            " thousands"
        )
    return ","
