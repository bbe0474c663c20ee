"""The records of a text table, one by one, with the bytes at which they begin and end."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLANKS = " "  # as a separator: any number of blanks and tabs
BYTE_ORDER = "\ufeff"


class Record(NamedTuple):
    """The fields of a record, and the bytes at which it begins and ends."""

    fields: list[str]
    begin: int
    end: int


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of blocks of bytes, with their ends, which are those of Unix, Windows or the old Macintosh."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        if rest.endswith(b"\n"):
            lines, rest = [*lines, rest], b""
        yield from lines
    if rest:
        yield rest


def records(
    lines: Iterable[bytes], sep: str, comment: str | None, tails: bool = False, late: bool = False
) -> Iterator[Record]:
    """The records of some lines, without those that are empty or a comment.

    comment : the sign with which a comment begins.
    tails : whether a comment may follow the fields of a line.
    late : whether a quoted field may begin after blanks.

    Raises csv.Error for a field of more than 131072 characters.
    """
    begin = end = 0
    fresh = True

    def texts() -> Iterator[str]:
        nonlocal begin, end, fresh
        for line in lines:
            first, end = end, end + len(line)
            text = line.decode("utf-8", "surrogateescape")
            if first == 0 and text.startswith(BYTE_ORDER):
                first, text = len(BYTE_ORDER.encode()), text[1:]
            if comment is not None:
                if text.lstrip(" \t").startswith(comment):
                    continue
                text = without_tail(text, comment) if tails else text
            if sep == BLANKS:
                text = text.replace("\t", " ").strip()
            if fresh:
                begin, fresh = first, False
            yield text

    for fields in csv.reader(texts(), delimiter=sep, skipinitialspace=late or sep == BLANKS):
        if fields:
            yield Record(fields, begin, end)
        fresh = True


def without_tail(text: str, comment: str) -> str:
    """A line without the comment that ends it, if one does: the sign counts outside quotes."""
    sign = re.escape(comment)
    found = re.match(rf'((?:[^"{sign}]|"(?:[^"]|"")*")*){sign}', text)
    return found[1].rstrip(" \t") if found else text
