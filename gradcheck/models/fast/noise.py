"""Rounding errors of losses that are computed by structure where one weight moves: what they share cancels in a difference."""

from __future__ import annotations

import numpy as np

from gradcheck.models.fast.lines import lines_of
from gradcheck.models.heads import Head
from gradcheck.models.rounding import Along, LossErrors

Array = np.ndarray


def line_variances(errors: LossErrors) -> list[Array]:
    """Variance of the summed loss along a weight of each layer, (h,).

    Along a weight of column j in layer l, z_l moves in that column alone and a_l with it; z_{l+1} moves by a multiple of a
    row of W_{l+1}; what follows is computed anew.  All before is the same at every point, its errors included.
    """
    base, z, moved, a = errors
    last = len(z) - 1
    lines = []
    for layer in range(last + 1):
        column = moved[layer].sum(axis=0)
        if layer < last:
            column = column + a[layer].sum(axis=0) + moved[layer + 1].sum()
        anew = sum(float(v.sum()) for v in (*a[layer + 1 :], *z[layer + 2 :]))
        lines.append(base + column + anew)
    return lines


def last_deviation(head: Head, z: Array, y: Array, groups: float) -> float | None:
    """Standard deviation of the summed loss along a line of the last layer, over u; None where it has no formula of its own."""
    lines = lines_of(head)
    return None if lines is None else lines.rounding(z, y, 1.0, groups)


BY_STRUCTURE = Along(line_variances, last_deviation)
