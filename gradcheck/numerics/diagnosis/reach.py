"""Hypotheses of what cannot act on the loss: a future, a padding, what lies beyond a step; and of what has a second use.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import DECADES
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray


def _silent(e: Evidence, name: str) -> Array:
    """Where the loss has no slope, in the shape of the parameter."""
    where, shape = e.layout.slices[name], e.layout.shape(name)
    found: Array = (e.judged & (np.abs(e.n) <= e.bound))[where].reshape(shape)
    return found


def _choices(size: int, chosen: int) -> float:
    """Digits of the number of ways to choose so many of ``size``."""
    return (math.lgamma(size + 1) - math.lgamma(chosen + 1) - math.lgamma(size - chosen + 1)) / math.log(10)


def causality(e: Evidence) -> Diagnosis | None:
    """What has no slope is one triangle of the last two axes: a later index does not act on an earlier one.

    The wrong entries lie there, or anywhere in an array of more than two axes: of a matrix one triangle may count for both.
    """
    if not (e.wrong & (np.abs(e.n) > e.bound)).any():
        return _one_way(e, say.rest(e), 2)
    return _one_way(e, "; other entries are wrong too", 3)


def causality_besides(e: Evidence) -> Diagnosis | None:
    """The same of a matrix, where other entries are wrong too."""
    return _one_way(e, "; other entries are wrong too", 2)


def _one_way(e: Evidence, besides: str, least: int) -> Diagnosis | None:
    sides = {name: _triangle_of(e, name) for name in e.broken if len(e.layout.shape(name)) >= least}
    found = [name for name, side in sides.items() if side]
    if not found:
        return None
    axes = len(e.layout.shape(found[0]))
    later, earlier = (axes - 1, axes - 2) if sides[found[0]] == 1 else (axes - 2, axes - 1)
    return Diagnosis(
        "causality",
        f"The loss has no slope by {say.listed(found)} where the index of axis {later} is above that of axis {earlier}, and "
        f"the gradient is not 0 there: a causal mask is missing in the backward pass{besides}.",
    )


def _triangle_of(e: Evidence, name: str) -> int:
    """1 or -1 where exactly the upper or the lower triangle of a parameter has no slope, and wrong entries; else 0."""
    silent = _silent(e, name)
    wrong = e.wrong[e.layout.slices[name]].reshape(silent.shape)
    if silent.ndim < 2 or not (wrong & silent).any():
        return 0
    return next((side for side in (1, -1) if _is_triangle(silent, side)), 0)


def _is_triangle(silent: Array, side: int) -> bool:
    """Whether the entries above (1) or below (-1) the diagonal of the last two axes are silent, and no others.

    The one entry that stands alone in its row may be: a softmax of one number is 1.
    """
    if silent.shape[-1] != silent.shape[-2] or silent.shape[-1] < 2:
        return False
    square = np.ones(silent.shape[-2:], dtype=bool)
    triangle = np.triu(square, 1) if side == 1 else np.tril(square, -1)
    if _choices(silent.size, int(triangle.sum()) * (silent.size // triangle.size)) < DECADES:
        return False
    expected = silent == triangle
    expected[..., 0 if side == 1 else -1, 0 if side == 1 else -1] = True
    return bool(expected.all())


def ends(e: Evidence) -> Diagnosis | None:
    """The ends of an axis have no slope and a gradient: from one index on, or from an index of its own in each row."""
    for name in e.broken:
        found = _ends_of(e, name)
        if found is not None:
            return found
    return None


def _ends_of(e: Evidence, name: str) -> Diagnosis | None:
    silent = _silent(e, name)
    wrong = e.wrong[e.layout.slices[name]].reshape(silent.shape)
    if silent.ndim < 3 or 2 * int((wrong & silent).sum()) < int(silent.sum()) or not silent.any():
        return None
    # (examples, time, features): a step is silent as a whole
    steps = silent.reshape(*silent.shape[:2], -1)
    whole = steps.all(axis=2)
    if (steps.any(axis=2) != whole).any():
        return None
    lengths = (~whole).sum(axis=1)
    inside = np.arange(whole.shape[1]) < lengths[:, None]
    if not (whole == ~inside).all() or not lengths.any():
        return None
    if _choices(silent.size, int(silent.sum())) < DECADES:
        return None
    besides = "; other entries are wrong too" if (e.wrong & (np.abs(e.n) > e.bound)).any() else say.rest(e)
    if len(set(lengths.tolist())) == 1:
        return Diagnosis(
            "causality",
            f"From index {lengths[0]} of axis 1 on, {say.brief(name)} does not act on the loss, and the gradient is not 0 "
            f"there{besides}: a causal mask, or one of padding, is missing in the backward pass.",
        )
    return Diagnosis(
        "padding",
        f"After an index of its own in each row of axis 0, {say.brief(name)} does not act on the loss, and the gradient is not "
        f"0 there{besides}: padding is not masked in the backward pass.",
    )


def padding(e: Evidence) -> Diagnosis | None:
    """Whole rows of one matrix have no slope, and alone are wrong."""
    if len(e.broken) != 1:
        return None
    found = _idle_rows(e, e.broken[0])
    if found is None or (e.wrong & (np.abs(e.n) > e.bound)).any():
        return None
    return Diagnosis(
        "padding",
        f"{found} {say.others(e)}: padding is not masked in the backward pass, or its row is updated.",
    )


def padding_besides(e: Evidence) -> Diagnosis | None:
    """Whole rows of the first matrix have no slope and are wrong, and other weights are wrong too."""
    first = e.layout.names[0]
    found = _idle_rows(e, first) if first in e.broken else None
    if found is None:
        return None
    return Diagnosis(
        "padding",
        f"{found} other entries are wrong too: padding is not masked in the backward pass.",
    )


def _idle_rows(e: Evidence, name: str) -> str | None:
    """The rows of a matrix that have no slope and a gradient, in words; None where silent entries are no whole rows."""
    silent = _silent(e, name)
    if silent.ndim != 2 or min(silent.shape) < 2:
        return None
    wrong = e.wrong[e.layout.slices[name]].reshape(silent.shape)
    idle = silent.all(axis=1)
    which = np.flatnonzero(idle & wrong.any(axis=1))
    if not len(which) or silent[~idle].any() or idle.all():
        return None
    if _choices(silent.size, int(silent.sum())) < DECADES + math.log10(len(silent)):
        return None
    # a unit that gives nothing, in a net whose units are rows, is silent in its bias too
    for other, shape in zip(e.layout.names, e.layout.shapes, strict=True):
        if shape == (len(silent),) and (_silent(e, other) & e.wrong[e.layout.slices[other]])[which].any():
            return None
    rows = f"Row{'s' if len(which) > 1 else ''} {_listed(which)} of {say.brief(name)}"
    verb = "does" if len(which) == 1 else "do"
    return f"{rows} {verb} not act on the loss, and the gradient is not 0 there;"


def truncated(e: Evidence) -> Diagnosis | None:
    """Along an axis of one parameter all is right at one end, and wrong everywhere else."""
    for name in e.broken:
        for axis, places in _cuts(e, name):
            return Diagnosis(
                "truncated",
                f"{say.brief(name)} is right {places} of axis {axis}, and wrong at all others: what is handed on along it, "
                f"as from step to step, is cut off or wrong{say.rest(e, ';')}.",
            )
    return None


def _cuts(e: Evidence, name: str) -> Iterator[tuple[int, str]]:
    """The axes along which one end is right, and its places in words.  In the last axis are features, in the first examples."""
    where, shape = e.layout.slices[name], e.layout.shape(name)
    if len(shape) != 3:
        return
    wrong, seen = e.wrong[where].reshape(shape), e.counted[where].reshape(shape)
    for axis in (1, 0):
        others = tuple(k for k in range(3) if k != axis)
        count, of = wrong.sum(axis=others), seen.sum(axis=others)
        right, off = (count == 0) & (of > 1), count >= 0.6 * np.maximum(of, 1)
        if not (right | off).all() or not right.any() or not off.any():
            continue
        cut = int(right.sum())
        least = 1 if axis == 1 else 2
        if min(cut, len(right) - cut) < least or (axis == 0 and len(right) < 4):
            continue
        if right[-cut:].all():
            yield axis, "at the last index" if cut == 1 else f"from index {len(right) - cut}"
        elif right[:cut].all():
            yield axis, "at index 0" if cut == 1 else f"up to index {cut - 1}"


def tied(e: Evidence) -> Diagnosis | None:
    """In one matrix some rows are 0 where the slope is not, and all its other rows are wrong: of two uses one is missing."""
    for name in e.broken:
        where, shape = e.layout.slices[name], e.layout.shape(name)
        if len(shape) != 2 or min(shape) < 2:
            continue
        zero = (e.raw[where].reshape(shape) == 0).all(axis=1)
        wrong, seen = e.wrong[where].reshape(shape), e.counted[where].reshape(shape)
        off = wrong.sum(axis=1) >= 0.6 * np.maximum(seen.sum(axis=1), 1)
        if not zero.any() or zero.all() or not off.all() or (seen.sum(axis=1) < 2).any():
            continue
        return Diagnosis(
            "tied",
            f"Rows {_listed(np.flatnonzero(zero))} of {say.brief(name)} are 0 where the slope is not, and all other rows are "
            f"wrong{say.rest(e)}: the loss uses it in more places than the gradient adds up.",
        )
    return None


def _listed(which: Array) -> str:
    return ", ".join(map(str, which[:3])) + (" …" if len(which) > 3 else "")
