"""Logistic regression with cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.models.dense import Dense
from gradcheck.models.heads import CrossEntropy
from gradcheck.models.net import Net
from gradcheck.models.target import Binary


@dataclass
class Logistic(Dense):
    """Mean cross-entropy of a = sigmoid(X W + b) against y in {0, 1}; gradient X^T (a - y) / n.

    ``bias`` is the x0 = 1 column.  Probabilities are clipped to [1e-12, 1 - 1e-12].
    """

    bias: bool = True
    l2: float = 0.0

    name = "logistic"

    @property
    def net(self) -> Net:
        return Net(CrossEntropy(), bias=self.bias, l2=self.l2, numbered=False)

    @property
    def target(self) -> Binary:
        return Binary(1)
