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
from gradcheck.numerics.schemes import BELOW_OPTIMUM, DISTANCES, Scheme, perturbed_weights, representable_step

Array = np.ndarray

# A difference may be judged by its neighbours' convergence only below this fraction of the loss's scale.
LARGEST_TRUSTED = 0.1
# The same for a guessed scale: a small term of the loss may have a scale far below the weight's size.
OPAQUE_TRUSTED = 1e-3
# An opaque function's two smallest steps must give derivatives within this of each other.
ASYMPTOTIC = 0.05
# The anchor stays below this fraction of the loss's scale even where the noise asks for a larger step.
LARGEST_ANCHOR = 0.02
# The ladder of an opaque function, whose scale is a guess: the ratio of its steps, their number, and by how much it begins
# below the ladder of a known scale.
OPAQUE_RATIO = 8.0
OPAQUE_LEVELS = 8
OPAQUE_START = OPAQUE_RATIO**2


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

    def trusted(self, probe: Probe) -> Array:
        """The largest multiple that may be judged by its neighbours' convergence; (m,)."""
        part = OPAQUE_TRUSTED if probe.opaque else LARGEST_TRUSTED
        reach = max(abs(o) for o in self.nested.offsets)
        with np.errstate(all="ignore"):
            return part * probe.rounding.length[self.index] / self.size / reach


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
    ratio, levels, below, largest = nested.ratio, nested.rungs(room(scheme)), nested.below, LARGEST_ANCHOR
    if probe.opaque:
        # the scale of the loss is a guess, so the ladder is wider and begins lower
        ratio, levels = OPAQUE_RATIO, OPAQUE_LEVELS - (scheme.order == 1)
        below, largest = BELOW_OPTIMUM * OPAQUE_START, largest / OPAQUE_START
    fraction = np.minimum(optimal_fraction(probe, scheme.order, index) / below, largest)
    base = representable_step(theta, at_least(probe.rounding.length[index] * fraction, theta, probe.rounding.unit))
    nothing = np.empty((len(index), 0))
    return Ladder(
        index,
        theta,
        noise_along(probe, index),
        nested,
        ratio,
        base,
        tuple(ratio**k for k in range(levels)),
        {},
        nothing.astype(theta.dtype),
        Evaluations(nothing.astype(theta.dtype), nothing),
    )


def truncations(
    levels: list[tuple[float, Quotients]], order: int, ratio: float, trusted: Array, opaque: bool
) -> list[Array]:
    """Truncation of each level, (m,) each, of a ladder of ascending steps.

    At or below ``trusted``, a level's truncation follows from its neighbours, and is at least its distance from every smaller
    level beyond their noise.  Above, it is the distance from a smaller level plus that level's bound.
    """
    climb = _Climb(levels, ratio**order, trusted, opaque)
    asymptotic = _asymptotic(levels, climb.gain) if opaque else np.True_
    witnessed = _witnessed(levels) if opaque else None
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
            below = (multiple <= trusted) & (True if witnessed is None else k <= witnessed)
            t = np.where(below, np.minimum(t, anchored), anchored)
        t = np.where(np.isnan(t) | ~asymptotic, np.inf, t)
        found.append(t)
        bounds.append(q.roundoff + t + q.kink)
    return found


class _Climb:
    """Neighbouring levels of a ladder: their differences, and by how much the truncation grows between them."""

    def __init__(self, levels: list[tuple[float, Quotients]], gain: float, trusted: Array, opaque: bool) -> None:
        self.gain, self._trusted, self._opaque = gain, trusted, opaque
        self._multiples = [multiple for multiple, _ in levels]
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
        if self._opaque:
            return self._growth_of_opaque(k)
        seen = self._gaps[k] > 2 * self._noises[k]
        return np.where(seen, np.clip(self._gaps[k + 1] / self._gaps[k], 1.25, self.gain), self.gain)

    def _growth_of_opaque(self, k: int) -> Array:
        """The growth of an opaque function.  Where noise hides it at level k, the next trusted level that shows it is taken."""
        g = np.full(self._shape, self.gain)
        for j in range(len(self._gaps) - 2, k - 1, -1):
            seen = (self._gaps[j] > 2 * self._noises[j]) & ((j == k) | (self._multiples[j] <= self._trusted))
            # it may be small: for abs(x)**1.1 at 0 the truncation grows by 1/4 while the step grows eightfold
            least = (self._gaps[j + 1] - self._noises[j + 1]) / (self._gaps[j] + self._noises[j])
            g = np.where(seen, np.clip(least, 1.01, self.gain), g)
        return g


def _asymptotic(levels: list[tuple[float, Quotients]], gain: float) -> Array:
    """Whether the smallest steps already converge as the theory says; bool (m,).

    Their derivatives agree within noise and 5%, or their differences grow as the order says.  Otherwise even the smallest
    step may lie above the scale of the loss, and the ladder shows nothing.
    """
    (_, q0), (_, q1), (_, q2) = levels[:3]
    gap, next_gap = np.abs(q1.value - q0.value), np.abs(q2.value - q1.value)
    near = gap <= ASYMPTOTIC * np.abs(q0.value) + q0.roundoff + q1.roundoff
    growth = next_gap / gap
    return near | ((growth > gain / 2) & (growth < 2 * gain))


def _witnessed(levels: list[tuple[float, Quotients]]) -> Array:
    """The last level at which an opaque function shows that the step is below its scale; (m,), -1 for none.

    It shows so where the derivative agrees within 5% with that of the next smaller step, whose noise is below 10% of it.
    Agreement of large steps is no evidence where noise hides the derivative at small ones: far above the scale of a function
    its quotients shrink, and agree with 0.
    """
    last = np.full(levels[0][1].value.shape, -1)
    for k in range(1, len(levels)):
        q, smaller = levels[k][1], levels[k - 1][1]
        size = np.abs(q.value)
        agrees = np.abs(q.value - smaller.value) <= ASYMPTOTIC * size
        last = np.where(agrees & (smaller.roundoff <= 2 * ASYMPTOTIC * size), k, last)
    return last
