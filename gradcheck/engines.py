"""Where cells are computed: in this process, in several or on a cluster, one BLAS thread each, results as they are done.

The rows of a cell depend on its own config alone, so they are the same on every engine.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from gradcheck import threads
from gradcheck.errors import BadInput, Meaningless
from gradcheck.footprint import MAX_MEMORY

SERIAL_SECONDS = 0.25  # `auto` computes here for so long before it asks what is left: it tells what a cell takes
WORTH_SECONDS = 3.0  # starting workers takes about a second: less work than this is done sooner without
CHUNK_SECONDS = 0.25  # of work sent to a worker at a time: handing it over takes a few milliseconds
CHUNK_CELLS = 100
START_SECONDS = 60.0  # processes are up after one or two, on a busy machine later
STOP_SECONDS = 10.0  # to store what is finished takes less
LOOK_SECONDS = 2.0  # between two looks at whether there is still somebody who computes
TOGETHER_WEIGHTS = 2**16  # of cells that are computed together: their numbers take some 20 MB
_INTERRUPTED = threading.Event()
GRACE_SECONDS = 5.0  # between the alarm in a process and giving it up


class Job(Protocol):
    """A cell to compute."""

    @property
    def cell(self) -> str | None: ...  # its id, by which files and functions are known; None: whatever they are
    @property
    def config(self) -> Any: ...  # canonical, a plain dict
    @property
    def skip(self) -> str | None: ...  # why it is not to be computed


J = TypeVar("J", bound=Job)
Compute = Callable[..., Any]


class CellFailed(RuntimeError):
    """A cell could not be computed; the message begins with the kind of error, if that is not a plain ValueError."""


class WorkerDied(CellFailed):
    """The process that computed a cell ended, by a signal or for want of memory."""


class TimedOut(CellFailed):
    """A cell took longer than `cell_timeout`."""


class EngineLost(RuntimeError):
    """Nobody is left who computes (a cluster's scheduler or all its workers are gone); what was yielded stands."""


@dataclass(frozen=True)
class Settings:
    """How cells are computed.

    n_jobs : processes; None or -1 is one for each core, -2 all cores but one.
    address : of a Dask scheduler.
    timeout : seconds for one cell, or None.
    fail_fast : stop after the first cell that failed.
    compute : what makes a result from a config; another one is for tests.
    pack : what is made of the outcomes of a chunk, (outcome, seconds) each, before they travel to another process.
    options : further keyword arguments for `compute`.
    """

    n_jobs: int | None = None
    timeout: float | None = None
    fail_fast: bool = False
    compute: Compute | None = None
    address: str | None = None
    pack: Callable[[list[tuple[Any, float]]], list[tuple[Any, float]]] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def compute(config: dict[str, Any], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY) -> Any:
    """CellResult of a canonical config: builds the cell and checks it.

    A pure function of its arguments and of the files that the config names.

    allow : modules that ``model=function`` may import.
    max_memory : bytes that a cell may take.
    """
    from gradcheck.cell import check_cell
    from gradcheck.config import assemble
    from gradcheck.footprint import require_memory
    from gradcheck.weights import packed

    cell = assemble(config, tuple(allow))
    require_memory(cell, max_memory)
    return check_cell(cell, config["eps"], partial(_pose, config), packed)


def compute_together(
    configs: Sequence[dict[str, Any]], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY
) -> list[Any]:
    """``compute`` of configs that differ in eps alone, with what they share computed once."""
    from gradcheck.cell import check_cells
    from gradcheck.config import assemble
    from gradcheck.footprint import layout, require_memory
    from gradcheck.weights import packed

    cell = assemble(configs[0], tuple(allow))
    require_memory(cell, max_memory)
    steps = [config["eps"] for config in configs]
    size = max(1, TOGETHER_WEIGHTS // max(1, layout(cell).size))
    parts = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [result for part in parts for result in check_cells(cell, part, partial(_pose, configs[0]), packed)]


_last: tuple[str | None, Any] = (None, None)


def _pose(config: dict[str, Any], cell: Any) -> Any:
    """The problem of a cell, posed once for neighbours that differ in eps, scheme or match_at alone.

    Where files or somebody's functions have a say, which may change, it is posed anew.
    """
    from gradcheck.cell import pose
    from gradcheck.config import has_sources

    global _last
    if has_sources(config):
        return pose(cell)
    key = json.dumps([config[part] for part in ("model", "data", "init", "bug", "dtype")], sort_keys=True)
    known, problem = _last  # another thread may put its own there at any moment
    if key != known:
        problem = pose(cell)
        _last = key, problem
    return problem


def run(
    jobs: Iterable[J],
    n_jobs: int | None = None,
    engine: str = "auto",
    *,
    timeout: float | None = None,
    fail_fast: bool = False,
    compute: Compute | None = None,
    address: str | None = None,
    pack: Callable[[list[tuple[Any, float]]], list[tuple[Any, float]]] | None = None,
    **options: Any,
) -> Iterator[tuple[J, Any, float]]:
    """Compute cells and yield (job, outcome, seconds) as they are done.

    The outcome is a CellResult, a Meaningless (skipped) or a CellFailed.  A worker that is killed costs at most the
    cell that killed it: what else it held is computed again.  KeyboardInterrupt ends the iteration and the workers;
    what was yielded before stands.

    jobs : an iterable; one that has a length tells `auto` how much is left.
    pack : what is made of outcomes before they travel from one process to another.
    options : passed to `compute`.

    Raises BadInput for an unknown engine or n_jobs = 0, EngineLost where a cluster is gone.
    """
    if engine not in ENGINES:
        raise BadInput(f"engine={engine}: must be one of {', '.join(ENGINES)}")
    if n_jobs == 0:
        raise BadInput("engine.n_jobs=0: must be a number of processes, or -1 for one per core")
    if timeout is not None and not timeout > 0:
        raise BadInput(f"cell_timeout={timeout}: must be a number of seconds > 0, or null")
    settings = Settings(n_jobs, timeout, fail_fast, compute, address, pack, options)
    return _until_failure(ENGINES[engine](jobs, settings), fail_fast)


def refuse(engine: str, address: str | None = None) -> None:
    """Raise BadInput where an engine cannot be had: Dask is not installed, or its cluster is not to be used."""
    if engine == "dask":
        from gradcheck import cluster

        cluster.refuse(address)


def _until_failure(outcomes: Iterator[tuple[J, Any, float]], fail_fast: bool) -> Iterator[tuple[J, Any, float]]:
    try:
        for job, outcome, seconds in outcomes:
            yield job, outcome, seconds
            if fail_fast and isinstance(outcome, CellFailed):
                return
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


# ------------------------------------------------------------------------------------------------------------ one cell


def _prepare(settings: Settings) -> None:
    """Import what a cell needs, lest the first one be charged for it."""
    if settings.compute is None:
        import gradcheck.check
        import gradcheck.config  # noqa: F401


def outcome_of(config: Any, settings: Settings, cell: str | None = None) -> tuple[Any, float]:
    """Outcome of a config and the seconds it took.  Whatever goes wrong in a cell is its outcome; only
    KeyboardInterrupt passes.

    cell : its id; a cell whose files or functions are others here has failed.
    """
    start = time.perf_counter()
    outcome: Any
    try:
        with _time_limit(settings.timeout):
            if cell is not None:
                from gradcheck.config import require_sources

                require_sources(config, cell, settings.options.get("allow", ()))
            outcome = (settings.compute or compute)(config, **settings.options)
    except Meaningless as error:
        outcome = Meaningless(_one_line(error))
    except _TimeIsUp:
        outcome = _timed_out(settings)
    except (Exception, SystemExit) as error:
        outcome = CellFailed(_message(error))
    return outcome, time.perf_counter() - start


def outcomes_of(group: Sequence[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """Outcomes of cells that differ in eps alone, computed together."""
    found: list[Any] | None = None
    start = time.perf_counter()
    if len(group) > 1 and settings.compute is None and settings.timeout is None:
        # whatever goes wrong, one by one it shows which of them it was
        with suppress(Exception):
            found = compute_together([job.config for job in group], **settings.options)
    if found is None:
        yield from ((job, *_outcome(job, settings)) for job in group)
    else:
        seconds = (time.perf_counter() - start) / len(group)
        yield from ((job, result, seconds) for job, result in zip(group, found, strict=True))


def differing_in_eps(jobs: Iterable[J]) -> Iterator[list[J]]:
    """Jobs in their order, in groups of neighbours whose configs are the same but for a given eps.

    A job that is skipped stands alone, and so does one whose files or functions have a say: they may change meanwhile.
    """
    group: list[J] = []
    shared = None
    for job in jobs:
        same = _all_but_eps(job)
        if group and (same is None or same != shared or len(group) == CHUNK_CELLS):
            yield group
            group = []
        group.append(job)
        shared = same
    if group:
        yield group


def _all_but_eps(job: Job) -> str | None:
    """What neighbours must have in common to be computed together, as text: equal numbers may be others, such as 0 and -0."""
    config = job.config
    if job.skip is not None or not isinstance(config, dict) or not isinstance(config.get("eps"), float):
        return None
    from gradcheck.config import has_sources

    return None if has_sources(config) else repr([value for key, value in config.items() if key != "eps"])


def _outcome(job: Job, settings: Settings) -> tuple[Any, float]:
    return (Meaningless(job.skip), 0.0) if job.skip is not None else outcome_of(job.config, settings, job.cell)


def _message(error: BaseException) -> str:
    text = _one_line(error)
    if isinstance(error, (ValueError, FloatingPointError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:1000]


class _TimeIsUp(BaseException):
    """Not an Exception, so that no ``except Exception`` in a user's function swallows it."""


def _time_limit(seconds: float | None) -> AbstractContextManager[None]:
    """Raise _TimeIsUp after so many seconds."""
    if seconds is None:
        return nullcontext()
    alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    return _alarm(seconds) if alarms else _watch(seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        # Rings again each second: a call into C may come back late, and a finally clause may swallow the first.
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _watch(seconds: float) -> Iterator[None]:
    """Where there are no alarms (Windows, threads): what is computed hears of it between two lines of Python."""
    here, over = threading.get_ident(), threading.Event()

    def ring() -> None:
        pause = seconds
        while not over.wait(pause):
            _raise_in(here, _TimeIsUp)
            pause = 1.0

    watcher = threading.Thread(target=ring, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        while watcher.is_alive():
            try:
                over.set()
                watcher.join()
                _raise_in(here, None)  # what is on its way
            except _TimeIsUp:
                continue


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error and ctypes.py_object(error))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Threads change the order of sums in BLAS, hence the last bits; one thread gives the same everywhere."""
    import numpy  # noqa: F401  # its BLAS must be loaded before it can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that what is finished is stored; for the main thread.

    The first signal is enough: more of them within STOP_SECONDS change nothing, lest an impatient second Ctrl-C strikes
    while results are stored and processes ended.  After an interrupt that holds for Ctrl-C beyond the block too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = -math.inf
    _INTERRUPTED.clear()

    def interrupt(number: int, frame: Any) -> None:
        nonlocal first
        if time.monotonic() - first > STOP_SECONDS:
            first = time.monotonic()
            _INTERRUPTED.set()
            # the interpreter gives signals back while it ends: one more would end it with another status
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before[signal.SIGTERM])
        # Once interrupted, a second Ctrl-C may still be on its way, and would spoil the exit status of what ends now.
        if first == -math.inf:
            signal.signal(signal.SIGINT, before[signal.SIGINT])


# -------------------------------------------------------------------------------------------------------------- serial


def serial(jobs: Iterable[J] | _Chunks[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """In this process, one chunk of cells after another."""
    _prepare(settings)
    with one_blas_thread():
        yield from _here(_Chunks.of(jobs), settings, math.inf)


def _here(left: _Chunks[J], settings: Settings, seconds: float) -> Iterator[tuple[J, Any, float]]:
    """Compute chunks for so many seconds, the last one to its end."""
    start = time.perf_counter()
    while time.perf_counter() - start < seconds and (chunk := left.take()):
        spent = []
        for group in chunk:
            for job, outcome, own in outcomes_of(group, settings):
                spent.append(own)
                yield job, outcome, own
        left.adapt(spent)


def auto(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """Serial for SERIAL_SECONDS; then in several processes if what is left is worth starting them."""
    left = _Chunks.of(jobs)
    total = len(jobs) if isinstance(jobs, Sized) else None
    _prepare(settings)
    done, spent = 0, 0.0
    with one_blas_thread():
        for job, outcome, seconds in _here(left, settings, SERIAL_SECONDS):
            yield job, outcome, seconds
            done += 1
            spent += seconds
    worth = done > 0 and (total is None or spent / done * (total - done) >= WORTH_SECONDS)
    yield from (loky if worth and n_processes(settings.n_jobs) > 1 else serial)(left, settings)


# ---------------------------------------------------------------------------------------------------------------- loky


def n_processes(n_jobs: int | None) -> int:
    """Number of processes that `n_jobs` stands for, in joblib's sense."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    from joblib import cpu_count

    return max(1, int(cpu_count()) + 1 + (-1 if n_jobs is None else n_jobs))


def loky(jobs: Iterable[J] | _Chunks[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """In several processes, a chunk of cells at a time; the processes end with the iteration."""
    yield from _shared(jobs, settings, lambda workers: _Pool(workers, settings))


def dask(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """On a Dask cluster: that of ``settings.address``, or a local one that ends with the iteration."""
    from gradcheck import cluster

    with cluster.opened(settings.address, settings.n_jobs) as client:
        yield from _shared(jobs, settings, lambda workers: cluster.Tasks(client, settings))


class Pool(Protocol):
    """Processes that compute chunks of cells, in groups that are computed together."""

    @property
    def workers(self) -> int: ...
    def submit(
        self, chunk: Sequence[Sequence[Job]]
    ) -> Any: ...  # a future of the outcomes; RuntimeError where that is not possible
    def wait_until_up(self) -> None: ...
    def killed(self, error: BaseException) -> bool: ...  # was a chunk lost with its process?  May raise EngineLost
    def end(self, stuck: bool = False) -> None: ...  # nothing that was submitted is wanted any more


def _shared(
    jobs: Iterable[J] | _Chunks[J], settings: Settings, open_pool: Callable[[int], Pool]
) -> Iterator[tuple[J, Any, float]]:
    """Share cells out among processes.

    A chunk that is lost with its process is computed again, cell by cell, with nothing beside it: the one that ends its
    process while it is alone has failed, the others are as if nothing had happened.
    """
    left = _Chunks.of(jobs)
    workers = n_processes(settings.n_jobs)
    while True:
        lost: list[list[J]] = []
        stuck = False
        pool = open_pool(workers)
        try:
            stuck = yield from _drain(pool, left, lost, settings)
        finally:
            pool.end(stuck)
        if not lost:
            return
        yield from _apart(lost, settings, open_pool)


def _patience(chunk: Sequence[Job], settings: Settings) -> float:
    """Seconds after which a chunk must be back if each cell keeps its time limit, in processes that are up."""
    return math.inf if settings.timeout is None else GRACE_SECONDS + len(chunk) * (settings.timeout + 1.0)


def _drain(
    pool: Pool, left: _Chunks[J], lost: list[list[J]], settings: Settings
) -> Generator[tuple[J, Any, float], None, bool]:
    """Yield what the pool computes until all is done or a chunk is lost; unfinished chunks are then in `lost`.

    Returns whether some of it is stuck, so that not even an alarm wakes it.
    """
    from concurrent.futures import FIRST_COMPLETED, wait

    running: dict[Any, tuple[list[J], float]] = {}
    ahead = 1 if settings.timeout is not None else 2  # with a time limit a chunk must not wait behind another
    while True:
        while not lost and len(running) < ahead * pool.workers and (chunk := left.take()):
            yield from ((group[0], *_outcome(group[0], settings)) for group in chunk if group[0].skip is not None)
            if chunk := [group for group in chunk if group[0].skip is None]:
                jobs = list(chain.from_iterable(chunk))
                try:
                    running[pool.submit(chunk)] = jobs, time.monotonic() + START_SECONDS + _patience(jobs, settings)
                except EngineLost:
                    raise
                except RuntimeError:  # the pool broke since the last look
                    lost.append(jobs)
        if not running:
            if lost or left.empty:
                return False
            time.sleep(LOOK_SECONDS)  # nobody to give it to
            continue
        overdue = min(end for _, end in running.values()) - time.monotonic()
        done, _ = wait(running, max(0.0, min(overdue, LOOK_SECONDS)), FIRST_COMPLETED)
        if not done and overdue <= 0:
            lost.extend(jobs for jobs, _ in running.values())
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


def _apart(
    lost: Iterable[list[J]], settings: Settings, open_pool: Callable[[int], Pool]
) -> Iterator[tuple[J, Any, float]]:
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


def _awaited(future: Any, pool: Pool, patience: float) -> Any:
    """The outcomes of a chunk.  Raises TimeoutError where it takes longer, EngineLost where nobody is left who computes."""
    from concurrent.futures import wait

    end = time.monotonic() + patience
    while not wait([future], max(0.0, min(LOOK_SECONDS, end - time.monotonic()))).done:
        if time.monotonic() >= end:
            raise TimeoutError
        pool.workers  # noqa: B018  # asks whether there still is somebody
    return future.result()


def _death(error: Exception, pool: Pool | None, settings: Settings) -> CellFailed:
    if isinstance(error, TimeoutError):
        return _timed_out(settings)
    if pool is not None and pool.killed(error):
        return WorkerDied("the process that computed it was ended each time, by a signal or for want of memory")
    return CellFailed(_message(error))


def _timed_out(settings: Settings) -> TimedOut:
    return TimedOut(f"not done after cell_timeout={settings.timeout:g} seconds")


class _Chunks(Generic[J]):
    """Neighbours in the grid, some CHUNK_SECONDS of work at a time; what is computed together stays together if it can."""

    def __init__(self, jobs: Iterable[J]) -> None:
        self._groups = differing_in_eps(jobs)
        self._next: list[J] = []
        self._seconds: float | None = None
        self.empty = False

    @classmethod
    def of(cls, jobs: Iterable[J] | _Chunks[J]) -> _Chunks[J]:
        """The jobs in chunks, if they are not yet."""
        return jobs if isinstance(jobs, _Chunks) else cls(jobs)

    def take(self) -> list[list[J]]:
        """The next chunk, in groups; an empty one where there is nothing left."""
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
        """Take account of what the cells of a chunk took."""
        mean = sum(seconds) / len(seconds)
        # half new, half old: one odd chunk changes little
        self._seconds = mean if self._seconds is None else (self._seconds + mean) / 2


class _Pool:
    """Processes with one BLAS thread each that end with this one."""

    def __init__(self, workers: int, settings: Settings) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        _mend_loky()
        self.workers = workers
        self._started = False
        self._settings = settings
        self._others = set(threading.enumerate())
        names = ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
        threads = {f"{name}_NUM_THREADS" if "MAXIMUM" not in name else f"{name}_THREADS": "1" for name in names}
        _deafen_to_manager()
        self._executor = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),), env=threads)

    def submit(self, chunk: Sequence[Sequence[Job]]) -> Any:
        """A future of the outcomes; raises RuntimeError where the pool is broken."""
        return self._submit(work, tasks(chunk), self._settings)

    def wait_until_up(self) -> None:
        self._submit(_prepare, self._settings).result()

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._started:
            return self._executor.submit(function, *arguments)
        self._started = True
        with interrupts_held_back():  # the first call starts the processes
            return self._executor.submit(function, *arguments)

    def killed(self, error: BaseException) -> bool:
        from concurrent.futures.process import BrokenProcessPool

        return isinstance(error, BrokenProcessPool)

    def end(self, stuck: bool = False) -> None:
        """Kill the processes.  Ctrl-C is not heard meanwhile: it would strike the tool by which loky looks for them."""
        with deaf_to_interrupts():
            self._executor.shutdown(wait=True, kill_workers=True)
            # loky leaves alone the thread that fed its queue, and with it the last semaphores: were this process to end
            # amid their removal, it would be said that they leaked
            for thread in set(threading.enumerate()) - self._others:
                if thread.name == "QueueFeederThread":
                    thread.join(timeout=STOP_SECONDS)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Processes that are started within inherit that Ctrl-C, which reaches the whole group, is held back; here it comes
    through a moment later.
    """
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else it starts along with them, and sets the signal free
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def _mend_loky() -> None:
    """Give loky's processes the method ``kill``, which it calls without having it.

    It does so, after a warning, where neither psutil nor pgrep can look for children of the processes, as in slim
    containers: the pool would end in an AttributeError, the processes never.  Ours have no children.
    """
    from joblib.externals.loky.backend.process import LokyProcess

    warnings.filterwarnings("ignore", message="Failed to kill subprocesses on this platform")
    LokyProcess.kill = _kill


def _kill(process: Any) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _deafen_to_manager() -> None:
    """After an interrupt, what loky's own thread says while its work is taken away is not shown.

    It ends in a KeyError where it was about to hand out a cell that is no longer wanted.
    """
    before = threading.excepthook
    if getattr(before, "deaf", False):
        return

    def hook(arguments: threading.ExceptHookArgs) -> None:
        manager = arguments.thread is not None and arguments.thread.name.startswith("ExecutorManager")
        if not (manager and _INTERRUPTED.is_set()):
            before(arguments)

    hook.deaf = True  # type: ignore[attr-defined]
    threading.excepthook = hook


def _start_worker(parent: int) -> None:
    # Ctrl-C reaches the whole group of processes; the parent is the one that answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its workers: they look for themselves."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


class Task(NamedTuple):
    """What of a job travels to the process that computes it."""

    cell: str | None
    config: Any
    skip: str | None = None


def tasks(chunk: Sequence[Sequence[Job]]) -> list[list[Task]]:
    """What of a chunk travels to the process that computes it."""
    return [[Task(job.cell, job.config) for job in group] for group in chunk]


def work(chunk: list[list[Task]], settings: Settings) -> list[tuple[Any, float]]:
    """Outcomes of a chunk, in the process that computes it."""
    _prepare(settings)
    # every core has a process of its own
    with one_blas_thread(), threads.limit(1):
        found = [(outcome, seconds) for group in chunk for _, outcome, seconds in outcomes_of(group, settings)]
        return found if settings.pack is None else settings.pack(found)


ENGINES: dict[str, Callable[..., Iterator[Any]]] = {"auto": auto, "serial": serial, "loky": loky, "dask": dask}
