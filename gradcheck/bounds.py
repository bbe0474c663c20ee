"""How far a numeric derivative can be from the true one: roundoff, truncation and kinks, weight by weight.

Roundoff comes from the noise of the loss at the points that were evaluated.  Truncation is measured from the side of the
small steps: at a step h* far below the scale of the loss the difference is trusted as far as its own noise allows, and a
larger step is charged with what separates it from there, truncation(h) = |D(h) - D(h*)| + bound(h*).  A step and its double
may agree with each other far above the scale of the loss; neither agrees with h*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gradcheck.models.rounding import Rounding
from gradcheck.numeric import ONE_SIDED, SCHEMES, Scheme, difference_quotient, perturbed_weights, representable_step

Array = np.ndarray

# How many standard deviations a sum of many small rounding errors is allowed: a normal variable exceeds 5.5 once in 26 million.
DEVIATIONS = 5.5
# The first-order estimate of what a kink does neglects terms of relative size h / length, 1e-2 at the anchors.
KINK_MARGIN = 1.1
# Nor does the leading term of the truncation know the next one, of relative size (h / length)**2, up to 6e-3 at the anchors.
TRUNCATION_MARGIN = 1.1
# A difference may be judged by its neighbours' convergence only below this part of the loss's scale.
LARGEST_TRUSTED = 0.1
# The same for a scale that is a guess: a small term of the loss may have a scale far below the weight's size.
OPAQUE_TRUSTED = 1e-3
# An opaque function's two smallest steps must give derivatives within this of each other.
ASYMPTOTIC = 0.05
# The anchor stays below this part of the loss's scale even where the noise asks for more.
LARGEST_ANCHOR = 0.02
# By the order of the formula at the anchors: the second anchor is this many times the first, so that its truncation, 16 or
# 64 times as large, shows in their difference; and the first lies above the step that the upper bound of the scale suggests,
# since the loss's true scale is mostly larger.
ANCHOR_RATIO = {2: 4.0, 4: 2.0, 6: 2.0}
ANCHOR_GAIN = {2: 4.0, 4: 2.0, 6: 1.0}
# The ladder of eps=auto begins this far below the step that the noise and the scale suggest.
BELOW_OPTIMUM = 16.0
# Ratio of the ladder's steps where the function says nothing of its scale.
OPAQUE_RATIO = 8.0
# Levels of the ladder of steps for eps=auto: eight pairs of points, as many evaluations as eight central differences.
LEVELS = 8

CENTRAL = SCHEMES["central"]


class Evaluations(NamedTuple):
    """Losses (m, k) at perturbed weights, in the dtype, and how far kinks may have bent them, float64 (m, k)."""

    losses: Array
    deviations: Array


class Probe(NamedTuple):
    """The loss around theta: ``evaluate(index, points)`` replaces one weight at a time.

    ``derivative(index, h)`` is the complex step's Im loss(theta + i h e_j) / h.  ``opaque``: the loss cannot tell its kinks, so
    they are looked for in the slopes on both sides.
    """

    theta: Array
    center: Array
    evaluate: Callable[[Array, Array], Evaluations]
    derivative: Callable[[Array, Array], Array]
    rounding: Rounding
    opaque: bool = False
    relative_noise: float | None = None


@dataclass(frozen=True)
class Estimate:
    """Numeric derivatives of m weights and their bounds; all (m,), float64.

    step : the step really taken; 0 where it left the weight unchanged.
    value : the numeric derivative.
    truncation : of the scheme, kinks included.   roundoff : of the numeric derivative alone.
    kink : the part of ``truncation`` that crossed kinks explain.
    finite : whether every loss that was needed is finite, bool.
    """

    step: Array
    value: Array
    truncation: Array
    roundoff: Array
    kink: Array
    finite: Array

    @property
    def bound(self) -> Array:
        """How far the value can be from the derivative; (m,)."""
        return self.truncation + self.roundoff

    def where(self, which: Array) -> Estimate:
        """The entries ``which`` (bool) alone."""
        return Estimate(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def replaced(self, where: Array, other: Estimate, better: Array | None = None) -> Estimate:
        """This estimate with the entries ``where`` (bool) taken from ``other``: those ``better``, else of a smaller bound."""
        if better is None:
            better = other.bound < self.bound[where]
        merged = {}
        for name in self.__dataclass_fields__:
            column = getattr(self, name).copy()
            column[where] = np.where(better, getattr(other, name), column[where])
            merged[name] = column
        return Estimate(**merged)


class Quotients(NamedTuple):
    """A scheme's quotients at one step: value, roundoff, kink's part, second difference times h; (m,), float64."""

    value: Array
    roundoff: Array
    kink: Array
    bend: Array
    finite: Array


class Noise(NamedTuple):
    """Standard deviations of what separates the losses along m weights: at theta, and as it grows with the step; (m,)."""

    here: Array
    growth: Array


def noise_along(probe: Probe, index: Array) -> Noise:
    """The noise of the loss along the weights of ``index``; that of an opaque function is measured and does not grow."""
    growth = np.zeros(len(index)) if probe.opaque else probe.rounding.gradient[index]
    return Noise(probe.rounding.line[index], growth)


def relative_noise(probe: Probe, index: Array) -> Array:
    """Noise of the loss over its size, between u and 1, (m,); or the one that several outputs share, to share their steps."""
    if probe.relative_noise is not None:
        return np.full(len(index), min(1.0, max(probe.relative_noise, probe.rounding.unit)))
    size = abs(float(probe.center))
    noise = DEVIATIONS * probe.rounding.line[index]
    with np.errstate(all="ignore"):
        return np.clip(np.where(size > noise, noise / size, 1.0), probe.rounding.unit, 1.0)


def optimal_fraction(probe: Probe, order: int, index: Array) -> Array:
    """The step, in units of the loss's scale, at which truncation h**order meets roundoff noise / h; (m,)."""
    return relative_noise(probe, index) ** (1 / (order + 1))


