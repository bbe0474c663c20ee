"""Two checkouts of the package compute the same cells: ids and stored numbers are compared to the bit.

``python -m tests.trials identical OLD NEW`` runs the command lines of ``runs/reference`` and of ``tests/samples``, and cells
drawn from all of ``conf/experiment``, in both checkouts at once: one process each, which imports the package from there.
Only the command line and the Parquet files are used, so that modules may have moved between the two.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from .kills import Failure

Line = tuple[str, ...]  # overrides of one command

CELLS, SEED = 1000, 0
# cells of one command: many enough that composing a config does not take the time, few enough to draw them from everywhere
PER_LINE = 24
# What is said of the numbers.  It may be said otherwise, or with other weights exempt, of the very same numbers.
WORDS = frozenset({"verdict", "reason", "message", "diagnosis", "diagnosis_kind"})
COUNTS_OF_VERDICTS = frozenset({"n_match", "n_mismatch", "n_inconclusive", "n_nondifferentiable", "n_exempt"})
LEFT_OUT = frozenset({"seconds"})
ORDER = {"cells": ["cell"], "errors": ["cell", "flat_index"]}
# A cell that raised: the class is in no column.  What math functions and ** of Python floats say of an overflow, and int().
OVERFLOW = ("Numerical result out of range", "math range error", "OverflowError", "cannot convert float infinity")

# Runs each command line of standard input in this process, and prints its exit status and what stood on standard error.
CHILD = """
import contextlib, io, json, pathlib, sys
import gradcheck
from gradcheck.run import main
checkout, folder, lines = json.load(sys.stdin)
if not pathlib.Path(gradcheck.__file__).resolve().is_relative_to(checkout):
    sys.exit(f"gradcheck is imported from {gradcheck.__file__}")
found = []
for k, line in enumerate(lines):
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        # the folder of a run or that of a sweep, whichever it turns out to be
        at = [f"hydra.{kind}.dir='{folder}/{k}'" for kind in ("run", "sweep")]
        status = main([*line, "engine=serial", "progress=none", *at])
    found.append([status, err.getvalue()])
json.dump(found, sys.stdout)
"""


# ------------------------------------------------------------------------------------------------- what is to be run


def recorded(checkout: Path) -> list[Line]:
    """The command lines of the reference run and of the samples of each schema version."""
    lines = []
    for run in (checkout / "runs/reference", *sorted((checkout / "tests/samples").glob("schema-*"))):
        part = min((run / "cells").glob("*.parquet"))
        provenance = json.loads(pq.read_schema(part).metadata[b"gradcheck.provenance"])
        ours = ("engine", "progress")
        lines.append((*(o for o in provenance["overrides"] if not o.startswith(ours)), "-m"))
    return lines


@dataclass(frozen=True)
class Grid:
    """An experiment: its axes with the texts of their values; each point holds ``times`` cells (a list of steps)."""

    name: str
    axes: dict[str, list[str]]
    times: int

    @property
    def size(self) -> int:
        return self.times * math.prod(len(values) for values in self.axes.values())

    def line(self, chosen: dict[str, list[str]]) -> Line:
        return (f"+experiment={self.name}", *(f"{key}={','.join(values)}" for key, values in chosen.items()))

    def some(self, chance: random.Random) -> dict[str, list[str]]:
        """Values of each axis, one or a few, of about ``PER_LINE`` cells."""
        counts = dict.fromkeys(self.axes, 1)
        while self.times * math.prod(counts.values()) < PER_LINE:
            growing = [key for key, n in counts.items() if n < len(self.axes[key])]
            if not growing:
                break
            counts[chance.choice(growing)] += 1
        # in their own order, as in the file
        return {
            key: [self.axes[key][i] for i in sorted(chance.sample(range(len(self.axes[key])), n))]
            for key, n in counts.items()
        }


def experiments(checkout: Path) -> list[Grid]:
    """The grids of ``conf/experiment``."""
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(f"file://{checkout / 'conf'}"))
    parser = OverridesParser.create(config_loader=loader)
    grids = []
    for path in sorted((checkout / "conf/experiment").glob("*.yaml")):
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        axes = {}
        for key, value in content["hydra"]["sweeper"]["params"].items():
            (override,) = parser.parse_overrides([f"{key}={value}"])
            if override.is_sweep_override():
                axes[key] = list(override.sweep_string_iterator())
        eps = content.get("eps", "auto")
        # ${logspace:first,last,count}
        logspace = isinstance(eps, str) and eps.startswith("${logspace:")
        times = int(eps.strip("}").rpartition(",")[2]) if logspace else len(eps) if isinstance(eps, list) else 1
        grids.append(Grid(path.stem, axes, times))
    return grids


def drawn(grids: Sequence[Grid], cells: int, seed: int) -> list[Line]:
    """Command lines of at least so many different cells, in equal parts of every experiment.

    A small experiment is taken whole; of a larger one at most half the cells, since those of real data take seconds each.
    """
    chance = random.Random(seed)
    lines: list[Line] = []
    left = cells
    by_size = sorted(grids, key=lambda grid: grid.size)
    for k, grid in enumerate(by_size):
        if grid.size <= PER_LINE:
            lines.append(grid.line(grid.axes))
            left -= grid.size
            continue
        share = min(math.ceil(left / (len(by_size) - k)), grid.size // 2)
        points: set[tuple[str, ...]] = set()
        while len(points) * grid.times < share:
            chosen = grid.some(chance)
            lines.append(grid.line(chosen))
            points.update(_product(list(chosen.values())))
        left -= len(points) * grid.times
    return lines


def _product(values: list[list[str]]) -> Iterator[tuple[str, ...]]:
    if not values:
        yield ()
        return
    for first in values[0]:
        for rest in _product(values[1:]):
            yield (first, *rest)


# ------------------------------------------------------------------------------------------------------ what came of it


def both(old: Path, new: Path, lines: Sequence[Line], folder: Path) -> tuple[list[Any], list[Any]]:
    """The lines run in both checkouts, into ``folder/old/K`` and ``folder/new/K``; each one's exit status and error."""
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(_run, old, folder / "old", lines)
        after = pool.submit(_run, new, folder / "new", lines)
        return before.result(), after.result()


