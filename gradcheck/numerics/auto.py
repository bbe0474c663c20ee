"""eps=auto: for each weight the step with the smallest bound, of a ladder of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.ladder import Ladder, ladder_of, room, truncations
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.quotients import (
    DEVIATIONS,
    KINK_MARGIN,
    Estimate,
    Probe,
    Quotients,
    at_least,
    by_complex_step,
    columns_of,
    estimate,
    merged,
    quotients,
    tiny_step,
)
from gradcheck.numerics.schemes import Scheme, perturbed_weights, representable_step

Array = np.ndarray

# Near kinks, candidate steps differ by this factor; the best candidate's bound is at most sqrt(2) times the best possible.
STEPS_APART = math.sqrt(2)
# A larger step reveals a smaller one's truncation only if its own is at least this many times larger.
LEAST_GROWTH = 4.0


class Rung(NamedTuple):
    """One step for each of m weights.

    step : (m,).   found : the formula's quotients there.   truncation : (m,), without what kinks add.
    """

    step: Array
    found: Quotients
    truncation: Array

    @property
    def bound(self) -> Array:
        """The largest possible error of the formula; (m,), infinite where unknown."""
        bound = self.found.roundoff + self.truncation + self.found.kink
        return np.where(np.isnan(bound), np.inf, bound)

    def where(self, which: Array) -> Rung:
        """The rung of the weights ``which`` (bool) alone."""
        return Rung(self.step[which], Quotients(*(column[which] for column in self.found)), self.truncation[which])


def auto(probe: Probe, scheme: Scheme, index: Array) -> Estimate:
    """Derivatives at the step with the smallest bound of a ladder of steps, for the weights of ``index``.

    Near kinks the top rungs are replaced by one step that crosses few of them.
    It takes at most 16 evaluations a weight (complex step: 2).
    """
    if scheme.complex_valued:
        return by_complex_step(probe, index, tiny_step(probe, index))
    ladder = ladder_of(probe, scheme, index)
    with np.errstate(all="ignore"):
        if probe.crossings is not None:
            return _among_kinks(probe, scheme, ladder)
        ladder = ladder.evaluated(probe)
        return _best(probe, scheme, ladder, _rungs(probe, ladder))


def _among_kinks(probe: Probe, scheme: Scheme, whole: Ladder) -> Estimate:
    """``auto`` of a loss that knows its kinks.

    One extra step for each weight costs as many evaluations as the formula has points, so the top rungs are given up for it.
    The truncation of the extra step must then be seen without them.  A formula with an embedded one is compared with that.
    Other formulas need a rung above the suggested step.  Where the rungs that are left do not reach so far, a second part of
    the top is given up, for one step near the largest that is trusted.
    """
    assert probe.crossings is not None
    nested, size = whole.nested, len(whole.nested.distances)
    kept = nested.rungs(room(scheme) - size)
    wide = nested.embedded is not None or nested.ratio ** (kept - 1) > nested.below
    if not wide:
        kept = nested.rungs(room(scheme) - 2 * size)
    if kept < 1:
        ladder = whole.evaluated(probe)
        return _best(probe, scheme, ladder, _rungs(probe, ladder))
    ladder = replace(whole, multiples=whole.multiples[:kept]).evaluated(probe)
    rungs = _rungs(probe, ladder)
    if wide:
        top = whole.multiples[-1] * whole.size
        near = probe.crossings(whole.index, top * max(whole.nested.offsets))
        limited = _jumps(whole.nested, near, top) * top > rungs[0].found.roundoff * rungs[0].step
    else:
        limited = np.ones(len(whole.index), dtype=bool)
        rungs.append(_beside(probe, ladder, rungs, _witness(probe, ladder, rungs[0])))
    parts = []
    for which in (limited, ~limited):
        if not which.any():
            continue
        part, lower = ladder.where(which), [rung.where(which) for rung in rungs]
        if which is limited:
            lower.append(_beside(probe, part, lower, _short_of_kinks(probe, part, lower)))
        else:
            part = replace(part, multiples=whole.multiples).evaluated(probe)
            lower = _rungs(probe, part)
        parts.append((which, _best(probe, scheme, part, lower)))
    return merged(parts)


def _rungs(probe: Probe, ladder: Ladder) -> list[Rung]:
    """The rungs of an evaluated ladder, by ascending step."""
    levels = ladder.rungs(probe, ladder.nested)
    judged = truncations(levels, ladder.nested.order, ladder.ratio, ladder.trusted(probe), ladder.lifted(probe))
    return [Rung(m * ladder.size, q, t) for (m, q), t in zip(levels, judged, strict=True)]


def _best(probe: Probe, scheme: Scheme, ladder: Ladder, tried: list[Rung]) -> Estimate:
    """The estimate with the smallest bound.

    tried : the rungs of the formula on the ladder.  A first-order scheme is not that formula: its quotients at the same steps,
        and at one step more, are judged by their difference from the best central rung.
    """
    rows = np.arange(len(ladder.index))
    if scheme.order == 1:
        bounds = np.stack([rung.bound for rung in tried])
        best = bounds.argmin(axis=0)
        anchor = np.stack([rung.found.value for rung in tried])[best, rows]
        # each rung gives an upper bound of |f''|; noise enlarges it at small steps and kinks at large ones
        curvature = np.min([(q.bend + 2 * q.roundoff + 2 * q.kink) / step for step, q, _ in tried], axis=0)
        found = [(m * ladder.size, q) for m, q in ladder.rungs(probe, scheme)]
        found.append(_one_sided(probe, scheme, ladder, curvature))
        tried = [Rung(step, q, np.abs(q.value - anchor) + bounds[best, rows]) for step, q in found]
    steps, bounds = np.stack([rung.step for rung in tried]), np.stack([rung.bound for rung in tried])
    usable = np.stack([rung.found.finite for rung in tried]) & np.isfinite(bounds) & (steps > 0)
    best = np.where(usable, bounds, np.inf).argmin(axis=0)

    def pick(columns: list[Array]) -> Array:
        return np.stack(columns)[best, rows]

    chosen = Quotients(*(pick(list(column)) for column in zip(*(rung.found for rung in tried), strict=True)))
    truncation = pick([rung.truncation for rung in tried]) + (chosen.kink if scheme.order != 1 else 0.0)
    kink = np.minimum(chosen.kink, truncation)
    vanished = ~(ladder.size > 0)
    # where the spacing of the numbers lifts every step above the scale of the loss, no truncation is known of finite losses
    finite = chosen.finite & (np.isfinite(truncation) | ladder.lifted(probe))
    return estimate(steps[best, rows], chosen, truncation, kink, finite, vanished)


def _one_sided(probe: Probe, scheme: Scheme, ladder: Ladder, curvature: Array) -> tuple[Array, Quotients]:
    """A one-sided formula at the step where its roundoff N / h equals its truncation |f''| h / 2; step (m,), quotients.

    At a minimum the loss and its noise may be nearly 0 while the curvature is not.  This step then lies far below those that
    the scale of the loss suggests.
    """
    theta, index, noise = ladder.theta, ladder.index, ladder.noise
    roundoff = DEVIATIONS * math.sqrt(2) * (noise.here + probe.rounding.underflow)
    wanted = np.sqrt(2 * roundoff / curvature)
    wanted = np.where(np.isfinite(wanted) & (wanted > 0), wanted, ladder.size)
    # the only point beside theta is exact in the dtype, so a step of a few spacings is as exact as any
    spacings = 4 * probe.rounding.unit * np.abs(theta.astype(np.float64))
    if probe.crossings is not None:
        near = probe.crossings(index, wanted)
        least = np.full(len(wanted), np.inf)
        for h in _steps(wanted, spacings):
            foreseen = roundoff / h + curvature * h / 2 + _jumps(scheme, near, h)
            least, wanted = np.fmin(least, foreseen), np.where(foreseen < least, h, wanted)
            if (roundoff / h > least).all():
                break
    h = representable_step(theta, np.maximum(wanted, spacings))
    points = perturbed_weights(theta, h, scheme.offsets)
    return h.astype(np.float64), quotients(probe, scheme, theta, points, probe.evaluate(index, points), noise)


def _steps(highest: Array, lowest: Array) -> Iterator[Array]:
    """Steps (m,) from the highest downwards, until all lie at or below the lowest."""
    while (highest > lowest).any():
        yield highest
        highest = highest / STEPS_APART


def _witness(probe: Probe, ladder: Ladder, lowest: Rung) -> Array:
    """A step far above the ladder at which a formula of order p shows its truncation, proportional to h**p, best; (m,).

    It is the step with the least noise and kinks in units of h**p.
    """
    assert probe.crossings is not None
    # below the largest trusted step by a margin, since rounding to the dtype may enlarge the step
    least = 2 * ladder.multiples[-1] * ladder.size
    highest = np.fmax(ladder.trusted(probe) / STEPS_APART * ladder.size, least)
    near = probe.crossings(ladder.index, highest * max(ladder.nested.offsets))
    noise = lowest.found.roundoff * lowest.step
    chosen, smallest = highest, np.full(len(highest), np.inf)
    for h in _steps(highest, least):
        # in units of highest**p, since h**p may underflow
        blurred = (noise / h + _jumps(ladder.nested, near, h)) * (highest / h) ** ladder.nested.order
        better = (blurred < smallest) & (h > least)
        smallest, chosen = np.where(better, blurred, smallest), np.where(better, h, chosen)
    return chosen


def _short_of_kinks(probe: Probe, ladder: Ladder, rungs: list[Rung]) -> Array:
    """For each weight the step with the smallest predicted bound, where kinks may lie below every rung; (m,).

    The bound of a step h is predicted from its roundoff N / h, its truncation as the rungs will show it, and the kinks.  A kink
    at distance d, where the derivative jumps by J, adds w J (o h - d) / r for each pair of points r apart at o h > d, w being
    the weight of the pair.
    """
    assert probe.crossings is not None
    nested, trusted = ladder.nested, ladder.trusted(probe) * ladder.size
    bounds = np.stack([rung.bound for rung in rungs])
    least, best = bounds.min(axis=0), bounds.argmin(axis=0)
    value = np.stack([rung.found.value for rung in rungs])[best, np.arange(len(best))]
    noise = rungs[0].found.roundoff * rungs[0].step
    highest = rungs[-1].step * ladder.ratio
    near = probe.crossings(ladder.index, highest * max(nested.offsets))
    # below noise / least the roundoff alone exceeds the best bound of the rungs
    smallest = np.maximum(at_least(np.zeros(len(highest)), ladder.theta, probe.rounding.unit), noise / least)
    chosen = highest
    for h in _steps(highest, smallest):
        own = noise / h + _jumps(nested, near, h)
        truncation = _shown(ladder, rungs, trusted, h, value, own)
        if nested.embedded is not None:
            truncation = np.where(h <= trusted, own, truncation)
        better = (own + truncation < least) & (h > smallest)
        least, chosen = np.where(better, own + truncation, least), np.where(better, h, chosen)
    return chosen


def _jumps(formula: Scheme, near: Crossings, h: Array) -> Array:
    """By how much the kinks may change the formula's derivative at steps h (m,); (m,)."""
    total = np.zeros(len(h))
    for low, high, weight in formula.pairs:
        reach = max(-low, high) * h
        bent = np.bincount(near.row, near.jump * np.maximum(reach[near.row] - near.distance, 0), minlength=len(h))
        total += abs(float(weight)) * bent / ((high - low) * h)
    return KINK_MARGIN * total


