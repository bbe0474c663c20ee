"""The check of one problem: from a loss and a claimed gradient to the verdict of every weight.  Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.numerics import plain
from gradcheck.numerics.cell_summary import Figure, summarise
from gradcheck.numerics.examine import Examined, examine
from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import Scheme
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import MIN_JUDGED, Judgement
from gradcheck.numerics.weight_columns import (
    Block,
    WeightColumns,
    columns,
    gradient_columns,
    joined,
    shared_columns,
    step_columns,
)

if TYPE_CHECKING:
    from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray
# What a block of weights becomes as soon as it is examined, so that not all blocks are in memory at once.
Pack = Callable[[WeightColumns], Block]


@dataclass(frozen=True, eq=False)
class CellResult:
    """What a check found.

    weights : the columns of ``errors``; or, of a problem that was examined in blocks, a list of what ``pack`` made of them.
    summary : one value for each column of ``cells``.
    rounding : by how much another computation of the loss and the gradient may differ from this one; not stored.
    """

    weights: WeightColumns | list[Block]
    summary: dict[str, Figure]
    rounding: Rounding | None = None


def check(
    problem: Problem,
    scheme: Scheme,
    eps: Step,
    match_at: float,
    bug_injected: bool = False,
    min_judged: float = MIN_JUDGED,
    accept: float = 0.0,
) -> CellResult:
    """Compare the analytic gradient with the numeric one, weight by weight.

    Raises FloatingPointError where the loss at theta is not finite.  Raises ArithmeticError where the fast losses of a model,
    computed from its structure, differ from its plain loss.
    """
    found = examine(problem, scheme, eps, match_at, np.arange(problem.theta.size), accept)
    return _results(problem, found.one_step(), [eps], bug_injected, min_judged)[0]


def check_steps(
    problem: Problem,
    scheme: Scheme,
    eps: Sequence[Step],
    match_at: float,
    bug_injected: bool = False,
    min_judged: float = MIN_JUDGED,
    pack: Pack | None = None,
    accept: float = 0.0,
) -> list[CellResult]:
    """``check`` at each of several steps, the same to the last bit, in fewer and larger operations.

    Fixed steps share the anchors and the model's work for each weight, which are computed once.  Losses that are measured,
    complex steps and ``auto`` are checked step by step.

    pack : makes something smaller of the columns of a block of weights.  A problem of more than one block is then examined
        block by block, with the same outcome, and its ``weights`` are the list of these.
    """
    if pack is not None and problem.theta.size > BLOCK_WEIGHTS:
        return [_in_blocks(problem, scheme, h, match_at, bug_injected, min_judged, pack, accept) for h in eps]
    if scheme.complex_valued or problem.measured is not None or AUTO in eps:
        return [check(problem, scheme, h, match_at, bug_injected, min_judged, accept) for h in eps]
    found = examine(problem, scheme, np.array(eps), match_at, np.arange(problem.theta.size), accept)
    return _results(problem, found, eps, bug_injected, min_judged)


def _in_blocks(
    problem: Problem,
    scheme: Scheme,
    eps: Step,
    match_at: float,
    bug_injected: bool,
    min_judged: float,
    pack: Pack,
    accept: float,
) -> CellResult:
    """``check`` of a problem with many weights.  Their rows take the most memory, so only one block has them at a time."""
    size, count = problem.theta.size, 1
    packed: list[Block] = []
    judged, value, step = Judgement.empty(size), np.empty(size), np.empty(size)
    for start in range(0, size, BLOCK_WEIGHTS):
        block = np.arange(start, min(start + BLOCK_WEIGHTS, size))
        here = slice(start, start + len(block))
        found = examine(problem, scheme, eps, match_at, block, accept)
        packed.append(pack(columns(problem, block, found.estimate, found.judged, eps)))
        judged.put(start, found.judged)
        value[here], step[here] = found.estimate.value, found.estimate.step
        count += found.n_evals[0] - 1  # every block counts the loss at theta
    count += _compared_with_plain(problem, None, step)
    layout = problem.layout
    names = [n for n, shape in zip(layout.names, layout.shapes, strict=True) for _ in range(math.prod(shape))]
    diagnosis = _diagnosis(problem, value, judged)
    (summary,) = summarise(
        gradient_columns(problem, names),
        value[None],
        judged.one_step(),
        [diagnosis],
        str(problem.theta.dtype),
        bug_injected,
        min_judged,
    )
    known: dict[str, Figure] = {"loss": float(problem.center), "bug_injected": bug_injected, "n_evals": count}
    return CellResult(packed, summary | known, problem.rounding)


def _results(
    problem: Problem, found: Examined, eps: Sequence[Step], bug_injected: bool, min_judged: float
) -> list[CellResult]:
    """The result of each step of a problem that was examined as a whole; ``found`` is (s, m)."""
    shared = shared_columns(problem, np.arange(problem.theta.size))
    weights: list[WeightColumns] = []
    diagnoses: list[Diagnosis | None] = []
    counts: list[int] = []
    for k, h in enumerate(eps):
        one = found.at(k)
        counts.append(one.n_evals[0] + _compared_with_plain(problem, one.evaluated, one.estimate.step))
        weights.append(joined(shared, step_columns(one.estimate, one.judged, h)))
        diagnoses.append(_diagnosis(problem, one.estimate.value, one.judged))
    dtype = str(problem.theta.dtype)
    summaries = summarise(shared, found.estimate.value, found.judged, diagnoses, dtype, bug_injected, min_judged)
    known: dict[str, Figure] = {"loss": float(found.center), "bug_injected": bug_injected}
    return [
        CellResult(rows, summary | known | {"n_evals": count}, problem.rounding)
        for rows, summary, count in zip(weights, summaries, counts, strict=True)
    ]


def _diagnosis(problem: Problem, numeric: Array, judged: Judgement) -> Diagnosis | None:
    """The kind of mistake that explains a wrong gradient; None where no weight is a mismatch."""
    if "mismatch" not in judged.verdict:
        return None
    # most cells have nothing to diagnose, and this import takes 2% of the time of a run of one cell
    from gradcheck.numerics.diagnosis.diagnose import diagnose

    return diagnose(problem, numeric, judged)


def _compared_with_plain(problem: Problem, evaluated: tuple[Array, Array] | None, step: Array) -> int:
    """The evaluations spent on comparing a few fast losses with the plain loss; 0 where there are no fast ones.

    A loss that is measured has no error analysis that says how far both may differ.

    Raises ArithmeticError where they differ.
    """
    if problem.perturbed_losses is None or problem.measured is not None:
        return 0
    plain.require_equal(problem, evaluated, step)
    # one plain loss for each weight that is compared, and one fast loss where the check itself kept none
    return (1 if evaluated is not None else 2) * min(plain.COMPARED, problem.theta.size)
