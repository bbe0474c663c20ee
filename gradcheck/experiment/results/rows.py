"""The rows of results as Arrow tables: of ``cells`` one for each cell, of ``errors`` one for each of its weights."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gradcheck.columns.weights import AXES, COUNT, FLAG, REAL, TEXT, CellRows, column
from gradcheck.errors import Meaningless
from gradcheck.experiment.config import columns
from gradcheck.numerics.rules import RULES
from gradcheck.numerics.steps import stored

if TYPE_CHECKING:
    from gradcheck.experiment.engines.base import Outcome
    from gradcheck.experiment.results.plan import Planned

SUMMARY = pa.schema(
    [
        ("n_weights", COUNT),
        ("loss", REAL),
        ("max_rel_err", REAL),
        ("median_rel_err", REAL),
        ("norm_difference", REAL),
        ("max_resolution", REAL),
        ("median_resolution", REAL),
        ("worst_param", TEXT),
        ("worst_flat_index", COUNT),
        ("n_match", COUNT),
        ("n_mismatch", COUNT),
        ("n_inconclusive", COUNT),
        ("n_nondifferentiable", COUNT),
        ("n_exempt", COUNT),
        ("n_judged", COUNT),
        ("n_missed", COUNT),
        ("verdict", TEXT),
        ("ok", FLAG),
        ("diagnosis", TEXT),
        ("diagnosis_kind", TEXT),
        *((f"rule_{name}", FLAG) for name in RULES),
        ("bug_injected", FLAG),
        ("n_evals", COUNT),
    ]
)
_COLUMN_OF = {bool: FLAG, int: COUNT, float: REAL, str: TEXT}
SETTINGS = pa.schema([(name, _COLUMN_OF[kind]) for name, kind in columns.SETTINGS.items() if name not in AXES.names])


CELLS = pa.schema(
    [
        *(("cell", TEXT), ("status", TEXT), ("message", TEXT)),
        *AXES,
        *SETTINGS,
        *SUMMARY,
        *(("seconds", REAL), ("config", TEXT)),
    ]
)
# What version 1 did not have: there it is null.
_SINCE_2 = frozenset({*SETTINGS.names, "n_exempt", "n_judged", "n_missed", "ok"})


def lacking(schema: pa.Schema, names: Container[str], version: int) -> list[str]:
    """The columns that files of a version must have and that are not among `names`; rules and settings may be added later."""
    later = _SINCE_2 if version < 2 else frozenset(SETTINGS.names)
    return [n for n in schema.names if n not in names and n not in later and not n.startswith("rule_")]


def completed(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Rows of ``cells`` of any version with the columns `names`; those that came after it was written are null."""
    there = set(table.schema.names)
    for name in names:
        if name in _SINCE_2 and name not in there:
            table = table.append_column(CELLS.field(name), pa.nulls(table.num_rows, CELLS.field(name).type))
    return table


def cell_row(planned: Planned, outcome: Outcome, seconds: float) -> CellRows:
    """The rows of a cell from the plan and its outcome.

    outcome : a CellResult (``ok``), a Meaningless (``skipped``) or a CellFailed (``failed``).
    seconds : that the outcome took.
    """
    row = columns.values(planned.config)
    row |= axes(planned.config)
    row |= {"cell": planned.cell, "message": None, "seconds": seconds, "config": planned.text}
    row["bug_injected"] = row["bug"] not in (None, "none")
    if isinstance(outcome, BaseException):
        row["status"] = "skipped" if isinstance(outcome, Meaningless) else "failed"
        row["message"] = str(outcome) or type(outcome).__name__
        return CellRows(row, None)
    row["status"] = "ok"
    row |= outcome.summary
    return CellRows(row, outcome.weights)


def axes(config: Mapping[str, Any]) -> dict[str, object]:
    """The columns of the axes, from a canonical config.

    The sizes of the data stand there only where the config gives them; the outcome of a cell has the real ones.
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
    there = set[str]().union(*(row.cell for row in rows))
    names = [name for name in schema.names if name in there]
    known: dict[str, Sequence[object]] = {}
    if names:
        in_order, unknown = itemgetter("cell", *names), dict.fromkeys(names)  # of a single name it would give no tuple
        cells = (row.cell if len(row.cell) == len(there) else unknown | row.cell for row in rows)
        known = dict(zip(["cell", *names], zip(*map(in_order, cells), strict=True), strict=True))
    columns = [column(known[f.name], f) if f.name in known else pa.nulls(len(rows), f.type) for f in schema]
    return pa.table(columns, schema=schema)
