"""What differs between two runs, in tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set

from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.experiment.replay.difference import Changed, Difference, Number, Where
from gradcheck.numerics.steps import Step, from_stored
from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.axes import BASE
from gradcheck.views.frames import weight_name
from gradcheck.views.layout import Table
from gradcheck.views.numbers import counted, in_json
from gradcheck.views.reproduction import made_with

Names = tuple[str, str]  # of the runs
ROWS = 8  # of a table, unless all are asked for


def report(found: Difference, names: Names, *, all_rows: bool = False) -> list[Table | str]:
    """Tables of what differs; nothing for two runs that hold the same."""
    if found.nothing:
        return []
    most = None if all_rows else ROWS
    blocks: list[Table | str] = [_heading(found, names), *map(printable, found.notes)]
    blocks += [
        table for which, ids in zip(("first", "second"), found.only, strict=True) for table in _alone(which, ids, most)
    ]
    blocks += _changed("cells with another verdict", found.cells, len(found.cells), most)
    blocks += _changed("weights with another verdict", found.weights, found.n_weights, most)
    blocks += _numbers(found)
    if found.provenance:
        blocks.append(made_with(found.provenance, ("first", "second")))
    return [*blocks, *_seconds(found), _verdict(found)]


def _heading(found: Difference, names: Names) -> str:
    runs = [
        f"{which:<6}  {printable(name)}  ({counted(count, 'cell')})"
        for which, name, count in zip(("first", "second"), names, found.n_cells, strict=True)
    ]
    first, second = map(len, found.only)
    lines = [*runs, f"cells   {found.both} in both, {first} in the first alone, {second} in the second alone"]
    if found.renamed:
        lines.append(
            f"        {found.renamed} of those in both by their settings: a data file or a function's source changed,"
            " and so the id"
        )
    if any(found.alone):
        lines.append(
            f"weights {found.alone[0]} in the first alone, {found.alone[1]} in the second alone, of cells in both"
        )
    return "\n".join(lines)


def _alone(which: str, ids: Sequence[str], most: int | None) -> list[Table | str]:
    if not ids:
        return []
    shown = list(map(printable, ids[:most]))
    more = f" and {len(ids) - len(shown)} more; --all shows every one" if len(shown) < len(ids) else ""
    return [f"in the {which} run alone: {', '.join(shown)}{more}"]


def _changed(title: str, rows: Sequence[Changed], count: int, most: int | None) -> list[Table | str]:
    if not rows:
        return []
    shown = rows[:most]
    axes = [name for name in rows[0].axes if _told(name, {row.axes[name] for row in rows})]
    weight = ["weight"] if rows[0].where else []
    unplanted = {row.axes["model"] for row in rows if row.axes["bug"] == "none"}
    named = words.names((), unplanted)
    header = ["cell", *weight, *axes, "first", "second"]
    table = [
        [
            row.cell,
            *([_weight(row.where)] if row.where else []),
            *(words.setting(name, row.axes[name], named) if name in BASE else row.axes[name] for name in axes),
            row.first,
            row.second,
        ]
        for row in shown
    ]
    if len(shown) < count:
        rest = "; --all shows every one" if len(shown) < len(rows) else "; no more are listed"
        title += f"  (first {len(shown)} of {count}{rest})"
    return [Table(title, header, table, left=frozenset(header) - {"eps"})]


def _told(name: str, values: Set[object]) -> bool:
    """Whether a table names an axis: what every cell has, what tells somebody's functions apart, and what differs."""
    return name in ("model", "bug", "eps") or len(values) > 1 or (name in FUNCTIONS and values != {None})


def _weight(where: Where) -> str:
    return str(weight_name(where.param, where.position)) if where.param else f"#{where.flat_index}"


