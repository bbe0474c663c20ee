"""The recorded plan of a run: written before its first cell, read to take the run up again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gradcheck.columns import arrow, limits, parquet, places, store
from gradcheck.columns.places import Place
from gradcheck.columns.store import PLAN, Sink
from gradcheck.errors import BadInput, one_line
from gradcheck.experiment.config.build import notes
from gradcheck.experiment.config.canonical import Form, section_of
from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.config.identity import cell_id, has_sources, sources
from gradcheck.experiment.results.plan import PIECE, Plan, Planned

_NAMES = ("cell", "config", "swept", "skip")
_OVERRIDES = b"gradcheck.overrides"


class _Row(NamedTuple):
    """A recorded cell; whatever JSON holds may stand in it."""

    cell: object
    config: object
    swept: object
    skip: object


def write_plan(run_dir: Place, planned: Plan, overrides: Sequence[str]) -> None:
    """Store the plan beside the results, to take the run up again: plain data, nothing in it is ever executed."""
    schema = pa.schema([(name, pa.string()) for name in _NAMES])
    stamp = {_OVERRIDES: json.dumps(list(overrides)).encode()}

    def fill(file: Sink) -> None:
        with pq.ParquetWriter(
            file, schema.with_metadata(stamp), compression="zstd", write_page_checksum=True
        ) as writer:
            for records in planned.records():
                columns = [arrow.texts(column) for column in zip(*records, strict=True)]
                writer.write_table(pa.table(columns, schema=schema))

    store.write(run_dir, None, PLAN, fill)


def read_plan(run_dir: Place, allow: Sequence[str] = ()) -> tuple[Plan, list[str]]:
    """The recorded plan, every config validated anew, and the overrides it was made of.

    allow : modules whose functions a recorded ``model=function`` may import.

    Ids are computed again: a file that changed since makes another cell.  Raises BadInput for a record that is none,
    and for files outside the current folder, which a record from somebody else might name.
    """
    path = run_dir / PLAN
    if not places.inside(run_dir, path):
        raise BadInput(f"{path}: leads out of the run folder")
    if not path.exists():
        raise BadInput(f"resume={run_dir}: has no {PLAN}; only a run that was started can be resumed")
    if not path.is_file():
        raise BadInput(f"{path}: not a file")
    with _reading(path):
        file = parquet.opened(path, ids=True)
        overrides = json.loads((file.schema_arrow.metadata or {}).get(_OVERRIDES, b"[]"))
    if not isinstance(overrides, list):
        raise BadInput(f"{path}: damaged or no plan")
    found = Plan()
    here = Path.cwd().resolve()
    last: tuple[object, ...] = ()
    for row in _rows(path, file):
        try:
            form = canonical(row.config)
            _require_inside(form, here)
            cell = cell_id(form, allow)
        except BadInput:
            raise
        except (ValueError, OSError) as error:
            raise BadInput(f"{path}: {one_line(error)}") from error
        if not isinstance(row.swept, dict) or not (row.skip is None or isinstance(row.skip, str)):
            raise BadInput(f"{path}: damaged or no plan")
        if cell != row.cell and not has_sources(form):
            raise BadInput(
                f"{path}: cell {str(row.cell)[:16]} is called {cell} by this version of gradcheck; resume it with the"
                " one that made it"
            )
        if cell != row.cell:
            found.former.add(str(row.cell))
            found.changed = found.changed or sources(form)
        found.add(Planned(cell, form, row.swept, row.skip))
        if (read := (form["model"], form["data"])) != last:
            last = read
            found.notes.update(dict.fromkeys(notes(form)))
    return found, [str(text) for text in overrides]


def _rows(path: Place, file: pq.ParquetFile) -> Iterator[_Row]:
    """The recorded cells.  Raises BadInput where they cannot be read."""
    with _reading(path):
        for batch in file.iter_batches(batch_size=PIECE, columns=list(_NAMES)):
            limits.require_short(path, batch)
            for row in batch.select(list(_NAMES)).to_pylist():
                yield _Row(row["cell"], json.loads(row["config"]), json.loads(row["swept"]), row["skip"])


@contextmanager
def _reading(path: Place) -> Iterator[None]:
    """Whatever a file that is no plan makes pyarrow and JSON raise, as BadInput."""
    try:
        yield
    except BadInput:
        raise
    except MemoryError as error:
        raise BadInput(f"{path}: takes more memory than there is") from error
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInput(f"{path}: damaged or no plan: {one_line(error)[:200]}") from error


def _require_inside(form: Form, folder: Path) -> None:
    """Raise BadInput for a data or init file outside a folder."""
    from gradcheck.experiment.sources.tables import lying  # most runs read no table

    for section in ("data", "init"):
        named = section_of(form, section).get("path")
        if named is not None and not all(place.is_relative_to(folder) for place in lying(places.local(str(named)))):
            raise BadInput(f"{section}.path={named}: recorded, but outside the current folder; resume where it lies")
