"""Several problems of equal shape, examined side by side: the numbers are those of each alone, in fewer and larger operations.

Small problems take less time than the calls of NumPy that examine them.  Their weights stand in one row, problem after
problem.  What is computed for a weight depends on its own losses, so that it is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradcheck.numerics import plain
from gradcheck.numerics.bounds import evaluations
from gradcheck.numerics.cell_summary import Figure, summarise
from gradcheck.numerics.examine import Examined, examine
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Crossings, Problem
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.verdict import Judgement
from gradcheck.numerics.weight_columns import GradientColumns, WeightColumns

if TYPE_CHECKING:
    from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray


class SideBySide(NamedTuple):
    """What was found of several problems at several steps: all steps of the first problem, then all of the next.

    columns : the weights of all of them.   size : how many weights each has.   summaries : one for each problem and step.
    """

    columns: WeightColumns
    size: int
    summaries: list[dict[str, Figure]]


def shape_of(problem: Problem) -> Hashable:
    """What problems that are examined side by side have in common; None for one that is examined alone.

    Alone are losses that are measured, losses without a fast way, and problems in which a weight may be exempt: what these
    evaluate depends on what was found.
    """
    if problem.measured is not None or problem.perturbed_losses is None or problem.low is not None:
        return None
    if not np.isfinite(problem.center) or not problem.analytic.all():
        return None
    known = problem.correct is not None, problem.crossings is not None, problem.kinked
    layout = problem.layout
    return (layout.names, layout.shapes, problem.theta.dtype, problem.analytic.dtype, problem.rounding.unit, *known)


def check_side_by_side(
    problems: Sequence[Problem],
    scheme: Scheme,
    eps: Sequence[float],
    match_at: float,
    injected: Sequence[bool],
    min_judged: float,
    accept: float,
) -> SideBySide:
    """``check_steps`` of several problems of one ``shape_of``, by a real scheme at given steps.

    injected : whether each problem has a planted bug.

    Raises ArithmeticError where fast losses differ from plain ones.
    """
    count, steps, layout = len(problems), len(eps), problems[0].layout
    size = layout.size
    found = examine(_row(problems, scheme), scheme, np.array(eps), match_at, np.arange(count * size), accept)
    compared = _compared(problems, found, steps)
    # by problem, step and weight
    estimate = Estimate(*(_by_cell(column, count, size) for column in found.estimate))
    judged = found.judged.mapped(lambda column: _by_cell(column, count, size))
    names, positions = layout.columns(np.arange(size))
    correct = [problem.correct for problem in problems if problem.correct is not None]
    gradient: GradientColumns = {
        "param": names,
        "flat_index": np.arange(size),
        "analytic": _of_each([problem.analytic for problem in problems], steps),
        "correct": _of_each(correct, steps) if correct else None,
    }
    diagnoses = list(_diagnoses(problems, estimate.value, judged, steps))
    planted = [one for one in injected for _ in eps]
    dtype = str(problems[0].theta.dtype)
    summaries = summarise(gradient, estimate.value, judged, diagnoses, dtype, planted, min_judged)
    n_evals = 1 + size * evaluations(scheme) + compared
    for k, summary in enumerate(summaries):
        center = float(problems[k // steps].center)
        summary |= {"loss": center, "bug_injected": planted[k], "n_evals": n_evals}
    weights = _of_each([problem.theta for problem in problems], steps)
    return SideBySide(_columns(gradient, positions, weights, estimate, judged), size, summaries)


def _row(problems: Sequence[Problem], scheme: Scheme) -> Problem:
    """The weights of all problems in one row, as a problem whose loss is that of each weight's problem, (count size,)."""
    size = problems[0].layout.size
    first, parts = problems[0], [slice(p * size, (p + 1) * size) for p in range(len(problems))]
    everything = np.arange(size)

    def each(index: Array) -> Iterator[tuple[Problem, Array, Array]]:
        """The problems of some weights, where these stand in ``index``, and their own indices."""
        if len(index) == len(problems) * size:
            for problem, here in zip(problems, parts, strict=True):
                yield problem, np.arange(here.start, here.stop), everything
            return
        owner = index // size
        for p in np.unique(owner).tolist():
            rows = np.flatnonzero(owner == p)
            yield problems[p], rows, index[rows] - p * size

    def perturbed(index: Array, points: Array) -> tuple[Array, Array]:
        if len(index) == len(problems) * size and (together := _together(problems, points)) is not None:
            return together, np.zeros(points.shape)
        losses, deviations = np.empty(points.shape, points.dtype), np.empty(points.shape)
        for problem, rows, own in each(index):
            assert problem.perturbed_losses is not None
            here = slice(rows[0], rows[-1] + 1) if len(rows) == rows[-1] - rows[0] + 1 else rows
            losses[here], deviations[here] = problem.perturbed_losses(own, points[here])
        return losses, deviations

    def crossings(index: Array, reach: Array) -> Crossings:
        found: list[Crossings] = []
        for problem, rows, own in each(index):
            assert problem.crossings is not None
            near = problem.crossings(own, reach[rows])
            found.append(near._replace(row=rows[near.row]))
        return Crossings.joined(found)

    centers = np.repeat(np.array([problem.center for problem in problems], first.theta.dtype), size)
    return Problem(
        layout=Layout(("row",), ((len(problems) * size,),)),
        theta=np.concatenate([problem.theta for problem in problems]),
        loss=lambda _: centers,
        analytic=np.concatenate([problem.analytic for problem in problems]),
        correct=None,
        rounding=_rounding([problem.rounding for problem in problems]),
        perturbed_losses=perturbed,
        crossings=None if first.crossings is None else crossings,
        kinked=first.kinked,
    )


