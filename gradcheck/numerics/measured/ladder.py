"""The quotients along one weight at several steps, and what they say of each other: truncation, kinks, contradictions."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.student import quantile

# How far further steps lie from one that was taken.  They are no powers of two of each other: a product with one is rounded
# like the product with the other, so that both would have the same error.
STRIDES = (4.25, 17.0, 67.0, 270.0, 1080.0, 4300.0)
# The leading term of the truncation omits the next one, of relative size (h / scale)**2.
MARGIN = 1.1
# Standard deviations from which a kink is seen; below, it lies within the bound of the noise.
SEEN = 4.0
# A second difference over the step that grows less than this fraction of the step's growth shows a kink.
GROWN = 0.9
# Steps are compared that lie so far apart at least.
SPACED = 1.5
# Steps are looked at up to so many times a step when kinks within it are sought.
REACH = 5.0
# Differences of the quotients that fall as the step grows show that nothing converges.
DIVERGES = 0.9
# Steps below a feature of the loss: what truncation is left there is counted by this order.
BELOW = 0.5
# So many deviations are counted of a noise that the even part of the loss shows at two steps.
LOCAL = 1.0
# Orders of truncation that are told apart.
ORDERS = (2.0, 1.5, 1.0, 0.7, 0.5, 0.35, 0.25, 0.1)


class Found(NamedTuple):
    """A derivative and its bound.

    kink : the part of ``truncation`` that a kink explains.   confirmed : whether the noise was measured at this very step.
    doubt : what is added before a claim is called wrong: the largest kink at theta that noise could hide.
    rough : whether the loss is far noisier at this step than it was known to be.
    """

    step: float
    value: float
    truncation: float
    roundoff: float
    kink: float
    confirmed: bool
    doubt: float = 0.0
    rough: bool = False

    @property
    def bound(self) -> float:
        """How far the value can be from the derivative."""
        return self.truncation + self.roundoff

    @property
    def doubted(self) -> Found:
        """The same with the bound that an accusation must exceed."""
        return self._replace(truncation=self.truncation + self.doubt)


NOTHING = Found(0.0, math.nan, math.inf, math.inf, 0.0, False)


def roundoff(rung: Rung, noise: float, degrees: float) -> float:
    """The largest error of a quotient by the noise of the loss and by arithmetic."""
    return quantile(degrees) * noise * rung.gain + rung.arithmetic


def spaced(rungs: list[Rung], k: int) -> list[Rung]:
    """Rung k and those above that lie apart: the difference of two that lie close to each other is mostly noise."""
    found = [rungs[k]]
    for rung in rungs[k + 1 :]:
        if rung.step >= SPACED * found[-1].step and not rung.silent:
            found.append(rung)
    return found


def below(rungs: list[Rung], rung: Rung) -> list[Rung]:
    """The next smaller one of ascending rungs that lies apart from this one; empty where there is none."""
    return [r for r in rungs if not r.silent and SPACED * r.step <= rung.step][-1:]


def appraised(line: Line, rungs: list[Rung]) -> list[Found]:
    """Each rung of ascending steps with its bound, as the others show it.

    The truncation of a step h follows from the next larger step q h: (D(q h) - D(h)) / (q**2 - 1).  The largest step has
    the distance from the next smaller one and that one's noise.  What a smaller step contradicts beyond the bounds of both is
    added: it has less truncation.  A rung that is silent has no bound.
    """
    plain: list[float] = []
    found: list[Found] = []
    for k, rung in enumerate(rungs):
        if rung.silent:
            plain.append(math.inf)
            found.append(Found(rung.step, rung.value, math.inf, math.inf, 0.0, False))
            continue
        above = spaced(rungs, k)
        spread = [roundoff(r, line.noise, line.degrees) for r in above]
        own = truncation(above, spread)
        if len(above) == 2:
            # two steps do not show the order of the truncation; with a smaller one they may
            smaller = below(rungs, rung)
            noises = [roundoff(r, line.noise, line.degrees) for r in smaller]
            own = max(own, truncation(above, spread, order(smaller + above, noises + spread)))
        if len(above) == 1:
            own = _from_below(line, rungs, rung)
        kink = _kink(line, rungs, above)
        rough = 0.0
        if len(above) > 1 and not kink:
            rough = max(0.0, LOCAL * uneven(rung, above[1]) * math.sqrt(0.5) / rung.step - spread[0] - own)
        beyond = 0.0
        for j in range(k):
            if not rungs[j].silent:
                gap = abs(rung.value - rungs[j].value)
                beyond = max(beyond, gap - spread[0] - found[j].roundoff - own - plain[j])
        plain.append(own + beyond)
        found.append(Found(rung.step, rung.value, own + beyond + kink + rough, spread[0], kink, False))
    return found


def _kink(line: Line, rungs: list[Rung], above: list[Rung]) -> float:
    """Half the jump of the slope at theta that the first of ``above`` shows with larger ones; alone, with the next smaller one.

    Of a jump that noise hides in two near steps a third one that lies farther away may show more, as far as the near ones leave
    room for it: a smooth loss whose scale the third one exceeds shows there that it does not jump.
    """
    if len(above) == 1:
        smaller = below(rungs, above[0])
        return jump_seen(smaller[0], above[0], line.noise) if smaller else 0.0
    seen = jump_seen(above[0], above[1], line.noise)
    if seen or len(above) == 2:
        return seen
    jump, error = jump_at_theta(above[0], above[1], line.noise)
    return min(jump_seen(above[0], above[2], line.noise), jump + SEEN * error)


def uneven(near: Rung, far: Rung) -> float:
    """The deviation of the noise by the even part of the loss at two steps, with one degree of freedom.

    E(h) = f(h) - 2 f(0) + f(-h) is h**2 f'' of a smooth loss, so E(q h) - q**2 E(h) is noise, of variance
    2 (1 + q**4) sigma**2.  The next term, of fourth order, is small beside the truncation of the quotient.
    """
    square = (far.step / near.step) ** 2
    return abs(far.bend * far.step - square * near.bend * near.step) / math.sqrt(2 * (1 + square**2))


def truncation(rungs: list[Rung], spread: list[float], power: float | None = None) -> float:
    """The truncation of the first of ascending rungs, from the next two; infinite where there is none.

    spread : the roundoff of each.   power : the order of the truncation, where more rungs than these show it.
    The second next one tells more where noise is most of what the next one tells.
    """
    if len(rungs) < 2:
        return math.inf
    power = order(rungs, spread) if power is None else power
    least, found = 0.0, math.inf
    for rung, own in zip(rungs[1:3], spread[1:3], strict=False):
        gain = (rung.step / rungs[0].step) ** power
        if gain <= 1:
            return math.inf
        gap = MARGIN * abs(rung.value - rungs[0].value)
        least = max(least, (gap - spread[0] - own) / (gain - 1)) if rung is rungs[1] else least
        found = min(found, (gap + spread[0] + own) / (gain - 1))
    return max(found, least)


def _from_below(line: Line, rungs: list[Rung], largest: Rung) -> float:
    """The truncation of the largest rung: its distance from the next smaller one, and that one's noise.

    Three rungs show the order with which it grows.  It is infinite where nothing converges: then the loss has kinks or turns
    below the smallest of them, and two larger ones that agree with each other lie above its scale.
    """
    smaller = below(rungs, largest)
    if not smaller:
        return math.inf
    near = smaller[0]
    three = [*below(rungs, near), near, largest]
    gain = (largest.step / near.step) ** order(three, [roundoff(r, line.noise, line.degrees) for r in three])
    if gain <= 1:
        return math.inf
    gap = abs(largest.value - near.value)
    return MARGIN * gap * gain / (gain - 1) + roundoff(near, line.noise, line.degrees)


def order(rungs: list[Rung], spread: list[float]) -> float:
    """The order of the truncation that ascending rungs show: 2 of a smooth loss, less at a singularity.

    D(h) = f' + c h**p has differences in the ratio (h2**p - h1**p) / (h1**p - h0**p).  Where noise hides the difference of two
    rungs, the next larger ones are asked.  It is 0 where the differences grow as the step falls: nothing converges.  Where
    the two smallest agree for all that, they lie below a feature of the loss that the larger ones show.
    """
    for j in range(len(rungs) - 2):
        three = rungs[j : j + 3]
        lower, upper = abs(three[1].value - three[0].value), abs(three[2].value - three[1].value)
        noise = spread[j] + spread[j + 1]
        if lower > 2 * noise:
            if lower > 4 * noise and upper < DIVERGES * lower:
                return 0.0 if j == 0 else BELOW
            seen = (upper - noise) / (lower + noise)
            h0, h1, h2 = (r.step for r in three)
            growth = [(h2**p - h1**p) / (h1**p - h0**p) for p in ORDERS]
            # the next term of a smooth loss, and noise, may halve its growth
            growth[0] /= 2
            return next((p for p, g in zip(ORDERS, growth, strict=True) if g <= seen), ORDERS[-1])
    return ORDERS[0]


def converges(rungs: list[Rung], spread: list[float]) -> bool:
    """Whether three ascending rungs show the order of the truncation above the noise."""
    return any(
        abs(b.value - a.value) > 2 * (s + t) for a, b, s, t in zip(rungs, rungs[1:-1], spread, spread[1:], strict=False)
    )


def jump_at_theta(near: Rung, far: Rung, noise: float) -> tuple[float, float]:
    """Half the jump of the slope at theta, by which a central quotient can be wrong there, and its standard deviation.

    (f(h) - 2 f(0) + f(-h)) / h is h f'' of a smooth loss and the jump at a kink; two steps extrapolate it to 0.
    """
    q = far.step / near.step
    jump = abs(q * near.bend - far.bend) / (q - 1) / 2
    # three losses, of which that at theta counts twice: sqrt(6) sigma / h
    deviation = math.hypot(q * math.sqrt(6) / near.step, math.sqrt(6) / far.step) * noise / (q - 1) / 2
    return jump, deviation + (near.arithmetic * q + far.arithmetic) / (q - 1)


def jump_seen(near: Rung, far: Rung, noise: float, deviations: float = SEEN) -> float:
    """Half the jump of the slope at theta, 0 where it is not seen by so many deviations above the noise.

    The even part of a smooth loss grows with the step at least as its second derivative says, that of a kink does not.
    """
    jump, error = jump_at_theta(near, far, noise)
    alike = abs(far.bend) < GROWN * far.step / near.step * abs(near.bend)
    return jump if jump > deviations * error and alike else 0.0


def diverges(low: Rung, rung: Rung, high: Rung, noise: float, deviations: float) -> bool:
    """Whether quotients at three ascending steps move faster the smaller the step is: then they tell nothing of their limit.

    deviations : how many of them, of each quotient's noise, two must lie apart.
    """
    lower, upper = abs(rung.value - low.value), abs(high.value - rung.value)

    def seen(apart: float, one: Rung, other: Rung) -> bool:
        return apart > deviations * noise * (one.gain + other.gain) + one.arithmetic + other.arithmetic

    return upper < DIVERGES * lower and seen(lower, low, rung) and seen(upper, rung, high)


def kinks_within(rungs: list[Rung], step: float, noise: float) -> bool:
    """Whether the loss has kinks within a step: up to REACH steps away its even part grows as that of no smooth loss does.

    Of kinks between theta and the step noise hides the jump that two near steps show; two steps that lie far apart show it.
    """
    near = [r for r in rungs if step / REACH <= r.step <= step and not r.silent]
    far = [r for r in rungs if step <= r.step <= REACH * step and not r.silent]
    return any(jump_seen(a, b, noise) > 0 for a in near for b in far if b.step >= SPACED * a.step)


class Jump(NamedTuple):
    """Half the jump of the slope at theta.

    limit : no larger one hides.   seen : the part that is seen as that of a kink.   shown : what the smallest steps show of it,
    be it of a kink or of a corner that is smooth beside theta, or of the fourth derivative.
    """

    limit: float
    seen: float
    shown: float


def jump_within(rungs: list[Rung], step: float, noise: float) -> Jump:
    """What steps of ``step`` and above tell of half the jump of the slope at theta; those with the least limit tell that."""
    limit, seen, shown = math.inf, 0.0, 0.0
    larger = [r for r in rungs if r.step >= 0.99 * step and not r.silent]
    larger = spaced(larger, 0) if larger else []
    for k, (near, far) in enumerate(itertools.pairwise(larger)):
        jump, error = jump_at_theta(near, far, noise)
        if jump + 3 * error < limit:
            limit, seen = jump + 3 * error, jump_seen(near, far, noise)
        if k == 0 and jump > SEEN * error:
            shown = jump
    return Jump(limit, seen, shown)
