"""Points along the weights of a layer on sheets: those of one unit, each weight at the place of its input.

A sheet is computed as a whole, so that the shapes of its products follow from the sizes of net and data, and the place of a
point in them from its own weight.  Where nobody asks for a point its step is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradcheck.models.activations import Activation
from gradcheck.models.fast.fours import Fours, Memory, Row, fours_of
from gradcheck.models.net import Trace
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray

# places of a sheet: with fewer, calls of BLAS take the time that is saved; with more, most are empty where few points are asked
# for.  As many again may remain for the last sheet, and are spread over all
FEWEST_PLACES, MOST_PLACES = 32, 128
# units times places, of which a sheet may have twice as many: such a product BLAS computes with one of its threads
ONE_THREAD = 2**15
# numbers of a sheet of many places, and of some sheets that are summed together: one and two megabytes in float64
SHEET_NUMBERS, BLOCK_NUMBERS = 2**17, 2**18
# with more examples a sheet takes 16 megabytes; with more units of examples what all rows share takes 64
MOST_EXAMPLES, MOST_UNITS = 2**16, 2**21


@dataclass(frozen=True, eq=False)
class Sheets:
    """Points that lie on s sheets.

    unit, start : (s,) whose weights a sheet has, and of which inputs from which on.   steps : (s, width).
    sheet, place : (points,) where each point lies.
    """

    unit: Array
    start: Array
    steps: Array
    sheet: Array
    place: Array

    def __len__(self) -> int:
        return len(self.unit)

    def points(self, sheets: slice) -> Array:
        """The points on some of the sheets, sheet by sheet."""
        first, end = np.searchsorted(self._sorted, [sheets.start, sheets.stop])
        return self._order[first:end]

    @cached_property
    def _order(self) -> Array:
        return np.argsort(self.sheet, kind="stable")

    @cached_property
    def _sorted(self) -> Array:
        return self.sheet[self._order]


def sheets_of(i: Array, j: Array, steps: Array, width: int) -> Sheets:
    """Sheets for the points that move the weight of input i and unit j, each (points,).

    Several points of one weight lie on several sheets.
    """
    order = np.lexsort((i, j))
    weight = np.stack([i[order], j[order]])
    new = np.ones(len(order), dtype=bool)
    new[1:] = (weight[:, 1:] != weight[:, :-1]).any(axis=0)
    count = np.arange(len(order))
    turn = np.empty(len(order), np.intp)
    turn[order] = count - np.maximum.accumulate(np.where(new, count, 0))
    part, place = np.divmod(i, width)
    shape = (j.max() + 1, part.max() + 1, turn.max() + 1)
    keys, sheet = np.unique(np.ravel_multi_index((j, part, turn), shape), return_inverse=True)
    unit, parts, _ = np.unravel_index(keys, shape)
    filled = np.zeros((len(keys), width), steps.dtype)
    filled[sheet, place] = steps
    return Sheets(unit, parts * width, filled, sheet, place)


class Paper(NamedTuple):
    """Arrays to be written over: what ``Fours`` needs, a sheet (places, n), and the points of some sheets (points, n)."""

    fours: Memory
    sheet: Array
    found: Array


@dataclass(frozen=True, eq=False)
class Below:
    """The layer of whose weights one moves, the hidden layer after it in fours, and a single output.

    activation : of both layers.   columns : (inputs, n) what the layer's weights multiply.
    z, a : (units, n) the layer at theta before and after the activation.   weights : (units, h) those of the next layer.
    """

    activation: Activation
    columns: Array
    z: Array
    a: Array
    weights: Array
    fours: Fours

    def totals(
        self, i: Array, j: Array, steps: Array, terms: int, summed: Callable[[Array], tuple[Array, Array | float]]
    ) -> tuple[Array, Array]:
        """What ``summed`` finds of the output's change (b, n): two numbers for each point (points,).

        i, j, steps : the points, which move the weight of input i and unit j.   terms : of the series, at all of them.
        """
        n = self.z.shape[1]
        sheets = sheets_of(i, j, steps, self._width)
        totals, bent = np.empty(len(steps), self.z.dtype), np.zeros(len(steps))
        together = max(1, BLOCK_NUMBERS // (n * self._width))

        def work(blocks: Iterator[slice]) -> None:
            memory = self._memory(min(together, len(sheets)))
            with np.errstate(all="ignore"):
                for block in blocks:
                    points = sheets.points(block)
                    totals[points], bent[points] = summed(self._changes(sheets, block, terms, memory))

        over_blocks(work, len(sheets), together, len(steps) * n * self.weights.shape[1])
        return totals, bent

    def _memory(self, sheets: int) -> Paper:
        """What ``_changes`` writes over, for so many sheets: new pages each time take as long as some of the calls."""
        n, dtype = self.z.shape[1], self.z.dtype
        points = sheets * self._width
        return Paper(self.fours.memory(self._width), np.empty((self._width, n), dtype), np.empty((points, n), dtype))

    def _changes(self, sheets: Sheets, some: slice, terms: int, memory: Paper) -> Array:
        """By how much the output changes at each point of some sheets, (points, n), in the order of ``Sheets.points``."""
        points = sheets.points(some)
        found, out = memory.found[: len(points)], memory.sheet
        done = 0
        for sheet, row in self._rows(sheets, some, terms):
            self._change(sheets, sheet, row, memory.fours, out)
            these = points[done : done + np.count_nonzero(sheets.sheet[points] == sheet)]
            found[done : done + len(these)] = out[sheets.place[these]]
            done += len(these)
        return found

    def _rows(self, sheets: Sheets, some: slice, terms: int) -> Iterator[tuple[int, Row]]:
        """Each sheet with what the row of its unit says, which sheets of one unit share."""
        row, unit = None, -1
        for sheet in range(some.start, some.stop):
            if row is None or sheets.unit[sheet] != unit:
                unit = int(sheets.unit[sheet])
                row = self.fours.row(self.weights[unit], terms)
            yield sheet, row

    def _change(self, sheets: Sheets, sheet: int, row: Row, memory: Memory, out: Array) -> None:
        unit, start, steps = sheets.unit[sheet], sheets.start[sheet], sheets.steps[sheet]
        inputs, z, a = self._inputs[:, start : start + self._width], self.z[unit], self.a[unit]

        def fill(examples: slice, moved: Array) -> None:
            np.multiply(inputs[examples], steps, out=moved)
            moved += z[examples, None]
            np.subtract(self.activation.over(moved), a[examples, None], out=moved)

        self.fours.output_after(row, fill, memory, out)

    @cached_property
    def _width(self) -> int:
        """How many places a sheet has."""
        (inputs, n), units = self.columns.shape, self.weights.shape[1]
        places = min(MOST_PLACES, max(FEWEST_PLACES, min(SHEET_NUMBERS // n, ONE_THREAD // units)))
        return -(-inputs // max(1, inputs // places))

    @cached_property
    def _inputs(self) -> Array:
        """The columns as rows, (n, places of all sheets); 0 where there is no input."""
        inputs, n = self.columns.shape
        found = np.zeros((n, -(-inputs // self._width) * self._width), self.columns.dtype)
        found[:, :inputs] = self.columns.T
        return found


def worth_sheets(inputs: int, z: Array, outputs: int) -> bool:
    """Whether a single output follows the units z (n, h), and a unit before has enough inputs, the one of its bias included."""
    n, units = z.shape
    if outputs > 1 or inputs < FEWEST_PLACES or units * FEWEST_PLACES > ONE_THREAD:
        return False
    return n <= MOST_EXAMPLES and n * units <= MOST_UNITS


def below_of(activation: Activation, trace: Trace, columns: list[Array], outputs: list[Array]) -> Below | None:
    """The last two hidden layers of a net with a single output; None where there is no faster way than in full.

    columns : what each layer's weights multiply, (inputs, n).   outputs : each layer's z, (units, n).
    """
    *_, z, last = trace.zs
    if not worth_sheets(len(columns[-3]), z, last.shape[1]):
        return None
    fours = fours_of(activation, z, trace.weights[-1][:, 0])
    if fours is None:
        return None
    # the last row of what the next layer multiplies are the ones of its bias
    return Below(activation, columns[-3], outputs[-3], columns[-2][:-1], trace.weights[-2], fours)
