"""How far the verdict can be trusted, from runs whose gradients are known: false alarms, escapes, tightness, cost.

The truth about a weight is its ``correct`` column, the analytic gradient before the bug: a weight is *wrong* where a
bug was injected and ``analytic`` differs from it, and correct everywhere else.  Everything is counted in one pass over
the parts of the runs; what is kept are counts, histograms and a few numbers a weight of those sweeps over eps that are
not complete yet.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.truth import Truth, truth
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.one_d import CURVES
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.views.terminal import Table

Array = np.ndarray

# What a verdict may cost in evaluations: times those of the scheme, times those of central differences, and a cell.
FIXED_COST, AUTO_COST, CELL_COST = 3, 8, 20
# Weights at random up to this standard deviation; larger ones are meant to saturate units and probabilities.
RANDOM_SCALE = 1.0
# Data up to this standard deviation; larger ones saturate hidden units, and gradients vanish under rounding.
ORDINARY_SCALE = 10.0
EXAMPLES = 20
# The probabilities of most of the loss are clipped: the gradient under test is not the derivative of what is evaluated.
SATURATED = "saturated"
WEIGHT_COLUMNS = (
    *("cell", "flat_index", "analytic", "numeric", "correct", "abs_err", "bound", "resolution", "verdict", "reason"),
)
CELL_COLUMNS = (
    *("cell", "status", "model", "init", "bug", "scheme", "dtype", "eps", "data_n", "n_weights", "n_evals", "verdict"),
    *("bug_injected", "n_exempt", "n_missed", "config"),
)


class Histogram:
    """Counts of positive numbers in bins of 1% width from 1e-12 to 1e12; the bins at the ends hold all beyond."""

    PER_DECADE = 230

    def __init__(self) -> None:
        self.counts = np.zeros(24 * self.PER_DECADE + 1, np.int64)
        self.largest = 0.0

    def add(self, values: Array) -> None:
        if values.size:
            with np.errstate(divide="ignore"):
                places = np.round((np.log10(values) + 12) * self.PER_DECADE)
            places = np.clip(np.nan_to_num(places, posinf=len(self.counts), neginf=0), 0, len(self.counts) - 1)
            self.counts += np.bincount(places.astype(np.int64), minlength=len(self.counts))
            self.largest = max(self.largest, float(values.max()))

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    def quantile(self, q: float) -> float | None:
        """The value below which a share q of the numbers lies, to 1%; None where there are none."""
        if not self.n:
            return None
        place = int(np.searchsorted(np.cumsum(self.counts), q * self.n))
        return math.inf if place == len(self.counts) - 1 else float(10.0 ** (place / self.PER_DECADE - 12))


class Known(NamedTuple):
    """What the weights of a cell need to know of it.  ``sweep``: the same for all cells that differ in eps alone."""

    run: int
    model: str
    smooth: bool
    start: str
    data_scale: float | None
    bug: str
    magnitude: float | None
    scheme: str
    dtype: str
    eps: float | None
    sweep: bytes
    n_weights: int


@dataclass
class Sweep:
    """The cells of a sweep over eps: for each weight the least bound so far, the error there, and the bound of auto."""

    expected: int  # weights that are still to come
    least: Array
    error: Array
    auto: Array
    fixed: Array  # least bound over the steps given
    told: Array  # gradient not 0, and not clipped where the bound is least


@dataclass
class Figures:
    """Everything that was counted.  Keys of the counters are given beside them."""

    cells: int = 0
    correct: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # model, dtype, scheme, start
    accused: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # the same, correct but ``mismatch``
    examples: list[dict[str, Any]] = field(default_factory=list)  # the worst of them
    wrong: int = 0
    beyond: int = 0  # wrong with abs_err > 3 bound
    beyond_missed: int = 0  # of these, not ``mismatch``
    certain: int = 0  # wrong by more than the resolution
    certain_missed: int = 0  # of these, not ``mismatch``
    certain_match: int = 0  # of these, ``match``
    detected: dict[tuple[str, float | None, float], list[int]] = field(default_factory=dict)  # scheme, eps, magnitude
    at_auto: Counter[tuple[float | None, str]] = field(default_factory=Counter)  # data scale, verdict or reason
    flat: int = 0  # of weights at auto, float64, random: gradient 0, or less than any step can show
    nondifferentiable_smooth: int = 0
    nondifferentiable: int = 0
    kinked: int = 0  # correct weights of models with kinks
    tightness: dict[tuple[str, str, str, float | None], Histogram] = field(default_factory=dict)  # and data scale
    auto_excess: dict[str, Histogram] = field(default_factory=dict)  # scheme
    steps: set[float] = field(default_factory=set)
    bounds: dict[tuple[str, float | None], tuple[Histogram, Histogram]] = field(default_factory=dict)  # scheme, eps
    cost_fixed: float = 0.0
    cost_auto: float = 0.0
    # bug, magnitude, accused, and whether the numbers show the bug
    rules: dict[str, Counter[tuple[str, float | None, bool, bool]]] = field(default_factory=dict)
    data_n: set[int] = field(default_factory=set)
    n_weights: set[int] = field(default_factory=set)
    data_scales: set[float] = field(default_factory=set)
    made: list[dict[str, Any]] = field(default_factory=list)


def measure(run_dirs: Sequence[str | os.PathLike[str]]) -> Figures:
    """Count everything in the runs; a cell that several of them hold counts once.

    Raises BadInput for what is no run.
    """
    if not run_dirs:
        raise BadInput("RUN_DIR: needs at least one run folder")
    runs = [Stored(locate(run)) for run in run_dirs]
    figures = Figures()
    known: dict[str, Known] = {}
    sweeps: Counter[bytes] = Counter()
    for number, stored in enumerate(runs):
        for cell, one in _cells(figures, number, stored, known):
            known[cell] = one
            if _in_sweep(one):
                sweeps[one.sweep] += one.n_weights
        figures.made.append(_made(stored.provenance))
    state: dict[bytes, Sweep] = {}
    for number, stored in enumerate(runs):
        for cell, columns in _weights(stored):
            found = known.get(cell)
            if found is not None and found.run == number:
                _add(figures, cell, found, columns)
                if _in_sweep(found):
                    _add_to_sweep(figures, state, sweeps[found.sweep], found, columns)
    return figures


def _made(found: Mapping[str, Any]) -> dict[str, Any]:
    """Version and overrides of a run, without what says where it ran, from its provenance."""
    aside = ("hydra", "engine", "store", "progress", "fail_on")
    overrides = [str(o) for o in found.get("overrides") or [] if not str(o).lstrip("+~").startswith(aside)]
    packages = found.get("packages") or {}
    return {"overrides": overrides, "gradcheck": found.get("gradcheck"), "numpy": packages.get("numpy")}


# -------------------------------------------------------------------------------------------------------------- cells


def _cells(figures: Figures, number: int, stored: Stored, known: Mapping[str, Known]) -> Iterator[tuple[str, Known]]:
    rules = sorted({c for part in stored.cells for c in part.columns if c.startswith("rule_")})
    rows = (row for table in stored.cell_tables([*CELL_COLUMNS, *rules]) for row in table.to_pylist())
    for row in rows:
        if row["status"] != "ok" or row["cell"] in known or truth(row) is Truth.UNKNOWN:
            continue
        config = json.loads(row["config"])
        one = _known(number, row, config)
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


def _known(number: int, row: Mapping[str, Any], config: dict[str, Any]) -> Known:
    model, init = config["model"], config["init"]
    label, smooth = row["model"], True
    if model.get("activation") is not None and model.get("layers"):
        label, smooth = f"{label} {model['activation']}", not ACTIVATIONS[model["activation"]].kinked
    elif model.get("curve") is not None:
        label, smooth = f"{label} {model['curve']}", not CURVES[model["curve"]].kinked
    start = {"normal": "random", "zeros": "zero"}.get(row["init"], row["init"])
    if start == "random" and init.get("scale", 1.0) > RANDOM_SCALE:
        start = "saturated"
    text = json.dumps({k: v for k, v in config.items() if k != "eps"}, sort_keys=True)
    return Known(
        number,
        label,
        smooth,
        start,
        config["data"].get("scale"),
        row["bug"],
        config["bug"].get("magnitude"),
        row["scheme"],
        row["dtype"],
        row["eps"],
        hashlib.blake2b(text.encode(), digest_size=8).digest(),
        row["n_weights"],
    )


def _count_cost(figures: Figures, row: Mapping[str, Any]) -> None:
    """Evaluations a weight beyond the cell's own allowance, over those of the scheme alone (auto: of central).

    The two by which a weight is found to be exempt are aside.
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


