"""Cross-entropy along lines: a weight of the last layer moves the logits z along its input x, to z + step x.

Mostly the sums are those of ``factors``.  Predictions so confident that a factor's rounding is more than what the sum of
their small losses is rounded by are summed by the plain formula, as are few examples, steps that change a logit by more than
``REACH``, and examples that such a step may bring to the limit of ``cross_entropy``.

Every value depends on its own column and step, and on z and y: blocks follow from the number of examples alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradcheck.models.cross_entropy import LOGIT_LIMIT, cross_entropy_loss_rounding, cross_entropy_total, probability
from gradcheck.models.fast import factors
from gradcheck.models.fast.blocks import aligned, in_block, largest_of
from gradcheck.models.fast.factors import REACH, slopes_of
from gradcheck.models.functions import clip, is_complex
from gradcheck.models.sums import ACROSS, repetition, sum_roundings
from gradcheck.numerics.rounding import VARIANCE, binade
from gradcheck.numerics.threads import over_blocks

Array = np.ndarray


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
        if is_complex(steps) or not factored(z, y):
            return _plainly(z, y, columns, steps)
        if slopes is None:
            slopes = slopes_of(y, _live(z), columns)
        out, near = _by_factors(z, y, columns, steps, largest, slopes)
        rows = ~near.all(axis=1)
        if rows.any():
            chosen = slice(None) if rows.all() else rows
            out[chosen] = np.where(near[chosen], out[chosen], _plainly(z, y, columns[chosen], steps[chosen]))
    return out


def cross_entropy_slopes(z: Array, y: Array, columns: Array) -> Array | None:
    """What ``cross_entropy_along`` needs of the columns whatever the steps are; None where that is nothing."""
    return slopes_of(y, _live(z), columns) if factored(z, y) else None


def cross_entropy_along_rounding(z: Array, y: Array, u: float, groups: float | None = None) -> float:
    """Standard deviation of the rounding error that ``cross_entropy_along`` adds to that of z; u is the unit roundoff.

    z, y : (n,) or (n, k) for several outputs, in float64.   groups : their ``repetition``, if it is known.
    """
    if not z.size:
        return 0.0
    z, y = z.reshape(len(z), -1), y.reshape(len(z), -1)
    groups = repetition(z) if groups is None else groups
    return float(cross_entropy_along_roundings(z[None], y[None], u, np.array([groups]))[0])


def cross_entropy_along_roundings(z: Array, y: Array, u: float, groups: Array) -> Array:
    """``cross_entropy_along_rounding`` of several nets with examples of their own: z, y (p, n, k), groups (p,); (p,)."""
    n = z.shape[1]
    # z + step x is rounded, and so is the loss of each example
    moved = math.sqrt(VARIANCE) * binade(clip(z, -LOGIT_LIMIT, LOGIT_LIMIT))
    own = np.hypot((probability(z) - y) * moved, cross_entropy_loss_rounding(z, y))
    of_factors = np.zeros(len(z))
    for p in range(len(z)) if n >= factors.FEWEST_EXAMPLES else ():
        if any(factored(z[p, :, j], y[p, :, j]) for j in range(z.shape[2])):
            of_factors[p] = factors.roundings(n, groups[p])
    sums = sum_roundings(cross_entropy_total(z, y), z[0].size, groups)
    squares = (own**2).reshape(len(z), -1).sum(axis=1)
    return u * np.sqrt(ACROSS * (groups * squares + VARIANCE * sums) + VARIANCE * of_factors)


def factored(z: Array, y: Array) -> bool:
    """Whether there are enough examples for products, and the losses are large enough."""
    if z.size < factors.FEWEST_EXAMPLES:
        return False
    return factors.worth_factors(z.size, float(cross_entropy_total(z.reshape(-1, 1), y.reshape(-1, 1))))


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


def _live(z: Array) -> Array:
    """The examples that no small step brings to the limit."""
    return np.abs(z) < LOGIT_LIMIT - REACH


def _by_factors(
    z: Array, y: Array, columns: Array, steps: Array, largest: Array | None, slopes: Array
) -> tuple[Array, Array]:
    """Totals for steps within ``REACH``, and which these are."""
    live = _live(z)
    edge = ~live & (np.abs(z) <= LOGIT_LIMIT + REACH)
    near = (largest_of(columns) if largest is None else largest)[:, None] * np.abs(steps) <= REACH
    steps = np.where(near, steps, 0)
    change = factors.changes(z, live, columns, steps, slopes)
    if edge.any():
        z_edge, y_edge = z[edge], y[edge]
        there = _plainly(z_edge, y_edge, np.ascontiguousarray(columns[:, edge]), steps)
        change += there - cross_entropy_total(z_edge[:, None], y_edge[:, None])
    return cross_entropy_total(z[:, None], y[:, None]) + change, near
