"""The rows of results as Arrow tables: of ``cells`` one for each cell, of ``errors`` one for each of its weights."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from gradcheck import arrow, columns
from gradcheck.errors import Meaningless
from gradcheck.rules import RULES
from gradcheck.steps import stored

SCHEMA_VERSION = 2

_text, _real, _count, _flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()

AXES = pa.schema(
    [
        ("model", _text),
        ("data", _text),
        ("init", _text),
        ("bug", _text),
        ("scheme", _text),
        ("dtype", _text),
        ("eps", _real),
        ("init_seed", _count),
        ("data_seed", _count),
        ("data_n", _count),
        ("data_d", _count),
    ]
)
WEIGHTS = pa.schema(
    [
        ("param", _text),
        ("position", pa.list_(pa.int32())),
        ("flat_index", _count),
        ("weight", _real),
        ("step", _real),
        ("analytic", _real),
        ("numeric", _real),
        ("correct", _real),
        ("abs_err", _real),
        ("rel_err", _real),
        ("truncation", _real),
        ("roundoff", _real),
        ("bound", _real),
        ("resolution", _real),
        ("step_rule", _text),
        ("verdict", _text),
        ("reason", _text),
    ]
)
SUMMARY = pa.schema(
    [
        ("n_weights", _count),
        ("loss", _real),
        ("max_rel_err", _real),
        ("median_rel_err", _real),
        ("norm_difference", _real),
        ("max_resolution", _real),
        ("median_resolution", _real),
        ("worst_param", _text),
        ("worst_flat_index", _count),
        ("n_match", _count),
        ("n_mismatch", _count),
        ("n_inconclusive", _count),
        ("n_nondifferentiable", _count),
        ("n_exempt", _count),
        ("n_judged", _count),
        ("n_missed", _count),
        ("verdict", _text),
        ("ok", _flag),
        ("diagnosis", _text),
        ("diagnosis_kind", _text),
        *((f"rule_{name}", _flag) for name in RULES),
        ("bug_injected", _flag),
        ("n_evals", _count),
    ]
)
_COLUMN_OF = {bool: _flag, int: _count, float: _real, str: _text}
SETTINGS = pa.schema([(name, _COLUMN_OF[kind]) for name, kind in columns.SETTINGS.items() if name not in AXES.names])
ERRORS = pa.schema([("cell", _text), *WEIGHTS, *AXES])
_OF_THE_CELL = [field for field in ERRORS if field.name not in WEIGHTS.names]


CELLS = pa.schema(
    [
        *(("cell", _text), ("status", _text), ("message", _text)),
        *AXES,
        *SETTINGS,
        *SUMMARY,
        *(("seconds", _real), ("config", _text)),
    ]
)
# What version 1 did not have: there it is null.
_SINCE_2 = frozenset({*SETTINGS.names, "n_exempt", "n_judged", "n_missed", "ok"})


def lacking(schema: pa.Schema, names: Container[str], version: int) -> list[str]:
    """Columns of a schema that files of a version must have and that are not among some names; the list of rules may grow."""
    later = _SINCE_2 if version < 2 else frozenset()
    return [n for n in schema.names if n not in names and n not in later and not n.startswith("rule_")]


def completed(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Rows of ``cells`` with those of the columns ``names`` that they lack, which are null: of an earlier version."""
    there = set(table.schema.names)
    for name in names:
        if name in _SINCE_2 and name not in there:
            table = table.append_column(CELLS.field(name), pa.nulls(table.num_rows, CELLS.field(name).type))
    return table


_WEIGHT_COLUMN: Mapping[pa.DataType, Callable[[list[Any]], pa.Array]] = {
    _text: arrow.texts,
    _count: arrow.counts,
    pa.list_(pa.int32()): arrow.positions,
}

# NaN says what happened in these two; elsewhere what is unknown is null.
_MAY_BE_NAN = {"numeric", "rel_err"}


