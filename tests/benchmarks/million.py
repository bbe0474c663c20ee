"""What it takes to read a record of a million cells: ``show``, ``load`` and ``report``, each in a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gradcheck.columns import parquet
from gradcheck.columns.parquet import PROVENANCE
from gradcheck.columns.weights import ERRORS, ERRORS_DICTIONARY, SCHEMA_VERSION, CellRows, errors_table
from gradcheck.experiment.results.rows import CELLS, cells_table
from gradcheck.experiment.results.writer import CELLS_DICTIONARY, PART_CELLS
from gradcheck.numerics.rules import RULES
from tests.benchmarks.frame import Row, at_most, compared
from tests.constructed import rows as row

PARTS, DIFFERENT, WEIGHTS = 1_000_000 // PART_CELLS, 24, 6
GIGABYTES = 1.3


def cells(first: int, rng: np.random.Generator) -> list[CellRows]:
    """What a part holds: nine of ten with a planted bug, most of them caught."""
    found = []
    for i in range(first, first + PART_CELLS):
        bug = f"bug_{i % 10}" if i % 10 else "none"
        verdict = "mismatch" if bug != "none" and rng.random() < 0.8 else "match"
        one = row(i, verdict, bug, WEIGHTS)
        one.cell.update({f"rule_{name}": bool(rng.random() < 0.5) for name in RULES})
        one.cell.update(loss=float(rng.random()), seconds=float(rng.random()), n_evals=int(rng.integers(12, 99)))
        found.append(one)
    return found


def write(run: Path, parts: int) -> None:
    """A record as a run stores it, every cell with an id of its own, every fourth with another seed of the data."""
    rng, stamp = np.random.default_rng(0), {PROVENANCE: b'{"schema_version": %d}' % SCHEMA_VERSION}
    known = [cells(k * PART_CELLS, rng) for k in range(min(DIFFERENT, parts))]
    tables = [(cells_table(some), errors_table(some)) for some in known]

    def put(folder: str, k: int, fill: Callable[[Any], str]) -> str:
        buffer = io.BytesIO()
        name = f"part-{k:05d}-{fill(buffer)}.parquet"
        (run / folder / name).write_bytes(buffer.getvalue())
        return parquet.digest_in(name) or ""

    for folder in ("cells", "errors"):
        (run / folder).mkdir(parents=True)
    for k in range(parts):
        ids = [f"{number:016x}" for number in rng.integers(0, 2**63, PART_CELLS)]
        of_cells, of_errors = tables[k % len(tables)]
        of_cells = of_cells.set_column(0, "cell", pa.array(ids))
        of_errors = of_errors.set_column(0, "cell", pa.array(np.repeat(ids, WEIGHTS)))
        seeds = np.arange(k * PART_CELLS, (k + 1) * PART_CELLS) // 4
        for_cells, for_errors = (pa.array(some, pa.int64()) for some in (seeds, np.repeat(seeds, WEIGHTS)))
        of_cells = of_cells.set_column(of_cells.column_names.index("data_seed"), "data_seed", for_cells)
        of_errors = of_errors.set_column(of_errors.column_names.index("data_seed"), "data_seed", for_errors)
        digest = put("errors", k, parquet.fill([of_errors], ERRORS.with_metadata(stamp), ERRORS_DICTIONARY))
        weights = {parquet.DIGEST_OF_ERRORS: digest.encode()}
        put("cells", k, parquet.fill([of_cells], CELLS.with_metadata(stamp), CELLS_DICTIONARY, weights))


def taken(*arguments: str) -> tuple[float, float]:
    """Seconds and gigabytes at the peak of a Python that does something."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def rows(parts: int = PARTS) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        write(Path(run), parts)
        commands = {
            "show": ["-m", "gradcheck.show", run],
            "load": ["-c", f"import gradcheck; gradcheck.load({run!r})"],
            "report": ["-m", "gradcheck.report", run, "--out", str(Path(folder) / "page.html")],
        }
        for name, arguments in commands.items():
            seconds, gigabytes = taken(*arguments)
            yield compared(f"{name}, {parts * PART_CELLS:,} cells: seconds", seconds)
            yield at_most(f"{name}, {parts * PART_CELLS:,} cells: GB at the peak", GIGABYTES, gigabytes)
