"""A ladder of steps along each weight: the quotients on its rungs, and their truncation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import (
    CENTRAL,
    Noise,
    Probe,
    Quotients,
    at_least,
    columns_of,
    noise_along,
    optimal_fraction,
    quotients,
)
from gradcheck.numerics.schemes import DISTANCES, Scheme, perturbed_weights, representable_step

Array = np.ndarray

# A difference may be judged by its neighbours' convergence only below this fraction of the loss's scale.
LARGEST_TRUSTED = 0.1
# The anchor stays below this fraction of the loss's scale even where the noise asks for a larger step.
LARGEST_ANCHOR = 0.02


@dataclass(frozen=True, eq=False)
class Ladder:
    """Steps ``multiples`` x ``base`` (m,) along the weights ``index``, and the losses at the points evaluated so far.

    nested : the formula that is tried on each rung.   ratio : each step over the one below it.
    columns : the column in ``points`` and ``found``, (m, k), of each offset from theta in units of the base.
    """

    index: Array
    theta: Array
    noise: Noise
    nested: Scheme
    ratio: float
    base: Array
    multiples: tuple[float, ...]
    columns: dict[float, int]
    points: Array
    found: Evaluations

    def offsets(self, multiples: tuple[float, ...]) -> tuple[float, ...]:
        """The points of the rungs ``multiples``, ascending, in units of the base."""
        return tuple(sorted({o * m for o in self.nested.offsets for m in multiples}))

    def evaluated(self, probe: Probe) -> Ladder:
        """This ladder with the losses at all points of its rungs."""
        offsets = tuple(o for o in self.offsets(self.multiples) if o not in self.columns)
        points = perturbed_weights(self.theta, self.base, offsets)
        return self.extended(offsets, points, probe.evaluate(self.index, points))

    def extended(self, offsets: tuple[float, ...], points: Array, found: Evaluations) -> Ladder:
        """This ladder with the losses at further points."""
        columns = self.columns | {o: len(self.columns) + k for k, o in enumerate(offsets)}
        both = (np.concatenate(pair, axis=1) for pair in zip(self.found, found, strict=True))
        return replace(
            self, columns=columns, points=np.concatenate([self.points, points], axis=1), found=Evaluations(*both)
        )

    def where(self, which: Array) -> Ladder:
        """The ladder of the weights ``which`` (bool) alone."""
        return replace(
            self,
            index=self.index[which],
            theta=self.theta[which],
            noise=Noise(*(column[which] for column in self.noise)),
            base=self.base[which],
            points=self.points[which],
            found=Evaluations(*(column[which] for column in self.found)),
        )

    @property
    def size(self) -> Array:
        """The base in float64; (m,)."""
        return self.base.astype(np.float64)

    def rungs(self, probe: Probe, formula: Scheme) -> list[tuple[float, Quotients]]:
        """The formula at each step whose points were evaluated, by ascending multiple."""
        found: list[tuple[float, Quotients]] = []
        for m in self.multiples:
            wanted = [self.columns.get(o * m, -1) for o in formula.offsets]
            if -1 not in wanted:
                at = columns_of(self.found, wanted)
                found.append((m, quotients(probe, formula, self.theta, self.points[:, wanted], at, self.noise)))
        return found

    def lifted(self, probe: Probe) -> Array:
        """Whether the spacing of the numbers lifts even the smallest step above the scale of the loss; bool (m,)."""
        floor = at_least(np.zeros(len(self.index)), self.theta, probe.rounding.unit)
        # the floor is rounded to a number of the dtype
        return (self.size <= 1.1 * floor) & (self.trusted(probe) < 1)

    def trusted(self, probe: Probe) -> Array:
        """The largest multiple that may be judged by its neighbours' convergence; (m,)."""
        reach = max(abs(o) for o in self.nested.offsets)
        with np.errstate(all="ignore"):
            return LARGEST_TRUSTED * probe.rounding.length[self.index] / self.size / reach


def nested_in(scheme: Scheme) -> Scheme:
    """The formula that is tried on the rungs for a scheme: itself, or the central one."""
    return CENTRAL if scheme.order == 1 else scheme