def quotients(probe: Probe, scheme: Scheme, theta: Array, points: Array, found: Evaluations, noise: Noise) -> Quotients:
    """The scheme's derivative at already evaluated points (m, k), ordered as ``scheme.offsets``, with its noise.

    noise : that of the loss along these weights.
    """
    u = probe.rounding.unit
    value = difference_quotient(scheme, theta, points, found.losses, probe.center)
    with np.errstate(all="ignore"):
        losses = found.losses.astype(np.float64)
        # in the dtype first: a difference of nearly equal losses must not be rounded before it is taken
        change = (found.losses - probe.center).astype(np.float64)
        # the loss's noise at a perturbed point: what it is at theta, and a few units of what the loss has moved since
        moved = np.hypot(noise.here[:, None], 4 * u * change) + probe.rounding.underflow
        at = {
            o: (moved[:, j], found.deviations[:, j], points[:, j], change[:, j]) for j, o in enumerate(scheme.offsets)
        }
        at[0.0] = (noise.here + probe.rounding.underflow, np.zeros(len(theta)), theta, np.zeros(len(theta)))
        deviation = np.zeros(len(theta))
        kink = np.zeros(len(theta))
        arithmetic = np.zeros(len(theta))
        skew = np.zeros(len(theta))
        bend = np.zeros(len(theta))
        for low, high, weight in scheme.pairs:
            (n0, d0, x0, c0), (n1, d1, x1, c1) = at[low], at[high]
            distance = (x1 - x0).astype(np.float64)
            w = abs(float(weight))
            # no squares: those of a loss near 1e-160 would vanish
            deviation = np.hypot(deviation, w / distance * np.hypot(n0, n1))
            kink += w * (d0 + d1) / distance
            # the subtraction, the division and the weighted sum: one unit each
            arithmetic += 4 * u * w * np.abs((c1 - c0) / distance)
            if low == -high:
                bend = np.abs(c1 + c0) / (distance / 2)
                # points that rounding has not left symmetric let the second derivative in
                skew += w * bend * np.abs(((x1 - theta) - (theta - x0)).astype(np.float64)) / distance
        roundoff = DEVIATIONS * np.hypot(deviation, noise.growth) + arithmetic + skew
    finite = np.isfinite(losses).all(axis=1) & np.isfinite(probe.center)
    return Quotients(value.astype(np.float64), roundoff, KINK_MARGIN * kink, bend, finite)


