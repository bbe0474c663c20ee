"""The data sets that scikit-learn ships."""

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources.batches import as_batch
from gradcheck.experiment.sources.settings import require_count, require_flag
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import DEFAULT_CLASSES, NoTarget, Target

_SKLEARN = ("breast_cancer", "diabetes", "iris", "wine", "digits")
_REGRESSION = ("diabetes",)


@dataclass
class Sklearn(DataSource):
    """A real data set that scikit-learn ships (nothing is downloaded).

    breast_cancer (569 x 30, two classes), diabetes (442 x 10, regression), iris (150 x 4, three classes), wine (178 x
    13, three classes), digits (1797 x 64, ten classes). A regression model takes class numbers as numbers; a model with
    any number of 0/1 outputs takes three or more classes one-hot.

    n : take n rows, spread evenly over the set (iris and wine are sorted by class).
    standardize : features have very different units, so this is the default here.
    """

    name: str = "???"
    n: int | None = None
    standardize: bool = True

    def validate(self) -> None:
        if self.name not in _SKLEARN:
            raise ValueError(f"data.name={self.name}: must be one of {', '.join(_SKLEARN)}")
        if self.n is not None:
            require_count("data.n", self.n)
        require_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        n, d = load(self.name)[0].shape
        return self.n or n, d, target.outputs(DEFAULT_CLASSES)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        key = f"data.name={self.name}"
        X, labels = load(self.name)
        if self.name in _REGRESSION and target.labels:
            raise Meaningless(f"{key}: has a real target, this model needs classes")
        y = target.from_labels(labels, key)
        if self.n is not None:
            if self.n > len(X):
                raise ValueError(f"data.n={self.n}: {self.name} has {len(X)} rows")
            rows = np.arange(self.n) * len(X) // self.n
            X, y = X[rows], y[rows]
        return as_batch(X, y, self.standardize, dtype)


@lru_cache(maxsize=5)  # a sweep asks for the same set for every cell
def load(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (n, d) and targets (n,) of a set, read-only.  Raises ValueError where scikit-learn is not installed."""
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError:
        raise ValueError(
            f"data.name={name}: needs scikit-learn, which is not installed: pip install 'gradcheck[sklearn]'"
        ) from None
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X, y = np.array(X, dtype=np.float64), np.array(y, dtype=np.float64)
    X.flags.writeable = y.flags.writeable = False  # shared between calls
    return X, y
