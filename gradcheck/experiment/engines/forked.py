"""Processes forked from this one: they have imported what it has, and are up in a moment.

A new interpreter takes half a second to import what a cell needs.  A fork is safe where this process has no other thread,
which might hold a lock for ever in the fork; so processes are forked before the run starts its own.  The libraries below
NumPy and Arrow know of forks on Linux.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from gradcheck.experiment.engines.base import EngineSettings, Job, Timed
from gradcheck.experiment.engines.cells import Task, one_blas_thread, prepare, tasks, worked
from gradcheck.experiment.engines.interrupts import deaf_to_interrupts, interrupts_blocked
from gradcheck.experiment.engines.workers import begin_worker
from gradcheck.experiment.patches import kill
from gradcheck.numerics import threads

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PIPE_BYTES = (
    2**20
)  # the most that Linux allows: the outcomes of a chunk wait there until this process has time for them


class Ended(RuntimeError):
    """The process that had a chunk has ended."""


def possible() -> bool:
    """Whether this process may be forked."""
    return sys.platform == "linux" and threading.active_count() == 1


class Forked:
    """Processes with one BLAS thread each that end with this one.

    settings : of what is submitted.
    """

    def __init__(self, workers: int, settings: EngineSettings) -> None:
        prepare(settings)
        self.workers = workers
        self.settings = settings
        self._forks: list[_Fork] = []
        with interrupts_blocked():  # one that came before a fork ignores Ctrl-C would strike it
            for _ in range(workers):
                self._forks.append(_Fork(self._forks))
        for fork in self._forks:  # all are there: from now on there may be threads
            fork.listen()

    def submit(self, chunk: Sequence[Sequence[Job]]) -> Future[list[Timed]]:
        """A future of the outcomes; raises RuntimeError where a process has ended."""
        if any(fork.ended for fork in self._forks):
            raise Ended
        return min(self._forks, key=_Fork.load).ask(tasks(chunk), self.settings)

    def wait_until_up(self) -> None:
        """They are."""

    def killed(self, error: BaseException) -> bool:
        """Whether a chunk was lost with its process."""
        return isinstance(error, Ended)

    def end(self, stuck: bool = False) -> None:
        """Kill the processes."""
        with deaf_to_interrupts():
            for fork in self._forks:
                kill(fork)
            for fork in self._forks:
                fork.forget()


class _Fork:
    """A process and the pipes that lead to it and back, which hold a chunk or two.

    others : forked before; this one keeps nothing of theirs open.
    """

    def __init__(self, others: Sequence[_Fork]) -> None:
        asked, self._ask = _pipe()
        self._answers, answered = _pipe()
        self.ended = False
        self._waiting: deque[Future[list[Timed]]] = deque()
        self._listener = threading.Thread(target=self._listen, name="gradcheck-answers", daemon=True)
        parent = os.getpid()
        with warnings.catch_warnings():  # the threads that there may be belong to libraries that know of forks
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            for mine in (self, *others):
                mine._ask.close()
                mine._answers.close()
            _serve(asked, answered, parent)
        asked.close()
        answered.close()

    def listen(self) -> None:
        """Wait for answers from now on."""
        self._listener.start()

    def load(self) -> int:
        """How many chunks it has."""
        return len(self._waiting)

    def ask(self, chunk: list[list[Task]], settings: EngineSettings) -> Future[list[Timed]]:
        """Send a chunk; a future of its outcomes."""
        future: Future[list[Timed]] = Future()
        self._waiting.append(future)
        try:
            self._ask.send((chunk, settings))
        except OSError:
            pass  # it has ended: who listens hears of it
        except Exception as error:  # what cannot be sent was not begun to be
            self._waiting.remove(future)
            future.set_exception(error)
        if self.ended:  # and maybe heard of it before this future was there
            self._fail()
        return future

    def _listen(self) -> None:
        """Hand on the answers, which come in the order of the chunks, until the process has ended."""
        with suppress(EOFError, OSError):
            while True:
                found = self._answer()
                future = self._waiting.popleft()
                if isinstance(found, Exception):
                    future.set_exception(found)
                else:
                    future.set_result(found)
        self.ended = True
        self._fail()

    def _answer(self) -> list[Timed] | Exception:
        """The next answer; raises EOFError or OSError where the process has ended."""
        found: list[Timed] | Exception
        try:
            found = self._answers.recv()
        except (EOFError, OSError):
            raise
        except Exception as error:  # its bytes are there, and make no object here
            return error
        return found

    def _fail(self) -> None:
        with suppress(IndexError):
            while True:
                self._waiting.popleft().set_exception(Ended())

    def forget(self) -> None:
        """Wait for the end of a process that was killed."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._listener.join()
        self._ask.close()
        self._answers.close()


def _pipe() -> tuple[Connection, Connection]:
    """The end to read from and that to write to of a pipe that holds much."""
    import fcntl
    from multiprocessing import Pipe  # a small run, which forks nothing, would notice

    reader, writer = Pipe(duplex=False)
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def _serve(asked: Connection, answers: Connection, parent: int) -> NoReturn:
    """Compute chunks until nobody asks any more."""
    try:
        begin_worker(parent)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with one_blas_thread(), threads.limit(1), suppress(EOFError, OSError):
            while True:
                _compute(answers, *asked.recv())
    finally:
        os._exit(1)  # whatever it was: nothing of the process that it was forked from is ended or written here


def _compute(answers: Connection, chunk: list[list[Task]], settings: EngineSettings) -> None:
    """Send the outcomes of a chunk, or the error that hinders that."""
    found: list[Timed] | Exception
    try:
        found = worked(chunk, settings)
        answers.send(found)
    except OSError:
        raise
    except Exception as error:  # what cannot be sent was not begun to be
        answers.send(RuntimeError(str(error)))
