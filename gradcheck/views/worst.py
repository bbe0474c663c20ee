"""The worst weights of some cells, found in one pass over ``errors``.

Of a cell with mismatching weights the worst is the one of these with the largest ``rel_err``: a weight that could not be
judged may have a larger one, and tells nothing of the mistake.  Of another cell it is the one that ``cells`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.frames import records, weight_names

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WORST_COLUMNS = ("cell", "param", "position", "flat_index", "rel_err", "verdict")  # of ``errors``
_FIRST = ("flat_index_first", "rel_err_first", "name_first")
_CELL = ("cell", "worst_param", "worst_flat_index", "max_rel_err")


class Worst(NamedTuple):
    """A weight by its name, as ``W1[0,1]``, and its relative error."""

    name: str
    rel_err: float | None


class WorstWeights:
    """The worst weights of some cells, rows of ``cells``."""

    def __init__(self, cells: pd.DataFrame) -> None:
        import pyarrow as pa

        self._cells = cells[list(_CELL)]
        known = cells[cells["worst_flat_index"].notna()]
        self._ids = pa.array(known["cell"], pa.string())
        self._places = pa.array(known["worst_flat_index"], pa.int64())
        self._found: dict[str, str] = {}
        self._wrong = Wrong()

    def add(self, table: pa.Table) -> None:
        """Take the weights from a piece of ``errors`` with the columns WORST_COLUMNS."""
        import pyarrow.compute as pc

        at = pc.index_in(table["cell"], value_set=self._ids).combine_chunks()
        own = table.filter(pc.is_valid(at))
        self._wrong.add(own)
        worst = self._places.take(at.drop_null())
        rows = own.filter(pc.equal(own["flat_index"], worst))
        self._found |= zip(rows["cell"].to_pylist(), weight_names(rows).to_pylist(), strict=True)

    def worst(self) -> dict[str, Worst]:
        """By cell; a weight whose row is not there has a parameter and a place in theta."""
        return {
            row["cell"]: self._wrong.worst(row["cell"]) or self._stored(*row.values()) for row in records(self._cells)
        }

    def _stored(self, cell: str, param: str | None, at: int | None, rel_err: float | None) -> Worst:
        return Worst(self._found.get(cell) or words.weight(param, None, at), rel_err)


class Wrong:
    """Of each cell the mismatching weight with the largest relative error; of equal ones the first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, int, Worst]] = {}

    def add(self, table: pa.Table) -> None:
        """Take the weights from a piece of ``errors`` with the columns WORST_COLUMNS."""
        import pyarrow.compute as pc

        wrong = table.filter(pc.fill_null(pc.equal(table["verdict"], "mismatch"), False))
        if not wrong.num_rows:
            return
        named = wrong.append_column("name", weight_names(wrong)).select(["cell", "flat_index", "rel_err", "name"])
        ordered = named.sort_by(
            [("rel_err", "descending"), ("flat_index", "ascending")]
        )  # what is no number comes last
        firsts = [(name, "first") for name in ("flat_index", "rel_err", "name")]
        found = ordered.group_by("cell", use_threads=False).aggregate(firsts)
        for cell, *values in zip(*(found[name].to_pylist() for name in ("cell", *_FIRST)), strict=True):
            at, rel_err, name = values
            error = None if rel_err is None or rel_err != rel_err else float(rel_err)
            one = (-1.0 if error is None else error, -int(at), Worst(printable(name), error))
            self._found[cell] = max(one, self._found.get(cell, one), key=lambda found: found[:2])

    def worst(self, cell: str) -> Worst | None:
        """The worst of a cell; None where no weight of it is a mismatch."""
        found = self._found.get(cell)
        return None if found is None else found[2]


def wrong_weight(tables: Iterable[pa.Table], cell: str) -> Worst | None:
    """The worst of the mismatching weights of one cell, whose weights these tables hold."""
    found = Wrong()
    for table in tables:
        found.add(table.select(list(WORST_COLUMNS)))
    return found.worst(cell)
