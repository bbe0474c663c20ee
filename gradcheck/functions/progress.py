"""A line on a terminal that says how far a check is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

# Seconds before the line appears, and between two drawings: nobody reads faster.
PATIENCE, REDRAW = 0.5, 0.1


class Line:
    """Evaluations so far and seconds, on standard error where that is a terminal; nothing elsewhere.

    clock : seconds, for tests.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock, self._start = clock, clock()
        self._shown = bool(getattr(self._stream, "isatty", lambda: False)())
        self._next = self._start + PATIENCE
        self._drawn = 0

    def __call__(self, nfev: int) -> None:
        """Say that ``fun`` was called so often."""
        now = self._clock()
        if not self._shown or now < self._next:
            return
        self._next = now + REDRAW
        text = f"gradcheck: {nfev} evaluations of fun, {now - self._start:.0f} s"
        self._stream.write("\r" + text.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(text)

    def wipe(self) -> None:
        """Take the line away: what follows says how the check ended."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0
