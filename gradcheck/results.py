"""The results of a run in Parquet: ``cells/`` with one row a cell, ``errors/`` with one row a weight.

Files are written aside, under ``RUN_DIR/.tmp/``, and renamed into place, so that whatever is visible is complete; no
visible file is ever changed or removed while its run goes on.  The weights of a cell become visible before the cell
does: a stored cell has all its weights.  What a killed run leaves behind are weights without their cells; they are
removed when the run is taken up again.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gradcheck import limits, store
from gradcheck.errors import BadInput
from gradcheck.errors import WriteError as WriteError
from gradcheck.plan import Ids
from gradcheck.rows import (
    AXES,
    CELLS,
    ERRORS,
    SCHEMA_VERSION,
    SETTINGS,
    CellRows,
    cells_table,
    completed,
    errors_table,
    lacking,
)
from gradcheck.store import Place, one_line

PROVENANCE = b"gradcheck.provenance"
PART_CELLS = 500
PART_SECONDS = 4.0  # and a second to write: at most five are lost with a process that is killed
PART_WEIGHTS = 250_000  # some 30 MB in memory

# Few different values in a column: a dictionary.  Text that is new in every row (config, message) is left to the
# compression.
_ERRORS_DICTIONARY = ["cell", "param", "step_rule", "verdict", "reason", *AXES.names]
_CELLS_DICTIONARY = ["status", *AXES.names, *SETTINGS.names, "worst_param", "verdict", "diagnosis_kind"]


def write_table(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write rows of ``errors`` to one file, which is there whole or not at all."""
    stamp = {PROVENANCE: json.dumps({"schema_version": SCHEMA_VERSION}).encode()}
    with store.whole(Path(path)) as file:
        _fill(table.replace_schema_metadata(stamp), _ERRORS_DICTIONARY)(file)


def _fill(table: pa.Table, dictionary: list[str]) -> Callable[[Any], None]:
    """What writes a table to an open file."""
    names = [name for name in dictionary if name in table.schema.names]
    split = {f.name: "BYTE_STREAM_SPLIT" for f in table.schema if f.type == pa.float64() and f.name not in names}

    def fill(file: Any) -> None:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=3,
            use_dictionary=names,
            column_encoding=split | {f.name: "DELTA_BINARY_PACKED" for f in table.schema if f.name == "flat_index"},
        )

    return fill


# ------------------------------------------------------------------------------------------------------------ writing


