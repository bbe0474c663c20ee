"""Numbers in float64, cast to the dtype of a cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike


def as_dtype(key: str, values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Values in the dtype, contiguous.  Raises ValueError that begins with the key where they are beyond its largest number."""
    with np.errstate(over="ignore", under="ignore"):
        made = np.array(values, dtype=dtype, order="C")
    # a NaN is both the least and the largest; in less memory than a flag for every number
    if made.size and not (np.isfinite(made.min()) and np.isfinite(made.max())):
        worst = np.abs(values).max()
        raise ValueError(f"{key}: holds numbers up to {worst:g}, which dtype={np.dtype(dtype).name} cannot represent")
    return made
