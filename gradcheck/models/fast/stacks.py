"""Losses of several small nets of one shape with one weight moved at a time: all of them in the calls that one would take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.cross_entropy import LOGIT_LIMIT
from gradcheck.models.fast.blocks import in_block
from gradcheck.models.fast.factors import FEWEST_EXAMPLES, REACH, may_be_clipped
from gradcheck.models.functions import is_complex
from gradcheck.models.heads import CrossEntropy
from gradcheck.models.net import Net

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class StackOfNets:
    """Nets of one shape, each with a theta (p, size) and examples X (p, n, d) of its own."""

    net: Net
    thetas: Array
    batches: Batch

    def losses(self, which: Array, points: Array) -> Array | None:
        """Losses of the nets ``which`` (q,) with their weights replaced one at a time by points (q, size, k), (q, size, k).

        They are those of ``Perturbation.losses``, to the last bit, where no kink or clipped example is near.  None where the
        nets have another way, or where one of them may have.
        """
        if self._logits is None or is_complex(points):
            return None
        z, y, columns = self._logits[which], self.batches.y[which, :, 0], self._columns[which]
        weights = self.thetas[which, :, None]
        steps = points - weights
        with np.errstate(all="ignore"):
            reach = np.abs(steps) * np.abs(columns).max(axis=2)[:, :, None]
            if not ((reach <= REACH).all() and not may_be_clipped(z).any()):
                return None
            found = self.net.scaled(self._totals(z, y, columns, steps), z.shape[1])
            if self.net.l2:
                # the bias, which comes last, is not penalised
                weight = np.arange(points.shape[1])[:, None] < self.batches.X.shape[2]
                penalty = self.net.penalty(self.net.layout(self.batches).split(self.thetas[which]))
                squares = np.where(weight, steps * (points + weights), 0)
                found += np.asarray(penalty)[:, None, None] + found.dtype.type(self.net.l2 / 2) * squares
        return found

    def _totals(self, z: Array, y: Array, columns: Array, steps: Array) -> Array:
        """Summed losses along the columns (q, size, n); as ``cross_entropy_along`` of few examples, in the same order."""
        out = np.empty(steps.shape, steps.dtype)
        nets = in_block(steps.shape[1] * steps.shape[2] * z.shape[1])
        for start in range(0, len(z), nets):
            some = slice(start, start + nets)
            s = columns[some, :, None] * steps[some, :, :, None]
            s += z[some, None, None]
            np.maximum(s, -LOGIT_LIMIT, out=s)
            np.minimum(s, LOGIT_LIMIT, out=s)
            e = np.abs(s)
            np.negative(e, out=e)
            np.exp(e, out=e)
            np.log1p(e, out=e)
            f = np.maximum(s, 0)
            s *= y[some, None, None]
            f -= s
            f += e
            np.add.reduce(f, axis=3, out=out[some])
        return out

    @cached_property
    def _logits(self) -> Array | None:
        """The logits (p, n) of nets with a single layer and output and so few examples that each loss is summed; else None."""
        y = self.batches.y
        plain = type(self.net.head) is CrossEntropy and not self.net.hidden and y.shape[1:] == (y.shape[1], 1)
        if not plain or y.shape[1] >= FEWEST_EXAMPLES:
            return None
        return self.net.forward(self.thetas, self.batches).zs[-1][:, :, 0]

    @cached_property
    def _columns(self) -> Array:
        """What each weight multiplies, (p, size, n): the columns of the inputs, and ones for the bias."""
        X = self.batches.X
        found = np.ones((len(X), self.thetas.shape[1], X.shape[1]), X.dtype)
        found[:, : X.shape[2]] = X.swapaxes(1, 2)
        return found
