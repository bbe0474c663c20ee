"""The tables and cells of a run as JSON, for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gradcheck.columns.weights import AXES, SCHEMA_VERSION
from gradcheck.views import varied
from gradcheck.views.frames import records
from gradcheck.views.numbers import in_json
from gradcheck.views.record import Record

_TOLD = ("cell", "status", "message", "verdict", "ok")
_FIGURES = (
    "n_weights",
    "max_rel_err",
    "max_resolution",
    "worst_param",
    "worst_flat_index",
    "diagnosis",
    "diagnosis_kind",
)
_PIECE = 10_000  # cells whose rows are Python values at the same time


def as_json(record: Record, cell: str | None = None, by: Sequence[str] | None = None) -> str:
    """All tables and cells (or one cell with its weights) as a JSON object; infinite numbers are the strings "inf" and
    "-inf".

    ``swept`` are the columns of the settings in which cells differ; the rows of ``worst`` and ``cells`` have them.
    """
    content: dict[str, object] = {"schema_version": SCHEMA_VERSION, "run": record.name}
    if record.several:
        content["runs"] = [run.name for run in record.runs]
    if cell is not None:
        row = record.cell(cell)
        content |= {"cell": row, "weights": records(record.weights(row["cell"]))}
    else:
        arrays, swept = varied.arrays(record), varied.varied(record)
        content |= {
            "n_cells": len(record.cells),
            "verdicts": records(record.verdicts(by or record.groups)),
            "swept": [*swept, *arrays.columns],
            "worst": records(record.worst(swept)),
            "rules": records(record.rule_table()),
            "problems": records(record.problems()),
            "provenance": record.provenance,
            "notes": record.notes,
        }
    text = json.dumps(in_json(content), allow_nan=False, indent=1)
    if cell is not None:
        return text
    names = list(dict.fromkeys([*_TOLD, *(["run"] if "run" in record.cells else []), *AXES.names, *swept, *_FIGURES]))
    cells = varied.in_order(record, swept)[names].join(arrays)
    pieces = (records(cells.iloc[start : start + _PIECE]) for start in range(0, len(cells), _PIECE))
    rows = ",\n  ".join(json.dumps(in_json(row), allow_nan=False) for piece in pieces for row in piece)
    return f'{text[:-2]},\n "cells": [\n  {rows}\n ]\n}}'
