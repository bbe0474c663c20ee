"""Multilayer perceptron with sigmoid outputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradcheck.batch import Batch
from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.models.cross_entropy import (
    LOGIT_LIMIT,
    cross_entropy_beyond,
    cross_entropy_delta_rounding,
    cross_entropy_loss_rounding,
    cross_entropy_total,
    distance_to_limit,
    probability,
)
from gradcheck.models.dense import Dense, require_activation, require_layers
from gradcheck.models.functions import sigmoid, total
from gradcheck.models.lines import CROSS_ENTROPY, Lines
from gradcheck.models.parts import Parts
from gradcheck.models.rounding import ELEMENTARY, VARIANCE
from gradcheck.models.settings import require_choice
from gradcheck.target import Binary

Array = np.ndarray
LOSSES = ("cross_entropy", "squared_error")


@dataclass
class MLP(Dense):
    """Hidden ``layers`` of one ``activation``, as many sigmoid outputs o as y has columns, averaged over the examples.

    ``cross_entropy``: binary cross-entropy summed over the outputs, output delta o - y.
    ``squared_error``: sum((o - y)**2) / 2, output delta (o - y) o (1 - o).
    """

    layers: list[int] = field(default_factory=lambda: [5, 3])
    activation: str = "tanh"
    # the config calls it model.loss; here that name is the method's
    loss_name: str = field(default="cross_entropy", metadata={"key": "loss"})
    bias: bool = True
    l2: float = 0.0

    @property
    def hidden(self) -> list[int]:
        return self.layers

    @property
    def hidden_activation(self) -> Activation:
        return ACTIVATIONS[self.activation]

    @property
    def target(self) -> Binary:
        return Binary(0, "probabilities" if self.loss_name == "cross_entropy" else "numbers")

    def validate(self) -> None:
        super().validate()
        require_layers(self.layers)
        require_activation(self.activation)
        require_choice("model.loss", self.loss_name, LOSSES)

    def outputs(self, batch: Batch) -> int:
        return batch.y.shape[1]

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, f"mlp with model.loss={self.loss_name}")

    def total(self, z: Array, y: Array) -> Array:
        if self.loss_name == "cross_entropy":
            return cross_entropy_total(z, y)
        r = sigmoid(z) - y
        return total(r * r) / 2

    def output_delta(self, z: Array, y: Array, parts: Parts) -> Array:
        if self.loss_name == "cross_entropy":
            return parts.residual(probability(z), y)
        o = sigmoid(z)
        return parts.residual(o, y) * parts.output_derivative(o)

    def loss_rounding(self, z: Array, y: Array) -> Array:
        if self.loss_name == "cross_entropy":
            sigma = cross_entropy_loss_rounding(z, y)
        else:
            o = sigmoid(z)
            r = o - y
            # an exp, a sum and a quotient; the difference; the square, halved
            sigma_r = np.sqrt(2 * ELEMENTARY * o**2 + VARIANCE * r**2)
            sigma = np.sqrt((r * sigma_r) ** 2 + VARIANCE * (r * r / 2) ** 2)
        return np.sqrt((sigma**2).sum(axis=1))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        if self.loss_name == "cross_entropy":
            return cross_entropy_delta_rounding(z, y, sigma, u)
        o = sigmoid(z)
        slope = o * sigmoid(-z)
        r = o - y
        sigma_r = np.sqrt((slope * sigma) ** 2 + u * u * (2 * ELEMENTARY * o**2 + VARIANCE * r**2))
        # the slope o (1 - o) carries the absolute rounding of 1 - o where o is near 1
        return np.hypot(slope * sigma_r, r * (0.1 * sigma + 3 * u * o))

    @property
    def lines(self) -> Lines | None:
        return CROSS_ENTROPY if self.loss_name == "cross_entropy" else None

    def beyond(self, z: Array, y: Array) -> Array:
        return cross_entropy_beyond(z, y) if self.loss_name == "cross_entropy" else super().beyond(z, y)

    def distance_to_limit(self, z: Array) -> Array:
        return distance_to_limit(z) if self.loss_name == "cross_entropy" else super().distance_to_limit(z)

    def may_clip(self, z: Array) -> bool:
        return bool(np.abs(z).max(initial=0) > LOGIT_LIMIT)
