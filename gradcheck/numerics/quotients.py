"""Difference quotients of evaluated losses with the errors that rounding and kinks can cause; the value types of bounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.problem import Crossings, Evaluations
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES, Scheme, difference_quotient

Array = np.ndarray

# How many standard deviations a sum of many rounding errors may reach: a normal variable exceeds 5.5 once in 26 million.
DEVIATIONS = 5.5
# The rounding of a complex step over that of a gradient: complex products take a few more roundings.
OF_A_GRADIENT = 3
# The first-order estimate of a kink's effect neglects terms of relative size h / length, 1e-2 at the anchors.
KINK_MARGIN = 1.1
CENTRAL = SCHEMES["central"]


class Probe(NamedTuple):
    """The loss around theta, as schemes see it.

    center : the loss at theta; of several problems side by side, that of each weight's problem, (size,).
    evaluate(index, points) : losses with theta[index[r]] replaced by points[r, c].
    derivative(index, h) : the complex step's Im loss(theta + i h e_j) / h for each weight.
    crossings : as in ``Problem``.
    """

    theta: Array
    center: Array
    evaluate: Callable[[Array, Array], Evaluations]
    derivative: Callable[[Array, Array], Array]
    rounding: Rounding
    crossings: Callable[[Array, Array], Crossings] | None = None


class Estimate(NamedTuple):
    """Numeric derivatives of m weights and their bounds; all (m,), float64, or (s, m) for s steps of each.

    step : the step really taken; 0 where it left the weight unchanged.
    value : the numeric derivative.
    truncation : of the scheme, kinks included.   roundoff : of the numeric derivative alone.
    kink : the part of ``truncation`` that crossed kinks explain.
    finite : whether every loss that was needed is finite, bool.
    still : True where every perturbed loss equals the loss at theta exactly; always False of a loss that is measured.
    """

    step: Array
    value: Array
    truncation: Array
    roundoff: Array
    kink: Array
    finite: Array
    still: Array

    @property
    def bound(self) -> Array:
        """How far the value can be from the derivative; (m,)."""
        return self.truncation + self.roundoff

    def where(self, which: Array | int) -> Estimate:
        """The estimates of the weights ``which`` (bool) alone, or those of one step (int)."""
        return Estimate(*(column[which] for column in self))

    def transposed(self, shape: tuple[int, ...]) -> Estimate:
        """The estimates with transposed columns, in this shape."""
        return Estimate(*(np.ascontiguousarray(column.T).reshape(shape) for column in self))


def merged(parts: list[tuple[Array, Estimate]]) -> Estimate:
    """The estimates of m weights from those of its parts; each part comes with its weights, bool (m,)."""
    columns = [np.empty(len(parts[0][0]), column.dtype) for column in parts[0][1]]
    for which, part in parts:
        for column, values in zip(columns, part, strict=True):
            column[which] = values
    return Estimate(*columns)


def stacked(parts: list[Estimate], shape: tuple[int, ...]) -> Estimate:
    """Estimates of the same m weights one above the other, (*shape, m)."""
    return Estimate(*(np.stack(columns).reshape((*shape, -1)) for columns in zip(*parts, strict=True)))


class Quotients(NamedTuple):
    """A scheme's quotients at one step of m weights; all (m,), or (m, s) for s steps.

    value : the derivative.   roundoff : its error by rounding.   kink : its error by crossed kinks.
    bend : abs(f(h) - 2 f(0) + f(-h)) / h, float64; 0 for a scheme without a central pair.
    finite : whether all its losses are finite, bool.
    still : True where every perturbed loss equals the loss at theta exactly.
    """

    value: Array
    roundoff: Array
    kink: Array
    bend: Array
    finite: Array
    still: Array

    def at(self, steps: slice) -> Quotients:
        """The quotients of some of several steps."""
        return Quotients(*(column[:, steps] for column in self))


class Noise(NamedTuple):
    """Standard deviations of the rounding errors that losses along m weights do not share; (m,), or (m, 1).

    here : at theta.   growth : what a unit of the step adds.   center : the loss at theta.
    """

    here: Array
    growth: Array
    center: Array


def noise_along(probe: Probe, index: Array) -> Noise:
    """The noise of the loss along the weights of ``index``."""
    return Noise(probe.rounding.line[index], probe.rounding.gradient[index], _center_along(probe, index))


def _center_along(probe: Probe, index: Array) -> Array:
    center = probe.center
    return center[index] if np.ndim(center) else np.broadcast_to(center, index.shape)


def relative_noise(probe: Probe, index: Array) -> Array:
    """The noise of the loss over its size, between u and 1, (m,)."""
    size = np.abs(np.asarray(_center_along(probe, index), dtype=np.float64))
    noise = DEVIATIONS * probe.rounding.line[index]
    with np.errstate(all="ignore"):
        return np.clip(np.where(size > noise, noise / size, 1.0), probe.rounding.unit, 1.0)


def optimal_fraction(probe: Probe, order: int, index: Array) -> Array:
    """The step, in units of the loss's scale, at which truncation h**order meets roundoff noise / h; (m,)."""
    return relative_noise(probe, index) ** (1 / (order + 1))


