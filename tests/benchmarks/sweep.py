"""What a sweep costs beside its numerics: start-up, composing, planning, storing, memory, bytes, growth.

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
        yield from parent(folder)
        yield memory(folder)
        yield from growth(folder)


def start_up(folder: str) -> Row:
    """A single run of a tiny model against the imports that it cannot do without."""
    ours, imports = alternating(
        lambda: command(["model=one_d", "data=none"], folder),
        lambda: command([], folder, ("-c", "import hydra, numpy, pyarrow.parquet")),
        repeats=9,
    )
    return at_most(
        "a single run, tiny model, start to exit, over `import hydra, numpy, pyarrow.parquet`",
        1.5,
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
        f"{name}, over a bare NumPy loop of central differences without a verdict",
        0.7,
        ratio(ours, plain),
        "median of 3",
    )
    yield at_most(f"{name}, the same with engine=serial", 1.2, ratio(serial, plain), "median of 3")
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
        yield at_most(f"bytes in Parquet per weight row, {name}", 40, sum(path.stat().st_size for path in files) / n)


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


def parent(folder: str) -> Iterator[Row]:
    """What the process takes that plans and stores, while others compute; and whether it keeps eight of them busy."""

    def run(workers: int, cells: int, waits: float) -> list[float]:
        """Seconds of this process's own processor, and by the clock, from the plan to the summary."""
        arguments = [f"engine.n_jobs={workers}", f"data.seed=range({cells // 4})", EPS, *TINY]
        return [float(number) for number in printed(PARENT, [str(waits), *arguments, "engine=loky"], folder)]

    few, many = run(2, 400, 0.0)[0], run(2, 20_400, 0.0)[0]
    yield at_most("planning and storing in the parent, ms a cell of 11 weights", 0.12, 1e3 * (many - few) / 20_000)
    one, two, eight = (4000 * n / (run(n, 4000 * n, 2e-3)[1] - run(n, 40, 2e-3)[1]) for n in (1, 2, 8))
    note = f"{one:.0f} cells a second with one"
    yield at_least("cells that wait 2 ms: two workers over one, cells a second", 1.9, two / one, note)
    yield at_least("cells that wait 2 ms: eight workers over one, cells a second", 7, eight / one, note)
    if threads.count() < 2:
        yield skipped("cells that compute for 2 ms: two workers over one, cells a second", "1.7 or more", "one core")
        return
    busy = [2000 * n / (run(n, 2000 * n, -2e-3)[1] - run(n, 40, -2e-3)[1]) for n in (1, 2)]
    note = f"{busy[0]:.0f} cells a second with one"
    yield at_least("cells that compute for 2 ms: two workers over one, cells a second", 1.7, busy[1] / busy[0], note)


TINY = ("data.n=100", "data.d=10", "progress=none", "fail_on=never", "-m")
# Runs a sweep whose cells wait (or, where the number is negative, compute) for so many seconds and then have one result.
PARENT = """
import functools, sys, time
from gradcheck.experiment.engines import cells, engines
from gradcheck.views.commands import compute, launch
from gradcheck.views.commands.caller import Caller


def waiting(config, waits, known):
    if waits > 0:
        time.sleep(waits)
    else:
        end = time.process_time() - waits
        while time.process_time() < end:
            pass
    return known[0]


def run(jobs, *others, **options):
    known = [cells.compute(next(iter(jobs)).config)]
    options["compute"] = functools.partial(waiting, waits=float(sys.argv[1]), known=known)
    return engines.run(jobs, *others, **options)


def planned(*arguments):
    global start
    start = time.process_time(), time.perf_counter()
    return plan(*arguments)


class Engines:
    refuse, run = staticmethod(engines.refuse), staticmethod(run)


if float(sys.argv[1]):
    compute.engines = Engines
plan, launch.sweep = launch.sweep, planned
assert launch.run(sys.argv[2:], Caller()) == 0
print(time.process_time() - start[0], time.perf_counter() - start[1])
"""


def printed(program: str, arguments: Sequence[str], folder: str) -> list[str]:
    """The words of the last line that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(BARE.parents[2]), "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1].split()


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
        typed = ["data.n=2", "data.d=1", "model.bias=false", f"data.seed=range({n})", "eps=1e-4"]
        more = ["engine=serial", "progress=none", "fail_on=never", "-m"]
        return int(printed(PEAK, [*typed, *more], folder)[-1])

    few = statistics.median(peak(1000) for _ in range(3))
    return at_most(
        "peak memory, 100,000 cells over 1,000", 1.05, peak(100_000) / few, "once over a median of 3, tiny cells"
    )


GROWTH = """
import resource, sys, time
from gradcheck.experiment.results import writer
from gradcheck.views.commands import launch
from gradcheck.views.commands.caller import Caller

spent, write, plan = [], writer.write_pair, launch.sweep


def written(*arguments):
    found = write(*arguments)
    spent.append(time.process_time())
    return found


def planned(*arguments):
    start = time.process_time()
    found = plan(*arguments)
    print(time.process_time() - start, file=sys.stderr)
    return found


writer.write_pair, launch.sweep = written, planned
assert launch.run(sys.argv[1:], Caller()) == 0
# the first part has no rows, the last may have few
steps = [later - earlier for earlier, later in zip(spent[1:-1], spent[2:-1])]
print(*steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, spent[-1])
"""


def growth(folder: str, sizes: Sequence[int] = (10_000, 100_000)) -> Iterator[Row]:
    """How a sweep grows with its number of cells, on one core: seconds of the processor, from its first part to its last.

    ``python -m tests.benchmarks._growth 1000000`` measures a million, which takes half an hour.
    """
    spent: dict[int, float] = {}
    for n in sizes:
        typed = ["data.n=100", "data.d=10", f"data.seed=range({n // 4})", EPS, "engine=serial", "progress=none", "-m"]
        *steps, peak, spent[n] = (float(word) for word in printed(GROWTH, typed, folder))
        tenth = max(1, len(steps) // 10)
        name = f"sweep of {n:,} cells"
        if len(steps) > 20:
            grown = statistics.median(steps[-tenth:]) / statistics.median(steps[:tenth])
            yield at_most(f"{name}: seconds of the processor a part, the last tenth over the first", 1.05, grown)
        note = f"{spent[n]:.0f} s of the processor; {3600 / 1e6 * n:.0f} s by the clock are allowed on two cores"
        megabytes = peak * (1 if sys.platform == "darwin" else 1024) / 1e6
        yield at_most(f"{name}: MB of the process that plans and stores", 200, megabytes, note)
    few, many = min(sizes), max(sizes)
    if few < many:
        each = spent[many] / many / (spent[few] / few)
        yield at_most(f"seconds of the processor a cell, {many:,} over {few:,} cells", 1.05, each)
