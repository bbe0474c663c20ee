"""The tables of a run: what it answers, which rule accuses what, what failed and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, overload

from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.printable import printable
from gradcheck.views import answer, summary, words
from gradcheck.views.frames import records
from gradcheck.views.layout import Table
from gradcheck.views.matrix import matrix
from gradcheck.views.record import Record
from gradcheck.views.swept_table import swept_tables
from gradcheck.views.worst import Worst

if TYPE_CHECKING:
    import pandas as pd

SCREEN = 200  # rows of matrices on a terminal
_PIECE = 10_000  # rows that are Python values at the same time
VALUES = 40  # rows of the values of the keys that were swept
LISTED = 20  # entries of a list on a terminal


def overview(
    record: Record, by: Sequence[str] | None = None, *, every: bool = False, short: bool = False
) -> list[Table | str]:
    """What a run answers.

    by : columns to count cells by, in place of the matrices.
    every : list every mismatch too, cell by cell.   short : the first entries of long lists, for a terminal.
    """
    rows, entries = (SCREEN, LISTED) if short and not every else (None, None)
    blocks: list[Table | str] = [record.heading, *summary.verdicts(record.tally), *answer.accused(record, entries)]
    if by is not None:
        blocks.append(_verdict_table(record, by))
    else:
        found = matrix(record.cells)
        computed = record.tally.widths is not None
        blocks += swept_tables(record.tally, VALUES if entries else None)
        blocks += answer.matrices(found, rows)
        swept = record.tally.swept if computed else None
        blocks += answer.diagnoses(record, (*swept.keys, *swept.seeds), entries) if swept else []
    tables = [*([_worst_table(record)] if every else []), _rule_table(record), _problem_table(record)]
    return [*blocks, *(one for table in tables if table.rows for one in ("\n", _cut(table, entries)))]


def _cut(table: Table, most: int | None) -> Table:
    """The first rows of a table; its title says that there are more."""
    if most is None or len(table.rows) <= most:
        return table
    title = f"{table.title}  (first {most} of {len(table.rows)}; --all shows every row)"
    return replace(table, title=title, rows=table.rows[:most])


def _verdict_table(record: Record, by: Sequence[str]) -> Table:
    frame = record.verdicts(by)
    first = record.looked_at_first(by)
    rows = sorted(records(frame), key=lambda row: -first.get(tuple(row[name] for name in by), 0))
    unused = [
        name
        for name in ("partial", "nondifferentiable", "failed", "skipped", "not_ok")
        if not any(row[name] for row in rows)
    ]
    header = [name for name in frame.columns if name not in (*unused, "half_visible_from")]
    shown = [[_figure(row, name, by, record.names) for name in header] for row in rows]
    note = words.HALF if any(str(value).endswith("*") for row in shown for value in row[len(by) :]) else ""
    title = f"cells by {', '.join(map(words.column, by))}"
    left = frozenset(words.column(name) for name in by if name != "eps")
    return Table(title, [words.column(name) for name in header], shown, note, left, keys=len(by))


def _figure(row: Mapping[str, Any], name: str, by: Sequence[str], names: words.Names) -> object:
    if name in by:
        return words.setting(name, row[name], names)
    if name == "visible_from":
        return words.visible_from(row[name], row["half_visible_from"])
    return words.error(row[name]) if name == "worst_rel_err" else row[name]


def _worst_table(record: Record) -> Table:
    header = ["cell", "run", "model", *FUNCTIONS, "bug", "eps", "worst weight", "rel_err", "diagnosis"]
    functions = [name for name in FUNCTIONS if name in record.cells]
    # the heading names what is the same in the whole run
    same = {*FUNCTIONS}.difference(functions)
    same |= {name for name in ("model", *functions, "bug", "eps") if record.cells[name].nunique(dropna=False) == 1}
    same |= set() if record.several else {"run"}
    kept = [i for i, name in enumerate(header) if name not in same]
    header = [header[i] for i in kept]
    frame = record.worst(functions)
    weights = record.worst_weights(frame)
    rows = _Rows(frame, lambda row: list(itemgetter(*kept)(_worst_row(row, weights, record.names))))
    return Table("mismatches, the worst weight of each cell", header, rows, left=frozenset(header) - {"rel_err", "eps"})


def _worst_row(row: Mapping[str, Any], weights: Mapping[str, Worst], names: words.Names) -> list[object]:
    return [
        *(row.get(name) for name in ("cell", "run", "model", *FUNCTIONS)),
        *(words.setting(name, row[name], names) for name in ("bug", "eps")),
        weights[row["cell"]].name,
        words.error(weights[row["cell"]].rel_err),
        row["diagnosis"],
    ]


class _Rows(Sequence[Sequence[object]]):
    """The rows of a frame, each made when it is asked for: a screen shows few of a million."""

    def __init__(self, frame: pd.DataFrame, make: Callable[[Mapping[str, Any]], Sequence[object]]) -> None:
        self._frame, self._make = frame, make

    def __len__(self) -> int:
        return len(self._frame)

    def __iter__(self) -> Iterator[Sequence[object]]:
        for start in range(0, len(self), _PIECE):
            yield from self[start : start + _PIECE]

    @overload
    def __getitem__(self, place: int) -> Sequence[object]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Sequence[object]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[object] | Sequence[Sequence[object]]:
        if isinstance(place, slice):
            return [self._make(row) for row in records(self._frame.iloc[place])]
        return self._make(records(self._frame.iloc[[place]])[0])


def _rule_table(record: Record) -> Table:
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for row in records(record.rule_table()):
        by_rule.setdefault(row["rule"], []).append(row)
    rows = []
    for rule, found in by_rule.items():
        right = [row for row in found if row["false_alarms"] is not None]
        wrong = [row for row in found if row["caught"] is not None]
        unknown = [row for row in found if row["false_alarms"] is None and row["caught"] is None]
        missed = sorted((row for row in wrong if row["missed"]), key=lambda row: -row["missed"])
        rows.append(
            [
                rule,
                _share("false_alarms", right),
                *(_share(name, wrong) for name in ("caught", "missed", "cannot_be_told")),
                _share("accused", unknown),
                ", ".join(f"{printable(row['bug'])} {row['missed']}/{row['cells']}" for row in missed) or None,
            ]
        )
    header = ["rule", "false alarms", "caught", "missed", "cannot be told", "accused, truth unknown", "bugs missed"]
    if len(rows) > 1 and len({tuple(row[1:]) for row in rows}) == 1:
        rows = [[f"each of {len(rows)}", *rows[0][1:]]]
    used = [i for i, _ in enumerate(header) if not i or any(row[i] is not None for row in rows)]
    table = [[row[i] for i in used] for row in rows]
    return Table("which rule accuses what", [header[i] for i in used], table, left=frozenset({"rule", "bugs missed"}))


def _share(name: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    cells = sum(row["cells"] for row in rows)
    return f"{sum(row[name] for row in rows)}/{cells}" if cells else None


def _problem_table(record: Record) -> Table:
    rows = [[row["status"], row["cells"], row["example"], row["message"]] for row in records(record.problems())]
    header = ["status", "cells", "such as", "reason"]
    return Table("cells without a result", header, rows, left=frozenset(header) - {"cells"})
