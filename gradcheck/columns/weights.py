"""The weights of cells as Arrow tables with the columns of ``errors``, one row for each weight."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pyarrow as pa

from gradcheck.columns import arrow, parquet, places, store
from gradcheck.columns.parquet import PROVENANCE
from gradcheck.numerics.steps import Step, stored

if TYPE_CHECKING:
    from gradcheck.numerics.weight_columns import Block, WeightColumns

TEXT, REAL, COUNT, FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()

AXES = pa.schema(
    [
        ("model", TEXT),
        ("data", TEXT),
        ("init", TEXT),
        ("bug", TEXT),
        ("scheme", TEXT),
        ("dtype", TEXT),
        ("eps", REAL),
        ("init_seed", COUNT),
        ("data_seed", COUNT),
        ("data_n", COUNT),
        ("data_d", COUNT),
    ]
)


WEIGHTS = pa.schema(
    [
        ("param", TEXT),
        ("position", pa.list_(pa.int32())),
        ("flat_index", COUNT),
        ("weight", REAL),
        ("step", REAL),
        ("analytic", REAL),
        ("numeric", REAL),
        ("correct", REAL),
        ("abs_err", REAL),
        ("rel_err", REAL),
        ("truncation", REAL),
        ("roundoff", REAL),
        ("bound", REAL),
        ("resolution", REAL),
        ("step_rule", TEXT),
        ("verdict", TEXT),
        ("reason", TEXT),
    ]
)


ERRORS = pa.schema([("cell", TEXT), *WEIGHTS, *AXES])

_OF_THE_CELL = [field for field in ERRORS if field.name not in WEIGHTS.names]


_WEIGHT_COLUMN: Mapping[pa.DataType, Callable[[list[Any]], pa.Array]] = {
    TEXT: arrow.texts,
    COUNT: arrow.counts,
    pa.list_(pa.int32()): arrow.positions,
}


# In these two NaN is a value that the check found; in all other columns it means unknown, and is stored as null.
_MAY_BE_NAN = {"numeric", "rel_err"}


_WORDS = {str, type(None)}


class Tabled(NamedTuple):
    """The weights of a cell as rows of a table with the columns of ``WEIGHTS``, which holds those of other cells too.

    start, stop : the rows of this cell.   reasons : why some of them could not be judged.
    """

    table: pa.Table
    start: int
    stop: int
    reasons: Sequence[str]


class Packed(NamedTuple):
    """A block of the weights of a cell with many, compressed; such a cell has a list of them.

    table : the columns of ``WEIGHTS`` as an Arrow stream.   size : how many weights.   reasons : why some of them could
    not be judged, and how many.
    """

    table: bytes
    size: int
    reasons: Mapping[str, int]

    def unpacked(self) -> pa.Table:
        """The table, unpacked."""
        return pa.ipc.open_stream(self.table).read_all()


def packed(weights: WeightColumns) -> Packed:
    """A block of weights, compressed to a tenth of its size in memory."""
    table = _weights_table([weights])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    return Packed(sink.getvalue().to_pybytes(), table.num_rows, Counter(filter(None, weights["reason"])))


class CellRows(NamedTuple):
    """What is stored of a cell: its row of ``cells``, and its weights (None unless it was computed)."""

    cell: dict[str, Any]
    weights: WeightColumns | Tabled | list[Block] | None

    @property
    def n_weights(self) -> int:
        """How many weights are stored."""
        if isinstance(self.weights, Tabled):
            return self.weights.stop - self.weights.start
        if isinstance(self.weights, Mapping):
            return len(self.weights["flat_index"])
        return sum(piece.size for piece in self.weights or ())

    @property
    def reasons(self) -> Sequence[str] | Mapping[str, int]:
        """Why some weights could not be judged, each reason as often as it occurs."""
        if isinstance(self.weights, Tabled):
            return self.weights.reasons
        if isinstance(self.weights, Mapping):
            return [reason for reason in self.weights["reason"] if reason]
        return sum((Counter(piece.reasons) for piece in self.weights or ()), Counter[str]())


def column(values: Sequence[object], field: pa.Field, times: list[int] | None = None) -> pa.Array:
    """Values of one column, each repeated as many `times`."""
    if field.type == REAL:
        known = np.array(values, dtype=np.float64)  # float(None) is NaN there
        return arrow.reals(known, ~np.isnan(known), times)
    if field.type == TEXT:
        if not {*map(type, values)} <= _WORDS:
            values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        return arrow.texts(cast("Sequence[str | None]", values), times)
    if field.type == FLAG:
        return arrow.flags(cast("Sequence[bool | None]", values))
    return arrow.counts(cast("Sequence[int | None]", values), times)


def tabled(outcomes: Sequence[tuple[Any, float]]) -> list[tuple[Any, float]]:
    """Outcomes of several cells and their seconds, with the weights of all cells in one table.

    outcomes : CellResults and errors.

    A table travels from a worker to the process that stores it in a quarter of the time that columns take.
    """
    results = [outcome for outcome, _ in outcomes if isinstance(getattr(outcome, "weights", None), Mapping)]
    table = _weights_table([result.weights for result in results])
    found: list[tuple[Any, float]] = []
    stop = 0
    for outcome, seconds in outcomes:
        if isinstance(outcome, BaseException) or not isinstance(outcome.weights, Mapping):
            found.append((outcome, seconds))
            continue
        start, stop = stop, stop + len(outcome.weights["flat_index"])
        reasons = [reason for reason in outcome.weights["reason"] if reason]
        found.append((replace(outcome, weights=Tabled(table, start, stop, reasons), rounding=None), seconds))
    return found


def side_by_side(weights: WeightColumns, size: int) -> list[Tabled]:
    """The weights of cells that stand one after the other in the same columns, ``size`` of each cell, in one table."""
    table, reasons = _weights_table([weights]), weights["reason"]
    starts = range(0, table.num_rows, size) if size else ()
    return [Tabled(table, k, k + size, [r for r in reasons[k : k + size] if r]) for k in starts]


def errors_tables(rows: Sequence[CellRows]) -> Iterator[pa.Table]:
    """Rows of ``errors`` as several tables of bounded size: compressed blocks are unpacked one at a time."""
    for many, group in groupby(rows, key=lambda row: isinstance(row.weights, list)):
        if not many:
            yield errors_table(list(group))
            continue
        for row in group:
            for piece in row.weights if isinstance(row.weights, list) else ():
                assert isinstance(piece, Packed)
                yield errors_table([row._replace(weights=Tabled(piece.unpacked(), 0, piece.size, []))])


def errors_table(rows: Sequence[CellRows]) -> pa.Table:
    """Rows of ``errors``, cell after cell, in the order of each cell's weights.

    NaN becomes null, except in `numeric` and `rel_err`.
    """
    computed = [row for row in rows if row.weights is not None]
    counts = [row.n_weights for row in computed]
    weights = _joined([w for row in computed if isinstance(w := row.weights, Mapping | Tabled)])
    given = {field.name: column([row.cell[field.name] for row in computed], field, counts) for field in _OF_THE_CELL}
    arrays = [given[name] if name in given else weights[name] for name in ERRORS.names]
    return pa.table(arrays, schema=ERRORS)


def _joined(weights: Sequence[WeightColumns | Tabled]) -> pa.Table:
    """One table with the columns of ``WEIGHTS``."""
    parts: list[pa.Table] = []
    for in_table, group in groupby(weights, key=lambda w: isinstance(w, Tabled)):
        some = list(group)
        if in_table:
            parts += [w.table.slice(w.start, w.stop - w.start) for w in _runs(w for w in some if isinstance(w, Tabled))]
        else:
            parts.append(_weights_table([w for w in some if not isinstance(w, Tabled)]))
    # `schema.empty_table` of pyarrow would import pandas
    return pa.concat_tables(parts).combine_chunks() if parts else _weights_table([])


def _runs(some: Iterable[Tabled]) -> list[Tabled]:
    """Cells whose rows follow each other in one table, joined."""
    runs: list[Tabled] = []
    for w in some:
        if runs and runs[-1].table is w.table and runs[-1].stop == w.start:
            runs[-1] = runs[-1]._replace(stop=w.stop)
        else:
            runs.append(w)
    return runs


def _weights_table(weights: Sequence[WeightColumns]) -> pa.Table:
    """The columns of ``WEIGHTS`` of several cells, one after the other."""
    arrays = []
    by_name: Sequence[Mapping[str, object]] = weights
    for field in WEIGHTS:
        given = [columns[field.name] for columns in by_name]
        if field.type == REAL:
            parts = [
                np.full(len(columns["flat_index"]), np.nan) if c is None else np.asarray(c)
                for c, columns in zip(given, weights, strict=True)
            ]
            values = np.concatenate(parts) if parts else np.empty(0)
            arrays.append(arrow.reals(values, None if field.name in _MAY_BE_NAN else ~np.isnan(values)))
        else:
            arrays.append(_WEIGHT_COLUMN[field.type](list(chain.from_iterable(cast("list[list[object]]", given)))))
    return pa.table(arrays, schema=WEIGHTS)


def outcome_table(weights: WeightColumns, scheme: str, dtype: str, eps: Step) -> pa.Table:
    """Rows of ``errors`` for weights that ``check_gradient`` checked; columns of a grid (cell, model, seeds) are null."""
    known = {"scheme": scheme, "dtype": dtype, "eps": stored(eps)}
    return errors_table([CellRows({"cell": None, **dict.fromkeys(AXES.names), **known}, weights)])


def with_points(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of ``errors`` at several points, one point after the other, with the number of the point in a column ``point``."""
    return pa.concat_tables(
        table.add_column(0, "point", pa.array([point] * table.num_rows, pa.int64()))
        for point, table in enumerate(tables)
    )


# Version 2 has other words than version 1, and more columns.  Version 3 takes fewer evaluations at eps=auto, and rounds the
# losses of softmax and of deep nets otherwise where there are many examples: its numbers are the same within the bound.
SCHEMA_VERSION = 3


# Columns of few different values, which are stored as dictionaries.
ERRORS_DICTIONARY = ["cell", "param", "step_rule", "verdict", "reason", *AXES.names]


def write_table(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write rows of ``errors`` to one file.  It appears whole or not at all."""
    stamp = {PROVENANCE: json.dumps({"schema_version": SCHEMA_VERSION}).encode()}
    with store.whole(places.local(path)) as file:
        stamped = table.replace_schema_metadata(stamp)
        parquet.fill([stamped], stamped.schema, ERRORS_DICTIONARY)(file)