class Planned(Protocol):
    """A cell of the grid, as the plan describes it."""

    @property
    def cell(self) -> str: ...  # id
    @property
    def config(self) -> Mapping[str, Any]: ...  # canonical
    @property
    def text(self) -> str: ...  # the config as canonical JSON


class Tabled(NamedTuple):
    """The weights of a cell as some rows of a table with the columns of ``WEIGHTS``, in which neighbours have theirs.

    reasons : why some of them could not be judged.
    """

    table: pa.Table
    start: int
    stop: int
    reasons: Sequence[str]


class Packed(NamedTuple):
    """Some weights of a cell that has many, compressed; such a cell has a list of them.

    table : with the columns of ``WEIGHTS``, as an Arrow stream.   size : how many weights.   reasons : why some of them
    could not be judged, and how many.
    """

    table: bytes
    size: int
    reasons: Mapping[str, int]

    def unpacked(self) -> pa.Table:
        """The table."""
        return pa.ipc.open_stream(self.table).read_all()


def packed(weights: Mapping[str, Any]) -> Packed:
    """Some weights by column, packed: a tenth of what they take in memory."""
    table = _weights_table([weights])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    return Packed(sink.getvalue().to_pybytes(), table.num_rows, Counter(filter(None, weights["reason"])))


class CellRows(NamedTuple):
    """What is stored of a cell: its row of ``cells`` and, if it was computed, its weights: by column, in a table or packed."""

    cell: dict[str, Any]
    weights: Mapping[str, Any] | Tabled | list[Packed] | None

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
        """Why some weights could not be judged, each as often as it holds."""
        if isinstance(self.weights, Tabled):
            return self.weights.reasons
        if isinstance(self.weights, Mapping):
            return [reason for reason in self.weights["reason"] if reason]
        return sum((Counter(piece.reasons) for piece in self.weights or ()), Counter[str]())


def cell_row(planned: Planned, outcome: Any, seconds: float) -> CellRows:
    """The rows of a cell from its place in the plan and what came of it.

    outcome : a CellResult (``ok``), a Meaningless (``skipped``) or another exception (``failed``).
    seconds : what it took to compute.
    """
    row: dict[str, Any] = {"cell": planned.cell, "message": None, "seconds": seconds}
    row |= columns.values(planned.config) | axes(planned.config)
    row["config"] = planned.text
    row["bug_injected"] = row["bug"] not in (None, "none")
    if isinstance(outcome, BaseException):
        row["status"] = "skipped" if isinstance(outcome, Meaningless) else "failed"
        row["message"] = str(outcome) or type(outcome).__name__
        return CellRows(row, None)
    row["status"] = "ok"
    row |= outcome.summary
    return CellRows(row, outcome.weights)


def axes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the axes that a canonical config fixes; the sizes of data are replaced by the real ones once a cell
    is computed.
    """
    init, data = config["init"], config["data"]
    return {
        "model": config["model"]["name"],
        "data": data["source"],
        "init": init["name"],
        "bug": config["bug"]["name"],
        "scheme": config["scheme"],
        "dtype": config["dtype"],
        "eps": stored(config["eps"]),
        "init_seed": init.get("seed"),
        "data_seed": data.get("seed"),
        "data_n": data.get("n"),
        "data_d": data.get("d"),
    }


# ------------------------------------------------------------------------------------------------------------- tables


def cells_table(rows: Sequence[CellRows], schema: pa.Schema = CELLS) -> pa.Table:
    """Rows of ``cells``; NaN becomes null."""
    unknown = dict.fromkeys(schema.names)
    in_order = itemgetter(*schema.names)
    columns = zip(*(in_order(unknown | row.cell) for row in rows), strict=True) if rows else ([] for _ in schema)
    return pa.table([_column(list(c), field) for c, field in zip(columns, schema, strict=True)], schema=schema)


def _column(values: list[Any], field: pa.Field, times: list[int] | None = None) -> pa.Array:
    """Values of one column, each as many `times`."""
    if field.type == _real:
        known = np.array(values, dtype=np.float64)  # float(None) is NaN there
        return arrow.reals(known, ~np.isnan(known), times)
    if field.type == _text:
        return arrow.texts([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], times)
    return arrow.flags(values) if field.type == _flag else arrow.counts(values, times)


def tabled(outcomes: Sequence[tuple[Any, float]]) -> list[tuple[Any, float]]:
    """Outcomes of neighbours and their seconds, with the weights of all of them in one table.

    So they travel from one process to another in a quarter of the time, and the one that stores them is left with joining them.
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


