"""eps=auto: for each weight the step with the smallest bound, of a ladder of steps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from gradcheck.numerics.foreseen import jumps, kinks_along, least_of_steps, short_of_kinks, witness
from gradcheck.numerics.ladder import Ladder, ladder_of, room
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.quotients import (
    DEVIATIONS,
    Estimate,
    Probe,
    Quotients,
    by_complex_step,
    estimate,
    merged,
    quotients,
    tiny_step,
)
from gradcheck.numerics.rungs import Rungs, rungs_of, with_step
from gradcheck.numerics.schemes import Scheme, perturbed_weights, representable_step

Array = np.ndarray

# Beside a step whose bound is at most this many times what another step's can be at least, that one is not tried.
CLOSE_ENOUGH = 2.5


def auto(probe: Probe, scheme: Scheme, index: Array) -> Estimate:
    """Derivatives at the step with the smallest bound of a ladder of steps, for the weights of ``index``.

    A few rungs are tried first; others where they may have a bound that is much smaller.
    A loss that knows its kinks has fewer rungs first, and near kinks the top rungs are replaced by one step that crosses few.
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
    return _extended(probe, scheme, whole, window, ladder, rungs_of(probe, ladder))


def _extended(probe: Probe, scheme: Scheme, whole: Ladder, window: slice, ladder: Ladder, rungs: Rungs) -> Estimate:
    """The best of the evaluated rungs, and of all below or above them for the weights for which these may be better."""
    least = rungs.bound.min(axis=1)
    # a step below has more noise than the lowest
    down = ~(least <= CLOSE_ENOUGH * rungs.found.roundoff[:, 0]) & (window.start > 0)
    # a step above has more truncation than the highest, whose distance from a smaller one shows it beyond the noise of both
    value, noise = rungs.found.value, rungs.found.roundoff
    shown = (np.abs(value[:, -1:] - value) - noise[:, -1:] - noise)[:, :-1].max(axis=1, initial=-np.inf)
    # above the scale of the loss nothing is learnt
    further = np.array(whole.multiples[window.stop :][:1])
    up = ~(least <= CLOSE_ENOUGH * shown) & (further <= ladder.trusted(probe)[:, None]).any(axis=1)
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
        parts.append((which, _best(probe, scheme, part, rungs_of(probe, part) if low or high else rungs.where(which))))
    return merged(parts)


def _among_kinks(probe: Probe, scheme: Scheme, whole: Ladder, window: slice) -> Estimate:
    """``auto`` of a loss that knows its kinks.

    One extra step for each weight costs as many evaluations as the formula has points, so the top rungs are given up for it.
    The truncation of the extra step must then be seen without them.  A formula with an embedded one is compared with that.
    Other formulas need a rung above the step at which noise is to equal truncation.
    """
    nested = whole.nested
    kept = nested.rungs(room(scheme) - len(nested.distances))
    if nested.embedded is None and not nested.ratio ** (kept - 1) > nested.below:
        return _with_witness(probe, scheme, whole)
    # one rung less than elsewhere, in whose place most weights take a step of their own
    window = slice(window.start, min(window.stop - 1, kept))
    ladder = whole.at(window).evaluated(probe)
    rungs = rungs_of(probe, ladder)
    top = whole.multiples[-1] * whole.size
    near = kinks_along(probe, whole, top)
    limited = _changed(whole, near, top) * top > rungs.found.roundoff[:, 0] * rungs.step[:, 0]
    parts = []
    for which in (limited, ~limited):
        if not which.any():
            continue
        part, lower = ladder.where(which), rungs.where(which)
        if which is limited:
            step = short_of_kinks(probe, part, lower, near.where(which))
            step = np.where(np.isnan(step), lower.step[:, -1] * part.ratio, step)
            parts.append((which, _best(probe, scheme, part, with_step(probe, part, lower, step))))
        else:
            parts.append((which, _extended(probe, scheme, whole.where(which), window, part, lower)))
    return merged(parts)


def _with_witness(probe: Probe, scheme: Scheme, whole: Ladder) -> Estimate:
    """``auto`` of a loss that knows its kinks, by a formula whose truncation only a larger step shows.

    Few rungs are left beside two more steps: one near the largest that is trusted, and one that stays short of the kinks.  The
    rungs end at the step at which noise is to equal truncation, unless a kink is foreseen below.  Where the first step shows
    nothing, since kinks that were not foreseen spoil it, more rungs take the place of the second.
    """
    nested = whole.nested
    kept, more = (nested.rungs(room(scheme) - k * len(nested.distances)) for k in (2, 1))
    if kept < 1:
        ladder = whole.evaluated(probe)
        return _best(probe, scheme, ladder, rungs_of(probe, ladder))
    start = max(0, math.floor(math.log(nested.below, nested.ratio)) + 1 - kept)
    top = whole.multiples[start + kept - 1] * whole.size
    noise = DEVIATIONS * whole.noise.here
    free = _changed(whole, kinks_along(probe, whole, top), top) * top <= noise
    high = free & (whole.multiples[start + kept - 1] <= whole.trusted(probe))
    parts = []
    for which, lowest in ((high, start), (~high, 0)):
        if not which.any():
            continue
        ladder = whole.where(which).at(slice(lowest, lowest + kept)).evaluated(probe)
        rungs = rungs_of(probe, ladder)
        rungs = with_step(probe, ladder, rungs, witness(probe, ladder, rungs))
        step = short_of_kinks(probe, ladder, rungs)
        step = np.where(_surprised(probe, ladder, rungs), np.nan, step)
        parts.append((which, _second(probe, scheme, ladder, rungs, step, whole.multiples[lowest : lowest + more])))
    return merged(parts)


