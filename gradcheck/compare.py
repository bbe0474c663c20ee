"""How far two gradients are apart: the figures that are stored and that any reader can recompute from the columns."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

# below this sum of magnitudes the relative error is measured against a fixed size
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
        return of_norms(*(float(np.linalg.norm(v)) for v in (analytic - numeric, analytic, numeric)))


def of_norms(difference: float, analytic: float, numeric: float) -> float:
    """``norm_difference`` from the three norms."""
    size = analytic + numeric
    return difference / size if size != 0 else 0.0


def median(x: Array) -> float:
    """The median of (m,) numbers, m >= 1, none of them NaN; the mean of the two middle ones where m is even.

    The same to the last bit as ``np.median``, which takes ten times as long for a few numbers.
    """
    ordered = np.sort(x)
    low, high = ordered[(len(x) - 1) // 2], ordered[len(x) // 2]
    with np.errstate(all="ignore"):
        return float(high if len(x) % 2 else (low + high) / 2)
