"""Losses that have a formula of their own along the weights of the last layer, by the head of the net."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from gradcheck.models.fast.cross_entropy_lines import (
    cross_entropy_along,
    cross_entropy_along_rounding,
    cross_entropy_along_roundings,
    cross_entropy_slopes,
    factored,
)
from gradcheck.models.fast.factors import FEWEST_EXAMPLES, REACH, may_be_clipped
from gradcheck.models.fast.softmax_lines import softmax_along_rounding, softmax_lines
from gradcheck.models.fast.squared_lines import squared_along, squared_along_rounding
from gradcheck.models.heads import CrossEntropy, Head, SoftmaxCrossEntropy, SquaredError

Array = np.ndarray


class Line(Protocol):
    """The loss where one output moves along a column, with what all such steps share."""

    @property
    def edge(self) -> Array:
        """The examples that a step within reach may bring to the limit where the loss is clipped."""

    @property
    def outputs(self) -> slice:
        """The outputs on which the clipping of an example depends."""

    @property
    def by_factors(self) -> bool:
        """Whether ``totals`` takes far less time than the sum of each example's loss."""

    def slopes(self, columns: Array) -> Array | None:
        """What all steps along these columns (m, n) share, one entry a column; or None."""

    def totals(self, columns: Array, steps: Array, largest: Array, slopes: Array | None) -> Array:
        """The summed loss where the output moves by steps[r, c] columns[r], (m, k).

        columns : (m, n).   steps : (m, k) within reach.   largest : (m,), the largest absolute value of each column.
        """


class Lines(NamedTuple):
    """How the loss of a head is computed along the weights of the last layer.

    of(head, z, y) : of an output its line, z (n, k); None where there is no faster way than in full.
    rounding(head, z, y, u, groups) : standard deviation of what this adds to the rounding error of z, of the summed loss;
        groups, its ``repetition``.  None where it adds nothing to the errors of a loss in full.
    roundings(z, y, u, groups) : the same of several nets at once, (p,); None where there is no such way.
    reach : how far a step may change an entry of z.
    """

    of: Callable[[Head, Array, Array], Callable[[int], Line | None]]
    rounding: Callable[[Head, Array, Array, float, float], float | None]
    reach: float
    roundings: Callable[[Array, Array, float, Array], Array] | None = None


class CrossEntropyLine:
    """The loss along one of several outputs, each with a cross-entropy of its own."""

    def __init__(self, head: Head, z: Array, y: Array, output: int) -> None:
        self._z, self._y = np.ascontiguousarray(z[:, output]), np.ascontiguousarray(y[:, output])
        self._others = _others(head, z, y, output)
        self.edge = np.flatnonzero(may_be_clipped(self._z))
        self.outputs = slice(output, output + 1)
        self.by_factors = factored(self._z, self._y)

    def slopes(self, columns: Array) -> Array | None:
        with np.errstate(all="ignore"):
            return cross_entropy_slopes(self._z, self._y, columns)

    def totals(self, columns: Array, steps: Array, largest: Array, slopes: Array | None) -> Array:
        totals = cross_entropy_along(self._z, self._y, columns, steps, largest, slopes)
        return totals if self._others is None else totals + self._others


class SquaredLine:
    """The loss along one of several outputs, each with a squared error of its own."""

    edge = np.empty(0, np.intp)
    by_factors = False

    def __init__(self, head: Head, z: Array, y: Array, output: int) -> None:
        self._residual = z[:, output] - y[:, output]
        self._others = _others(head, z, y, output)
        self.outputs = slice(output, output + 1)

    def slopes(self, columns: Array) -> None:
        return None

    def totals(self, columns: Array, steps: Array, largest: Array, slopes: Array | None) -> Array:
        totals = squared_along(self._residual, columns, steps)
        return totals if self._others is None else totals + self._others


def _others(head: Head, z: Array, y: Array, output: int) -> Array | None:
    """The summed loss of the other outputs; None where there are none."""
    others = np.arange(z.shape[1]) != output
    return head.total(z[:, others], y[:, others]) if others.any() else None


CROSS_ENTROPY = Lines(
    lambda head, z, y: partial(CrossEntropyLine, head, z, y),
    lambda head, z, y, u, groups: cross_entropy_along_rounding(z, y, u, groups),
    REACH,
    cross_entropy_along_roundings,
)
SQUARED = Lines(
    lambda head, z, y: partial(SquaredLine, head, z, y),
    lambda head, z, y, u, groups: squared_along_rounding(z - y, u),
    math.inf,
)
SOFTMAX = Lines(softmax_lines, softmax_along_rounding, REACH)

# by the very class: a subclass may have another loss
_LINES: dict[type[Head], Lines] = {CrossEntropy: CROSS_ENTROPY, SquaredError: SQUARED, SoftmaxCrossEntropy: SOFTMAX}


def line_by_factors(head: Head, z: Array, y: Array) -> Line | None:
    """The line of a single output, where products of factors take the place of each example's loss; else None."""
    lines = lines_of(head)
    if lines is None or z.shape[1] > 1 or len(z) < FEWEST_EXAMPLES:
        return None
    line = lines.of(head, z, y)(0)
    return line if line is not None and line.by_factors else None


def lines_of(head: Head) -> Lines | None:
    """How the loss of a head is computed along lines; None where there is no faster way than in full."""
    return _LINES.get(type(head))
