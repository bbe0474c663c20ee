"""What a reproduction found, in tables."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from gradcheck.experiment.replay.comparison import Comparison
from gradcheck.printable import printable
from gradcheck.views.layout import Table
from gradcheck.views.numbers import counted


def report(found: Comparison) -> list[Table | str]:
    """A table of the columns and the verdict in words."""
    rows = []
    for group, columns in (("errors", found.weights), ("cells", found.summary)):
        for column in columns.values():
            if column.compared:
                same = column.identical == column.compared
                distance = None if same else column.distance if math.isfinite(column.distance) else "differs"
                how = "same to the bit" if same else f"{column.compared - column.identical} differ"
                beyond = f"beyond, such as cell {column.beyond[0]}" if column.beyond else None
                rows.append([group, column.name, column.compared, how, distance, beyond])
    rows.sort(key=lambda row: (row[5] is None, row[4] is None))
    changed = [row for row in rows if row[3] != "same to the bit"]
    blocks: list[Table | str] = [f"{counted(found.cells, 'cell')} computed again, {len(rows)} columns compared"]
    blocks += map(printable, found.notes)
    if changed:
        header = ["in", "column", "values", "how many", "furthest, in bounds", ""]
        note = f"{len(rows) - len(changed)} other columns are the same to the bit"
        blocks.append(Table("", header, changed, note, frozenset({"in", "column", ""})))
    if found.provenance:
        blocks.append(made_with(found.provenance, ("then", "now")))
    if not found.cells:
        blocks.append("NOTHING  the run has no cells to compare")
    elif not found.reproduced:
        blocks.append("NOT REPRODUCED  a number lies beyond its bound, or a word changed where no number did")
    elif found.identical:
        blocks.append("REPRODUCED  every column is the same to the bit")
    else:
        blocks.append("REPRODUCED, not bit for bit: every number lies within its bound")
    return blocks


def made_with(differences: Sequence[tuple[str, object, object]], names: tuple[str, str]) -> Table:
    """A table of what two runs were made with, where that is not the same."""
    header = ["made with", *names]
    return Table("", header, [[k, _text(a), _text(b)] for k, a, b in differences], left=frozenset(header))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
