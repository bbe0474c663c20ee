"""Computing on a Dask cluster: one that runs already, or processes of this machine that end with the run.

A call of a function of this package with configs, which are plain dicts, travels to a worker; results come back.  This
process alone writes.  The cluster is trusted: whoever can talk to the scheduler can run code on the workers and, by what
they send back, in this process.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gradcheck import __version__
from gradcheck.errors import BadInput, one_line
from gradcheck.experiment.engines.base import EngineLost, EngineSettings, Job, Timed
from gradcheck.experiment.engines.cells import Task, tasks, work
from gradcheck.experiment.engines.cores import n_processes
from gradcheck.experiment.engines.interrupts import deaf_to_interrupts, interrupts_held_back
from gradcheck.experiment.patches import silence_dask, uncollected

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

CONNECT_SECONDS = 10.0
NOBODY_SECONDS = 60.0  # without a single worker: longer than it takes to start one anew
SILENT_SECONDS = 30.0  # without an answer of the scheduler: a busy one takes a few
COUNT_SECONDS = 2.0  # how old the number of workers may be
RESTART_SECONDS = 30.0
LOOKS, LOOK_AGAIN_SECONDS = 3, 0.2  # at workers that may be stuck
IMPORT_SECONDS = 120.0  # workers import this package, maybe from a slow disk

_one_at_a_time = threading.Lock()
_computing: str | None = None  # on a worker: the run whose chunk it computes


@contextmanager
def opened(address: str | None, n_jobs: int | None = None) -> Iterator[Client]:
    """A client of the scheduler at `address`, or of one in this process whose workers, `n_jobs` processes of one thread,
    end with it.

    Raises BadInput where Dask is not installed, nobody answers within ten seconds, there are no workers, or one of them
    runs another gradcheck than this one.
    """
    _load()
    from distributed import Client

    with ExitStack() as ends:
        if address is None:
            client = _local(ends, n_processes(n_jobs))
        else:
            try:
                with uncollected():
                    client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError, RuntimeError, TypeError, ImportError) as error:
                raise BadInput(f"engine.address={address}: no scheduler answers there ({_words(error)})") from error
            ends.callback(_quietly, client.close, CONNECT_SECONDS)
            _same_everywhere(client, address)
        yield client


def _local(ends: ExitStack, workers: int) -> Client:
    """A client of a cluster of this machine that nobody else can talk to."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    settings = {
        "distributed.scheduler.allowed-failures": 0,  # what is lost with its process is computed once more, alone
        "distributed.scheduler.http.routes": [],  # nothing to look at
        "distributed.worker.http.routes": [],
    }
    ends.enter_context(dask.config.set(settings))
    with uncollected(), interrupts_held_back():  # Ctrl-C reaches the whole group of processes; this one answers
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                security=Security.temporary(),
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=0,  # as with the other engines, the machine's
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            # each worker runs the program's file first, as all processes do that Python starts anew
            raise BadInput(
                f"engine=dask: its workers do not start ({_words(error)}); in a file of your own, call run_experiment below"
                ' if __name__ == "__main__":, or take engine=loky'
            ) from error
        ends.callback(_quietly, cluster.close, CONNECT_SECONDS)
        client = Client(cluster, set_as_default=False)
        ends.callback(_quietly, client.close, CONNECT_SECONDS)
    return client


def _quietly(close: Callable[[float], object], seconds: float) -> None:
    with deaf_to_interrupts(), uncollected(), suppress(Exception):
        close(seconds)


def refuse(address: str | None) -> None:
    """Raise BadInput where Dask is not installed or the cluster at `address` cannot be used."""
    _load()
    if address is not None:
        with opened(address):
            pass


def _load() -> None:
    """Import Dask and silence its loggers.  Raises BadInput where it is not installed."""
    try:
        import cryptography.x509  # noqa: F401  # a local cluster needs it
        import distributed  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"engine=dask: Dask is not installed ({_words(error)}); pip install 'gradcheck[dask]'"
        ) from error
    silence_dask()


