"""True derivatives and counted evaluations, for the tests of the numerics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.experiment.cell import Cell, check_cell
from gradcheck.experiment.sources.data import NoData
from gradcheck.experiment.sources.init import StartValues as Weights
from gradcheck.experiment.sources.values import Values
from gradcheck.models import OneD
from gradcheck.models.batch import Batch
from gradcheck.numerics.auto import auto
from gradcheck.numerics.bounds import fixed
from gradcheck.numerics.check import CellResult
from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import Estimate, Probe
from gradcheck.numerics.schemes import SCHEMES, Scheme, losses_at
from gradcheck.numerics.steps import AUTO, Step

LONG = np.longdouble
U = {np.dtype(t): float(np.finfo(t).eps) / 2 for t in (np.float32, np.float64, LONG)}
EXTENDED = pytest.mark.skipif(U[np.dtype(LONG)] == U[np.dtype(float)], reason="longdouble is float64 here")
NO_BUG = SimpleNamespace(name="none")
REAL = [s for s in SCHEMES.values() if not s.complex_valued]


def extended(batch: Batch) -> Batch:
    """The same data in longdouble; labels stay labels."""
    return Batch(batch.X.astype(LONG), batch.y if batch.y.dtype.kind in "iu" else batch.y.astype(LONG))


def complex_step(
    loss: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, index: np.ndarray, h: np.ndarray
) -> np.ndarray:
    """Im loss(theta + i h e_j) / h for each weight of ``index``; (m,), theta's dtype."""
    points = theta[index] + 1j * h.astype(theta.dtype)
    return losses_at(loss, theta, index, points[:, None])[:, 0].imag / h.astype(theta.dtype)


def derivative(model: Any, theta: np.ndarray, batch: Batch) -> np.ndarray:
    """The derivative of ``model.loss``, (size,) longdouble: complex step, which subtracts nothing, in longdouble.

    11 bits more than float64 has.  ``abs`` has no complex derivative: its own is exact.
    """
    wide, batch = theta.astype(LONG), extended(batch)
    if isinstance(model, OneD) and not model.smooth:
        return model.gradient(wide, batch)
    index = np.arange(theta.size)
    return complex_step(lambda t: model.loss(t, batch), wide, index, np.full(theta.size, 1e-100))


@dataclass
class Neighbourhood:
    """A model's loss around theta; ``count`` is the number of evaluations that were asked for."""

    model: Any
    theta: np.ndarray
    batch: Batch
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.index = np.arange(self.theta.size)
        self.perturbation = self.model.perturbation(self.theta, self.batch)
        self.rounding = self.model.rounding(self.theta, self.batch)

    @property
    def probe(self) -> Probe:
        center = self.model.loss(self.theta, self.batch)
        crossings = None if self.model.smooth else self.perturbation.crossings
        return Probe(self.theta, center, self._evaluate, self._derivative, self.rounding, crossings)

    def _evaluate(self, index: np.ndarray, points: np.ndarray) -> Evaluations:
        self.count += points.size
        losses, deviations = self.perturbation.losses(index, points)
        return Evaluations(losses, deviations)

    def _derivative(self, index: np.ndarray, h: np.ndarray) -> np.ndarray:
        self.count += len(index)
        return complex_step(lambda t: self.model.loss(t, self.batch), self.theta, index, h)

    def estimate(self, scheme: Scheme, eps: float | None, index: np.ndarray | None = None) -> Estimate:
        """Estimates of the weights of ``index`` (all) at a step, or at their own."""
        index = self.index if index is None else index
        with np.errstate(all="ignore"):
            return auto(self.probe, scheme, index) if eps is None else fixed(self.probe, scheme, eps, index)


def bound(estimate: Estimate) -> np.ndarray:
    """Truncation and roundoff of a numeric derivative, (m,)."""
    return estimate.truncation + estimate.roundoff


def error(estimate: Estimate, truth: np.ndarray) -> np.ndarray:
    """|numeric derivative - truth|, (m,); the subtraction in longdouble."""
    return np.abs(estimate.value.astype(LONG) - truth).astype(float)


def cell(
    model: Any,
    data: Any = None,
    init: Any = None,
    *,
    eps: Step | None = None,
    scheme: str = "central",
    dtype: Any = float,
    bug: Any = NO_BUG,
    match_at: float = 1e-2,
    accept: float = 0.0,
) -> CellResult:
    """The check of one cell; a dict is parameters by name, a list of two is X and y, no step is ``auto``."""
    data = Values(*data) if isinstance(data, list) else data or NoData()
    init = Weights(init) if isinstance(init, dict) else init
    checked = Cell(model, data, init, bug, SCHEMES[scheme], np.dtype(dtype), match_at, accept=accept)
    return check_cell(checked, AUTO if eps is None else eps)
