"""Steps of eps=auto that are chosen by what is foreseen of them: their noise, their truncation, and the kinks they cross."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gradcheck.numerics.ladder import Ladder
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.quotients import KINK_MARGIN, Probe, at_least
from gradcheck.numerics.rungs import Rungs, shown
from gradcheck.numerics.schemes import Scheme

Array = np.ndarray

# Near kinks, candidate steps differ by this factor; the best candidate's bound is at most sqrt(2) times the best possible.
STEPS_APART = math.sqrt(2)
# So many candidates are looked at together.
TOGETHER = 2**12


def kinks_along(probe: Probe, ladder: Ladder, step: Array) -> Crossings:
    """The kinks that the ladder's formula crosses at a step (m,) or below."""
    assert probe.crossings is not None
    return probe.crossings(ladder.index, step * max(ladder.nested.offsets))


def jumps(formula: Scheme, near: Crossings, h: Array) -> Array:
    """By how much the kinks may change the formula's derivative at steps h (m, t); (m, t)."""
    total, places = np.zeros(h.shape), near.row[:, None] * h.shape[1] + np.arange(h.shape[1])
    for low, high, weight in formula.pairs:
        far = np.where(near.side < 0, -low, np.where(near.side > 0, high, max(-low, high)))
        beyond = np.maximum(far[:, None] * h[near.row] - near.distance[:, None], 0)
        bent = np.bincount(places.ravel(), (near.jump[:, None] * beyond).ravel(), minlength=h.size)
        total += abs(float(weight)) * bent.reshape(h.shape) / ((high - low) * h)
    return KINK_MARGIN * total


def least_of_steps(
    highest: Array, lowest: Array, noise: Array, foreseen: Callable[[Array], Array], least: Array
) -> Array:
    """Of steps from ``highest`` (m,) downwards, above ``lowest``, that with the least foreseen error; (m,).

    foreseen : the errors of steps (m, t), of which each h has at least noise / h.
    least : the step is NaN where no error is below this.
    """
    rows, chosen = np.arange(len(highest)), np.full(len(highest), np.nan)
    count = max(1, TOGETHER // max(1, len(highest)))
    while (highest > lowest).any():
        apart = np.full((len(highest), count - 1), STEPS_APART)
        h = np.divide.accumulate(np.concatenate([highest[:, None], apart], axis=1), axis=1)
        error = foreseen(h)
        error = np.where((h > lowest[:, None]) & ~np.isnan(error), error, np.inf)
        best = error.argmin(axis=1)
        better = error[rows, best] < least
        least, chosen = np.where(better, error[rows, best], least), np.where(better, h[rows, best], chosen)
        if (noise / h[:, -1] > least).all():
            break
        highest = h[:, -1] / STEPS_APART
    return chosen


def witness(probe: Probe, ladder: Ladder, rungs: Rungs) -> Array:
    """A step far above the ladder at which a formula of order p shows its truncation, proportional to h**p, best; (m,).

    It is the step with the least noise and kinks in units of h**p.
    """
    # below the largest trusted step by a margin, since rounding to the dtype may enlarge the step
    lowest = 2 * ladder.multiples[-1] * ladder.size
    highest = np.fmax(ladder.trusted(probe) / STEPS_APART * ladder.size, lowest)
    near = kinks_along(probe, ladder, highest)
    noise, slope = rungs.found.roundoff[:, 0] * rungs.step[:, 0], rungs.found.value[:, :1]

    def blurred(h: Array) -> Array:
        blur = noise[:, None] / h + jumps(ladder.nested, near, h) + ladder.neglected(probe, h, slope)
        # in units of highest**p, since h**p may underflow
        return blur * (highest[:, None] / h) ** ladder.nested.order

    chosen = least_of_steps(highest, lowest, noise, blurred, np.full(len(highest), np.inf))
    return np.where(np.isnan(chosen), highest, chosen)


def short_of_kinks(probe: Probe, ladder: Ladder, rungs: Rungs, near: Crossings | None = None) -> Array:
    """For each weight the step with the smallest predicted bound, where kinks may lie below every rung; (m,).

    It is NaN where no step is predicted to be better than the rungs.

    The bound of a step h is predicted from its roundoff N / h, its truncation as the rungs will show it, and the kinks.  A kink
    at distance d, where the derivative jumps by J, adds w J (o h - d) / r for each pair of points r apart at o h > d, w being
    the weight of the pair.

    near : the kinks along these weights, and perhaps more distant ones, where they are known.
    """
    nested, trusted = ladder.nested, ladder.trusted(probe) * ladder.size
    bounds = rungs.bound
    least, best = bounds.min(axis=1), bounds.argmin(axis=1)
    value = rungs.found.value[np.arange(len(best)), best]
    noise = rungs.found.roundoff[:, 0] * rungs.step[:, 0]
    highest = rungs.step[:, -1] * ladder.ratio
    known = kinks_along(probe, ladder, highest) if near is None else near

    def predicted(h: Array) -> Array:
        own = noise[:, None] / h + jumps(nested, known, h)
        truncation = shown(probe, ladder, rungs, trusted, h, value, own)
        if nested.embedded is not None:
            truncation = np.where(h <= trusted[:, None], own, truncation)
        return own + truncation

    # below noise / least the roundoff alone exceeds the best bound of the rungs
    lowest = np.maximum(at_least(np.zeros(len(highest)), ladder.theta, probe.rounding.unit), noise / least)
    return least_of_steps(highest, lowest, noise, predicted, least)