def _same_everywhere(client: Client, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        found = client.sync(client._run, _identity, on_error="return", callback_timeout=IMPORT_SECONDS)
    except Exception as error:
        known: dict[str, int] = {"?": 1}
        scheduler = client.scheduler
        with suppress(Exception):
            known = (
                {}
                if scheduler is None
                else client.sync(scheduler.ncores, workers=None, callback_timeout=CONNECT_SECONDS)
            )
        if not known:
            raise BadInput(
                f"engine.address={address}: has no workers; start one with: dask worker {address}"
            ) from error
        raise BadInput(f"engine.address={address}: its workers do not answer ({_words(error)})") from error
    for worker, identity in found.items():
        if isinstance(identity, BaseException):
            raise BadInput(
                f"engine.address={address}: worker {worker} cannot import this gradcheck ({_words(identity)})"
            )
        if identity != _identity():
            raise BadInput(f"engine.address={address}: {_difference(worker, identity)}")


@cache
def _identity() -> dict[str, str]:
    """What must be the same in all processes for the same rows: both versions and every line of the source."""
    import numpy

    package = Path(__file__).parents[2]
    source = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        source.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {"gradcheck": __version__, "numpy": numpy.__version__, "source": source.hexdigest()[:12]}


def _difference(worker: str, identity: dict[str, str]) -> str:
    here = _identity()
    theirs = ", ".join(f"{name} {identity.get(name)}" for name in here if identity.get(name) != here[name])
    ours = ", ".join(f"{name} {here[name]}" for name in here if identity.get(name) != here[name])
    return f"worker {worker} has {theirs}, this process {ours}; rows would differ, install the same on both"


class _Differs(RuntimeError):
    """A worker has another gradcheck than the process that sent it work."""


def _work(identity: dict[str, str], chunk: list[list[Task]], settings: EngineSettings, run: str) -> list[Timed]:
    """Outcomes of a chunk of a run, on a worker.  One thread of a process computes at a time, as on every engine."""
    if identity != _identity():
        from distributed import get_worker

        raise _Differs(_difference(get_worker().address, _identity()))
    global _computing
    with _one_at_a_time:
        _computing = run
        try:
            return work(chunk, settings)
        finally:
            _computing = None


def _computing_now() -> str | None:
    """The run whose chunk this worker computes; asked of its event loop, which answers however stuck the chunk is."""
    return _computing


class Tasks:
    """Chunks of cells on a cluster, as futures."""

    def __init__(self, client: Client, settings: EngineSettings) -> None:
        self._client, self.settings = client, settings
        self._run = uuid.uuid4().hex
        self._executor = client.get_executor(pure=False)
        self._workers, self._counted = 1, -math.inf
        self._seen = time.monotonic()
        self._silent = False

    @property
    def workers(self) -> int:
        """The number of workers, which may come and go.

        Raises EngineLost where there has been no worker for NOBODY_SECONDS, and where the scheduler has not answered for
        SILENT_SECONDS: a process that is stopped, or a network that swallows what is sent, breaks no connection.
        """
        if time.monotonic() - self._counted > COUNT_SECONDS:
            scheduler = self._client.scheduler
            if scheduler is None:
                raise EngineLost("the scheduler is gone")
            threads: dict[str, int] = self._asked(scheduler.ncores, workers=None)
            self._workers = len(threads)
            self._counted = now = time.monotonic()
            if self._workers:
                self._seen = now
            elif now - self._seen > NOBODY_SECONDS:
                raise EngineLost(f"there has been no worker for {NOBODY_SECONDS:.0f} seconds")
        return self._workers

    def _asked(self, question: Callable[..., Awaitable[T]], *given: object, **options: object) -> T:
        """The scheduler's answer.  Raises EngineLost where there is none, and at once where there was none before."""
        if self._silent:
            raise EngineLost("the scheduler does not answer")
        try:
            return self._client.sync(question, *given, callback_timeout=SILENT_SECONDS, **options)
        except TimeoutError as error:
            self._silent = True
            raise EngineLost(f"the scheduler has not answered for {SILENT_SECONDS:g} seconds") from error
        except Exception as error:
            raise EngineLost(f"the scheduler is gone ({_words(error)})") from error

    def submit(self, chunk: Sequence[Sequence[Job]]) -> Future[list[Timed]]:
        """A future of the outcomes."""
        if self._client.status != "running":
            raise EngineLost("the scheduler is gone")
        key = f"gradcheck-{self._run}-{time.monotonic_ns():x}"
        return self._executor.submit(_work, _identity(), tasks(chunk), self.settings, self._run, key=key)

    def wait_until_up(self) -> None:
        """Nothing is waited for: workers are up before a cluster is used."""

    def killed(self, error: BaseException) -> bool:
        """Whether a chunk was lost with its worker.  Raises EngineLost where no other try can help."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            raise EngineLost("the scheduler is gone") from error
        if isinstance(error, _Differs):
            raise EngineLost(_words(error)) from error
        return isinstance(error, KilledWorker)

    def end(self, stuck: bool = False) -> None:
        """Take back what is not done.

        Workers that are stuck in it are started anew, or left out where nobody can start them.
        """
        with deaf_to_interrupts(), suppress(Exception):
            self._executor.shutdown(wait=False)
            # what the scheduler was about to hand out when it was taken back may begin a moment later
            for _ in range(LOOKS if stuck else 0):
                time.sleep(LOOK_AGAIN_SECONDS)
                if holders := self._holders():
                    try:
                        self._client.restart_workers(holders, timeout=RESTART_SECONDS)
                    except ValueError:  # nobody watches over them
                        self._client.retire_workers(holders, close_workers=True, remove=True)

    def _holders(self) -> list[str]:
        """The workers that still compute a chunk of this run, as they say themselves."""
        found: dict[str, object] = self._asked(self._client._run, _computing_now, on_error="return")
        return [worker for worker, run in found.items() if run == self._run]


def _words(error: BaseException) -> str:
    return (one_line(error) or type(error).__name__)[:200]
