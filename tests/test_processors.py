"""The numerics in another order of summation, which stands for any processor and any BLAS.

The same problem with its examples, its inputs and its hidden units in another order is mathematically equal and rounded
otherwise.  ``python -m tests.processors`` runs this file with fewer instructions of the processor and other numbers of threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from exact import NO_BUG, U
from instances import MANY, WITH_DATA, Instance
from processors import features, settings

from gradcheck.experiment.cell import Cell, check_cells
from gradcheck.experiment.replay import intervals
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import DataSource, Start
from gradcheck.models.target import Target
from gradcheck.numerics.check import CellResult
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO, Step

# where longdouble is float64, such cells are skipped
DTYPES = ("float32", "float64", *(("longdouble",) if U[np.dtype(np.longdouble)] < U[np.dtype(float)] else ()))
STEPS = (AUTO, 1e-4)
# enough examples and units that sums are taken in blocks, which SIMD widths and BLAS kernels choose
SIZES = {"n": 67, "d": 9}


def widened(instance: Instance) -> Instance:
    sizes = SIZES | {"n": max(instance.n, SIZES["n"])}
    return Instance(instance.name, instance.model, outputs=instance.outputs, **sizes)


def problem(instance: Instance, dtype: str, seed: int) -> tuple[np.ndarray, Batch]:
    return instance.theta(dtype, seed=seed), instance.batch(dtype)


def permuted(model: Any, theta: np.ndarray, batch: Batch, seed: int) -> tuple[np.ndarray, Batch, np.ndarray]:
    """The same problem in another order, and where each of its weights stood: the new theta is theta[places]."""
    rng = np.random.default_rng(seed)
    layout = model.layout(batch)
    where = layout.split(np.arange(theta.size))
    rows, inner = rng.permutation(len(batch.X)), rng.permutation(batch.X.shape[1])
    moved = Batch(np.ascontiguousarray(batch.X[rows][:, inner]), batch.y[rows])
    weights = [name for name in layout.names if name[0] == "W"]
    places = {}
    for name in weights:
        # the order of the outputs is that of the labels
        last = name == weights[-1]
        outputs = where[name].shape[1]
        units = np.arange(outputs) if last else rng.permutation(outputs)
        places[name] = where[name][inner][:, units]
        bias = "b" + name[1:]
        if bias in where:
            places[bias] = where[bias][units]
        inner = units
    order = np.concatenate([places[name].ravel() for name in layout.names])
    return theta[order], moved, order


@dataclass
class Examples(DataSource):
    """These examples, whatever is asked for."""

    given: Batch

    def validate(self) -> None: ...

    def size(self, target: Target) -> tuple[int, int, int]:
        raise NotImplementedError

    def batch(self, target: Target, dtype: Any) -> Batch:
        return self.given


@dataclass
class At(Start):
    """These parameters, whatever is asked for."""

    given: np.ndarray

    def validate(self) -> None: ...

    def theta(self, layout: Layout, dtype: Any) -> np.ndarray:
        return self.given


def checked(model: Any, theta: np.ndarray, batch: Batch, scheme: str, steps: Sequence[Step]) -> list[CellResult]:
    """All steps together, as a grid takes them: each has the bits that it would have alone."""
    return check_cells(Cell(model, Examples(batch), At(theta), NO_BUG, SCHEMES[scheme], theta.dtype, 1e-2), steps)


def numbers(result: CellResult, order: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The columns of ``errors``, of a permuted problem in the order of the other one."""
    columns = {name: np.asarray(result.weights[name], float) for name in intervals.NUMBERS}
    if order is None:
        return columns
    back = np.argsort(order)
    return {name: values[back] for name, values in columns.items()}


def furthest(result: CellResult, other: CellResult, order: np.ndarray, eps: Step, dtype: str) -> float:
    """The largest distance of any number of two checks, in bounds."""
    new, old = numbers(result), numbers(other, order)
    auto = np.full(len(order), eps == AUTO)
    ends = intervals.of_weights(new, auto, dtype, result.rounding, old)
    known = [name for name in intervals.NUMBERS if name not in intervals.DERIVED or name == "abs_err"]
    found = [float(ends[name].distance(old[name]).max()) for name in known]
    loss = intervals.of_cell(new, ends, result.summary["loss"], result.rounding)["loss"]
    return max(*found, float(loss.distance(np.array([other.summary["loss"]]))[0]))


