"""Attention: a small transformer of which every word sees the words before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import Batch
from gradcheck.models.layers.attention import SelfAttention
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.dense import Activate, Dense
from gradcheck.models.layers.embedding import Embedding, LastStep, Positions, TiedOutput
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.normalization import LayerNorm
from gradcheck.models.layers.residual import Residual
from gradcheck.models.sequence import TokenModel
from gradcheck.models.settings import require_choice, require_whole

Array = np.ndarray


@dataclass
class Attention(TokenModel):
    """Embedding and positions; ``depth`` times x + attention(norm(x)) with ``heads``, then x + dense(g(dense(norm(x)))); a
    dense layer behind the last step or behind each.

    causal : whether no step sees a later one.   units, activation : of the dense layers within a block.
    tied : the output layer uses the embedding's matrix, so that there is an output for each token.
    """

    heads: int = 2
    depth: int = 1
    units: int = 4
    activation: str = "tanh"
    causal: bool = True
    tied: bool = False

    name = "attention"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"tied": (False, True), **TokenModel.choices}

    def layers(self, outputs: int, real: Array | None) -> Chain:
        blocks = [block for k in range(self.depth) for block in self._blocks(3 * k + 1, real)]
        last: list[Layer[Any]] = [LastStep("", real)] if self.output == "last" else []
        number = str(3 * self.depth + 1)
        top: Layer[Any] = TiedOutput(number, self.vocabulary) if self.tied else Dense(number, outputs)
        return Chain("", (Embedding("", self.vocabulary, self.embedding), Positions(), *blocks, *last, top))

    def _blocks(self, first: int, real: Array | None) -> tuple[Residual, Residual]:
        """Attention and dense layers, each with its norm and its shortcut; their layers are ``first``, + 1 and + 2."""
        one, two, three = (str(first + k) for k in range(3))
        look = Residual(one, (LayerNorm(one), SelfAttention(one, self.heads, self.causal, real)))
        within = (LayerNorm(two), Dense(two, self.units), Activate(two, self.activation), Dense(three, self.embedding))
        return look, Residual(two, within)

    def outputs(self, batch: Batch) -> int:
        return self.vocabulary if self.tied else super().outputs(batch)

    def validate(self) -> None:
        for key, value in (("heads", self.heads), ("depth", self.depth), ("units", self.units)):
            require_whole(f"model.{key}", value)
        for key, flag in (("causal", self.causal), ("tied", self.tied)):
            if not isinstance(flag, bool):
                raise ValueError(f"model.{key}={flag}: must be true or false")
        require_choice("model.activation", self.activation, tuple(ACTIVATIONS))
        if self.embedding % self.heads:
            raise ValueError(f"model.heads={self.heads}: must divide model.embedding={self.embedding}")
        if self.tied and self.loss_name != "softmax":
            raise ValueError(
                f"model.tied=true: needs model.loss=softmax, an output for each token; got {self.loss_name}"
            )
        if self.tied and self.n_classes not in (0, self.vocabulary):
            raise ValueError(
                f"model.n_classes={self.n_classes}: must be 0 or model.vocabulary={self.vocabulary} with model.tied=true"
            )
        super().validate()
