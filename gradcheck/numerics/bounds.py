"""Bounds of numeric derivatives at given steps: roundoff, truncation and kinks, weight by weight.

Roundoff comes from the noise of the loss at the points that were evaluated.  Truncation is measured from a small step, the
anchor h*, far below the scale of the loss.  There the derivative is known within its noise.  The truncation of a larger step
is truncation(h) = |D(h) - D(h*)| + bound(h*).  Comparing a step with its double would not do: far above the scale of the loss
the two may agree with each other, but neither agrees with h*.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.ladder import LARGEST_ANCHOR, LARGEST_TRUSTED
from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import (
    CENTRAL,
    Estimate,
    Noise,
    Probe,
    Quotients,
    at_least,
    by_complex_step,
    estimate,
    noise_along,
    optimal_fraction,
    quotients,
    stacked,
    vanished_at,
)
from gradcheck.numerics.schemes import Scheme, perturbed_weights, representable_step

Array = np.ndarray

# The leading truncation term omits the next one: relative size (h / length)**2, at most 6e-3 at the anchors.
TRUNCATION_MARGIN = 1.1


class Anchored(NamedTuple):
    """What the anchors tell of given steps; all (m, s).

    truncation : of the scheme, kinks included.   kink : the part of it that crossed kinks explain.
    finite : whether every loss that was needed is finite.
    """

    truncation: Array
    kink: Array
    finite: Array


def evaluations(scheme: Scheme) -> int:
    """Evaluations of ``fixed`` for each weight and step by a real scheme.

    They are those of the scheme and of its anchors: two for forward and backward, four for central, six for five_point, eight
    for richardson.  The sum is at most three times that of the scheme.  (The complex step takes one or two.)
    """
    anchors = len(CENTRAL.offsets) if scheme.order == 1 else len(_anchors_of(scheme.offsets, scheme.ratio))
    return scheme.evaluations + anchors


def points_of_steps(scheme: Scheme, steps: int, points: int) -> Array:
    """Which points of a weight each step needs, in the order in which ``fixed`` evaluates them; bool (steps, points).

    The points of the steps come first, step after step, then the anchors.  A scheme of first order has anchors for each step;
    the others share theirs.
    """
    own, each = len(scheme.offsets), np.eye(steps, dtype=bool)
    anchors = points - steps * own
    last = each.repeat(anchors // steps, axis=1) if scheme.order == 1 else np.ones((steps, anchors), dtype=bool)
    return np.concatenate([each.repeat(own, axis=1), last], axis=1)


def fixed(probe: Probe, scheme: Scheme, eps: float | Array, index: Array) -> Estimate:
    """Derivatives and bounds of the weights ``index`` at one given step, (m,), or at s of them, (s, m).

    Each step is treated as if it were the only one.  The anchors of a scheme of even order do not depend on the step and are
    evaluated once for all steps.
    """
    eps = np.asarray(eps)
    if scheme.complex_valued:
        return stacked([by_complex_step(probe, index, np.full(len(index), h)) for h in eps.flat], eps.shape)
    # one row a weight; one column a step, or a single column that holds for all steps
    noise = Noise(*(column[:, None] for column in noise_along(probe, index)))
    theta = probe.theta[index][:, None]
    h = representable_step(theta, np.broadcast_to(eps.reshape(-1), (len(index), eps.size)))
    points = perturbed_weights(theta, h, scheme.offsets)
    step = h.astype(np.float64)
    if scheme.order == 1:
        here, judged = _anchored_on_both_sides(probe, scheme, theta, points, step, noise, index)
    else:
        here, judged = _anchored_twice(probe, scheme, theta, points, step, noise, index)
    return estimate(step, here, *judged, vanished_at(theta, points)).transposed((*eps.shape, len(index)))


def _evaluated(probe: Probe, index: Array, *points: Array) -> list[Evaluations]:
    """Losses at several arrays of points, (m, s, k) with any s and k, evaluated in one call."""
    m = len(index)
    flat = [some.reshape(m, math.prod(some.shape[1:])) for some in points]
    found = probe.evaluate(index, np.concatenate(flat, axis=1))
    ends = np.cumsum([some.shape[1] for some in flat])[:-1]
    parts = zip(*(np.split(column, ends, axis=1) for column in found), strict=True)
    return [Evaluations(*(c.reshape(some.shape) for c in part)) for part, some in zip(parts, points, strict=True)]


def _anchor(probe: Probe, formula: Scheme, index: Array) -> Array:
    """The step of the anchor, (m, 1): as far below the scale of the loss as the noise allows."""
    fraction = np.minimum(formula.gain * optimal_fraction(probe, formula.order, index), LARGEST_ANCHOR)
    return (probe.rounding.length[index] * fraction)[:, None]


def _lifted(probe: Probe, formula: Scheme, theta: Array, step: Array, index: Array, ratio: float = 1.0) -> Array:
    """Whether the spacing of the numbers lifts an anchor (m, s), or ``ratio`` times its step, above the scale of the loss."""
    reach = ratio * max(abs(o) for o in formula.offsets)
    # the floor is rounded to a number of the dtype
    floor = 1.1 * at_least(np.zeros(theta.shape), theta, probe.rounding.unit)
    return (step <= floor) & (reach * step > LARGEST_TRUSTED * probe.rounding.length[index][:, None])


@lru_cache(maxsize=64)
def _anchors_of(offsets: tuple[float, ...], ratio: float) -> tuple[float, ...]:
    """The points of a formula at two steps, one ``ratio`` times the other, in units of the smaller; shared points once."""
    return tuple(sorted({*offsets, *(ratio * o for o in offsets)}))


@lru_cache(maxsize=64)
def _columns(offsets: tuple[float, ...], ratio: float, s: int) -> Array:
    """The columns of each of s steps and two anchors among all points, (s + 2, k)."""
    k, anchors = len(offsets), _anchors_of(offsets, ratio)
    both = [[s * k + anchors.index(r * o) for o in offsets] for r in (1, ratio)]
    return np.concatenate([np.arange(s * k).reshape(s, k), both])


def _anchored_twice(
    probe: Probe, scheme: Scheme, theta: Array, points: Array, step: Array, noise: Noise, index: Array
) -> tuple[Quotients, Anchored]:
    """Quotients of a scheme of even order at given steps (m, s), judged by two anchors far below the scale of the loss.

    The difference of the anchors shows how far they are from the limit.
    """
    ratio, offsets = scheme.ratio, scheme.offsets
    a = representable_step(theta, at_least(_anchor(probe, scheme, index), theta, probe.rounding.unit))
    m, s, k = points.shape
    points = np.concatenate(
        [points.reshape(m, s * k), perturbed_weights(theta, a, _anchors_of(offsets, ratio))[:, 0]], axis=1
    )
    losses, deviations = probe.evaluate(index, points)
    # the anchors are treated as two more steps
    columns = _columns(offsets, ratio, s)
    points, losses, deviations = (np.take(x, columns, axis=1) for x in (points, losses, deviations))
    found = quotients(probe, scheme, theta, points, Evaluations(losses, deviations), noise)
    here, near, far = (found.at(slice(*ends)) for ends in ((0, s), (s, s + 1), (s + 1, s + 2)))
    a = a.astype(np.float64)
    with np.errstate(all="ignore"):
        gain = ratio**scheme.order
        largest = a * ratio
        # rounding and kinks may hide as much of it as they may feign
        blur = near.roundoff + far.roundoff + near.kink + far.kink
        far_truncation = TRUNCATION_MARGIN * (np.abs(far.value - near.value) + blur) * gain / (gain - 1)
        far_truncation = np.where(_lifted(probe, scheme, theta, a, index, ratio), np.inf, far_truncation)
        near_truncation = far_truncation * (a / largest) ** scheme.order
        # at or below the anchors the truncation is theirs times (step / anchor)**order
        direct = far_truncation * (step / largest) ** scheme.order
    return here, _nearer(here, near, near_truncation, direct, step <= largest)


def _anchored_on_both_sides(
    probe: Probe, scheme: Scheme, theta: Array, points: Array, step: Array, noise: Noise, index: Array
) -> tuple[Quotients, Anchored]:
    """Quotients of a one-sided scheme at given steps (m, s), judged by a central quotient at one anchor for each step.

    One anchor cannot show its own convergence, so it lies where truncation is far below the noise.
    """
    length = at_least(_anchor(probe, CENTRAL, index) / 32, theta, probe.rounding.unit)
    # the anchor and the step together show the third derivative, unless they lie too close to each other
    length = np.where((length > step / 2) & (length < 2 * step), 4 * length, length)
    a = representable_step(theta, length)
    beside = perturbed_weights(theta, a, CENTRAL.offsets)
    found, anchors = _evaluated(probe, index, points, beside)
    here = quotients(probe, scheme, theta, points, found, noise)
    near = quotients(probe, CENTRAL, theta, beside, anchors, noise)
    a = a.astype(np.float64)
    with np.errstate(all="ignore"):
        reach = np.minimum(step, probe.rounding.length[index][:, None])
        change = (anchors.losses - noise.center[..., None]).astype(np.float64).sum(axis=-1)
        third = _third_derivative(scheme, here, near, step, a, change, reach)
        near_truncation = np.maximum(near.roundoff, third * a**2)
        near_truncation = np.where(_lifted(probe, CENTRAL, theta, a, index), np.inf, near_truncation)
        # at or below the anchor: the anchor's truncation, scaled down, plus the term of first order
        direct = near_truncation * (step / a) ** CENTRAL.order
        direct = direct + (near.bend / a + 2 * near.roundoff / a) * step / 2 + third * step**2
    return here, _nearer(here, near, near_truncation, direct, step <= a)


def _nearer(here: Quotients, near: Quotients, near_truncation: Array, direct: Array, below: Array) -> Anchored:
    """The smaller of two truncations: ``direct``, which holds ``below`` the anchors, and the distance from the anchor."""
    with np.errstate(all="ignore"):
        anchored = np.abs(here.value - near.value) + (near.roundoff + near_truncation + near.kink)
        truncation = np.minimum(np.where(below, direct + here.kink, np.inf), anchored)
        kink = np.minimum(np.maximum(here.kink, near.kink), truncation)
    # of finite losses no truncation is known where the anchor lies above the scale of the loss
    unknown = np.isposinf(near_truncation)
    return Anchored(truncation, kink, here.finite & near.finite & (np.isfinite(truncation) | unknown))


def _third_derivative(
    scheme: Scheme, here: Quotients, near: Quotients, step: Array, a: Array, change: Array, reach: Array
) -> Array:
    """Upper bound of a sixth of the third derivative, from a one-sided quotient at ``step`` and the losses at -a and a; (m, s).

    change : the sum of these two losses, less twice that at theta.
    (D(h) - f'' h / 2) - C(a) = f''' (h**2 - a**2) / 6 with the central quotient C.  It is needed where the loss, hence its
    noise, is nearly 0: there the truncation of C may far exceed its noise.
    reach : the step, or the scale of the loss where that is smaller.
    """
    side = 1 if scheme.pairs[0].high > 0 else -1
    rest = np.abs(here.value - near.value - side * change / a**2 * step / 2)
    noise = here.roundoff + 2 * near.roundoff * (1 + step / a)
    # doubled, since at a step near the scale of the loss higher derivatives may cancel half of it
    return 2 * (rest + noise) / np.abs(reach**2 - a**2)
