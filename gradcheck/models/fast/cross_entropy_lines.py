"""Cross-entropy along lines: a weight of the last layer moves the logits z along its input x, to z + step x.

With E = exp(h x) for h = |step|,

    softplus(z + h x) = softplus(z) + log((E + e^-z) / (1 + e^-z)),
    softplus(z - h x) = softplus(z) + log((E + e^z) / (1 + e^z)) - h x,

so one exponential serves both sides of z, and as a sum of logarithms is the logarithm of a product, one logarithm serves
many examples.  Each factor is rounded by a unit or two, whatever its size: predictions so confident that this is more than
what the sum of their small losses is rounded by are summed by the plain formula, as are few examples, steps that change a
logit by more than ``REACH``, and examples that such a step may bring to the limit of ``cross_entropy``.

Every value depends on its own column and step, and on z and y: blocks follow from the number of examples alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradcheck.models.cross_entropy import LOGIT_LIMIT, cross_entropy_loss_rounding, cross_entropy_total, probability
from gradcheck.models.fast.blocks import SEGMENT, aligned, in_block, largest_of, rows_of_block, segments
from gradcheck.models.functions import clip, is_complex
from gradcheck.models.sums import ACROSS, repetition, sum_roundings
from gradcheck.numerics.rounding import VARIANCE, binade
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray

# a step that changes no logit by more is small: E lies between 1/e and e
REACH = 1.0
# blocks whose logarithms are taken together
GROUP = 8
# numbers in a line of the cache, for float64
LANES = 8
# with fewer examples the plain formula takes no longer than what products need beside them
FEWEST_EXAMPLES = 256
# factors of a product: with more, the logarithms are no longer what takes time
MOST_FACTORS = 16


def cross_entropy_along(
    z: Array, y: Array, columns: Array, steps: Array, largest: Array | None = None, slopes: Array | None = None
) -> Array:
    """Sum over the examples of softplus(s) - y s with s = clip(z + steps[r, c] columns[r], -limit, limit); (m, k).

    z, y : (n,) logits and targets in [0, 1].
    columns : (m, n) what a step of 1 adds to z, C-contiguous.
    steps : (m, k) in z's dtype, or complex: then by the plain formula.
    largest : (m,) max |columns| along the examples, if it is known.
    slopes : ``cross_entropy_slopes`` of these columns, if they are known.
    """
    z, y = np.ascontiguousarray(z), np.ascontiguousarray(y)
    with np.errstate(all="ignore"):
        if is_complex(steps) or not _factored(z, y):
            return _plainly(z, y, columns, steps)
        if slopes is None:
            slopes = _slopes(z, y, columns)
        out, near = _by_factors(z, y, columns, steps, largest, slopes)
        rows = ~near.all(axis=1)
        if rows.any():
            chosen = slice(None) if rows.all() else rows
            out[chosen] = np.where(near[chosen], out[chosen], _plainly(z, y, columns[chosen], steps[chosen]))
    return out


def cross_entropy_slopes(z: Array, y: Array, columns: Array) -> Array | None:
    """What ``cross_entropy_along`` needs of the columns whatever the steps are; None where that is nothing."""
    return _slopes(z, y, columns) if _factored(z, y) else None


def cross_entropy_along_rounding(z: Array, y: Array, u: float, groups: float | None = None) -> float:
    """Standard deviation of the rounding error that ``cross_entropy_along`` adds to that of z; u is the unit roundoff.

    z, y : (n,) or (n, k) for several outputs, in float64.   groups : their ``repetition``, if it is known.
    """
    if not z.size:
        return 0.0
    z, y = z.reshape(len(z), -1), y.reshape(len(z), -1)
    groups = repetition(z) if groups is None else groups
    # z + step x is rounded, and so is the loss of each example
    moved = math.sqrt(VARIANCE) * binade(clip(z, -LOGIT_LIMIT, LOGIT_LIMIT))
    own = np.hypot((probability(z) - y) * moved, cross_entropy_loss_rounding(z, y))
    by_factors = any(_factored(z[:, j], y[:, j]) for j in range(z.shape[1]))
    # each factor: exp, its addition, equal for equal examples, and its multiplication, one unit each
    factors = (2 * groups + 1) * len(z) if by_factors else 0
    sums = sum_roundings(float(cross_entropy_total(z, y)), z.size, groups)
    return u * math.sqrt(ACROSS * (groups * float((own**2).sum()) + VARIANCE * sums) + VARIANCE * factors)


def _factored(z: Array, y: Array) -> bool:
    """Whether there are enough examples for products, and the factors' errors, each of a unit or two, are no more than the
    rounding of the sum of the losses itself.

    They add up to about sqrt(n) units; and as exp is rounded in one direction a little more often, by up to a quarter of a
    unit in float32, to n / 8.
    """
    if z.size < FEWEST_EXAMPLES:
        return False
    size = float(cross_entropy_total(z.reshape(-1, 1), y.reshape(-1, 1)))
    return size >= max(math.sqrt(z.size), z.size / 8)


def _plainly(z: Array, y: Array, columns: Array, steps: Array) -> Array:
    """The formula of ``cross_entropy_total`` as it stands, in the same order, on buffers; complex steps through itself."""
    n = z.size
    out = np.empty(steps.shape, np.result_type(z, steps))
    k = steps.shape[1]
    # no segments: the plain sum is pairwise over all examples
    together = max(1, min(k, in_block(n)))
    lines = in_block(n * together)

    def work(blocks: Iterator[slice]) -> None:
        buffers = [aligned(min(lines, len(columns)) * together, n, out.dtype) for _ in range(3)]
        for block in blocks:
            for start in range(0, k, together):
                some = slice(start, start + together)
                x, h = columns[block, None], steps[block, some, None]
                s, e, f = (b[: h.size].reshape(h.shape[0], h.shape[1], n) for b in buffers)
                np.multiply(x, h, out=s)
                s += z
                if is_complex(s):
                    # a stack of logits (points, n, 1), as a layer with one output has them
                    out[block, some] = cross_entropy_total(s.reshape(-1, n, 1), y[:, None]).reshape(s.shape[:2])
                    continue
                np.maximum(s, -LOGIT_LIMIT, out=s)
                np.minimum(s, LOGIT_LIMIT, out=s)
                np.abs(s, out=e)
                np.negative(e, out=e)
                np.exp(e, out=e)
                np.log1p(e, out=e)
                np.maximum(s, 0, out=f)
                s *= y
                f -= s
                f += e
                np.add.reduce(f, axis=2, out=out[block, some])

    with np.errstate(all="ignore"):
        over_blocks(work, len(columns), lines, 4 * columns.size * k)
    return out


class _Side(NamedTuple):
    """One side of z: what is added to E, (n,); by segment 1 / the products at z, and the sum of the logarithms there, which
    is 0 but for rounding: so that a step of 0 changes nothing.
    """

    added: Array
    inverse: list[Array]
    at_zero: list[Array]


def _live(z: Array) -> Array:
    """The examples that no small step brings to the limit."""
    return np.abs(z) < LOGIT_LIMIT - REACH


def _slopes(z: Array, y: Array, columns: Array) -> Array:
    """The scalar products of each column with y and 1 - y by segment, (m, segments, 2); not term after term."""
    n = z.size
    # an example that is not live has the factor E and takes off h x, which is nothing
    linear = np.where(_live(z), [y, 1 - y], 1).astype(z.dtype)
    parts = list(segments(n))
    found = np.empty((len(columns), len(parts), 2), z.dtype)

    def work(blocks: Iterator[slice]) -> None:
        for block in blocks:
            for k, part in enumerate(parts):
                _dots(columns[block, part], linear[:, part], found[block, k])

    over_blocks(work, len(columns), GROUP * rows_of_block(n), 2 * columns.size)
    return found


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


def _by_factors(
    z: Array, y: Array, columns: Array, steps: Array, largest: Array | None, slopes: Array
) -> tuple[Array, Array]:
    """Totals for steps within ``REACH``, and which these are."""
    live = _live(z)
    edge = ~live & (np.abs(z) <= LOGIT_LIMIT + REACH)
    near = (largest_of(columns) if largest is None else largest)[:, None] * np.abs(steps) <= REACH
    steps = np.where(near, steps, 0)
    change = _changes(_sides(z, live), columns, steps, slopes, z.dtype)
    if edge.any():
        z_edge, y_edge = z[edge], y[edge]
        there = _plainly(z_edge, y_edge, np.ascontiguousarray(columns[:, edge]), steps)
        change += there - cross_entropy_total(z_edge[:, None], y_edge[:, None])
    return cross_entropy_total(z[:, None], y[:, None]) + change, near


def _changes(sides: _Sides, columns: Array, steps: Array, slopes: Array, dtype: np.dtype) -> Array:
    """By how much the sum over the examples changes, (m, k)."""
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
                for c in order:
                    products[c] *= np.where(up[block, c, None], above.inverse[k], below.inverse[k])
                np.log(products, out=products)
                logs = products.sum(axis=2).T
                upward = (logs - above.at_zero[k]) - h[block] * slopes[block, k, :1]
                downward = (logs - below.at_zero[k]) - h[block] * slopes[block, k, 1:]
                change[block] += np.where(up[block], upward, downward)

    over_blocks(work, m, GROUP * lines, columns.size * steps.shape[1])
    return change


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
        if not some_down[at][c]:
            added = above.added[part]
        elif not some_up[at][c]:
            added = below.added[part]
        else:
            added = np.where(up[rows, c, None], above.added[part], below.added[part])
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
