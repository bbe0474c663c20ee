"""A dense net with norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gradcheck.models.dense import require_activation, require_layers
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.dense import Activate, Dense
from gradcheck.models.layers.dropout import Dropout
from gradcheck.models.layers.layer import Layer, Shape
from gradcheck.models.layers.layered import Layered
from gradcheck.models.layers.normalization import BatchNorm, GroupNorm, LayerNorm
from gradcheck.models.settings import require_choice, require_rows

NORMS = ("batch", "layer", "group")


@dataclass
class Norm(Layered):
    """Hidden ``layers``, each with a ``norm`` as in training and an ``activation``, and a dense layer.

    norm : ``batch`` (each unit over the examples), ``layer`` (each example over the units) or ``group`` (over each of
        ``groups`` of them).   bias : whether the dense layers before a norm have one; that before a batch norm has no
        effect on the loss.   epsilon : added to the variance.
    dropout : the share of the units that is dropped behind each activation; which follows from ``dropout_seed``.
    """

    layers: list[int] = field(default_factory=lambda: [6, 4])
    norm: str = "layer"
    groups: int = 2
    epsilon: float = 1e-5
    activation: str = "tanh"
    bias: bool = True
    dropout: float = 0.0
    dropout_seed: int = 0

    name = "norm"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {
        **Layered.choices,
        "norm": ("layer", "batch", "group"),
        "dropout": (0.0, 0.5),
    }

    def validate(self) -> None:
        require_layers(self.layers)
        require_choice("model.norm", self.norm, NORMS)
        require_activation(self.activation)
        if not self.layers:
            raise ValueError("model.layers=[]: must have the width of each hidden layer, one at least")
        super().validate()

    def require_examples(self, shape: Shape) -> None:
        require_rows(self.name, shape)

    def chain(self, outputs: int) -> Chain:
        return Chain("", tuple(self._layers(outputs)))

    def _layers(self, outputs: int) -> Iterator[Layer[Any]]:
        for number, units in enumerate(self.layers, start=1):
            tag = str(number)
            yield Dense(tag, units, self.bias)
            yield self._norm(tag)
            yield Activate(tag, self.activation)
            # compared with 0 alone: the layer says what else is wrong
            if self.dropout != 0:
                yield Dropout(tag, self.dropout, self.dropout_seed)
        yield Dense(str(len(self.layers) + 1), outputs)

    def _norm(self, tag: str) -> Layer[Any]:
        if self.norm == "group":
            return GroupNorm(tag, self.epsilon, self.groups)
        return (BatchNorm if self.norm == "batch" else LayerNorm)(tag, self.epsilon)
