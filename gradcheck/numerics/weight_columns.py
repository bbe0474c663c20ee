"""The columns of ``errors`` that a check fills: one entry for each weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypedDict

import numpy as np

from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.steps import AUTO, Step
from gradcheck.numerics.verdict import Judgement

Array = np.ndarray


class GradientColumns(TypedDict):
    """The gradient under test: parameter, index into theta, value, and the value before the bug (None: not known)."""

    param: list[str]
    flat_index: Array
    analytic: Array
    correct: Array | None


class SharedColumns(GradientColumns):
    """The columns that are the same at every step: the gradient under test, and the weights themselves."""

    position: list[list[int]]
    weight: Array


class StepColumns(TypedDict):
    """The columns of one step: the numeric gradient, its bounds, and the verdicts."""

    step: Array
    step_rule: list[str]
    numeric: Array
    abs_err: Array
    rel_err: Array
    truncation: Array
    roundoff: Array
    bound: Array
    resolution: Array
    verdict: list[str]
    reason: list[str | None]


class WeightColumns(SharedColumns, StepColumns):
    """All columns of some weights; real numbers are float64."""


class Block(Protocol):
    """The columns of a block of weights in less memory."""

    @property
    def size(self) -> int:
        """How many weights."""

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why weights could not be judged, and how many."""


def columns(problem: Problem, index: Array, estimate: Estimate, judged: Judgement, eps: Step) -> WeightColumns:
    """The columns of the weights ``index``, which were examined at the step ``eps``."""
    return joined(shared_columns(problem, index), step_columns(estimate, judged, eps))


def joined(shared: SharedColumns, step: StepColumns) -> WeightColumns:
    """Both kinds of columns side by side."""
    return {**shared, **step}


def gradient_columns(problem: Problem, names: list[str]) -> GradientColumns:
    """The gradient under test of all weights; ``names`` has the parameter of each."""
    correct = None if problem.correct is None else problem.correct.astype(np.float64)
    return {
        "param": names,
        "flat_index": np.arange(problem.theta.size),
        "analytic": problem.analytic.astype(np.float64),
        "correct": correct,
    }


def shared_columns(problem: Problem, index: Array) -> SharedColumns:
    """The columns of the weights ``index`` that are the same at every step."""
    names, positions = problem.layout.columns(index)
    return {
        "param": names,
        "position": positions,
        "flat_index": index,
        "weight": problem.theta[index].astype(np.float64),
        "analytic": problem.analytic[index].astype(np.float64),
        "correct": None if problem.correct is None else problem.correct[index].astype(np.float64),
    }


def step_columns(estimate: Estimate, judged: Judgement, eps: Step) -> StepColumns:
    """The columns of one step, from estimates and verdicts (m,)."""
    return {
        "step": estimate.step,
        "step_rule": ["auto" if eps == AUTO else "fixed"] * len(estimate.step),
        "numeric": estimate.value,
        "abs_err": judged.abs_err,
        "rel_err": judged.rel_err,
        "truncation": judged.truncation,
        "roundoff": judged.roundoff,
        "bound": judged.bound,
        "resolution": judged.resolution,
        "verdict": judged.verdict.tolist(),
        "reason": judged.reason.tolist(),
    }


def judgement_of(table: Mapping[str, object]) -> Judgement:
    """The verdicts that columns hold: those of ``StepColumns``, others are ignored."""
    figures = ("abs_err", "rel_err", "truncation", "roundoff", "bound", "resolution")
    words = ("verdict", "reason")
    return Judgement(
        *(np.asarray(table[name], dtype=np.float64) for name in figures),
        *(np.asarray(table[name], dtype=object) for name in words),
    )
