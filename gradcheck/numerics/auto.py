"""eps=auto: for each weight the step with the smallest bound, of a ladder of steps."""

from __future__ import annotations

import itertools
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


# Beside a step whose bound is at most this many times what another step's can be at least, that one is not tried.
CLOSE_ENOUGH = 2.5


class Rungs(NamedTuple):
    """Steps of m weights; all (m, s).

    step : the steps.   found : the formula's quotients there.   truncation : without what kinks add.
    """

    step: Array
    found: Quotients
    truncation: Array

    @property
    def bound(self) -> Array:
        """The largest possible error of the formula; infinite where unknown."""
        bound = self.found.roundoff + self.truncation + self.found.kink
        return np.where(np.isnan(bound), np.inf, bound)

    def where(self, which: Array) -> Rungs:
        """Those of the weights ``which`` (bool) alone."""
        return Rungs(self.step[which], Quotients(*(column[which] for column in self.found)), self.truncation[which])

    def beside(self, step: Array, found: Quotients, truncation: Array) -> Rungs:
        """These and one step more, (m,)."""
        both = (np.concatenate([many, one[:, None]], axis=1) for many, one in zip(self.found, found, strict=True))
        return Rungs(
            np.concatenate([self.step, step[:, None]], axis=1),
            Quotients(*both),
            np.concatenate([self.truncation, truncation[:, None]], axis=1),
        )


def auto(probe: Probe, scheme: Scheme, index: Array) -> Estimate:
    """Derivatives at the step with the smallest bound of a ladder of steps, for the weights of ``index``.

    A few rungs are tried first; others where they may have a bound that is much smaller.
    Near kinks the top rungs are replaced by one step that crosses few of them.
    It takes at most 16 evaluations a weight (complex step: 2).
    """
    if scheme.complex_valued:
        return by_complex_step(probe, index, tiny_step(probe, index))
    ladder = ladder_of(probe, scheme, index)
    with np.errstate(all="ignore"):
        parts = []
        for which, window in ladder.first(probe):
            if which.all():
                return _among_rungs(probe, scheme, ladder, window)
            if which.any():
                parts.append((which, _among_rungs(probe, scheme, ladder.where(which), window)))
        return merged(parts)


def _among_rungs(probe: Probe, scheme: Scheme, whole: Ladder, window: slice) -> Estimate:
    """The estimates where ``window`` are the rungs of the ladder that are tried first."""
    if probe.crossings is not None:
        return _among_kinks(probe, scheme, whole, window)
    ladder = whole.at(window).evaluated(probe)
    return _extended(probe, scheme, whole, window, ladder, _rungs(probe, ladder))


def _extended(probe: Probe, scheme: Scheme, whole: Ladder, window: slice, ladder: Ladder, rungs: Rungs) -> Estimate:
    """The best of the evaluated rungs, and of all below or above them for the weights for which these may be better."""
    least = rungs.bound.min(axis=1)
    # a step below has more noise than the lowest
    down = ~(least <= CLOSE_ENOUGH * rungs.found.roundoff[:, 0]) & (window.start > 0)
    # a step above has more truncation than the highest, whose distance from a smaller one shows it beyond the noise of both
    value, noise = rungs.found.value, rungs.found.roundoff
    shown = (np.abs(value[:, -1:] - value) - noise[:, -1:] - noise)[:, :-1].max(axis=1, initial=-np.inf)
    up = ~(least <= CLOSE_ENOUGH * shown) & (window.stop < len(whole.multiples))
    if not (down | up).any():
        return _best(probe, scheme, ladder, rungs)
    parts = []
    for low, high in itertools.product((False, True), repeat=2):
        which = (down == low) & (up == high)
        if not which.any():
            continue
        part = ladder.where(which)
        if low or high:
            ends = slice(0 if low else window.start, len(whole.multiples) if high else window.stop)
            part = replace(part, multiples=whole.multiples[ends]).evaluated(probe)
        parts.append((which, _best(probe, scheme, part, _rungs(probe, part) if low or high else rungs.where(which))))
    return merged(parts)


def _among_kinks(probe: Probe, scheme: Scheme, whole: Ladder, window: slice) -> Estimate:
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
    window = slice(window.start, min(window.stop, kept))
    ladder = whole.at(window).evaluated(probe)
    rungs = _rungs(probe, ladder)
    if wide:
        top = whole.multiples[-1] * whole.size
        near = probe.crossings(whole.index, top * max(whole.nested.offsets))
        limited = _jumps(whole.nested, near, top) * top > rungs.found.roundoff[:, 0] * rungs.step[:, 0]
    else:
        limited = np.ones(len(whole.index), dtype=bool)
        rungs = _beside(probe, ladder, rungs, _witness(probe, ladder, rungs))
    parts = []
    for which in (limited, ~limited):
        if not which.any():
            continue
        part, lower = ladder.where(which), rungs.where(which)
        if which is limited:
            lower = _beside(probe, part, lower, _short_of_kinks(probe, part, lower))
            parts.append((which, _best(probe, scheme, part, lower)))
        else:
            parts.append((which, _extended(probe, scheme, whole.where(which), window, part, lower)))
    return merged(parts)