def _together(problems: Sequence[Problem], points: Array) -> Array | None:
    """The losses of problems that were posed together at points (count size, k) of all their weights; else None."""
    known = [problem.neighbours for problem in problems if problem.neighbours is not None]
    if len({id(stack) for stack, _ in known}) != 1 or len(known) < len(problems):
        return None
    which = np.array([place for _, place in known])
    found = known[0][0].losses(which, points.reshape(len(problems), -1, points.shape[1]))
    return None if found is None else found.reshape(points.shape)


def _rounding(each: Sequence[Rounding]) -> Rounding:
    """The rounding errors of weights in one row; that of the loss is not asked for."""
    line, gradient, clipped, length = (
        np.concatenate([getattr(one, name) for one in each]) for name in ("line", "gradient", "clipped", "length")
    )
    return Rounding(math.nan, line, gradient, clipped, length, each[0].unit)


def _by_cell(column: Array, count: int, size: int) -> Array:
    """A column (steps, count size) as one row for each problem and step, (count steps, size)."""
    return np.ascontiguousarray(column.reshape(-1, count, size).transpose(1, 0, 2)).reshape(-1, size)


def _of_each(columns: Sequence[Array], steps: int) -> Array:
    """A column of each problem as float64, once for each step; (count steps, size)."""
    return np.repeat(np.stack(columns).astype(np.float64), steps, axis=0)


def _columns(
    gradient: GradientColumns, positions: list[list[int]], weights: Array, estimate: Estimate, judged: Judgement
) -> WeightColumns:
    """All columns, one cell after the other."""
    cells = len(weights)
    correct = gradient["correct"]
    return {
        "param": gradient["param"] * cells,
        "position": positions * cells,
        "flat_index": np.tile(gradient["flat_index"], cells),
        "weight": weights.reshape(-1),
        "analytic": gradient["analytic"].reshape(-1),
        "correct": None if correct is None else correct.reshape(-1),
        "step": estimate.step.reshape(-1),
        "step_rule": ["fixed"] * weights.size,
        "numeric": estimate.value.reshape(-1),
        "abs_err": judged.abs_err.reshape(-1),
        "rel_err": judged.rel_err.reshape(-1),
        "truncation": judged.truncation.reshape(-1),
        "roundoff": judged.roundoff.reshape(-1),
        "bound": judged.bound.reshape(-1),
        "resolution": judged.resolution.reshape(-1),
        "verdict": judged.verdict.reshape(-1).tolist(),
        "reason": judged.reason.reshape(-1).tolist(),
    }


def _diagnoses(
    problems: Sequence[Problem], numeric: Array, judged: Judgement, steps: int
) -> Iterator[Diagnosis | None]:
    """The kind of mistake of each problem and step; None where no weight is a mismatch."""
    for k, verdicts in enumerate(judged.verdict):
        if "mismatch" not in verdicts:
            yield None
            continue
        from gradcheck.numerics.diagnosis.diagnose import diagnose

        yield diagnose(problems[k // steps], numeric[k], judged.at(k))


def _compared(problems: Sequence[Problem], found: Examined, steps: int) -> int:
    """The evaluations that each problem and step spent on the comparison of fast losses with plain ones.

    Raises ArithmeticError where they differ.
    """
    size = problems[0].layout.size
    evaluated = found.evaluated
    assert evaluated is not None
    step = np.atleast_2d(found.estimate.step).reshape(steps, len(problems), size)
    for p, k in plain.doubtful(problems, evaluated, step):
        here = slice(p * size, (p + 1) * size)
        plain.require_equal(problems[p], (evaluated[0][here], evaluated[1][here]), step[k, p])
    return min(plain.COMPARED, size)
