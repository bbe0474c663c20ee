"""How far a run is: a bar on a terminal, a line a minute elsewhere, nothing with progress=none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from gradcheck.errors import BadInput

MODES = ("auto", "none")
BAR = 24
_REDRAW = 0.1  # seconds between two drawings: nobody reads faster
_PATIENCE = 0.5  # seconds: a shorter run needs no bar
_MINUTE = 60.0


class Progress:
    """Shows cells done, cells a second, time left and failures so far, on standard error.

    total : number of cells, or None where it is not known.   unit : what is counted instead of cells.
    mode : ``auto`` or ``none``.
    clock : seconds, for tests.
    """

    def __init__(
        self,
        total: int | None,
        mode: str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "cells",
    ) -> None:
        if mode not in MODES:
            raise BadInput(f"progress={mode}: must be one of {', '.join(MODES)}")
        self.total, self.done, self.failed = total, 0, 0
        self._stream = sys.stderr if stream is None else stream
        self._clock, self._unit = clock, unit
        self._start = clock()
        self._bar = mode == "auto" and self._stream.isatty()
        self._next = self._start + (float("inf") if mode == "none" else _PATIENCE if self._bar else _MINUTE)
        self._drawn = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the bar: what follows says how it ended."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0

    def advance(self, failed: bool = False) -> None:
        """One more cell is done."""
        self.done += 1
        self.failed += failed
        now = self._clock()
        if now < self._next:
            return
        line = self.line(now)
        if self._bar:
            self._next = now + _REDRAW
            self._stream.write("\r" + line.ljust(self._drawn))
            self._drawn = len(line)
        else:
            self._next += _MINUTE * (1 + (now - self._next) // _MINUTE)
            self._stream.write(line + "\n")
        self._stream.flush()

    def line(self, now: float) -> str:
        """``[######------]  412/1000 cells  81/s  0:07 left  3 failed``"""
        spent = max(now - self._start, 1e-9)
        rate = self.done / spent
        words = [
            f"{self.done}/{self.total} {self._unit}" if self.total is not None else f"{self.done} {self._unit}",
            f"{_rate(rate)}/s",
        ]
        if self.total is not None and rate > 0:
            words.append(f"{clock_time(max(0, self.total - self.done) / rate)} left")
        if self.failed:
            words.append(f"{self.failed} failed")
        if self._bar and self.total:
            filled = min(BAR, BAR * self.done // self.total)
            words.insert(0, f"[{'#' * filled}{'-' * (BAR - filled)}]")
        return "  ".join(words)


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def clock_time(seconds: float) -> str:
    """0:07, 12:30, 3:00:00"""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
