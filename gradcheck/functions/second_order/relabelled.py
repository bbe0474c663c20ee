"""The check of a gradient's Jacobian as the check of a Hessian: its rows are the entries of a matrix H."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.weight_columns import WeightColumns

Array = np.ndarray


def as_matrix(outcome: Outcome, rows: int, name: str = "H") -> Outcome:
    """The outcome of a Jacobian of ``rows`` outputs by a flat x, with one parameter H of the shape (rows, n)."""
    layout = Layout((name,), ((rows, outcome.n_weights // rows),))
    return replace(
        outcome,
        table=_renamed(outcome, layout),
        layout=layout,
        points=tuple(replace(one, table=_renamed(one, layout), layout=layout) for one in outcome.points),
    )


def _renamed(outcome: Outcome, layout: Layout) -> WeightColumns:
    table = outcome.table.copy()
    table["param"], table["position"] = layout.columns(table["flat_index"])
    return table


def matrix(outcome: Outcome, column: str, fill: float) -> Array:
    """A column of the table as a matrix of the outcome's shape; ``fill`` where an entry was not checked."""
    found = np.full(outcome.layout.shapes[0], fill)
    by_name: Mapping[str, object] = outcome.table
    found.reshape(-1)[outcome.table["flat_index"]] = np.asarray(by_name[column], dtype=np.float64)
    return found
