"""Multilayer perceptron with sigmoid outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import Batch
from gradcheck.models.dense import Dense, require_activation, require_layers
from gradcheck.models.heads import CrossEntropy, Head, SigmoidSquaredError
from gradcheck.models.interfaces import Lacks
from gradcheck.models.net import Net
from gradcheck.models.settings import require_choice
from gradcheck.models.target import Binary

# by the name of the loss: its head, and what its targets may hold beside 0 and 1
HEADS: dict[str, Head] = {"cross_entropy": CrossEntropy(), "squared_error": SigmoidSquaredError()}
TARGETS = {"cross_entropy": Binary(0, "probabilities"), "squared_error": Binary(0, "numbers")}
LOSSES = tuple(HEADS)


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

    name = "mlp"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"layers": ([5, 3], []), "loss_name": LOSSES, **Dense.choices}

    @property
    def net(self) -> Net:
        return Net(HEADS[self.loss_name], tuple(self.layers), ACTIVATIONS[self.activation], self.bias, self.l2)

    @property
    def lacks(self) -> Lacks:
        lacks = super().lacks
        missing = None if isinstance(HEADS[self.loss_name], SigmoidSquaredError) else lacks.output_derivative
        return replace(lacks, hidden=lacks.hidden and f"{lacks.hidden} (model.layers=[])", output_derivative=missing)

    @property
    def target(self) -> Binary:
        return TARGETS[self.loss_name]

    def validate(self) -> None:
        super().validate()
        require_layers(self.layers)
        require_activation(self.activation)
        require_choice("model.loss", self.loss_name, LOSSES)

    def check_batch(self, batch: Batch) -> None:
        self.target.check(batch.y, f"mlp with model.loss={self.loss_name}")