def errors_tables(rows: Sequence[CellRows]) -> Iterator[pa.Table]:
    """Rows of ``errors`` as several tables of bounded size: what is packed is unpacked piece by piece."""
    for many, group in groupby(rows, key=lambda row: isinstance(row.weights, list)):
        if not many:
            yield errors_table(list(group))
            continue
        for row in group:
            for piece in row.weights if isinstance(row.weights, list) else ():
                yield errors_table([row._replace(weights=Tabled(piece.unpacked(), 0, piece.size, []))])


def errors_table(rows: Sequence[CellRows]) -> pa.Table:
    """Rows of ``errors``, cell after cell, each weight in the order of its cell; NaN becomes null but in `numeric`
    and `rel_err`.
    """
    computed = [row for row in rows if row.weights is not None]
    counts = [row.n_weights for row in computed]
    weights = _joined([w for row in computed if isinstance(w := row.weights, Mapping | Tabled)])
    given = {field.name: _column([row.cell[field.name] for row in computed], field, counts) for field in _OF_THE_CELL}
    arrays = [given[name] if name in given else weights[name] for name in ERRORS.names]
    return pa.table(arrays, schema=ERRORS)


def _joined(weights: Sequence[Mapping[str, Any] | Tabled]) -> pa.Table:
    """One table with the columns of ``WEIGHTS``."""
    parts: list[pa.Table] = []
    for in_table, group in groupby(weights, key=lambda w: isinstance(w, Tabled)):
        some = list(group)
        if in_table:
            parts += [w.table.slice(w.start, w.stop - w.start) for w in _runs(w for w in some if isinstance(w, Tabled))]
        else:
            parts.append(_weights_table([w for w in some if not isinstance(w, Tabled)]))
    # an empty table of its own making: that of pyarrow imports pandas
    return pa.concat_tables(parts).combine_chunks() if parts else _weights_table([])


def _runs(some: Iterable[Tabled]) -> list[Tabled]:
    """Rows that follow each other in one table, together."""
    runs: list[Tabled] = []
    for w in some:
        if runs and runs[-1].table is w.table and runs[-1].stop == w.start:
            runs[-1] = runs[-1]._replace(stop=w.stop)
        else:
            runs.append(w)
    return runs


def _weights_table(weights: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The columns of ``WEIGHTS`` of several cells, one after the other."""
    arrays = []
    for field in WEIGHTS:
        given = [columns[field.name] for columns in weights]
        if field.type == _real:
            parts = [
                np.full(len(columns["flat_index"]), np.nan) if c is None else c
                for c, columns in zip(given, weights, strict=True)
            ]
            values = np.concatenate(parts) if parts else np.empty(0)
            arrays.append(arrow.reals(values, None if field.name in _MAY_BE_NAN else ~np.isnan(values)))
        else:
            arrays.append(_WEIGHT_COLUMN[field.type](list(chain.from_iterable(given))))
    return pa.table(arrays, schema=WEIGHTS)


def outcome_table(outcome: Any) -> pa.Table:
    """Rows of ``errors`` for the outcome of ``check_gradient``; what only a grid has (cell, model, seeds) is null."""
    known = {"scheme": outcome.scheme, "dtype": outcome.dtype, "eps": stored(outcome.eps)}
    return errors_table([CellRows({"cell": None, **dict.fromkeys(AXES.names), **known}, outcome.table)])
