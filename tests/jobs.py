"""Stand-ins for cells, which an engine computes: numbers, and what can go wrong in one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from waiting import PATIENCE

from gradcheck.errors import Meaningless
from gradcheck.experiment.engines import engines
from gradcheck.experiment.engines.base import CellFailed

MISHAPS = {
    "raises": (CellFailed, "ZeroDivisionError: division by zero"),
    "overflows": (CellFailed, "the loss is inf at theta"),
    "exits": (CellFailed, "SystemExit: good bye"),
    "meaningless": (Meaningless, "no effect here"),
}

NUMPY_BLAS = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]  # type: ignore[call-overload, index]


@dataclass(frozen=True)
class Job:
    config: Any
    skip: str | None = None
    cell: str | None = None


def square(given: Any) -> Any:
    """Stands for a cell: a number is squared, a word is a mishap."""
    match given:
        case "raises":
            raise ZeroDivisionError("division\nby zero")
        case "overflows":
            raise FloatingPointError("the loss is inf at theta")
        case "meaningless":
            raise Meaningless("no effect here")
        case "exits":
            sys.exit("good bye")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            time.sleep(2 * PATIENCE)
        case "spins":
            while True:
                pass
        case "swallows":
            while True:
                try:
                    time.sleep(2 * PATIENCE)
                except Exception:
                    continue
        case "unpicklable":
            return threading.Lock()
        case "threads":
            from threadpoolctl import threadpool_info

            np.ones((4, 4)) @ np.ones((4, 4))
            return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        case "process":
            return os.getpid()
        case float():
            time.sleep(given)
            return given
    return given * given


def have_blas_threads(found: set[int], number: int = 1) -> bool:
    """Whether every BLAS of a process has so many threads.  Where NumPy was built without one, there may be none at all."""
    return found == {number} or (not found and NUMPY_BLAS == "none")


def outcomes(given: list[Any], engine: str, **options: Any) -> dict[Any, Any]:
    jobs = [one if isinstance(one, Job) else Job(one) for one in given]
    found = list(engines.run(jobs, 2, engine, compute=square, **options))
    assert sorted(str(job.config) for job, _, _ in found) == sorted(str(job.config) for job in jobs)
    assert all(seconds >= 0 for _, _, seconds in found)
    return {job.config: outcome for job, outcome, _ in found}
