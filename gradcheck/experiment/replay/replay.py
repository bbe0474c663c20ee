"""Running recorded configs again and comparing every number with the record.

Two computations of the same figure on different machines differ by rounding.  The yardstick is the bound that belongs
to each weight, recomputed: it holds for the error of any computation of that weight, and what is further away was not
computed from the same inputs.  A figure that is computed from others is as far away as these are, where it follows from
them in the record itself; else it is compared on its own, in the unit that error propagation gives (`intervals`).  A
record is data: its configs go through `gradcheck.experiment.config.build.build`, which knows classes by their names only.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.columns.store import Place
from gradcheck.columns.weights import ERRORS, WEIGHTS, CellRows, errors_table
from gradcheck.errors import BadInput
from gradcheck.experiment.config import identity
from gradcheck.experiment.config.columns import column_name
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.engines.base import Settings
from gradcheck.experiment.engines.cells import one_blas_thread, outcome_of
from gradcheck.experiment.footprint import MAX_MEMORY, WEIGHT_BYTES
from gradcheck.experiment.replay import intervals
from gradcheck.experiment.results import results, version_1
from gradcheck.experiment.results.plan import Planned
from gradcheck.experiment.results.rows import CELLS, cell_row, cells_table
from gradcheck.experiment.results.stored import Stored
from gradcheck.numerics.verdict import VERDICTS

Array = intervals.Array
Flags = intervals.Flags

# A word (verdict, reason, diagnosis, counts of verdicts) may turn where a number does; these follow from the config
# alone.
_WORDS = {
    *("verdict", "reason", "worst_param", "worst_flat_index", "diagnosis", "diagnosis_kind"),
    *("n_exempt", "n_judged", "n_missed", "ok"),
    *(f"n_{verdict}" for verdict in VERDICTS),
}
_MAX_CONFIG = 10_000_000  # characters


@dataclass
class Column:
    """How well a column was reproduced.  distance : the largest, in units of the bound; 0 where all values are the
    same to the bit.
    """

    name: str
    compared: int = 0
    identical: int = 0
    distance: float = 0.0
    beyond: list[str] = field(default_factory=list)  # cells

    def add(self, same: Any, distance: Any, cell: str) -> None:
        same, distance = np.atleast_1d(same), np.atleast_1d(distance)
        self.compared += len(same)
        self.identical += int(same.sum())
        if not same.all():
            largest = float(np.where(same, 0.0, distance).max())
            self.distance = max(self.distance, largest)
            if not largest <= 1.0:
                self.beyond.append(cell)


@dataclass
class Comparison:
    """Outcome of running cells again."""

    cells: int = 0
    weights: Mapping[str, Column] = field(default_factory=lambda: {n: Column(n) for n in ERRORS.names})
    summary: Mapping[str, Column] = field(default_factory=dict)
    provenance: list[tuple[str, Any, Any]] = field(default_factory=list)
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


def chosen(run_dir: Place, cell: str | None, sample: int | None, seed: int = 0) -> list[str] | None:
    """Ids of the cells to run again, None for all.  Raises BadInput for an id that is not there and for a sample
    below 1.
    """
    if sample is not None and sample < 1:
        raise BadInput(f"--sample={sample}: must be a number of cells >= 1")
    if cell is None and sample is None:
        return None
    ids = [str(row["cell"]) for row in results.cell_rows(run_dir, ["cell"])]
    if cell is not None:
        ids = [one for one in ids if cell and one.startswith(cell)]
        if len(ids) != 1:
            raise BadInput(f"--cell={cell}: {f'{len(ids)} cells begin so' if ids else 'no such cell'} in {run_dir}")
    return random.Random(seed).sample(sorted(ids), min(sample or 1, len(ids)))


def reproduce(
    run_dir: Place,
    wanted: Sequence[str] | None = None,
    allow: Sequence[str] = (),
    allow_path: Sequence[str | Path] = (),
    max_memory: float | None = None,
) -> Comparison:
    """Run recorded cells again (all, or those wanted) and compare every column but `seconds`.

    allow : modules that a recorded ``model=function`` may import.
    allow_path : folders, beside the current one, in which a recorded config may name data files.
    max_memory : bytes that a cell may take.

    Raises BadInput where the record cannot be read or a config in it is none.
    """
    stored = Stored(run_dir)
    found = Comparison(summary={name: Column(name) for name in _cell_columns(stored)}, notes=stored.notes)
    roots = [Path.cwd().resolve(), *(Path(path).resolve() for path in allow_path)]
    options: dict[str, Any] = {"allow": tuple(allow)} if allow else {}
    settings = Settings(options=options | ({} if max_memory is None else {"max_memory": max_memory}))
    with one_blas_thread():
        for row, weights, version in _recorded(stored, None if wanted is None else set(wanted)):
            cell = str(row["cell"])
            config = _config(row, roots)
            planned = Planned(_cell_id(cell, config, allow), config)
            outcome, _ = outcome_of(config, settings)
            outcome = _unpacked(outcome, cell, MAX_MEMORY if max_memory is None else max_memory)
            new = cell_row(planned, outcome, 0.0)
            new = version_1.retold(new, weights) if version < 2 else new
            _compare(found, cell, row, weights, new, getattr(outcome, "rounding", None))
            found.cells += 1
    if wanted is not None and found.cells < len(set(wanted)):
        raise BadInput(f"{run_dir}: {len(set(wanted)) - found.cells} of the cells asked for are not stored")
    return found


def _cell_columns(stored: Stored) -> list[str]:
    parts = stored.cells
    aside = ("seconds", *(version_1.NOT_COMPARED if any(part.version < 2 for part in parts) else ()))
    return [name for name in dict.fromkeys(name for part in parts for name in part.columns) if name not in aside]


def _recorded(stored: Stored, wanted: set[str] | None) -> Iterator[tuple[dict[str, Any], dict[str, list[Any]], int]]:
    """Rows of ``cells`` with the columns of their weights and the version of both, a part at a time."""
    for i, part in enumerate(stored.cells):
        rows = [row for table in stored.rows_of(i) for row in table.to_pylist()]
        rows = [row for row in rows if wanted is None or row["cell"] in wanted]
        if not rows:
            continue
        table = stored.weights({str(row["cell"]) for row in rows}, near=i)
        cells = np.asarray(table["cell"].to_pylist(), dtype=object)
        for row in rows:
            mine = table.filter(cells == row["cell"]) if len(cells) else table
            yield row, mine.to_pydict(), part.version


def _unpacked(outcome: Any, cell: str, max_memory: float) -> Any:
    """The outcome of a cell with its weights by column.  Raises BadInput for one that has too many of them."""
    pieces = getattr(outcome, "weights", None)
    if not isinstance(pieces, list):
        return outcome
    needed = 2 * WEIGHT_BYTES * sum(piece.size for piece in pieces)
    if needed > max_memory:
        raise BadInput(
            f"cell {cell}: comparing its weights takes about {needed:.1e} bytes, more than max_memory={max_memory:.1e};"
            f" allow it with --max-memory={needed * 1.1:.1e}"
        )
    columns: dict[str, Any] = {name: [] for name in WEIGHTS.names}
    for piece in pieces:
        for name, values in piece.unpacked().to_pydict().items():
            columns[name] += values
    real = {f.name for f in WEIGHTS if f.type == "double"}
    return replace(outcome, weights={name: _reals(v) if name in real else v for name, v in columns.items()})


def _config(row: Mapping[str, Any], roots: Sequence[Path]) -> dict[str, Any]:
    """The recorded config, made canonical.  Raises BadInput where it is none or names a file outside the allowed
    folders.
    """
    where = f"config of cell {row['cell']}"
    text = row["config"] or ""
    try:
        if len(text) > _MAX_CONFIG:
            raise BadInput(f"{where}: has {len(text)} characters, must have at most {_MAX_CONFIG}")
        raw = json.loads(text)
        for section in ("data", "init", "model"):
            path = raw.get(section, {}).get("path") if isinstance(raw.get(section), dict) else None
            if path is not None and not any(Path(str(path)).resolve().is_relative_to(root) for root in roots):
                raise BadInput(
                    f"{where}: {section}.path={path} lies outside the current folder; allow it with --allow-path"
                )
        return canonical(raw)
    except BadInput:
        raise
    except (ValueError, AttributeError, TypeError, OSError, RecursionError) as error:
        raise BadInput(f"{where}: {' '.join(str(error).split())[:300]}") from error


def _cell_id(cell: str, config: Mapping[str, Any], allow: Sequence[str]) -> str:
    """The id that the config has now.  Raises BadInput where a file or a function of it cannot or must not be read."""
    try:
        return identity.cell_id(config, allow)
    except (ValueError, OSError) as error:
        raise BadInput(f"config of cell {cell}: {' '.join(str(error).split())}") from error


def _compare(
    found: Comparison, cell: str, old: Mapping[str, Any], weights: Mapping[str, Any], new: CellRows, rounding: Any
) -> None:
    apart: _Apart | None = None
    if isinstance(new.weights, Mapping) and len(weights["flat_index"]) == new.n_weights:
        recomputed = errors_table([new]).to_pydict()
        apart = _Apart(weights, recomputed, str(new.cell["dtype"]), rounding)
        _compare_weights(found, cell, weights, recomputed, apart)
    elif len(weights["flat_index"]) or new.weights is not None:
        found.weights["flat_index"].add(False, math.inf, cell)
    _compare_summary(found, cell, old, new, apart)


class _Apart:
    """How far the recorded numbers of a cell are from the recomputed ones."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], dtype: str, rounding: Any) -> None:
        self.old, self.new = ({name: _reals(w[name]) for name in intervals.NUMBERS} for w in (old, new))
        self.rounding = rounding
        chosen = np.array([rule == "auto" for rule in new["step_rule"]], dtype=bool)
        self.intervals = intervals.of_weights(self.new, chosen, dtype, rounding, self.old)
        self.same = {name: _same_bits(self.old[name], self.new[name]) for name in intervals.NUMBERS}
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

    def of_cell(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[bool, float]]:
        """For each figure of ``cells`` that is a number: is it the same to the bit, and how far is it away?"""
        ends = intervals.of_cell(self.new, self.intervals, _real(new["loss"]), self.rounding)
        follows = intervals.figures(self.old)
        found = {}
        for name, interval in ends.items():
            a, b = _reals([old.get(name)]), _reals([new[name]])
            distance = interval.distance(a)
            if name in follows:
                # the figure of a cell is as far away as the weight that is furthest
                sources = np.array([max(self.distance[c].max(initial=0.0) for c in intervals.FIGURES[name])])
                distance = _by_sources(distance, sources, intervals.agrees(a, follows[name]), interval.high)
            found[name] = bool(_same_bits(a, b)[0]), float(distance[0])
        return found


