"""Waiting for what happens, however busy the machine is: a limit is for what never happens, and says nothing of speed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PATIENCE = 600.0  # seconds: thirty times what the longest of these waits takes beside four busy processes a core


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return as soon as the condition holds.  Raises AssertionError where it does not come to that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def start_seconds(imported: str) -> float:
    """Seconds that a new process takes here and now until it has imported these modules.

    A limit that a test must let run out is a multiple of it: short where the machine is idle, long where it is busy.
    """
    start = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    subprocess.run([sys.executable, "-c", f"import {imported}"], cwd=TESTS, env=environment, check=True)
    return time.monotonic() - start
