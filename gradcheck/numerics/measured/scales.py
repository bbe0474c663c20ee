"""A first guess of the scale of a loss along each weight.  A wrong one costs evaluations, not truth."""

from __future__ import annotations

import numpy as np

from gradcheck.numerics.layout import Layout

Array = np.ndarray

# A weight that is smaller than this fraction of the others is as small by chance.
SMALL = 1e-5


def scales(layout: Layout, theta: Array) -> Array:
    """abs(theta_i), at least 1e-5 of the median of its parameter's weights that are not 0; (size,).

    For a weight of 0 it is that median, and 1 where all weights of a parameter are 0.
    """
    found = np.ones(theta.size)
    for where in layout.slices.values():
        size = np.abs(theta[where].astype(np.float64))
        others = size[size > 0]
        if others.size:
            median = _median(others)
            found[where] = np.where(size > 0, np.maximum(size, SMALL * median), median)
    return found


def _median(numbers: Array) -> float:
    """The median of finite numbers: ``np.median`` also looks for NaN, which takes longer than all else here."""
    ascending, half = np.sort(numbers), len(numbers) // 2
    return float(ascending[half] if len(numbers) % 2 else (ascending[half - 1] + ascending[half]) / 2)
