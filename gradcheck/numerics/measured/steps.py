"""The steps that were tried along one weight, and the claim that is tested there."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from statistics import median_low
from typing import TypeAlias, TypeVar

from gradcheck.numerics.measured.ladder import (
    NOTHING,
    SEEN,
    SPACED,
    Found,
    appraised,
    below,
    converges,
    jump_seen,
    roundoff,
    spaced,
)
from gradcheck.numerics.measured.line import Line, Rung

# Asks for offsets and finds the losses in the line afterwards.
Result = TypeVar("Result")
Search: TypeAlias = Generator[list[float], None, Result]

# A step is taken up to this fraction of the guessed scale; above, a smaller step must show the derivative to VISIBLE.
TRUSTED, VISIBLE = 0.1, 0.33
# A window that is so many times noisier than the loss is known to be shows another noise, or hides structure.
ROUGH = 10.0
# A loss moves on one side alone where its even part is twice its odd part, but for noise.
ONE_SIDED = 1.8, 2.2
# Noise of so many units of the last place is that of a loss of few digits; a sum that cancels has less.
DIGITS = 1e4
# Windows that are looked at, and further steps that are tried at a time, at most.
WINDOWS, STRIDES_ALLOWED = 5, 14
# Degrees of freedom with which a window knows the noise.
WINDOW = 8.0
# A loss that changes by more than this many deviations of its noise does not only make noise.
ALIVE = 20.0
# Deviations of the noise above which a kink is so clear that windows may show what lies at its sides.
CLEAR = 1e3


@dataclass(frozen=True)
class Claim:
    """The claimed derivative and what is asked of it.

    match_at : the relative error that must be visible.   accept : a relative difference that is let pass.
    least : a claim up to this one may be a rounding error of the larger entries of its gradient.
    """

    value: float
    match_at: float
    accept: float = 0.0
    least: float = 0.0

    def agrees(self, found: Found) -> bool:
        """Whether the claim lies within the bound of a derivative that shows an error of ``match_at``."""
        size = max(abs(self.value), abs(found.value))
        apart = abs(self.value - found.value)
        return apart <= found.bound + self.accept * size and self.resolved(found, size)

    def disputes(self, found: Found) -> bool:
        """Whether the claim lies outside of the bound of a derivative."""
        size = max(abs(self.value), abs(found.value))
        return not abs(self.value - found.value) <= found.bound + self.accept * size

    def undecided(self, found: Found) -> bool:
        """Whether a derivative shows neither that the claim is right nor that it is wrong."""
        return not self.agrees(found) and not self.disputes(found.doubted)

    def nearly(self, found: Found, times: float) -> bool:
        """Whether the bound is at most so many times what shows a relative error of ``match_at``."""
        size = max(abs(self.value), abs(found.value))
        return 2 * found.bound + self.accept * size <= times * self.match_at * size

    def resolved(self, found: Found, size: float | None = None) -> bool:
        """Whether the bound shows a relative error of ``match_at``."""
        size = abs(found.value) if size is None else size
        return 2 * found.bound + self.accept * size <= self.match_at * size


class Steps:
    """The steps that were tried along one weight.

    own : the quotients of a formula that the caller chose.
    windows : the noise beside theta by each window that was looked at.
    windows_allowed : how many may be looked at.   strides_allowed : how many further steps are tried at a time.
    waits : whether the search goes on once others have looked at their windows.
    teaches : whether a window is looked at for what others learn from it.
    """

    def __init__(self, line: Line, claim: Claim) -> None:
        self.line, self.claim = line, claim
        self._tried: dict[tuple[float, int], None] = {}
        self.own: list[Rung] = []
        self._half: tuple[float, float] | None = None
        self.windows: list[float] = []
        self.windows_allowed, self.strides_allowed = WINDOWS, STRIDES_ALLOWED
        self.waits = self.teaches = False
        self._unlearned = self._floor = math.inf
        self._appraised: tuple[object, list[Found]] = None, []
        self._whole: tuple[object, list[Rung]] = None, []

    @property
    def heard(self) -> float:
        """The noise beside theta by the windows, 0 without any."""
        return median_low(self.windows) if self.windows else 0.0

    def learn(self, noise: float, degrees: float) -> bool:
        """Take this noise, where it is far above what was known of it; returns whether it is."""
        if noise <= ROUGH * self.line.noise:
            return False
        self._unlearned = self.beforehand
        self.line.noise, self.line.degrees = noise, degrees
        return True

    @property
    def beforehand(self) -> float:
        """The noise that was known before windows taught another, which may have been structure of the loss."""
        return min(self._unlearned, self.line.noise)

    def held(self) -> Search[None]:
        """Wait for the windows of other weights, which may teach the noise."""
        self.waits = True
        yield []

    def wanted(self, *steps: float) -> list[float]:
        """The offsets of central or one-sided quotients at these steps that were not evaluated yet."""
        found, beyond = [], self.side
        for h in steps:
            step = self.line.on_grid(h)
            if not 0 < step < math.inf:
                # a small part of the smallest number is 0
                continue
            # where the loss is not finite on one side, further steps are taken on the other
            side = self.line.side(step) or beyond
            self._tried[step, side] = None
            found += [t for t in self.line.offsets(step, side) if t not in self.line.changes]
        return found

    def wanted_half(self, step: float, wide: float) -> list[float]:
        """The offsets of a central quotient at a wider step and of half of one at this step, three points of four."""
        found = self.wanted(wide)
        h, far = self.line.on_grid(step), self.line.on_grid(wide)
        if not 0 < h < far < math.inf or self.line.side(far):
            return self.wanted(step) + found
        self._half = h, far
        return [t for t in (*found, h) if t not in self.line.changes]

    def other_half(self) -> list[float]:
        """The offset that makes a whole quotient of half of one; none where there is none."""
        half, self._half = self._half, None
        return self.wanted(half[0]) if half else []

    def taken(self, step: float, side: int) -> None:
        """A quotient at this step was evaluated otherwise."""
        self._tried[step, side] = None

    def both_sides(self, step: float) -> list[float]:
        """The offsets of a central quotient at a step at which others are one-sided; none where the domain ends there."""
        if not self.side or self.line.side(step):
            return []
        self.taken(step, 0)
        return [t for t in self.line.offsets(step, 0) if t not in self.line.changes]

    def one_sided(self) -> list[float]:
        """The offsets of the one-sided quotients at the steps whose central ones are not finite."""
        found = []
        for step, side in list(self._tried):
            if side == 0 and self.line.rung(step, 0) is None:
                for other in (1, -1):
                    if math.isfinite(self.line.changes.get(other * step, math.nan)):
                        self._tried[step, other] = None
                        found += [t for t in self.line.offsets(step, other) if t not in self.line.changes]
        return found

    def rungs(self) -> list[Rung]:
        """The finite quotients by ascending step, with that of which half was evaluated."""
        half, whole = self.line.half(*self._half) if self._half else None, self.whole()
        # a formula's own quotient may lie at this very step
        taken = half is not None and any(0.99 * half.step < r.step < 1.01 * half.step for r in whole)
        return whole if half is None or taken else sorted([*whole, half])

    def whole(self) -> list[Rung]:
        """The finite quotients by ascending step; central ones where there are any."""
        known = len(self._tried), len(self.own), len(self.line.changes)
        if self._whole[0] != known:
            self._whole = known, self._sorted()
        return self._whole[1]

    def _sorted(self) -> list[Rung]:
        every = [(self.line.rung(step, side), side) for step, side in sorted(self._tried)]
        central = [r for r, side in every if r is not None and side == 0]
        for own in self.own:
            central = [r for r in central if not 0.99 * own.step < r.step < 1.01 * own.step] + [own]
        if central:
            return sorted(central)
        return [r for r, side in every if r is not None and side != 0]

    def best(self) -> Found:
        """The quotient with the least bound."""
        self._unit_seen()
        return min(self.appraised(), key=lambda f: f.bound, default=NOTHING)

    def appraised(self) -> list[Found]:
        """The finite quotients with their bounds, as all of them show these; looked at anew where more is known."""
        line = self.line
        known = len(self._tried), len(self.own), self._half, len(line.changes), line.noise, line.degrees
        if self._appraised[0] != known:
            self._appraised = known, appraised(line, self.rungs())
        return self._appraised[1]

    def _unit_seen(self) -> None:
        """Take the least change that was seen for the unit of a loss that showed no noise, since it moved on no line.

        The loss is a multiple of its unit, so that is no larger; its rounding is uniform in half of it to both sides.
        """
        line = self.line
        seen = [abs(c) for c in line.changes.values() if c and math.isfinite(c)]
        if math.isfinite(line.level) or self._unlearned < math.inf or len(seen) == len(line.changes) or not seen:
            return
        self._floor = min(self._floor, line.noise)
        line.noise, line.degrees = max(self._floor, min(seen) / math.sqrt(12)), math.inf

    @property
    def unordered(self) -> float:
        """The step of the best quotient where its truncation shows above its noise, but not the order of that; else 0.

        Two quotients show no order, and neither does a third one that noise hides.  The order is 1 where the second derivative
        jumps.  Then it is a right claim that the second order misses, and a wrong one may lie within the bound.
        """
        heard = [r for r in self.rungs() if not r.silent]
        if len(heard) < 2:
            return 0.0
        best = self.best().step
        k = 0 if len(heard) == 2 else next((k for k, r in enumerate(heard) if r.step == best), 0)
        if best == heard[-1].step:
            # its truncation follows from the next smaller one
            k = max((k for k, r in enumerate(heard) if SPACED * r.step <= best), default=k)
        above = spaced(heard, k)[:3]
        if len(above) < 2:
            return 0.0
        near, far = above[:2]
        rest = abs(far.value - near.value) / ((far.step / near.step) ** 2 - 1)
        if rest <= roundoff(near, self.line.noise, self.line.degrees):
            return 0.0
        known = [*below(heard, near), *above]
        spread = [roundoff(r, self.line.noise, self.line.degrees) for r in known]
        return 0.0 if converges(known, spread) else near.step

    @property
    def kinked(self) -> bool:
        """Whether two steps show a kink at theta far above the noise.

        Noise that was measured too small looks like a faint one.
        """
        line, heard = self.line, [r for r in self.rungs() if not r.silent]
        above = (spaced(heard, k) for k in range(len(heard)))
        return any(jump_seen(a[0], far, line.noise, CLEAR) > 0 for a in above for far in a[1:3])

    def clearest(self) -> Found:
        """The quotient with the least bound, noise counted threefold: where noise is small, a window shows most."""
        found = min(self.appraised(), key=lambda f: f.bound + 2 * f.roundoff, default=NOTHING)
        return found if math.isfinite(found.bound) else self.best()

    @property
    def trusted(self) -> float:
        """The largest step that is believed without a smaller one."""
        return TRUSTED * min(self.line.room, abs(self.line.x) or self.line.scale)

    @property
    def one_sided_at_last(self) -> bool:
        """Whether the loss moves at the largest step, on one side of theta alone."""
        rungs = self.rungs()
        return bool(rungs) and not rungs[-1].silent and _on_one_side(rungs[-1])

    def flat(self) -> Found | None:
        """The derivative 0 of a loss that moves by no more than its noise within the weight's own size.

        So are a weight without a path to the loss, a unit that is switched off, and a bias that a normalisation takes off
        again.  A loss of few digits is flat too, but larger steps show its slope; the unit in which it rises is a part of its
        noise.  Larger steps may show what noise hides here, or a loss that bends on one side of theta alone.  None where the
        loss is not flat; where that unit is not known, since the loss moved on no line; and where noise is far above the last
        digits: it may be a fast wave, or hide what moves the loss by less.
        """
        line, rungs = self.line, self.rungs()
        still = [r for r in rungs if r.step <= 1.01 * self.trusted]
        if not math.isfinite(line.level) or len(still) < 2 or not all(math.isfinite(c) for c in line.changes.values()):
            return None
        here = still[-1]
        found = Found(here.step, here.value, 0.0, roundoff(here, line.noise, line.degrees), 0.0, True)
        larger = rungs[len(still) :]
        if loud(line):
            return None
        alike = all(abs(r.value) <= found.bound or _on_one_side(r) for r in larger)
        return found if alike and all(r.moved <= SEEN * line.noise for r in still) else None

    @property
    def side(self) -> int:
        """On which side of theta quotients are taken: 0 for both, where losses are finite."""
        if any(self.line.rung(step, 0) for step, side in self._tried if side == 0):
            return 0
        return next((side for step, side in self._tried if side and self.line.rung(step, side)), 0)

    @property
    def still(self) -> bool:
        """Whether the loss did not change by a bit at any point, and the claim is 0."""
        return self.claim.value == 0 and not any(self.line.changes.values())

    @property
    def lowest(self) -> float:
        """The smallest step that was tried."""
        return min([step for step, _ in self._tried] + [r.step for r in self.own])


def _on_one_side(rung: Rung) -> bool:
    """Whether the loss does not move at a step, or moves on one side alone."""
    least, most = (part * abs(rung.value) for part in ONE_SIDED)
    return rung.silent or least <= abs(rung.bend) <= most


def alive(line: Line, rung: Rung) -> bool:
    """Whether the loss changes at a step by more than its noise."""
    return rung.moved > ALIVE * line.noise


def loud(line: Line) -> bool:
    """Whether the noise is far above the last digits of the loss."""
    return line.noise > DIGITS * line.unit * line.size
