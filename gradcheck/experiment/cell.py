"""The check of one cell: from model, data, weights and bug to every weight's verdict.  Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gradcheck.bugs.base import Bug
from gradcheck.errors import Meaningless, NoEffect
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import DataSource, Model, Start
from gradcheck.numerics.check import CellResult, Pack, check_steps
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED

Array = np.ndarray


@dataclass(frozen=True)
class Cell:
    """A point of the grid without its step: cells that differ in eps alone are checked together."""

    model: Model
    data: DataSource
    init: Start
    bug: Bug
    scheme: Scheme
    dtype: np.dtype
    match_at: float
    min_judged: float = MIN_JUDGED
    accept: float = 0.0


def refuse(cell: Cell) -> None:
    """Raise Meaningless for a combination that has no meaning whatever the data are."""
    if np.dtype(cell.dtype) == np.longdouble and np.finfo(np.longdouble).nmant <= 52:
        raise Meaningless("dtype=longdouble: is float64 on this machine; choose float32 or float64")
    if cell.scheme.complex_valued:
        if np.dtype(cell.dtype) == np.float32:
            raise Meaningless("scheme=complex_step: needs dtype float64 or longdouble, not float32")
        if cell.model.kink is not None:
            raise Meaningless(f"scheme=complex_step: {cell.model.kink} has a kink, hence no complex derivative")


def refuse_at(cell: Cell, theta: Array) -> None:
    """Raise Meaningless for a combination that has no meaning at theta."""
    if cell.scheme.complex_valued:
        cell.model.require_complex(theta)


def check_cell(
    cell: Cell,
    eps: Step = AUTO,
    posing: Callable[[Cell], Problem] | None = None,
    pack: Pack | None = None,
) -> CellResult:
    """Check one cell, as ``check_cells`` does."""
    return check_cells(cell, [eps], posing, pack)[0]


def check_cells(
    cell: Cell,
    eps: Sequence[Step],
    posing: Callable[[Cell], Problem] | None = None,
    pack: Pack | None = None,
) -> list[CellResult]:
    """Check a cell at each of several steps.

    posing : used instead of ``pose``.  It may return a problem that is known already, because a problem does not depend
        on scheme, eps, match_at, accept and min_judged.
    pack : called with the columns of each block of weights.  A cell with several blocks is then examined block by block,
        with the same outcome, and its ``weights`` are the list of what ``pack`` returned.

    Raises Meaningless or NoEffect where there is nothing to check (the cell is skipped), ValueError for data that do not fit
    the model, FloatingPointError where the loss at theta is not finite.
    """
    refuse(cell)
    with np.errstate(all="ignore"):
        problem = (posing or pose)(cell)
        injected = _injected(cell.bug)
        return check_steps(problem, cell.scheme, eps, cell.match_at, injected, cell.min_judged, pack, cell.accept)


def pose(cell: Cell) -> Problem:
    """Draw the data and the weights, compute the gradient, put the bug in."""
    theta, batch = _start(cell)
    return _claimed(cell, theta, batch, cell.model.pose(theta, batch))


def pose_together(cells: Sequence[Cell]) -> list[Problem | None]:
    """``pose`` of cells of one model, in fewer operations; None for a cell of which it raises an error."""
    found: list[Problem | None] = [None] * len(cells)
    starts: dict[int, tuple[Array, Batch]] = {}
    drawn = Drawn()
    for k, cell in enumerate(cells):
        with suppress(Exception):
            starts[k] = _start(cell, drawn)
    if starts:
        problems = cells[0].model.pose_together(*zip(*starts.values(), strict=True))
        for (k, (theta, batch)), problem in zip(starts.items(), problems, strict=True):
            with suppress(Exception):
                found[k] = _claimed(cells[k], theta, batch, problem)
    return found


class Drawn:
    """The start parameters that were drawn last, which cells of a grid share."""

    def __init__(self) -> None:
        self._last: tuple[Start, Layout, np.dtype, Array] | None = None

    def theta(self, init: Start, layout: Layout, dtype: np.dtype) -> Array:
        """``init.theta``, an array of its own each time."""
        if self._last is None or self._last[:3] != (init, layout, dtype):
            self._last = init, layout, dtype, init.theta(layout, dtype)
        return self._last[3].copy()


def _start(cell: Cell, drawn: Drawn | None = None) -> tuple[Array, Batch]:
    """The weights and the data of a cell."""
    model = cell.model
    batch = cell.data.batch(model.target, cell.dtype)
    model.check_batch(batch)
    theta = (drawn or Drawn()).theta(cell.init, model.layout(batch), cell.dtype)
    theta = cell.init.refine(theta, partial(model.loss, batch=batch), partial(model.gradient, batch=batch))
    refuse_at(cell, theta)
    return theta, batch


def _claimed(cell: Cell, theta: Array, batch: Batch, problem: Problem) -> Problem:
    """The problem with the gradient that the cell claims: that of the model, or a wrong one."""
    if not _injected(cell.bug):
        return problem
    return replace(problem, analytic=_wrong(cell, theta, batch, problem.analytic))


def _wrong(cell: Cell, theta: Array, batch: Batch, correct: Array) -> Array:
    """The gradient with the cell's bug.  Raises Meaningless or NoEffect."""
    cell.bug.refuse(cell.model, cell.model.layout(batch), batch)
    analytic = cell.bug.gradient(cell.model, theta, batch)
    if np.array_equal(analytic, correct, equal_nan=True):
        raise NoEffect("no effect here: the bug leaves this very gradient unchanged")
    return analytic


def _injected(bug: Bug) -> bool:
    return bool(bug.name != "none")
