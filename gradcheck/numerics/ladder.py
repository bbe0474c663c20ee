"""A ladder of steps along each weight: the quotients on its rungs, and their truncation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import (
    CENTRAL,
    Noise,
    Probe,
    Quotients,
    at_least,
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
# Over the scale of the loss, the distance of its nearest singularity: that of tanh is pi / 2 away, that of exp / (1 + exp) pi.
SINGULARITY = math.pi / 2
# Of a ladder so many rungs are tried first.
FIRST = 4


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

    def at(self, rungs: slice) -> Ladder:
        """The ladder with these rungs alone."""
        return replace(self, multiples=self.multiples[rungs])

    def first(self, probe: Probe) -> list[tuple[Array, slice]]:
        """The rungs that are tried first, and for which weights, bool (m,).

        Where they may be judged by their neighbours' convergence these are a few.  They begin a rung above the step at which
        noise is to equal truncation.  Rungs of a formula with several distances share most of their points: then it is all.
        """
        start = first_rung(self.nested)
        everything = slice(0, len(self.multiples))
        if len(self.nested.distances) > 1 or start + FIRST > len(self.multiples):
            return [(np.ones(len(self.index), dtype=bool), everything)]
        few = self.multiples[start] <= self.trusted(probe)
        return [(few, slice(start, start + FIRST)), (~few, everything)]

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

    def neglected(self, probe: Probe, step: Array, slope: Array) -> Array:
        """How much of the truncation at steps (m, ...) may be its second term, where the derivative is about ``slope``.

        Where the nearest singularity lies at a distance R, terms fall with (h / R)**j from the size of the derivative.  The
        first may be far smaller by chance, as where the examples' shares of it cancel; then a larger step shows too little.
        """
        length = probe.rounding.length[self.index].reshape(-1, *[1] * (step.ndim - 1))
        center = np.abs(self.noise.center.astype(np.float64)).reshape(length.shape)
        size = center / length + np.abs(slope)
        return self.nested.second_term * size * (step / (SINGULARITY * length)) ** (self.nested.order + 2)

    @property
    def size(self) -> Array:
        """The base in float64; (m,)."""
        return self.base.astype(np.float64)

    def levels(self, probe: Probe, formula: Scheme) -> tuple[Array, Quotients]:
        """The multiples of the base at which all points of the formula were evaluated, (s,), and its quotients, (m, s)."""
        wanted = {m: [self.columns.get(o * m, -1) for o in formula.offsets] for m in self.multiples}
        known = {m: columns for m, columns in wanted.items() if -1 not in columns}
        at = np.array(list(known.values()), dtype=np.intp).reshape(len(known), len(formula.offsets))
        points, *found = (np.take(x, at, axis=1) for x in (self.points, *self.found))
        noise = Noise(*(column[:, None] for column in self.noise))
        return np.array(list(known)), quotients(probe, formula, self.theta[:, None], points, Evaluations(*found), noise)

    def lifted(self, probe: Probe) -> Array:
        """Whether the spacing of the numbers lifts even the smallest step above the scale of the loss; bool (m,)."""
        floor = at_least(np.zeros(len(self.index)), self.theta, probe.rounding.unit)
        # the floor is rounded to a number of the dtype
        return (self.size <= 1.1 * floor) & (self.trusted(probe) < self.ratio)

    def trusted(self, probe: Probe) -> Array:
        """The largest multiple that may be judged by its neighbours' convergence; (m,)."""
        reach = max(abs(o) for o in self.nested.offsets)
        with np.errstate(all="ignore"):
            return LARGEST_TRUSTED * probe.rounding.length[self.index] / self.size / reach


def nested_in(scheme: Scheme) -> Scheme:
    """The formula that is tried on the rungs for a scheme: itself, or the central one."""
    return CENTRAL if scheme.order == 1 else scheme