class Writer:
    """Stores cells in parts of at most 500, each visible no later than 5 seconds after its first cell was added.

    One thread writes, so that computing goes on meanwhile and Ctrl-C never strikes within a write; leaving the
    ``with`` block, for whatever reason, stores what was added.

    run_dir : made if it is missing; a run that is there already is continued.
    provenance : JSON-able, stored in every file under ``gradcheck.provenance``.

    Raises BadInput where the folder cannot be written, WriteError where a later write fails.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str] | Place,
        provenance: Mapping[str, Any],
        *,
        part_cells: int = PART_CELLS,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        self.run_dir = store.at(run_dir)
        stamp = {PROVENANCE: json.dumps({"schema_version": SCHEMA_VERSION, **provenance}, sort_keys=True).encode()}
        self._cells_schema = CELLS.with_metadata(stamp)
        self._stamp = stamp
        self._part_cells, self._part_seconds = part_cells, part_seconds
        self._rows: list[CellRows] = []
        self._weights = 0
        self._oldest = 0.0
        self._closed = False
        self._failure: Exception | None = None
        self._finished = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="gradcheck-writer", daemon=True)
        self._next = 0

    def __enter__(self) -> Writer:
        try:
            for folder in ("cells", "errors", store.ASIDE):
                (self.run_dir / folder).mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.run_dir)
            stored = [path.stem.rpartition("-")[2] for path in _own_parts(self.run_dir, "cells")]
            self._next = max((int(number) for number in stored if re.fullmatch("[0-9]{1,9}", number)), default=-1) + 1
            if not stored:
                self._write_part([])  # readers find the schema from the first moment on
        except (OSError, pa.ArrowException) as error:
            raise store.refused(self.run_dir, error) from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, rows: CellRows) -> None:
        """Take the rows of a finished cell; waits where the disk is a whole part behind."""
        size = rows.n_weights
        with self._changed:
            while self._failure is None and self._full():
                self._changed.wait()
            self._raise_failure()
            if self._closed:
                raise ValueError("the writer is closed")
            if not self._rows:
                self._oldest = time.monotonic()
            self._rows.append(rows)
            self._weights += size
            if len(self._rows) == 1 or self._full():
                self._changed.notify_all()

    def close(self) -> None:
        """Store what is left.  An interrupt that comes meanwhile is raised when that is done."""
        interrupt: KeyboardInterrupt | None = None
        while not self._finished.is_set():
            try:
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()
                # not Thread.join: interrupted, it takes the thread for dead (Python 3.11)
                self._finished.wait()
            except KeyboardInterrupt as again:
                interrupt = again
        if interrupt is not None:
            raise interrupt
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise store.not_stored(self.run_dir, self._failure) from self._failure

    def _full(self) -> bool:
        return len(self._rows) >= self._part_cells or self._weights >= PART_WEIGHTS

    def _work(self) -> None:
        try:
            self._write_parts()
        finally:
            self._finished.set()

    def _write_parts(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._full()):
                    wait = self._oldest + self._part_seconds - time.monotonic() if self._rows else None
                    if wait is not None and wait <= 0:
                        break
                    self._changed.wait(wait)
                rows = self._take()
            if not rows:
                break
            try:
                self._write_part(rows)
            except Exception as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
        try:
            store.remove_aside(self.run_dir)
        except OSError:
            pass  # they are removed when the run is taken up again

    def _take(self) -> list[CellRows]:
        """The next part: at most `part_cells` rows, and no more once they hold PART_WEIGHTS weights."""
        n, weights = 0, 0
        while n < min(len(self._rows), self._part_cells) and weights < PART_WEIGHTS:
            weights += self._rows[n].n_weights
            n += 1
        part, self._rows = self._rows[:n], self._rows[n:]
        self._weights -= weights
        self._oldest = time.monotonic()
        self._changed.notify_all()
        return part

    def _write_part(self, rows: list[CellRows]) -> None:
        name = f"part-{self._next:05d}.parquet"
        errors = errors_table(rows).replace_schema_metadata(self._stamp)
        cells = cells_table(rows, self._cells_schema)
        rows.clear()  # in the tables they take a fraction, and a disk may take its time
        store.write(self.run_dir, "errors", name, _fill(errors, _ERRORS_DICTIONARY))
        store.write(self.run_dir, "cells", name, _fill(cells, _CELLS_DICTIONARY))
        self._next += 1


def _own_parts(run_dir: Place, folder: str) -> Iterator[Any]:
    """The files that a Writer has made, in no order."""
    return (run_dir / folder).glob("part-*.parquet")


def remove_unfinished(run_dir: Place) -> None:
    """Remove what a killed run left: unfinished files, and parts of ``errors`` whose part of ``cells`` was never
    stored.
    """
    cells = {path.name for path in _own_parts(run_dir, "cells")}
    for path in list(_own_parts(run_dir, "errors")):
        if path.name not in cells:
            path.unlink()
    store.remove_aside(run_dir)


def prune(run_dir: Place, planned: Container[str]) -> tuple[int, int]:
    """Remove the rows of cells that failed and of those that are not `planned`; how many there were of each.

    A part is replaced at once, that of ``cells`` first: a stored cell has all its weights at any moment, and no cell
    is there twice when it is computed again.  Rows of ``errors`` without their cell, from a time when this was
    interrupted, go too.
    """
    failed = stale = 0
    errors = {path.name: path for path in _own_parts(run_dir, "errors")}
    for path in sorted(_own_parts(run_dir, "cells")):
        part = Part(path, CELLS)
        rows = [row for table in part.tables(["cell", "status", "n_weights"]) for row in table.to_pylist()]
        kept = [row for row in rows if row["cell"] in planned and row["status"] != "failed"]
        if len(kept) < len(rows):
            ids = {row["cell"] for row in kept}
            stale += (gone := sum(row["cell"] not in planned for row in rows))
            failed += len(rows) - len(kept) - gone
            _keep(run_dir, "cells", path, ids, _CELLS_DICTIONARY)
        weights = sum(row["n_weights"] or 0 for row in kept if row["status"] == "ok")
        if path.name in errors and Part(errors[path.name], ERRORS).n_rows != weights:
            _keep(run_dir, "errors", errors[path.name], {row["cell"] for row in kept}, _ERRORS_DICTIONARY)
    return failed, stale


def _keep(run_dir: Place, folder: str, path: Any, cells: set[str], dictionary: list[str]) -> None:
    """Replace a part by its rows of some cells."""
    from pyarrow import compute

    table = pq.ParquetFile(store.source(path)).read()
    kept = table.filter(compute.is_in(table["cell"], value_set=pa.array(sorted(cells), pa.string())))
    store.write(run_dir, folder, path.name, _fill(kept, dictionary))


# ------------------------------------------------------------------------------------------------------------ reading


def locate(run: str | os.PathLike[str] | Place) -> Any:
    """Where a run lies, a folder or what a URI names; ``latest`` is the newest by name of ``./runs/*/*/`` that holds
    ``cells/``.

    Raises BadInput where there is none.
    """
    path = store.at(run)
    if not isinstance(path, Path):
        if not (path / "cells").is_dir():
            raise BadInput(f"{path}: not a run (there is no cells/)")
        return path
    if path.name == "latest" and not path.exists():
        root = path.parent if path.parent.parts else Path("runs")
        found = [folder.parent for folder in root.glob("*/*/cells") if folder.parent.parent.name != "reference"]
        if not found:
            raise BadInput(f"{run}: no run under {root}/*/*/ yet; start one with: python -m gradcheck.run")
        return max(found, key=lambda folder: folder.parts)
    if not path.is_dir():
        raise BadInput(f"{run}: no such run folder")
    if not (path / "cells").is_dir():
        raise BadInput(f"{run}: not a run folder (it has no cells/)")
    return path


def parts(run_dir: Place, folder: str) -> list[Any]:
    """The files of ``cells`` or ``errors``, by name.

    Raises BadInput for a link that leads out of the run folder: a record from somebody else names no other file.
    """
    found: list[Any] = sorted((run_dir / folder).glob("*.parquet"))
    for path in [run_dir / folder, *found]:
        if not store.inside(run_dir, path):
            raise BadInput(f"{path}: leads out of the run folder")
    for path in found:
        if isinstance(path, Path) and not path.is_file():
            raise BadInput(f"{path}: not a file")
    return found


class Part:
    """One file of ``cells`` or ``errors`` whose schema was found to be ours.

    Raises BadInput where the file is damaged, of a newer schema version, or has not the columns it should have.
    """

    def __init__(self, path: Place, expected: pa.Schema) -> None:
        self.path = path
        self._later = CELLS.names if expected is CELLS else []
        with reading(self.path):
            self._file = modest(path, ids=expected is CELLS)
            self._schema = self._file.schema_arrow
        self.provenance = _provenance(path, self._schema.metadata or {})
        for name in lacking(expected, self._schema.names, self.version):
            raise BadInput(f"{path}: lacks the column {name}")

    @property
    def version(self) -> int:
        """Version of the schema; a file that says nothing of itself, as other tools write it, may be of the first."""
        return int(self.provenance.get("schema_version", 1))

    @property
    def columns(self) -> list[str]:
        return list(self._schema.names)

    @property
    def n_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in pieces of bounded size, each column of its own type (a copy made by another tool may have
        changed that).
        """
        names = self.columns if columns is None else [name for name in columns if name in self._schema.names]
        later = self._later if columns is None else [name for name in columns if name in self._later]
        with reading(self.path):
            for batch in self._file.iter_batches(batch_size=65_536, columns=names):
                limits.require_short(self.path, batch)
                table = pa.Table.from_batches([batch]).select(names)
                table = table.cast(pa.schema([(f.name, _stored_type(f)) for f in table.schema]))
                table.validate(full=True)  # damage may be a text that is no UTF-8
                yield completed(table, later)


