"""Measuring ratios: two works timed in turn in one process, the median of the ratios, a row of the table.

A module of this folder that has a function ``rows() -> Iterable[Row]`` is a benchmark under its own name.
"""

from __future__ import annotations

import importlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from tests.processors import features

REPEATS = 5
PACKAGES = ("numpy", "pyarrow", "hydra-core", "joblib", "scipy", "torch", "jax", "statsmodels", "numdifftools")


@dataclass(frozen=True)
class Row:
    """One figure: what is measured, what is required of it, what came out.

    measured : NaN where it was not measured; the note says why.
    """

    name: str
    required: str
    measured: float
    ok: bool
    note: str = ""


def at_least(name: str, required: float, measured: float, note: str = "") -> Row:
    return Row(name, f"{required:g} or more", measured, measured >= required, note)


def at_most(name: str, required: float, measured: float, note: str = "") -> Row:
    return Row(name, f"{required:g} or less", measured, measured <= required, note)


def compared(name: str, measured: float, note: str = "") -> Row:
    """A figure of which nothing is required, to read the others by."""
    return Row(name, "-", measured, True, note)


def skipped(name: str, required: str, why: str) -> Row:
    """A figure that cannot be measured here, such as that of a peer that is not installed; no failure."""
    return Row(name, required, float("nan"), True, f"skipped: {why}")


def missing(*modules: str) -> str:
    """Why a peer cannot be measured: the modules that are not installed; empty where all are."""
    absent = [name for name in modules if util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed (pip install -e '.[bench]')" if absent else ""


def by_processor() -> None:
    """Count the time of the processor from now on, of all threads of this process, instead of the clock's."""
    global _now
    _now = time.process_time


_now: Callable[[], float] = time.perf_counter


def seconds(work: Callable[[], Any]) -> float:
    start = _now()
    work()
    return _now() - start


def alternating(*works: Callable[[], Any], repeats: int = REPEATS, warm: bool = True) -> list[list[float]]:
    """Seconds of each work, `repeats` times, one after the other in turn, so that a busy moment strikes all of them."""
    if warm:
        for work in works:
            work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for own, work in zip(times, works, strict=True):
            own.append(seconds(work))
    return times


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """How many times as long as the second the first takes: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def wide() -> bool:
    """Whether NumPy computes with 512 bits at once here: its exp takes less time then, and some limits are others."""
    return "X86_V4" in features() or any(name.startswith("AVX512") for name in features())


def benchmarks() -> dict[str, Callable[[], Iterable[Row]]]:
    """The benchmarks of this folder by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        if path.stem != "frame":
            found[path.stem] = importlib.import_module(f"{__package__}.{path.stem}").rows
    return found


def machine() -> str:
    """Processor and versions, for those who read the figures elsewhere."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = f"{len(names)} x {names[0]}" if names else processor
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{time.strftime('%Y-%m-%d')}, {processor}; {', '.join(versions)}"


def line(row: Row) -> str:
    """A row of the table in Markdown."""
    measured = "-" if row.measured != row.measured else f"{row.measured:.3g}"
    return f"| {row.name} | {row.required} | {measured}{'' if row.ok else ' **missed**'} | {row.note} |"


HEAD = "| work | required | measured | |\n| --- | --- | --- | --- |"
