"""The check of every output of a function, as one table in the order of the Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradcheck.functions.settings import Thresholds
from gradcheck.functions.stacked import stacked
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.examine import examine
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.steps import Step
from gradcheck.numerics.weight_columns import WeightColumns, columns, judgement_of

Array = np.ndarray


class Checked(NamedTuple):
    """The columns of the weights of all outputs, the diagnosis of them all, and the layout of the Jacobian."""

    table: WeightColumns
    diagnosis: Diagnosis
    layout: Layout


def check_outputs(
    posed: Sequence[Problem], scheme: Scheme, step: Step, against: Thresholds, index: Array, outer: tuple[int, ...]
) -> Checked:
    """Check the weights of ``index`` in every output.

    posed : one problem for each output.   outer : the shape of the outputs, () for one output.
    """
    parts = [(p, *examine(p, scheme, step, against.match_at, index, against.accept)[:2]) for p in posed]
    tables = [columns(p, index, estimate, judged, step) for p, estimate, judged in parts]
    first = posed[0]
    if not outer:
        _, estimate, judged = parts[0]
        return Checked(tables[0], diagnose(first, estimate.value, judged, index), first.layout)
    layout = Layout(first.layout.names, tuple(outer + shape for shape in first.layout.shapes))
    flat = np.concatenate([_place(first.layout, index, k, len(posed)) for k in range(len(posed))])
    order = np.argsort(flat, kind="stable")
    table = stacked(tables, order)
    table["flat_index"] = flat[order]
    table["param"], table["position"] = layout.columns(flat[order])
    whole = _whole(posed, layout)
    return Checked(table, diagnose(whole, table["numeric"], judgement_of(table), table["flat_index"]), layout)


def _whole(posed: Sequence[Problem], layout: Layout) -> Problem:
    """The first output's problem with the weights and the gradients of all outputs, in the order of the Jacobian."""
    first = posed[0]
    every = np.arange(first.theta.size)
    places = np.concatenate([_place(first.layout, every, k, len(posed)) for k in range(len(posed))])
    theta, analytic = np.empty(places.size, first.theta.dtype), np.empty(places.size, first.theta.dtype)
    theta[places] = np.concatenate([p.theta for p in posed])
    analytic[places] = np.concatenate([p.analytic for p in posed])
    return replace(first, layout=layout, theta=theta, analytic=analytic)


def _place(layout: Layout, index: Array, output: int, outputs: int) -> Array:
    """Where the weights of ``index`` of one output stand in the Jacobian, in which each parameter has all outputs first."""
    places = np.empty(index.size, np.int64)
    for where in layout.slices.values():
        mine = (index >= where.start) & (index < where.stop)
        size = where.stop - where.start
        places[mine] = outputs * where.start + output * size + (index[mine] - where.start)
    return places