def fixed(probe: Probe, scheme: Scheme, eps: float, index: Array) -> Estimate:
    """Derivatives and bounds at one given step for the weights of ``index``.

    Evaluations for each weight: those of the scheme, and at the anchors two (forward, backward), four (central), six
    (five_point), eight (richardson) or one (complex step): in all never more than three times those of the scheme.
    """
    if scheme.complex_valued:
        return _complex(probe, index, np.full(len(index), eps))
    theta = probe.theta[index]
    noise = noise_along(probe, index)
    h = representable_step(theta, np.full(len(index), eps))
    points = perturbed_weights(theta, h, scheme.offsets)
    vanished = _vanished(theta, points)
    here = quotients(probe, scheme, theta, points, probe.evaluate(index, points), noise)
    step = h.astype(np.float64)
    if probe.opaque:
        return _estimate(step, here, *_anchored_on_ladder(probe, scheme, here, step, index), vanished)

    one_sided = scheme.order == 1
    formula = scheme if scheme.order > 2 else CENTRAL
    ratio = ANCHOR_RATIO[formula.order]
    fraction = np.minimum(ANCHOR_GAIN[formula.order] * optimal_fraction(probe, formula.order, index), LARGEST_ANCHOR)
    # with one anchor alone convergence is assumed, so it lies where truncation is far below the noise
    length = probe.rounding.length[index] * (fraction / 32 if one_sided else fraction)
    length = _at_least(length, theta, probe.rounding.unit)
    if one_sided:
        # together with the step itself the anchor shows the third derivative, unless they lie too near to each other
        length = np.where((length > step / 2) & (length < 2 * step), 4 * length, length)
    a = representable_step(theta, length)
    inner = formula.offsets
    outer = tuple(ratio * o for o in inner)
    offsets = inner if one_sided else tuple(sorted({*inner, *outer}))
    anchor_points = perturbed_weights(theta, a, offsets)
    found = probe.evaluate(index, anchor_points)

    def at(wanted: tuple[float, ...]) -> Quotients:
        columns = [offsets.index(o) for o in wanted]
        return quotients(probe, formula, theta, anchor_points[:, columns], _columns(found, columns), noise)

    near = at(inner)
    a = a.astype(np.float64)
    with np.errstate(all="ignore"):
        if one_sided:
            reach = np.minimum(step, probe.rounding.length[index])
            third = _third_derivative(probe, scheme, here, near, step, a, found.losses, reach)
            far_truncation, largest = np.maximum(near.roundoff, third * a**2), a
        else:
            gain = ratio**formula.order
            far = at(outer)
            far_truncation = (
                TRUNCATION_MARGIN * (np.abs(far.value - near.value) + near.roundoff / 2) * gain / (gain - 1)
            )
            largest = a * ratio
        near_truncation = far_truncation * (a / largest) ** formula.order
        near_bound = near.roundoff + near_truncation + near.kink
        anchored = np.abs(here.value - near.value) + near_bound
        # at or below the anchors the truncation is theirs, scaled down
        direct = far_truncation * (step / largest) ** formula.order
        if one_sided:
            direct = direct + (near.bend / a + 2 * near.roundoff / a) * step / 2 + third * step**2
        direct = np.where(step <= largest, direct + here.kink, np.inf)
        truncation = np.minimum(direct, anchored)
        kink = np.minimum(np.maximum(here.kink, near.kink), truncation)
    finite = here.finite & near.finite & np.isfinite(truncation)
    return _estimate(step, here, truncation, kink, finite, vanished)


