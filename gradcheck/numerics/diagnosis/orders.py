"""Hypotheses of right values in another order: transposed, reversed, moved along an axis, exchanged blocks, or any order.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain, combinations, product
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import DECADES, decay, tolerance_of
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray

# How far values are looked for along an axis, and along how many axes.
FARTHEST = 3
AXES = 6
# Slices of a parameter that are compared each with each.
SLICES = 128


class Order(NamedTuple):
    """The value at ``here`` is the right one of ``there``, both indices into a parameter; ``words`` say which order that is."""

    words: str
    here: Array
    there: Array


def transposed(e: Evidence) -> Diagnosis | None:
    """The data term of each wrong matrix has the right values in the order of the transpose."""
    decades = 0.0
    for name in e.broken:
        shape, where = e.layout.shape(name), e.layout.slices[name]
        if sum(length > 1 for length in shape) < 2:
            return None
        order = np.arange(math.prod(shape))
        readings = (order.reshape(shape).T.reshape(-1), order.reshape(shape[::-1]).T.reshape(-1))
        best = [digits for reading in readings if (digits := _reordered(e, where, reading)) is not None]
        if not best:
            return None
        decades += max(best)
    if decades < DECADES:
        return None
    names = list(e.broken)
    return Diagnosis(
        "transposed",
        f"{say.listed(names)} {say.have(names)} the right values in the order of the transpose{say.rest(e)}: look for a .T or "
        f"a reshape in {say.derivatives(names)}.",
    )


def _reordered(e: Evidence, where: slice, order: Array) -> float | None:
    """Digits of evidence for a = n[order] in a parameter, but for a penalty d theta that is not reordered; None if it fails."""
    a, t, n, bound = e.a[where], e.theta[where], e.n[where][order], e.bound[where][order]
    rows = e.judged[where][order] & (order != np.arange(len(order)))
    if (e.wrong[where] & (order == np.arange(len(order)))).any() or not rows.any():
        return None
    a, n, bound, t, wrong = a[rows], n[rows], bound[rows], (t - t[order])[rows], e.wrong[where][rows]
    tolerance = tolerance_of(1.0, a, n, bound, e.unit)
    own = e.n[where][rows]
    for free, found in ((0, decay(a - n, None, tolerance)), (1, decay(a - n, t, tolerance) if t.any() else None)):
        if found is not None:
            digits = np.clip(np.nan_to_num(np.log10(np.minimum(np.abs(a - own), np.abs(a)) / tolerance)), 0.0, 16.0)
            digits = np.sort(digits[wrong])
            return float(digits[: max(0, len(digits) - free)].sum())
    return None


def permutation(e: Evidence) -> Diagnosis | None:
    """The values are the right ones in another order, inside each wrong parameter or over all of theta."""
    for groups in ([e.among([name]) for name in e.broken], [e.among(e.broken)]):
        found = [_sorted_alike(e, rows) for rows in groups]
        if all(found):
            inside = "entries" if len(groups) == len(e.broken) else "entries, across parameters,"
            return Diagnosis(
                "permutation",
                f"{say.listed(e.broken)} {say.have(e.broken)} the right values in another order{say.rest(e)}: look for "
                f"{inside} swapped, reversed or flattened in another order.",
            )
    return None


def _sorted_alike(e: Evidence, rows: Array) -> bool:
    """Whether both gradients have the same sorted values at ``rows``, with sufficient evidence."""
    if not e.judged[rows].all() or int(e.wrong[rows].sum()) < 2:
        return False
    a, n, bound = e.a[rows], e.n[rows], e.bound[rows]
    by_a, by_n = np.argsort(a, kind="stable"), np.argsort(n, kind="stable")
    tolerance = tolerance_of(1.0, a[by_a], n[by_n], bound[by_n], e.unit)
    if not (np.abs(a[by_a] - n[by_n]) <= tolerance).all():
        return False
    # values that lie within the tolerance of their neighbours agree by chance
    gaps = np.diff(n[by_n])
    gaps = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    digits = np.log10(gaps / tolerance)[e.wrong[rows][by_a]]
    return float(np.clip(np.nan_to_num(digits, nan=0.0), 0.0, 16.0).sum()) >= DECADES


def flipped(e: Evidence) -> Diagnosis | None:
    """The values of each wrong parameter stand reversed along some of its axes."""
    found = _explained(e, _reversals)
    if found is None:
        return None
    return Diagnosis(
        "flipped",
        f"{say.listed(e.broken)} {say.have(e.broken)} the right values reversed along {found}{say.rest(e)}: a kernel is turned "
        f"in one of both passes and not in the other.",
    )


def shifted(e: Evidence) -> Diagnosis | None:
    """The values of each wrong parameter stand a few places further along one or two axes."""
    found = _explained(e, _moves)
    if found is None:
        return None
    return Diagnosis(
        "shifted",
        f"{say.listed(e.broken)} {say.have(e.broken)} the right values {found}{say.rest(e)}: look at what is cut off or padded "
        f"there, and at the first index.",
    )


def _explained(e: Evidence, orders: Callable[[tuple[int, ...]], Iterator[Order]]) -> str | None:
    """The order, in words, that explains every wrong parameter with sufficient evidence; None if none does."""
    words, decades = None, 0.0
    for name in e.broken:
        where, shape = e.layout.slices[name], e.layout.shape(name)
        if len(shape) > AXES:
            return None
        tried = list(orders(shape))
        found = [
            (digits, order.words, len(order.here))
            for order in tried
            if (digits := _moved(e, where, order.here, order.there)) is not None
        ]
        if not found:
            return None
        digits, text, _ = max(found, key=lambda one: (one[2], one[0]))
        decades += digits - math.log10(len(tried))
        words = text if words is None else words
    return words if decades >= DECADES else None


def _reversals(shape: tuple[int, ...]) -> Iterator[Order]:
    index = np.arange(math.prod(shape)).reshape(shape)
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    for chosen in chain.from_iterable(combinations(axes, k) for k in range(1, len(axes) + 1)):
        words = f"ax{'is' if len(chosen) == 1 else 'es'} {' and '.join(map(str, chosen))}"
        yield Order(words, index.reshape(-1), np.flip(index, chosen).reshape(-1))


def _moves(shape: tuple[int, ...]) -> Iterator[Order]:
    """Moves along each axis, and along the last two together, of which at least half of the entries stay inside."""
    index = np.arange(math.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        for by in _distances(shape[axis]):
            yield _move(index, {axis: by})
    if len(shape) > 1:
        last = len(shape) - 1
        for up, left in product(_distances(shape[-2]), _distances(shape[-1])):
            yield _move(index, {last - 1: up, last: left})


def _distances(length: int) -> list[int]:
    farthest = min(FARTHEST, length // 2)
    return [by for by in range(-farthest, farthest + 1) if by]


def _move(index: Array, by: dict[int, int]) -> Order:
    here, there = [slice(None)] * index.ndim, [slice(None)] * index.ndim
    for axis, k in by.items():
        here[axis], there[axis] = (slice(k, None), slice(None, -k)) if k > 0 else (slice(None, k), slice(-k, None))
    steps = " and ".join(f"{k:+d} along axis {axis}" for axis, k in by.items())
    words = f"{steps} from where they belong"
    return Order(words, index[tuple(here)].reshape(-1), index[tuple(there)].reshape(-1))


def blocks(e: Evidence) -> Diagnosis | None:
    """The slices of each wrong parameter along an axis are those of other places along this axis: heads that are mixed."""
    decades, said, vectors = 0.0, [], []
    for name in e.broken:
        where, shape = e.layout.slices[name], e.layout.shape(name)
        if len(shape) == 1:
            vectors.append(where)
            continue
        found = [one for axis in range(len(shape)) if (one := _sources(e, where, shape, axis)) is not None]
        if not found:
            return None
        digits, axis, sources = max(found, key=lambda one: one[0])
        decades += digits
        said.append((axis, sources))
    # a vector, such as a bias, has one entry for each slice of a matrix
    known = [np.array(sources) for _, sources in said]
    for where in vectors:
        size = np.arange(where.stop - where.start)
        if not any(len(s) == len(size) and _moved(e, where, size, s) is not None for s in known):
            return None
    if decades < DECADES:
        return None
    axis, sources = said[0]
    first = next(i for i, source in enumerate(sources) if source != i)
    width = (
        next((k for k in range(first, len(sources)) if sources[k] - k != sources[first] - first), len(sources)) - first
    )
    part = f"slices {first} to {first + width - 1}" if width > 1 else f"slice {first}"
    return Diagnosis(
        "blocks",
        f"{say.listed(e.broken)} {say.have(e.broken)} the right values in the wrong blocks: {part} of axis {axis} hold"
        f"{'' if width > 1 else 's'} what belongs to {sources[first]}{f' to {sources[first] + width - 1}' if width > 1 else ''}"
        f"{say.rest(e)}: heads, gates or groups are mixed.",
    )


def _sources(e: Evidence, where: slice, shape: tuple[int, ...], axis: int) -> tuple[float, int, list[int]] | None:
    """Digits of evidence, the axis, and for each slice along it the one whose right values it holds; None without one."""
    length = shape[axis]
    if not 2 <= length <= SLICES or math.prod(shape) < 2 * length or not e.judged[where].all():
        return None
    index = np.moveaxis(np.arange(where.start, where.stop).reshape(shape), axis, 0).reshape(length, -1)
    wrong = e.wrong[index].any(axis=1)
    sources, digits = list(range(length)), 0.0
    for i in np.flatnonzero(wrong):
        a, n, bound = e.a[index[i]], e.n[index], e.bound[index]
        slack = tolerance_of(1.0, a[None], n, bound, e.unit)
        fits = (np.abs(a - n) <= slack).all(axis=1)
        if fits.sum() != 1:
            return None
        j = int(np.flatnonzero(fits)[0])
        sources[i] = j
        moved = np.log10(np.minimum(np.abs(a - n[i]), np.abs(a)) / slack[j])
        digits += float(np.nan_to_num(moved, nan=0.0).clip(0, 16).sum()) - math.log10(length)
    # a slice that two places hold was rather overwritten
    return (digits, axis, sources) if digits > 0 and len(set(sources)) == length else None


def _moved(e: Evidence, where: slice, here: Array, there: Array) -> float | None:
    """Digits of evidence for a[here] = n[there] inside a parameter; None where it fails, or explains no wrong entry."""
    a, n, bound = e.a[where][here], e.n[where][there], e.bound[where][there]
    known, wrong = e.judged[where][there], e.wrong[where][here]
    if (wrong & (here == there)).any() or not (wrong & known).any():
        return None
    tolerance = tolerance_of(1.0, a, n, bound, e.unit)
    if not (np.abs(a - n) <= tolerance)[known].all():
        return None
    own = e.n[where][here]
    digits = np.log10(np.minimum(np.abs(a - own), np.abs(a)) / tolerance)[known & wrong]
    return float(np.nan_to_num(digits, nan=0.0).clip(0.0, 16.0).sum())