def _beside(probe: Probe, ladder: Ladder, rungs: list[Rung], step: Array) -> Rung:
    """One extra rung at ``step`` (m,)."""
    nested, trusted = ladder.nested, ladder.trusted(probe) * ladder.size
    h = representable_step(ladder.theta, step)
    points = perturbed_weights(ladder.theta, h, nested.offsets)
    evaluated = probe.evaluate(ladder.index, points)
    found = quotients(probe, nested, ladder.theta, points, evaluated, ladder.noise)
    size = h.astype(np.float64)
    truncation = _shown(ladder, rungs, trusted, size, found.value, found.roundoff + found.kink)
    if nested.embedded is not None:
        lesser = nested.embedded
        columns = [nested.offsets.index(o) for o in lesser.offsets]
        other = quotients(probe, lesser, ladder.theta, points[:, columns], columns_of(evaluated, columns), ladder.noise)
        # below six times the scale of the loss the embedded formula has the larger truncation: f5 h**4 / 7680 against
        # f7 h**6 / 322560 for Richardson's
        apart = np.abs(found.value - other.value) + found.roundoff / 2 + found.kink
        truncation = np.fmin(truncation, np.where(size <= trusted, apart, np.inf))
    return Rung(size, found, truncation)


def _shown(ladder: Ladder, rungs: list[Rung], trusted: Array, step: Array, value: Array, blur: Array) -> Array:
    """Truncation at a step h between rungs, where the formula gave ``value`` with an error of at most ``blur``; (m,).

    A rung at a step s above has (s / h)**order times the truncation, so the difference of both values shows it.  A rung below
    gives an upper limit, the difference plus the rung's bound, and a lower one, the difference minus the noise of both.
    """
    least, most = np.full(len(step), np.inf), np.zeros(len(step))
    for rung in rungs:
        both = blur + rung.found.roundoff + rung.found.kink
        gap = np.abs(rung.found.value - value)
        growth = (rung.step / step) ** ladder.nested.order
        shown = np.where((growth >= LEAST_GROWTH) & (rung.step <= trusted), (gap + both) / (growth - 1), np.inf)
        below = rung.step < step
        least = np.fmin(least, np.where(below, gap + rung.bound, shown))
        most = np.where(below, np.fmax(most, gap - both), most)
    return np.maximum(least, most)
