"""Squared errors along lines: a weight of the last layer moves the residuals r along its input x, to r + step x."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradcheck.models.fast.blocks import SEGMENT, aligned, rows_of_block, segments
from gradcheck.models.sums import ACROSS, repetition, sum_roundings
from gradcheck.numerics.rounding import VARIANCE, binade
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray


def squared_along(residual: Array, columns: Array, steps: Array) -> Array:
    """Sum over the examples of (residual + steps[r, c] columns[r])**2; (m, k).

    residual : (n,).   columns : (m, n), C-contiguous.   steps : (m, k), complex ones too.
    """
    n = residual.size
    out = np.zeros(steps.shape, np.result_type(residual, steps))

    def work(blocks: Iterator[slice]) -> None:
        shifted = aligned(rows_of_block(n), min(n, SEGMENT), out.dtype)
        with np.errstate(all="ignore"):
            for block in blocks:
                for part in segments(n):
                    x, r = columns[block, part], residual[part]
                    moved = shifted[: len(x), : r.size]
                    for c in range(steps.shape[1]):
                        np.multiply(x, steps[block, c, None], out=moved)
                        moved += r
                        moved *= moved
                        out[block, c] += moved.sum(axis=1)

    over_blocks(work, len(columns), rows_of_block(n), columns.size * steps.shape[1])
    return out


def squared_along_rounding(residual: Array, u: float) -> float:
    """Standard deviation of the rounding error that ``squared_along`` adds to that of the residual; in float64."""
    r = residual.reshape(-1)
    if not r.size:
        return 0.0
    groups = repetition(r[:, None])
    # r + step x is rounded, which the square doubles, and so is the square
    own = (2 * r * binade(r)) ** 2 + binade(r**2) ** 2
    sums = sum_roundings(float((r**2).sum()), r.size, groups)
    return u * math.sqrt(ACROSS * VARIANCE * (groups * float(own.sum()) + sums))
