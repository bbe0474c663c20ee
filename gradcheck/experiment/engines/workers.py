"""Processes of this machine that compute cells and end with this one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from gradcheck.experiment.engines.base import EngineSettings, Job, Timed
from gradcheck.experiment.engines.cells import prepare, tasks, work
from gradcheck.experiment.engines.interrupts import STOP_SECONDS, deaf_to_interrupts, interrupted, interrupts_held_back
from gradcheck.experiment.patches import give_loky_kill, silence_loky_after

R = TypeVar("R")


class Processes:
    """Processes with one BLAS thread each that end with this one.

    settings : of what is submitted.
    """

    def __init__(self, workers: int, settings: EngineSettings) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        give_loky_kill()
        self.workers = workers
        self._started = False
        self.settings = settings
        self._others = set(threading.enumerate())
        names = ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
        threads = {f"{name}_NUM_THREADS" if "MAXIMUM" not in name else f"{name}_THREADS": "1" for name in names}
        silence_loky_after(interrupted)
        self._executor = ProcessPoolExecutor(workers, initializer=begin_worker, initargs=(os.getpid(),), env=threads)

    def submit(self, chunk: Sequence[Sequence[Job]]) -> Future[list[Timed]]:
        """A future of the outcomes; raises RuntimeError where the pool is broken."""
        return self._submit(work, tasks(chunk), self.settings)

    def wait_until_up(self) -> None:
        """Wait until a process has imported what a cell needs."""
        self._submit(prepare, self.settings).result()

    def _submit(self, function: Callable[..., R], *arguments: object) -> Future[R]:
        if self._started:
            return self._executor.submit(function, *arguments)
        self._started = True
        with interrupts_held_back():  # the first call starts the processes
            return self._executor.submit(function, *arguments)

    def killed(self, error: BaseException) -> bool:
        """Whether a chunk was lost with its process."""
        from concurrent.futures.process import BrokenProcessPool

        return isinstance(error, BrokenProcessPool)

    def end(self, stuck: bool = False) -> None:
        """Kill the processes.  Ctrl-C is ignored meanwhile: it would end the tool by which loky looks for them."""
        with deaf_to_interrupts():
            fed = self._executor._call_queue
            self._executor.shutdown(wait=True, kill_workers=True)
            # loky does not wait for the thread that fed its queue and removes its last semaphores: a process that ends
            # before they are removed is told that they leaked.  The thread waits for more until the queue is closed, which is
            # left to the garbage collector.
            if fed is not None:
                fed.close()
            for thread in set(threading.enumerate()) - self._others:
                if thread.name == "QueueFeederThread":
                    thread.join(timeout=STOP_SECONDS)


def begin_worker(parent: int) -> None:
    """Be deaf to Ctrl-C, which reaches the whole group of processes and which the parent answers, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: a parent that was killed cannot end its workers."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