# ------------------------------------------------------------------------------------------------------------- weights


def _weights(stored: Stored) -> Iterator[tuple[str, dict[str, Array]]]:
    """The weights of one cell after the other; a cell that lies in two pieces of a part comes in two."""
    for table in stored.weight_tables(WEIGHT_COLUMNS):
        columns = {name: _values(table[name]) for name in WEIGHT_COLUMNS}
        cells = columns.pop("cell")
        ends = [*(np.flatnonzero(cells[1:] != cells[:-1]) + 1), len(cells)]
        for start, end in itertools.pairwise([0, *ends] if len(cells) else []):
            yield str(cells[start]), {name: values[start:end] for name, values in columns.items()}


def _values(column: Any) -> Array:
    """A column as an array; null is NaN, or None in a column of text."""
    values: Array = column.to_numpy()
    return values


def _add(figures: Figures, cell: str, one: Known, w: Mapping[str, Array]) -> None:
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


def _keep_examples(figures: Figures, cell: str, one: Known, w: Mapping[str, Array], accused: Array) -> None:
    """The false alarms that exceed their bounds most."""
    with np.errstate(all="ignore"):
        ratios = w["abs_err"][accused] / w["bound"][accused]
    for i, ratio in zip(accused, ratios, strict=True):
        place = {"cell": cell, "flat_index": int(w["flat_index"][i]), "times_bound": float(ratio)}
        about = {"model": one.model, "start": one.start, "dtype": one.dtype, "scheme": one.scheme, "eps": one.eps}
        figures.examples.append(place | about | {"run": one.run, "data_scale": one.data_scale})
    figures.examples = sorted(figures.examples, key=lambda e: -e["times_bound"])[:EXAMPLES]


