"""Examples written in the config itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.experiment.sources.batches import as_batch
from gradcheck.experiment.sources.settings import require_flag
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import DEFAULT_CLASSES, NoTarget, Target


@dataclass
class Values(DataSource):
    """Examples written in the config itself.

    X : n rows of d numbers.
    y : n numbers, or n rows of k numbers; class labels are integers 0 .. K-1, one a row.
    """

    X: Any = None
    y: Any = None
    standardize: bool = False

    def validate(self) -> None:
        X = _finite("data.X", self.X)
        y = _finite("data.y", self.y)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"data.X: has the shape {X.shape}, must be a list of rows of equal length (n, d)")
        if y.ndim not in (1, 2) or 0 in y.shape:
            raise ValueError(f"data.y: has the shape {y.shape}, must be a list of n numbers or of n rows")
        if len(X) != len(y):
            raise ValueError(f"data.y: has {len(y)} rows, data.X has {len(X)}: must be equally many")
        require_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        n, d = _finite("data.X", self.X).shape
        return n, d, target.outputs(DEFAULT_CLASSES)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        self.validate()
        X, y = _finite("data.X", self.X), _finite("data.y", self.y)
        return as_batch(X, target.from_numbers(y.reshape(len(y), -1), "data.y"), self.standardize, dtype)


def _finite(key: str, values: object) -> NDArray[np.float64]:
    if values is None:
        raise ValueError(f"{key}: must be given, a list of numbers")
    try:
        raw = np.asarray(values)
    except ValueError:
        raise ValueError(f"{key}: its rows have different lengths, must be rectangular") from None
    if raw.size and raw.dtype.kind not in "biuf":
        raise ValueError(f"{key}: must hold numbers only")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{key}: holds {array[~np.isfinite(array)][0]}, must hold finite numbers only")
    return array
