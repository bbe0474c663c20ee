"""A run folder and its files: where it is, which files it has, and each of them as a part whose schema is ours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from gradcheck.columns import limits, parquet, places
from gradcheck.columns.chunks import Chunks
from gradcheck.columns.parquet import PROVENANCE, reading
from gradcheck.columns.places import Place
from gradcheck.columns.weights import ERRORS, SCHEMA_VERSION
from gradcheck.errors import BadInput, Damaged
from gradcheck.experiment.results.rows import CELLS, completed, lacking

BATCH = 65_536  # rows of a piece
MANY = 5_000  # rows whose columns are decoded in several threads


def locate(run: str | os.PathLike[str] | Place) -> Place:
    """Where a run lies, a folder or what a URI names; ``latest`` is the newest by name of ``./runs/*/*/`` that holds
    ``cells/``.

    Raises BadInput where there is none.
    """
    path = places.at(run)
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


def parts(run_dir: Place, folder: str) -> list[Place]:
    """The files of ``cells`` or ``errors``, by name.

    Raises BadInput for a link that leads out of the run folder: a record from somebody else names no other file.
    """
    home = run_dir / folder
    if not places.inside(run_dir, home):
        raise BadInput(f"{home}: leads out of the run folder")
    if not isinstance(home, Path):
        return sorted(home.glob("*.parquet"))
    try:
        with os.scandir(home) as entries:
            found = sorted(
                (one.name, one.is_file(follow_symlinks=False)) for one in entries if one.name.endswith(".parquet")
            )
    except FileNotFoundError:
        return []
    for name, plain in found:
        if plain:  # of thousands of files nothing else need be asked
            continue
        if not places.inside(run_dir, home / name):
            raise BadInput(f"{home / name}: leads out of the run folder")
        if not (home / name).is_file():
            raise BadInput(f"{home / name}: not a file")
    return [home / name for name, _ in found]


class Part:
    """One file of ``cells`` or ``errors`` whose schema was found to be ours and whose footer is that which was stored.

    Its pages are verified before the first of them is read.  It is open only while it is read: a run may have thousands.

    ahead : columns to read while it is open, or which of those that it has; their rows are in `read`, as of `tables`.
    chunks : what was decoded of other parts.

    digest : of its footer.
    weights : of a part of ``cells`` the digest of the part of ``errors`` that was stored with it, where that is known.
    protected : whether no damage can pass.

    Raises Damaged where the file is, or has not the columns it should have; BadInput where its schema version is newer.
    """

    def __init__(
        self,
        path: Place,
        expected: pa.Schema,
        ahead: Sequence[str] | Callable[[str], bool] = (),
        chunks: Chunks | None = None,
    ) -> None:
        self.path, self._ids, self._chunks = path, expected is CELLS, Chunks() if chunks is None else chunks
        with reading(path), parquet.File(path, self._ids, whole=bool(ahead), likely=self._chunks.dictionaries) as file:
            self._chunks.dictionaries = file.dictionaries if ahead else self._chunks.dictionaries
            self.digest, self.n_rows = file.footer.digest, int(file.metadata.num_rows)
            known = file.metadata.metadata or {}
            self.columns = _names(tuple(file.schema.names))
            self.provenance = _provenance(path, known)
            self.weights = known.get(parquet.DIGEST_OF_ERRORS, b"").decode("ascii", "replace") or None
            self.pages = file.pages
            self.protected = self.pages is not None and file.footer.named is not None
            self._verified = self.pages is None
            for name in lacking(expected, self.columns, self.version):
                raise Damaged(f"{path}: lacks the column {name}")
            if callable(ahead):
                ahead = self._chosen(ahead)
            self.read = list(self._tables(file, ahead)) if ahead else []

    def _chosen(self, ahead: Callable[[str], bool]) -> Sequence[str]:
        """Which columns to read ahead: asked once for all parts that have the same."""
        known, columns = self._chunks.ahead, tuple(self.columns)
        if columns not in known:
            known[columns] = [name for name in dict.fromkeys([*columns, *CELLS.names]) if ahead(name)]
        return known[columns]

    @property
    def version(self) -> int:
        """Version of the schema; a file that says nothing of itself, as other tools write it, may be of the first."""
        return int(self.provenance.get("schema_version", 1))

    @property
    def number(self) -> int | None:
        """Which part of the run it is; None where its name does not say."""
        return number_in(self.path.name)

    def verify(self, file: parquet.File | None = None) -> None:
        """Raise Damaged where the pages are not those that were stored; `file` : the part, where it is open."""
        if file is not None and (file.at_once or not self._verified):
            file.verify()
        elif self.pages is not None and not self._verified:
            self.pages.verify_at(self.path)
        self._verified = True

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in pieces of bounded size, each column of its own type (a copy made by another tool may have
        changed that).
        """
        with reading(self.path), parquet.File(self.path, self._ids, whole=True) as file:
            yield from self._tables(file, columns)

    def _tables(self, file: parquet.File, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        self.verify(file)
        if not file.metadata.num_row_groups:  # pyarrow 18 looks for one
            return
        there = set(self.columns)
        names = self.columns if columns is None else [name for name in columns if name in there]
        own = _CELLS if self._ids else frozenset()
        later = own if columns is None else [name for name in columns if name in own]
        keys = file.chunks(self._chunks, names) if 0 < self.n_rows <= BATCH else {}
        known = self._chunks.get(keys)
        new, start = [name for name in names if name not in known], 0
        if known and not new:
            yield completed(pa.Table.from_arrays([known[name] for name in names], names=names), later)
            return
        for batch in file.parquet.iter_batches(batch_size=BATCH, columns=new, use_threads=self.n_rows > MANY):
            limits.require_short(self.path, batch)
            found = {name: _own(batch.column(name), batch.schema.field(name)) for name in new}
            if batch.num_rows == self.n_rows:
                for name in keys.keys() & found.keys():
                    self._chunks.put(keys[name], found[name])
            if batch.num_rows == self.n_rows:
                found |= known
            else:
                found |= {name: array.slice(start, batch.num_rows) for name, array in known.items()}
            table = pa.Table.from_arrays([found[name] for name in names], names=names)
            yield completed(table if names else pa.Table.from_batches([batch]), later)
            start += batch.num_rows


@lru_cache(maxsize=64)
def _names(columns: tuple[str, ...]) -> list[str]:
    """Column names, once for all parts that have the same."""
    return list(columns)


def number_in(name: str) -> int | None:
    """The number in the name that a part of ours has."""
    match = re.match(r"part-([0-9]{1,9})(?:-[0-9a-f]{16})?\.parquet$", name)
    return None if match is None else int(match[1])


def _own(array: pa.Array, field: pa.Field) -> pa.Array:
    """A column of its own type."""
    kind = _stored_type(field)
    if array.type != kind:
        array = array.cast(kind)
    array.validate(full=True)  # damage may be a text that is no UTF-8
    return array


_CELLS = frozenset(CELLS.names)
_TYPES = {field.name: field.type for schema in (ERRORS, CELLS) for field in schema}


def _stored_type(field: pa.Field) -> pa.DataType:
    if (known := _TYPES.get(field.name)) is not None:
        return known
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
