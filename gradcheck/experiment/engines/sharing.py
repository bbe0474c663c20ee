"""Cells shared out among processes that may die."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import chain
from typing import TypeAlias

from gradcheck.experiment.config.form import is_function
from gradcheck.experiment.engines.base import (
    CellFailed,
    EngineLost,
    EngineSettings,
    J,
    Job,
    Outcome,
    Pool,
    Stream,
    Timed,
    WorkerDied,
    timed_out,
)
from gradcheck.experiment.engines.cells import message, outcome_or_skip, outcomes_of_chunk
from gradcheck.experiment.engines.chunks import Chunks
from gradcheck.experiment.engines.cores import n_processes

START_SECONDS = 60.0  # processes are up after one or two, on a busy machine later
LOOK_SECONDS = 2.0  # between two looks at whether there is still somebody who computes
GRACE_SECONDS = 5.0  # between the alarm in a process and giving it up

# The chunks that are computed: their cells, and when they must be back.
_Running: TypeAlias = dict[Future[list[Timed]], tuple[list[J], float]]


def share(
    jobs: Iterable[J] | Chunks[J],
    settings: EngineSettings,
    open_pool: Callable[[int], Pool],
    pool: Pool | None = None,
    here: bool = False,
    begun: Mapping[Future[list[Timed]], list[J]] | None = None,
) -> Stream[J]:
    """Share cells out among processes.

    pool : of the first ones, if they have been started.   begun : what these compute already, and for which cells.
    here : this process is one of them, and computes while no other has finished: for cells that take a moment.

    A chunk that is lost with its process is computed again, cell by cell, with nothing beside it: the one that ends its
    process while it is alone has failed; the other cells have their outcomes.
    """
    left = Chunks.of(jobs)
    left.processes = n_processes(settings.n_jobs)
    running: _Running[J] = {future: (jobs, math.inf) for future, jobs in (begun or {}).items()}
    while True:
        lost: list[list[J]] = []
        stuck = False
        pool = pool or open_pool(left.processes - here)
        try:
            stuck = yield from _drain(pool, left, lost, settings, here, running)
        finally:
            pool.end(stuck)
            pool = None
        if not lost:
            return
        yield from _apart(lost, settings, open_pool)


def _patience(chunk: Sequence[Job], settings: EngineSettings) -> float:
    """Seconds after which a chunk must be back if each cell keeps its time limit, in processes that are up."""
    return math.inf if settings.timeout is None else GRACE_SECONDS + len(chunk) * (settings.timeout + 1.0)


def _drain(
    pool: Pool, left: Chunks[J], lost: list[list[J]], settings: EngineSettings, here: bool, running: _Running[J]
) -> Generator[tuple[J, Outcome, float], None, bool]:
    """Yield what the pool computes until all is done or a chunk is lost; unfinished chunks are then in `lost`.

    running : what it computes already; nothing when the iteration ends.

    Returns whether some of it is stuck, so that not even an alarm wakes it.
    """

    def hand_over(chunk: list[list[J]]) -> Stream[J]:
        """Submit a chunk, and yield those of its cells that are skipped."""
        yield from ((group[0], *outcome_or_skip(group[0], settings)) for group in chunk if group[0].skip is not None)
        if chunk := [group for group in chunk if group[0].skip is None]:
            jobs = list(chain.from_iterable(chunk))
            try:
                running[pool.submit(chunk)] = jobs, time.monotonic() + START_SECONDS + _patience(jobs, settings)
            except EngineLost:
                raise
            except RuntimeError:  # the pool broke since the last look
                lost.append(jobs)

    ahead = 1 if settings.timeout is not None else 2  # with a time limit a chunk must not wait behind another
    while True:
        room = ahead * pool.workers  # asked each time: where nobody is left, what still runs never comes back
        while not lost and len(running) < room and (chunk := left.take()):
            yield from hand_over(chunk)
        if here and not lost and running and not any(future.done() for future in running) and (chunk := left.take()):
            # somebody's function may end its process
            yield from hand_over(chunk) if any(map(_foreign, chunk)) else computed(chunk, left, settings)
            continue
        if not running:
            if lost or left.empty:
                return False
            time.sleep(LOOK_SECONDS)  # nobody to give it to
            continue
        overdue = min(end for _, end in running.values()) - time.monotonic()
        done, _ = wait(running, max(0.0, min(overdue, LOOK_SECONDS)), FIRST_COMPLETED)
        if not done and overdue <= 0:
            lost.extend(jobs for jobs, _ in running.values())
            running.clear()
            return True
        for future in done:
            jobs, _ = running.pop(future)
            try:
                outcomes = future.result()
            except Exception as error:  # the process died, or the results could not be sent
                pool.killed(error)
                lost.append(jobs)
                continue
            left.adapt([seconds for _, seconds in outcomes])
            yield from ((job, outcome, seconds) for job, (outcome, seconds) in zip(jobs, outcomes, strict=True))


def _foreign(group: Sequence[Job]) -> bool:
    """Whether cells call functions of others."""
    config = group[0].config
    return isinstance(config, dict) and is_function(config)


def computed(chunk: Sequence[Sequence[J]], left: Chunks[J], settings: EngineSettings) -> Stream[J]:
    """Outcomes of a chunk that this process computes."""
    spent = []
    for job, outcome, seconds in outcomes_of_chunk(chunk, settings):
        spent.append(seconds)
        yield job, outcome, seconds
    left.adapt(spent)


def _apart(lost: Iterable[list[J]], settings: EngineSettings, open_pool: Callable[[int], Pool]) -> Stream[J]:
    """Compute cells one by one in a process of their own, which is started anew after each that ends it."""
    pool: Pool | None = None
    stuck = False
    try:
        for job in chain.from_iterable(lost):
            start = time.perf_counter()
            try:
                if pool is None:
                    pool = open_pool(1)
                    pool.wait_until_up()
                ((outcome, seconds),) = _awaited(pool.submit([[job]]), pool, _patience([job], settings))
            except EngineLost:
                raise
            except Exception as error:
                stuck = isinstance(error, TimeoutError)
                outcome, seconds = _death(error, pool, settings), time.perf_counter() - start
                if pool is not None:
                    pool.end(stuck)
                pool = None
            yield job, outcome, seconds
    finally:
        if pool is not None:
            pool.end()


def _awaited(future: Future[list[Timed]], pool: Pool, patience: float) -> list[Timed]:
    """The outcomes of a chunk.  Raises TimeoutError where it takes longer, EngineLost where nobody is left who computes."""
    end = time.monotonic() + patience
    while not wait([future], max(0.0, min(LOOK_SECONDS, end - time.monotonic()))).done:
        if time.monotonic() >= end:
            raise TimeoutError
        pool.workers  # noqa: B018  # asks whether there still is somebody
    return future.result()


def _death(error: Exception, pool: Pool | None, settings: EngineSettings) -> CellFailed:
    if isinstance(error, TimeoutError):
        return timed_out(settings)
    if pool is not None and pool.killed(error):
        return WorkerDied("the process that computed it was ended each time, by a signal or for want of memory")
    return CellFailed(message(error))