def _rungs(probe: Probe, ladder: Ladder) -> Rungs:
    """The rungs of an evaluated ladder, by ascending step."""
    multiples, found = ladder.levels(probe, ladder.nested)
    truncation = truncations(multiples, found, ladder.nested, ladder.trusted(probe), ladder.lifted(probe))
    return Rungs(ladder.size[:, None] * multiples, found, truncation)


def _best(probe: Probe, scheme: Scheme, ladder: Ladder, tried: Rungs) -> Estimate:
    """The estimate with the smallest bound.

    tried : the rungs of the formula on the ladder.  A first-order scheme is not that formula: its quotients at the same steps,
        and at one step more, are judged by their difference from the best central rung.
    """
    rows = np.arange(len(ladder.index))
    if scheme.order == 1:
        bounds = tried.bound
        best = bounds.argmin(axis=1)
        anchor, least = tried.found.value[rows, best], bounds[rows, best]
        q = tried.found
        # each rung gives an upper bound of |f''|; noise enlarges it at small steps and kinks at large ones
        curvature = ((q.bend + 2 * q.roundoff + 2 * q.kink) / tried.step).min(axis=1)
        multiples, own = ladder.levels(probe, scheme)
        step, extra = _one_sided(probe, scheme, ladder, curvature)
        tried = Rungs(ladder.size[:, None] * multiples, own, own.value).beside(step, extra, extra.value)
        tried = tried._replace(truncation=np.abs(tried.found.value - anchor[:, None]) + least[:, None])
    bounds = tried.bound
    usable = tried.found.finite & np.isfinite(bounds) & (tried.step > 0)
    best = np.where(usable, bounds, np.inf).argmin(axis=1)
    chosen = Quotients(*(column[rows, best] for column in tried.found))
    truncation = tried.truncation[rows, best] + (chosen.kink if scheme.order != 1 else 0.0)
    kink = np.minimum(chosen.kink, truncation)
    vanished = ~(ladder.size > 0)
    # where the spacing of the numbers lifts every step above the scale of the loss, no truncation is known of finite losses
    finite = chosen.finite & (np.isfinite(truncation) | ladder.lifted(probe))
    return estimate(tried.step[rows, best], chosen, truncation, kink, finite, vanished)


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


def _witness(probe: Probe, ladder: Ladder, rungs: Rungs) -> Array:
    """A step far above the ladder at which a formula of order p shows its truncation, proportional to h**p, best; (m,).

    It is the step with the least noise and kinks in units of h**p.
    """
    assert probe.crossings is not None
    # below the largest trusted step by a margin, since rounding to the dtype may enlarge the step
    least = 2 * ladder.multiples[-1] * ladder.size
    highest = np.fmax(ladder.trusted(probe) / STEPS_APART * ladder.size, least)
    near = probe.crossings(ladder.index, highest * max(ladder.nested.offsets))
    noise = rungs.found.roundoff[:, 0] * rungs.step[:, 0]
    chosen, smallest = highest, np.full(len(highest), np.inf)
    for h in _steps(highest, least):
        # in units of highest**p, since h**p may underflow
        blurred = (noise / h + _jumps(ladder.nested, near, h)) * (highest / h) ** ladder.nested.order
        better = (blurred < smallest) & (h > least)
        smallest, chosen = np.where(better, blurred, smallest), np.where(better, h, chosen)
    return chosen


def _short_of_kinks(probe: Probe, ladder: Ladder, rungs: Rungs) -> Array:
    """For each weight the step with the smallest predicted bound, where kinks may lie below every rung; (m,).

    The bound of a step h is predicted from its roundoff N / h, its truncation as the rungs will show it, and the kinks.  A kink
    at distance d, where the derivative jumps by J, adds w J (o h - d) / r for each pair of points r apart at o h > d, w being
    the weight of the pair.
    """
    assert probe.crossings is not None
    nested, trusted = ladder.nested, ladder.trusted(probe) * ladder.size
    bounds = rungs.bound
    least, best = bounds.min(axis=1), bounds.argmin(axis=1)
    value = rungs.found.value[np.arange(len(best)), best]
    noise = rungs.found.roundoff[:, 0] * rungs.step[:, 0]
    highest = rungs.step[:, -1] * ladder.ratio
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


def _beside(probe: Probe, ladder: Ladder, rungs: Rungs, step: Array) -> Rungs:
    """The rungs and one extra at ``step`` (m,)."""
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
    return rungs.beside(size, found, truncation)


def _shown(ladder: Ladder, rungs: Rungs, trusted: Array, step: Array, value: Array, blur: Array) -> Array:
    """Truncation at a step h between rungs, where the formula gave ``value`` with an error of at most ``blur``; (m,).

    A rung at a step s above has (s / h)**order times the truncation, so the difference of both values shows it.  A rung below
    gives an upper limit, the difference plus the rung's bound, and a lower one, the difference minus the noise of both.
    """
    both = blur[:, None] + rungs.found.roundoff + rungs.found.kink
    gap = np.abs(rungs.found.value - value[:, None])
    growth = (rungs.step / step[:, None]) ** ladder.nested.order
    shown = np.where((growth >= LEAST_GROWTH) & (rungs.step <= trusted[:, None]), (gap + both) / (growth - 1), np.inf)
    below = rungs.step < step[:, None]
    least = np.fmin.reduce(np.where(below, gap + rungs.bound, shown), axis=1, initial=np.inf)
    most = np.fmax.reduce(np.where(below, gap - both, 0), axis=1, initial=0)
    return np.maximum(least, most)
