"""What a sweep costs beside its numerics: start-up, composing, planning, storing, memory, bytes.

Commands are timed from start to exit, in turn with what they are compared with.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gradcheck.numerics import threads
from tests.benchmarks.frame import Row, alternating, at_least, at_most, compared, ratio, seconds, skipped

BARE = Path(__file__).with_name("_bare.py")
AS_OFTEN = ("2", "4")  # a verdict at a fixed step looks at two more
EPS = "eps=1e-3,1e-4,1e-5,1e-6"
SEEDS = 2500  # four eps each
OWN_CELLS = 200  # of Hydra's own multirun, which takes a minute for them


def started(
    arguments: Sequence[str], folder: str, program: Sequence[str] = ("-m", "gradcheck.run")
) -> subprocess.Popen[bytes]:
    """A Python program as a process, with compiled modules and one BLAS thread as everybody has them."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "gradcheck-benchmarks-pycache")}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(BARE.parents[2])}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, *program, *arguments], env=environment, cwd=folder, stdout=quiet, stderr=quiet
    )


def command(arguments: Sequence[str], folder: str, program: Sequence[str] = ("-m", "gradcheck.run")) -> None:
    """Run such a program to its end, which is a good one."""
    assert started(arguments, folder, program).wait() == 0, arguments


def sweep(seeds: int, folder: str, *more: str) -> Callable[[], None]:
    typed = ["data.n=100", "data.d=10", f"data.seed=range({seeds})", EPS, *more, "-m"]
    return lambda: command(typed, folder)


def bare(folder: str, *multiples: str, loops: int = 1) -> Callable[[], None]:
    """The same cells in a loop without a framework, on one core; so many such loops side by side."""

    def work() -> None:
        programs = [started([str(SEEDS), *multiples], folder, (str(BARE),)) for _ in range(loops)]
        assert {program.wait() for program in programs} == {0}

    return work


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield start_up(folder)
        yield from cells(folder)
        yield from bytes_a_row(folder)
        yield from two_workers(folder)
        yield memory(folder)


def start_up(folder: str) -> Row:
    """A single run of a tiny model against the imports that it cannot do without."""
    ours, imports = alternating(
        lambda: command(["model=one_d", "data=none"], folder),
        lambda: command([], folder, ("-c", "import hydra, numpy, pyarrow.parquet")),
        repeats=9,
    )
    return at_most(
        "a single run, tiny model, start to exit, over `import hydra, numpy, pyarrow.parquet`",
        1.8,
        ratio(ours, imports),
    )


def cells(folder: str) -> Iterator[Row]:
    """10,000 cells against the same in bare NumPy and against Hydra's own multirun."""
    name = f"sweep of {4 * SEEDS:,} cells (logistic n = 100, d = 10), start to exit"
    ours, serial, evaluating, plain = alternating(
        sweep(SEEDS, folder),
        sweep(SEEDS, folder, "engine=serial"),
        bare(folder, *AS_OFTEN),
        bare(folder),
        repeats=3,
        warm=False,
    )
    note = f"median of 3; {1e3 * statistics.median(ours) / (4 * SEEDS):.2f} ms a cell"
    yield at_most(
        f"{name}, over a bare NumPy loop that evaluates the loss as often, on one core",
        2,
        ratio(ours, evaluating),
        note,
    )
    yield at_most(f"{name}, the same with engine=serial", 2, ratio(serial, evaluating), "median of 3")
    yield at_most(
        f"{name}, over a bare NumPy loop of central differences without a verdict", 2, ratio(ours, plain), "median of 3"
    )
    yield compared(f"{name}, the same with engine=serial", ratio(serial, plain), "median of 3")
    own = seconds(sweep(OWN_CELLS // 4, folder, "hydra/launcher=basic", "hydra/sweeper=basic"))
    each = [own / OWN_CELLS / (spent / (4 * SEEDS)) for spent in ours]
    note = f"{OWN_CELLS} cells of Hydra's, once: {1e3 * own / OWN_CELLS:.0f} ms each"
    yield at_least(f"{name}, Hydra's basic launcher over it, by cell", 100, sorted(each)[len(each) // 2], note)


def bytes_a_row(folder: str) -> Iterator[Row]:
    """Size of ``errors`` by weight."""
    for name, typed in (
        ("four eps", [f"data.seed=range({500})", EPS]),
        ("one eps, every seed another gradient", [f"data.seed=range({2000})", "eps=1e-5"]),
        ("planted bugs", [f"data.seed=range({500})", "bug=none,scale,sign_flip,relative_noise", "eps=1e-5"]),
    ):
        target = f"bytes-{name.split()[0]}"
        command(["data.n=100", "data.d=10", *typed, f"hydra.sweep.dir={target}", "fail_on=never", "-m"], folder)
        files = list((Path(folder) / target / "errors").glob("*.parquet"))
        n = sum(pq.read_metadata(path).num_rows for path in files)
        yield at_most(f"bytes in Parquet per weight row, {name}", 60, sum(path.stat().st_size for path in files) / n)


def two_workers(folder: str) -> Iterator[Row]:
    """A sweep of a minute in two processes and in one."""
    name = "two workers against one, sweep of a minute"
    if threads.count() < 2:
        yield skipped(name, "1.8 or more", "one core")
        return
    typed = ["data.n=3000", "data.d=50", "data.seed=range(1700)", EPS, "engine=loky", "-m"]
    one, two, alone, beside = alternating(
        lambda: command([*typed, "engine.n_jobs=1"], folder),
        lambda: command([*typed, "engine.n_jobs=2"], folder),
        bare(folder),
        bare(folder, loops=2),
        repeats=3,
        warm=False,
    )
    yield at_least(name, 1.8, ratio(one, two), f"median of 3; {statistics.median(one):.0f} s with one")
    yield compared(
        "two bare NumPy loops one after the other against side by side: what the cores give",
        2 * ratio(alone, beside),
    )


PEAK = """
import resource, sys
from gradcheck.views.commands.caller import Caller
from gradcheck.views.commands.launch import run
assert run(sys.argv[1:], Caller()) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory(folder: str) -> Row:
    """Peak memory of the process that plans and stores, for many tiny cells and for few."""

    def peak(n: int) -> int:
        typed: list[Any] = ["data.n=2", "data.d=1", "model.bias=false", f"data.seed=range({n})", "eps=1e-4"]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *typed, "engine=serial", "progress=none", "fail_on=never", "-m"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(BARE.parents[2])},
            check=True,
            capture_output=True,
            text=True,
        )
        return int(done.stdout.split()[-1])

    few = statistics.median(peak(1000) for _ in range(3))
    return at_most(
        "peak memory, 100,000 cells over 1,000", 1.1, peak(100_000) / few, "once over a median of 3, tiny cells"
    )
