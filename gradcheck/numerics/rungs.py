"""The rungs of a ladder and steps beside them: quotients with their truncation, as far as they show that of each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.numerics.ladder import Ladder, truncations
from gradcheck.numerics.quotients import Probe, Quotients, columns_of, quotients
from gradcheck.numerics.schemes import perturbed_weights, representable_step

Array = np.ndarray

# A larger step reveals a smaller one's truncation only if its own is at least this many times larger.
LEAST_GROWTH = 4.0


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


def rungs_of(probe: Probe, ladder: Ladder) -> Rungs:
    """The rungs of an evaluated ladder, by ascending step."""
    multiples, found = ladder.levels(probe, ladder.nested)
    step = ladder.size[:, None] * multiples
    neglected = ladder.neglected(probe, step, found.value[:, :1])
    truncation = truncations(multiples, found, ladder.nested, ladder.trusted(probe), ladder.lifted(probe), neglected)
    return Rungs(step, found, truncation)


def with_step(probe: Probe, ladder: Ladder, rungs: Rungs, step: Array) -> Rungs:
    """The rungs and one extra at ``step`` (m,)."""
    nested, trusted = ladder.nested, ladder.trusted(probe) * ladder.size
    h = representable_step(ladder.theta, step)
    points = perturbed_weights(ladder.theta, h, nested.offsets)
    evaluated = probe.evaluate(ladder.index, points)
    found = quotients(probe, nested, ladder.theta, points, evaluated, ladder.noise)
    size = h.astype(np.float64)
    blur = found.roundoff + found.kink
    truncation = shown(probe, ladder, rungs, trusted, size[:, None], found.value, blur[:, None])[:, 0]
    if nested.embedded is not None:
        lesser = nested.embedded
        columns = [nested.offsets.index(o) for o in lesser.offsets]
        other = quotients(probe, lesser, ladder.theta, points[:, columns], columns_of(evaluated, columns), ladder.noise)
        # below six times the scale of the loss the embedded formula has the larger truncation: f5 h**4 / 7680 against
        # f7 h**6 / 322560 for Richardson's
        apart = np.abs(found.value - other.value) + found.roundoff / 2 + found.kink
        truncation = np.fmin(truncation, np.where(size <= trusted, apart, np.inf))
    return rungs.beside(size, found, truncation)


def shown(probe: Probe, ladder: Ladder, rungs: Rungs, trusted: Array, step: Array, value: Array, blur: Array) -> Array:
    """Truncation at steps h (m, t) between rungs, where the formula gave ``value`` (m,) with errors of at most ``blur`` (m, t).

    A rung at a step s above has (s / h)**order times the truncation, so the difference of both values shows it.  A rung below
    gives an upper limit, the difference plus the rung's bound, and a lower one, the difference minus the noise of both.
    """
    s = rungs.step[:, None]
    both = blur[..., None] + rungs.found.roundoff[:, None] + rungs.found.kink[:, None]
    gap = np.abs(rungs.found.value - value[:, None])[:, None]
    growth = (s / step[..., None]) ** ladder.nested.order
    rest = ladder.neglected(probe, rungs.step, value[:, None])[:, None]
    seen = (gap + both + rest) / (growth - 1)
    seen = np.where((growth >= LEAST_GROWTH) & (s <= trusted[:, None, None]), seen, np.inf)
    below = s < step[..., None]
    least = np.fmin.reduce(np.where(below, gap + rungs.bound[:, None], seen), axis=-1, initial=np.inf)
    most = np.fmax.reduce(np.where(below, gap - both, 0), axis=-1, initial=0)
    return np.maximum(least, most)
