"""Ctrl-C and SIGTERM while processes are started, and while they compute."""

from __future__ import annotations

import atexit
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_INTERRUPTED = threading.Event()


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


def deafen_to_manager() -> None:
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


STOP_SECONDS = 10.0  # to store what is finished takes less
