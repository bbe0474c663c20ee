"""The comparison of the recorded columns of a cell with the recomputed ones."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.columns.weights import ERRORS, CellRows, errors_table
from gradcheck.experiment.config import form
from gradcheck.experiment.config.columns import column_name
from gradcheck.experiment.replay import intervals
from gradcheck.experiment.replay.intervals import Array, Flags
from gradcheck.experiment.results.rows import CELLS, cells_table
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.verdict import VERDICTS

Row: TypeAlias = Mapping[str, object]  # of ``cells``
Columns: TypeAlias = Mapping[str, Sequence[object]]  # of ``errors``, the rows of one cell

# Columns that may change where a number does.  The other words follow from the config alone.
_WORDS = {
    *("verdict", "reason", "worst_param", "worst_flat_index", "diagnosis", "diagnosis_kind"),
    *("n_exempt", "n_judged", "n_missed", "ok"),
    *(f"n_{verdict}" for verdict in VERDICTS),
}


@dataclass
class Column:
    """How well a column was reproduced.

    distance : the largest of a value, in units of the bound; 0 where all values are the same to the bit.
    """

    name: str
    compared: int = 0
    identical: int = 0
    distance: float = 0.0
    beyond: list[str] = field(default_factory=list)  # cells

    def add(self, same: ArrayLike, distance: ArrayLike, cells: ArrayLike) -> int | None:
        """Count values of a cell, or of `cells`: whether each is the same to the bit, and how far away it is where not.

        Returns the place of the furthest one where none before was as far away.
        """
        same, distance = np.atleast_1d(same), np.atleast_1d(distance)
        self.compared += len(same)
        self.identical += int(same.sum())
        if same.all():
            return None
        apart = np.where(same, -1.0, distance)
        if (far := ~(apart <= 1.0)).any():
            named = np.broadcast_to(np.asarray(cells, dtype=object), far.shape)[far]
            self.beyond += dict.fromkeys(named.tolist())
        furthest = int(apart.argmax())
        if self.distance > 0 and not apart[furthest] > self.distance:
            return None
        self.distance = float(apart[furthest])
        return furthest


@dataclass
class Comparison:
    """Outcome of running cells again."""

    cells: int = 0
    weights: Mapping[str, Column] = field(default_factory=lambda: {n: Column(n) for n in ERRORS.names})
    summary: Mapping[str, Column] = field(default_factory=dict)
    provenance: list[tuple[str, object, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is missing of the record

    @property
    def columns(self) -> list[Column]:
        return [*self.weights.values(), *self.summary.values()]

    @property
    def identical(self) -> bool:
        return all(column.identical == column.compared for column in self.columns)

    @property
    def reproduced(self) -> bool:
        """Every number lies within its bound."""
        return not any(column.beyond for column in self.columns)


def compare(found: Comparison, cell: str, old: Row, weights: Columns, new: CellRows, rounding: Rounding | None) -> None:
    """Add the comparison of one cell to what was `found`.

    old, weights : the recorded row of ``cells`` and the columns of ``errors``.   new : the recomputed ones.
    rounding : by which another computation of the loss and the gradient may differ.
    """
    apart: Apart | None = None
    if isinstance(new.weights, Mapping) and rounding is not None and len(weights["flat_index"]) == new.n_weights:
        recomputed = errors_table([new]).to_pydict()
        chosen = np.array([rule == "auto" for rule in recomputed["step_rule"]], dtype=bool)
        old_numbers, new_numbers = ({name: reals(w[name]) for name in intervals.NUMBERS} for w in (weights, recomputed))
        apart = Apart(old_numbers, new_numbers, chosen, str(new.cell["dtype"]), rounding)
        _compare_weights(found, cell, weights, recomputed, apart)
    elif len(weights["flat_index"]) or new.weights is not None:
        found.weights["flat_index"].add(False, math.inf, cell)
    _compare_summary(found, cell, old, new, apart, rounding)


class Apart:
    """How far the recorded numbers of weights are from the recomputed ones, or from those of another record.

    chosen : where the step was chosen.
    rounding : by which another computation may differ; None where it is not known, as of another record.
    """

    def __init__(
        self, old: intervals.Columns, new: intervals.Columns, chosen: Flags, dtype: str, rounding: Rounding | None
    ) -> None:
        self.old, self.new, self.chosen = old, new, chosen
        self.intervals = intervals.of_weights(self.new, chosen, dtype, rounding, self.old)
        self.same = {name: same_bits(self.old[name], self.new[name]) for name in intervals.NUMBERS}
        self.differs: Flags = ~np.logical_and.reduce(list(self.same.values()))
        self.distance: dict[str, Array] = {}
        follows = intervals.derived(self.old)
        # the numbers first, then what is computed from them, a resolution from a bound
        for name in sorted(intervals.NUMBERS, key=lambda name: len(intervals.DERIVED.get(name, ()))):
            found = self.intervals[name].distance(self.old[name])
            if name in follows:
                sources = np.max([self.distance[source] for source in intervals.DERIVED[name]], axis=0)
                found = _by_sources(
                    found, sources, intervals.agrees(self.old[name], follows[name]), self.intervals[name].high
                )
            self.distance[name] = np.where(self.same[name], 0.0, found)

    def of_cell(self, old: Row, new: Row, rounding: Rounding) -> dict[str, tuple[bool, float]]:
        """For each figure of ``cells`` that is a number: is it the same to the bit, and how far is it away?"""
        ends = intervals.of_cell(self.new, self.intervals, _real(new["loss"]), rounding)
        follows = intervals.figures(self.old)
        found = {}
        for name, interval in ends.items():
            a, b = reals([old.get(name)]), reals([new[name]])
            distance = interval.distance(a)
            if name in follows:
                # the figure of a cell is at most as far away as the weight that is furthest
                sources = np.array([max(self.distance[c].max(initial=0.0) for c in intervals.FIGURES[name])])
                distance = _by_sources(distance, sources, intervals.agrees(a, follows[name]), interval.high)
            found[name] = bool(same_bits(a, b)[0]), float(distance[0])
        return found


def _by_sources(own: Array, sources: Array, follows: Flags, high: Array) -> Array:
    """The distance of derived figures: at most that of their sources where the record's own numbers give them.

    Where they do not give them, and the interval has no upper end, the distance is infinite: nobody computed that figure.
    """
    return np.where(follows, np.minimum(own, sources), np.where(np.isfinite(high), own, math.inf))


def _compare_weights(found: Comparison, cell: str, old: Columns, new: Columns, apart: Apart) -> None:
    for name in intervals.NUMBERS:
        found.weights[name].add(apart.same[name], apart.distance[name], cell)
    consistent = verdict_follows(old)
    for name in ERRORS.names:
        if name not in intervals.NUMBERS:
            same = np.array([a == b for a, b in zip(old[name], new[name], strict=True)], dtype=bool)
            excused = apart.differs & consistent if name in _WORDS else np.zeros_like(same)
            found.weights[name].add(same, np.where(excused, 0.0, math.inf), cell)


def verdict_follows(old: Columns) -> Flags:
    """Whether each recorded verdict follows from the recorded numbers.

    They do not tell whether a kink is most of the bound: only ``mismatch`` is looked at.
    """
    bound, abs_err, analytic = (reals(old[name]) for name in ("bound", "abs_err", "analytic"))
    mismatch = (abs_err > bound) | ~np.isfinite(analytic)
    return np.asarray(mismatch == (np.array(old["verdict"], dtype=object) == "mismatch"))


def _compare_summary(
    found: Comparison, cell: str, old: Row, new: CellRows, apart: Apart | None, rounding: Rounding | None
) -> None:
    row = cells_table([new]).to_pylist()[0]
    settings = dict(_flattened(new.cell["config"]))
    figures = apart.of_cell(old, row, rounding) if apart is not None and rounding is not None else {}
    turned = apart is not None and bool(apart.differs.any())
    # how many steps are tried may depend on the last digit of a bound
    chosen = apart is not None and bool(apart.chosen.any())
    for name, column in found.summary.items():
        if name not in CELLS.names and name not in row:
            if name in settings:  # a swept key: its value stands in the config
                before = old.get(name)
                column.add(before == settings[name] or _as_text(before) == _as_text(settings[name]), math.inf, cell)
            continue
        before, after = old.get(name), row[name]
        if name == "config":
            # a key that came with a later version has its default where the record lacks it
            before, after = (form.canonical(json.loads(str(text))) for text in (before, after))
        if name in figures:
            column.add(*figures[name], cell)
        elif isinstance(after, float) or isinstance(before, float):
            column.add(same_bits(reals([before]), reals([after])), math.inf, cell)
        else:
            excused = turned and (name in _WORDS or name.startswith("rule_") or (name == "n_evals" and chosen))
            column.add(before == after, 0.0 if excused else math.inf, cell)


def _flattened(config: str) -> Iterator[tuple[str, object]]:
    """The values of a config by the names of their columns."""

    def walk(value: Row, prefix: str) -> Iterator[tuple[str, object]]:
        for key, item in value.items():
            yield column_name(prefix + key), item
            if isinstance(item, dict):
                yield from walk(item, f"{prefix}{key}.")

    return walk(json.loads(config), "")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def reals(values: Iterable[object]) -> Array:
    """Numbers of a column; NaN where it has none."""
    return np.array([_real(value) for value in values], dtype=np.float64)


def _real(value: object) -> float:
    return value if isinstance(value, float | int) else math.nan


def same_bits(a: Array, b: Array) -> Flags:
    """Whether two numbers are the same to the bit, or both NaN."""
    return np.asarray((a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b)))
