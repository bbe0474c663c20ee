"""Targets of which a sequence has one at each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.errors import Meaningless
from gradcheck.models.target import Classes, Target

Array = np.ndarray


@dataclass(frozen=True)
class PerStep(Target):
    """A target of the kind ``of`` at each step: class labels (n, T), else (n, T, k).  What stands at a padded step is ignored.

    The methods that take or give targets take and give those of a list of steps, one row each, except ``check`` and
    ``example``.
    """

    of: Target = field(default_factory=Classes)

    def __post_init__(self) -> None:
        # what the kind says of itself is true of each step
        object.__setattr__(self, "labels", self.of.labels)
        object.__setattr__(self, "cannot_flip", self.of.cannot_flip)

    @property
    def each(self) -> Target:
        return self.of

    def outputs(self, columns: int) -> int:
        return self.of.outputs(columns)

    @property
    def columns(self) -> int:
        return self.of.columns

    def example(self, outputs: int) -> Array:
        return self.of.example(outputs)[None]

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        return self.of.draw(scores, rng)

    def filled(self, rows: Array, real: Array) -> Array:
        """The targets of a batch from those of its real steps, in the order of ``real`` (n, T); 0 at padded steps."""
        y = np.zeros((*real.shape, *rows.shape[1:]), rows.dtype)
        y[real] = rows
        return y

    def check(self, y: Array, whose: str) -> None:
        wanted = 2 if isinstance(self.of, Classes) else 3
        if y.ndim != wanted:
            raise ValueError(
                f"data.y of shape {y.shape}: {whose} with model.output=all needs a target at each step, as data=sequences "
                "and data=text have; model.output=last needs one a sequence"
            )
        self.of.check(y.reshape(-1, *y.shape[2:]), whose)

    def from_numbers(self, y: Array, key: str) -> NoReturn:
        self._refuse(key)

    def from_labels(self, labels: Array | list[str], key: str) -> NoReturn:
        self._refuse(key)

    def _refuse(self, key: str) -> NoReturn:
        raise Meaningless(
            f"{key}: has one target a sequence, model.output=all needs one at each step: data=sequences and data=text have "
            "them; or model.output=last"
        )

    def encoded(self, y: Array, outputs: int, dtype: DTypeLike) -> Array:
        return self.of.encoded(y, outputs, dtype)

    def flip(self, y: Array, hit: Array, outputs: int, rng: np.random.Generator) -> Array:
        return self.of.flip(y, hit, outputs, rng)

    def without_other(self, y: Array) -> Array:
        return self.of.without_other(y)