def modest(path: Place, ids: bool) -> pq.ParquetFile:
    """A Parquet file to read, found to hold no more than a run can: `ids` : each row has one of its own.

    Its columns of texts that repeat are read as dictionaries.  Raises BadInput, and what pyarrow raises.
    """
    with path.open("rb") if isinstance(path, Path) else path.open() as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        limits.require_footer(path, file.read(8))
    metadata = pq.read_metadata(store.source(path))
    limits.require_modest(path, metadata, size, ids)
    return pq.ParquetFile(store.source(path), metadata=metadata, read_dictionary=limits.dictionaries(metadata))


@contextmanager
def reading(path: str | Place) -> Iterator[None]:
    """Turns what pyarrow raises about a damaged file into BadInput."""
    try:
        yield
    except BadInput:
        raise
    except MemoryError as error:  # Arrow's is one too
        raise BadInput(f"{path}: takes more memory than there is") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: damaged or no Parquet file: {one_line(error)}") from error


def _stored_type(field: pa.Field) -> pa.DataType:
    for schema in (CELLS, ERRORS):
        if (index := schema.get_field_index(field.name)) >= 0:
            return schema.field(index).type
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _provenance(path: Place, metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(PROVENANCE, b"{}"))
        version = found.get("schema_version", SCHEMA_VERSION)
    except (ValueError, AttributeError, RecursionError):
        raise BadInput(f"{path}: its provenance is no JSON object") from None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        shown = json.dumps(version)[:20]
        raise BadInput(
            f"{path}: written with schema version {shown}, this gradcheck reads up to {SCHEMA_VERSION}: upgrade it"
        )
    return dict(found)


