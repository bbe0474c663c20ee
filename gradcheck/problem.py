"""What is checked, as values: losses near theta, and the kinks that they cross."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Crossings(NamedTuple):
    """Kinks near theta along some weights, one entry each, in no order.

    row : which of the weights, intp.
    distance : the step at which it is crossed, to first order, on either side of theta, >= 0, float64.
    jump : by how much the derivative by that weight changes there, >= 0, float64.
    """

    row: Array
    distance: Array
    jump: Array


class Evaluations(NamedTuple):
    """Losses at perturbed weights, in the dtype, and how far kinks may have bent them, float64; both (m, k) or (m, s, k)."""

    losses: Array
    deviations: Array
