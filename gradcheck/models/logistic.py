"""Logistic regression with cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.batch import Batch
from gradcheck.models.cross_entropy import (
    LOGIT_LIMIT,
    cross_entropy_beyond,
    cross_entropy_delta_rounding,
    cross_entropy_loss_rounding,
    cross_entropy_total,
    distance_to_limit,
    probability,
)
from gradcheck.models.dense import Dense
from gradcheck.models.lines import CROSS_ENTROPY, Lines
from gradcheck.models.parts import Parts
from gradcheck.target import Binary

Array = np.ndarray


@dataclass
class Logistic(Dense):
    """Mean cross-entropy of a = sigmoid(X W + b) against y in {0, 1}; gradient X^T (a - y) / n.

    ``bias`` is the x0 = 1 column.  Probabilities are clipped to [1e-12, 1 - 1e-12].
    """

    bias: bool = True
    l2: float = 0.0

    @property
    def numbered(self) -> bool:
        return False

    @property
    def target(self) -> Binary:
        return Binary(1)

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, "logistic")

    def total(self, z: Array, y: Array) -> Array:
        return cross_entropy_total(z, y)

    def output_delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(probability(z), y)

    def loss_rounding(self, z: Array, y: Array) -> Array:
        return cross_entropy_loss_rounding(z, y)[:, 0]

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        return cross_entropy_delta_rounding(z, y, sigma, u)

    @property
    def lines(self) -> Lines:
        return CROSS_ENTROPY

    def beyond(self, z: Array, y: Array) -> Array:
        return cross_entropy_beyond(z, y)

    def distance_to_limit(self, z: Array) -> Array:
        return distance_to_limit(z)

    def may_clip(self, z: Array) -> bool:
        return bool(np.abs(z).max(initial=0) > LOGIT_LIMIT)
