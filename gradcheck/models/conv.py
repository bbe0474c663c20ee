"""A convolutional net."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gradcheck.models.dense import require_activation
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.convolution import Conv as Convolution
from gradcheck.models.layers.dense import Activate, Dense, Flatten
from gradcheck.models.layers.dropout import Dropout
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.layered import Layered
from gradcheck.models.layers.pooling import AveragePool, MaxPool
from gradcheck.models.settings import require_choice

POOLS = {"max": MaxPool, "average": AveragePool}
POOL_NAMES = (*POOLS, "none")


@dataclass
class Conv(Layered):
    """Convolutions of ``kernel`` x ``kernel`` pixels, each with its ``activation`` and a ``pool``, and a dense layer.

    filters : of each convolution, from the input up.   stride, padding, dilation : of all of them.
    pool : ``max``, ``average`` or ``none`` behind each, with windows of ``pool_size`` x ``pool_size`` pixels that are
        ``pool_stride`` apart (0: the size, so that none overlap).
    dropout : the share of the entries that is dropped before the dense layer; which follows from ``dropout_seed``.
    """

    filters: list[int] = field(default_factory=lambda: [2, 2])
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    pool: str = "max"
    pool_size: int = 2
    pool_stride: int = 0
    activation: str = "tanh"
    dropout: float = 0.0
    dropout_seed: int = 0

    name = "conv"
    suits = "images"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {
        **Layered.choices,
        "pool": POOL_NAMES,
        "dropout": (0.0, 0.5),
    }

    def validate(self) -> None:
        require_choice("model.pool", self.pool, POOL_NAMES)
        require_activation(self.activation)
        if not self.filters:
            raise ValueError("model.filters=[]: must have a number of filters for each convolution, one at least")
        super().validate()

    def chain(self, outputs: int) -> Chain:
        return Chain("", tuple(self._layers(outputs)))

    def _layers(self, outputs: int) -> Iterator[Layer[Any]]:
        for number, filters in enumerate(self.filters, start=1):
            tag = str(number)
            yield Convolution(tag, filters, self.kernel, self.stride, self.padding, self.dilation)
            yield Activate(tag, self.activation)
            if self.pool != "none":
                yield POOLS[self.pool](tag, self.pool_size, self.pool_stride)
        last = str(len(self.filters) + 1)
        yield Flatten()
        # compared with 0 alone: the layer says what else is wrong
        if self.dropout != 0:
            yield Dropout(last, self.dropout, self.dropout_seed)
        yield Dense(last, outputs)
