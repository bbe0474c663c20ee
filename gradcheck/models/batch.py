"""The examples that a model is evaluated on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Batch(NamedTuple):
    """n examples of d features each, and their targets.

    X : (n, d) floating array; rows are examples.  An example that is an image or a sequence keeps its shape: (n, …).
    y : (n, k) floating array of the dtype of X (real or 0/1 targets), or (n,) intp class labels 0 .. K-1.
    """

    X: NDArray[np.floating]
    y: NDArray[np.floating] | NDArray[np.intp]


NO_BATCH = Batch(np.zeros((0, 0)), np.zeros((0, 0)))
"""The batch of a model that has no data, such as a function of theta alone."""
