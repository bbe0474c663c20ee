"""What the package changes in the interpreter and inside other packages, each change with its reason.

A test holds that no other module sets anything on what it imports, and names the exceptions.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

# ---------------------------------------------------------------------------------------------------- the interpreter


# New objects after which the collector looks for garbage.  Its own number, 700, is what a few cells make, nearly all of
# which are gone with them: a twentieth of a sweep would be spent on looking.
LOOK_AFTER = 5_000


@contextmanager
def collector_paused(alone: bool) -> Iterator[None]:
    """Pause the garbage collector: while a command imports and composes it would take a fifth of a small run.

    alone : as in `collect_from_now`, whose effect ends with the block.
    """
    collecting, after = gc.isenabled(), gc.get_threshold()
    gc.disable()
    try:
        yield
    finally:
        if alone:
            gc.unfreeze()
            gc.set_threshold(*after)
        (gc.enable if collecting else gc.disable)()


def collect_from_now(alone: bool) -> None:
    """Start the garbage collector once the config is composed.

    alone : the process exits after the run.  Then all objects made so far are frozen, so that the collector skips them.
        In a process that goes on they are not: unfrozen objects land in the oldest generation and would hardly ever be
        collected.
    """
    if alone:
        gc.freeze()
        gc.set_threshold(LOOK_AFTER, *gc.get_threshold()[1:])
    gc.enable()


def freeze_before_exit() -> None:
    """Freeze all objects: the interpreter would search all of them for garbage once more before it exits."""
    gc.freeze()


def log_without_tracebacks() -> None:
    """A log that cannot be written, on a full disk for one, is no reason for a traceback on standard error."""
    logging.raiseExceptions = False


@contextmanager
def put_back() -> Iterator[None]:
    """Put back what a run changes in the process of another program: environment, warnings, hooks, levels of loggers.

    We set variables for Hydra and Arrow; joblib, threadpoolctl and Dask set others for themselves, and keep them.
    """
    variables = dict(os.environ)
    hook, complaints, folder = threading.excepthook, logging.raiseExceptions, os.getcwd()
    try:
        with warnings.catch_warnings(), collector_paused(alone=False):
            os.environ["HYDRA_FULL_ERROR"] = "1"  # where Hydra was imported before, its variable is gone
            yield
    finally:
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in variables.items() if os.environ.get(name) != value})
        threading.excepthook, logging.raiseExceptions = hook, complaints
        while _silenced:
            logging.getLogger((known := _silenced.popitem())[0]).setLevel(known[1])
        with suppress(OSError):  # it may have been removed meanwhile
            os.chdir(folder)


@contextmanager
def handlers_set_aside() -> Iterator[None]:
    """Hydra shows what it knows of itself by a handler of its own, at a level of its own: for that of a program meanwhile."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    for handler in handlers:
        root.removeHandler(handler)
    try:
        yield
    finally:
        for handler in list(root.handlers):
            root.removeHandler(handler)
            handler.close()
        for handler in handlers:
            root.addHandler(handler)
        root.setLevel(level)


def raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise an exception in another thread between two lines of Python; None takes back what was not raised yet."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error and ctypes.py_object(error))


# -------------------------------------------------------------------------------------------------------------- loky


class _Hook:
    """An excepthook of threads that hides, after an interrupt, what loky's manager thread says."""

    def __init__(self, before: Callable[[threading.ExceptHookArgs], object], interrupted: Callable[[], bool]) -> None:
        self._before, self._interrupted = before, interrupted

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        manager = arguments.thread is not None and arguments.thread.name.startswith("ExecutorManager")
        if not (manager and self._interrupted()):
            self._before(arguments)


def silence_loky_after(interrupted: Callable[[], bool]) -> None:
    """Hide the traceback of loky's manager thread after an interrupt.

    The thread ends in a KeyError where it was about to hand out a cell that is no longer wanted.
    """
    if not isinstance(threading.excepthook, _Hook):
        threading.excepthook = _Hook(threading.excepthook, interrupted)


class _Process(Protocol):
    pid: int


def give_loky_kill() -> None:
    """Give loky's processes the method ``kill``, which loky calls without having it.

    It does so, after a warning, where neither psutil nor pgrep can look for children of the processes, as in slim
    containers: the pool would end in an AttributeError, the processes never.  Our processes have no children.
    """
    from joblib.externals.loky.backend.process import LokyProcess

    warnings.filterwarnings("ignore", message="Failed to kill subprocesses on this platform")
    LokyProcess.kill = kill


def kill(process: _Process) -> None:
    """Kill a process; one that has ended is none."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))


# -------------------------------------------------------------------------------------------------------------- Dask


_silenced: dict[str, int] = {}  # the levels that loggers had


def silence_dask() -> None:
    """Silence the loggers of Dask: they write to standard error what one line of ours says."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            _silenced.setdefault(name, logging.getLogger(name).level)
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage while a client or a cluster of Dask starts or ends.

    Dask closes a forgotten client, such as one whose scheduler died, when it is collected, and takes a lock for that.
    A start and an end hold the same lock: a collection amid one of them would wait for itself for ever.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
