"""A window of points around a weight, which shows noise, kinks and truncation at the very scale of a step.

On each side of theta a cubic is fitted: its residual is the noise of the loss there, whatever happens at theta itself.  A
common polynomial through both sides has a larger residual where the loss has a kink, a jump or structure within the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradcheck.numerics.measured.ladder import (
    MARGIN,
    ORDERS,
    SEEN,
    SPACED,
    Found,
    converges,
    diverges,
    jump_within,
    kinks_within,
    order,
    roundoff,
    spaced,
    truncation,
)
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.steps import ROUGH
from gradcheck.numerics.measured.student import quantile

Array = np.ndarray
State = Literal["good", "kink", "structure", "plateau", "not finite"]

# Where the points on each side of theta lie, in units of the step.  They are irregular: a loss of few digits that rises by just
# one of them from point to point would seem to have no noise, and so would a fast wave that comes back at every point.
PLACES = (0.1067, 0.2611, 0.3623, 0.5129, 0.6247, 0.7691, 0.8893, 1.0)
# Where they lie if all are on one side; the quotient needs those at one and two steps.
ASIDE_PLACES = (*PLACES, 1.1103, 1.2551, 1.3399, 1.4983, 1.6217, 1.7359, 1.8607, 2.0)
# Degrees of freedom of the residuals: 8 points less 4 coefficients on each of two sides; one side alone has 16 points less 4.
BOTH, ONE = 8.0, 12.0
# A common residual of so many times the noise shows structure: F(11, 8) exceeds its square once in ten thousand times.
STRUCTURE = 4.0
# A measured deviation replaces the one that is known beforehand where their ratio is outside of this: F(8, 13) exceeds 6 once
# in a thousand times.
LARGER, SMALLER = 2.5, 0.2
# The even part of a smooth loss, over the step, grows like the step; beyond a kink it grows so many times more.
BENT = 4.0
# A quotient beside which no larger one is known may be so many times farther from the derivative than from a cubic's slope.
ALONE = 2.0
# Standard deviation of abs(t)'s coefficient beside t**2 and t**4, times the step over the noise, and so many of them.
JUMP = 3 * 6.8
# The part of a jump that a kink beside theta may hide where no larger step shows how it changes.
BESIDE = 0.1
# The same of the slope of a cubic through theta and 16 points on one side.
ASIDE = 4.2


@dataclass(frozen=True)
class Window:
    """What the points of a window show.

    noise, degrees : the deviation of the loss's noise in this window, and how well it is known.
    slope : the derivative by a common cubic, 0 on one side.   error : its standard deviation.
    jump : half the jump of the slope at theta, where it was seen.
    growth : the noise in this window over the noise beside theta, as the size of the loss explains it.
    """

    state: State
    step: float
    noise: float = math.inf
    degrees: float = 3.0
    slope: float = 0.0
    error: float = math.inf
    jump: float = 0.0
    growth: float = 1.0

    @property
    def beside(self) -> float:
        """The noise beside theta that the noise in this window tells of."""
        return self.noise / self.growth

    @property
    def usable(self) -> bool:
        """Whether a bound can be given."""
        return self.state in ("good", "kink")


def _fit(values: Array, at: Array, powers: tuple[int, ...]) -> tuple[float, Array]:
    """The sum of the squares that powers of ``at`` leave of the values, and their coefficients."""
    q, r = np.linalg.qr(at[:, None] ** np.array(powers))
    part = q.T @ values
    rest = values - q @ part
    return float(rest @ rest), np.linalg.solve(r, part)


def points(line: Line, step: float, side: int) -> list[float]:
    """The offsets of a window's points, all of them numbers of the dtype as seen from the weight."""
    if side:
        return [side * line.on_grid(step * place) if place % 1 else side * step * place for place in ASIDE_PLACES]
    own = [line.on_grid(step * place) if place < 1 else step for place in PLACES]
    return [sign * t for t in own for sign in (1, -1)]


def look(line: Line, step: float, side: int) -> Window:
    """What the evaluated points of a window show."""
    offsets = points(line, step, side)
    values = np.array([line.changes.get(t, math.nan) for t in offsets])
    if not np.isfinite(values).all():
        return Window("not finite", step)
    size = float(np.abs(values).max())
    growth = line.growth(size)
    sides = [values] if side else [values[0::2], values[1::2]]
    if all(2 * np.count_nonzero(np.diff(one, prepend=0.0) == 0) >= len(one) for one in sides):
        return Window("plateau", step)
    # in units of the largest: squares of very small values would vanish
    values = values / size
    floor = max(line.floor, 2 * line.unit * size) / size
    at = np.abs(np.array(offsets if side else offsets[0::2])) / step
    if side:
        left, _ = _fit(values, at, (0, 1, 2, 3))
        noise, degrees = _known(line, math.sqrt(left / ONE), ONE, floor, size)
        _, (slope, *_) = _fit(values, at, (1, 2, 3))
        return Window(
            "good",
            step,
            size * noise,
            degrees,
            side * size * float(slope) / step,
            ASIDE * size * noise / step,
            0.0,
            growth,
        )
    up, down = values[0::2], values[1::2]
    left = _fit(up, at, (0, 1, 2, 3))[0] + _fit(down, at, (0, 1, 2, 3))[0]
    noise, degrees = _known(line, math.sqrt(left / BOTH), BOTH, floor, size)
    return replace(_both(step, size, at, (up - down) / 2, (up + down) / 2, noise, degrees), growth=growth)


