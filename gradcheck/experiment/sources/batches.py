"""From examples in float64 to the batch that a model gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.numbers import as_dtype
from gradcheck.models.batch import Batch
from gradcheck.models.target import Classes, Target


def columns_of(outputs: int, target: Target) -> int:
    """The columns of generated scores: ``data.outputs``, or what the target asks for.  Raises Meaningless for others."""
    if target.columns and outputs not in (1, target.columns):
        whose = "class labels (see model.n_classes)" if isinstance(target.each, Classes) else "this model"
        raise Meaningless(f"data.outputs={outputs}: must be {target.columns} for {whose}")
    return target.outputs(outputs)


def as_batch(X: np.ndarray, y: np.ndarray, standardize: bool, dtype: DTypeLike) -> Batch:
    """Examples in float64 as a batch of the dtype; class labels stay integers.  Raises ValueError for too large numbers."""
    if standardize:
        X = standardized(X)
    return Batch(as_dtype("data", X, dtype), y if y.dtype.kind == "i" else as_dtype("data", y, dtype))


def standardized(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of X (n, d) with mean 0 and standard deviation 1: ``(x - mean) / std``, std with divisor n.

    A constant column has no deviation to divide by and becomes 0.
    """
    columns = np.ascontiguousarray(X.T)  # a sum along the contiguous axis is pairwise
    constant = columns.min(axis=1) == columns.max(axis=1)
    centred = columns - columns.mean(axis=1, keepdims=True)
    centred[constant] = 0.0
    # squares of the centred column over its largest entry neither overflow nor vanish
    peak = np.abs(centred).max(axis=1, keepdims=True)
    peak[peak == 0.0] = 1.0
    centred /= peak
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    deviation[deviation == 0.0] = 1.0
    return np.ascontiguousarray((centred / deviation).T)
