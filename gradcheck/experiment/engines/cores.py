"""How many processes a number stands for, in joblib's sense.

The slow way, ``joblib.cpu_count``, is the definition.  Its import takes as long as two hundred small cells, and no run that
forks its processes needs joblib for anything else.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def n_processes(n_jobs: int | None) -> int:
    """Number of processes that `n_jobs` stands for: itself; one for each core (None, -1); all but one (-2)."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    return max(1, cores() + 1 + (-1 if n_jobs is None else n_jobs))


def cores() -> int:
    """The cores that this process may use."""
    if sys.platform != "linux":
        from joblib import cpu_count

        return int(cpu_count())
    every = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    asked = int(os.environ.get("LOKY_MAX_CPU_COUNT", every))
    return max(1, min(every, allowed, asked, granted(_GROUP) or every))


def granted(group: Path) -> int | None:
    """The cores whose time a container may use in all; None where that is not limited.

    group : where the system says so: in ``cpu.max`` (version 2 of control groups) or in ``cpu/cpu.cfs_*`` (version 1).
    """
    quota = period = ""
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu/cpu.cfs_quota_us").read_text(), (group / "cpu/cpu.cfs_period_us").read_text()
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
    with suppress(ValueError):
        if int(quota) > 0 and int(period) > 0:
            return math.ceil(int(quota) / int(period))
    return None
