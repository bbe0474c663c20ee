"""Softmax cross-entropy along lines: a weight of the last layer moves the logits z of one class along its input x.

With s = z_j - log(sum of exp(z_k) over the other classes k) the loss of an example is softplus(s) - [its class is j] s, and
a term in which z_j does not occur.  So it changes along z_j as the cross-entropy of two classes does along s.

The sum begins from the loss at z, so that a step of 0 changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcheck.models.cross_entropy import LOGIT_LIMIT
from gradcheck.models.fast import factors
from gradcheck.models.fast.blocks import in_block
from gradcheck.models.heads import Head
from gradcheck.numerics.rounding import VARIANCE, binade, unit_roundoff

Array = np.ndarray

# examples that may reach the limit are computed in full: with more than one in so many, all are
FEW = 16


class SoftmaxLines:
    """What the lines of all classes share.   z : (n, K).   y : (n,) classes.

    total : the summed loss.   logits : ``logits_of`` the true classes.
    edge : the examples that a step within ``REACH`` may bring to the limit where probabilities are clipped.
    """

    def __init__(self, head: Head, z: Array, y: Array) -> None:
        self.head, self.z, self.y = head, z, y
        self.total = head.total(z, y)
        self.logits = logits_of(z, y)
        self.edge = np.flatnonzero(factors.may_be_clipped(self.logits))
        self._highest = z.max(axis=1)
        self._exps = np.exp(z - self._highest[:, None])
        self._sums = self._exps.sum(axis=1)

    def logits_of_all(self, output: int) -> Array:
        """``logits_of`` one class for every example, from sums that all classes share where nothing cancels, (n,)."""
        mine = self._exps[:, output]
        logits: Array = (self.z[:, output] - self._highest) - np.log(self._sums - mine)
        most = np.flatnonzero(2 * mine > self._sums)
        logits[most] = logits_of(self.z[most], np.full(len(most), output))
        return logits


class SoftmaxLine:
    """The loss along the weights of one class.

    edge : as of ``SoftmaxLines``.   outputs : the outputs on which the loss of an example depends.
    """

    outputs = slice(None)
    by_factors = True

    def __init__(self, lines: SoftmaxLines, output: int) -> None:
        self._lines, self._output, self.edge = lines, output, lines.edge
        z, y = lines.z, lines.y
        self._s = lines.logits_of_all(output)
        self._mine = np.asarray(y == output, z.dtype)
        # a clipped loss is flat; so, beside the rounding of the sum, is one of another class to which this one adds next to
        # nothing, a thousandth of a unit
        lowest = math.log(unit_roundoff(z.dtype)) - 7
        self._live = (np.abs(lines.logits) < LOGIT_LIMIT) & ((self._s > lowest) | (y == output))
        self._live[self.edge] = False

    def slopes(self, columns: Array) -> Array:
        """What all steps along these columns share, one entry a column."""
        return factors.slopes_of(self._mine, self._live, columns)

    def totals(self, columns: Array, steps: Array, largest: Array, slopes: Array | None) -> Array:
        """The summed loss at z_j + steps[r, c] columns[r], (m, k)."""
        if slopes is None:
            slopes = self.slopes(columns)
        with np.errstate(all="ignore"):
            change = factors.changes(self._s, self._live, columns, steps, slopes)
            if len(self.edge):
                change += self._beside_the_limit(columns[:, self.edge], steps)
        return self._lines.total + change

    def _beside_the_limit(self, columns: Array, steps: Array) -> Array:
        """By how much the losses of the examples ``edge`` change, in full; (m, k)."""
        head, z, y = self._lines.head, self._lines.z[self.edge], self._lines.y[self.edge]
        change = np.empty(steps.shape, steps.dtype)
        size = in_block(z.size)
        for start in range(0, len(columns), size):
            rows = slice(start, start + size)
            for c in range(steps.shape[1]):
                moved = np.repeat(z[None], len(columns[rows]), axis=0)
                moved[..., self._output] += steps[rows, c, None] * columns[rows]
                change[rows, c] = head.total(moved, y)
        return change - head.total(z, y)


def softmax_lines(head: Head, z: Array, y: Array) -> Callable[[int], SoftmaxLine | None]:
    """The line of each class; None where there is no faster way than in full."""
    if not _factored(head, z, y):
        return lambda output: None
    lines = SoftmaxLines(head, z, y)
    few = FEW * len(lines.edge) <= len(y)
    return lambda output: SoftmaxLine(lines, output) if few else None


def softmax_along_rounding(head: Head, z: Array, y: Array, u: float, groups: float) -> float | None:
    """Standard deviation of what the sum of ``SoftmaxLine`` adds to the rounding error of z; None where none is taken."""
    if not _factored(head, z, y):
        return None
    total = float(head.total(z, y))
    # the change is added to the loss at z
    return u * math.sqrt(VARIANCE * (factors.roundings(len(y), groups) + float(binade(total)) ** 2))


def logits_of(z: Array, classes: Array) -> Array:
    """z of the class of each example minus the logarithm of the sum of the others' exponentials, (n,)."""
    rows = np.arange(len(z))
    others = z.copy()
    others[rows, classes] = -np.inf
    highest = others.max(axis=1)
    logits: Array = (z[rows, classes] - highest) - np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return logits


def _factored(head: Head, z: Array, y: Array) -> bool:
    return len(y) >= factors.FEWEST_EXAMPLES and factors.worth_factors(len(y), float(head.total(z, y)))