def _surprised(probe: Probe, ladder: Ladder, rungs: Rungs) -> Array:
    """Whether most of what kinks do to the last step was not foreseen, and they leave the rungs below alone; bool (m,)."""
    step, found = rungs.step[:, -1], rungs.found
    foreseen = _changed(ladder, kinks_along(probe, ladder, step), step)
    unspoilt = (found.kink <= found.roundoff)[:, :-1].all(axis=1)
    return unspoilt & (found.kink[:, -1] > 2 * foreseen + found.roundoff[:, -1])


def _changed(ladder: Ladder, near: Crossings, step: Array) -> Array:
    """By how much kinks may change the derivative of the ladder's formula at a step (m,); (m,)."""
    return jumps(ladder.nested, near, step[:, None])[:, 0]


def _second(
    probe: Probe, scheme: Scheme, ladder: Ladder, rungs: Rungs, step: Array, multiples: tuple[float, ...]
) -> Estimate:
    """The best of the rungs and a second step (m,), or of a ladder with these ``multiples`` where that step is NaN."""
    parts, none = [], np.isnan(step)
    for which in (none, ~none):
        if not which.any():
            continue
        part, lower = ladder.where(which), rungs.where(which)
        if which is none:
            part = replace(part, multiples=multiples).evaluated(probe)
            parts.append((which, _best(probe, scheme, part, rungs_of(probe, part))))
        else:
            parts.append((which, _best(probe, scheme, part, with_step(probe, part, lower, step[which]))))
    return merged(parts)


def _best(probe: Probe, scheme: Scheme, ladder: Ladder, tried: Rungs) -> Estimate:
    """The estimate with the smallest bound.

    tried : the rungs of the formula on the ladder.  A first-order scheme is not that formula: its quotients at the same steps,
        and at one step more, are judged by their difference from the best central rung.
    """
    rows = np.arange(len(ladder.index))
    known: Array | None = None
    if scheme.order == 1:
        bounds = tried.bound
        best = bounds.argmin(axis=1)
        anchor, least = tried.found.value[rows, best], bounds[rows, best]
        central, q = tried, tried.found
        # each rung gives an upper bound of |f''|; noise enlarges it at small steps and kinks at large ones
        curvature = (q.bend + 2 * q.roundoff + 2 * q.kink) / tried.step
        multiples, own = ladder.levels(probe, scheme)
        step, extra = _one_sided(probe, scheme, ladder, curvature.min(axis=1))
        tried = Rungs(ladder.size[:, None] * multiples, own, own.value).beside(step, extra, extra.value)
        anchored = np.abs(tried.found.value - anchor[:, None]) + least[:, None]
        curved = _curved(ladder, central, curvature, ladder.trusted(probe), tried.step)
        tried = tried._replace(truncation=np.fmin(anchored, curved))
        known = np.fmin(anchored, curved + tried.found.kink)
    bounds = tried.bound
    usable = tried.found.finite & np.isfinite(bounds) & (tried.step > 0)
    best = np.where(usable, bounds, np.inf).argmin(axis=1)
    chosen = Quotients(*(column[rows, best] for column in tried.found))
    truncation = tried.truncation[rows, best] + chosen.kink if known is None else known[rows, best]
    kink = np.minimum(chosen.kink, truncation)
    vanished = ~(ladder.size > 0)
    # where the spacing of the numbers lifts every step above the scale of the loss, no truncation is known of finite losses
    finite = chosen.finite & (np.isfinite(truncation) | ladder.lifted(probe))
    return estimate(tried.step[rows, best], chosen, truncation, kink, finite, vanished)


def _curved(ladder: Ladder, rungs: Rungs, curvature: Array, trusted: Array, step: Array) -> Array:
    """Truncation of a one-sided formula at steps h (m, t) below rungs that a kink spoils; (m, t), infinite without one.

    A rung at s bounds the second derivative f2 by its ``curvature``, (m, s), and f3 s**2 / 6 by its truncation.  The one-sided
    quotient leaves the derivative by f2 h / 2 + f3 h**2 / 6.  A kink that is most of a rung's error enlarges the curvature by
    more than the higher derivatives may lessen it.
    """
    q = rungs.found
    other = q.roundoff + rungs.truncation
    shows = (q.kink > other) & (rungs.step <= (trusted * ladder.size)[:, None])
    least = np.full(step.shape, np.inf)
    for k in np.flatnonzero(shows.any(axis=0)):
        s = rungs.step[:, k, None]
        own = curvature[:, k, None] * step / 2 + (other + q.kink)[:, k, None] * (step / s) ** 2
        least = np.where(shows[:, k, None] & (step <= s), np.fmin(least, own), least)
    return least


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

        def foreseen(h: Array) -> Array:
            return roundoff[:, None] / h + curvature[:, None] * h / 2 + jumps(scheme, near, h)

        best = least_of_steps(wanted, spacings, roundoff, foreseen, np.full(len(wanted), np.inf))
        wanted = np.where(np.isnan(best), wanted, best)
    h = representable_step(theta, np.maximum(wanted, spacings))
    points = perturbed_weights(theta, h, scheme.offsets)
    return h.astype(np.float64), quotients(probe, scheme, theta, points, probe.evaluate(index, points), noise)
