"""What a terminal shows: its size and colours, text in which nothing acts on it, the end of a command."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from gradcheck.errors import BadInput
from gradcheck.printable import printable, printable_lines
from gradcheck.uris import HIDDEN, is_uri
from gradcheck.views import layout
from gradcheck.views.layout import Table


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


def size(stream: TextIO) -> tuple[int, int]:
    """(columns, lines) of the terminal; a file or a pipe takes 24 lines of any length."""
    if not stream.isatty():
        return layout.UNLIMITED, 24
    found = shutil.get_terminal_size()
    return max(40, found.columns), max(12, found.lines)


def wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show(blocks: Sequence[Table | str], stream: TextIO | None = None) -> None:
    """Print tables and lines of text: wrapped to a terminal's width, in colours where it has them; else as they are."""
    stream = sys.stdout if stream is None else stream
    width, _ = size(stream)
    paint = painted if wants_colour(stream) else layout.unpainted
    for block in blocks:
        for line in layout.lines(block, width, _harmless(paint)):
            print(_encodable(line, stream), file=stream)


def painted(text: str, meaning: str) -> str:
    """The text in the colour of what it means."""
    return f"\x1b[{_COLOURS[meaning]}m{text}\x1b[0m" if meaning in _COLOURS else text


def _harmless(paint: layout.Paint) -> layout.Paint:
    """Paint text in which nothing acts on the terminal but our own colours."""
    return lambda text, meaning: paint(printable(text), meaning)


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


# Select graphic rendition: bold, faint, red, green, yellow.
_COLOURS = {layout.GOOD: "32", layout.BAD: "1;31", layout.OPEN: "33", layout.TITLE: "1", layout.FAINT: "2"}


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