def schemes(instance: Instance, dtype: str) -> list[str]:
    found = []
    for name, scheme in SCHEMES.items():
        if not scheme.complex_valued or (dtype != "float32" and instance.model.smooth):
            found.append(name)
    return found


REORDERED = [*WITH_DATA, *MANY[1:4:2]]


def schemes_in_turn(instance: Instance, dtype: str) -> list[str]:
    """Of every instance every scheme, in one dtype after the other: each scheme meets each dtype in a third of them."""
    found = []
    for k, name in enumerate(SCHEMES, REORDERED.index(instance)):
        possible = [one for one in DTYPES if name in schemes(instance, one)]
        if possible and possible[k % len(possible)] == dtype:
            found.append(name)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("instance", REORDERED, ids=str)
def test_another_order_gives_the_same_within_the_bounds_and_accuses_nobody(instance: Instance, dtype: str) -> None:
    wide, some = widened(instance), schemes_in_turn(instance, dtype)
    assert some
    theta, batch = problem(wide, dtype, seed=0)
    other, moved, order = permuted(wide.model, theta, batch, seed=1)
    for scheme in some:
        both = [checked(wide.model, *one, scheme, STEPS) for one in ((theta, batch), (other, moved))]
        for eps, *pair in zip(STEPS, *both, strict=True):
            assert [result.summary["n_mismatch"] for result in pair] == [0, 0], (scheme, eps)
            assert furthest(*pair, order, eps, dtype) <= 1, (scheme, eps)


@pytest.mark.parametrize("dtype", DTYPES[:2])
@pytest.mark.parametrize("instance", WITH_DATA, ids=str)
def test_losses_and_gradients_in_other_orders_differ_by_their_rounding(instance: Instance, dtype: str) -> None:
    """Each of two computations has an error of at most DEVIATIONS standard deviations; half of both together is as likely."""
    wide = widened(instance)
    losses, gradients = [], []
    for seed in range(6):
        theta, batch = problem(wide, dtype, seed)
        other, moved, order = permuted(wide.model, theta, batch, seed)
        rounding = wide.model.rounding(theta, batch)
        apart = float(wide.model.loss(theta, batch)) - float(wide.model.loss(other, moved))
        losses.append(apart / (2**0.5 * rounding.loss))
        apart = wide.model.gradient(theta, batch)[order] - wide.model.gradient(other, moved)
        # a sum of two in turn, each within a unit of the last digit
        least = rounding.gradient + U[np.dtype(dtype)] * np.abs(wide.model.gradient(theta, batch)) + rounding.underflow
        gradients.append(np.abs(apart.astype(float)) / (2**0.5 * least[order]))
    assert np.abs(losses).max() < DEVIATIONS
    assert np.max(gradients) < DEVIATIONS


FAULTS = {
    "a row less": lambda theta, batch: (theta, Batch(batch.X[1:], batch.y[1:])),
    "two inputs exchanged": lambda theta, batch: (theta, Batch(batch.X[:, [1, 0, *range(2, 9)]], batch.y)),
    "a weight": lambda theta, batch: (
        theta * np.where(np.arange(theta.size) == 3, 1.001, 1).astype(theta.dtype),
        batch,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("instance", WITH_DATA, ids=str)
def test_another_problem_lies_beyond_the_bounds(instance: Instance, fault: str) -> None:
    wide = widened(instance)
    theta, batch = problem(wide, "float64", seed=0)
    other, moved, order = permuted(wide.model, *FAULTS[fault](theta, batch), seed=1)
    pair = [checked(wide.model, *one, "central", [1e-5])[0] for one in ((theta, batch), (other, moved))]
    assert furthest(*pair, order, 1e-5, "float64") > 1


def test_what_was_turned_off_is_off() -> None:
    """With NPY_DISABLE_CPU_FEATURES the tests above run without these instructions."""
    off = os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split()
    assert not set(off) & set(features())


def test_every_setting_turns_off_what_this_processor_has() -> None:
    found = settings(["X86_V3", "X86_V4", "AVX512_ICL"])
    assert [s.off for s in found if s.threads == 1] == [
        (),
        ("X86_V4", "AVX512_ICL"),
        ("X86_V3", "X86_V4", "AVX512_ICL"),
    ]
    assert {s.threads for s in found} == {1, 2}
    assert [s.off for s in settings(["AVX2", "FMA3"]) if s.threads == 1] == [(), ("AVX2", "FMA3")]
    assert [s.off for s in settings([])] == [(), ()]
