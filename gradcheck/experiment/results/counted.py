"""Which rows of a run count: each cell once, with its weights from one place.

A part of ``cells`` names the part of ``errors`` that was stored with it, its fellow.  Where both exist, the fellow has as
many rows as the cells have weights, and no cell stands twice, no row is read.  Otherwise the rows are counted cell by cell:
a cell is whole where as many different weights of it are stored as its row says, and of several copies a whole one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradcheck.experiment.results.part import Part


class _Copy(NamedTuple):
    """One row of ``cells``.   need : weights that it should have; sources : parts of ``errors`` that hold them."""

    part: int
    row: int
    status: str
    need: int
    sources: tuple[int, ...] | None = None

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """The copy of a cell that ranks highest counts: a whole one, one that has not failed, the newest."""
        return self.sources is not None, self.status != "failed", self.part, -self.row


@dataclass
class Lost:
    """A cell that lacks some of its `need` weights.   found : how many exist; fellow : the part that should hold them."""

    need: int
    found: int
    fellow: str


class Counted:
    """The rows of the parts of a run that count.

    rows : for parts of ``cells`` of which not every row counts, which do.
    used : the parts of ``errors`` that count, by place; None, or the cells whose rows count there.
    lost : cells without all of their weights.   repeated : parts of ``errors`` in which rows stand twice, by place.
    fellows : for each part of ``cells`` that of ``errors`` which holds just its weights, by place, where there is one.
    """

    def __init__(self, cells: Sequence[Part], errors: Sequence[Part], keys: Sequence[pa.Table]) -> None:
        self.cells, self.errors, self._keys = cells, errors, keys
        self.rows: dict[int, NDArray[np.bool_]] = {}
        self.used: dict[int, set[str] | None] = {}
        self.lost: dict[str, Lost] = {}
        self.repeated: set[int] = set()
        self._by_digest: dict[str | None, list[int]] = {}
        self._by_name: dict[str, list[int]] = {}
        for j, part in enumerate(errors):
            self._by_digest.setdefault(part.digest, []).append(j)
            self._by_name.setdefault(part.path.name, []).append(j)
        self._count()

    def _count(self) -> None:
        ends = np.cumsum([keys.num_rows for keys in self._keys])[:-1]
        need = np.split(needed(pa.concat_tables(self._keys)), ends) if self._keys else []
        fellows = [self._fellow(part, int(n.sum())) for part, n in zip(self.cells, need, strict=True)]
        self.fellows = fellows
        doubled = _repeated([keys["cell"] for keys in self._keys])
        open_ = {cell for cell in doubled if cell is not None}
        for i, keys in enumerate(self._keys):
            if fellows[i] is None and need[i].any():
                open_ |= set(keys["cell"].filter(pa.array(need[i] > 0)).to_pylist())
        if not open_:
            self.used = {j: None for j in fellows if j is not None}
        else:
            self._choose(open_, need, fellows)

    def _fellow(self, part: Part, need: int) -> int | None:
        """The place in the list of the part of ``errors`` that holds exactly the weights of a part of ``cells``."""
        same = [j for j in self._by_digest.get(part.weights, ()) if self.errors[j].n_rows == need]
        if not same:  # of an earlier version, or written by another tool
            same = [j for j in self._by_name.get(part.path.name, ()) if self.errors[j].n_rows == need]
        numbered = [j for j in same if self.errors[j].number == part.number]
        return next(iter(numbered or same), None)

    def _choose(self, open_: set[str], need: Sequence[NDArray[np.int64]], fellows: Sequence[int | None]) -> None:
        """Count the weights of some cells and choose for each of them one copy."""
        counts = [_counted(part, open_) for part in self.errors]
        copies: dict[str, list[_Copy]] = {}
        for i, keys in enumerate(self._keys):
            cells = keys["cell"].to_pylist()
            kept = np.array([cell not in open_ for cell in cells], dtype=bool)
            for row, cell in enumerate(cells):
                if cell in open_:
                    status = str(keys["status"][row].as_py())
                    copies.setdefault(cell, []).append(_Copy(i, row, status, int(need[i][row])))
            self.rows[i] = kept
            j = fellows[i]
            if j is not None:
                others = {cell for cell, keep in zip(cells, kept, strict=True) if keep}
                self.used[j] = others | (self.used.get(j) or set())
        for cell, some in copies.items():
            found = {j: count[cell] for j, count in enumerate(counts) if cell in count}
            chosen = max((self._with_sources(copy, found) for copy in some), key=lambda copy: copy.rank)
            self.rows[chosen.part][chosen.row] = True
            if chosen.sources is None:
                have = min(chosen.need, sum(distinct for distinct, _ in found.values()))
                self.lost[cell] = Lost(chosen.need, have, self._expected(chosen.part))
            for j in chosen.sources if chosen.sources is not None else found:
                self.used.setdefault(j, set())
                self.used[j] = {cell} | (self.used[j] or set())
                if found[j][0] < found[j][1]:
                    self.repeated.add(j)
        self.rows = {i: kept for i, kept in self.rows.items() if not kept.all()}
        for j in list(self.used):
            if self.errors[j].n_rows == 0:
                self.used[j] = None

    def _with_sources(self, copy: _Copy, found: Mapping[int, tuple[int, int]]) -> _Copy:
        """The parts of ``errors`` that hold all weights of a copy, if they are there.

        found : in which part how many different weights of the cell are stored, in how many rows.
        """
        if not copy.need:
            return copy._replace(sources=())
        whole = [j for j, (distinct, _) in found.items() if distinct == copy.need]
        own = [j for j in whole if self.errors[j].digest == self.cells[copy.part].weights]
        if own or whole:
            return copy._replace(sources=((own or whole)[-1],))
        if sum(distinct for distinct, _ in found.values()) == copy.need:
            return copy._replace(sources=tuple(found))
        return copy

    def _expected(self, i: int) -> str:
        """The name of the part of ``errors`` that belongs to one of ``cells``."""
        part = self.cells[i]
        name = part.path.name
        if part.weights is not None and part.number is not None:
            name = f"part-{part.number:05d}-{part.weights}.parquet"
        return f"errors/{name}"


def needed(keys: pa.Table) -> NDArray[np.int64]:
    """The number of weights of each row of ``cells``; 0 where it is null."""
    return np.nan_to_num(keys["n_weights"].to_numpy().astype(np.float64)).astype(np.int64)


def _repeated(columns: Sequence[pa.ChunkedArray]) -> list[str | None]:
    """Texts that appear more than once."""
    from pyarrow import compute

    chunks = [chunk for column in columns for chunk in column.chunks]
    together = pa.chunked_array(chunks, pa.string())
    if compute.count_distinct(together, mode="all").as_py() == len(together):
        return []
    counts = compute.value_counts(together)
    often = compute.greater(counts.field("counts"), 1)
    return list(counts.field("values").filter(often).to_pylist())


def _counted(part: Part, cells: set[str]) -> dict[str, tuple[int, int]]:
    """For each of some cells: how many different weights a part of ``errors`` holds, and in how many rows."""
    from pyarrow import compute

    ids = pa.array(sorted(cells), pa.string())
    tables = [
        table.filter(compute.is_in(table["cell"], value_set=ids)) for table in part.tables(["cell", "flat_index"])
    ]
    if not tables:
        return {}
    ways: list[tuple[str, str]] = [("flat_index", "count_distinct"), ("flat_index", "count")]
    counts = pa.concat_tables(tables).group_by("cell").aggregate(ways).to_pydict()
    columns = counts["cell"], counts["flat_index_count_distinct"], counts["flat_index_count"]
    return {cell: (distinct, rows) for cell, distinct, rows in zip(*columns, strict=True)}
