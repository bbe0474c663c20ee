"""Fits of a factor, or of a factor and a multiple of theta, to all judged weights, and how strong their evidence is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.diagnosis.evidence import Evidence

Array = np.ndarray

# A claim needs agreement that chance gives in fewer than one of 10**DECADES cases.
DECADES = 3.0
# One factor that explains every judged weight is likelier than no pattern at all: here chance may give one in 100.
LIKELY = 2.0
# The rounding error of a prediction c n + d theta, in units of roundoff of each term.
UNITS = 16.0
NEAR = 0.2  # a fitted factor that may have a name has it if it is as near as that to it
LAWSON_STEPS = 20
ENOUGH = 2000
TINY = 5e-324  # the least uncertainty of a fitted factor; 0 marks a named one


class Fit(NamedTuple):
    """The hypothesis a = factor n + decay theta.

    width : uncertainty of the factor; 0 for a named one.   decades : digits of evidence.
    """

    factor: float
    decay: float
    width: float
    decades: float


def fit(e: Evidence, rows: Array, decays: Array | None = None, named: bool = True) -> Fit | None:
    """Fit a = c n + d theta at ``rows`` (mask), with d = 0 outside ``decays``; None unless it explains every row.

    Named factors are tried first, then c is free.  c = 0 is tried together with a decay only.
    """
    rows = rows & e.judged
    a, n, bound, wrong = e.a[rows], e.n[rows], e.bound[rows], e.wrong[rows]
    t = None if decays is None else np.where(decays, e.theta, 0.0)[rows]
    if not wrong.any() or (t is not None and not t.any()):
        return None
    named_ones = _named(e, rows, t) if named else []
    best = max(named_ones, key=lambda one: one.decades, default=None)
    if best is not None and (t is not None or best.decades >= LIKELY):
        return best
    free = _free_factor(e.unit, a, n, bound, wrong) if t is None else _free_both(e.unit, a, n, bound, wrong, t)
    if best is None or free is None or free.decades < LIKELY:
        return free if best is None else best
    # where bounds are wide, a factor with a name may fit by nothing but that; one that is as near has its name
    near = abs(best.factor - free.factor) <= min(free.width, NEAR * abs(free.factor))
    return best._replace(decades=free.decades) if near else free


def _named(e: Evidence, rows: Array, t: Array | None) -> list[Fit]:
    """The factors with a name that explain all rows, with a multiple of t where it is given."""
    a, n, bound, wrong = e.a[rows], e.n[rows], e.bound[rows], e.wrong[rows]
    candidates = [*e.names, *([0.0] if t is not None else [])]
    found = []
    for c in candidates:
        d = decay(a - c * n, t, tolerance_of(c, a, n, bound, e.unit))
        if d is None:
            continue
        decades = decades_of(c, a, n, bound, wrong, e.unit, 0 if t is None else 1)
        if t is None:
            # a bound is the worst case: how near the numbers are says more where it is wide
            decades = max(decades, nearness(c, a, n, wrong, e.unit) - math.log10(2))
        found.append(Fit(c, d, 0.0, decades - math.log10(len(candidates))))
        if t is not None:
            break
    return found


def tolerance_of(c: float, a: Array, n: Array, bound: Array, unit: float) -> Array:
    """The largest possible error of the prediction c n, (m,): c times the bound of n, and rounding."""
    return abs(c) * bound + UNITS * unit * (np.abs(a) + np.abs(c * n))


def decades_of(c: float, a: Array, n: Array, bound: Array, wrong: Array, unit: float, free: int) -> float:
    """Digits to which wrong weights agree with a prediction, summed without the best ``free``, one for each fitted unknown."""
    return sum_of_digits(a, n, tolerance_of(c, a, n, bound, unit), wrong, free)


def sum_of_digits(a: Array, n: Array, tolerance: Array, wrong: Array, free: int) -> float:
    """Digits to which wrong weights agree with a prediction within ``tolerance``, summed without the best ``free``.

    Weights that have the same two numbers, as at an x0 of ones, are one coincidence.
    """
    digits = np.log10(np.minimum(np.abs(a - n), np.abs(a)) / tolerance)
    # a predicted 0 agrees to every digit; DECADES keeps it from outweighing all others
    digits = np.where(a == 0, DECADES, digits)[wrong]
    digits = np.clip(np.nan_to_num(digits, nan=0.0), 0.0, 16.0)
    digits = np.sort(digits[distinct(a[wrong], n[wrong], tolerance[wrong])])
    return float(digits[: max(0, len(digits) - free)].sum())


def nearness(c: float, a: Array, n: Array, wrong: Array, unit: float, free: int = 0) -> float:
    """Digits of evidence that wrong weights agree with the prediction c n, without the nearest ``free``, whatever their bounds.

    Of numbers that have nothing to do with each other each is so near by chance; all of them together are by `together`.
    """
    a, n = a[wrong], n[wrong]
    rounding, own = UNITS * unit * (np.abs(a) + np.abs(c * n)), claims(a, unit)
    digits = np.log10(np.minimum(np.abs(a - n), np.abs(a)) / np.maximum(np.abs(a - c * n), rounding))[own]
    digits = np.sort(np.nan_to_num(digits, nan=0.0))
    return together(digits[: max(0, len(digits) - free)])


def together(digits: Array) -> float:
    """The digits of evidence of several numbers, each of which is as small as it happens to be (Fisher's method)."""
    x = float(digits.clip(0, 16).sum()) * math.log(10)
    terms = [i * math.log(x) - math.lgamma(i + 1) for i in range(len(digits))] if x > 0 else [0.0]
    most = max(terms, default=0.0)
    return (x - most - math.log(sum(math.exp(term - most) for term in terms) or 1.0)) / math.log(10)


def claims(a: Array, unit: float) -> Array:
    """The first of each group of weights whose analytic gradient is the same number but for its sign and rounding."""
    return distinct(a, a, UNITS * unit * np.abs(a))


def distinct(a: Array, n: Array, tolerance: Array) -> Array:
    """The first of each group of weights whose numbers are the same but for their signs, of ``ENOUGH`` weights at most."""
    few = np.arange(len(a)) if len(a) <= ENOUGH else np.linspace(0, len(a) - 1, ENOUGH).astype(np.intp)
    size_a, size_n, slack = np.abs(a[few]), np.abs(n[few]), 2 * tolerance[few]
    order = np.lexsort((size_a, size_n))
    a_gap, n_gap = np.abs(np.diff(size_a[order])), np.abs(np.diff(size_n[order]))
    new = (a_gap > slack[order][1:]) | (n_gap > slack[order][1:])
    found: Array = few[order[np.append(True, new)]] if len(few) else few
    return found


def decay(rest: Array, t: Array | None, tolerance: Array) -> float | None:
    """The d with rest = d t within ``tolerance`` everywhere, 0.0 if t is None; None if there is none."""
    if t is None:
        return 0.0 if (np.abs(rest) <= tolerance).all() else None
    flat = t == 0
    if not (np.abs(rest[flat]) <= tolerance[flat]).all():
        return None
    ends = np.stack([(rest - tolerance)[~flat] / t[~flat], (rest + tolerance)[~flat] / t[~flat]])
    low, high = ends.min(axis=0).max(initial=-np.inf), ends.max(axis=0).min(initial=np.inf)
    middle = (low + high) / 2
    return float(middle) if low <= high and np.isfinite(middle) else None


def _free_factor(unit: float, a: Array, n: Array, bound: Array, wrong: Array) -> Fit | None:
    """Fit a = c n with any c: the middle of the interval that all rows allow."""
    slack = bound + UNITS * unit * np.abs(n)
    sharp = np.abs(n) > slack
    if not sharp.any():
        return None
    # n is known within its slack, so c lies between two quotients, whose order depends on the signs
    ends = np.stack([a[sharp] / (n[sharp] - slack[sharp]), a[sharp] / (n[sharp] + slack[sharp])])
    low, high = float(ends.min(axis=0).max()), float(ends.max(axis=0).min())
    c = (low + high) / 2
    if not (low <= high and c != 0 and np.isfinite(c)):
        return None
    width = max((high - low) / 2, unit * abs(c), TINY)
    if not (np.abs(a - c * n) <= tolerance_of(c, a, n, bound, unit) + width * np.abs(n)).all():
        return None
    decades = decades_of(c, a, n, bound, wrong, unit, 1)
    likely = _likeliest(a[sharp], n[sharp], slack[sharp])
    if low <= likely <= high and likely != 0:
        near = nearness(likely, a, n, wrong, unit, 1) - math.log10(2)
        if near > decades:
            return Fit(likely, 0.0, width, near)
    return Fit(c, 0.0, width, decades)


def _likeliest(a: Array, n: Array, slack: Array) -> float:
    """The factor of least squares, in units of the slack of each weight."""
    x, y = n / slack, a / slack
    return float((x @ y) / (x @ x))


def _free_both(unit: float, a: Array, n: Array, bound: Array, wrong: Array, t: Array) -> Fit | None:
    """Fit a = c n + d t by least squares in units of the tolerance, reweighted to the worst rows until all hold (Lawson)."""
    if len(a) > 2 * ENOUGH:
        # a fit that fails on a few rows fails on all; trying these first is cheaper
        few = np.linspace(0, len(a) - 1, ENOUGH).astype(np.intp)
        if _free_both(unit, a[few], n[few], bound[few], wrong[few], t[few]) is None:
            return None
    weights = np.ones(len(a))
    c = 1.0
    for _ in range(LAWSON_STEPS):
        scale = tolerance_of(c, a, n, bound, unit)
        usable = (scale > 0) & np.isfinite(scale) & (weights > 0)
        w = np.sqrt(weights[usable]) / scale[usable]
        x, z, y = n[usable] * w, t[usable] * w, a[usable] * w
        norm = np.sqrt(x @ x)
        if not (norm > 0 and np.isfinite(norm)):
            return None
        x = x / norm
        z_along, y_along = x @ z, x @ y
        z, y = z - z_along * x, y - y_along * x
        # where theta is a multiple of the gradient, factor and decay cannot be told apart
        if not z @ z > 1e3 * unit * (z_along**2 + z @ z):
            return None
        d = float((z @ y) / (z @ z))
        c = float((y_along - d * z_along) / norm)
        rest = np.abs(a - c * n - d * t)
        tolerance = tolerance_of(c, a, n, bound, unit)
        if not (math.isfinite(c) and math.isfinite(d)):
            return None
        if (rest <= tolerance).all():
            room = (tolerance - rest)[n != 0] / np.abs(n[n != 0])
            width = max(float(room.min(initial=np.inf)), unit * abs(c), TINY)
            return Fit(c, d, width, decades_of(c, a, n, bound, wrong, unit, 2))
        ratio = np.where(tolerance > 0, rest / tolerance, 0.0)
        weights = weights * np.clip(ratio / ratio.max(), 1e-12, None)
    return None
