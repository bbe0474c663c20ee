"""The loss along one weight: the offsets that were evaluated, and difference quotients over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

# A one-sided parabola, (-3 f(0) + 4 f(h) - f(2h)) / 2h, has sqrt(9 + 16 + 1) / 2 times the noise over h.
ONE_SIDED = math.sqrt(26) / 2


class Rung(NamedTuple):
    """A quotient of second order at one step h.

    step : h.   value : the derivative.   gain : the quotient's standard deviation for noise of deviation 1 beside theta.
    arithmetic : its error by the subtraction, the division and steps that are not symmetric.
    bend : (f(h) - 2 f(0) + f(-h)) / h; h f'' of a smooth loss, the jump of the slope at a kink at theta; 0 on one side.
    moved : the largest change of the loss at its points.
    silent : whether the loss is at all its points the same to the bit as at theta.
    """

    step: float
    value: float
    gain: float
    arithmetic: float
    bend: float
    moved: float
    silent: bool


@dataclass(eq=False)
class Line:
    """The loss along one weight x.

    x : the weight.   scale : a guess of the loss's own scale along it.   unit : unit roundoff of its dtype.
    below, above : how far it may be moved.   noise : standard deviation of the noise of the loss beside theta.
    degrees : the degrees of freedom with which the noise is known.   floor : the deviation of the last rounding.
    size : of the loss at theta.   level : of the loss where its noise was measured.   power : of its size with which it grows.
    changes : the loss at x + t minus that at x, by t; NaN where it is not finite.
    """

    x: float
    scale: float
    unit: float
    below: float = math.inf
    above: float = math.inf
    noise: float = 0.0
    degrees: float = math.inf
    floor: float = 0.0
    size: float = 0.0
    level: float = math.inf
    power: float = 0.5
    changes: dict[float, float] = field(default_factory=dict)
    # quotients of two changes, which stay as they are once they were evaluated
    _rungs: dict[tuple[float, int], Rung] = field(default_factory=dict, repr=False)

    def on_grid(self, h: float) -> float:
        """The step nearest to h that leads to numbers of the dtype, at least one spacing: x + h and x - h are exact."""
        reach = abs(self.x) + h
        if not 0 < reach < math.inf:
            return h
        # the smallest of all numbers has no smaller spacing than itself
        spacing = max(2 * self.unit * math.ldexp(0.5, math.frexp(reach)[1]), math.ulp(0.0))
        return max(1.0, round(h / spacing)) * spacing

    @property
    def least(self) -> float:
        """Steps below 16 spacings of the numbers at x tell nothing."""
        return 32 * self.unit * abs(self.x)

    @property
    def room(self) -> float:
        """How far the weight can be moved before it is 0, at a bound, or where the loss is not finite; infinite from 0 itself.

        There the loss may have a pole or a wall, and no step that reaches farther needs to tell of the derivative here.
        """
        walls = [abs(t) for t, change in self.changes.items() if not math.isfinite(change)]
        return min([d for d in (abs(self.x), self.below, self.above) if d] + walls, default=math.inf)

    def growth(self, moved: float) -> float:
        """The noise where the loss has moved so far, over the noise beside theta.

        A sum of squares r**2 whose parts r carry a rounding error e has the noise 2 r e, so it grows with the root of the sum.
        At an optimum where the sum nearly vanishes it is many times larger one step away than beside theta.  The noise of a
        number of few digits grows like the number itself.
        """
        level = max(self.level, self.size)
        return max(1.0, (self.size + moved) / level) ** self.power if level > 0 else 1.0

    def side(self, h: float) -> int:
        """0 where x may be moved by h both ways; 1 or -1 where only upwards or downwards, by 2 h."""
        if h <= min(self.below, self.above):
            return 0
        return 1 if 2 * h <= self.above else -1

    def offsets(self, h: float, side: int) -> tuple[float, float]:
        """The two points of a quotient at the step h."""
        return (h, -h) if not side else (side * h, side * 2 * h)

    def rung(self, h: float, side: int) -> Rung | None:
        """The quotient at the step h; None where a loss is not finite or was not evaluated."""
        known = self._rungs.get((h, side))
        if known is not None:
            return known
        near, far = (self.changes.get(t, math.nan) for t in self.offsets(h, side))
        if not (math.isfinite(near) and math.isfinite(far)):
            return None
        moved = max(abs(near), abs(far))
        if side:
            value, gain, bend = side * (4 * near - far) / (2 * h), ONE_SIDED / h, 0.0
        else:
            value, gain, bend = (near - far) / (2 * h), math.sqrt(0.5) / h, (near + far) / h
        # the loss's change is rounded a few times more: 4 u of it, whatever the noise at theta; and what rounds x at its first
        # use moves the derivative by u x f''
        arithmetic = self.unit * (4 * (abs(value) + moved * gain) + abs(self.x * bend) / h)
        rung = Rung(h, value, gain * self.growth(moved), arithmetic, bend, moved, moved == 0)
        self._rungs[h, side] = rung
        return rung

    def half(self, h: float, wide: float) -> Rung | None:
        """The quotient at the step h by the point above alone, with the even part that a parabola at a wider step has there."""
        near = self.changes.get(h, math.nan)
        up, down = self.changes.get(wide, math.nan), self.changes.get(-wide, math.nan)
        if not (math.isfinite(near) and math.isfinite(up) and math.isfinite(down)):
            return None
        part = (h / wide) ** 2
        even = part * (up + down)
        value, gain = (near - even / 2) / h, math.sqrt(1 + (1 - part) ** 2 + part**2 / 2) / h
        moved = abs(near)
        # the even part is no other one than that of a parabola by more than itself
        arithmetic = self.unit * 4 * (abs(value) + moved * gain) + abs(even) / 2 / h
        return Rung(h, value, gain * self.growth(moved), arithmetic, even / h, moved, moved == 0)

    def pair(self, low: float, high: float) -> Rung | None:
        """The central quotient between offsets low < 0 < high that are not exactly symmetric."""
        down, up = self.changes.get(low, math.nan), self.changes.get(high, math.nan)
        if not (math.isfinite(down) and math.isfinite(up)):
            return None
        step, moved = (high - low) / 2, max(abs(down), abs(up))
        value, bend = (up - down) / (high - low), (up + down) / step
        skew = abs(bend) * abs(high + low) / (high - low)
        arithmetic = 4 * self.unit * (abs(value) + moved * math.sqrt(0.5) / step) + skew
        return Rung(step, value, math.sqrt(0.5) / step * self.growth(moved), arithmetic, bend, moved, moved == 0)