def _count_wrong(figures: Figures, one: Known, w: Mapping[str, Array], wrong: Array, mismatch: Array) -> None:
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


# -------------------------------------------------------------------------------------------------------------- sweeps


def _in_sweep(one: Known) -> bool:
    return one.bug == "none" and one.dtype == "float64"


def _add_to_sweep(
    figures: Figures, state: dict[bytes, Sweep], expected: int, one: Known, w: Mapping[str, Array]
) -> None:
    """Keep what the least bound needs; a sweep whose last weight has come is counted and forgotten."""
    m = one.n_weights
    if one.sweep not in state:
        least, error, auto, fixed = (np.full(m, np.inf) for _ in range(4))
        state[one.sweep] = Sweep(expected, least, error, auto, fixed, np.zeros(m, bool))
    sweep = state[one.sweep]
    place, bound = w["flat_index"], w["bound"]
    better = bound < sweep.least[place]
    sweep.error[place] = np.where(better, np.abs(w["numeric"] - w["correct"]), sweep.error[place])
    sweep.least[place] = np.where(better, bound, sweep.least[place])
    clear = (w["correct"] != 0) & (w["reason"] != SATURATED)
    sweep.told[place] = np.where(better, clear, sweep.told[place])
    if one.eps is None:
        sweep.auto[place] = bound
    else:
        sweep.fixed[place] = np.fmin(sweep.fixed[place], bound)
    sweep.expected -= len(place)
    if sweep.expected > 0:
        return
    del state[one.sweep]
    with np.errstate(all="ignore"):
        told = np.isfinite(sweep.least) & sweep.told
        ratio = sweep.least[told] / sweep.error[told]
        figures.tightness.setdefault((one.model, one.scheme, one.start, one.data_scale), Histogram()).add(ratio)
        both = np.isfinite(sweep.auto) & np.isfinite(sweep.fixed) & (sweep.fixed > 0)
        figures.auto_excess.setdefault(one.scheme, Histogram()).add(sweep.auto[both] / sweep.fixed[both])


# ------------------------------------------------------------------------------------------------------------- figures


class Row(NamedTuple):
    """A figure, what is required of it, what was found, of how many, and whether it holds (None: nothing to judge)."""

    figure: str
    required: str
    found: str
    of: int
    holds: bool | None


