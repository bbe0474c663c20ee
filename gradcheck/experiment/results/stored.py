"""What a run holds: each cell once, with its weights, and what is missing, damaged or there twice."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gradcheck.columns import places, verified
from gradcheck.columns.chunks import Chunks
from gradcheck.columns.places import Place
from gradcheck.columns.store import PLAN
from gradcheck.columns.weights import ERRORS
from gradcheck.errors import BadInput, Damaged, cause
from gradcheck.experiment.results.counted import Counted, needed
from gradcheck.experiment.results.part import Part, parts
from gradcheck.experiment.results.plan import Ids
from gradcheck.experiment.results.rows import CELLS

_KEYS = ("cell", "status", "n_weights")


class Damage(NamedTuple):
    """A part that does not hold what was stored."""

    folder: str
    path: Place
    words: str


class Stored:
    """A run as it is read.

    repair : a part that is damaged is left out, named in `damaged`, where a reader would refuse; all pages are verified.
    ahead : which columns of ``cells`` `read_cells` will be asked for; so each part is opened once.

    cells, errors : the parts that can be read.   lost : cells without all of their weights.
    repeated : parts of ``errors`` in which rows stand twice, by place.
    fellows : for each part of ``cells`` that of ``errors`` which holds just its weights, by place, where there is one.
    rows : for parts of ``cells`` of which not every row counts, which do.
    used : the parts of ``errors`` that count, by place in the list; None, or the cells whose rows count there.

    Raises BadInput where a part is none of ours, Damaged where one is damaged, with the way out.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str] | Place,
        *,
        repair: bool = False,
        ahead: Callable[[str], bool] | None = None,
    ) -> None:
        self.run_dir = places.at(run_dir)
        self._repair = repair
        self._ahead: Callable[[str], bool] | None = ahead
        self._chunks = Chunks()
        self.damaged: list[Damage] = []
        self.cells, self.errors = self._opened()
        if not self.cells and not repair:
            raise BadInput(f"{self.run_dir}: not a run folder (cells/ holds no Parquet file)")
        self._keys = [self._keys_of(part) for part in self.cells]
        counted = Counted(self.cells, self.errors, self._keys)
        self.rows, self.used, self.lost = counted.rows, counted.used, counted.lost
        self.fellows, self.repeated = counted.fellows, counted.repeated
        self.doubled: list[str] = []
        self._name_copies()

    # ------------------------------------------------------------------------------------------------------- opening

    def _opened(self) -> tuple[list[Part], list[Part]]:
        """The parts; looked for again where one of them was replaced meanwhile.

        Weights become visible before their cells: what is found of ``cells`` first has its weights in ``errors``.
        """
        for attempt in range(5):
            self.damaged.clear()
            try:
                return self._open("cells", CELLS, attempt == 4), self._open("errors", ERRORS, attempt == 4)
            except FileNotFoundError:
                continue
        raise AssertionError("the last attempt does not end so")

    def _open(self, folder: str, expected: pa.Schema, last: bool) -> list[Part]:
        found = []
        for path in parts(self.run_dir, folder):
            try:
                part = Part(path, expected, () if expected is ERRORS else self._first, self._chunks)
                if self._repair:
                    part.verify()
                found.append(part)
            except Damaged as error:
                if not last and not path.exists():
                    raise FileNotFoundError(str(path)) from None
                self._refuse(folder, path, error)
        return found

    def _refuse(self, folder: str, path: Place, error: Damaged) -> None:
        """Note that a part is damaged; a reader raises."""
        if not self._repair:
            raise Damaged(f"{error}{self._way_out}") from error
        self.damaged.append(Damage(folder, path, str(error)))

    @property
    def _way_out(self) -> str:
        if not (self.run_dir / PLAN).is_file():
            return ""
        return f"; {shlex.quote(f'resume={self.run_dir}')} repairs it"

    @property
    def _first(self) -> Sequence[str] | Callable[[str], bool]:
        """Columns of ``cells`` that are read when a part is opened."""
        ahead = self._ahead
        return _KEYS if ahead is None else lambda name: name in _KEYS or ahead(name)

    def _keys_of(self, part: Part) -> pa.Table:
        """Cell, status, and the number of weights it should have."""
        tables = [table.select(_KEYS) for table in part.read]
        if self._ahead is None:
            part.read.clear()
        schema = pa.schema([CELLS.field(name) for name in _KEYS])
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def _name_copies(self) -> None:
        """Name the parts of which no row counts since the same rows stand elsewhere."""
        for i, kept in self.rows.items():
            if not kept.any() and len(kept):
                self.doubled.append(f"cells/{self.cells[i].path.name}")
        counted = {self.errors[j].digest for j in self.used if self.errors[j].n_rows}
        for j, part in enumerate(self.errors):
            if j not in self.used and part.digest in counted:
                self.doubled.append(f"errors/{part.path.name}")

    # ------------------------------------------------------------------------------------------------- what is there

    @property
    def protected(self) -> bool:
        """Whether no damage to any part can pass."""
        return all(part.protected for part in [*self.cells, *self.errors])

    @property
    def provenance(self) -> dict[str, object]:
        """How the run was made; of a run that was continued, its first session."""
        return self.cells[0].provenance if self.cells else {}

    def statuses(self) -> Iterator[tuple[str, str]]:
        """Each cell and its status."""
        for i, keys in enumerate(self._keys):
            if i in self.rows:
                keys = keys.filter(pa.array(self.rows[i]))
            yield from zip(keys["cell"].to_pylist(), keys["status"].to_pylist(), strict=True)

    def done(self) -> Ids:
        """The cells that need not be computed again: stored with all their weights, and not failed."""
        return Ids(cell for cell, status in self.statuses() if status != "failed" and cell not in self.lost)

    def cell_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows of ``cells``, each cell once, in pieces of bounded size."""
        for i in range(len(self.cells)):
            yield from self.rows_of(i, columns)

    def rows_of(self, i: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows of one part of ``cells`` that count."""
        kept, start = self.rows.get(i), 0
        for table in self._tables_of(self.cells[i], columns):
            stop = start + table.num_rows
            yield table if kept is None else table.filter(pa.array(kept[start:stop]))
            start = stop

    def _tables_of(self, part: Part, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """Rows of a part of ``cells``: those that were read ahead, which are given away, or read now."""
        asked = [*part.columns, *CELLS.names] if columns is None else columns
        if not part.read or self._ahead is None or not all(map(self._ahead, asked)):
            yield from part.tables(columns)
            return
        tables, part.read = part.read, []
        there = set(tables[0].schema.names)
        names = [name for name in dict.fromkeys(asked) if name in there]
        inside = set(part.columns)  # what it lacks comes last, as in `Part.tables`
        names.sort(key=lambda name: name not in inside)
        for table in tables:
            yield table.select(names)

    def cell_rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, object]]:
        """Rows of ``cells`` one by one, each cell once, in bounded memory."""
        for table in self.cell_tables(columns):
            yield from table.to_pylist()

    def read_cells(self, columns: Sequence[str] | None = None) -> pa.Table:
        """``cells`` as one table; a column that only some parts have is null in the others."""
        tables = list(self.cell_tables(columns))
        if not tables:
            known = dict.fromkeys(name for part in self.cells for name in part.columns if name in CELLS.names)
            return CELLS.empty_table().select([n for n in (known if columns is None else columns) if n in known])
        try:
            return pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise BadInput(f"{self.run_dir}/cells: parts that do not fit together: {cause(error)}") from error

    @property
    def n_cells(self) -> int:
        """How many cells are stored, each once."""
        return sum(map(len, self._keys)) - sum(int((~kept).sum()) for kept in self.rows.values())

    def weights_of(self, i: int) -> int:
        """How many weights the cells of a part should have."""
        return int(needed(self._keys[i]).sum())

    def weight_tables(
        self, columns: Sequence[str] | None = None, some: set[str] | None = None, near: int | None = None
    ) -> Iterator[pa.Table]:
        """Rows of ``errors`` (of `some` cells), those of each cell once, in pieces of bounded size.

        near : the place of the part of ``cells`` in which these cells are.
        """
        if near is None and some is not None:
            places = self._places_of(some)
        else:
            places = list(range(len(self.cells))) if near is None else [near]
        ids = None if some is None else pa.array(sorted(some), pa.string())
        for j in self._sources(places):
            yield from self._weights_in(j, columns, some, ids)

    def _places_of(self, cells: set[str]) -> list[int]:
        """The parts of ``cells`` in which some cells are."""
        from pyarrow import compute

        ids = pa.array(sorted(cells), pa.string())
        return [
            i for i, keys in enumerate(self._keys) if compute.any(compute.is_in(keys["cell"], value_set=ids)).as_py()
        ]

    def _sources(self, places: Sequence[int]) -> list[int]:
        """The parts of ``errors`` in which the weights of some parts of ``cells`` are."""
        fellows = {self.fellows[i] for i in places}
        if len(places) == len(self.cells) or any(j is None or self.used.get(j, set()) is not None for j in fellows):
            return sorted(self.used)
        return sorted(j for j in fellows if j is not None)

    def _weights_in(
        self, j: int, columns: Sequence[str] | None, some: set[str] | None, ids: pa.Array | None = None
    ) -> Iterator[pa.Table]:
        """Rows of one part of ``errors``.   ids : those of `some`, made once for all parts."""
        from pyarrow import compute  # not on the way of a run

        names = ERRORS.names if columns is None else list(columns)
        counting = self.used[j]
        wanted = some if counting is None else counting if some is None else counting & some
        if wanted is not None and not wanted:
            return
        read = list(dict.fromkeys([*names, "cell", "flat_index"])) if wanted is not None else names
        tables = self.errors[j].tables(read)
        if wanted is None:
            yield from tables
            return
        if ids is None or counting is not None:
            ids = pa.array(sorted(wanted), pa.string())
        kept: Iterator[pa.Table] = (table.filter(compute.is_in(table["cell"], value_set=ids)) for table in tables)
        if j in self.repeated:
            kept = iter([_once(pa.concat_tables(kept))])
        for table in kept:
            yield table.select(names)

    def weights(self, cells: set[str], columns: Sequence[str] | None = None, near: int | None = None) -> pa.Table:
        """Rows of ``errors`` of some cells, in the order of `flat_index` within each cell."""
        names = ERRORS.names if columns is None else list(columns)
        read = list(dict.fromkeys(["cell", "flat_index", *names]))
        found = [ERRORS.empty_table().select(read), *self.weight_tables(read, cells, near)]
        return pa.concat_tables(found).sort_by([("cell", "ascending"), ("flat_index", "ascending")]).select(names)

    def first_weights(self, cell: str, most: int) -> pa.Table:
        """Rows of ``errors`` of a cell as they are stored, no more than so many."""
        found, n = [ERRORS.empty_table()], 0
        for table in self.weight_tables(None, {cell}):
            found.append(table.slice(0, most - n))
            n += found[-1].num_rows
            if n >= most:
                break
        return pa.concat_tables(found)

    def dataset(self) -> Any:
        """``errors`` as a pyarrow dataset, whose files are verified when they are read."""
        import pyarrow.dataset as ds

        whole = [self.errors[j] for j in sorted(self.used) if self.used[j] is None]
        if not whole:  # the schema comes from a file
            whole = [part for part in self.errors if not part.n_rows]
        found = [verified.dataset(self.run_dir, [(p.path, p.pages) for p in whole], ERRORS)]
        partly = [j for j in sorted(self.used) if self.used[j] is not None]
        if partly:
            tables = [ERRORS.empty_table(), *(t for j in partly for t in self._weights_in(j, None, None))]
            found.append(ds.dataset(pa.concat_tables(tables).cast(ERRORS)))
        return found[0] if len(found) == 1 else ds.dataset(found)

    # --------------------------------------------------------------------------------------------------------- words

    @property
    def notes(self) -> list[str]:
        """What is missing and what stands twice, a sentence each."""
        said = []
        if self.lost:
            found, need = sum(lost.found for lost in self.lost.values()), sum(lost.need for lost in self.lost.values())
            expected = sum(int(needed(keys).sum()) for keys in self._keys)
            fellows = sorted({lost.fellow for lost in self.lost.values()})
            where = f"{fellows[0]}{f' and {len(fellows) - 1} more' if len(fellows) > 1 else ''}"
            way = f"; {shlex.quote(f'resume={self.run_dir}')} computes them again" if self._way_out else ""
            said.append(
                f"MISSING  {need - found} of {expected} rows in errors, of {len(self.lost)} cells such as"
                f" {min(self.lost)}: {where} is not there or lacks them{way}"
            )
        surplus = sum(int((~kept).sum()) for kept in self.rows.values())
        if surplus or self.doubled:
            where = f": {', '.join(self.doubled[:3])}{', …' if len(self.doubled) > 3 else ''}" if self.doubled else ""
            said.append(f"TWICE  {surplus} rows in cells stand a second time{where}; each cell counts once")
        if self.repeated:
            name = f"errors/{self.errors[min(self.repeated)].path.name}"
            said.append(f"TWICE  rows stand twice in {name}; each weight counts once")
        return said


def _once(table: pa.Table) -> pa.Table:
    """Each weight of a table once, the first time it stands there."""
    numbered = table.select(["cell", "flat_index"]).append_column("row", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(["cell", "flat_index"]).aggregate([("row", "min")])
    return table.take(pa.array(np.sort(first["row_min"].to_numpy())))
