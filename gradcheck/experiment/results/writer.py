"""Writing the results of a run in Parquet: ``cells/`` with one row a cell, ``errors/`` with one row a weight.

Files are written aside, under ``RUN_DIR/.tmp/``, and renamed into place: a visible file is complete and never changes.  The
weights of a cell become visible before the cell does: a stored cell has all its weights.  A killed run leaves weights
without their cells, which are removed when the run is resumed.  `gradcheck.columns.parquet` protects a part against damage,
`gradcheck.experiment.results.stored` reads a run.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import TracebackType

import pyarrow as pa

from gradcheck.columns import parquet, places, store
from gradcheck.columns.parquet import PROVENANCE
from gradcheck.columns.places import Place
from gradcheck.columns.weights import (
    AXES,
    ERRORS,
    ERRORS_DICTIONARY,
    SCHEMA_VERSION,
    CellRows,
    errors_tables,
)
from gradcheck.experiment.results.part import number_in
from gradcheck.experiment.results.rows import CELLS, SETTINGS, cells_table

PART_CELLS = 2000
PIECE_CELLS = 250  # whose rows become columns together: as rows they take ten times the memory
WAITING_CELLS = 500  # whose rows wait for that, while a disk takes its time
PART_SECONDS = 4.0  # and a second to write: a process that is killed loses the work of five seconds at most
PART_WEIGHTS = 250_000  # some 30 MB in memory


@dataclass
class _Part:
    """A part that is being gathered, in columns.

    errors : tables of weights; where a cell has compressed blocks, they are unpacked as they are written.
    """

    cells: list[pa.Table] = field(default_factory=list)
    errors: list[Iterable[pa.Table]] = field(default_factory=list)
    size: int = 0
    weights: int = 0
    oldest: float = 0.0

    def __len__(self) -> int:
        return self.size

    def add(self, rows: Sequence[CellRows], schema: pa.Schema) -> None:
        """Add the rows of some cells."""
        self.cells.append(cells_table(rows, schema))
        tables: Iterable[pa.Table] = errors_tables(rows)
        blocks = any(isinstance(row.weights, list) for row in rows)
        self.errors.append(tables if blocks else list(tables))
        self.size += len(rows)
        self.weights += sum(row.n_weights for row in rows)

    def tables(self) -> tuple[pa.Table, Iterable[pa.Table]]:
        """The cells, and their weights: in one table unless there are compressed blocks.

        The pieces of a table stay where they are: made one, they would take their memory twice.
        """
        errors: Iterable[pa.Table] = chain.from_iterable(self.errors)
        if all(isinstance(tables, list) for tables in self.errors):
            known = list(errors)
            errors = [pa.concat_tables(known)] if known else []
        return pa.concat_tables(self.cells), errors


CELLS_DICTIONARY = ["status", *AXES.names, *SETTINGS.names, "worst_param", "verdict", "diagnosis_kind"]


# ------------------------------------------------------------------------------------------------------------ writing


class Writer:
    """Stores cells in parts of at most 2000, each visible no later than 5 seconds after its first cell was added.

    One thread writes, so that computing goes on meanwhile and Ctrl-C never strikes within a write; leaving the
    ``with`` block, for whatever reason, stores what was added.

    run_dir : made if it is missing; a run that is there already is continued.
    provenance : JSON-able, stored in every file under ``gradcheck.provenance``.

    Raises BadInput where the folder cannot be written, WriteError where a later write fails.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str] | Place,
        provenance: Mapping[str, object],
        *,
        part_cells: int = PART_CELLS,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        self.run_dir = places.at(run_dir)
        stamp = {PROVENANCE: json.dumps({"schema_version": SCHEMA_VERSION, **provenance}, sort_keys=True).encode()}
        self._cells_schema = CELLS.with_metadata(stamp)
        self._stamp = stamp
        self._part_cells, self._part_seconds = part_cells, part_seconds
        self._rows: list[CellRows] = []
        self._weights = 0
        self._oldest = 0.0
        self._wanted = 1, 1  # of how many cells or weights the thread is told
        self._closed = False
        self._failure: Exception | None = None
        self._finished = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="gradcheck-writer", daemon=True)
        self._next = 0

    def __enter__(self) -> Writer:
        try:
            store.make(self.run_dir, ("cells", "errors", store.ASIDE))
            remove_unfinished(self.run_dir)
            stored = _own_parts(self.run_dir, "cells") + _own_parts(self.run_dir, "errors")
            self._next = max((number for number, _ in stored), default=-1) + 1
            if not stored:
                part = _Part()
                part.add([], self._cells_schema)
                self._write_part(part)  # readers find the schema from the first moment on
        except (OSError, pa.ArrowException) as error:
            raise store.refused(self.run_dir, error) from error
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, rows: CellRows) -> None:
        """Take the rows of a finished cell; waits where the disk is behind."""
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
            if len(self._rows) == 1 or len(self._rows) >= self._wanted[0] or self._weights >= self._wanted[1]:
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
        return len(self._rows) >= min(self._part_cells, WAITING_CELLS) or self._weights >= PART_WEIGHTS

    def _work(self) -> None:
        try:
            self._write_parts()
        finally:
            self._finished.set()

    def _write_parts(self) -> None:
        part: _Part | None = _Part()
        while part is not None:
            try:
                part = self._gathered(part)
            except Exception as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
        try:
            store.remove_aside(self.run_dir)
        except OSError:
            pass  # they are removed when the run is taken up again

    def _gathered(self, part: _Part) -> _Part | None:
        """Wait for rows, add them to a part, and write it where it is complete or due: the part that follows, or the same.

        None where the last one is written.
        """
        with self._changed:
            self._wanted = min(PIECE_CELLS, self._part_cells - part.size), PART_WEIGHTS - part.weights
            due = False
            while not (self._closed or len(self._rows) >= self._wanted[0] or self._weights >= self._wanted[1]):
                oldest = part.oldest if part.size else self._oldest
                wait = oldest + self._part_seconds - time.monotonic() if part.size or self._rows else None
                if due := wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            if not part.size:
                part.oldest = self._oldest
            rows = self._take(part)
            last = self._closed and not self._rows
        if rows:
            part.add(rows, self._cells_schema)
        complete = part.size >= self._part_cells or part.weights >= PART_WEIGHTS
        if part.size and (due or last or complete):
            self._write_part(part)
            part = _Part()
        return None if last else part

    def _take(self, part: _Part) -> list[CellRows]:
        """The next rows of a part: it has at most `part_cells`, and no more once they hold PART_WEIGHTS weights."""
        n, weights = 0, 0
        room, left = self._part_cells - part.size, PART_WEIGHTS - part.weights
        while n < min(len(self._rows), room) and weights < left:
            weights += self._rows[n].n_weights
            n += 1
        rows, self._rows = self._rows[:n], self._rows[n:]
        self._weights -= weights
        self._oldest = time.monotonic()
        self._changed.notify_all()
        return rows

    def _write_part(self, part: _Part) -> None:
        cells, errors = part.tables()
        write_pair(self.run_dir, self._next, errors, [cells], self._stamp)
        self._next += 1


