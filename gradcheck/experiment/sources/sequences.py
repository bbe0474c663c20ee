"""Generated sequences of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.experiment.sources.batches import as_batch, columns_of
from gradcheck.experiment.sources.settings import require_count, require_number
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers.embedding import PADDING
from gradcheck.models.step_target import PerStep
from gradcheck.models.target import NoTarget, Target
from gradcheck.numerics.streams import stream, validate_seed

FORGET = 0.5  # how much less a token counts a step later


@dataclass
class Sequences(DataSource):
    """Generated sequences of tokens, and targets that depend on them.

    Tokens are 1 .. vocabulary - 1, token k with a probability in proportion to 1 / k, so that some occur several times.
    Sequences have from half of ``length`` steps to all of it: the first has all of it, the second less. Token 0 fills them
    up at their end. The score of a step is the sum of the weights of the tokens up to it, each halved for every step that
    it lies back, plus noise; targets are made of the scores as those of data=gaussian are.

    n : number of sequences.   length : number of steps, padded ones included.
    vocabulary : number of tokens, the padding included.
    outputs : columns of y, where the model takes any number.
    """

    n: int = 6
    length: int = 5
    vocabulary: int = 8
    seed: int = 0
    noise: float = 0.1
    outputs: int = 1

    def validate(self) -> None:
        for key, value in (("n", self.n), ("length", self.length), ("outputs", self.outputs)):
            require_count(f"data.{key}", value)
        require_count("data.vocabulary", self.vocabulary)
        if self.vocabulary < 2:
            raise ValueError(f"data.vocabulary={self.vocabulary}: must be >= 2, token 0 is padding")
        validate_seed("data.seed", self.seed)
        require_number("data.noise", self.noise, low=0.0)

    def size(self, target: Target) -> tuple[int, int, int]:
        return self.n, self.length, columns_of(self.outputs, target)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        weights_rng, token_rng, length_rng, noise_rng, label_rng = stream(self.seed, "data").spawn(5)
        columns = columns_of(self.outputs, target)
        tokens = self._tokens(token_rng, length_rng)
        real = tokens != PADDING
        scores = self._scores(tokens, weights_rng.standard_normal((columns, self.vocabulary)).T)
        scores += self.noise * noise_rng.standard_normal(scores.shape)
        if isinstance(target, PerStep):
            y = target.filled(target.draw(scores[real], label_rng), real)
        else:
            y = target.draw(scores[np.arange(self.n), real.sum(axis=1) - 1], label_rng)
        return as_batch(tokens.astype(np.float64), y, False, dtype)

    def _tokens(self, token_rng: np.random.Generator, length_rng: np.random.Generator) -> NDArray[np.intp]:
        """Row by row, so that a larger n keeps the first sequences."""
        share = np.cumsum(1 / np.arange(1, self.vocabulary))
        drawn = np.searchsorted(share, share[-1] * token_rng.random((self.n, self.length)), side="right") + 1
        lengths = length_rng.integers((self.length + 1) // 2, self.length + 1, size=self.n)
        lengths[0] = self.length
        lengths[1:2] = np.minimum(lengths[1:2], max(self.length - 1, 1))
        tokens: NDArray[np.intp] = np.where(np.arange(self.length) < lengths[:, None], drawn, PADDING)
        return tokens

    @staticmethod
    def _scores(tokens: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, T, columns)."""
        scores = weights[tokens]
        for t in range(1, tokens.shape[1]):
            scores[:, t] += FORGET * scores[:, t - 1]
        return scores
