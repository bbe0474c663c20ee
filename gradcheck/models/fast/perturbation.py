"""Losses of a dense model with one weight moved at a time, from one forward pass.

A weight W_l[i, j] moves column j of z_l by its step times column i of a_{l-1}, and nothing else in that layer; the columns of
z_{l+1} by what a_l[:, j] has moved times row j of W_{l+1}.  Only the layers after that are computed anew, and whatever lies
before is the same at every point of a line: not only in value, but in its rounding errors, which therefore cancel in a
difference.  For a loss of n examples this takes n operations for a weight of the last layer where the whole loss takes n d.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.fast.blocks import columns_of, largest_of
from gradcheck.models.fast.exponentials import Hidden, Memory, hidden_of
from gradcheck.models.fast.factors import REACH
from gradcheck.models.fast.lines import Line, line_by_factors, lines_of
from gradcheck.models.fast.sheets import Below, below_of
from gradcheck.models.functions import is_complex
from gradcheck.models.kinks import NetAtTheta
from gradcheck.models.net import Net
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray
# numbers of the widest array in a block of points: two megabytes in float64, which a second- or third-level cache holds; with
# smaller blocks the calls of NumPy themselves take a third of the time
POINTS_NUMBERS = 2**18


@dataclass(frozen=True, eq=False)
class Perturbation(NetAtTheta):
    """A dense model around one theta, with all that its perturbed losses share."""

    net: Net
    theta: Array
    batch: Batch

    @cached_property
    def columns(self) -> list[Array]:
        """For each layer what its weights multiply, (h_{l-1} + 1, n): the inputs' columns, and ones for the bias."""
        return [columns_of(a) for a in self.trace.inputs]

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
        found: list[Crossings] = []
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
        return Crossings.joined(found)

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
        if self.trace.zs[-1].shape[1] == 1 and near.all() and (only := self._line(0)) is not None:
            return self._along(*only, 0, i, steps)
        totals, bent = np.empty(steps.shape, steps.dtype), np.zeros(steps.shape)
        for output in np.unique(j):
            mine = j == output
            found = self._line(output)
            if found is None:
                near[mine] = False
                continue
            rows = np.flatnonzero(mine & near.any(axis=1))
            if len(rows):
                within = steps[rows] if near[rows].all() else np.where(near[rows], steps[rows], 0)
                totals[rows], bent[rows] = self._along(*found, output, i[rows], within)
        far = ~near.all(axis=1)
        if far.any():
            exact, crossing = self._by_blocks(layer, i[far], j[far], steps[far])
            totals[far] = np.where(near[far], totals[far], exact)
            bent[far] = np.where(near[far], bent[far], crossing)
        return totals, bent

    def _along(self, line: Line, slopes: Array | None, output: int, i: Array, steps: Array) -> tuple[Array, Array]:
        """``_totals`` of steps within reach along weights of one output of the last layer."""
        # a view where all are asked for
        rows = slice(int(i[0]), int(i[-1]) + 1) if (i[1:] - i[:-1] == 1).all() else i
        columns = self.columns[-1][rows]
        totals = line.totals(columns, steps, self._largest[i], None if slopes is None else slopes[rows])
        bent = np.zeros(steps.shape)
        if len(line.edge):
            self._clipped_along(line, output, columns[:, line.edge], steps, bent)
        return totals, bent

    def _clipped_along(self, line: Line, output: int, columns: Array, steps: Array, bent: Array) -> None:
        """Fill in how far the loss leaves its continuation by the examples that may reach the limit; their columns."""
        edge, outputs = line.edge, line.outputs
        z, y = self.trace.zs[-1][edge, outputs], self.batch.y[edge]
        y, clipped = (x[:, outputs] if x.ndim > 1 and x.shape[1] > 1 else x for x in (y, self.kinks.clipped[edge]))
        column = output - (outputs.start or 0)
        size = max(1, POINTS_NUMBERS // max(1, z.size))
        for start in range(0, len(steps), size):
            some = slice(start, start + size)
            for c in range(steps.shape[1]):
                moved = np.repeat(z[None], len(steps[some]), axis=0)
                moved[..., column] = z[:, column] + steps[some, c, None] * columns[some]
                bent[some, c] = self.kinks.clipping(self.net, moved, y, clipped)

    @cached_property
    def _lines_of_outputs(self) -> Callable[[int], Line | None]:
        lines = lines_of(self.net.head)
        assert lines is not None
        return lines.of(self.net.head, self.trace.zs[-1], self.batch.y)

    def _line(self, output: int) -> tuple[Line, Array | None] | None:
        """The line of an output of the last layer, and the slopes of its columns."""
        if output not in self._lines:
            with np.errstate(all="ignore"):
                line = self._lines_of_outputs(output)
                self._lines[output] = None if line is None else (line, line.slopes(self.columns[-1]))
        return self._lines[output]

    @cached_property
    def _lines(self) -> dict[int, tuple[Line, Array | None] | None]:
        return {}

    def _by_blocks(self, layer: int, i: Array, j: Array, steps: Array) -> tuple[Array, Array]:
        """``_totals`` of any layer and any steps, in blocks of points that fit the cache."""
        k = steps.shape[1]
        totals, bent = np.empty(steps.size, steps.dtype), np.zeros(steps.size)
        i, j, flat = np.repeat(i, k), np.repeat(j, k), steps.reshape(-1)
        terms = self._terms(layer, i, j, flat)
        below = self._below(layer)
        for some in np.unique(terms):
            rows = np.flatnonzero(terms == some)
            if some and below is not None:
                found = below.totals(i[rows], j[rows], flat[rows], int(some), self._summed_change)
            else:
                found = self._points(layer, i[rows], j[rows], flat[rows], int(some))
            totals[rows], bent[rows] = found
        return totals.reshape(steps.shape), bent.reshape(steps.shape)

    def _terms(self, layer: int, i: Array, j: Array, steps: Array) -> Array:
        """How many terms the next layer's exponentials take for each point, (B,); 0 where it is computed in full."""
        hidden = None if is_complex(steps) or layer > len(self.trace.zs) - 3 else self._hidden[layer + 1]
        if hidden is None:
            return np.zeros(len(steps), np.intp)
        moved = hidden.of.steepness * np.abs(steps) * largest_of(self.columns[layer])[i]
        below = self._below(layer)
        way = hidden if below is None else below.fours
        return way.terms(moved * np.abs(self._weights[layer + 1]).max(axis=1)[j])

    def _below(self, layer: int) -> Below | None:
        """The layers from this one on, where a hidden one in fours and a single output follow."""
        return self._two_below if layer == len(self.trace.zs) - 3 else None

    @cached_property
    def _two_below(self) -> Below | None:
        return below_of(self.net.activation, self.trace, self.columns, self.outputs)

    def _summed_change(self, change: Array) -> tuple[Array, Array | float]:
        """``_summed`` of the change (b, n) of a single output."""
        if self._one_line is None:
            change += self.trace.zs[-1][:, 0]
        return self._summed(change[:, :, None])

    def _points(self, layer: int, i: Array, j: Array, steps: Array, terms: int) -> tuple[Array, Array]:
        """``_totals`` of points (B,), each with its own weight."""
        n, outputs = self.trace.zs[-1].shape
        hidden = self._hidden[layer + 1] if terms else None
        # the widths of what is computed in full
        widths = [z.shape[1] for z in self.trace.zs[layer + (2 if hidden else 1) :]] or [outputs]
        size = max(1, POINTS_NUMBERS // (n * max(widths)))
        size = min(size, hidden.points) if hidden else size
        together = max(size, POINTS_NUMBERS // (n * outputs)) if self._one_line else size
        totals, bent = np.empty(steps.size, steps.dtype), np.zeros(steps.size)

        def work(blocks: Iterator[slice]) -> None:
            # one memory for all blocks: asking the system for half a megabyte takes as long as computing it
            most = min(size, steps.size)
            space = np.empty((most, n, widths[0]), steps.dtype)
            memory = hidden.memory(most) if hidden else None
            z = np.empty((min(together, steps.size), n, outputs), steps.dtype)
            with np.errstate(all="ignore"):
                for block in blocks:
                    for start in range(block.start, block.stop, size):
                        some = slice(start, min(start + size, block.stop))
                        here = z[start - block.start : some.stop - block.start]
                        bent[some] = self._block(layer, i[some], j[some], steps[some], terms, memory, space, here)
                    totals[block], clipped = self._summed(z[: block.stop - block.start])
                    bent[block] += clipped

        over_blocks(work, steps.size, together, steps.size * n * max(p.shape[1] for p in self.trace.zs[layer:]))
        return totals, bent

    def _summed(self, z: Array) -> tuple[Array, Array | float]:
        """The summed losses at z of the last layer (B, n, k), (B,), and how far clipping bends them.

        z : where there is ``_one_line``, by how much it differs from that at theta.
        """
        line, y = self._one_line, self.batch.y
        if line is None or is_complex(z):
            clipped = 0.0 if is_complex(z) else self.kinks.clipping(self.net, z, y)
            return self.net.head.total(z, y), clipped
        moved = z[..., 0]
        largest = largest_of(moved)
        totals = line.totals(moved, np.ones((len(moved), 1), z.dtype), largest, None)[:, 0]
        # no example reaches the limit unless it may within reach, or moves further
        within = not len(line.edge) and bool((largest <= REACH).all())
        return totals, 0.0 if within else self.kinks.clipping(self.net, self.trace.zs[-1] + z, y)

    @cached_property
    def _one_line(self) -> Line | None:
        """The line of a single output, where products of factors take the place of each example's loss."""
        return line_by_factors(self.net.head, self.trace.zs[-1], self.batch.y)

    def _block(
        self, layer: int, i: Array, j: Array, steps: Array, terms: int, memory: Memory | None, space: Array, out: Array
    ) -> Array | float:
        """How far kinks of hidden units may bend the losses at a block of points, each with its own weight.

        memory, space : to be written over.  Space is (B, n, h), of the outputs at B or more points of the next layer; of the
        one after it where ``Hidden.after`` computes the next in so many terms, which are not 0.
        out : z of the last layer as ``_summed`` takes it is written to it, (B, n, k).
        """
        net, trace = self.net, self.trace
        kinks = None if is_complex(steps) else self.kinks
        bent: Array | float = 0.0
        last, after = len(trace.zs) - 1, layer + 1
        column = steps[:, None] * self.columns[layer][i]
        if layer == last:
            out[...] = 0
            out[np.arange(len(steps)), :, j] = column
        else:
            g, weights = net.activation, self._weights
            column += self.outputs[layer][j]
            if kinks is not None:
                bent += kinks.crossed(layer, column, j)
            moved = g.over(column)
            moved -= self.columns[after][j]
            hidden = self._hidden[after] if terms else None
            z = out if layer + (2 if hidden else 1) == last else space[: len(steps)]
            if hidden is not None and memory is not None:
                after += 1
                hidden.after(moved, weights[layer + 1][j], terms, self._scaled[after], memory, z)
            else:
                np.einsum("bn,bj->bnj", moved, weights[after][j], out=z)
            if after < last:
                z += trace.zs[after]
            for deeper in range(after, last):
                if kinks is not None:
                    bent += kinks.crossed(deeper, z)
                z = np.matmul(g.over(z), weights[deeper + 1], out=out if deeper == last - 1 else None)
                if self._biases:
                    z += self._biases[deeper + 1]
        if self._one_line is None or is_complex(steps):
            # so far it is the change, unless the last layer was computed anew
            out += trace.zs[last] if after >= last else 0
        elif after < last:
            out -= trace.zs[last]
        return bent

    @cached_property
    def _hidden(self) -> list[Hidden | None]:
        """The hidden layers whose units are computed by ``Hidden.after``."""
        return [hidden_of(self.net.activation, z) for z in self.trace.zs[:-1]]

    @cached_property
    def _scaled(self) -> list[Array]:
        """The weights that follow such layers, times the scale of their units."""
        scales = [1.0, *(1.0 if hidden is None else hidden.of.scale for hidden in self._hidden)]
        return [w * w.dtype.type(scale) for w, scale in zip(self._weights, scales, strict=True)]

    @cached_property
    def _weights(self) -> list[Array]:
        return self.trace.weights

    @cached_property
    def _biases(self) -> list[Array]:
        return self.trace.biases
