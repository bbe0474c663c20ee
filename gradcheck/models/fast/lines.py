"""Losses that have a formula of their own along the weights of the last layer, by the head of the net."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcheck.models.cross_entropy import distance_to_limit
from gradcheck.models.fast.cross_entropy_lines import (
    REACH,
    cross_entropy_along,
    cross_entropy_along_rounding,
    cross_entropy_slopes,
)
from gradcheck.models.fast.squared_lines import squared_along, squared_along_rounding
from gradcheck.models.heads import CrossEntropy, Head, SquaredError

Array = np.ndarray


class Lines(NamedTuple):
    """How a loss that is a sum over examples and outputs is computed along a line of one output's z.

    totals(z, y, columns, steps, largest, slopes) : the sums over the examples at z + step column, (m, k).  z, y (n,);
        columns (m, n); steps (m, k); largest (m,), the largest absolute value of each column.
    slopes(z, y, columns) : what all steps along a column share, one entry a column; or None.
    rounding(z, y, u, groups) : standard deviation of what this adds to the rounding error of z; groups, its ``repetition``.
    reach : how far a step may change an entry of z.
    distance(z) : how far each z is from the limit where the loss is clipped; None where no loss is clipped.
    """

    totals: Callable[[Array, Array, Array, Array, Array, Array | None], Array]
    slopes: Callable[[Array, Array, Array], Array | None]
    rounding: Callable[[Array, Array, float, float], float]
    reach: float
    distance: Callable[[Array], Array] | None


CROSS_ENTROPY = Lines(cross_entropy_along, cross_entropy_slopes, cross_entropy_along_rounding, REACH, distance_to_limit)
SQUARED = Lines(
    lambda z, y, columns, steps, largest, slopes: squared_along(z - y, columns, steps),
    lambda z, y, columns: None,
    lambda z, y, u, groups: squared_along_rounding(z - y, u),
    math.inf,
    None,
)

# by the very class: a subclass may have another loss
_LINES: dict[type[Head], Lines] = {CrossEntropy: CROSS_ENTROPY, SquaredError: SQUARED}


def lines_of(head: Head) -> Lines | None:
    """How the loss of a head is computed along lines; None where there is no faster way than in full."""
    return _LINES.get(type(head))
