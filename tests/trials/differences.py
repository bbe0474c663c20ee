"""Random pairs of runs, which share some cells: what differs, beside a merge of pandas."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from constructed import VERDICTS, planned, result

from gradcheck.columns.weights import CellRows, errors_table
from gradcheck.experiment.replay.difference import AT_A_TIME, Difference, difference
from gradcheck.experiment.replay.intervals import NUMBERS
from gradcheck.experiment.results.rows import cell_row, cells_table

from .kills import Failure

TOLERANCE = 1e-7  # an end, value ± bound, is rounded to a spacing of the value: 1e-16 beside bounds of 1e-8
PIECES = (1, 3, 7, 20, AT_A_TIME)  # weights at a time


def two_runs(rng: np.random.Generator) -> tuple[list[CellRows], list[CellRows]]:
    """Two runs of which the second may have other cells, numbers, verdicts, weights, seconds."""
    found: tuple[list[CellRows], list[CellRows]] = ([], [])
    for i in range(rng.integers(1, 13)):
        n, verdict = int(rng.integers(1, 9)), str(rng.choice(VERDICTS))
        for side in ((0,), (1,), (0, 1), (0, 1), (0, 1))[rng.integers(5)]:
            one = result(i, n + int(rng.integers(0, 3) * (side and rng.random() < 0.2)), verdict)
            if side and rng.random() < 0.6:
                k, column = int(rng.integers(n)), str(rng.choice(["analytic", "numeric", "correct"]))
                one.weights[column][k] += one.weights["bound"][k] * float(rng.choice([1e-3, 0.5, 2.0, 1e6]))
            if side and rng.random() < 0.3:
                one.weights["verdict"][int(rng.integers(n))] = str(rng.choice(VERDICTS))
                one.summary["verdict"] = str(rng.choice(VERDICTS))
            failed = bool(side) and rng.random() < 0.1
            outcome = ValueError("the loss is nan") if failed else one
            found[side].append(cell_row(planned(i), outcome, float(rng.random())))  # type: ignore[arg-type]
    return found[0], [found[1][k] for k in rng.permutation(len(found[1]))]


def in_parts(folder: Path, cells: list[CellRows], size: int = 5) -> Path:
    """A run in parts of some cells each, without the care of a writer, which takes its time."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, made in (("cells", cells_table), ("errors", errors_table)):
        (folder / name).mkdir(parents=True)
        for start in range(0, max(len(cells), 1), size):
            pq.write_table(made(cells[start : start + size]), folder / name / f"part-{start:05d}.parquet")
    return folder


def wrong(folders: tuple[Path, Path], found: Difference) -> list[str]:
    """What of a difference is not what pandas says."""
    cells = [pd.read_parquet(folder / "cells").set_index("cell") for folder in folders]
    common = cells[0].index.intersection(cells[1].index)
    outcomes = [frame["verdict"].where(frame["status"] == "ok", frame["status"])[common] for frame in cells]
    changed = {(cell, a, b) for cell, a, b in zip(common, *outcomes, strict=True) if a != b}
    done = common[(cells[0]["status"][common] == "ok") & (cells[1]["status"][common] == "ok")]
    taken = found.seconds
    said = {
        "both": found.both == len(common),
        "only": [set(ids) for ids in found.only] == [set(frame.index) - set(common) for frame in cells],
        "cells": {(row.cell, row.first, row.second) for row in found.cells} == changed,
        "seconds": taken.cells == len(done)
        and np.allclose([taken.first, taken.second], [frame["seconds"][done].sum() for frame in cells]),
    }
    kept = [frame[frame["cell"].isin(common)] for frame in (pd.read_parquet(folder / "errors") for folder in folders)]
    merged = kept[0].merge(kept[1], on=["cell", "flat_index"], suffixes=("", "_2"))
    turned = merged[merged["verdict"] != merged["verdict_2"]]
    rows = turned[["cell", "flat_index", "verdict", "verdict_2"]].itertuples(index=False, name=None)
    said |= {
        "alone": found.alone == [len(frame) - len(merged) for frame in kept],
        "weights": {(w.cell, w.where.flat_index, w.first, w.second) for w in found.weights if w.where} == set(rows),
        "number of weights": found.n_weights == len(turned),
        "changed": found.changed == bool(changed or len(turned)),
    }
    for name in NUMBERS:
        said[name] = _as_merged(name, merged, found)
    return [name for name, right in said.items() if not right]


def _as_merged(name: str, merged: pd.DataFrame, found: Difference) -> bool:
    """Whether a column of numbers is compared as in a merged table."""
    column = found.numbers[name]
    differs = (merged[name] != merged[f"{name}_2"]) & ~(merged[name].isna() & merged[f"{name}_2"].isna())
    if (column.compared, column.compared - column.identical) != (len(merged), differs.sum()):
        return False
    if name not in ("analytic", "numeric", "correct") or not differs.any():
        return True
    apart = ((merged[name] - merged[f"{name}_2"]).abs() / merged["bound_2"])[differs]
    where = column.furthest
    assert where is not None
    there = apart[(merged["cell"] == where.cell) & (merged["flat_index"] == where.flat_index)]
    return (
        np.allclose([column.distance, *there], apart.max(), rtol=TOLERANCE)
        and len(there) == 1
        and set(column.beyond) == set(merged["cell"][apart[apart > 1].index])
    )


def compared(folder: Path, seed: int) -> list[str]:
    """What is wrong in the comparison of the pair of this seed."""
    rng = np.random.default_rng(seed)
    first, second = (in_parts(folder / name, cells) for name, cells in zip("ab", two_runs(rng), strict=True))
    at_a_time = PIECES[rng.integers(len(PIECES))]
    names = wrong((first, second), difference(first, second, at_a_time))
    return [f"seed {seed}, {at_a_time} weights at a time: {name}" for name in names]


def trial(folder: Path, pairs: int) -> str:
    """So many pairs.  Raises Failure."""
    found = [line for seed in range(pairs) for line in compared(folder, seed)]
    if found:
        raise Failure("; ".join(found[:5]))
    return f"{pairs} pairs of runs: cells, verdicts, distances and seconds are those of a merge of pandas"