def _by_sources(own: Array, sources: Array, follows: Flags, high: Array) -> Array:
    """The distance of derived figures: no further than their sources where they follow from them in the record.

    Where they do not, and have no upper end in which they could be compared, they are what nobody computed.
    """
    return np.where(follows, np.minimum(own, sources), np.where(np.isfinite(high), own, math.inf))


def _compare_weights(
    found: Comparison, cell: str, old: Mapping[str, Any], new: Mapping[str, Any], apart: _Apart
) -> None:
    for name in intervals.NUMBERS:
        found.weights[name].add(apart.same[name], apart.distance[name], cell)
    consistent = _follows(old)
    for name in ERRORS.names:
        if name not in intervals.NUMBERS:
            same = np.array([a == b for a, b in zip(old[name], new[name], strict=True)], dtype=bool)
            excused = apart.differs & consistent if name in _WORDS else np.zeros_like(same)
            found.weights[name].add(same, np.where(excused, 0.0, math.inf), cell)


def _follows(old: Mapping[str, Any]) -> Flags:
    """Does the recorded verdict follow from the recorded numbers?  (Whether a kink is most of the bound, they do not
    tell.)
    """
    bound, abs_err, analytic = (_reals(old[name]) for name in ("bound", "abs_err", "analytic"))
    mismatch = (abs_err > bound) | ~np.isfinite(analytic)
    return np.asarray(mismatch == (np.array(old["verdict"], dtype=object) == "mismatch"))


