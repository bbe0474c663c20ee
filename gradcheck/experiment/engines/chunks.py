"""The cells of a run in chunks: each has as much work as is worth handing to a worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic

from gradcheck.experiment.engines.base import J
from gradcheck.experiment.engines.cells import CHUNK_CELLS, differing_in_eps

CHUNK_SECONDS = 0.25  # of work sent to a worker at a time: handing it over takes a few milliseconds


class Chunks(Generic[J]):
    """Splits the grid into chunks of about CHUNK_SECONDS of work; cells that differ in eps alone go into one chunk if it
    has room.
    """

    def __init__(self, jobs: Iterable[J]) -> None:
        self._groups = differing_in_eps(jobs)
        self._next: list[J] = []
        self._seconds: float | None = None
        self.empty = False

    @classmethod
    def of(cls, jobs: Iterable[J] | Chunks[J]) -> Chunks[J]:
        """The jobs in chunks; chunks as they are."""
        return jobs if isinstance(jobs, Chunks) else cls(jobs)

    def take(self) -> list[list[J]]:
        """The next chunk, in groups; an empty list where no job is left."""
        size = 1 if self._seconds is None else max(1, min(CHUNK_CELLS, int(CHUNK_SECONDS / max(self._seconds, 1e-9))))
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
        mean = sum(seconds) / len(seconds)
        # half new, half old: one odd chunk changes little
        self._seconds = mean if self._seconds is None else (self._seconds + mean) / 2
