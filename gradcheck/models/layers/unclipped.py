"""Heads whose loss is computed from z itself and not clipped: the gradient is that of the loss however large z is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.models.functions import log_softmax, sigmoid, softplus, total
from gradcheck.models.heads import CrossEntropy, SoftmaxCrossEntropy
from gradcheck.models.parts import Parts

Array = np.ndarray


class LogitCrossEntropy(CrossEntropy):
    """log(1 + exp(z)) - y z, summed over the outputs; delta sigmoid(z) - y."""

    def total(self, z: Array, y: Array) -> Array:
        return total(softplus(z) - y * z)

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(sigmoid(z), y)


@dataclass(frozen=True)
class LogSoftmax(SoftmaxCrossEntropy):
    """-log softmax(z)_y; delta softmax(z) - onehot(y)."""

    def total(self, z: Array, y: Array) -> Array:
        summed: Array = log_softmax(z)[np.arange(len(y)), y].sum()
        return -summed