def auto(probe: Probe, scheme: Scheme, index: Array) -> Estimate:
    """Derivatives at the step with the smallest bound of a ladder of steps, for the weights of ``index``.

    Evaluations for each weight: at most 16 (complex step: 2).
    """
    if scheme.complex_valued:
        tiny = _tiny(probe, index)
        return _complex(probe, index, tiny)
    theta = probe.theta[index]
    noise = noise_along(probe, index)
    nested = CENTRAL if scheme.order == 1 else scheme
    ratio = ANCHOR_RATIO[nested.order] if nested.order > 2 or len(nested.pairs) == 1 else 2.0
    # an extrapolating formula spans several steps of the ladder itself
    reach = [abs(o) for o in nested.offsets]
    spans = math.log(max(reach) / min(reach), ratio)
    levels_wanted, start = LEVELS - round(spans), BELOW_OPTIMUM
    if probe.opaque:
        # the scale of the loss is a guess, so the ladder is wider and begins far below it
        ratio, levels_wanted, start = OPAQUE_RATIO, LEVELS, BELOW_OPTIMUM * OPAQUE_RATIO**2
    if scheme.order == 1:
        levels_wanted -= 1  # the step of a one-sided formula follows from the ladder, and is evaluated after it
    multiples = tuple(ratio**k for k in range(levels_wanted))
    fraction = np.minimum(optimal_fraction(probe, scheme.order, index), LARGEST_ANCHOR * BELOW_OPTIMUM) / start
    base = representable_step(theta, _at_least(probe.rounding.length[index] * fraction, theta, probe.rounding.unit))
    offsets = tuple(sorted({o * m for o in nested.offsets for m in multiples}))
    points = perturbed_weights(theta, base, offsets)
    found = probe.evaluate(index, points)
    column = {o: j for j, o in enumerate(offsets)}

    def at(formula: Scheme, multiple: float) -> Quotients | None:
        wanted = [column.get(o * multiple) for o in formula.offsets]
        if any(j is None for j in wanted):
            return None
        picked = [j for j in wanted if j is not None]
        return quotients(probe, formula, theta, points[:, picked], _columns(found, picked), noise)

    central = [(m, q) for m in multiples if (q := at(CENTRAL, m)) is not None]
    levels = [(m, q) for m in multiples if (q := at(scheme, m)) is not None]
    with np.errstate(all="ignore"):
        if probe.opaque and len(central) > 1:
            jump = slope_jump(central[0][1], central[1][1], ratio)
            central = [(m, q._replace(kink=q.kink + jump)) for m, q in central]
            levels = [(m, q._replace(kink=q.kink + jump)) for m, q in levels]
        part = OPAQUE_TRUSTED if probe.opaque else LARGEST_TRUSTED
        trusted = part * probe.rounding.length[index] / base.astype(np.float64)
        below = central if scheme.order == 1 else levels
        truncations = _ladder(below, nested.order, ratio, trusted / max(reach), probe.opaque)
        size = base.astype(np.float64)
        tried, sizes = [q for _, q in levels], [m * size for m, _ in levels]
        if scheme.order == 1:
            bounds = np.stack([q.roundoff + t + q.kink for (_, q), t in zip(central, truncations, strict=True)])
            best = np.nanargmin(np.where(np.isnan(bounds), np.inf, bounds), axis=0)
            rows = np.arange(len(theta))
            anchor = np.stack([q.value for _, q in central])[best, rows]
            anchor_bound = bounds[best, rows]
            curvature = np.stack([(q.bend + 2 * q.roundoff) / (m * size) for m, q in central])[best, rows]
            step, quotient = _one_sided(probe, scheme, theta, index, noise, curvature, base)
            tried, sizes = [*tried, quotient], [*sizes, step]
            truncations = [np.abs(q.value - anchor) + anchor_bound for q in tried]
        steps = np.stack(sizes)
        totals = np.stack([q.roundoff + t + q.kink for q, t in zip(tried, truncations, strict=True)])
        usable = np.stack([q.finite for q in tried]) & np.isfinite(totals) & (steps > 0)
        best = np.where(usable, totals, np.inf).argmin(axis=0)
    rows = np.arange(len(theta))

    def pick(columns: list[Array]) -> Array:
        return np.stack(columns)[best, rows]

    chosen = Quotients(*(pick([q[part] for q in tried]) for part in range(5)))
    truncation = pick(list(truncations)) + (chosen.kink if scheme.order != 1 else 0.0)
    kink = np.minimum(chosen.kink, truncation)
    vanished = ~(base > 0)
    return _estimate(steps[best, rows], chosen, truncation, kink, chosen.finite & np.isfinite(truncation), vanished)