def requirements(figures: Figures) -> list[Row]:
    """What must hold, and whether it does."""
    correct, accused = sum(figures.correct.values()), sum(figures.accused.values())
    alarms = sum(n for (label, *_), n in figures.accused.items() if label.endswith(("relu", "abs")))
    random = [h for (_, scheme, start, scale), h in figures.tightness.items() if _ordinary(scheme, start, scale)]
    tightness, excess = _merged(random), _merged(figures.auto_excess.values())
    bound, factor, most = tightness.quantile(0.5), excess.quantile(0.5), excess.largest
    rows = [
        Row("correct weights judged mismatch", "0", str(accused), correct, accused == 0),
        Row(
            "wrong by more than 3 bounds, not judged mismatch",
            "0",
            str(figures.beyond_missed),
            figures.beyond,
            figures.beyond_missed == 0,
        ),
        Row(
            "bug larger than the resolution, judged match",
            "0",
            str(figures.certain_match),
            figures.certain,
            figures.certain_match == 0,
        ),
        Row(
            "bug larger than the resolution, not judged mismatch",
            "0",
            str(figures.certain_missed),
            figures.certain,
            figures.certain_missed == 0,
        ),
        Row("median of least bound over true error, float64", "<= 8", _short(bound), tightness.n, _at_most(bound, 8)),
        _inconclusive(figures, "inconclusive at eps=auto, float64, at random, not flat", 0.0),
        _inconclusive(figures, f"of these, data scale above {ORDINARY_SCALE:g}", ORDINARY_SCALE)._replace(
            required="", holds=None
        ),
        Row(
            "nondifferentiable on smooth models",
            "0",
            str(figures.nondifferentiable_smooth),
            correct - figures.kinked,
            figures.nondifferentiable_smooth == 0,
        ),
        Row("kinks crossed with an effect, judged mismatch", "0", str(alarms), figures.kinked, alarms == 0),
        Row("bound of auto over the sweep's least, median", "<= 1.2", _short(factor), excess.n, _at_most(factor, 1.2)),
        Row("bound of auto over the sweep's least, largest", "<= 3", _short(most), excess.n, _at_most(most, 3)),
        Row("evaluations over the scheme's, fixed eps", "<= 3", _short(figures.cost_fixed), figures.cells, None),
        Row("evaluations over central's, eps=auto", "<= 8", _short(figures.cost_auto), figures.cells, None),
    ]
    limits = (_at_most(figures.cost_fixed, FIXED_COST), _at_most(figures.cost_auto, AUTO_COST))
    rows[-2:] = [row._replace(holds=holds) for row, holds in zip(rows[-2:], limits, strict=True)]
    return [row if row.of else row._replace(found="-", holds=None) for row in rows]


def _ordinary(scheme: str, start: str, data_scale: float | None) -> bool:
    """Whether the scheme subtracts, at random weights, with data that do not saturate every unit."""
    return start == "random" and _subtracts(scheme) and (data_scale or 0) <= ORDINARY_SCALE


def _subtracts(scheme: str) -> bool:
    """The complex step is as exact as the gradient it is compared with, which then is no truth to measure it by."""
    return not SCHEMES[scheme].complex_valued


def _inconclusive(figures: Figures, name: str, above: float) -> Row:
    """Share of weights that could not be judged, of those whose gradient is neither 0 nor hidden by clipping.

    above : the scale of the data over which weights are counted; 0 for all, those of models without data too.
    """
    verdicts = ("match", "mismatch", "nondifferentiable")
    counts: Counter[bool] = Counter()
    for (scale, word), n in figures.at_auto.items():
        if word != SATURATED and (not above or (scale or 0) > above):
            counts[word in verdicts] += n
    total = counts.total()
    share = counts[False] / total if total else None
    return Row(name, "<= 1%", "-" if share is None else f"{share:.2%}", total, _at_most(share, 0.01))


def _merged(histograms: Iterable[Histogram]) -> Histogram:
    total = Histogram()
    for one in histograms:
        total.counts += one.counts
        total.largest = max(total.largest, one.largest)
    return total


def _at_most(value: float | None, limit: float) -> bool | None:
    return None if value is None else value <= limit


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def rule_table(figures: Figures) -> list[dict[str, Any]]:
    """For each rule the correct cells and those that it accuses, and its shares of planted bugs by their magnitude.

    A bug that the rule does not accuse was missed if the numbers of its cell show it, and cannot be told if they do not.
    """
    table = []
    for rule, counts in figures.rules.items():
        by: dict[tuple[bool, float | None], Counter[str]] = {}
        for (bug, magnitude, accused, shown), n in counts.items():
            what = "caught" if accused else "missed" if shown else "cannot_be_told"
            by.setdefault((bug != "none", magnitude), Counter())[what] += n
        none = [c for (planted, _), c in by.items() if not planted]
        of_size = sorted((m, c) for (planted, m), c in by.items() if planted and m is not None)
        shares = {
            what: {f"{m:g}": c[what] / c.total() for m, c in of_size} for what in ("caught", "missed", "cannot_be_told")
        }
        correct = {"correct": sum(c.total() for c in none), "accused": sum(c["caught"] for c in none)}
        table.append({"rule": rule, **correct, **shares})
    return table