def _run(checkout: Path, folder: Path, lines: Sequence[Line]) -> list[Any]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"},
        text=True,
        input=json.dumps([str(checkout), str(folder), lines]),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise Failure(f"{checkout}: {done.stderr.strip()[-2000:]}")
    found: list[Any] = json.loads(done.stdout)
    return found


@dataclass
class Difference:
    """Rows of a column that are not the same, and the first of them in words."""

    rows: int = 0
    first: str = ""


@dataclass
class Comparison:
    """What was compared, and what differs by column."""

    cells: int = 0
    weights: int = 0
    refused: int = 0
    excepted: list[str] = field(default_factory=list)
    columns: set[tuple[str, str]] = field(default_factory=set)
    only: dict[str, set[str]] = field(default_factory=lambda: {"OLD": set(), "NEW": set()})
    differences: dict[str, Difference] = field(default_factory=dict)

    def differ(self, name: str, rows: int, first: str) -> None:
        """Note rows that are not the same."""
        noted = self.differences.setdefault(name, Difference())
        noted.first = noted.first or first
        noted.rows += rows

    def of_words(self, name: str) -> bool:
        """Whether a column tells what is said of the numbers."""
        return name.partition(".")[2] in WORDS | COUNTS_OF_VERDICTS

    def same(self, *, words: bool) -> bool:
        """Whether all is the same; ``words``: but for what is said of the numbers."""
        return all(words and self.of_words(name) for name in self.differences)


def compare(comparison: Comparison, old: Path, new: Path, line: Line) -> None:
    """Compare the tables of one command line."""
    before, after = _tables(old), _tables(new)
    if before is None or after is None:
        if before is None and after is None:
            comparison.refused += 1
        else:
            comparison.differ("cells", 1, f"{' '.join(line)}: refused in {'OLD' if before is None else 'NEW'} alone")
        return
    failed = pc.equal(before["cells"]["status"], "failed").to_pylist()
    messages = before["cells"]["message"].to_pylist()
    excepted = [
        str(cell)
        for cell, of_error, message in zip(before["cells"]["cell"].to_pylist(), failed, messages, strict=True)
        if of_error and any(words in (message or "") for words in OVERFLOW)
    ]
    comparison.excepted += excepted
    for name in ORDER:
        left = [
            table.filter(pc.invert(pc.is_in(table["cell"], pa.array(excepted, pa.string()))))
            for table in (before[name], after[name])
        ]
        _compare_tables(comparison, name, left[0], left[1], " ".join(line))
    comparison.cells += before["cells"].num_rows - len(excepted)
    comparison.weights += before["errors"].num_rows


def _tables(run: Path) -> dict[str, pa.Table] | None:
    """Both tables of a run in one order; None where there are none."""
    if not (run / "cells").is_dir():
        return None
    found = {}
    for name, order in ORDER.items():
        parts = [pq.read_table(path) for path in sorted((run / name).glob("*.parquet"))]
        table = pa.concat_tables(parts, promote_options="default")
        found[name] = table.sort_by([(column, "ascending") for column in order])
    return found


