"""Noise of somebody else's function, measured from a table of differences.

Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): along a line of equally spaced, very near
points the k-th differences of a smooth function vanish like the k-th power of the spacing, those of its noise do not, and
sigma_k**2 = gamma_k mean((Delta^k f)**2) with gamma_k = (k!)**2 / (2 k)! estimates the noise's variance for every k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

Array = np.ndarray

# Points of a line; differences up to one order less can be formed.
POINTS = 8
# The spacing in units of u times the length scale: 2**12 spacings of the numbers, so that every intermediate is rounded anew.
SPACING = 2.0**12
# A second spacing, 1e-7 in float64, for a function that computes in a lower precision than it is given: on the near line its
# values do not change at all.
COARSE = 2.0**30
# Orders whose estimates are taken: from the third the function itself is gone, beyond the fifth too few differences are left.
ORDERS = (3, 4, 5)
# On the coarse line the function may still show, so two orders must agree within this factor (Moré and Wild, section 4).
AGREE = 4.0


def difference_table_noise(values: Array) -> Array:
    """Standard deviation of the noise of ``values`` (p,) or (p, m) along the first axis, for each order; (3,) or (3, m).

    NaN where a value is not finite.
    """
    estimates = []
    differences = np.asarray(values)
    for k in range(1, max(ORDERS) + 1):
        differences = np.diff(differences, axis=0)
        if k in ORDERS:
            gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
            size = np.abs(differences).max(axis=0)
            # in units of the largest: the squares of very small values would vanish
            parts = differences / np.where(size > 0, size, 1)
            estimates.append(np.sqrt(gamma * np.mean(parts.astype(np.float64) ** 2, axis=0)) * size.astype(np.float64))
    return np.stack(estimates)


def directions(theta: Array, low: Array, high: Array, span: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Directions (size,) of entries in [-1, 1] along which a line from theta may lie inside a domain, the best ones first.

    span : (size,) how far the line reaches for an entry 1.  low, high : (size,) limits that no point may leave.
    First random signs; then away from 0, up, down, towards 0, for the edge of a domain; then single weights.
    """
    size = rng.uniform(0.5, 1.0, theta.shape)
    away = np.where(theta < 0, -1.0, 1.0)
    up = np.ones(theta.shape)
    single = []
    for i in rng.permutation(theta.size)[:4]:
        for sign in (1.0, -1.0):
            single.append(np.where(np.arange(theta.size) == i, sign, 0.0))
    for signs in (
        rng.choice([-1.0, 1.0], theta.shape),
        rng.choice([-1.0, 1.0], theta.shape),
        away,
        up,
        -up,
        -away,
        *single,
    ):
        room = np.where(signs > 0, high - theta, theta - low)
        other = np.where(signs > 0, theta - low, high - theta)
        turned = np.where(room >= span, signs, np.where(other >= span, -signs, 0.0))
        yield turned * size


def line(theta: Array, direction: Array, length: Array, spacing: float) -> list[Array]:
    """``POINTS`` points from theta on, ``spacing`` units u of max(length, |theta|) apart."""
    step = reach(theta, length, spacing) * direction
    return [theta + (j * step).astype(theta.dtype) for j in range(POINTS)]


def reach(theta: Array, length: Array, spacing: float) -> Array:
    """Distance (size,) of neighbouring points of a line in direction 1."""
    u = float(np.finfo(theta.dtype).eps) / 2
    return spacing * u * np.maximum(length, np.abs(theta.astype(np.float64)))


def near_noise(values: Array) -> Array:
    """Noise from the values (p, m) on a near line: the largest over ``ORDERS``; (m,)."""
    return np.max(difference_table_noise(values), axis=0)


def coarse_noise(values: Array) -> Array:
    """Noise from the values (p, m) on the coarse line: the highest order's, where the order before says the same; else 0."""
    *_, before, last = difference_table_noise(values)
    agree = (last <= AGREE * before) & (before <= AGREE * last)
    return np.where(agree, last, 0.0)
