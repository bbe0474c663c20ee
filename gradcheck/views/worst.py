"""The names of the worst weights of some cells, found in one pass over ``errors``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.views import words
from gradcheck.views.frames import records, weight_names

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WORST_COLUMNS = ("cell", "param", "position", "flat_index")  # of ``errors``
_CELL = ("cell", "worst_param", "worst_flat_index")


class WorstWeights:
    """The names of the worst weights of some cells, as ``W1[0,1]``."""

    def __init__(self, cells: pd.DataFrame) -> None:
        import pyarrow as pa

        self._cells = cells[list(_CELL)]
        known = cells[cells["worst_flat_index"].notna()]
        self._ids = pa.array(known["cell"], pa.string())
        self._places = pa.array(known["worst_flat_index"], pa.int64())
        self._found: dict[str, str] = {}

    def add(self, table: pa.Table) -> None:
        """Take the names from a piece of ``errors`` with the columns WORST_COLUMNS."""
        import pyarrow.compute as pc

        worst = self._places.take(pc.index_in(table["cell"], value_set=self._ids).combine_chunks())
        rows = table.filter(pc.equal(table["flat_index"], worst))
        self._found |= zip(rows["cell"].to_pylist(), weight_names(rows).to_pylist(), strict=True)

    def names(self) -> dict[str, str]:
        """By cell; a weight whose row is not there has a parameter and a place in theta."""
        told = {row["cell"]: (row["worst_param"], row["worst_flat_index"]) for row in records(self._cells)}
        return {cell: self._found.get(cell) or words.weight(param, None, at) for cell, (param, at) in told.items()}