def quotients(probe: Probe, scheme: Scheme, theta: Array, points: Array, found: Evaluations, noise: Noise) -> Quotients:
    """The scheme's derivative and its errors, from losses ``found`` at points (m, k) in the order of ``scheme.offsets``.

    For s steps of each weight the points are (m, s, k), theta and noise (m, 1), and the quotients (m, s).
    noise : the noise of the loss along these weights.
    """
    value = difference_quotient(scheme, theta, points, found.losses, noise.center)
    with np.errstate(all="ignore"):
        at = _at_points(probe, scheme, theta, points, found, noise)
        deviations: list[Array] = []
        kink = np.zeros(value.shape)
        arithmetic: Array | float = 0.0
        skew: Array | float = 0.0
        bend = np.zeros(value.shape)
        for low, high, weight in scheme.pairs:
            (n0, d0, x0, c0), (n1, d1, x1, c1) = at[low], at[high]
            distance = (x1 - x0).astype(np.float64)
            w = abs(float(weight))
            # hypot, since the square of a loss near 1e-160 would underflow
            deviations.append(w / distance * np.hypot(n0, n1))
            kink = kink + w * (d0 + d1) / distance
            # the subtraction, the division and the weighted sum: one unit each
            arithmetic = arithmetic + 4 * probe.rounding.unit * w * np.abs((c1 - c0) / distance)
            if low == -high:
                bend = np.abs(c1 + c0) / (distance / 2)
                # where rounding has made the points asymmetric, the second derivative does not cancel
                skew = skew + w * bend * np.abs(((x1 - theta) - (theta - x0)).astype(np.float64)) / distance
        roundoff = DEVIATIONS * np.hypot(reduce(np.hypot, deviations), noise.growth) + arithmetic + skew
        losses = found.losses.astype(np.float64, copy=False)
    finite = np.isfinite(losses).all(axis=-1) & np.isfinite(noise.center)
    still = (found.losses == noise.center[..., None]).all(axis=-1)
    return Quotients(value.astype(np.float64), roundoff, KINK_MARGIN * kink, bend, finite, still)


class _Point(NamedTuple):
    """What a formula knows at one of its points, along m weights: of shape (m,), or (m, s) for s steps.

    noise : standard deviation of the loss there.   deviation : how far kinks may have bent the loss; 0 at theta.
    weight : the weight's value.   change : the loss minus that at theta.
    """

    noise: Array
    deviation: Array | float
    weight: Array
    change: Array | float


def _at_points(
    probe: Probe, scheme: Scheme, theta: Array, points: Array, found: Evaluations, noise: Noise
) -> dict[float, _Point]:
    """The points of the scheme by their offset; that of theta itself is 0."""
    # subtract in the dtype, then convert: float64 would round longdouble losses that are nearly equal
    change = (found.losses - noise.center[..., None]).astype(np.float64)
    # the noise at a perturbed point is that at theta and a few units in the last place of the loss's change
    moved = np.hypot(noise.here[..., None], 4 * probe.rounding.unit * change) + probe.rounding.underflow
    at = {
        o: _Point(moved[..., j], found.deviations[..., j], points[..., j], change[..., j])
        for j, o in enumerate(scheme.offsets)
    }
    at[0.0] = _Point(noise.here + probe.rounding.underflow, 0.0, theta, 0.0)
    return at


def by_complex_step(probe: Probe, index: Array, h: Array) -> Estimate:
    """The complex step at ``h`` (m,); its truncation is the distance from a tiny step, whose truncation is below rounding."""
    value = probe.derivative(index, h)
    tiny = tiny_step(probe, index)
    anchor = value if (h <= tiny).all() else probe.derivative(index, tiny)
    with np.errstate(all="ignore"):
        u = probe.rounding.unit
        # nothing cancels, so the error is that of a gradient
        rounding = DEVIATIONS * OF_A_GRADIENT * probe.rounding.gradient[index] + 4 * u * np.abs(
            value.astype(np.float64)
        )
        # Im loss = h f' may be subnormal, hence of less precision
        roundoff, of_anchor = (rounding + probe.rounding.underflow / np.abs(s.astype(np.float64)) for s in (h, tiny))
        truncation = np.where(h <= tiny, 0.0, np.abs((value - anchor).astype(np.float64)) + of_anchor)
    finite = np.isfinite(value) & np.isfinite(anchor)
    zero = np.zeros(len(index))
    step = h.astype(np.float64)
    truncation = np.where(finite, truncation, np.inf)
    # the real part differs from the loss at theta by h**2 f'' / 2, which is below rounding at a tiny step
    still = finite & (h <= tiny)
    return Estimate(step, value.astype(np.float64), truncation, roundoff, zero, finite, still)


def tiny_step(probe: Probe, index: Array) -> Array:
    """A step whose square, in units of the loss's scale, is far below u; (m,)."""
    return probe.rounding.length[index] * probe.rounding.unit**0.75


def at_least(h: Array, theta: Array, u: float) -> Array:
    """The larger of ``h`` and 64 spacings of theta, so that rounding the point changes the step by less than 1%."""
    return np.maximum(h, 128 * u * np.abs(theta.astype(np.float64)))


def columns_of(found: Evaluations, columns: list[int]) -> Evaluations:
    """The evaluations at some of the points."""
    return Evaluations(found.losses[..., columns], found.deviations[..., columns])


def vanished_at(theta: Array, points: Array) -> Array:
    """Where a point of the formula equals theta or another point; bool (m,)."""
    here = np.broadcast_to(theta, points.shape[:-1])[..., None]
    everything = np.sort(np.concatenate([points, here], axis=-1), axis=-1)
    return (everything[..., 1:] - everything[..., :-1] == 0).any(axis=-1)


def estimate(step: Array, q: Quotients, truncation: Array, kink: Array, finite: Array, vanished: Array) -> Estimate:
    """Estimates from quotients and their truncation; a step that vanished has the derivative 0 and an infinite bound."""
    lost = vanished | ~finite
    return Estimate(
        np.where(vanished, 0.0, step),
        np.where(vanished, 0.0, q.value),
        np.where(lost, np.inf, truncation),
        np.where(lost, np.inf, q.roundoff),
        np.where(lost, 0.0, kink),
        finite | vanished,
        q.still,
    )
