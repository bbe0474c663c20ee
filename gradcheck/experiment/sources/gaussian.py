"""Generated examples."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.experiment.sources.batches import as_batch, columns_of
from gradcheck.experiment.sources.settings import require_count, require_flag, require_number
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import NoTarget, Target
from gradcheck.numerics.streams import stream, validate_seed


@dataclass
class Gaussian(DataSource):
    """Generated examples: correlated normal features and targets that depend on them.

    Rows of X are normal with mean 0, standard deviation `scale` and correlation `correlation` between any two features.
    Scores are S = X w* + noise e with w* ~ N(0, 1/d), e ~ N(0, 1), one column per output, and the target is

    - real: y = S;
    - binary: y ~ Bernoulli(sigmoid(S / scale)), both values in each column whenever n >= 2;
    - classes: y = argmax of the row of scores, every class present whenever n >= number of classes.

    Labels are made from X / scale, so that `scale` moves X and leaves the labels. w*, X, e and the draws of the labels
    have streams of their own, filled row by row: a larger n keeps the first rows, another `noise` keeps X. (Two
    exceptions: rows relabelled because a class was missing, and `standardize`, which depends on all rows.)

    n, d : number of examples and of features.
    outputs : columns of y, where the model takes any number.
    """

    n: int = 100
    d: int = 5
    seed: int = 0
    noise: float = 0.1
    scale: float = 1.0
    correlation: float = 0.0
    outputs: int = 1
    standardize: bool = False

    def validate(self) -> None:
        for key, value in (("n", self.n), ("d", self.d), ("outputs", self.outputs)):
            require_count(f"data.{key}", value)
        validate_seed("data.seed", self.seed)
        require_number("data.noise", self.noise, low=0.0)
        require_number("data.scale", self.scale, low=0.0, strict=True)
        # the equicorrelation matrix is positive semidefinite exactly on this interval
        require_number("data.correlation", self.correlation, low=-1 / max(self.d - 1, 1), high=1.0)
        require_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        return self.n, self.d, columns_of(self.outputs, target)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        columns = columns_of(self.outputs, target)
        weights_rng, X_rng, noise_rng, label_rng = stream(self.seed, "data").spawn(4)
        # one row of normals per output, so that another output keeps the weights of the first ones
        weights = weights_rng.standard_normal((columns, self.d)).T / math.sqrt(self.d)
        X = _equicorrelated(X_rng.standard_normal((self.n, self.d)), self.correlation)
        noise = self.noise * noise_rng.standard_normal((self.n, columns))
        if target.follows_scale:
            X *= self.scale
        y = target.draw(_product(X, weights) + noise, label_rng)
        if not target.follows_scale and self.scale != 1:
            X *= self.scale
        return as_batch(X, y, self.standardize, dtype)


def _equicorrelated(Z: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """Rows with covariance R = (1 - c) I + c 11^T from standard normal rows Z (n, d): Z R^(1/2).

    The root is a I + b 11^T with a = sqrt(1 - c) and a + d b = sqrt(1 + (d - 1) c); for c = 0 it is the identity.
    """
    d = Z.shape[1]
    if d == 1 or correlation == 0:
        return Z
    a = math.sqrt(1 - correlation)
    b = (math.sqrt(max(0.0, 1 + (d - 1) * correlation)) - a) / d
    mixed: NDArray[np.float64] = a * Z + b * Z.sum(axis=1, keepdims=True)
    return mixed


def _product(X: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """X @ weights by NumPy's own loops: BLAS kernels differ between machines and with the number of rows."""
    product: NDArray[np.float64] = np.einsum("nd,dk->nk", X, weights)
    return product
