"""Laws that a loss may obey, as sums of gradients that are 0, and the evidence for them.

Where a loss does not move when a constant is added to some entries, their gradients sum to 0.  Where it does not move when they
are multiplied by a number, the products of gradient and weight sum to 0.  Such a law is read off the numeric gradient: it holds
where each of its sums is 0 within the bounds.  It must have been able to fail: of numbers of this size so small a sum is so
improbable, and the digits of that are counted, as many as it takes to choose among the laws that were tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import UNITS, together

Array = np.ndarray

# A norm divides by sqrt(variance + 1e-5), so that a scale moves the loss a little.  No sum may be more than this part of its
# terms.
NEAR = 1e-3
# The gradient breaks a law only where its sum is so many times what a right gradient could show.
CLEARLY = 10.0
# Axes of which all subsets are tried.
AXES = 4


@dataclass(frozen=True)
class Law:
    """The sum over each group of weight times gradient is 0.

    along : of what, in words.   names : the parameters.   groups : (groups, size) flat indices.
    scaled : whether the weight is theta, else 1.
    """

    along: str
    names: tuple[str, ...]
    groups: Array
    scaled: bool


class Held(NamedTuple):
    """A law that the numeric gradient obeys.

    digits : of evidence for it.   tested : (groups,) which groups are part of the evidence.
    broken : (groups,) in which of them the analytic gradient breaks it.
    """

    law: Law
    digits: float
    tested: Array
    broken: Array


def held(e: Evidence, law: Law) -> Held | None:
    """The evidence for a law; None where it does not hold."""
    weight = e.theta[law.groups] if law.scaled else np.ones(law.groups.shape)
    known = e.judged[law.groups].all(axis=1)
    n, a = (np.where(known[:, None], weight * g[law.groups], 0.0) for g in (e.n, e.a))
    bound = np.where(known[:, None], np.abs(weight) * e.bound[law.groups], 0.0).sum(axis=1)
    slack = bound + UNITS * e.unit * np.abs(n).sum(axis=1)
    size, moved = np.linalg.norm(n, axis=1), np.abs(n.sum(axis=1))
    tested = known & (size > slack)
    if not tested.any():
        return None
    if (moved <= slack)[known].all():
        digits = float(np.log10(size[tested] / slack[tested]).clip(0, 16).sum())
    elif law.scaled and (moved <= np.maximum(slack, NEAR * size))[known].all():
        digits = together(np.log10(size[tested] / np.maximum(moved, slack)[tested]))
    else:
        return None
    shown = CLEARLY * np.maximum(moved, bound + UNITS * e.unit * np.abs(a).sum(axis=1))
    if law.scaled:
        # a right gradient would be as far from 0 as the loss is
        shown = np.maximum(shown, NEAR * np.linalg.norm(a, axis=1))
    return Held(law, digits, tested, tested & (np.abs(a.sum(axis=1)) > shown))


def shifts(e: Evidence, name: str) -> Iterator[Law]:
    """A constant is added to a parameter along some of its axes, or to groups of neighbours; the smallest groups first."""
    for along, groups in _parts(e, name):
        yield Law(along, (name,), groups, scaled=False)


def scales(e: Evidence, name: str) -> Iterator[Law]:
    """A parameter is multiplied by a number along some of its axes, together with the vector that follows it or alone."""
    yield from _with_vector(e, name)
    for along, groups in _parts(e, name):
        yield Law(along, (name,), groups, scaled=True)


def _with_vector(e: Evidence, name: str) -> Iterator[Law]:
    """Columns of a matrix, or its rows, in groups of so many neighbours, each with its entries of the vector behind it."""
    place = e.layout.names.index(name)
    shapes = e.layout.shapes[place : place + 2]
    if len(shapes) < 2 or len(shapes[1]) != 1 or len(shapes[0]) < 2 or not math.prod(shapes[0]):
        return
    both = e.layout.names[place : place + 2]
    own, vector = _indices(e, both[0]), _indices(e, both[1])
    (length,) = shapes[1]
    for axis, units in ((-1, own.reshape(-1, shapes[0][-1]).T), (0, own.reshape(shapes[0][0], -1))):
        if shapes[0][axis] != length or (axis == 0 and shapes[0][0] == shapes[0][-1]):
            continue
        whole = np.column_stack([units, vector])
        for count in range(length, 0, -1):
            if length % count == 0:
                yield Law(_grouped(both, axis, length // count, count), both, whole.reshape(count, -1), scaled=True)


def _grouped(names: tuple[str, ...], axis: int, size: int, count: int) -> str:
    if count == 1:
        return say.listed(names)
    what = "column" if axis else "row"
    each = f"each {what}" if size == 1 else f"each {size} {what}s"
    return f"{each} of {say.listed(names)}"


def _indices(e: Evidence, name: str) -> Array:
    where = e.layout.slices[name]
    return np.arange(where.start, where.stop)


def _parts(e: Evidence, name: str) -> Iterator[tuple[str, Array]]:
    shape = e.layout.shape(name)
    if not 1 <= len(shape) <= AXES or not math.prod(shape):
        return
    index = _indices(e, name).reshape(shape)
    found = [*_along_axes(index), *_neighbours(index)]
    for along, groups in sorted(found, key=lambda part: part[1].shape[1]):
        if groups.shape[1] > 1:
            yield f"{say.brief(name)}{along}", groups


def _along_axes(index: Array) -> Iterator[tuple[str, Array]]:
    """Groups of entries that differ in some of the axes alone."""
    axes = [axis for axis, length in enumerate(index.shape) if length > 1]
    for chosen in chain.from_iterable(combinations(axes, k) for k in range(1, len(axes) + 1)):
        groups = np.moveaxis(index, chosen, range(-len(chosen), 0))
        size = math.prod(index.shape[axis] for axis in chosen)
        words = "" if len(chosen) == len(axes) else f" along ax{'is' if len(chosen) == 1 else 'es'} {_numbers(chosen)}"
        yield words, groups.reshape(-1, size)


def _neighbours(index: Array) -> Iterator[tuple[str, Array]]:
    """Groups of neighbours along an axis, each with all that follows in later axes: those of a group norm."""
    for axis, length in enumerate(index.shape):
        for count in range(2, length // 2 + 1):
            if length % count == 0:
                lead = math.prod(index.shape[:axis])
                groups = index.reshape(lead * count, -1)
                yield f" along axis {axis} in groups of {length // count}", groups


def _numbers(axes: tuple[int, ...]) -> str:
    return " and ".join([", ".join(map(str, axes[:-1])), str(axes[-1])] if len(axes) > 1 else map(str, axes))
