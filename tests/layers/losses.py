"""Losses as functions of the output: the value, and the gradient by the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from layers.attention import softmax
from layers.base import Array


@dataclass
class SoftmaxCrossEntropy:
    """The mean over examples of -log softmax(z)_y, for z (n, classes) or (n, time, classes) and labels y."""

    labels: Array

    def __call__(self, z: Array) -> tuple[float, Array]:
        """The loss and its gradient (softmax - onehot) / n."""
        rows, labels = z.reshape(-1, z.shape[-1]), self.labels.reshape(-1)
        p = softmax(rows)
        picked = np.arange(len(rows)), labels
        loss = np.mean(
            np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1)) + rows.max(axis=1) - rows[picked]
        )
        dz = p.copy()
        dz[picked] -= 1
        return float(loss), (dz / len(rows)).reshape(z.shape)


@dataclass
class SquaredLoss:
    """sum (z - y)^2 / 2n over n examples."""

    target: Array

    def __call__(self, z: Array) -> tuple[float, Array]:
        """The loss and its gradient (z - y) / n."""
        apart = z - self.target
        return float((apart**2).sum() / (2 * len(z))), apart / len(z)
