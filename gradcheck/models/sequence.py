"""What the models of sequences of tokens share: tokens, padding, and a target for a sequence or for each of its steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradcheck.errors import Meaningless
from gradcheck.models.batch import Batch
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.embedding import PADDING
from gradcheck.models.layers.layer import Shape
from gradcheck.models.layers.layered import LOSSES, Layered, Rows
from gradcheck.models.settings import require_choice, require_whole
from gradcheck.models.step_target import PerStep
from gradcheck.models.target import Target

Array = np.ndarray
OUTPUTS = ("last", "all")


@dataclass
class TokenModel(Layered):
    """Base of the models whose examples are sequences of tokens: whole numbers, of which 0 is padding at the end.

    vocabulary : how many tokens there are, the padding with them.   embedding : numbers in the vector of a token.
    output : ``last``: one output a sequence, at its last real step; ``all``: one at each real step, over which the mean is
        taken.
    """

    vocabulary: int = 8
    embedding: int = 4
    output: str = "last"

    suits = "sequences"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"output": OUTPUTS, "loss_name": LOSSES}

    @abstractmethod
    def layers(self, outputs: int, real: Array | None) -> Chain:
        """The layers, with so many outputs, where ``real`` (n, T) says which steps are no padding; None for all."""

    def chain(self, outputs: int) -> Chain:
        return self.layers(outputs, None)

    def built(self, batch: Batch) -> Chain:
        return self.layers(self.outputs(batch), batch.X != PADDING)

    def validate(self) -> None:
        require_whole("model.vocabulary", self.vocabulary, 2)
        require_whole("model.embedding", self.embedding)
        require_choice("model.output", self.output, OUTPUTS)
        super().validate()

    @property
    def target(self) -> Target:
        target = super().target
        return PerStep(target.size, target) if self.output == "all" else target

    def outputs(self, batch: Batch) -> int:
        # with those of padded steps, so that the number does not depend on which are padded
        return self.head.outputs(batch.y if self.output == "last" else batch.y.reshape(-1, *batch.y.shape[2:]))

    def rows(self, z: Array, batch: Batch) -> Rows:
        return Rows(z if self.output == "last" else z[batch.X != PADDING], self.targets(batch))

    def unrows(self, delta: Array, z: Array, batch: Batch) -> Array:
        if self.output == "last":
            return delta
        whole = np.zeros(z.shape, delta.dtype)
        whole[batch.X != PADDING] = delta
        return whole

    def targets(self, batch: Batch) -> Array:
        return batch.y if self.output == "last" else batch.y[batch.X != PADDING]

    def require_examples(self, shape: Shape) -> None:
        if len(shape) != 1:
            raise Meaningless(f"data: {self._wanted}; these examples have the shape {shape}")

    @property
    def _wanted(self) -> str:
        return f"model={self.name} takes tokens, whole numbers 0, 1, ..., such as those of data=sequences and data=text"

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError or Meaningless unless the examples are tokens and the targets what the model learns from."""
        self.require_examples(batch.X.shape[1:])
        self._check_tokens(batch.X)
        super().check_batch(batch)

    def _check_tokens(self, tokens: Array) -> None:
        outside = tokens[(tokens != np.round(tokens)) | (tokens < 0)]
        if outside.size:
            raise Meaningless(f"data.X={float(outside[0]):g}: {self._wanted}")
        beyond = tokens[tokens >= self.vocabulary]
        if beyond.size:
            raise ValueError(
                f"data.X={float(beyond[0]):g}: {self.name} needs tokens below model.vocabulary={self.vocabulary}; "
                f"take model.vocabulary={int(tokens.max()) + 1}"
            )
        real = tokens != PADDING
        if not real[:, 0].all() or (real[:, 1:] > real[:, :-1]).any():
            raise ValueError(
                "data.X=0: token 0 is padding, which fills a sequence up at its end; a sequence begins with another token "
                "and has none behind the padding"
            )
