"""Ctrl-C and SIGTERM while processes are started, and while they compute."""

from __future__ import annotations

import atexit
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SECONDS = 10.0  # to store what is finished takes less

_interrupted = threading.Event()


def interrupted() -> bool:
    """Whether Ctrl-C or SIGTERM came since `sigterm_interrupts` began last."""
    return _interrupted.is_set()


@contextmanager
def sigterm_interrupts(*, alone: bool = True) -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that what is finished is stored; for the main thread.

    The first signal is enough.  More of them within STOP_SECONDS are ignored: an impatient second Ctrl-C would strike
    while results are stored and processes ended.  After an interrupt Ctrl-C stays ignored when the block ends.

    alone : nothing else is done in this process.  In that of another program SIGTERM stays as the program has it, Ctrl-C is
        taken only where the program has left it to Python, and both are as they were when the block ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = -math.inf
    _interrupted.clear()

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if time.monotonic() - first > STOP_SECONDS:
            first = time.monotonic()
            _interrupted.set()
            if alone:  # the interpreter gives signals back while it ends: one more would end it with another status
                atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt

    taken = [signal.SIGINT, signal.SIGTERM] if alone else []
    if not alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        taken = [signal.SIGINT]
    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            # Once interrupted, a second Ctrl-C may still be on its way, and would spoil the exit status of what ends now.
            if not alone or number == signal.SIGTERM or first == -math.inf:
                signal.signal(number, handler)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Block SIGINT while new interpreters start, as `interrupts_blocked` does."""
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # else it starts along with the workers and unblocks the signal
    with interrupts_blocked():
        yield


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block SIGINT while workers start: they inherit the mask and ignore Ctrl-C, which reaches the whole group of
    processes; this process gets it when the block ends.
    """
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C within the block, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
