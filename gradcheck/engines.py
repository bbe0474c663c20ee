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
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from gradcheck import threads
from gradcheck.errors import BadInput, Meaningless
from gradcheck.footprint import MAX_MEMORY

SERIAL_SECONDS = 1.0  # `auto` computes here for so long before it asks what is left
WORTH_SECONDS = 3.0  # starting workers takes about a second: less work than this is done sooner without
CHUNK_SECONDS = 0.25  # of work sent to a worker at a time: handing it over takes a few milliseconds
CHUNK_CELLS = 100
START_SECONDS = 60.0  # processes are up after one or two, on a busy machine later
STOP_SECONDS = 10.0  # to store what is finished takes less
LOOK_SECONDS = 2.0  # between two looks at whether there is still somebody who computes
REMEMBERED = 6  # evaluations of the loss that neighbours may share
REMEMBERED_BYTES = 2**18  # of one of them
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
    options : further keyword arguments for `compute`.
    """

    n_jobs: int | None = None
    timeout: float | None = None
    fail_fast: bool = False
    compute: Compute | None = None
    address: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def compute(config: dict[str, Any], allow: Sequence[str] = (), max_memory: float = MAX_MEMORY) -> Any:
    """CellResult of a canonical config: builds the cell and checks it.

    A pure function of its arguments and of the files that the config names.

    allow : modules that ``model=function`` may import.
    max_memory : bytes that a cell may take.
    """
    from gradcheck.check import check_cell
    from gradcheck.config import assemble
    from gradcheck.footprint import require_memory

    cell = assemble(config, tuple(allow))
    require_memory(cell, max_memory)
    return check_cell(cell, partial(_pose, config))


_last: tuple[str | None, Any] = (None, None)


def _pose(config: dict[str, Any], cell: Any) -> Any:
    """The problem of a cell, posed once for neighbours that differ in eps, scheme or match_at alone.

    Where files or somebody's functions have a say, which may change, it is posed anew.
    """
    from gradcheck.check import pose
    from gradcheck.config import has_sources

    global _last
    if has_sources(config):
        return pose(cell)
    key = json.dumps([config[part] for part in ("model", "data", "init", "bug", "dtype")], sort_keys=True)
    known, problem = _last  # another thread may put its own there at any moment
    if key != known:
        problem = pose(cell)
        if problem.perturbed_losses is not None:
            problem = replace(problem, perturbed_losses=Remembered(problem.perturbed_losses))
        _last = key, problem
    return problem


class Remembered:
    """Perturbed losses of one problem; those at the last few points stay, since every step is held to the same anchors."""

    def __init__(self, losses: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self._losses = losses
        self._known: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self._changing = threading.Lock()

    def __call__(self, index: Any, points: Any) -> tuple[Any, Any]:
        if points.nbytes > REMEMBERED_BYTES:
            return self._losses(index, points)
        key = index.tobytes(), points.tobytes(), points.dtype, points.shape
        with self._changing:
            found = self._known.pop(key, None)
        if found is None:
            found = self._losses(index, points)
        with self._changing:
            self._known[key] = found  # the last one asked for is the last one to go
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return found


def run(
    jobs: Iterable[J],
    n_jobs: int | None = None,
    engine: str = "auto",
    *,
    timeout: float | None = None,
    fail_fast: bool = False,
    compute: Compute | None = None,
    address: str | None = None,
    **options: Any,
) -> Iterator[tuple[J, Any, float]]:
    """Compute cells and yield (job, outcome, seconds) as they are done.

    The outcome is a CellResult, a Meaningless (skipped) or a CellFailed.  A worker that is killed costs at most the
    cell that killed it: what else it held is computed again.  KeyboardInterrupt ends the iteration and the workers;
    what was yielded before stands.

    jobs : an iterable; one that has a length tells `auto` how much is left.
    options : passed to `compute`.

    Raises BadInput for an unknown engine or n_jobs = 0, EngineLost where a cluster is gone.
    """
    if engine not in ENGINES:
        raise BadInput(f"engine={engine}: must be one of {', '.join(ENGINES)}")
    if n_jobs == 0:
        raise BadInput("engine.n_jobs=0: must be a number of processes, or -1 for one per core")
    if timeout is not None and not timeout > 0:
        raise BadInput(f"cell_timeout={timeout}: must be a number of seconds > 0, or null")
    settings = Settings(n_jobs, timeout, fail_fast, compute, address, options)
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


def serial(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """One cell after another in this process."""
    _prepare(settings)
    with one_blas_thread():
        for job in jobs:
            yield (job, *_here(job, settings))


def _here(job: Job, settings: Settings) -> tuple[Any, float]:
    return (Meaningless(job.skip), 0.0) if job.skip is not None else outcome_of(job.config, settings, job.cell)


def auto(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """Serial for the first second; then in several processes if what is left is worth starting them."""
    left = iter(jobs)
    total = len(jobs) if isinstance(jobs, Sized) else None
    _prepare(settings)
    done, spent, start = 0, 0.0, time.perf_counter()
    with one_blas_thread():
        for job in left:
            outcome, seconds = _here(job, settings)
            yield job, outcome, seconds
            done += 1
            spent += seconds
            if time.perf_counter() - start >= SERIAL_SECONDS:
                break
    worth = done > 0 and (total is None or spent / done * (total - done) >= WORTH_SECONDS)
    yield from (loky if worth and n_processes(settings.n_jobs) > 1 else serial)(left, settings)


# ---------------------------------------------------------------------------------------------------------------- loky


def n_processes(n_jobs: int | None) -> int:
    """Number of processes that `n_jobs` stands for, in joblib's sense."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    from joblib import cpu_count

    return max(1, int(cpu_count()) + 1 + (-1 if n_jobs is None else n_jobs))


