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
SPLIT = 2  # tables that stand below each other: a wider one is shown row by row
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

    left : columns of text, on the left.   keys : how many of the first columns say what a row is; they are repeated where a
    table is wider than the screen, so that its other columns stand below.   named : whether the first name of the header is
    a title: then all columns are of one kind.   gap : blanks between two columns.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    left: frozenset[str] = field(default_factory=frozenset)
    keys: int = 1
    named: bool = False
    gap: int = GAP


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
    some = list(_beside(block, width))
    if block.named and len(some) > 1:  # its numbers are short: rather close together than apart
        close = list(_beside(replace(block, gap=1), width))
        some = close if len(close) < len(some) else some
    if len(block.rows) and not block.named and (len(some) > SPLIT or not all(_fits(one, width) for one in some)):
        yield from _stacked(block, width, paint)
    else:
        for one in some:
            yield from _rows(one, width, paint)
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
    least = [_narrowest(*column, of_text=column[0] in table.left) for column in columns]
    keys, k = list(range(table.keys)), table.keys
    while k < len(columns) or k == table.keys:
        here = [*keys]
        while k < len(columns) and (len(here) == len(keys) or _sum((least[i] for i in [*here, k]), table.gap) <= width):
            here.append(k)
            k += 1
        yield replace(table, header=[columns[i][0] for i in here], rows=[[row[i] for i in here] for row in table.rows])
        if k >= len(columns):
            return


def _stacked(table: Table, width: int, paint: Paint) -> Iterator[str]:
    """Row by row: a line of its first columns, and below it the name and the value of each other one that it has."""
    for row in table.rows:
        items = list(zip(table.header, row, strict=True))
        yield from _flowing(items[: table.keys], 1, width, paint, TITLE)
        known = [(name, value) for name, value in items[table.keys :] if value is not None]
        yield from _flowing(known, 3, width, paint)


def _flowing(
    items: Sequence[tuple[str, object]], indent: int, width: int, paint: Paint, all_of: str = ""
) -> Iterator[str]:
    """Names and values one after the other, as many as fit on each line; a longer one has lines of its own."""
    line, length = "", 0
    for name, value in items:
        text = short(value)
        one = f"{short(name)}: {text}"
        meaning = all_of or _meaning(value, text)
        if length and length + GAP + len(one) > width:
            yield line
            line, length = "", 0
        if indent + len(one) > width:
            for part in _wrap(" " * indent + one, width, " " * min(indent + 2, width // 2)):
                yield paint(part, meaning) if meaning else part
            continue
        shown = paint(one, meaning) if meaning else one
        line, length = (
            (f"{line}{' ' * GAP}{shown}", length + GAP + len(one))
            if length
            else (" " * indent + shown, indent + len(one))
        )
    if length:
        yield line


def _fits(table: Table, width: int) -> bool:
    """Whether the columns fit without a word being broken."""
    if width >= UNLIMITED or len(table.header) == 1:
        return True
    columns = zip(table.header, *table.rows, strict=True)
    return _sum((_narrowest(*column, of_text=column[0] in table.left) for column in columns), table.gap) <= width


def _sum(widths: Iterator[int], gap: int) -> int:
    return 1 - gap + sum(width + gap for width in widths)


def _narrowest(name: str, *values: object, of_text: bool) -> int:
    """The width that a column needs: that of its values, of text that of its words; and that of the words of its name."""
    texts = list(map(short, values))
    natural, named = max(map(len, texts), default=0), _longest_word(short(name))
    if not of_text or natural <= LEAST:
        return max(natural, named)
    return max(LEAST, min(WORD, max(named, *map(_longest_word, texts))))


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _widths(table: Table, width: int) -> list[int]:
    """The width of each column: where all do not fit, the widest columns of text give way, as far as they can."""
    widths = [len(name) for name in table.header]
    for row in table.rows:
        widths = [max(w, len(short(value))) for w, value in zip(widths, row, strict=True)]
    if _sum(iter(widths), table.gap) <= width:
        return widths
    columns = list(zip(table.header, *table.rows, strict=True))
    least = [_narrowest(*column, of_text=column[0] in table.left) for column in columns]
    excess = _sum(iter(widths), table.gap) - width
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
        if row is names:  # they stand right above their columns
            cells = [[""] * (max(map(len, cells)) - len(cell)) + cell for cell in cells]
        meanings = [_meaning(value, text) for value, text in zip(row, texts, strict=True)]
        for k in range(max(map(len, cells), default=0)):
            parts = [cell[k] if k < len(cell) else "" for cell in cells]
            padded = [
                part.ljust(w) if on_left else part.rjust(w)
                for part, w, on_left in zip(parts, widths, left, strict=True)
            ]
            line = (" " * table.gap).join(padded).rstrip()
            yield " " + _painted(line, padded, meanings, table.gap, paint)


def _meaning(value: object, text: str) -> str:
    return value.meaning if isinstance(value, Told) else MEANINGS.get(text, "")


def _painted(line: str, padded: Sequence[str], meanings: Sequence[str], gap: int, paint: Paint) -> str:
    """The line with its parts painted; blanks at its end are not there."""
    if not any(meanings):
        return line
    parts, start = [], 0
    for text, meaning in zip(padded, meanings, strict=True):
        part = line[start : start + len(text)]
        parts.append(paint(part, meaning) if meaning and part.strip() else part)
        parts.append(line[start + len(text) : start + len(text) + gap])
        start += len(text) + gap
    return "".join(parts)