def _compare_summary(found: Comparison, cell: str, old: Mapping[str, Any], new: CellRows, apart: _Apart | None) -> None:
    row = cells_table([new]).to_pylist()[0]
    settings = dict(_flattened(new.cell["config"]))
    figures = apart.of_cell(old, row) if apart is not None else {}
    turned = apart is not None and bool(apart.differs.any())
    for name, column in found.summary.items():
        if name not in CELLS.names and name not in row:
            if name in settings:  # a swept key: its value stands in the config
                before = old.get(name)
                column.add(before == settings[name] or _as_text(before) == _as_text(settings[name]), math.inf, cell)
            continue
        before, after = old.get(name), row[name]
        if name == "config":
            # a key that came later has its default, whether it stands there or not
            before, after = (canonical(json.loads(str(text))) for text in (before, after))
        if name in figures:
            column.add(*figures[name], cell)
        elif isinstance(after, float) or isinstance(before, float):
            column.add(_same_bits(_reals([before]), _reals([after])), math.inf, cell)
        else:
            excused = turned and (name in _WORDS or name.startswith("rule_"))
            column.add(before == after, 0.0 if excused else math.inf, cell)


def _flattened(config: str) -> Iterator[tuple[str, Any]]:
    def walk(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            yield column_name(prefix + key), item
            if isinstance(item, dict):
                yield from walk(item, f"{prefix}{key}.")

    return walk(json.loads(config), "")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _reals(values: Any) -> Array:
    return np.array([_real(value) for value in values], dtype=np.float64)


def _real(value: float | None) -> float:
    return math.nan if value is None else value


def _same_bits(a: Array, b: Array) -> Flags:
    return np.asarray((a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b)))


# ------------------------------------------------------------------------------------------------------ what is shown