def write_pair(
    run_dir: Place, number: int, errors: Iterable[pa.Table], cells: Sequence[pa.Table], stamp: Mapping[bytes, bytes]
) -> Place:
    """Write a part of ``errors`` and then that of ``cells`` whose weights it holds; where the latter is.  Raises OSError."""
    name = f"part-{number:05d}-{{}}.parquet"
    stored = store.write(run_dir, "errors", name, parquet.fill(errors, ERRORS.with_metadata(stamp), ERRORS_DICTIONARY))
    digest = parquet.digest_in(stored.name) or ""
    fill = parquet.fill(
        cells, cells[0].schema.with_metadata(stamp), CELLS_DICTIONARY, {parquet.DIGEST_OF_ERRORS: digest.encode()}
    )
    return store.write(run_dir, "cells", name, fill)


def _own_parts(run_dir: Place, folder: str) -> list[tuple[int, Place]]:
    """The files that a Writer has made with their numbers, in no order."""
    found = [(number_in(path.name), path) for path in (run_dir / folder).glob("part-*.parquet")]
    return [(number, path) for number, path in found if number is not None]


def remove_unfinished(run_dir: Place) -> None:
    """Remove what a killed run left: unfinished files, and parts of ``errors`` whose part of ``cells`` was never
    stored.
    """
    cells = {number for number, _ in _own_parts(run_dir, "cells")}
    for number, path in _own_parts(run_dir, "errors"):
        if number not in cells:
            path.unlink(missing_ok=True)
    store.remove_aside(run_dir)
