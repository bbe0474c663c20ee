"""The check of every output of a function, as one table in the order of the Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradcheck.functions.budget import groups
from gradcheck.functions.calls import Calls
from gradcheck.functions.settings import Settings
from gradcheck.functions.stacked import stacked
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.examine import examine
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.verdict import BUDGET
from gradcheck.numerics.weight_columns import WeightColumns, columns, judgement_of

Array = np.ndarray


class Checked(NamedTuple):
    """The columns of the weights of all outputs, the diagnosis of them all, and the layout of the Jacobian."""

    table: WeightColumns
    diagnosis: Diagnosis
    layout: Layout


def check_outputs(posed: Sequence[Problem], calls: Calls, asked: Settings, index: Array) -> Checked:
    """Check the weights of ``index`` in every output, in this order, as many as the evaluations allow.

    posed : one problem for each output.
    """
    first, layout = posed[0], posed[0].layout
    tables, places = [], []
    for some in groups(calls, index):
        for k, problem in enumerate(posed):
            tables.append(checked(problem, calls, asked, some))
            places.append(_place(layout, some, k, len(posed)) if calls.outer else some)
    if not tables:
        tables, places = [checked(first, calls, asked, index[:0])], [index[:0]]
    flat = np.concatenate(places)
    order = np.argsort(flat, kind="stable")
    table = stacked(tables, order)
    if calls.outer:
        layout = Layout(layout.names, tuple(calls.outer + shape for shape in layout.shapes), layout.labels)
        table["flat_index"] = flat[order]
        table["param"], table["position"] = layout.columns(flat[order])
        first = _whole(posed, layout)
    return Checked(table, diagnose(first, table["numeric"], judgement_of(table), table["flat_index"]), layout)


def checked(problem: Problem, calls: Calls, asked: Settings, index: Array) -> WeightColumns:
    """The columns of some weights of one output.  Those that the budget left open say so."""
    against, step = asked.against, asked.step
    estimate, judged, *_ = examine(problem, asked.formula, step, against.match_at, index, against.accept)
    table = columns(problem, index, estimate, judged, step)
    if calls.cut.weights:
        for row, weight in enumerate(index.tolist()):
            if weight in calls.cut.weights and table["verdict"][row] == "inconclusive":
                table["reason"][row] = BUDGET
    return table


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