def first_rung(nested: Scheme) -> int:
    """The rung with which a ladder of a formula is begun, where a few are tried first."""
    return round(math.log(nested.below, nested.ratio)) + 1 if len(nested.distances) == 1 else 0


def room(scheme: Scheme) -> int:
    """At how many distances from theta the ladder of a scheme may have points."""
    # one evaluation is kept for the one-sided formula, whose step follows from the ladder
    return DISTANCES - 1 if scheme.order == 1 else DISTANCES


def ladder_of(probe: Probe, scheme: Scheme, index: Array) -> Ladder:
    """The ladder of eps=auto along the weights of ``index``, nothing evaluated yet."""
    theta = probe.theta[index]
    nested = nested_in(scheme)
    # the rung above the first is to be trusted, as a witness, when rounding to the dtype has enlarged it by a little
    witness = max(nested.offsets) * nested.ratio ** (first_rung(nested) + 1) * 1.02
    highest = min(LARGEST_ANCHOR, LARGEST_TRUSTED / witness)
    fraction = np.minimum(optimal_fraction(probe, scheme.order, index) / nested.below, highest)
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
    multiples: Array, found: Quotients, formula: Scheme, trusted: Array, lifted: Array, neglected: Array
) -> Array:
    """Truncation of each level of a ladder, (m, s), whose steps are ``multiples`` (s,), ascending, of its base.

    A level's truncation is what the level above it shows, if that is at or below ``trusted``, or its distance from a smaller
    level plus that level's bound.  It is at least its distance from every smaller level beyond their noise.  Nothing is known
    where the smallest step is ``lifted`` so far towards the scale of the loss that none above it is trusted, (m,).

    neglected : the part of each level's truncation that does not grow with the order of the formula, (m, s).

    Each bound holds wherever the errors of all levels, by rounding and by kinks, and what is neglected are within their own
    bounds.  So the least of many bounds is one too, which it would not be if each held for errors of the usual size.
    """
    value, noise = found.value, found.roundoff
    truncation = np.full(value.shape, np.inf)
    known = multiples <= trusted[:, None]
    truncation[:, :-1] = _from_above(value, noise + found.kink, neglected, known, formula.ratio**formula.order)
    bounds = np.empty(value.shape)
    for k in range(len(multiples)):
        t = truncation[:, k]
        if k > 0:
            gaps = np.abs(value[:, k, None] - value[:, :k])
            # a smaller step has no more truncation, so the difference beyond the noise is this step's truncation
            t = np.maximum(t, (gaps - noise[:, k, None] - noise[:, :k]).max(axis=1))
            t = np.minimum(t, (gaps + bounds[:, :k]).min(axis=1))
        else:
            t = np.where(lifted, np.inf, t)
        truncation[:, k] = t = np.where(np.isnan(t), np.inf, t)
        bounds[:, k] = noise[:, k] + t + found.kink[:, k]
    return truncation


def _from_above(value: Array, blur: Array, neglected: Array, known: Array, gain: float) -> Array:
    """The truncation of each level but the highest, as the one above it shows it, (m, s - 1); infinite where unknown.

    blur : what rounding and kinks may add to each value, or take from it.
    known : whether a level's truncation is mostly its first term, bool (m, s).
    gain : by how much the truncation grows from a level to the one above it in theory; less at a singularity.
    """
    gaps = np.abs(value[:, 1:] - value[:, :-1])
    growth = np.full(gaps.shape, gain)
    seen = known[:, 2:] & (gaps[:, :-1] > 2 * blur[:, :-2])
    growth[:, :-1] = np.where(seen, np.clip(gaps[:, 1:] / gaps[:, :-1], 1.25, gain), gain)
    # the larger step has ``growth`` times the truncation, but for what is neglected
    shown = (gaps + blur[:, 1:] + blur[:, :-1] + neglected[:, 1:]) / (growth - 1)
    return np.where(known[:, 1:], shown, np.inf)
