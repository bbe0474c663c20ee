"""Tables and text for a terminal: plain, or with rich where it is installed and somebody looks."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TextIO

from gradcheck.errors import BadInput
from gradcheck.printable import printable, printable_lines
from gradcheck.uris import HIDDEN, is_uri


@dataclass(frozen=True)
class Table:
    """Rows of values under a title; numbers are shown short, on the right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    left: frozenset[str] = field(default_factory=frozenset)  # columns of text, on the left


def say(text: str) -> None:
    """Print text of several lines; nothing in it acts on the terminal."""
    print(printable_lines(text))


class Harmless:
    """A stream for other people's text: nothing in it acts on the terminal but tabs and ends of lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(printable_lines(text))
        return len(text)


class Parser(argparse.ArgumentParser):
    """The arguments of a command.  An error is one line, and nothing in it acts on the terminal."""

    def error(self, message: str) -> NoReturn:
        if is_uri(message):  # hide all of it: a secret may hold blanks, so that nobody knows where the URI ends
            message = f"{message.partition('://')[0]}://{HIDDEN}"
        self.exit(2, f"gradcheck: {printable(message)}; see {self.prog} --help\n")


def short(value: object) -> str:
    """A value in a table: 2.3e-09, 0.25, 12, -, or text as it is."""
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


def laid_out(table: Table) -> list[list[str]]:
    """The cells of header and rows as text, each as wide as its column.

    A line that is longer than the screen loses its end: put last what may be lost.
    """
    shown = [list(table.header), *([short(value) for value in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    left = [name in table.left for name in table.header]
    places = list(zip(widths, left, strict=True))
    return [
        [c.ljust(w) if on_left else c.rjust(w) for c, (w, on_left) in zip(row, places, strict=True)] for row in shown
    ]


def plain(table: Table, width: int = 10_000) -> str:
    """The table as text, columns two spaces apart, no line longer than `width`."""
    lines = [cut(table.title, width)] if table.title else []
    lines += [cut((" " + "  ".join(row)).rstrip(), width) for row in laid_out(table)]
    if table.note:
        lines.append(cut(f" {table.note}", width))
    return "\n".join(lines)


def size(stream: TextIO) -> tuple[int, int]:
    """(columns, lines) of the terminal; a file or a pipe takes 24 lines of any length."""
    if not stream.isatty():
        return 100_000, 24
    found = shutil.get_terminal_size()
    return max(40, found.columns), max(12, found.lines)


def wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show(tables: Sequence[Table | str], stream: TextIO | None = None) -> None:
    """Print tables and lines of text, with rich on a terminal where it is installed."""
    stream = sys.stdout if stream is None else stream
    columns, _ = size(stream)
    if wants_colour(stream):
        try:
            _show_rich(tables, stream, columns)
            return
        except ImportError:
            pass
    for item in tables:
        text = (
            "\n".join(cut(line, columns) for line in item.splitlines())
            if isinstance(item, str)
            else plain(item, columns)
        )
        print(_encodable(printable_lines(text), stream), file=stream)


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


_COLOURS = {
    "match": "green",
    "mismatch": "bold red",
    "failed": "bold red",
    "inconclusive": "yellow",
    "nondifferentiable": "yellow",
}


def _show_rich(tables: Sequence[Table | str], stream: TextIO, columns: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, width=columns, highlight=False, markup=False, emoji=False)

    def line(text: Text) -> None:
        text.plain = printable(text.plain)
        text.rstrip()
        text.truncate(columns, overflow="ellipsis")
        console.print(text, no_wrap=True, crop=True)

    for item in tables:
        if isinstance(item, str):
            for words in item.splitlines():
                line(Text(words, style=_COLOURS.get(words.partition(" ")[0].lower(), "")))
            continue
        if item.title:
            line(Text(item.title, style="bold"))
        header, *rows = laid_out(item)
        line(Text(" " + "  ".join(header), style="dim"))
        for row in rows:
            cells = [Text(f" {row[0]}"), *(Text(cell, style=_COLOURS.get(cell.strip(), "")) for cell in row[1:])]
            line(Text("  ").join(cells))
        if item.note:
            line(Text(f" {item.note}", style="dim"))


def status_of(act: Callable[[], int]) -> int:
    """The exit status of what a command does.

    Its own; 2 after one line for bad input; that of ``unprinted`` for output that cannot be written; 130 after Ctrl-C.
    """
    try:
        status = act()
        sys.stdout.flush()
        return status
    except BadInput as error:
        print(f"gradcheck: {printable(error)}", file=sys.stderr)
        return 2
    except MemoryError:
        return out_of_memory()
    except OSError as error:
        return unprinted(error)
    except KeyboardInterrupt:
        return 130


def out_of_memory() -> int:
    """The exit status of a command that needs more memory than it gets."""
    print("gradcheck: this takes more memory than there is; what is stored is intact", file=sys.stderr)
    return 1


def unprinted(error: OSError) -> int:
    """The exit status of a command whose output cannot be written: 0 where the reader (head, less) has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try again at the end
    if isinstance(error, BrokenPipeError):
        return 0
    place = f"{error.filename}: " if error.filename else "the output cannot be written: "
    print(f"gradcheck: {printable(place)}{error.strerror or error}", file=sys.stderr)
    return 1
