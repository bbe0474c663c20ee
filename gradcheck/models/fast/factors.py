"""Losses along lines as products of factors, one for each example, so that one logarithm serves many examples.

With E = exp(h x) for h = |step|,

    softplus(z + h x) = softplus(z) + log((E + e^-z) / (1 + e^-z)),
    softplus(z - h x) = softplus(z) + log((E + e^z) / (1 + e^z)) - h x,

so one exponential serves both sides of z, and as a sum of logarithms is the logarithm of a product, one logarithm serves
many examples.  Each factor is rounded by a unit or two, whatever its size.

Every value depends on its own column and step, and on z and y: blocks follow from the number of examples alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradcheck.models.cross_entropy import distance_to_limit
from gradcheck.models.fast.blocks import SEGMENT, aligned, rows_of_block, segments
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray

# a step that changes no logit by more is small: E lies between 1/e and e
REACH = 1.0
# blocks whose logarithms are taken together
GROUP = 8
# numbers in a line of the cache, for float64
LANES = 8
# factors of a product: with more, the logarithms are no longer what takes time
MOST_FACTORS = 16
# with fewer examples the plain formula takes no longer than what products need beside them
FEWEST_EXAMPLES = 256


def may_be_clipped(z: Array) -> Array:
    """The examples that a step within ``REACH``, and its rounding, may bring to the limit where the loss is clipped; bool."""
    near: Array = distance_to_limit(z) <= REACH * (1 + 2.0**-10)
    return near


def worth_factors(n: int, total: float) -> bool:
    """Whether the factors' errors, each of a unit or two, are no more than the rounding of the sum of n losses itself.

    They add up to about sqrt(n) units; and as exp is rounded in one direction a little more often, by up to a quarter of a
    unit in float32, to n / 8.
    """
    return total >= max(math.sqrt(n), n / 8)


def roundings(n: int, groups: float) -> float:
    """How many roundings of a unit each the products of n factors have, where of each example there are ``groups`` equal ones.

    Each factor: exp and its addition, equal for equal examples, and its multiplication.
    """
    return (2 * groups + 1) * n


def slopes_of(y: Array, live: Array, columns: Array) -> Array:
    """The scalar products of each column with y and 1 - y by segment, (m, segments, 2); not term after term."""
    n = y.size
    # an example that is not live has the factor E and takes off h x, which is nothing
    linear = np.where(live, [y, 1 - y], 1).astype(y.dtype)
    parts = list(segments(n))
    found = np.empty((len(columns), len(parts), 2), y.dtype)

    def work(blocks: Iterator[slice]) -> None:
        for block in blocks:
            for k, part in enumerate(parts):
                _dots(columns[block, part], linear[:, part], found[block, k])

    over_blocks(work, len(columns), GROUP * rows_of_block(n), 2 * columns.size)
    return found


class _Side(NamedTuple):
    """One side of z: what is added to E, (n,); by segment 1 / the products at z, and the sum of the logarithms there, which
    is 0 but for rounding: so that a step of 0 changes nothing.
    """

    added: Array
    inverse: list[Array]
    at_zero: list[Array]


class _Sides(NamedTuple):
    """Both sides of z, and of how many factors a product is made at least."""

    above: _Side
    below: _Side
    factors: int


def _sides(z: Array, live: Array) -> _Sides:
    # log of the largest factor: a power of two so many that their product does not overflow, with as many again to spare
    log_factor = float(np.max(np.abs(z), where=live, initial=REACH)) + math.log(2)
    room = math.log(float(np.finfo(np.float32 if z.dtype.itemsize == 4 else np.float64).max))
    factors = min(MOST_FACTORS, 2 ** int(math.log2(max(1.0, room / (2 * log_factor)))))
    above = _side(np.where(live, np.exp(-z), 0), factors)
    below = _side(np.where(live, np.exp(z), 0), factors)
    return _Sides(above, below, factors)


class _Steps(NamedTuple):
    """Steps (m, k): their sizes and whether they go up; the order of the columns c in which equal sizes follow each other.

    fresh, some_up, some_down : for each block of rows and each c, whether the sizes are not those of the column before, and
        whether some go up, or down.
    """

    h: Array
    up: Array
    order: list[int]
    fresh: list[list[bool]]
    some_up: list[list[bool]]
    some_down: list[list[bool]]


def _ordered(steps: Array, lines: int) -> _Steps:
    """Mirrored steps share one exponential.  The order is found before the work starts: between two calls of NumPy a thread
    waits for the others.
    """
    h, up = np.abs(steps), steps >= 0
    order = np.argsort(h.max(axis=0, initial=0), kind="stable").tolist()
    starts = np.arange(0, len(steps), lines)
    new = np.ones(steps.shape, dtype=bool)
    new[:, order[1:]] = h[:, order[1:]] != h[:, order[:-1]]
    fresh, some_up, some_down = (np.logical_or.reduceat(which, starts).tolist() for which in (new, up, ~up))
    return _Steps(h, up, order, fresh, some_up, some_down)


def changes(z: Array, live: Array, columns: Array, steps: Array, slopes: Array) -> Array:
    """By how much the sum over the examples of softplus(s) - y s changes at s = z + steps[r, c] columns[r]; (m, k).

    live : the examples that are moved at all, (n,) bool; their z must not overflow.   slopes : ``slopes_of`` the columns.
    """
    sides, dtype = _sides(z, live), z.dtype
    above, below, _ = sides
    m, n = columns.shape
    lines = rows_of_block(n)
    planned = _ordered(steps, lines)
    h, up, order = planned[:3]
    change = np.empty(steps.shape, dtype)

    def work(blocks: Iterator[slice]) -> None:
        buffers = tuple(aligned(min(lines, m), min(n, SEGMENT), dtype) for _ in range(2))
        # one memory for all blocks: pages that are new each time take as long as some of the calls
        most = max((inverse.size for inverse in above.inverse), default=0)
        memory = np.empty(len(order) * min(GROUP * lines, m) * most, dtype)
        for block in blocks:
            change[block] = 0
            for k, part in enumerate(segments(n)):
                shape = len(order), block.stop - block.start, above.inverse[k].size
                products = memory[: math.prod(shape)].reshape(shape)
                for start in range(block.start, block.stop, lines):
                    rows = slice(start, min(start + lines, block.stop))
                    here = slice(start - block.start, rows.stop - block.start)
                    _multiplied(
                        sides, planned, start // lines, rows, part, columns[rows, part], buffers, products[:, here]
                    )
                these = slice(block.start // lines, -(-block.stop // lines))
                for c in order:
                    sides_taken = (any(one[c] for one in some[these]) for some in (planned.some_up, planned.some_down))
                    products[c] *= _chosen(above.inverse[k], below.inverse[k], up[block, c], *sides_taken)
                np.log(products, out=products)
                logs = products.sum(axis=2).T
                upward = (logs - above.at_zero[k]) - h[block] * slopes[block, k, :1]
                downward = (logs - below.at_zero[k]) - h[block] * slopes[block, k, 1:]
                change[block] += np.where(up[block], upward, downward)

    over_blocks(work, m, GROUP * lines, columns.size * steps.shape[1])
    return change


def _chosen(above: Array, below: Array, up: Array, some_up: bool, some_down: bool) -> Array:
    """``above`` for the rows that go up, ``below`` for the others; one row where all go to one side, as mirrored steps do."""
    if some_up and some_down:
        return np.where(up[:, None], above, below)
    return above if some_up else below


def _multiplied(
    sides: _Sides,
    planned: _Steps,
    at: int,
    rows: slice,
    part: slice,
    x: Array,
    buffers: tuple[Array, ...],
    products: Array,
) -> None:
    """The products of the factors of x, a block of columns in one segment, for every step; (k, rows, products).

    at : which block it is.   buffers : two, of the shape of x or larger, to be written over.
    """
    above, below, factors = sides
    h, up, order, fresh, some_up, some_down = planned
    e, f = (buffer[: len(x), : x.shape[1]] for buffer in buffers)
    for c, after in zip(order, [*order[1:], None], strict=True):
        if fresh[at][c]:
            np.multiply(x, h[rows, c, None], out=e)
            np.exp(e, out=e)
        added = _chosen(above.added[part], below.added[part], up[rows, c], some_up[at][c], some_down[at][c])
        # e itself where nobody asks for it again: less to keep in the cache
        moved = e if after is None or fresh[at][after] else f
        np.add(e, added, out=moved)
        _products(moved, factors, products[c])


def _side(added: Array, factors: int) -> _Side:
    parts = list(segments(added.size))
    row = aligned(1, added.size, added.dtype)[0]
    row[:] = added
    products = [_products(1 + added[None, part], factors) for part in parts]
    inverse = [1 / p[0] for p in products]
    at_zero = [np.log(p * i).sum(axis=1) for p, i in zip(products, inverse, strict=True)]
    return _Side(row, inverse, at_zero)


def _products(f: Array, factors: int, out: Array | None = None) -> Array:
    """Products of ``factors`` to twice as many of the entries of each row, contiguous; f is overwritten."""
    m, n = f.shape
    lanes = max(1, n // factors)
    if lanes > LANES:
        lanes -= lanes % LANES
    used = n // lanes * lanes
    if used < n:
        f[:, : n - used] *= f[:, used:]
    products: Array = np.multiply.reduce(f[:, :used].reshape(m, n // lanes, lanes), axis=1, out=out)
    return products


def _dots(x: Array, linear: Array, out: Array) -> None:
    """The scalar products of each row of x with each of ``linear``; not term after term where there is no BLAS."""
    if x.dtype.itemsize <= 8:
        np.vecdot(x[:, None], linear, out=out)
    else:
        np.sum(x[:, None] * linear, axis=2, out=out)