def _one_sided(
    probe: Probe, scheme: Scheme, theta: Array, index: Array, noise: Noise, curvature: Array, fallback: Array
) -> tuple[Array, Quotients]:
    """A one-sided formula at the step where its roundoff N / h meets its truncation |f''| h / 2; step (m,), quotients.

    At a minimum the loss and its noise may be almost nothing while the curvature is not, so that this step lies far
    below any that the scale of the loss suggests.
    """
    wanted = np.sqrt(2 * DEVIATIONS * math.sqrt(2) * (noise.here + probe.rounding.underflow) / curvature)
    wanted = np.where(np.isfinite(wanted) & (wanted > 0), wanted, fallback.astype(np.float64))
    # one point only, which is a number of the dtype: a step of few spacings is as exact as any
    spacings = 4 * probe.rounding.unit * np.abs(theta.astype(np.float64))
    h = representable_step(theta, np.maximum(wanted, spacings))
    points = perturbed_weights(theta, h, scheme.offsets)
    return h.astype(np.float64), quotients(probe, scheme, theta, points, probe.evaluate(index, points), noise)


def _third_derivative(
    probe: Probe, scheme: Scheme, here: Quotients, near: Quotients, step: Array, a: Array, losses: Array, reach: Array
) -> Array:
    """Upper bound of a sixth of the third derivative from a one-sided quotient at ``step`` and the losses at -a and a; (m,).

    (D(h) - f'' h / 2) - C(a) = f''' (h**2 - a**2) / 6 with the central quotient C.  Where the loss is next to 0, its noise is
    too, and the truncation of C may be far above it.  ``reach``: the step, or the scale of the loss where that is smaller.
    """
    change = (losses - probe.center).astype(np.float64).sum(axis=1)
    side = 1 if scheme.pairs[0].high > 0 else -1
    rest = np.abs(here.value - near.value - side * change / a**2 * step / 2)
    noise = here.roundoff + 2 * near.roundoff * (1 + step / a)
    # twice, since at a step near the scale of the loss the higher derivatives may take half of it away
    return 2 * (rest + noise) / np.abs(reach**2 - a**2)


def _anchored_on_ladder(
    probe: Probe, scheme: Scheme, here: Quotients, step: Array, index: Array
) -> tuple[Array, Array, Array]:
    """Truncation, kink's part and finiteness at a given step of an opaque function, from the best step of a ladder."""
    best = auto(probe, CENTRAL if scheme.order <= 2 else scheme, index)
    for formula in ONE_SIDED:
        # beyond the edge of a domain there is nothing to be seen
        lost = ~np.isfinite(best.truncation)
        if lost.any():
            best = best.replaced(lost, auto(probe, formula, index[lost]))
    with np.errstate(all="ignore"):
        anchored = np.abs(here.value - best.value) + best.truncation + best.roundoff
        if scheme.order > 1:
            # below the best step the truncation is less than there
            anchored = np.where(step <= best.step, np.minimum(anchored, best.truncation), anchored)
    truncation = np.where(np.isnan(anchored), np.inf, anchored)
    return truncation, np.minimum(best.kink, truncation), here.finite & np.isfinite(truncation)


