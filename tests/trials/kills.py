"""One sweep, killed at random moments and resumed each time: what comes out is what an undisturbed run stores.

A reader looks at the folder all the while: every visible file is readable, no cell that was visible is ever missing, and
a visible cell has all its weights.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .clusters import TESTS, cluster

# Runs the command and notes each cell on its way to the disk: what is noted and not stored is what a kill costs.
NOTING = """
import os, sys, time
from gradcheck.experiment.results.writer import Writer
from gradcheck import run
if __name__ == "__main__":
    note = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    add = Writer.add
    def noted(writer, rows):
        os.write(note, f"{time.time()} {rows.cell['cell']}\\n".encode())
        add(writer, rows)
    Writer.add = noted
    sys.exit(run.main())
"""


class Failure(AssertionError):
    """A requirement that a trial found broken."""


def table(folder: Path, name: str) -> Any:
    """All rows of a run in one order, without `seconds`."""
    found = pq.read_table(folder / name)
    keys = [(key, "ascending") for key in ("cell", "flat_index") if key in found.column_names]
    return found.drop_columns([c for c in ("seconds",) if c in found.column_names]).sort_by(keys)


def same(one: Path, other: Path) -> bool:
    """Whether two runs stored the same rows."""
    return all(table(one, name).equals(table(other, name)) for name in ("cells", "errors"))


class Reader(threading.Thread):
    """Reads whatever is visible, again and again; what it finds wrong is in `wrong`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._end = folder, threading.Event()
        self._cells: dict[Path, dict[str, int]] = {}  # file: cells and their weights
        self._weights: dict[Path, Counter[str]] = {}
        self.wrong: list[str] = []
        self.looks = 0

    def run(self) -> None:
        while not self._end.wait(0.05):
            self._look()

    def stop(self) -> None:
        self._end.set()
        self.join()
        self._look()

    def _look(self) -> None:
        self.looks += 1
        cells = set((self._folder / "cells").glob("*"))  # before errors: a visible cell's weights are there first
        self.wrong += [f"{path.name} of cells is gone" for path in self._cells.keys() - cells]
        for path in cells - self._cells.keys():
            found = self._read(path, ["cell", "n_weights"])
            self._cells[path] = {row["cell"]: row["n_weights"] or 0 for row in found}
            # looked for after the cells were: weights are there first
            number = path.name.split("-")[1]
            fellow = next((self._folder / "errors").glob(f"part-{number}-*.parquet"), None)
            if fellow is None:
                self.wrong.append(f"{path.name}: cells without their weights")
                continue
            if fellow not in self._weights:
                self._weights[fellow] = Counter(row["cell"] for row in self._read(fellow, ["cell"]))
            if self._weights[fellow] != Counter({cell: n for cell, n in self._cells[path].items() if n}):
                self.wrong.append(f"{path.name}: cells without their weights")
        for path in set((self._folder / "errors").glob("*")) - self._weights.keys():
            self._read(path, ["cell"])

    def _read(self, path: Path, columns: list[str]) -> list[dict[str, Any]]:
        try:
            return list(pq.read_table(path, columns=columns, partitioning=None).to_pylist())
        except FileNotFoundError:  # weights without their cells, which a resumed run removes
            if path.parent.name == "errors":
                return []
            self.wrong.append(f"{path.name} of cells vanished")
        except Exception as error:
            self.wrong.append(f"{path.parent.name}/{path.name}: {type(error).__name__}: {error}")
        return []


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    script = folder.parent / "noting.py"
    script.write_text(NOTING)
    path = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, str(script), str(folder.parent / f"{folder.name}.notes"), *arguments, "progress=none"],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def _age_of_loss(folder: Path, noted: dict[str, float], killed_at: float) -> float:
    """Seconds from the first cell that was finished and is not stored until the kill."""
    stored = {row for path in (folder / "cells").glob("*.parquet") for row in pq.read_table(path)["cell"].to_pylist()}
    return max((killed_at - at for cell, at in noted.items() if cell not in stored), default=0.0)


