"""eps=auto: each weight's own step, the one with the smallest bound of a ladder of steps."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from gradcheck.numeric import Scheme, perturbed_weights, representable_step
from gradcheck.quotients import (
    CENTRAL,
    DEVIATIONS,
    Estimate,
    Noise,
    Probe,
    Quotients,
    at_least,
    by_complex_step,
    columns_of,
    estimate,
    noise_along,
    optimal_fraction,
    quotients,
    slope_jump,
    tiny_step,
)

Array = np.ndarray

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
# The ladder of eps=auto begins this far below the step that the noise and the scale suggest.
BELOW_OPTIMUM = 16.0
# Ratio of the ladder's steps where the function says nothing of its scale.
OPAQUE_RATIO = 8.0
# Levels of the ladder of steps for eps=auto: eight pairs of points, as many evaluations as eight central differences.
LEVELS = 8


def auto(probe: Probe, scheme: Scheme, index: Array) -> Estimate:
    """Derivatives at the step with the smallest bound of a ladder of steps, for the weights of ``index``.

    Evaluations for each weight: at most 16 (complex step: 2).
    """
    if scheme.complex_valued:
        tiny = tiny_step(probe, index)
        return by_complex_step(probe, index, tiny)
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
    base = representable_step(theta, at_least(probe.rounding.length[index] * fraction, theta, probe.rounding.unit))
    offsets = tuple(sorted({o * m for o in nested.offsets for m in multiples}))
    points = perturbed_weights(theta, base, offsets)
    found = probe.evaluate(index, points)
    column = {o: j for j, o in enumerate(offsets)}

    def at(formula: Scheme, multiple: float) -> Quotients | None:
        wanted = [column.get(o * multiple) for o in formula.offsets]
        if any(j is None for j in wanted):
            return None
        picked = [j for j in wanted if j is not None]
        return quotients(probe, formula, theta, points[:, picked], columns_of(found, picked), noise)

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

    chosen = Quotients(*(pick(list(column)) for column in zip(*tried, strict=True)))
    truncation = pick(list(truncations)) + (chosen.kink if scheme.order != 1 else 0.0)
    kink = np.minimum(chosen.kink, truncation)
    vanished = ~(base > 0)
    return estimate(steps[best, rows], chosen, truncation, kink, chosen.finite & np.isfinite(truncation), vanished)


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