def cell_parts(run_dir: Place) -> list[Part]:
    """All parts of ``cells``; raises BadInput where there is none or one of them is not ours."""
    files = parts(run_dir, "cells")
    if not files:
        raise BadInput(f"{run_dir}: not a run folder (cells/ holds no Parquet file)")
    return [Part(path, CELLS) for path in files]


def read_cells(run_dir: Place, columns: Sequence[str] | None = None) -> pa.Table:
    """``cells`` as one table; a column that only some parts have is null in the others."""
    tables = [table for part in cell_parts(run_dir) for table in part.tables(columns)]
    if not tables:
        schema = cell_parts(run_dir)[0]
        names = schema.columns if columns is None else [name for name in columns if name in schema.columns]
        return CELLS.empty_table().select([name for name in names if name in CELLS.names])
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise BadInput(f"{run_dir}/cells: parts that do not fit together: {one_line(error)}") from error


def read_weights(run_dir: Place, cells: set[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of ``errors`` of some cells, in the order of `flat_index` within each cell."""
    return weights_in([Part(path, ERRORS) for path in parts(run_dir, "errors")], cells, columns)


def weights_in(files: Iterable[Part], cells: set[str], columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of some cells in some parts of ``errors``, in the order of `flat_index` within each cell."""
    from pyarrow import compute  # not on the way of a run

    wanted = pa.array(sorted(cells), pa.string())
    names = ERRORS.names if columns is None else list(columns)
    read = list(dict.fromkeys(["cell", "flat_index", *names]))
    found = [ERRORS.empty_table().select(read)]
    for part in files:
        for table in part.tables(read):
            found.append(table.filter(compute.is_in(table["cell"], value_set=wanted)).select(read))
    return pa.concat_tables(found).sort_by([("cell", "ascending"), ("flat_index", "ascending")]).select(names)


def provenance(run_dir: Place) -> dict[str, Any]:
    """What is known about how the run was made; of a run that was continued, its first session."""
    return cell_parts(run_dir)[0].provenance


def finished(run_dir: str | os.PathLike[str] | Place) -> Ids:
    """Ids of the cells that are stored."""
    parts = cell_parts(store.at(run_dir))
    return Ids(cell for part in parts for table in part.tables(["cell"]) for cell in table["cell"].to_pylist())


def cell_rows(run_dir: Place, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of ``cells`` one by one, in bounded memory."""
    for part in cell_parts(run_dir):
        for table in part.tables(columns):
            yield from table.to_pylist()
