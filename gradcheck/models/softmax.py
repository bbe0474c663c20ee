"""Softmax classifier, with or without hidden layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gradcheck.batch import Batch
from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.models.cross_entropy import PROBABILITY_FLOOR
from gradcheck.models.dense import Dense, require_activation, require_layers
from gradcheck.models.functions import clip, log_softmax, softmax
from gradcheck.models.parts import Parts
from gradcheck.models.rounding import ELEMENTARY, VARIANCE
from gradcheck.target import Classes

Array = np.ndarray
LOG_FLOOR = math.log(PROBABILITY_FLOOR)
LOG_CEILING = math.log1p(-PROBABILITY_FLOOR)


@dataclass
class Softmax(Dense):
    """Mean cross-entropy -log p_iy of p = softmax(z) against class labels y; output delta p - onehot(y).

    ``n_classes`` 0 takes the classes from the data (3 where data are generated).  The probability of the true class is
    clipped to [1e-12, 1 - 1e-12].
    """

    layers: list[int] = field(default_factory=list)
    activation: str = "tanh"
    n_classes: int = 0
    bias: bool = True
    l2: float = 0.0

    @property
    def hidden(self) -> list[int]:
        return self.layers

    @property
    def hidden_activation(self) -> Activation:
        return ACTIVATIONS[self.activation]

    @property
    def target(self) -> Classes:
        return Classes(self.n_classes)

    def validate(self) -> None:
        super().validate()
        require_layers(self.layers)
        require_activation(self.activation)
        n = self.n_classes
        if isinstance(n, bool) or not isinstance(n, int) or n < 0 or n == 1:
            raise ValueError(f"model.n_classes={n}: must be a whole number >= 2, or 0 to take it from the data")

    def outputs(self, batch: Batch) -> int:
        return self.n_classes or int(batch.y.max(initial=1)) + 1

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, "softmax")

    def total(self, z: Array, y: Array) -> Array:
        log_p = log_softmax(z)[..., np.arange(len(y)), y]
        # picking the classes of a stack leaves the examples strided: made contiguous, NumPy sums them pairwise
        return -np.ascontiguousarray(clip(log_p, LOG_FLOOR, LOG_CEILING)).sum(axis=-1)

    def output_delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(parts.probabilities(z), np.eye(z.shape[1], dtype=z.dtype)[y])

    def loss_rounding(self, z: Array, y: Array) -> Array:
        p = softmax(z)
        shifted = z - z.max(axis=1, keepdims=True)
        # z minus its row maximum is rounded once; so are each exp but that of 0, each partial sum, the log and the difference
        sigma = np.sqrt(VARIANCE * shifted**2)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        log_p = shifted[np.arange(len(y)), y] - log_sum
        propagated = (((p - np.eye(z.shape[1])[y]) * sigma) ** 2).sum(axis=1)
        exps = ELEMENTARY * (np.where(shifted < 0, p, 0.0) ** 2).sum(axis=1)
        sums = VARIANCE * (1 + z.shape[1] / 3 + log_p**2)
        return np.sqrt(propagated + (exps + sums + ELEMENTARY * log_sum**2))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        p = softmax(z)
        shifted = z - z.max(axis=1, keepdims=True)
        own = p * np.sqrt(sigma**2 + VARIANCE * (u * shifted) ** 2)
        spread = np.sqrt((own**2).sum(axis=1, keepdims=True))
        return np.sqrt(own**2 + (p * spread) ** 2 + (2 * u * p) ** 2 + (u * (p - np.eye(z.shape[1])[y])) ** 2)

    def beyond(self, z: Array, y: Array) -> Array:
        log_p = log_softmax(z)[..., np.arange(len(y)), y]
        return np.maximum(LOG_FLOOR - log_p, log_p - LOG_CEILING)[..., None]

    def may_clip(self, z: Array) -> bool:
        # a probability below 1e-12, or all others together below it, needs logits that far apart
        return bool((z.max(axis=-1, initial=0) - z.min(axis=-1, initial=0)).max(initial=0) > -LOG_FLOOR - 2)
