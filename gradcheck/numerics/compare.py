"""Differences of two gradients: the figures that are stored, and that readers can recompute from the columns."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray

# the relative error divides by at least this
REL_ERR_FLOOR = 1e-8


def absolute_error(analytic: Array, numeric: Array) -> Array:
    """|analytic - numeric|, (m,)."""
    with np.errstate(all="ignore"):
        return np.abs(analytic - numeric)


def relative_error(analytic: Array, numeric: Array) -> Array:
    """|analytic - numeric| / max(1e-8, |analytic| + |numeric|), (m,); symmetric, in [0, 1] for finite arguments."""
    with np.errstate(all="ignore"):
        return np.abs(analytic - numeric) / np.maximum(REL_ERR_FLOOR, np.abs(analytic) + np.abs(numeric))


def norm_difference(analytic: Array, numeric: Array) -> float:
    """||analytic - numeric||_2 / (||analytic||_2 + ||numeric||_2); 0 where both norms are 0, NaN where one is not finite."""
    with np.errstate(all="ignore"):
        return float(of_norms(*(norms(v) for v in (analytic - numeric, analytic, numeric))))


def norms(v: Array) -> Array:
    """||v||_2 along the last axis, (...,).

    ``np.linalg.norm`` of each row alone is the definition, to the last bit.  Of several rows at once it sums in another order.
    """
    shape = v.shape[:-1]
    rows = np.ascontiguousarray(v).reshape(math.prod(shape), v.shape[-1])
    return np.sqrt(np.array([row.dot(row) for row in rows])).reshape(shape)


def of_norms(difference: Array, analytic: Array, numeric: Array) -> Array:
    """``norm_difference`` from the three norms, (...,)."""
    size = analytic + numeric
    with np.errstate(all="ignore"):
        return np.where(size != 0, difference / size, 0.0)


def medians(x: Array) -> Array:
    """The median along the last axis, (...,), of the numbers that are not NaN; NaN of none.

    The slow way, ``np.median``, is the definition, to the last bit.  It takes ten times as long for a few numbers.
    """
    if not x.shape[-1]:
        return np.full(x.shape[:-1], np.nan)
    ordered = np.sort(x, axis=-1).reshape(-1, x.shape[-1])
    size = ordered.shape[1]
    found = ordered[:, size // 2].copy()
    if size % 2 == 0:
        with np.errstate(all="ignore"):
            found = (ordered[:, size // 2 - 1] + found) / 2
    # NaN is sorted last; a row of nothing else has the median NaN
    for k in np.flatnonzero(np.isnan(ordered[:, -1])):
        row = ordered[k]
        count = max(1, int(size - np.isnan(row).sum()))
        low, high = float(row[(count - 1) // 2]), float(row[count // 2])
        found[k] = high if count % 2 else (low + high) / 2
    return np.asarray(found).reshape(x.shape[:-1])
