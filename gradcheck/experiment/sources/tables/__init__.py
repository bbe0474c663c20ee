"""Tables in files: what is asked of one is `Wanted`, what is taken of it `Chosen`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from gradcheck.experiment.sources.tables import kinds
from gradcheck.experiment.sources.tables.chosen import Chosen
from gradcheck.experiment.sources.tables.chosen import choose as _choose
from gradcheck.experiment.sources.tables.columnar import partition
from gradcheck.experiment.sources.tables.columnar import read as read_columns
from gradcheck.experiment.sources.tables.kinds import lying, parts_of
from gradcheck.experiment.sources.tables.records import BLANKS
from gradcheck.experiment.sources.tables.text import read as read_text
from gradcheck.experiment.sources.tables.wanted import Read, Wanted

__all__ = ["BLANKS", "Chosen", "Wanted", "choose", "lying", "partition", "parts_of", "read"]

_Stamp = tuple[tuple[Path, int, int], ...]


def choose(wanted: Wanted) -> Chosen:
    """The columns and rows of a file that are wanted.

    Raises ValueError, one line that begins with a key, where the file or what it holds cannot be used.
    """
    return _chosen(wanted, _stamp(wanted))


def read(wanted: Wanted) -> Read:
    """The columns of a file that are used.  Raises ValueError, ``data.path=``, where the file cannot be used."""
    return _read(wanted, _stamp(wanted))


def _stamp(wanted: Wanted) -> _Stamp:
    """The files, their modification times and sizes, which tell a changed file from one that was read before."""
    found = []
    try:
        for part in parts_of(wanted.path):
            status = part.stat()
            if not part.is_file():
                raise wanted.refusal("is not a file")
            if status.st_size == 0:
                raise wanted.refusal("the file is empty")
            found.append((part, status.st_mtime_ns, status.st_size))
    except OSError as error:
        raise wanted.refusal(error.strerror or str(error)) from None
    if not found:
        raise wanted.refusal("is a folder in which no file ends in " + ", ".join(kinds.SUFFIXES))
    size = sum(size for _, _, size in found)
    if size > wanted.max_bytes:
        raise wanted.refusal(f"has {size} bytes, more than data.max_bytes={wanted.max_bytes}")
    return tuple(found)


@lru_cache(maxsize=2)  # a sweep reads the same file for every cell
def _chosen(wanted: Wanted, stamp: _Stamp) -> Chosen:
    more = wanted
    while True:
        found = _read(more, stamp)
        chosen = _choose(wanted, found)
        if wanted.n is None or more.n is None or found.complete or len(chosen) >= wanted.n:
            return chosen
        more = replace(more, n=2 * more.n)  # rows that lack a value do not count


def _read(wanted: Wanted, stamp: _Stamp) -> Read:
    parts = [part for part, _, _ in stamp]
    try:
        for part in parts:
            kinds.refuse_others(part, wanted)
        if len(parts) > 1 or parts[0] != wanted.path or kinds.kind_of(parts[0]) != "text":
            return read_columns(wanted, parts)
        return read_text(wanted, kinds.compression_of(parts[0]))
    except OSError as error:
        raise wanted.refusal(error.strerror or str(error)) from None
