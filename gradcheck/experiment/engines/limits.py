"""The time limit of a cell."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from gradcheck.experiment.patches import raise_in


class TimeIsUp(BaseException):
    """Not an Exception, so that no ``except Exception`` in a user's function swallows it."""


def time_limit(seconds: float | None) -> AbstractContextManager[None]:
    """Raise TimeIsUp after so many seconds."""
    if seconds is None:
        return nullcontext()
    alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    return _alarm(seconds) if alarms else _watch(seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

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
            raise_in(here, TimeIsUp)
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
                raise_in(here, None)  # what is on its way
            except TimeIsUp:
                continue