def _wait_for_work(folder: Path, process: subprocess.Popen[str]) -> None:
    notes = folder.parent / f"{folder.name}.notes"
    while process.poll() is None and not (notes.exists() and notes.stat().st_size):
        time.sleep(0.01)


def _notes(folder: Path) -> dict[str, float]:
    path = folder.parent / f"{folder.name}.notes"
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return {cell: float(at) for at, cell in (line.split() for line in text.splitlines())}


def trial(
    engine: str, kills: int, folder: Path, *, cells: int, longest: float, lost: float = 5.0, seed: int = 0
) -> dict[str, Any]:
    """Kill and resume until it was done so often, then let the run finish; a run that is done sooner is followed by
    another.

    longest : seconds until a kill.   lost : as many seconds of finished work as a kill may cost.

    Returns the figures.  Raises Failure.
    """
    sweep = [
        f"init.seed=range({max(1, cells // 4)})",
        "bug=none,scale",
        "eps=1e-4,auto",
        "model=mlp",
        "data.n=40",
        "-m",
    ]
    moments = random.Random(f"{engine} {seed}")
    whole = folder / "undisturbed"
    if not whole.exists():  # trials in one folder share it
        done = start(whole, *sweep, f"hydra.sweep.dir={whole}", "engine=serial")
        if done.communicate()[1] or done.returncode:
            raise Failure("the undisturbed run failed")
    figures = {"kills": 0, "runs": 0, "looks": 0, "worst": 0.0, "cells": 0, "before_plan": 0}
    while figures["kills"] < kills:
        figures["runs"] += 1
        run = folder / f"{engine}-{figures['runs']}"
        reader = Reader(run)
        reader.start()
        if engine == "dask":
            with cluster(folder) as there:
                _disturbed(
                    run, sweep, [f"engine.address={there.address}"], kills, longest, lost, moments, figures, engine
                )
        else:
            _disturbed(run, sweep, ["engine.n_jobs=2"], kills, longest, lost, moments, figures, engine)
        reader.stop()
        figures["looks"] += reader.looks
        if reader.wrong:
            raise Failure("; ".join(reader.wrong[:5]))
        if not same(run, whole):
            raise Failure(f"{run.name}: rows differ from those of the undisturbed run")
        figures["cells"] = table(run, "cells").num_rows
    return figures


def _disturbed(
    run: Path,
    sweep: list[str],
    where: list[str],
    kills: int,
    longest: float,
    lost: float,
    moments: random.Random,
    figures: dict[str, Any],
    engine: str,
) -> None:
    while True:
        started = (run / "plan.parquet").exists()
        first = [*sweep, f"hydra.sweep.dir={run}"]
        done = start(run, *([f"resume={run}"] if started else first), f"engine={engine}", *where)
        pause = moments.uniform(0.0, longest) if figures["kills"] < kills else None
        if pause is not None and moments.random() < 0.8:  # most of them while cells are computed, not while it starts
            _wait_for_work(run, done)
        try:
            _, err = done.communicate(timeout=pause)
        except subprocess.TimeoutExpired:
            killed_at = time.time()
            os.kill(done.pid, signal.SIGKILL)  # the process alone: what it started must end by itself
            done.wait()
            assert done.stderr is not None
            done.stderr.close()
            figures["kills"] += 1
            if not (run / "plan.parquet").exists():
                # Hydra's record may be there, and no plan: the same command line starts it
                figures["before_plan"] += 1
            age = _age_of_loss(run, _notes(run), killed_at)
            figures["worst"] = max(figures["worst"], age)
            if age > lost:
                raise Failure(f"{age:.2f} s of finished work were lost") from None
            continue
        if done.returncode or err:
            raise Failure(f"exit {done.returncode}: {err}")
        _notes(run)
        return