def _ladder(
    levels: list[tuple[float, Quotients]], order: int, ratio: float, trusted: Array, opaque: bool
) -> list[Array]:
    """Truncation of each level of a ladder of ascending steps.

    A level is judged by its neighbours, and by what separates it from any smaller level, while it lies at or below
    ``trusted``; above, it is charged with all that separates it from a smaller level, and that level's bound.
    """
    gain = ratio**order
    truncations: list[Array] = []
    bounds: list[Array] = []
    values = [q.value for _, q in levels]
    gaps_up = [np.abs(upper - lower) for lower, upper in pairwise(values)]
    noises = [q.roundoff for _, q in levels]

    def growth(k: int) -> Array:
        """``observed`` of an opaque function: where noise hides it, that of the first trusted level that shows it."""
        g = np.full(values[0].shape, gain)
        for j in range(len(gaps_up) - 2, k - 1, -1):
            seen = (gaps_up[j] > 2 * noises[j]) & ((j == k) | (levels[j][0] <= trusted))
            # |x|**1.1 at 0: the truncation grows by a quarter while the step grows eightfold
            least = (gaps_up[j + 1] - noises[j + 1]) / (gaps_up[j] + noises[j])
            g = np.where(seen, np.clip(least, 1.01, gain), g)
        return g

    def observed(k: int) -> Array:
        """By how much the truncation grows from level k to k + 1: ``gain`` in theory, less at a singularity."""
        if not 0 <= k < len(gaps_up) - 1:
            return np.full(values[0].shape, gain)
        if opaque:
            return growth(k)
        seen = gaps_up[k] > 2 * noises[k]
        return np.where(seen, np.clip(gaps_up[k + 1] / gaps_up[k], 1.25, gain), gain)

    asymptotic = _asymptotic(levels, gain) if opaque else np.True_
    witnessed = _witnessed(levels) if opaque else None
    for k, (multiple, q) in enumerate(levels):
        t = np.full(q.value.shape, np.inf)
        if k + 1 < len(levels):
            # the next larger step has gain times the truncation, so their difference shows it, free of this step's noise
            t = (gaps_up[k] + q.roundoff / 2) / (observed(k) - 1)
        if k > 0:
            g = observed(k - 1)
            t = np.fmin(t, (gaps_up[k - 1] + levels[k - 1][1].roundoff / 2) * g / (g - 1))
            gaps = [np.abs(q.value - smaller.value) for _, smaller in levels[:k]]
            # no smaller step has more truncation, so what separates them beyond their noise is this step's
            separated = [
                gap - q.roundoff - smaller.roundoff for gap, (_, smaller) in zip(gaps, levels[:k], strict=True)
            ]
            t = np.maximum(t, np.max(separated, axis=0))
            anchored = np.min([gap + bound for gap, bound in zip(gaps, bounds, strict=True)], axis=0)
            below = (multiple <= trusted) & (True if witnessed is None else k <= witnessed)
            t = np.where(below, np.minimum(t, anchored), anchored)
        t = np.where(np.isnan(t) | ~asymptotic, np.inf, t)
        truncations.append(t)
        bounds.append(q.roundoff + t + q.kink)
    return truncations


def slope_jump(near: Quotients, far: Quotients, ratio: float) -> Array:
    """Half the jump of the slope at theta itself, where the second differences say that there is one; (m,), else 0.

    (f(h) - 2 f(0) + f(-h)) / h is h f'' where f is smooth, so it grows ``ratio`` times with the step; at a kink it is the
    difference of the slopes on both sides, whatever the step.
    """
    noise = 2 * near.roundoff
    seen = (near.bend > 2 * noise) & (far.bend < near.bend * ratio / 2)
    return np.where(seen, (near.bend + noise) / 2, 0.0)


