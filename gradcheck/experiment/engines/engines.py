"""The engines: cells are computed in this process, in several or on a cluster, and yielded as they are done.

The rows of a cell depend on its own config alone, so they are the same on every engine.  Each process computes on one BLAS
thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sized
from contextlib import closing
from functools import partial
from typing import Protocol, Unpack

from gradcheck.errors import BadInput
from gradcheck.experiment.engines.base import CellFailed, Compute, EngineSettings, J, Options, Pack, Stream
from gradcheck.experiment.engines.cells import one_blas_thread, outcome_or_skip, prepare
from gradcheck.experiment.engines.chunks import Chunks
from gradcheck.experiment.engines.cores import n_processes
from gradcheck.experiment.engines.early import FEW, SHORT_SECONDS, Early
from gradcheck.experiment.engines.sharing import computed, share
from gradcheck.experiment.engines.workers import Processes
from gradcheck.numerics import threads

SERIAL_SECONDS = 0.25  # `auto` computes here for so long before it asks what is left: it tells what a cell takes
WORTH_SECONDS = 3.0  # starting workers takes about a second: less work than this is done sooner without
READY_CHUNKS = 3  # the first has one cell, which imports what it needs: the others tell what a cell takes


def run(
    jobs: Iterable[J],
    n_jobs: int | None = None,
    engine: str = "auto",
    *,
    timeout: float | None = None,
    fail_fast: bool = False,
    compute: Compute | None = None,
    address: str | None = None,
    pack: Pack | None = None,
    early: Early[J] | None = None,
    **options: Unpack[Options],
) -> Stream[J]:
    """Compute cells and yield (job, outcome, seconds) as they are done.

    The outcome is a CellResult, a Meaningless (skipped) or a CellFailed.  A worker that is killed costs at most the
    cell that killed it: what else it held is computed again.  KeyboardInterrupt ends the iteration and the workers;
    what was yielded before stands.

    jobs : an iterable; one that has a length tells `auto` how much is left.
    pack : what is made of outcomes before they travel from one process to another.
    early : processes that `auto` and `loky` may take.
    options : passed to `compute`.

    Raises BadInput for an unknown engine or n_jobs = 0, EngineLost where a cluster is gone.
    """
    if engine not in ENGINES:
        raise BadInput(f"engine={engine}: must be one of {', '.join(ENGINES)}")
    if n_jobs == 0:
        raise BadInput("engine.n_jobs=0: must be a number of processes, or -1 for one per core")
    if timeout is not None and not timeout > 0:
        raise BadInput(f"cell_timeout={timeout}: must be a number of seconds > 0, or null")
    settings = EngineSettings(n_jobs, timeout, fail_fast, compute, address, pack, options)
    started = early is not None and early.started
    outcomes = _with(early, jobs, settings) if early and started else ENGINES[engine](jobs, settings)
    return _until_failure(outcomes, fail_fast)


def refuse(engine: str, address: str | None = None) -> None:
    """Raise BadInput where an engine cannot be had: Dask is not installed, or its cluster is not to be used."""
    if engine == "dask":
        from gradcheck.experiment.engines import cluster

        cluster.refuse(address)


def _until_failure(outcomes: Stream[J], fail_fast: bool) -> Stream[J]:
    with closing(outcomes):
        for job, outcome, seconds in outcomes:
            yield job, outcome, seconds
            if fail_fast and isinstance(outcome, CellFailed):
                return


def serial(jobs: Iterable[J] | Chunks[J], settings: EngineSettings) -> Stream[J]:
    """In this process, one chunk of cells after another."""
    prepare(settings)
    with one_blas_thread():
        yield from _here(Chunks.of(jobs), settings, math.inf)


def _here(left: Chunks[J], settings: EngineSettings, seconds: float, chunks: float = math.inf) -> Stream[J]:
    """Compute so many chunks, or for so many seconds, the last one to its end."""
    start, taken = time.perf_counter(), 0
    while taken < chunks and time.perf_counter() - start < seconds and (chunk := left.take()):
        yield from computed(chunk, left, settings)
        taken += 1


def auto(jobs: Iterable[J], settings: EngineSettings) -> Stream[J]:
    """Serial for SERIAL_SECONDS; then in several processes if what is left is worth starting them.

    Of few processes this is one, unless a cell takes long.
    """
    prepare(settings)
    left = Chunks.of(jobs)
    total = len(jobs) if isinstance(jobs, Sized) else None
    done, spent = 0, 0.0
    with one_blas_thread():
        for job, outcome, seconds in _here(left, settings, SERIAL_SECONDS):
            yield job, outcome, seconds
            done += 1
            spent += seconds
    worth = done > 0 and (total is None or spent / done * (total - done) >= WORTH_SECONDS)
    processes = n_processes(settings.n_jobs) if worth else 1
    if processes == 1:
        yield from serial(left, settings)
    elif processes <= FEW and left.short(SHORT_SECONDS) and settings.timeout is None:
        with one_blas_thread(), threads.limit(1):
            yield from share(left, settings, partial(Processes, settings=settings), here=True)
    else:
        yield from loky(left, settings)


def _with(early: Early[J], jobs: Iterable[J], settings: EngineSettings) -> Stream[J]:
    """In the processes that have computed some of the cells already, and in this one if it is to be one of them."""
    left = early.left(jobs)
    yield from ((job, *outcome_or_skip(job, settings)) for job in early.skipped)

    opened = partial(Processes, settings=settings)
    with one_blas_thread(), threads.limit(1):
        if early.beside and not left.timed:
            yield from _here(left, settings, SERIAL_SECONDS, READY_CHUNKS)
        pool, begun = early.taken()
        if left.short(SHORT_SECONDS) or not early.beside:
            yield from share(left, settings, opened, pool, early.beside, begun)
            return
        yield from share(Chunks[J](()), settings, opened, pool, begun=begun)
    yield from loky(left, settings)  # one process more is worth its start: this one would store too late


def loky(jobs: Iterable[J] | Chunks[J], settings: EngineSettings) -> Stream[J]:
    """In several processes, a chunk of cells at a time; the processes end with the iteration."""
    yield from share(jobs, settings, partial(Processes, settings=settings))


def dask(jobs: Iterable[J], settings: EngineSettings) -> Stream[J]:
    """On a Dask cluster: that of ``settings.address``, or a local one that ends with the iteration."""
    from gradcheck.experiment.engines import cluster

    with cluster.opened(settings.address, settings.n_jobs) as client:
        yield from share(jobs, settings, lambda workers: cluster.Tasks(client, settings))


class Engine(Protocol):
    """A way to compute cells."""

    def __call__(self, jobs: Iterable[J], settings: EngineSettings) -> Stream[J]: ...


ENGINES: dict[str, Engine] = {"auto": auto, "serial": serial, "loky": loky, "dask": dask}