def loky(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """In several processes, a chunk of cells at a time; the processes end with the iteration."""
    yield from _shared(jobs, settings, lambda workers: _Pool(workers, settings))


def dask(jobs: Iterable[J], settings: Settings) -> Iterator[tuple[J, Any, float]]:
    """On a Dask cluster: that of ``settings.address``, or a local one that ends with the iteration."""
    from gradcheck import cluster

    with cluster.opened(settings.address, settings.n_jobs) as client:
        yield from _shared(jobs, settings, lambda workers: cluster.Tasks(client, settings))


class Pool(Protocol):
    """Processes that compute chunks of cells."""

    @property
    def workers(self) -> int: ...
    def submit(
        self, chunk: Sequence[Job]
    ) -> Any: ...  # a future of the outcomes; RuntimeError where that is not possible
    def wait_until_up(self) -> None: ...
    def killed(self, error: BaseException) -> bool: ...  # was a chunk lost with its process?  May raise EngineLost
    def end(self, stuck: bool = False) -> None: ...  # nothing that was submitted is wanted any more


def _shared(jobs: Iterable[J], settings: Settings, open_pool: Callable[[int], Pool]) -> Iterator[tuple[J, Any, float]]:
    """Share cells out among processes.

    A chunk that is lost with its process is computed again, cell by cell, with nothing beside it: the one that ends its
    process while it is alone has failed, the others are as if nothing had happened.
    """
    left = _Chunks(jobs)
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
        while not lost and len(running) < ahead * pool.workers and (chunk := next(left, None)) is not None:
            yield from ((job, Meaningless(job.skip), 0.0) for job in chunk if job.skip is not None)
            if chunk := [job for job in chunk if job.skip is None]:
                try:
                    running[pool.submit(chunk)] = chunk, time.monotonic() + START_SECONDS + _patience(chunk, settings)
                except EngineLost:
                    raise
                except RuntimeError:  # the pool broke since the last look
                    lost.append(chunk)
        if not running:
            if lost or left.empty:
                return False
            time.sleep(LOOK_SECONDS)  # nobody to give it to
            continue
        overdue = min(end for _, end in running.values()) - time.monotonic()
        done, _ = wait(running, max(0.0, min(overdue, LOOK_SECONDS)), FIRST_COMPLETED)
        if not done and overdue <= 0:
            lost.extend(chunk for chunk, _ in running.values())
            return True
        for future in done:
            chunk, _ = running.pop(future)
            try:
                outcomes = future.result()
            except Exception as error:  # the process died, or the results could not be sent
                pool.killed(error)
                lost.append(chunk)
                continue
            left.adapt(outcomes)
            yield from ((job, outcome, seconds) for job, (outcome, seconds) in zip(chunk, outcomes, strict=True))


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
                patience = _patience([job], settings)
                ((outcome, seconds),) = pool.submit([job]).result(None if patience == math.inf else patience)
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


def _death(error: Exception, pool: Pool | None, settings: Settings) -> CellFailed:
    if isinstance(error, TimeoutError):
        return _timed_out(settings)
    if pool is not None and pool.killed(error):
        return WorkerDied("the process that computed it was ended each time, by a signal or for want of memory")
    return CellFailed(_message(error))


def _timed_out(settings: Settings) -> TimedOut:
    return TimedOut(f"not done after cell_timeout={settings.timeout:g} seconds")


class _Chunks(Iterator[list[J]]):
    """Neighbours in the grid, some CHUNK_SECONDS of work at a time."""

    def __init__(self, jobs: Iterable[J]) -> None:
        self._left = iter(jobs)
        self._seconds: float | None = None
        self.empty = False

    def __next__(self) -> list[J]:
        size = 1 if self._seconds is None else max(1, min(CHUNK_CELLS, int(CHUNK_SECONDS / max(self._seconds, 1e-9))))
        if chunk := list(islice(self._left, size)):
            return chunk
        self.empty = True
        raise StopIteration

    def adapt(self, outcomes: Sequence[tuple[Any, float]]) -> None:
        seconds = sum(seconds for _, seconds in outcomes) / len(outcomes)
        # half new, half old: one odd chunk changes little
        self._seconds = seconds if self._seconds is None else (self._seconds + seconds) / 2


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

    def submit(self, chunk: Sequence[Job]) -> Any:
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
                    thread.join(timeout=1.0)


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


def tasks(chunk: Sequence[Job]) -> list[tuple[Any, str | None]]:
    """What of a chunk travels to the process that computes it."""
    return [(job.config, job.cell) for job in chunk]


def work(chunk: list[tuple[Any, str | None]], settings: Settings) -> list[tuple[Any, float]]:
    """Outcomes of a chunk, in the process that computes it."""
    _prepare(settings)
    # every core has a process of its own
    with one_blas_thread(), threads.limit(1):
        return [outcome_of(config, settings, cell) for config, cell in chunk]


ENGINES: dict[str, Callable[..., Iterator[Any]]] = {"auto": auto, "serial": serial, "loky": loky, "dask": dask}