def _numbers(found: Difference) -> list[Table | str]:
    rows: list[list[object]] = []
    for group, columns in (("errors", found.numbers), ("cells", found.figures)):
        for column in columns.values():
            if column.identical < column.compared and column.furthest is not None:
                where = column.furthest
                at = f"{where.cell} {_weight(where)}" if group == "errors" else where.cell
                distance = None if group == "cells" else column.distance
                rows.append([group, column.name, column.compared, column.compared - column.identical, distance, at])
    if not rows:
        return []
    header = ["in", "column", "values", "differ", "furthest, in bounds", "where"]
    same = len(found.numbers) + len(found.figures) - len(rows)
    note = f"{same} other columns are the same to the bit"
    return [Table("what differs, by column", header, rows, note, frozenset({"in", "column", "where"}))]


def _seconds(found: Difference) -> list[str]:
    taken = found.seconds
    if not taken.cells:
        return []
    ratio = "" if taken.ratio is None else f", {taken.ratio:.3g} times as long"
    return [
        f"seconds {taken.first:.3g} in the first, {taken.second:.3g} in the second{ratio} ({counted(taken.cells, 'cell')})"
    ]


def _verdict(found: Difference) -> str:
    if found.changed:
        cells, weights = counted(len(found.cells), "cell"), counted(found.n_weights, "weight")
        return f"CHANGED  the verdicts of {cells} and {weights} are others"
    if not found.both:
        return "NOTHING IN COMMON  no cell is in both runs"
    beyond = sum(bool(column.beyond) for column in found.numbers.values())
    if beyond:
        return f"SAME VERDICTS  numbers of {counted(beyond, 'column')} lie beyond their bounds"
    if all(column.identical == column.compared for column in found.numbers.values()):
        return "SAME VERDICTS  every number is the same to the bit"
    return "SAME VERDICTS  every number lies within its bound"


def as_json(found: Difference, names: Names) -> str:
    """All that differs as a JSON object; infinite numbers are the strings "inf" and "-inf"."""
    first, second = found.only
    content = {
        "schema_version": SCHEMA_VERSION,
        "runs": list(names),
        "changed": found.changed,
        "cells": {
            "n": list(found.n_cells),
            "both": found.both,
            "renamed": found.renamed,
            "first_only": first,
            "second_only": second,
        },
        "verdicts": {
            "n_cells": len(found.cells),
            "n_weights": found.n_weights,
            "cells": [_row(row) for row in found.cells],
            "weights": [_row(row) for row in found.weights],
        },
        "weights": {"first_only": found.alone[0], "second_only": found.alone[1]},
        "numbers": [
            _column(group, column)
            for group, columns in (("errors", found.numbers), ("cells", found.figures))
            for column in columns.values()
        ],
        "seconds": {
            "cells": found.seconds.cells,
            "first": found.seconds.first,
            "second": found.seconds.second,
            "ratio": found.seconds.ratio,
        },
        "provenance": [{"key": key, "first": a, "second": b} for key, a, b in found.provenance],
        "notes": found.notes,
    }
    return json.dumps(in_json(content), allow_nan=False, indent=1)


def _row(row: Changed) -> Mapping[str, object]:
    place = {} if row.where is None else _place(row.where)
    axes = {**row.axes, "eps": _step(row)}
    return {"cell": row.cell, "second_cell": row.second_cell, **axes, **place, "first": row.first, "second": row.second}


def _step(row: Changed) -> Step:
    eps = row.axes["eps"]
    return from_stored(eps if isinstance(eps, float) else None)


def _place(where: Where) -> Mapping[str, object]:
    return {"param": where.param, "position": where.position, "flat_index": where.flat_index}


def _column(group: str, column: Number) -> Mapping[str, object]:
    differ = column.compared - column.identical
    where = column.furthest
    found: dict[str, object] = {
        "in": group,
        "column": column.name,
        "values": column.compared,
        "differ": differ,
        "cell": None if where is None else where.cell,
    }
    if group == "errors":
        found |= {"furthest": column.distance if differ else 0.0, "cells_beyond": len(set(column.beyond))}
        found |= _place(where) if where is not None else dict.fromkeys(("param", "position", "flat_index"))
    return found
