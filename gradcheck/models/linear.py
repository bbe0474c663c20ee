"""Linear regression with squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.batch import Batch
from gradcheck.models.dense import Dense
from gradcheck.models.functions import total
from gradcheck.models.lines import SQUARED, Lines
from gradcheck.models.parts import Parts
from gradcheck.models.rounding import VARIANCE, binade
from gradcheck.models.settings import require_choice
from gradcheck.target import Real

Array = np.ndarray
REDUCTIONS = ("mean", "sum", "half_sum", "half_mean")


@dataclass
class Linear(Dense):
    """Squared error of the residual r = X W + b - y: sum(r**2), times 1/2 for ``half_*``, over n for ``*mean``.

    Gradient X^T r times 2 (1 for ``half_*``), over n for ``*mean``.  ``bias`` is the x0 = 1 column.
    """

    reduction: str = "mean"
    bias: bool = True
    l2: float = 0.0

    @property
    def numbered(self) -> bool:
        return False

    @property
    def target(self) -> Real:
        return Real(1)

    @property
    def averaged(self) -> bool:
        return self.reduction in ("mean", "half_mean")

    @property
    def factor(self) -> float:
        return 0.5 if self.reduction.startswith("half") else 1.0

    def validate(self) -> None:
        super().validate()
        require_choice("model.reduction", self.reduction, REDUCTIONS)

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, "linear")

    def total(self, z: Array, y: Array) -> Array:
        r = z - y
        return total(r * r)

    def output_delta(self, z: Array, y: Array, parts: Parts) -> Array:
        r = parts.residual(z, y)
        return r if self.factor == 0.5 else 2 * r

    def loss_rounding(self, z: Array, y: Array) -> Array:
        r = z - y
        sigma_r = np.sqrt(VARIANCE * binade(r) ** 2)
        sigma = np.sqrt((2 * r * sigma_r) ** 2 + VARIANCE * binade(r * r) ** 2)
        return sigma[:, 0] * self.factor

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        return np.sqrt(sigma**2 + VARIANCE * (u * binade(z - y)) ** 2) * 2 * self.factor

    @property
    def lines(self) -> Lines:
        return SQUARED

    def scale_of_z(self, z: Array, y: Array) -> float:
        # a quadratic loss has no scale of its own; beyond many residuals the loss only grows, and its noise with it
        size = 100 * float(np.sqrt(np.mean((z - y) ** 2)))
        return max(size, float(np.abs(y).max(initial=0.0)), float(np.abs(z).max(initial=0.0))) or 1.0
