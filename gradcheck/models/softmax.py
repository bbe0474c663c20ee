"""Softmax classifier, with or without hidden layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import Batch
from gradcheck.models.dense import Dense, require_activation, require_layers
from gradcheck.models.heads import SoftmaxCrossEntropy
from gradcheck.models.interfaces import Lacks
from gradcheck.models.net import Net
from gradcheck.models.target import Classes


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

    name = "softmax"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"layers": ([], [5]), **Dense.choices}

    @property
    def net(self) -> Net:
        head = SoftmaxCrossEntropy(self.n_classes)
        return Net(head, tuple(self.layers), ACTIVATIONS[self.activation], self.bias, self.l2)

    @property
    def lacks(self) -> Lacks:
        lacks = super().lacks
        return replace(lacks, hidden=lacks.hidden and f"{lacks.hidden} (model.layers=[])")

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

    def sized(self, batch: Batch) -> Softmax:
        return replace(self, n_classes=self.net.head.outputs(batch.y))
