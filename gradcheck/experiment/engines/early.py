"""Processes that start while a large grid is still planned, and compute its first cells meanwhile.

Nothing of what they find is seen before the plan is complete: a grid that is refused at its last cell leaves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from types import TracebackType
from typing import Generic, TypeAlias

from gradcheck.experiment.config.identity import has_sources
from gradcheck.experiment.engines import forked
from gradcheck.experiment.engines.base import EngineSettings, J, Pool, Timed
from gradcheck.experiment.engines.cells import CHUNK_CELLS
from gradcheck.experiment.engines.chunks import Chunks
from gradcheck.experiment.engines.cores import n_processes
from gradcheck.experiment.engines.forked import Forked
from gradcheck.experiment.engines.workers import Processes

FEW = 4  # processes of which the one that plans can be one: it stores, and computes as well
SHORT_SECONDS = 0.01  # a cell that takes less does not keep that one from storing what the others have computed
MANY_FORKED = 400  # planned cells that are worth a fork, which takes as long as a hundred of them
MANY_CELLS = 2000  # planned cells that are worth a new interpreter
LOOK_CELLS = 20  # planned cells between two looks at what the processes have done: they take a millisecond
AHEAD = 2  # chunks for each process
MOST_CHUNKS = 16  # whose outcomes wait until the plan is complete: some 10 MB, of grids of any size

# The chunks that are computed, and their cells.
Running: TypeAlias = dict[Future[list[Timed]], list[J]]


class _Planned(Iterator[J]):
    """The cells of a plan that grows, then those of the whole plan that were not seen before."""

    def __init__(self) -> None:
        self.waiting: deque[J] = deque()
        self.rest: Iterator[J] | None = None

    def __next__(self) -> J:
        if self.waiting:
            return self.waiting.popleft()
        assert self.rest is not None, "who asks knows how many there are"
        return next(self.rest)


class Early(Generic[J]):
    """The processes with which ``engine=auto`` helps itself, and those of ``engine=loky``.

    settings : of the run.   alone : nothing else is done in this process, so that it may be forked.
    skipped : those of the cells that were seen which are not to be computed.
    beside : whether the process that plans is to be one of those that compute.

    Leaving the ``with`` block ends the processes, if nobody has taken them.
    """

    def __init__(self, engine: str, settings: EngineSettings, alone: bool) -> None:
        # with a time limit a chunk must come back in time, whatever the plan does
        self._open = engine in ("auto", "loky") and settings.n_jobs != 0 and settings.timeout is None
        self._settings = settings
        self._auto, self.beside = engine == "auto", False
        self._forks = alone and forked.possible()
        self._pool: Pool | None = None
        self._seen = 0
        self._source: _Planned[J] = _Planned()
        self._chunks: Chunks[J] = Chunks(self._source)
        self._running: Running[J] = {}
        self.skipped: list[J] = []
        self._new: list[Future[list[Timed]]] = []  # of the running ones, those whose seconds are not known yet

    def __enter__(self) -> Early[J]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.end()

    @property
    def started(self) -> bool:
        """Whether there are processes that nobody has taken."""
        return self._pool is not None

    def planned(self, job: J) -> None:
        """Take notice of the next cell of the plan."""
        if not self._open:
            return
        # files and somebody's functions are touched when the plan is complete
        if isinstance(job.config, dict) and has_sources(job.config):
            self._open = False
            return
        self._seen += 1
        self._source.waiting.append(job)
        if self._seen % LOOK_CELLS == 0:
            self._look()

    def _look(self) -> None:
        if self._pool is None:
            if self._seen < (MANY_FORKED if self._forks else MANY_CELLS):
                return
            self._pool = self._begun()
        for future in [future for future in self._new if future.done()]:
            self._new.remove(future)
            if future.exception() is not None:
                self._open = False
            else:
                self._chunks.adapt([seconds for _, seconds in future.result()])
        self._open = self._open and self._pool is not None and self._still_short()
        while self._pool is not None and self._open and len(self._new) < AHEAD * self._pool.workers:
            if len(self._source.waiting) <= self._chunks.size + CHUNK_CELLS:  # the last group may go on
                return
            self._hand_over(self._pool)

    def _still_short(self) -> bool:
        """Whether cells take little, or it is not known yet: the first one waits for what it is the first to need."""
        return self._chunks.short(SHORT_SECONDS) or len(self._running) <= AHEAD

    def _begun(self) -> Pool | None:
        """As many processes as there are to be, with this one or without; None where there are none."""
        n = n_processes(self._settings.n_jobs)
        self.beside = self._auto and n <= FEW
        others = n - self.beside
        if not others:
            return None
        self._chunks.processes = n
        return Forked(others, self._settings) if self._forks else Processes(others, self._settings)

    def _hand_over(self, pool: Pool) -> None:
        chunk = self._chunks.take()
        self.skipped += [group[0] for group in chunk if group[0].skip is not None]
        if chunk := [group for group in chunk if group[0].skip is None]:
            try:
                future = pool.submit(chunk)
            except RuntimeError as error:  # a process ended since the last look
                future = Future()
                future.set_exception(error)
            self._running[future] = list(chain.from_iterable(chunk))
            self._new.append(future)
        self._open = len(self._running) < MOST_CHUNKS

    def left(self, jobs: Iterable[J]) -> Chunks[J]:
        """The cells of the complete plan that were not handed over."""
        self._source.rest = islice(jobs, self._seen, None)
        self._chunks.expect(jobs)
        return self._chunks

    def taken(self) -> tuple[Pool, Running[J]]:
        """The processes and what they compute; the caller ends them."""
        assert self._pool is not None
        pool, self._pool = self._pool, None
        return pool, self._running
