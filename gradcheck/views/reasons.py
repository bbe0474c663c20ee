"""Why the weights of some cells were not judged, found in one pass over ``errors``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gradcheck.numerics.verdict import ACCEPTED, EXEMPT
from gradcheck.printable import printable
from gradcheck.views import words
from gradcheck.views.numbers import counted

if TYPE_CHECKING:
    import pyarrow as pa

REASON_COLUMNS = ("cell", "verdict", "reason")  # of ``errors``


def listed(found: Counter[str], most: int | None = None) -> str:
    """``truncation 3, noise 1``: reasons with their counts, the commonest first; so many at most."""
    return ", ".join(f"{printable(reason)} {n:,}" for reason, n in found.most_common(most))


class Reasons:
    """The reasons of the weights that were not judged, by cell."""

    def __init__(self, cells: Iterable[str]) -> None:
        import pyarrow as pa

        self._ids = pa.array(cells, pa.string())
        self._found: dict[str, Counter[str]] = {}

    def add(self, table: pa.Table) -> None:
        """Count the weights of a piece of ``errors`` with the columns REASON_COLUMNS."""
        import pyarrow as pa
        import pyarrow.compute as pc

        open_ = pc.is_in(table["verdict"], value_set=pa.array(words.UNJUDGED))
        rows = table.select(list(REASON_COLUMNS)).filter(pc.and_(open_, pc.is_in(table["cell"], value_set=self._ids)))
        for row in rows.group_by(["cell", "reason"]).aggregate([([], "count_all")]).to_pylist():
            if row["reason"] not in (EXEMPT, ACCEPTED):
                self._found.setdefault(row["cell"], Counter())[row["reason"] or "no reason stored"] += row["count_all"]

    def words(self) -> dict[str, str]:
        """By cell: ``4 weights not judged (truncation 3, noise 1)``; cells without such a weight are not there."""
        return {
            cell: f"{counted(found.total(), 'weight')} {words.NOT_JUDGED} ({listed(found)})"
            for cell, found in self._found.items()
        }