def as_json(figures: Figures) -> dict[str, Any]:
    """The figures as plain values, to be stored beside the plot."""
    infinite = (None, math.inf)

    def number(value: float | None) -> float | None:
        return None if value in infinite else float(f"{value:.4g}")

    def median(h: Histogram) -> float | None:
        return number(h.quantile(0.5))

    by_dtype, by_scheme, by_start = Counter[str](), Counter[str](), Counter[str]()
    for (_, dtype, scheme, start), n in figures.correct.items():
        by_dtype[dtype] += n
        by_scheme[scheme] += n
        by_start[start] += n
    of_scheme: dict[str, list[Histogram]] = {}
    of_model: dict[str, list[Histogram]] = {}
    of_scale: dict[str, list[Histogram]] = {}
    for (model, scheme, start, scale), histogram in sorted(figures.tightness.items(), key=str):
        if start == "random" and (scale or 0) <= ORDINARY_SCALE:
            of_scheme.setdefault(scheme, []).append(histogram)
        if _ordinary(scheme, start, scale):
            of_model.setdefault(model, []).append(histogram)
            of_scale.setdefault(str(scale), []).append(histogram)
    return {
        "requirements": [row._asdict() for row in requirements(figures)],
        "cells": figures.cells,
        "correct_weights": {"by_dtype": dict(by_dtype), "by_scheme": dict(by_scheme), "by_start": dict(by_start)},
        "wrong_weights": figures.wrong,
        "false_alarms": [[*key, n] for key, n in figures.accused.most_common()],
        "worst_false_alarms": figures.examples,
        "sizes": {
            "data_n": sorted(figures.data_n),
            "weights": [min(figures.n_weights, default=0), max(figures.n_weights, default=0)],
            "data_scale": sorted(figures.data_scales),
            "eps": [min(figures.steps, default=None), max(figures.steps, default=None), len(figures.steps)],
        },
        "at_auto": [[scale, word, n] for (scale, word), n in sorted(figures.at_auto.items(), key=str)],
        "flat_at_auto": figures.flat,
        "tightness": {
            "by_scheme": {name: median(_merged(hs)) for name, hs in of_scheme.items()},
            "by_model": {name: median(_merged(hs)) for name, hs in of_model.items()},
            "by_data_scale": {name: median(_merged(hs)) for name, hs in of_scale.items()},
        },
        "auto_over_least": {
            name: [median(h), number(h.quantile(0.99)), number(h.largest)] for name, h in figures.auto_excess.items()
        },
        "bounds": [
            {"scheme": s, "eps": e, "bound": median(b), "error": median(t), "error_99": number(t.quantile(0.99))}
            for (s, e), (b, t) in sorted(figures.bounds.items(), key=str)
        ],
        "detected": [
            {"scheme": s, "eps": e, "magnitude": m, "weights": n, "caught": c}
            for (s, e, m), (n, c) in sorted(figures.detected.items(), key=str)
        ],
        "rules": rule_table(figures),
        "runs": figures.made,
    }


def tables(figures: Figures, rows: Sequence[Row]) -> list[Table | str]:
    """What the command shows."""
    correct = sum(figures.correct.values())
    words = {True: "yes", False: "NO", None: "-"}
    must = Table(
        "what must hold",
        ["figure", "required", "found", "of", "holds"],
        [[*row[:4], words[row.holds]] for row in rows],
        left=frozenset({"figure"}),
    )
    magnitudes = sorted({m for row in rule_table(figures) for m in row["caught"]}, key=float)[::2]
    rules = Table(
        "rules side by side: correct cells accused, and bugs caught (and missed although the numbers show them) by their size",
        ["rule", "false alarms", *magnitudes],
        [
            [
                row["rule"],
                f"{row['accused'] / row['correct']:.1%}" if row["correct"] else "-",
                *(
                    f"{row['caught'][m]:.0%} ({row['missed'][m]:.0%})" if m in row["caught"] else "-"
                    for m in magnitudes
                ),
            ]
            for row in rule_table(figures)
        ],
        left=frozenset({"rule"}),
    )
    heading = f"{figures.cells} cells, {correct} correct weights and {figures.wrong} wrong ones"
    shown: list[Table | str] = [heading, must]
    if figures.examples:
        header = ["cell", "flat_index", "times_bound", "model", "start", "data_scale", "dtype", "scheme", "eps"]
        worst = [[example[name] for name in header] for example in figures.examples]
        shown.append(Table("the worst false alarms", header, worst, left=frozenset({"cell", "model", "start"})))
    return [*shown, rules]
