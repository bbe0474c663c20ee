"""The cells of a run in chunks: each has as much work as is worth handing to a worker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from typing import Generic

from gradcheck.experiment.engines.base import J
from gradcheck.experiment.engines.cells import CHUNK_CELLS, differing_in_eps

CHUNK_SECONDS = 0.25  # of work sent to a worker at a time: handing it over takes a few milliseconds
LAST_CELLS = 40  # of the last chunks: fewer cost more than they would wait


class Chunks(Generic[J]):
    """Splits the grid into chunks of about CHUNK_SECONDS of work; cells that differ in eps alone go into one chunk if it
    has room.

    processes : that take chunks.  Of several none should still compute when the others are done, so that the last chunks
    are small.
    """

    def __init__(self, jobs: Iterable[J]) -> None:
        self._left = len(jobs) if isinstance(jobs, Sized) else None
        self._taken = 0
        self._groups = differing_in_eps(jobs)
        self._next: list[J] = []
        self._seconds: float | None = None  # that a cell takes
        self._least = math.inf  # of a chunk
        self._timed = 0
        self.processes = 1
        self.empty = False

    @classmethod
    def of(cls, jobs: Iterable[J] | Chunks[J]) -> Chunks[J]:
        """The jobs in chunks; chunks as they are."""
        return jobs if isinstance(jobs, Chunks) else cls(jobs)

    def expect(self, jobs: Iterable[J]) -> None:
        """Say which jobs there are, with those that were taken, if they can be counted."""
        self._left = len(jobs) - self._taken if isinstance(jobs, Sized) else None

    @property
    def timed(self) -> bool:
        """Whether it is known what a cell takes."""
        return self._seconds is not None

    def short(self, seconds: float) -> bool:
        """Whether a cell takes less, as far as is known: in one chunk at least, since the first ones wait for much."""
        return not self.timed or self._least < seconds

    @property
    def size(self) -> int:
        """How many cells the next chunk has, at most."""
        size = 1 if self._seconds is None else max(1, min(CHUNK_CELLS, int(CHUNK_SECONDS / max(self._seconds, 1e-9))))
        if self.processes > 1 and self._left is not None:
            size = min(size, max(LAST_CELLS, self._left // (3 * self.processes)))
        return size

    def take(self) -> list[list[J]]:
        """The next chunk, in groups; an empty list where no job is left."""
        chunk = self._gathered(self.size)
        count = sum(map(len, chunk))
        self._taken += count
        if self._left is not None:
            self._left -= count
        return chunk

    def _gathered(self, size: int) -> list[list[J]]:
        """A chunk of so many cells, in groups."""
        chunk: list[list[J]] = []
        while group := self._next or next(self._groups, []):
            self._next = group
            if chunk and len(group) > size:
                return chunk
            chunk.append(group[:size])
            self._next = group[size:]
            size -= len(chunk[-1])
            if not size:
                return chunk
        self.empty = not chunk
        return chunk

    def adapt(self, seconds: Sequence[float]) -> None:
        """Size the next chunks by the seconds that the cells of one took."""
        mean, new, old = sum(seconds) / len(seconds), len(seconds), self._timed
        self._least = min(self._least, mean)
        # with the last chunk's, cell by cell: one odd chunk changes little, and the very first cell, which imports, less
        self._seconds = mean if self._seconds is None else (old * self._seconds + new * mean) / (old + new)
        self._timed = new