def room(scheme: Scheme) -> int:
    """At how many distances from theta the ladder of a scheme may have points."""
    # one evaluation is kept for the one-sided formula, whose step follows from the ladder
    return DISTANCES - 1 if scheme.order == 1 else DISTANCES


def ladder_of(probe: Probe, scheme: Scheme, index: Array) -> Ladder:
    """The ladder of eps=auto along the weights of ``index``, nothing evaluated yet."""
    theta = probe.theta[index]
    nested = nested_in(scheme)
    fraction = np.minimum(optimal_fraction(probe, scheme.order, index) / nested.below, LARGEST_ANCHOR)
    base = representable_step(theta, at_least(probe.rounding.length[index] * fraction, theta, probe.rounding.unit))
    nothing = np.empty((len(index), 0))
    return Ladder(
        index,
        theta,
        noise_along(probe, index),
        nested,
        nested.ratio,
        base,
        tuple(nested.ratio**k for k in range(nested.rungs(room(scheme)))),
        {},
        nothing.astype(theta.dtype),
        Evaluations(nothing.astype(theta.dtype), nothing),
    )


def truncations(
    levels: list[tuple[float, Quotients]], order: int, ratio: float, trusted: Array, lifted: Array
) -> list[Array]:
    """Truncation of each level, (m,) each, of a ladder of ascending steps.

    At or below ``trusted``, a level's truncation follows from its neighbours, and is at least its distance from every smaller
    level beyond their noise.  Above, it is the distance from a smaller level plus that level's bound.  Nothing is known where
    the smallest step is ``lifted`` above the scale of the loss, (m,).
    """
    climb = _Climb(levels, ratio**order)
    found: list[Array] = []
    bounds: list[Array] = []
    for k, (multiple, q) in enumerate(levels):
        t = climb.from_neighbours(k)
        if k > 0:
            gaps = [np.abs(q.value - smaller.value) for _, smaller in levels[:k]]
            # a smaller step has no more truncation, so the difference beyond the noise is this step's truncation
            separated = [
                gap - q.roundoff - smaller.roundoff for gap, (_, smaller) in zip(gaps, levels[:k], strict=True)
            ]
            t = np.maximum(t, np.max(separated, axis=0))
            anchored = np.min([gap + bound for gap, bound in zip(gaps, bounds, strict=True)], axis=0)
            t = np.where(multiple <= trusted, np.minimum(t, anchored), anchored)
        else:
            t = np.where(lifted, np.inf, t)
        t = np.where(np.isnan(t), np.inf, t)
        found.append(t)
        bounds.append(q.roundoff + t + q.kink)
    return found


class _Climb:
    """Neighbouring levels of a ladder: their differences, and by how much the truncation grows between them."""

    def __init__(self, levels: list[tuple[float, Quotients]], gain: float) -> None:
        self.gain = gain
        values = [q.value for _, q in levels]
        self._shape = values[0].shape
        self._noises = [q.roundoff for _, q in levels]
        # from each level to the one above it
        self._gaps = [np.abs(upper - lower) for lower, upper in pairwise(values)]

    def from_neighbours(self, k: int) -> Array:
        """The truncation of level k from the levels beside it; infinite where there are none."""
        t = np.full(self._shape, np.inf)
        if k < len(self._gaps):
            # the next larger step has ``growth`` times the truncation, so the difference is (growth - 1) times this one's;
            # this step's own noise is in its roundoff already, the larger step's is half as much or less
            t = (self._gaps[k] + self._noises[k] / 2) / (self._growth(k) - 1)
        if k > 0:
            g = self._growth(k - 1)
            t = np.fmin(t, (self._gaps[k - 1] + self._noises[k - 1] / 2) * g / (g - 1))
        return t

    def _growth(self, k: int) -> Array:
        """By how much the truncation grows from level k to k + 1: ``gain`` in theory, less at a singularity."""
        if k >= len(self._gaps) - 1:
            return np.full(self._shape, self.gain)
        seen = self._gaps[k] > 2 * self._noises[k]
        return np.where(seen, np.clip(self._gaps[k + 1] / self._gaps[k], 1.25, self.gain), self.gain)
