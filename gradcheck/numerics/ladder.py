"""A ladder of steps along each weight: what was found on its rungs, and how far each is from the limit."""

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

# A difference may be judged by its neighbours' convergence only below this part of the loss's scale.
LARGEST_TRUSTED = 0.1
# The same for a scale that is a guess: a small term of the loss may have a scale far below the weight's size.
OPAQUE_TRUSTED = 1e-3
# An opaque function's two smallest steps must give derivatives within this of each other.
ASYMPTOTIC = 0.05
# The anchor stays below this part of the loss's scale even where the noise asks for more.
LARGEST_ANCHOR = 0.02
# Where the function says nothing of its scale: the ratio of the ladder's steps, their number, and how far below the step that
# the noise and a guess of the scale suggest they begin: so far below where they would, if the guess were right.
OPAQUE_RATIO = 8.0
OPAQUE_LEVELS = 8
OPAQUE_START = OPAQUE_RATIO**2


@dataclass(frozen=True, eq=False)
class Ladder:
    """Steps ``multiples`` x ``base`` (m,) along the weights ``index``, and the losses at the points evaluated so far.

    nested : the formula that is tried on each rung.   ratio : of a step to the one below it.
    columns : where the point at an offset from theta, in units of the base, lies in ``points`` and ``found``, (m, k).
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
        """With the losses at all points of its rungs."""
        offsets = tuple(o for o in self.offsets(self.multiples) if o not in self.columns)
        points = perturbed_weights(self.theta, self.base, offsets)
        return self.extended(offsets, points, probe.evaluate(self.index, points))

    def extended(self, offsets: tuple[float, ...], points: Array, found: Evaluations) -> Ladder:
        """With what was found at further points."""
        columns = self.columns | {o: len(self.columns) + k for k, o in enumerate(offsets)}
        both = (np.concatenate(pair, axis=1) for pair in zip(self.found, found, strict=True))
        return replace(
            self, columns=columns, points=np.concatenate([self.points, points], axis=1), found=Evaluations(*both)
        )

    def where(self, which: Array) -> Ladder:
        """That of the weights ``which`` (bool) alone."""
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
    # the step of a one-sided formula follows from the ladder, and is evaluated after it
    return DISTANCES - 1 if scheme.order == 1 else DISTANCES


def ladder_of(probe: Probe, scheme: Scheme, index: Array) -> Ladder:
    """The ladder of eps=auto along the weights of ``index``, nothing evaluated yet."""
    theta = probe.theta[index]
    nested = nested_in(scheme)
    ratio, levels, below, largest = nested.ratio, nested.rungs(room(scheme)), nested.below, LARGEST_ANCHOR
    if probe.opaque:
        # the scale of the loss is a guess, so the ladder is wider and begins far below it
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

    A level is judged by its neighbours, and by what separates it from any smaller level, while it lies at or below
    ``trusted``; above, it is charged with all that separates it from a smaller level, and that level's bound.
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
            # no smaller step has more truncation, so what separates them beyond their noise is this step's
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
    """The levels of a ladder as neighbours see them: how far apart, and by how much the truncation grows between them."""

    def __init__(self, levels: list[tuple[float, Quotients]], gain: float, trusted: Array, opaque: bool) -> None:
        self.gain, self._trusted, self._opaque = gain, trusted, opaque
        self._multiples = [multiple for multiple, _ in levels]
        values = [q.value for _, q in levels]
        self._shape = values[0].shape
        self._noises = [q.roundoff for _, q in levels]
        # from each level to the one above it
        self._gaps = [np.abs(upper - lower) for lower, upper in pairwise(values)]

    def from_neighbours(self, k: int) -> Array:
        """The truncation of level k as the levels beside it show it; infinite where there is none."""
        t = np.full(self._shape, np.inf)
        if k < len(self._gaps):
            # the next larger step has gain times the truncation, so their difference shows it, free of this step's noise
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
        """That of an opaque function: where noise hides it, that of the first trusted level that shows it."""
        g = np.full(self._shape, self.gain)
        for j in range(len(self._gaps) - 2, k - 1, -1):
            seen = (self._gaps[j] > 2 * self._noises[j]) & ((j == k) | (self._multiples[j] <= self._trusted))
            # |x|**1.1 at 0: the truncation grows by a quarter while the step grows eightfold
            least = (self._gaps[j + 1] - self._noises[j + 1]) / (self._gaps[j] + self._noises[j])
            g = np.where(seen, np.clip(least, 1.01, self.gain), g)
        return g


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