def _known(line: Line, own: float, freedom: float, floor: float, size: float) -> tuple[float, float]:
    """The deviation of the noise in units of ``size``, and its degrees of freedom; the known one and this one if they agree."""
    own, known = max(own, floor), line.noise * line.growth(size) / size
    if SMALLER * known <= own <= LARGER * known:
        total = line.degrees + freedom
        if math.isinf(total):
            return known, total
        return math.sqrt((line.degrees * known**2 + freedom * own**2) / total), total
    return own, freedom


def _both(step: float, size: float, at: Array, odd: Array, even: Array, noise: float, degrees: float) -> Window:
    """The window from the odd and the even part of its values, in units of ``size``."""
    rest, (slope, _) = _fit(odd, at, (1, 3))
    bent, _ = _fit(even, at, (2, 4))
    # odd and even parts have half the variance of a loss; 8 - 2 degrees of freedom are left of each
    common = math.sqrt(2 * (rest + bent) / 12)
    error = size * noise / step
    found = Window("good", step, size * noise, degrees, size * float(slope) / step, error)
    if common <= STRUCTURE * noise:
        return found
    # a kink at theta explains the even part by abs(t)
    rest_bent, (jump, _, _) = _fit(even, at, (1, 2, 4))
    explained = math.sqrt(2 * (rest + rest_bent) / 11)
    if explained <= STRUCTURE * noise and abs(jump) > SEEN * noise:
        return Window("kink", step, size * noise, degrees, found.slope, error, size * abs(float(jump)) / step)
    return Window("structure", step, size * noise, degrees, found.slope, error)


def _kink_between(near: Rung, far: Rung, spread: float) -> bool:
    """Whether the even part of the loss grows from one step to the next as only a kink between them makes it grow."""
    return abs(far.bend) > BENT * far.step / near.step * abs(near.bend) + BENT * spread


def bounded(line: Line, window: Window, side: int, rungs: list[Rung]) -> Found | None:
    """The quotient at a window's step with its bound; None where none can be given.

    rungs : quotients at several steps; those at larger ones show truncation and kinks.
    """
    rung = line.rung(window.step, side)
    if rung is None or not window.usable:
        return None
    # the noise was measured in this window, whatever the loss moved at its ends
    plain = rung._replace(gain=rung.gain / line.growth(rung.moved))
    rounding = roundoff(plain, window.noise, window.degrees)
    larger = spaced([rung, *(r for r in rungs if r.step > window.step)], 0)
    spread = [roundoff(r, window.beside, window.degrees) for r in larger]
    smaller = [r for r in rungs if SPACED * r.step <= window.step and not r.silent]
    apart = 4 * quantile(window.degrees)
    if smaller and len(larger) > 1 and diverges(smaller[-1], rung, larger[1], window.beside, apart):
        return None
    if not side and len(larger) > 1 and _kink_between(rung, larger[1], spread[0]):
        # what lies beyond a kink says nothing of this window
        larger, spread = larger[:1], spread[:1]
    shown = truncation(larger, spread)
    # the slope of the common cubic has no truncation of second order
    apart = abs(rung.value - window.slope)
    # where the larger step and the cubic say the same of the truncation, it is of second order
    alike = abs(apart - shown) <= max(0.3 * apart, 3 * window.error)
    if order(larger, spread) == ORDERS[0]:
        # without a larger step nothing tells the truncation of the cubic from that of the quotient
        parts = 1.0 if len(larger) > 1 else ALONE
        shown = min(shown, parts * apart + quantile(window.degrees) * window.error)
    shown = max(shown, apart - 3 * window.error)
    if apart <= 3 * window.error:
        # nothing but noise is seen in it
        rounding, shown = rounding + shown, 0.0
    rough = window.beside > ROUGH * line.noise
    if side:
        return Found(window.step, rung.value, shown, rounding, 0.0, True, 0.0, rough)
    jump = jump_within([rung, *(r for r in rungs if r.step > window.step)], window.step, window.noise)
    kink = max(window.jump, jump.seen)
    if kink:
        # where a kink lies beside theta at k, the jump that is seen at a step h lacks k / h of it
        kink += abs(abs(rung.bend) - abs(larger[1].bend)) if len(larger) > 1 else BESIDE * kink
    # without a larger step, the even part of the window itself limits a jump that is not seen
    doubt = max(0.0, min(jump.limit, JUMP * window.error) - kink, jump.shown - kink)
    if kink or kinks_within(rungs, window.step, window.beside):
        # between the slopes of the two chords lies every slope at theta of a loss whose kinks all bend it the same way
        doubt = max(doubt, abs(rung.bend) / 2 + rounding - kink)
    if len(larger) > 1 and not alike and not converges(larger, spread):
        # where noise hides how the truncation grows, it may be of first order: the second derivative may jump at theta
        doubt += (MARGIN * abs(larger[1].value - rung.value) + spread[1]) / (larger[1].step / rung.step - 1)
    return Found(window.step, rung.value, shown + kink, rounding, kink, True, doubt, rough)
