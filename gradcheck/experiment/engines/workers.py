"""Processes of this machine that compute cells and end with this one."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from gradcheck.experiment.engines.base import (
    Job,
    Settings,
)
from gradcheck.experiment.engines.cells import (
    prepare,
    tasks,
    work,
)
from gradcheck.experiment.engines.interrupts import (
    STOP_SECONDS,
    deaf_to_interrupts,
    deafen_to_manager,
    interrupts_held_back,
)


def n_processes(n_jobs: int | None) -> int:
    """Number of processes that `n_jobs` stands for, in joblib's sense."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    from joblib import cpu_count

    return max(1, int(cpu_count()) + 1 + (-1 if n_jobs is None else n_jobs))


class Processes:
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
        deafen_to_manager()
        self._executor = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),), env=threads)

    def submit(self, chunk: Sequence[Sequence[Job]]) -> Any:
        """A future of the outcomes; raises RuntimeError where the pool is broken."""
        return self._submit(work, tasks(chunk), self._settings)

    def wait_until_up(self) -> None:
        self._submit(prepare, self._settings).result()

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


def _start_worker(parent: int) -> None:
    # Ctrl-C reaches the whole group of processes; the parent is the one that answers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its workers: they look for themselves."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
