"""How far the verdict can be trusted, from runs whose gradients are known: false alarms, escapes, tightness, cost.

The truth about a weight is its ``correct`` column, the analytic gradient before the bug.  A weight is *wrong* where a
bug was injected and ``analytic`` differs from ``correct``; all other weights are correct.  One pass over the parts of the
runs counts everything.  It keeps counts, histograms, and a few numbers a weight of each sweep over eps that is not
complete yet.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.calibration.cells import CELL_COLUMNS, Facts, KnownCell, facts
from gradcheck.calibration.figures import ORDINARY_SCALE, FalseAlarm, Figures, Made
from gradcheck.calibration.histogram import Histogram
from gradcheck.calibration.sweeps import Sweep, add_to_sweep, in_sweep
from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.truth import Truth, truth
from gradcheck.numerics.schemes import SCHEMES

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray

# Evaluations that a cell may cost on top of those of its weights.
CELL_COST = 20
EXAMPLES = 20  # false alarms that are kept
WEIGHT_COLUMNS = (
    *("cell", "flat_index", "analytic", "numeric", "correct", "abs_err", "bound", "resolution", "verdict", "reason"),
)


def measure(run_dirs: Sequence[str | os.PathLike[str]]) -> Figures:
    """Count everything in the runs; a cell that several of them hold counts once.

    Raises BadInput for what is no run.
    """
    if not run_dirs:
        raise BadInput("RUN_DIR: needs at least one run folder")
    runs = [Stored(locate(run)) for run in run_dirs]
    figures = Figures()
    known: dict[str, Facts] = {}
    sweeps: Counter[bytes] = Counter()
    for number, stored in enumerate(runs):
        for cell, one in _cells(figures, number, stored, known):
            known[cell] = one
            if in_sweep(one):
                sweeps[one.sweep] += one.n_weights
        figures.made.append(_made(stored.provenance))
    state: dict[bytes, Sweep] = {}
    for number, stored in enumerate(runs):
        for cell, columns in _weights(stored):
            found = known.get(cell)
            if found is not None and found.run == number:
                _add(figures, cell, found, columns)
                if in_sweep(found):
                    add_to_sweep(figures, state, sweeps[found.sweep], found, columns)
    return figures


def _made(found: Mapping[str, Any]) -> Made:
    """How a run was made, from its provenance."""
    aside = ("hydra", "engine", "store", "progress", "fail_on")
    overrides = [str(o) for o in found.get("overrides") or [] if not str(o).lstrip("+~").startswith(aside)]
    packages = found.get("packages") or {}
    return {"overrides": overrides, "gradcheck": found.get("gradcheck"), "numpy": packages.get("numpy")}


def _cells(figures: Figures, number: int, stored: Stored, known: Mapping[str, Facts]) -> Iterator[tuple[str, Facts]]:
    """Count the computed cells of a run whose truth is known and that no run before has; gives each with its facts."""
    rules = sorted({c for part in stored.cells for c in part.columns if c.startswith("rule_")})
    rows = (row for table in stored.cell_tables([*CELL_COLUMNS, *rules]) for row in table.to_pylist())
    for row in rows:
        if row["status"] != "ok" or row["cell"] in known or truth(row) is Truth.UNKNOWN:
            continue
        config = json.loads(row["config"])
        one = facts(number, row, config)
        figures.cells += 1
        figures.n_weights.add(one.n_weights)
        if row["data_n"] is not None:
            figures.data_n.add(row["data_n"])
        if one.data_scale is not None:
            figures.data_scales.add(one.data_scale)
        if one.eps is not None:
            figures.steps.add(one.eps)
        _count_cost(figures, row)
        shown = row["verdict"] == "mismatch" or bool(row["n_missed"])
        accusations = {"gradcheck": row["verdict"] == "mismatch"} | {r.removeprefix("rule_"): row[r] for r in rules}
        for rule, accused in accusations.items():
            if accused is not None:
                figures.rules.setdefault(rule, Counter())[(one.bug, one.magnitude, bool(accused), shown)] += 1
        yield row["cell"], one


def _count_cost(figures: Figures, row: KnownCell) -> None:
    """Count evaluations a weight beyond CELL_COST, over those of the scheme alone (auto: of central differences).

    The two evaluations that find a weight to be exempt are left out.
    """
    alone = SCHEMES["central" if row["eps"] is None else row["scheme"]].evaluations
    ratio = (
        max(0, row["n_evals"] - CELL_COST - 2 * (row["n_exempt"] or 0)) / (alone * row["n_weights"])
        if row["n_weights"]
        else 0.0
    )
    if row["eps"] is None:
        figures.cost_auto = max(figures.cost_auto, ratio)
    else:
        figures.cost_fixed = max(figures.cost_fixed, ratio)


def _weights(stored: Stored) -> Iterator[tuple[str, dict[str, Array]]]:
    """Each cell with its weights, column by column; a cell that lies in two pieces of a part comes twice."""
    for table in stored.weight_tables(WEIGHT_COLUMNS):
        columns = {name: _values(table[name]) for name in WEIGHT_COLUMNS}
        cells = columns.pop("cell")
        ends = [*(np.flatnonzero(cells[1:] != cells[:-1]) + 1), len(cells)]
        for start, end in itertools.pairwise([0, *ends] if len(cells) else []):
            yield str(cells[start]), {name: values[start:end] for name, values in columns.items()}


def _values(column: pa.ChunkedArray) -> Array:
    """A column as an array; null is NaN, or None in a column of text."""
    values: Array = column.to_numpy()
    return values


def _add(figures: Figures, cell: str, one: Facts, w: Mapping[str, Array]) -> None:
    """Count the weights of a cell."""
    mismatch = w["verdict"] == "mismatch"
    wrong = (w["analytic"] != w["correct"]) & (one.bug != "none")
    key = (one.model, one.dtype, one.scheme, one.start)
    right = ~wrong
    figures.correct[key] += int(right.sum())
    bent = int((w["verdict"] == "nondifferentiable").sum())
    figures.nondifferentiable += bent
    figures.nondifferentiable_smooth += bent if one.smooth else 0
    figures.kinked += 0 if one.smooth else int(right.sum())
    if (accused := right & mismatch).any():
        figures.accused[key] += int(accused.sum())
        _keep_examples(figures, cell, one, w, np.flatnonzero(accused))
    if wrong.any():
        _count_wrong(figures, one, w, wrong, mismatch)
    if one.bug == "none" and one.dtype == "float64" and one.start == "random":
        nonzero = w["correct"] != 0
        if one.eps is None:
            flat = ~nonzero | (w["reason"] == "flat")
            figures.flat += int(flat.sum())
            words = np.where(w["verdict"] == "inconclusive", w["reason"], w["verdict"])[~flat]
            figures.at_auto.update((one.data_scale, str(word)) for word in words)
        if (one.data_scale or 0) > ORDINARY_SCALE:
            return
        with np.errstate(all="ignore"):
            size = np.abs(w["correct"][nonzero])
            shown, seen = figures.bounds.setdefault((one.scheme, one.eps), (Histogram(), Histogram()))
            shown.add(w["bound"][nonzero] / size)
            error = np.abs(w["numeric"] - w["correct"])[nonzero] / size
            seen.add(error[~np.isnan(error)])


def _keep_examples(figures: Figures, cell: str, one: Facts, w: Mapping[str, Array], accused: Array) -> None:
    """Keep the false alarms that exceed their bounds most."""
    with np.errstate(all="ignore"):
        ratios = w["abs_err"][accused] / w["bound"][accused]
    for i, ratio in zip(accused, ratios, strict=True):
        weight = (cell, int(w["flat_index"][i]), float(ratio))
        figures.examples.append(
            FalseAlarm(*weight, one.model, one.start, one.dtype, one.scheme, one.eps, one.run, one.data_scale)
        )
    figures.examples = sorted(figures.examples, key=lambda alarm: -alarm.times_bound)[:EXAMPLES]


def _count_wrong(figures: Figures, one: Facts, w: Mapping[str, Array], wrong: Array, mismatch: Array) -> None:
    """Count the wrong weights of a cell, and which of them were seen."""
    with np.errstate(all="ignore"):
        beyond = wrong & (w["abs_err"] > 3 * w["bound"])
        size = np.fmax(np.abs(w["analytic"]), np.abs(w["numeric"]))
        # the smallest relative bug that is certain to be seen, by its definition
        certain = wrong & (np.abs(w["analytic"] - w["correct"]) > w["resolution"] * size)
    figures.wrong += int(wrong.sum())
    figures.beyond += int(beyond.sum())
    figures.beyond_missed += int((beyond & ~mismatch).sum())
    figures.certain += int(certain.sum())
    figures.certain_missed += int((certain & ~mismatch).sum())
    figures.certain_match += int((certain & (w["verdict"] == "match")).sum())
    if one.magnitude is not None and one.dtype == "float64" and one.bug == "scale":
        count = figures.detected.setdefault((one.scheme, one.eps, one.magnitude), [0, 0])
        count[0] += int(wrong.sum())
        count[1] += int((wrong & mismatch).sum())
