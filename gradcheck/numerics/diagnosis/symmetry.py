"""Hypotheses of a square matrix of which one triangle counts, or both half.

Each takes the evidence and returns a diagnosis, or None where it does not hold.
"""

from __future__ import annotations

import numpy as np

from gradcheck.numerics.diagnosis import wording as say
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.fits import DECADES, sum_of_digits, tolerance_of
from gradcheck.numerics.diagnosis.kinds import Diagnosis

Array = np.ndarray

_READ = "fun reads one triangle, and the gradient is that of both, half in each"
_FILLED = "the gradient fills one triangle, twice as large, and fun reads both"
_TWICE = "the gradient counts each pair of entries twice, as the derivative by a symmetric matrix does"


def one_triangle(e: Evidence) -> Diagnosis | None:
    """One gradient is symmetric, and the other has 0 in one triangle and twice the value in the other, or twice in both."""
    decades, said = 0.0, set()
    for name in e.broken:
        shape, where = e.layout.shape(name), e.layout.slices[name]
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 or np.diag(e.wrong[where].reshape(shape)).any():
            return None
        for words, found in (
            (_READ, _folded(e, where, shape[0], claimed=False)),
            (_FILLED, _folded(e, where, shape[0], claimed=True)),
            (_TWICE, _doubled(e, where, shape[0])),
        ):
            if found is not None:
                decades += found
                said.add(words)
                break
        else:
            return None
    if decades < DECADES or len(said) != 1:
        return None
    return Diagnosis("one_triangle", f"{say.listed(e.broken)}{say.rest(e)}: {said.pop()}.")


def _folded(e: Evidence, where: slice, size: int, claimed: bool) -> float | None:
    """Digits of evidence that one gradient is the other one folded on a triangle; None where it is not.

    claimed : the analytic gradient is the folded one, else the numeric one.
    """
    for lower in (True, False):
        full = np.tril_indices(size, -1) if lower else np.triu_indices(size, 1)
        # the entries of the other triangle in the order of their mirror images
        at, mirror = _at(where, size, full), _at(where, size, full[::-1])
        a, n, b = e.a[at], e.n[at], e.bound[at]
        known = e.judged[at]
        if claimed:
            fine = not e.a[mirror].any()
            predicted = np.where(known, 2 * n, a)
            tolerance = tolerance_of(2.0, a, n, b, e.unit)
            other = np.abs(n - e.n[mirror]) <= b + e.bound[mirror]
        else:
            fine = bool((~e.judged[mirror] | (np.abs(e.n[mirror]) <= e.bound[mirror])).all())
            predicted = np.where(known, n / 2, a)
            tolerance = tolerance_of(0.5, a, n, b, e.unit)
            other = np.abs(a - e.a[mirror]) <= tolerance_of(1.0, a, e.a[mirror], np.zeros(len(a)), e.unit)
        if fine and other[known].all() and (np.abs(a - predicted) <= tolerance).all() and (known & e.wrong[at]).any():
            return sum_of_digits(a[known], n[known], tolerance[known], e.wrong[at][known], 0)
    return None


def _doubled(e: Evidence, where: slice, size: int) -> float | None:
    """Digits of evidence that every entry beside the diagonal is twice the slope, and both gradients are symmetric."""
    low, high = _at(where, size, np.tril_indices(size, -1)), _at(where, size, np.tril_indices(size, -1)[::-1])
    at = np.append(low, high)
    known = e.judged[at]
    a, n, b = e.a[at][known], e.n[at][known], e.bound[at][known]
    tolerance = tolerance_of(2.0, a, n, b, e.unit)
    both = e.judged[low] & e.judged[high]
    alike = np.abs(e.n[low] - e.n[high]) <= e.bound[low] + e.bound[high]
    diagonal = e.wrong[where].reshape(size, size).diagonal().any() or not np.any(
        e.n[where].reshape(size, size).diagonal()
    )
    if diagonal or not alike[both].all() or not (np.abs(a - 2 * n) <= tolerance).all():
        return None
    return sum_of_digits(a, n, tolerance, e.wrong[at][known], 0)


def _at(where: slice, size: int, pairs: tuple[Array, Array]) -> Array:
    found: Array = where.start + pairs[0] * size + pairs[1]
    return found
