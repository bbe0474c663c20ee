"""Recurrent nets: rnn, gru and lstm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradcheck.models.layers.cells import CELLS
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.dense import Dense
from gradcheck.models.layers.embedding import Embedding, LastStep
from gradcheck.models.layers.layer import Layer
from gradcheck.models.sequence import TokenModel
from gradcheck.models.settings import require_choice, require_whole

Array = np.ndarray


@dataclass
class RecurrentNet(TokenModel):
    """Embedding, a recurrence over time of the kind ``cell``, and a dense layer behind its last step or behind each.

    ``depth`` recurrences stand above one another.  ``lengths``: padded steps are left out; false lets the recurrence run on
    over the padding, whose vectors are 0.
    """

    cell: str = "rnn"
    units: int = 4
    depth: int = 1
    lengths: bool = True

    name = "recurrent"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"cell": tuple(CELLS), **TokenModel.choices}

    def layers(self, outputs: int, real: Array | None) -> Chain:
        cell, known = CELLS[self.cell], real if self.lengths else None
        recurrences: list[Layer[Any]] = [cell(str(k), self.units, known) for k in range(1, self.depth + 1)]
        # behind the recurrence, the last output is that of the last real step
        last: list[Layer[Any]] = [LastStep()] if self.output == "last" else []
        dense = Dense(str(self.depth + 1), outputs)
        return Chain("", (Embedding("", self.vocabulary, self.embedding), *recurrences, *last, dense))

    def validate(self) -> None:
        require_choice("model.cell", self.cell, tuple(CELLS))
        require_whole("model.units", self.units)
        require_whole("model.depth", self.depth)
        if not isinstance(self.lengths, bool):
            raise ValueError(f"model.lengths={self.lengths}: must be true or false")
        super().validate()
