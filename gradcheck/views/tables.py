"""The tables of a run: verdicts, worst weights, which rule accuses what, what failed and why, one cell by weights."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from gradcheck.columns.weights import AXES, SCHEMA_VERSION
from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.printable import printable
from gradcheck.views import varied
from gradcheck.views.frames import records, weight_name
from gradcheck.views.numbers import in_json
from gradcheck.views.record import Record
from gradcheck.views.terminal import Table, cut, short

if TYPE_CHECKING:
    import pandas as pd


_TOLD = ("cell", "status", "message", "verdict", "ok")
_FIGURES = (
    "n_weights",
    "max_rel_err",
    "max_resolution",
    "worst_param",
    "worst_flat_index",
    "diagnosis",
    "diagnosis_kind",
)
_PIECE = 10_000  # cells whose rows are Python values at the same time


def as_json(record: Record, cell: str | None = None, by: Sequence[str] | None = None) -> str:
    """All tables and cells (or one cell with its weights) as a JSON object; infinite numbers are the strings "inf" and
    "-inf".

    ``swept`` are the columns of the settings in which cells differ; the rows of ``worst`` and ``cells`` have them.
    """
    content: dict[str, object] = {"schema_version": SCHEMA_VERSION, "run": record.name}
    if record.several:
        content["runs"] = [run.name for run in record.runs]
    if cell is not None:
        row = record.cell(cell)
        content |= {"cell": row, "weights": records(record.weights(row["cell"]))}
    else:
        arrays, swept = varied.arrays(record), varied.varied(record)
        content |= {
            "n_cells": len(record.cells),
            "verdicts": records(record.verdicts(by or record.groups)),
            "swept": [*swept, *arrays.columns],
            "worst": records(record.worst(swept)),
            "rules": records(record.rule_table()),
            "problems": records(record.problems()),
            "provenance": record.provenance,
            "notes": record.notes,
        }
    text = json.dumps(in_json(content), allow_nan=False, indent=1)
    if cell is not None:
        return text
    names = list(dict.fromkeys([*_TOLD, *(["run"] if "run" in record.cells else []), *AXES.names, *swept, *_FIGURES]))
    cells = varied.in_order(record, swept)[names].join(arrays)
    pieces = (records(cells.iloc[start : start + _PIECE]) for start in range(0, len(cells), _PIECE))
    rows = ",\n  ".join(json.dumps(in_json(row), allow_nan=False) for piece in pieces for row in piece)
    return f'{text[:-2]},\n "cells": [\n  {rows}\n ]\n}}'


def overview(record: Record, lines: int | None, by: Sequence[str] | None = None) -> list[Table | str]:
    """The tables of a run, cut so that they fill no more than `lines` lines (None: whole).

    by : columns to count by; None takes as many of run, model, bug and eps as leave room for the other tables.
    """
    if by is None:
        by = record.groups if lines is None else _coarse(record, record.groups, max(4, lines // 4))
    verdicts = _verdict_table(record, by)
    tables = (verdicts, _worst_table(record), _rule_table(record), _problem_table(record))
    sections = [section for section in tables if section.rows]
    blocks: list[Table | str] = [record.heading]
    left = None if lines is None else lines + 2 - len(record.heading.splitlines())
    for section, rows in zip(sections, _shares([len(section.rows) for section in sections], left), strict=True):
        title = section.title
        if rows < len(section.rows):
            title += f"  (first {rows} of {len(section.rows)}; --all shows every row)"
        blocks.append(Table(title, section.header, section.rows[:rows], section.note, section.left))
    return blocks


def _coarse(record: Record, by: Sequence[str], rows: int) -> Sequence[str]:
    """As many of the columns as give at most `rows` rows; all columns where even one gives more."""
    for size in range(len(by), 0, -1):
        for some in itertools.combinations(by, size):
            if len(record.verdicts(some)) <= rows:
                return some
    return by


def _shares(lengths: list[int], lines: int | None) -> list[int]:
    """How many rows each table gets.  The tables take lines in turn, after the heading, the titles and the headers."""
    if lines is None:
        return lengths
    shares = [0] * len(lengths)
    free = max(lines - 2 - 2 * len(lengths), 2 * len(lengths))
    while free > 0 and shares != lengths:
        for i, length in enumerate(lengths):
            if shares[i] < length and free > 0:
                shares[i] += 1
                free -= 1
    return shares


def _verdict_table(record: Record, by: Sequence[str]) -> Table:
    frame = record.verdicts(by)
    first = record.looked_at_first(by)
    rows = sorted(records(frame), key=lambda row: -first.get(tuple(row[name] for name in by), 0))
    unused = [
        name
        for name in ("partial", "nondifferentiable", "failed", "skipped", "not_ok")
        if not any(row[name] for row in rows)
    ]
    header = [name for name in frame.columns if name not in unused]
    shown = [[eps_text(from_stored(row[name])) if name == "eps" else row[name] for name in header] for row in rows]
    return Table(
        f"cells by {', '.join(by)}", [_spaced(name) for name in header], shown, left=frozenset(set(by) - {"eps"})
    )


def _worst_table(record: Record) -> Table:
    header = ["cell", "run", "model", *FUNCTIONS, "bug", "eps", "worst weight", "rel_err", "diagnosis"]
    functions = [name for name in FUNCTIONS if name in record.cells]
    # the heading names what is the same in the whole run
    same = {*FUNCTIONS}.difference(functions)
    same |= {name for name in ("model", *functions, "bug", "eps") if record.cells[name].nunique(dropna=False) == 1}
    same |= set() if record.several else {"run"}
    kept = [i for i, name in enumerate(header) if name not in same]
    header = [header[i] for i in kept]
    rows = _Rows(record.worst(functions), lambda row: [_worst_row(row)[i] for i in kept])
    return Table("mismatches, the worst weight of each cell", header, rows, left=frozenset(header) - {"rel_err", "eps"})


def _worst_row(row: Mapping[str, Any]) -> list[object]:
    return [
        *(row.get(name) for name in ("cell", "run", "model", *FUNCTIONS, "bug")),
        eps_text(from_stored(row["eps"])),
        f"{row['worst_param']} #{row['worst_flat_index']}",
        row["max_rel_err"],
        row["diagnosis"],
    ]


class _Rows(Sequence[Sequence[object]]):
    """The rows of a frame, each made when it is asked for: a screen shows few of a million."""

    def __init__(self, frame: pd.DataFrame, make: Callable[[Mapping[str, Any]], Sequence[object]]) -> None:
        self._frame, self._make = frame, make

    def __len__(self) -> int:
        return len(self._frame)

    @overload
    def __getitem__(self, place: int) -> Sequence[object]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[object]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[object] | Sequence[Sequence[object]]:
        if isinstance(place, slice):
            return [self._make(row) for row in records(self._frame.iloc[place])]
        return self._make(records(self._frame.iloc[[place]])[0])


def _rule_table(record: Record) -> Table:
    frame = record.rule_table()
    planted, correct = frame["caught"].notna(), frame["false_alarms"].notna()
    rows = []
    for rule, group in frame.groupby("rule", sort=False):
        right, wrong = group[correct.loc[group.index]], group[planted.loc[group.index]]
        unknown = group[~(correct | planted).loc[group.index]]
        missed = wrong[wrong["missed"] > 0].sort_values("missed", ascending=False)
        rows.append(
            [
                rule,
                _share(right["false_alarms"], right),
                *(_share(wrong[name], wrong) for name in ("caught", "missed", "cannot_be_told")),
                _share(unknown["accused"], unknown),
                cut(", ".join(f"{printable(row.bug)} {row.missed}/{row.cells}" for row in missed.itertuples()), 40)
                or None,
            ]
        )
    header = ["rule", "false alarms", "caught", "missed", "cannot be told", "accused, truth unknown", "bugs missed"]
    used = [i for i, _ in enumerate(header) if i < 5 or any(row[i] is not None for row in rows)]
    table = [[row[i] for i in used] for row in rows]
    return Table("which rule accuses what", [header[i] for i in used], table, left=frozenset({"rule", "bugs missed"}))


def _share(part: pd.Series, whole: pd.DataFrame) -> str | None:
    return f"{part.sum()}/{whole['cells'].sum()}" if whole["cells"].sum() else None


def _problem_table(record: Record) -> Table:
    rows = [[row["status"], row["cells"], row["example"], row["message"]] for row in records(record.problems())]
    header = ["status", "cells", "such as", "reason"]
    return Table("cells without a result", header, rows, left=frozenset(header) - {"cells"})


def cell_view(record: Record, start: str, lines: int | None) -> list[Table | str]:
    """One cell weight by weight, cut to `lines` lines (None: whole)."""
    row = record.cell(start)
    facts = ", ".join(printable(row[name]) for name in ("model", "data", "bug", "scheme", "dtype"))
    verdict = row["verdict"] or row["status"]
    within = f" of {printable(row['run'])}" if record.several else ""
    eps = eps_text(from_stored(row["eps"]))
    blocks: list[Table | str] = [f"cell {printable(row['cell'])}{within}: {facts}, eps {eps}"]
    blocks.append(f"{printable(verdict).upper()}  {printable(row['diagnosis'] or row['message'] or '')}".rstrip())
    n, most = row["n_weights"] or 0, None if lines is None else max(1, lines - 4)
    if most is not None and n > BLOCK_WEIGHTS:  # all of them may not fit into memory
        weights = records(record.first_weights(row["cell"], most))
    else:
        weights = records(record.weights(row["cell"]))
    shown = weights if most is None else weights[:most]
    columns = [
        "verdict",
        "analytic",
        "numeric",
        "abs_err",
        "bound",
        "rel_err",
        "resolution",
        "weight",
        "step",
        "reason",
    ]
    if not any(weight["reason"] for weight in weights):
        columns.remove("reason")
    precise = {"analytic", "numeric", "weight", "step"}
    rows = [
        [
            str(weight_name(weight["param"], weight["position"], ", ")),
            *(_number(weight[name]) if name in precise else weight[name] for name in columns),
        ]
        for weight in shown
    ]
    n = max(n, len(weights))
    title = "" if len(shown) == n else f"first {len(shown)} of {n} weights; --all shows every one"
    if rows:
        blocks.append(Table(title, ["parameter", *columns], rows, left=frozenset({"parameter", "verdict", "reason"})))
    return blocks


def _number(value: object) -> str:
    """A number with enough digits to see where two gradients part."""
    return f"{value:.6g}" if isinstance(value, float) and value != 0 and 1e-4 <= abs(value) < 1e6 else short(value)


def _spaced(name: str) -> str:
    return {"worst_rel_err": "worst rel_err", "median_resolution": "visible from", "not_ok": "not ok"}.get(name, name)
