"""Losses of a dense model with one weight moved at a time, from one forward pass.

A weight W_l[i, j] moves column j of z_l by its step times column i of a_{l-1}, and nothing else in that layer; the columns of
z_{l+1} by what a_l[:, j] has moved times row j of W_{l+1}.  Only the layers after that are computed anew, and whatever lies
before is the same at every point of a line: not only in value, but in its rounding errors, which therefore cancel in a
difference.  For a loss of n examples this takes n operations for a weight of the last layer where the whole loss takes n d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.fast.blocks import largest_of
from gradcheck.models.fast.lines import Lines, lines_of
from gradcheck.models.functions import is_complex
from gradcheck.models.kinks import NetAtTheta
from gradcheck.models.net import Net
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray
# numbers of the widest array in a block of points: two megabytes in float64, which a second- or third-level cache holds; with
# smaller blocks the calls of NumPy themselves take a third of the time
POINTS_NUMBERS = 2**18
# examples that are transposed at once: all of them take four times as long where their rows are a power of 2 apart
TRANSPOSED = 64


@dataclass(frozen=True, eq=False)
class Perturbation(NetAtTheta):
    """A dense model around one theta, with all that its perturbed losses share."""

    net: Net
    theta: Array
    batch: Batch

    @cached_property
    def columns(self) -> list[Array]:
        """For each layer what its weights multiply, (h_{l-1} + 1, n): the inputs' columns, and ones for the bias."""
        found = []
        for a in self.trace.inputs:
            # row by row in memory; np.concatenate would keep the order of a.T
            columns = np.ones((a.shape[1] + 1, len(a)), a.dtype)
            for start in range(0, len(a), TRANSPOSED):
                columns[:-1, start : start + TRANSPOSED] = a[start : start + TRANSPOSED].T
            found.append(columns)
        return found

    @cached_property
    def _largest(self) -> Array:
        """The largest absolute value of each of the last layer's columns."""
        return largest_of(self.columns[-1])

    @cached_property
    def outputs(self) -> list[Array]:
        """For each layer z_l transposed, (h_l, n), its columns contiguous."""
        return [np.ascontiguousarray(z.T) for z in self.trace.zs]

    def losses(self, index: Array, points: Array) -> tuple[Array, Array]:
        """Losses with theta[index[r]] replaced by points[r, c], and how far kinks may have bent them; both (m, k).

        Each point passes through calls of shapes that follow from the sizes of net and data, so no loss depends on which others
        are computed.  Complex points lie infinitely near theta, where no kink is crossed.
        """
        losses = np.empty(points.shape, points.dtype)
        deviations = np.zeros(points.shape)
        for layer, rows, i, j in self._located(index):
            moved, weights = points[rows], self.theta[index[rows], None]
            steps = moved - weights
            loss, deviations[rows] = self._totals(layer, i, j, steps)
            loss = self.net.scaled(loss, len(self.batch.X))
            if self.net.l2:
                # the biases are not penalised; 0 times their square would be NaN where that overflows
                weight = (i < self.trace.inputs[layer].shape[1])[:, None]
                squares = np.where(weight, steps * (moved + weights), 0)
                loss += self._penalty + loss.dtype.type(self.net.l2 / 2) * squares
            losses[rows] = loss
        return losses, deviations

    def crossings(self, index: Array, reach: Array) -> Crossings:
        """The kinks of hidden units that steps up to ``reach`` (m,) cross along the weights of ``index`` (m,)."""
        found = [Crossings(np.empty(0, np.intp), np.empty(0), np.empty(0))]
        net, trace = self.net, self.trace
        last = len(trace.zs) - 1
        size = max(1, POINTS_NUMBERS // (len(self.batch.X) * max(z.shape[1] for z in trace.zs)))
        for layer, everything, row_of, column_of in self._located(index):
            if layer == last:
                continue
            for start in range(0, len(everything), size):
                rows, i, j = (x[start : start + size] for x in (everything, row_of, column_of))
                z, dz = self.outputs[layer][j], self.columns[layer][i]
                near = [self.kinks.near(layer, reach[rows], z, dz, j)]
                dz = net.activation.derivative(z) * dz
                dz = dz[:, :, None] * self._weights[layer + 1][j][:, None, :]
                for deeper in range(layer + 1, last):
                    z = trace.zs[deeper]
                    near.append(self.kinks.near(deeper, reach[rows], z, dz))
                    if deeper + 1 < last:
                        dz = (net.activation.derivative(z) * dz) @ self._weights[deeper + 1]
                found += [c._replace(row=rows[c.row]) for c in near]
        return Crossings(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _located(self, index: Array) -> Iterator[tuple[int, Array, Array, Array]]:
        """For each layer (from 0) with some of these weights: their places in ``index``, and their rows and columns."""
        for layer, part in enumerate(self._parts):
            rows = np.flatnonzero((index >= part.start) & (index < part.stop))
            if len(rows):
                # the bias comes after the last row of W, as the ones come after the columns of the inputs
                i, j = np.divmod(index[rows] - part.start, self.trace.zs[layer].shape[1])
                yield layer, rows, i, j

    @cached_property
    def _penalty(self) -> Array | float:
        return self.net.penalty(self.trace.params)

    @cached_property
    def _parts(self) -> list[slice]:
        """Where the weights and biases of each layer lie in theta."""
        slices = list(self.net.layout(self.batch).slices.values())
        each = 2 if self._biases else 1
        return [slice(slices[k].start, slices[k + each - 1].stop) for k in range(0, len(slices), each)]

    def _totals(self, layer: int, i: Array, j: Array, steps: Array) -> tuple[Array, Array]:
        """Summed losses and deviations, both (m, k), of steps (m, k) along the weights (i, j) of a layer (from 0)."""
        lines = lines_of(self.net.head)
        if lines is None or layer < len(self.trace.zs) - 1 or is_complex(steps):
            return self._by_blocks(layer, i, j, steps)
        near = np.abs(steps) * self._largest[i][:, None] <= lines.reach
        if self.trace.zs[-1].shape[1] == 1 and near.all():
            return self._along(lines, 0, i, steps)
        totals, bent = np.empty(steps.shape, steps.dtype), np.zeros(steps.shape)
        for output in np.unique(j):
            rows = np.flatnonzero((j == output) & near.any(axis=1))
            if len(rows):
                totals[rows], bent[rows] = self._along(lines, output, i[rows], np.where(near, steps, 0)[rows])
        far = ~near.all(axis=1)
        if far.any():
            exact, crossing = self._by_blocks(layer, i[far], j[far], steps[far])
            totals[far] = np.where(near[far], totals[far], exact)
            bent[far] = np.where(near[far], bent[far], crossing)
        return totals, bent

    def _along(self, lines: Lines, output: int, i: Array, steps: Array) -> tuple[Array, Array]:
        """``_totals`` of steps within ``lines.reach`` along weights of one output of the last layer."""
        z, y = self.trace.zs[-1], self.batch.y
        # a view where all are asked for
        rows = slice(int(i[0]), int(i[-1]) + 1) if (i[1:] - i[:-1] == 1).all() else i
        columns = self.columns[-1][rows]
        target, edge, slopes = self._line(lines, output)
        some = None if slopes is None else slopes[rows]
        totals = lines.totals(self.outputs[-1][output], target, columns, steps, self._largest[i], some)
        if z.shape[1] > 1:
            others = np.arange(z.shape[1]) != output
            totals += self.net.head.total(z[:, others], y[:, others])
        bent = np.zeros(steps.shape)
        if len(edge):
            clipped = self.kinks.clipped[edge, output, None]
            for c in range(steps.shape[1]):
                moved = z[edge, output] + steps[:, c, None] * columns[:, edge]
                bent[:, c] = self.kinks.clipping(self.net, moved[..., None], y[edge, output, None], clipped)
        return totals, bent

    def _line(self, lines: Lines, output: int) -> tuple[Array, Array, Array | None]:
        """What all steps along the weights of one output share: its targets, the examples that may reach the limit where
        the loss is clipped, and the slopes of its columns.
        """
        if output not in self._lines:
            target = np.ascontiguousarray(self.batch.y[:, output])
            near = np.empty(0, np.intp)
            if lines.distance is not None:
                distance = lines.distance(self.trace.zs[-1][:, output])
                near = np.flatnonzero(distance <= lines.reach * (1 + 2.0**-10))
            with np.errstate(all="ignore"):
                self._lines[output] = target, near, lines.slopes(self.outputs[-1][output], target, self.columns[-1])
        return self._lines[output]

    @cached_property
    def _lines(self) -> dict[int, tuple[Array, Array, Array | None]]:
        return {}

    def _by_blocks(self, layer: int, i: Array, j: Array, steps: Array) -> tuple[Array, Array]:
        """``_totals`` of any layer and any steps, in blocks of points that fit the cache."""
        k = steps.shape[1]
        n = len(self.batch.X)
        widths = [z.shape[1] for z in self.trace.zs[layer + 1 :]] or [self.trace.zs[-1].shape[1]]
        size = max(1, POINTS_NUMBERS // (n * max(widths)))
        totals, bent = np.empty(steps.size, steps.dtype), np.zeros(steps.size)
        i, j, flat = np.repeat(i, k), np.repeat(j, k), steps.reshape(-1)

        def work(blocks: Iterator[slice]) -> None:
            # one memory for all blocks: asking the system for half a megabyte takes as long as computing it
            space = np.empty((min(size, flat.size), n, widths[0]), steps.dtype)
            with np.errstate(all="ignore"):
                for block in blocks:
                    totals[block], bent[block] = self._block(layer, i[block], j[block], flat[block], space)

        over_blocks(work, flat.size, size, flat.size * n * max(widths))
        return totals.reshape(steps.shape), bent.reshape(steps.shape)

    def _block(self, layer: int, i: Array, j: Array, steps: Array, space: Array) -> tuple[Array, Array]:
        """``_totals`` of a block of points, each with its own weight.

        space : of the shape (B, n, h) of the next layer's outputs at B or more points, to be written over.
        """
        net, trace = self.net, self.trace
        kinks = None if is_complex(steps) else self.kinks
        bent = np.zeros(len(steps))
        last = len(trace.zs) - 1
        column = self.outputs[layer][j] + steps[:, None] * self.columns[layer][i]
        if layer == last:
            z = np.repeat(trace.zs[last][None].astype(steps.dtype), len(steps), axis=0)
            z[np.arange(len(steps)), :, j] = column
        else:
            g = net.activation
            if kinks is not None:
                bent += kinks.crossed(layer, column, j)
            moved = g.value(column) - self.columns[layer + 1][j]
            weights = self._weights
            z = np.einsum("bn,bj->bnj", moved, weights[layer + 1][j], out=space[: len(steps)])
            z += trace.zs[layer + 1]
            for deeper in range(layer + 1, last):
                if kinks is not None:
                    bent += kinks.crossed(deeper, z)
                z = g.over(z) @ weights[deeper + 1]
                if self._biases:
                    z += self._biases[deeper + 1]
        if kinks is not None:
            bent += kinks.clipping(net, z, self.batch.y)
        return net.head.total(z, self.batch.y), bent

    @cached_property
    def _weights(self) -> list[Array]:
        return self.trace.weights

    @cached_property
    def _biases(self) -> list[Array]:
        return self.trace.biases
