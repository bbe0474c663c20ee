"""Processes that start while a large grid is still planned: they are up when there is work for them."""

from __future__ import annotations

from types import TracebackType

from gradcheck.experiment.engines.base import EngineSettings
from gradcheck.experiment.engines.workers import Processes, n_processes


class Early:
    """The processes with which ``engine=auto`` helps itself, if they are asked for.

    n_jobs : of the run; the process that plans is one of them.

    Leaving the ``with`` block ends those that nobody took.
    """

    def __init__(self, engine: str, n_jobs: int | None) -> None:
        self._wanted = engine == "auto" and n_jobs != 0
        self._n_jobs = n_jobs
        self._pool: Processes | None = None

    def __enter__(self) -> Early:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (pool := self.taken()) is not None:
            pool.end()

    def begin(self) -> None:
        """Start them, if there is a core for one, and do not wait."""
        others = n_processes(self._n_jobs) - 1 if self._wanted and self._pool is None else 0
        if others > 0:
            self._pool = Processes(others, EngineSettings())
            self._pool.warm()

    @property
    def started(self) -> bool:
        """Whether there are any."""
        return self._pool is not None

    def taken(self) -> Processes | None:
        """What was started; the caller ends it."""
        pool, self._pool = self._pool, None
        return pool