def _asymptotic(levels: list[tuple[float, Quotients]], gain: float) -> Array:
    """Whether the smallest steps already behave like the limit; bool (m,).

    Their derivatives agree within noise and 5%, or their differences grow as the order says.  Otherwise even the smallest
    step may lie above the scale of the loss, and nothing can be learnt from it.
    """
    (_, q0), (_, q1), (_, q2) = levels[:3]
    gap, next_gap = np.abs(q1.value - q0.value), np.abs(q2.value - q1.value)
    near = gap <= ASYMPTOTIC * np.abs(q0.value) + q0.roundoff + q1.roundoff
    growth = next_gap / gap
    return near | ((growth > gain / 2) & (growth < 2 * gain))


def _witnessed(levels: list[tuple[float, Quotients]]) -> Array:
    """The last level up to which an opaque function shows that the step is below its scale; (m,), -1 for none.

    A level shows it that agrees within 5% with the next smaller step, whose noise is less than 10% of the derivative.  Where
    noise hides the derivative at the small steps, agreement of the large ones is no evidence: far above the scale of a
    function its differences shrink, and agree with 0.
    """
    last = np.full(levels[0][1].value.shape, -1)
    for k in range(1, len(levels)):
        q, smaller = levels[k][1], levels[k - 1][1]
        size = np.abs(q.value)
        agrees = np.abs(q.value - smaller.value) <= ASYMPTOTIC * size
        last = np.where(agrees & (smaller.roundoff <= 2 * ASYMPTOTIC * size), k, last)
    return last


def _complex(probe: Probe, index: Array, h: Array) -> Estimate:
    """The complex step at ``h`` (m,), anchored at a step whose truncation is below the last digit."""
    value = probe.derivative(index, h)
    tiny = _tiny(probe, index)
    anchor = value if (h <= tiny).all() else probe.derivative(index, tiny)
    with np.errstate(all="ignore"):
        u = probe.rounding.unit
        # nothing cancels, so the derivative's error is that of a gradient; complex products take a few more roundings
        rounding = DEVIATIONS * 3 * probe.rounding.gradient[index] + 4 * u * np.abs(value.astype(np.float64))
        # h times the derivative may be too small for a number of full precision
        roundoff, of_anchor = (rounding + probe.rounding.underflow / np.abs(s.astype(np.float64)) for s in (h, tiny))
        truncation = np.where(h <= tiny, 0.0, np.abs((value - anchor).astype(np.float64)) + of_anchor)
    finite = np.isfinite(value) & np.isfinite(anchor)
    zero = np.zeros(len(index))
    step = h.astype(np.float64)
    return Estimate(step, value.astype(np.float64), np.where(finite, truncation, np.inf), roundoff, zero, finite)


def _tiny(probe: Probe, index: Array) -> Array:
    """A step whose square is far below u in units of the loss's scale."""
    return probe.rounding.length[index] * probe.rounding.unit**0.75


def _at_least(h: Array, theta: Array, u: float) -> Array:
    """``h``, but no less than 64 spacings of theta, so that the point's own rounding stays below 1%."""
    return np.maximum(h, 128 * u * np.abs(theta.astype(np.float64)))


def _columns(found: Evaluations, columns: list[int]) -> Evaluations:
    return Evaluations(found.losses[:, columns], found.deviations[:, columns])


def _vanished(theta: Array, points: Array) -> Array:
    """Where some point of the formula is theta itself or equals another one; bool (m,)."""
    everything = np.sort(np.concatenate([points, theta[:, None]], axis=1), axis=1)
    return (np.diff(everything, axis=1) == 0).any(axis=1)


def _estimate(step: Array, q: Quotients, truncation: Array, kink: Array, finite: Array, vanished: Array) -> Estimate:
    """Put together; a step that vanished has the numeric derivative 0 and no bound."""
    lost = vanished | ~finite
    return Estimate(
        np.where(vanished, 0.0, step),
        np.where(vanished, 0.0, q.value),
        np.where(lost, np.inf, truncation),
        np.where(lost, np.inf, q.roundoff),
        np.where(lost, 0.0, kink),
        finite | vanished,
    )
