"""Binary cross-entropy of a logit, in the stable form, with probabilities clipped to [1e-12, 1 - 1e-12]."""

from __future__ import annotations

import math

import numpy as np

from gradcheck.models.functions import clip, log1p, minus_abs, positive_part, sigmoid, total
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE, binade

Array = np.ndarray

PROBABILITY_FLOOR = 1e-12
# the logit of the largest probability; beyond it the clipped loss is flat
LOGIT_LIMIT = math.log((1 - PROBABILITY_FLOOR) / PROBABILITY_FLOOR)


def cross_entropy_total(z: Array, y: Array) -> Array:
    """Sum of softplus(s) - y s with s = clip(z, -limit, limit); scalar, or one sum for each of a stack of z.

    softplus(s) - y s is written (max(s, 0) - y s) + log1p(exp(-|s|)): for y in {0, 1} the bracket is exact, so a confident
    correct prediction loses no digit to cancellation.
    """
    s = clip(z, -LOGIT_LIMIT, LOGIT_LIMIT)
    return total((positive_part(s) - y * s) + log1p(np.exp(minus_abs(s))))


def probability(z: Array) -> Array:
    """sigmoid of the clipped logit."""
    return sigmoid(clip(z, -LOGIT_LIMIT, LOGIT_LIMIT))


def cross_entropy_beyond(z: Array, y: Array) -> Array:
    """|a - y| times how far each logit lies beyond the limit, (n, k): what clipping takes off the loss; negative inside."""
    return np.abs(probability(z) - y) * (np.abs(z) - LOGIT_LIMIT)


def distance_to_limit(z: Array) -> Array:
    """How far each logit is from the limits, in its own units."""
    return np.abs(np.abs(z) - LOGIT_LIMIT)


def cross_entropy_loss_rounding(z: Array, y: Array) -> Array:
    """Standard deviation of the rounding error of each entry's loss at a given z, over u; (n, k)."""
    s = clip(z, -LOGIT_LIMIT, LOGIT_LIMIT)
    e = np.exp(-np.abs(s))
    log_part = np.log1p(e)
    linear_part = np.maximum(s, 0) - y * s
    # one rounding each: product and bracket (none for y in {0, 1}), exp and log1p, the sum
    arithmetic = binade(linear_part + log_part) ** 2
    soft = (y > 0) & (y < 1)
    if soft.any():
        arithmetic += soft * ((y * s) ** 2 + linear_part**2)
    return np.sqrt(VARIANCE * arithmetic + ELEMENTARY * ((e / (1 + e)) ** 2 + log_part**2))


def cross_entropy_delta_rounding(z: Array, y: Array, sigma: Array, u: float) -> Array:
    """Standard deviation of the rounding error of each entry's delta a - y, where that of z is ``sigma``; (n, k)."""
    a = probability(z)
    # a is exp over a sum: about two units of the smaller of a and 1 - a, one of the result
    return np.hypot(a * (1 - a) * sigma, u * np.hypot(a, a - y))
