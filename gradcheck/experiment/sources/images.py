"""Examples that are images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.batches import as_batch
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.settings import require_count, require_number
from gradcheck.experiment.sources.shipped import Sklearn
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import NoTarget, Target
from gradcheck.numerics.streams import validate_seed

NAMES = ("gaussian", "digits")
DIGITS = (1, 8, 8)
WHITE = 16.0  # the largest number in the digits of scikit-learn


@dataclass
class Images(DataSource):
    """Images of channels x height x width pixels, and targets that depend on them.

    name : ``gaussian`` (independent normal pixels with mean 0 and standard deviation ``scale``; targets as those of
        data=gaussian) or ``digits`` (n of scikit-learn's handwritten digits of 8 x 8 pixels, from 0 to ``scale``, spread
        evenly over the set, in ten classes).
    noise : of the targets, as in data=gaussian; digits have none.
    grid : pixels are rounded to multiples of it, so that pixels and whole windows are equal; 0 leaves them as they are.
    """

    name: str = "gaussian"
    n: int = 12
    channels: int = 1
    height: int = 8
    width: int = 8
    seed: int = 0
    noise: float = 0.1
    scale: float = 1.0
    grid: float = 0.0

    def validate(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"data.name={self.name}: must be one of {', '.join(NAMES)}")
        for key, value in (("n", self.n), ("channels", self.channels), ("height", self.height), ("width", self.width)):
            require_count(f"data.{key}", value)
        validate_seed("data.seed", self.seed)
        require_number("data.noise", self.noise, low=0.0)
        require_number("data.scale", self.scale, low=0.0, strict=True)
        require_number("data.grid", self.grid, low=0.0)
        if self.name == "digits" and self._shape != DIGITS:
            raise ValueError(
                f"data.channels={self.channels}, data.height={self.height}, data.width={self.width}: "
                "must be 1, 8 and 8 for data.name=digits"
            )

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    def size(self, target: Target) -> tuple[int, int, int]:
        return self._rows.size(target)

    def shape(self, target: Target) -> tuple[int, ...]:
        return self._shape

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        try:
            X, y = self._rows.batch(target, np.float64)
        except Meaningless as error:
            raise Meaningless(f"data.name={self.name}: {error}") from None
        if self.name == "digits":
            X = X * (self.scale / WHITE)
        if self.grid:
            X = np.round(X / self.grid) * self.grid
        return as_batch(X.reshape(len(X), *self._shape), y, False, dtype)

    @property
    def _rows(self) -> DataSource:
        """The images as rows of pixels."""
        if self.name == "digits":
            return Sklearn("digits", n=self.n, standardize=False)
        pixels = self.channels * self.height * self.width
        return Gaussian(n=self.n, d=pixels, seed=self.seed, noise=self.noise, scale=self.scale)
