"""Hypotheses of what the ratio analytic / numeric is at each weight: the weight itself, one over a whole number, one number.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import DECADES, claims, distinct, fit, sum_of_digits, tolerance_of
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray

# Repeats of an index that are looked for; each row may have its own number, which costs that many decades.
REPEATS = 1000

# How a weight x is bent where one of both gradients is by another variable: analytic / numeric, and what it looks like.
_BENT: tuple[tuple[str, Callable[[Array], Array], str], ...] = (
    ("the weight itself", lambda x: x, "that is the derivative by its logarithm"),
    ("1 over the weight", lambda x: 1 / x, "the derivative by its logarithm is this one times the weight"),
    (
        "exp(-weight)",
        lambda x: np.exp(-x),
        "the chain rule's factor exp(weight) is missing, as of a weight that is a logarithm",
    ),
    ("exp(weight)", np.exp, "a factor exp(weight) is too much: the weight is no logarithm"),
)


def alike(e: Evidence) -> Diagnosis | None:
    """All wrong entries have the same two numbers, so that one comparison was made and not several."""
    count = int(e.wrong.sum())
    rows = e.wrong & e.judged
    if count < 2 or int(rows.sum()) != count or (e.counted & ~e.wrong & e.among(e.broken)).any():
        return None
    a, n = e.a[rows], e.n[rows]
    tolerance = tolerance_of(1.0, a, n, e.bound[rows], e.unit)
    # numbers that are apart by less than wide bounds are not the same: of the claims each digit is known
    if len(claims(a, e.unit)) > 1 or len(distinct(a, n, tolerance)) > 1 or (np.abs(n) <= e.bound[rows]).any():
        return None
    ratio = say.number(float(a[0] / n[0]), float(e.bound[rows][0] / abs(n[0])))
    return Diagnosis(
        "unknown",
        f"{say.some(e)} are wrong by the same numbers ({say.pair(e)}), ratio {ratio}: one comparison, {count} times, is no "
        f"evidence of a factor. Take an x0 whose entries differ.",
    )


def bent(e: Evidence) -> Diagnosis | None:
    """a = n x, or n / x, n exp(x), n exp(-x): a variable was exchanged for its logarithm."""
    rows = e.among(e.broken) & e.judged
    a, n, bound, wrong = e.a[rows], e.n[rows], e.bound[rows], e.wrong[rows]
    x = np.ldexp(e.theta[rows], e.exponent_theta)
    # a gradient, or a slope, that is one number everywhere is bent by nothing
    if min(len(distinct(v[wrong], v[wrong], tolerance_of(1.0, v, v, bound, e.unit)[wrong])) for v in (a, n)) < 2:
        return None
    for ratio, bend, words in _BENT:
        factor = bend(x)
        # the factor itself is rounded, and exp(x) by as many units as x has
        tolerance = tolerance_of(1.0, a, factor * n, np.abs(factor) * bound, e.unit * np.maximum(1.0, np.abs(x)))
        if not (np.isfinite(factor).all() and (np.abs(a - factor * n) <= tolerance).all()):
            continue
        digits = sum_of_digits(a, n, tolerance, wrong, 0) - math.log10(len(_BENT))
        if digits >= DECADES:
            return Diagnosis(
                "logarithm",
                f"{say.listed(e.broken)}: analytic/numeric is {ratio}{say.rest(e)}: {words}.",
            )
    return None


def repeated(e: Evidence) -> Diagnosis | None:
    """The wrong rows of each parameter are 1/2, 1/3 … of the slope: of contributions to one row the last is kept."""
    decades, found, whole = 0.0, set(), True
    rows = e.wrong & e.judged
    if len(distinct(e.a[rows], e.n[rows], e.bound[rows])) < 2:
        return None
    for name in e.broken:
        shape, where = e.layout.shape(name), e.layout.slices[name]
        row = np.arange(where.stop - where.start) // max(math.prod(shape[1:]), 1)
        a, n, bound, wrong = e.a[where], e.n[where], e.bound[where], e.wrong[where]
        times = np.full(len(a), 1.0)
        for k in np.unique(row[wrong]):
            here = (row == k) & e.judged[where] & (np.abs(n) > bound)
            with np.errstate(all="ignore"):
                m = np.unique(np.round(n[here] / a[here]))
            if len(m) != 1 or not 2 <= m[0] <= REPEATS:
                return None
            times[row == k] = m[0]
            whole &= int(here.sum()) > 1
            decades -= math.log10(REPEATS)
            found.add(int(m[0]))
        tolerance = tolerance_of(1.0, a, n / times, bound / times, e.unit)
        if not (np.abs(a - n / times) <= tolerance)[e.judged[where]].all():
            return None
        decades += sum_of_digits(a, n, tolerance, wrong, 0)
    # entries at 1/2 alone may be so for many reasons; not whole rows, and not some at 1/2 and some at 1/3
    if decades < DECADES or not (whole or len(found) > 1):
        return None
    parts = ", ".join(f"1/{m}" for m in sorted(found)[:3]) + (" …" if len(found) > 3 else "")
    return Diagnosis(
        "repeated_index",
        f"{say.some(e)} are {parts} of the slope, {say.others(e)}: where an index repeats or windows overlap, one contribution "
        f"is kept. Add all (np.add.at).",
    )


def of_each_slice(e: Evidence) -> Diagnosis | None:
    """Each row or column of every wrong parameter is off by a factor of its own."""
    decades, said = 0.0, ""
    for name in e.broken:
        shape, where = e.layout.shape(name), e.layout.slices[name]
        found = [one for axis in range(len(shape)) if (one := _factors_along(e, where, shape, axis)) is not None]
        if not found:
            return None
        digits, axis, factors = max(found, key=lambda one: one[0])
        decades += digits
        said = said or f" along axis {axis}{_taken_from(e, factors)}"
    if decades < DECADES:
        return None
    return Diagnosis(
        "slice_factor",
        f"{say.listed(e.broken)}: each slice{said} is off by a factor of its own{say.rest(e)}: look for a vector that is "
        f"missing, taken twice, or taken from elsewhere.",
    )


def _factors_along(e: Evidence, where: slice, shape: tuple[int, ...], axis: int) -> tuple[float, int, Array] | None:
    """Digits of evidence that each slice along an axis has its own factor, the axis, and the factors; None where that fails."""
    if shape[axis] < 2 or math.prod(shape) < 3 * shape[axis]:
        return None
    index = np.moveaxis(np.arange(where.start, where.stop).reshape(shape), axis, 0).reshape(shape[axis], -1)
    factors, digits = np.ones(shape[axis]), 0.0
    for k, at in enumerate(index):
        if not e.wrong[at].any():
            continue
        rows = np.zeros(e.layout.size, dtype=bool)
        rows[at] = True
        one = fit(e, rows, named=False)
        if one is None:
            return None
        factors[k] = one.factor
        digits += one.decades
    return digits, axis, factors


def _taken_from(e: Evidence, factors: Array) -> str:
    """The vector, or one over it, that these factors are, in words; empty if none is."""
    for name, where in e.layout.slices.items():
        x = np.ldexp(e.theta[where], e.exponent_theta)
        if len(x) != len(factors) or len(e.layout.shape(name)) != 1 or np.ptp(x) == 0:
            continue
        for words, factor in ((f" ({say.brief(name)})", x), (f" (1 / {say.brief(name)})", 1 / x)):
            if np.allclose(factors, factor, rtol=10**-DECADES, atol=0):
                return words
    return ""