def _compare_tables(comparison: Comparison, name: str, before: pa.Table, after: pa.Table, line: str) -> None:
    for side, table, other in (("OLD", before, after), ("NEW", after, before)):
        comparison.only[side].update(f"{name}.{c}" for c in table.column_names if c not in other.column_names)
    if before.num_rows != after.num_rows or any(not before[key].equals(after[key]) for key in ORDER[name]):
        ids = [set(table["cell"].to_pylist()) for table in (before, after)]
        first = f"{line}: {before.num_rows} rows, now {after.num_rows}; cells {sorted(ids[0] ^ ids[1])[:2]}"
        comparison.differ(f"{name}.cell", max(before.num_rows, after.num_rows), first)
        return
    for column in before.column_names:
        if column in LEFT_OUT or column not in after.column_names:
            continue
        comparison.columns.add((name, column))
        same = _same(before[column], after[column])
        if not same.all():
            k = int(np.flatnonzero(~same)[0])
            cell = before["cell"][k].as_py()
            was, now = (repr(table[column][k].as_py())[:120] for table in (before, after))
            comparison.differ(f"{name}.{column}", int((~same).sum()), f"{was}, now {now} (cell {cell} of {line})")


def _same(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Whether values are the same to the bit (NaN is NaN); bool, one a row."""
    numeric = [pa.types.is_floating(c.type) or pa.types.is_integer(c.type) for c in (before, after)]
    if all(numeric) and (before.type != after.type or pa.types.is_floating(before.type)):
        nulls = [np.asarray(c.is_null()) for c in (before, after)]
        a, b = (np.asarray(pc.fill_null(c.cast(pa.float64()), 0.0)) for c in (before, after))
        bits = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
        return (nulls[0] == nulls[1]) & bits
    if before.type == after.type and before.equals(after):
        return np.ones(len(before), dtype=bool)
    return np.array([a == b for a, b in zip(before.to_pylist(), after.to_pylist(), strict=True)], dtype=bool)


# ---------------------------------------------------------------------------------------------------------------- trial


def trial(old: Path, new: Path, folder: Path, lines: Sequence[Line]) -> Comparison:
    """Run the lines in both checkouts and compare.  Raises Failure where one of them cannot run them at all."""
    of_old, of_new = both(old.resolve(), new.resolve(), lines, folder)
    found = Comparison()
    for k, (line, before, after) in enumerate(zip(lines, of_old, of_new, strict=True)):
        compare(found, folder / "old" / str(k), folder / "new" / str(k), line)
        if 2 in (before[0], after[0]) and before[0] != after[0]:
            found.differ(
                "cells", 1, f"{' '.join(line)}: {before[1].strip() or 'ran'}, now {after[1].strip() or 'runs'}"
            )
    return found


def said(found: Comparison, *, words: bool) -> Iterator[str]:
    """The comparison in lines."""
    counts = {name: sum(table == name for table, _ in found.columns) for name in ORDER}
    yield (
        f"{found.cells} cells and {found.weights} weights compared to the bit in {counts['cells']} columns of cells and "
        f"{counts['errors']} of errors ({', '.join(sorted(LEFT_OUT))} left out)"
    )
    if found.refused:
        yield f"{found.refused} command lines are refused in both"
    if found.excepted:
        yield f"excepted: {len(found.excepted)} cells that end in OverflowError in OLD: {' '.join(found.excepted)}"
    for side, names in found.only.items():
        if names:
            yield f"only in {side}: {', '.join(sorted(names))}"
    for name, difference in sorted(found.differences.items()):
        kind = "words" if found.of_words(name) else "NUMBERS"
        yield f"{kind} {name}: {difference.rows} rows differ, the first {difference.first}"
    apart = " but for words" if words and found.differences else ""
    yield f"IDENTICAL{apart}" if found.same(words=words) else "DIFFERENT"


def main(arguments: Sequence[str], write: Callable[[str], Any] = print) -> int:
    """``python -m tests.trials identical``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials identical", description=__doc__)
    parser.add_argument("old", type=Path, metavar="OLD", help="folder of a checkout; lines and cells are drawn from it")
    parser.add_argument("new", type=Path, metavar="NEW", help="folder of another one")
    parser.add_argument("--words", action="store_true", help="let verdicts, reasons, their counts and messages differ")
    parser.add_argument("--cells", type=int, default=CELLS, help="to draw (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the draw (default %(default)s)")
    given = parser.parse_args(arguments)
    start = time.monotonic()
    lines = [*recorded(given.old), *(drawn(experiments(given.old), given.cells, given.seed) if given.cells else [])]
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = trial(given.old, given.new, Path(folder), lines)
        except Failure as error:
            write(f"FAILED: {error}")
            return 1
    for text in said(found, words=given.words):
        write(text)
    write(f"{len(lines)} command lines in each, {time.monotonic() - start:.0f} s")
    return 0 if found.same(words=given.words) else 1
