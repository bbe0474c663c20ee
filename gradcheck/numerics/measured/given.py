"""A step, or a formula, that is given: its quotient along one weight, which the search for the derivative then bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck.numerics.measured.ladder import STRIDES, Found, roundoff
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.schemes import Scheme

# The second of the first two steps over the first.
RATIO = STRIDES[0]
# Below this fraction of the search's own first step, a given step shows too little to help it.
HELPFUL = 2.0**-10
# Noise below this part of match_at lets a quotient be believed.
SEEN = 0.45
# The first step of a formula of order p is this many times the p + 1-st root of the relative noise, in units of the scale, and
# at most so much of it.  Noise and truncation of a function with derivatives of about its own size are equal at 2.5 times.
# Above, the truncation, which is known well, is most of the bound.
ABOVE, LARGEST = 12.0, 0.05


def first_step(scale: float, relative_noise: float, order: int) -> float:
    """The step at which the search begins."""
    return scale * part_of_scale(relative_noise, order)


def part_of_scale(relative_noise: float, order: int) -> float:
    """The first step in units of the scale."""
    return min(ABOVE * relative_noise ** (1 / (order + 1)), LARGEST)


@dataclass(frozen=True)
class Given:
    """A formula along one weight at one step.

    offsets : its points without theta, as distances from the weight that the dtype has exactly.
    pairs : for each difference quotient its two points and its weight.   step : the step really taken, 0 where it vanishes.
    """

    offsets: tuple[float, ...]
    pairs: tuple[tuple[float, float, float], ...]
    step: float

    @property
    def mirrored(self) -> tuple[float, ...]:
        """The point that makes a central quotient of a formula that has none."""
        if any(low < 0 < high for low, high, _ in self.pairs) or not self.step:
            return ()
        return (-min(self.offsets, key=abs),)

    def rungs(self, line: Line) -> list[Rung]:
        """The central quotients between the formula's points, by ascending step."""
        pairs = [(low, high) for low, high, _ in self.pairs if low < 0 < high]
        pairs += [(min(t, -t), max(t, -t)) for t in self.mirrored]
        found = [line.pair(low, high) for low, high in pairs] if self.step else []
        return sorted(rung for rung in found if rung is not None)

    def value(self, line: Line) -> float:
        """The formula's derivative; NaN where a loss is not finite."""
        changes = {0.0: 0.0} | line.changes
        return sum(w * (changes[high] - changes[low]) / (high - low) for low, high, w in self.pairs)

    def roundoff(self, line: Line) -> float:
        """The standard deviation of the value for noise of deviation 1."""
        return math.sqrt(2) * sum(abs(w) / (high - low) for low, high, w in self.pairs)

    def bounded(self, line: Line, found: Found) -> Found:
        """The formula's value with its distance from the derivative that was found."""
        value = self.value(line) if self.step else 0.0
        if not self.step or not math.isfinite(value):
            return Found(self.step, value, math.inf, math.inf, 0.0, found.confirmed)
        if found.step == self.step and found.value == value:
            return found
        rounding = 4 * line.unit * abs(value)
        whole = abs(value - found.value) + found.bound + rounding
        own = min(whole, found.roundoff + rounding + line.noise * self.roundoff(line))
        return Found(self.step, value, whole - own, own, min(found.kink, whole - own), found.confirmed, found.doubt)


def given(scheme: Scheme, theta: np.inexact, step: float) -> Given:
    """The formula at the step, as far as the dtype can take it."""
    at = {o: float((theta + theta.dtype.type(o * step)) - theta) for o in scheme.offsets} | {0.0: 0.0}
    vanished = len(set(at.values())) < len(at)
    pairs = tuple((at[p.low], at[p.high], float(p.weight)) for p in scheme.pairs)
    return Given(tuple(at[o] for o in scheme.offsets), pairs, 0.0 if vanished else step)


def beside(rungs: list[Rung], line: Line, asked: float, start: float) -> tuple[float, ...]:
    """The steps at which a search begins beside the formula's own quotients: one that shows truncation, or two of its own.

    asked : the relative error that must be visible.
    """
    own = [r for r in rungs if not r.silent]
    top = own[-1] if own else None
    if top and top.step > 2 * start:
        return (start,)
    if not top or top.step < HELPFUL * start:
        return start, RATIO * start
    if roundoff(top, line.noise, line.degrees) > SEEN * asked * abs(top.value):
        return start, RATIO * start
    return () if len(own) > 1 else (RATIO * top.step,)
