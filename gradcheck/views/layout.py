"""Tables and text as lines no longer than a screen is wide; what does not fit is wrapped, nothing is dropped."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

from gradcheck.printable import printable, printable_lines

UNLIMITED = 100_000  # characters: the width of a file or a pipe
GAP = 2  # blanks between two columns
LEAST = 16  # characters to which a column of text is made narrower, but for a longer word
WORD = 32  # characters of a word that is not broken where a table is too wide
# What a text means, which a terminal shows by its colour.
GOOD, BAD, OPEN, TITLE, FAINT = "good", "bad", "open", "title", "faint"
MEANINGS = {
    "match": GOOD,
    "mismatch": BAD,
    "failed": BAD,
    "changed": BAD,
    "partial": OPEN,
    "inconclusive": OPEN,
    "nondifferentiable": OPEN,
    "unfinished": OPEN,
}
# Lines that begin so are commands and paths to copy: no line break of ours stands in them.
_COPIED = ("saved", "look", "page", "break", "resume")
Paint = Callable[[str, str], str]  # a text, and what it means


class Title(str):
    """A text that stands above others."""


class Told(NamedTuple):
    """A text in a table with a meaning that its words do not show."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """Rows of values under a title; numbers are shown short, on the right.

    left : columns of text, on the left.   keys : how many of the first columns are repeated where a table is wider than
    the screen, so that its other columns stand below each other.   named : whether the first name of the header is a title.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    left: frozenset[str] = field(default_factory=frozenset)
    keys: int = 1
    named: bool = False


def short(value: object) -> str:
    """A value in a table: 2.3e-09, 0.25, 12, -, or text as it is."""
    if isinstance(value, Told):
        return printable(value.text)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == 0 or math.isinf(value):
            return f"{value:g}"
        return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"
    return printable(value)


def cut(text: str, width: int) -> str:
    """Text of at most `width` characters; an ellipsis stands for what was cut off."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def unpainted(text: str, meaning: str) -> str:
    """The text alone: for files, pipes, and who wants no colours."""
    return text


def lines(block: Table | str, width: int, paint: Paint = unpainted) -> Iterator[str]:
    """The lines of a table or a text, none longer than `width`."""
    if isinstance(block, str):
        for line in printable_lines(block).splitlines():
            meaning = TITLE if isinstance(block, Title) else MEANINGS.get(line.partition(" ")[0].lower(), "")
            yield from (paint(one, meaning) for one in wrapped(line, width))
        return
    yield from (paint(one, TITLE) for one in wrapped(block.title, width) if one)
    for some in _beside(block, width):
        yield from _rows(some, width, paint)
    yield from (paint(f" {one}", FAINT) for one in wrapped(block.note, width - 1) if one)


def wrapped(line: str, width: int) -> list[str]:
    """A line of text as lines that fit; those after the first are indented to where its own text begins."""
    if len(line) <= width or line.startswith(_COPIED):
        return [line]
    indent = len(line) - len(line.lstrip())
    first, gap, _ = line[indent:].partition("  ")
    indent += len(first) + 2 if gap and len(first) <= 13 else 2
    return _wrap(line, width, " " * min(indent, width // 2))


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        max(1, width),
        subsequent_indent=indent,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]


def plain(table: Table, width: int = UNLIMITED) -> str:
    """The table as text, columns two spaces apart."""
    return "\n".join(lines(table, width))


def _beside(table: Table, width: int) -> Iterator[Table]:
    """The table, or as many that stand below each other as its columns need; each repeats the first columns."""
    if width >= UNLIMITED:
        yield table
        return
    columns = list(zip(table.header, *([*row] for row in table.rows), strict=True))
    least = [_narrowest(column, column[0] in table.left) for column in columns]
    keys, k = list(range(table.keys)), table.keys
    while k < len(columns) or k == table.keys:
        here = [*keys]
        while k < len(columns) and (len(here) == len(keys) or _sum(least[i] for i in [*here, k]) <= width):
            here.append(k)
            k += 1
        yield replace(table, header=[columns[i][0] for i in here], rows=[[row[i] for i in here] for row in table.rows])
        if k >= len(columns):
            return


def _sum(widths: Iterator[int]) -> int:
    return 1 - GAP + sum(width + GAP for width in widths)


def _narrowest(column: Sequence[object], of_text: bool) -> int:
    """The width that a column needs: that of its values, of text that of its words."""
    texts = list(map(short, column))
    natural = max(map(len, texts))
    if not of_text or natural <= LEAST:
        return natural
    return max(LEAST, min(WORD, max(len(word) for text in texts for word in text.split())))


def _widths(table: Table, width: int) -> list[int]:
    """The width of each column: where all do not fit, the widest columns of text give way, as far as they can."""
    widths = [len(name) for name in table.header]
    for row in table.rows:
        widths = [max(w, len(short(value))) for w, value in zip(widths, row, strict=True)]
    if _sum(iter(widths)) <= width:
        return widths
    columns = list(zip(table.header, *table.rows, strict=True))
    least = [_narrowest(column, name in table.left) for name, column in zip(table.header, columns, strict=True)]
    excess = _sum(iter(widths)) - width
    while excess > 0:
        most = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        if widths[most] <= least[most]:  # not one of them can: words are broken
            least = [1] * len(widths)
            continue
        if widths[most] == 1:
            break
        widths[most] -= 1
        excess -= 1
    return widths


def _rows(table: Table, width: int, paint: Paint) -> Iterator[str]:
    widths = _widths(table, width)
    left = [name in table.left for name in table.header]
    # a table may have a million rows: their texts are made twice, and not held
    names = [Told(name, TITLE if table.named and not i else FAINT) for i, name in enumerate(table.header)]
    for row in chain([names], table.rows):
        texts = [short(value) for value in row]
        cells = [_wrap(text, w) if len(text) > w else [text] for text, w in zip(texts, widths, strict=True)]
        meanings = [_meaning(value, text) for value, text in zip(row, texts, strict=True)]
        for k in range(max(map(len, cells), default=0)):
            parts = [cell[k] if k < len(cell) else "" for cell in cells]
            padded = [
                part.ljust(w) if on_left else part.rjust(w)
                for part, w, on_left in zip(parts, widths, left, strict=True)
            ]
            line = "  ".join(padded).rstrip()
            yield " " + _painted(line, padded, meanings, paint)


def _meaning(value: object, text: str) -> str:
    return value.meaning if isinstance(value, Told) else MEANINGS.get(text, "")


def _painted(line: str, padded: Sequence[str], meanings: Sequence[str], paint: Paint) -> str:
    """The line with its parts painted; blanks at its end are not there."""
    if not any(meanings):
        return line
    parts, start = [], 0
    for text, meaning in zip(padded, meanings, strict=True):
        part = line[start : start + len(text)]
        parts.append(paint(part, meaning) if meaning and part.strip() else part)
        parts.append(line[start + len(text) : start + len(text) + GAP])
        start += len(text) + GAP
    return "".join(parts)
