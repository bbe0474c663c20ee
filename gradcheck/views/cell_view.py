"""One cell weight by weight, those that are wrong first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.numerics.verdict import EXEMPT
from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.axes import axes
from gradcheck.views.frames import records
from gradcheck.views.layout import Table, short
from gradcheck.views.numbers import counted
from gradcheck.views.record import Record

_COLUMNS = ("verdict", "analytic", "numeric", "abs_err", "bound", "rel_err", "resolution", "weight", "step", "reason")
_NAMES = {"resolution": words.VISIBLE_FROM, "weight": "value"}
_FACTS = ("model", "data", "bug", "scheme", "dtype")


def cell_view(record: Record, start: str, most: int | None = BLOCK_WEIGHTS) -> list[Table | str]:
    """One cell: what it is, its verdict, and at most so many of its weights (None: all of them)."""
    row = record.cell(start)
    facts = ", ".join(words.setting(name, row[name], record.names) for name in _FACTS)
    step = words.setting("eps", row["eps"], record.names)
    others = "".join(
        f", {words.column(name)} {words.setting(name, row[name], record.names)}" for name in _swept(record)
    )
    within = f" of {printable(row['run'])}" if record.several else ""
    verdict = row["verdict"] or row["status"]
    blocks: list[Table | str] = [
        f"cell {printable(row['cell'])}{within}: {facts}, eps {step}{others}",
        f"{printable(verdict).upper()}  {printable(row['diagnosis'] or row['message'] or '')}".rstrip(),
    ]
    n = row["n_weights"] or 0
    weights = _weights(record, row["cell"], n, most)
    n = max(n, len(weights))
    if weights:
        title = _counts(row, n)
        if len(weights) < n:
            title += f"  (first {len(weights)} of {n}; --all shows every one)"
        blocks.append(_table(weights, title, row["accept"] or 0.0))
    return blocks


def _swept(record: Record) -> list[str]:
    """The keys of the grid that are no facts of every cell: seeds, settings of the bug."""
    of_grid = axes(record.cells[record.cells["status"] == "ok"])
    return [name for name in (*of_grid.names, *of_grid.seeds) if name not in (*_FACTS, "run")]


def _weights(record: Record, cell: str, n: int, most: int | None) -> list[dict[str, Any]]:
    """The weights as they are shown; those of a cell with very many are not held in memory together."""
    if most is None or n <= BLOCK_WEIGHTS:
        found = records(record.weights(cell))
        wrong = sorted((row for row in found if row["verdict"] == "mismatch"), key=_error, reverse=True)
        return [*wrong, *(row for row in found if row["verdict"] != "mismatch")][:most]
    wrong = records(record.wrong_weights(cell, most))
    others = (row for row in records(record.first_weights(cell, most)) if row["verdict"] != "mismatch")
    return [*wrong, *others][:most]


def _error(row: Mapping[str, Any]) -> float:
    """How far both gradients are apart; a difference that is no number comes first."""
    return float("inf") if row["abs_err"] is None else float(row["abs_err"])


def _counts(row: Mapping[str, Any], n: int) -> str:
    """``6 weights: 4 match, 1 mismatch, 1 not judged``"""
    counts = Counter(
        {name: row[f"n_{name}"] or 0 for name in ("match", "mismatch", "inconclusive", "nondifferentiable")}
    )
    exempt = row["n_exempt"] or 0
    counts[words.NOT_JUDGED] = counts.pop("inconclusive") + counts.pop("nondifferentiable") - exempt
    counts[EXEMPT] = exempt
    return f"{counted(n, 'weight')}: {', '.join(f'{count:,} {name}' for name, count in counts.items() if count)}"


def _table(weights: list[dict[str, Any]], title: str, accept: float) -> Table:
    columns = [name for name in _COLUMNS if name != "reason" or any(weight["reason"] for weight in weights)]
    rows = [
        [words.weight(weight["param"], weight["position"]), *(_value(weight, name, accept) for name in columns)]
        for weight in weights
    ]
    header = ["weight", *(_NAMES.get(name, name) for name in columns)]
    return Table(title, header, rows, left=frozenset({"weight", "verdict", "reason"}))


def _value(weight: Mapping[str, Any], name: str, accept: float) -> object:
    value = weight[name]
    if name == "resolution":
        return words.visible_from(None if value is None else value + accept)
    if name == "rel_err":
        return words.error(value)
    return words.number(value) if isinstance(value, float) else short(value)
