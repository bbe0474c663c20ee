"""Quotients of many weights as columns, and their bounds: what ``Line.rung`` and ``appraised`` give of each, to the bit.

Only what is usual has a place here: central quotients at two or three steps that lie apart, of a loss that is finite and moves.
Sums, products and roots are the same in arrays as in Python.  Powers are not, on every processor, so Python computes them; and
what is rare is asked of the functions for one weight.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.ladder import (
    DIVERGES,
    GROWN,
    LOCAL,
    MARGIN,
    ORDERS,
    SEEN,
    SPACED,
    Found,
    jump_seen,
    order,
)
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.student import quantile

Array = np.ndarray

# Hypotenuses of arrays and of Python differ by a few units of the last place: what is so near to a limit is asked of Python.
ROUNDED = 1e-9


class Rungs(NamedTuple):
    """As ``Rung``, each (m, k): k ascending steps along each of m weights.

    growth : of the noise at the step over that beside theta.
    square : of the next larger step over this one; NaN at the largest.
    """

    step: Array
    value: Array
    gain: Array
    arithmetic: Array
    bend: Array
    moved: Array
    growth: Array
    square: Array

    def at(self, k: int) -> Rungs:
        """Those of one step, each (m,)."""
        return Rungs(*(column[:, k] for column in self))

    def some(self, rows: Array) -> Rungs:
        """Those of the weights for which ``rows`` is true."""
        return self if rows.all() else Rungs(*(column[rows] for column in self))

    def of(self, row: int) -> list[Rung]:
        """Those of one weight."""
        columns = (column[row].tolist() for column in self[:6])
        return [Rung(h, v, g, a, b, moved, moved == 0) for h, v, g, a, b, moved in zip(*columns, strict=True)]


class Columns(NamedTuple):
    """As ``Found``, an array of each; (m, k) or (m,)."""

    step: Array
    value: Array
    truncation: Array
    roundoff: Array
    kink: Array

    @property
    def bound(self) -> Array:
        """How far each value can be from the derivative."""
        return self.truncation + self.roundoff

    def some(self, rows: Array) -> Columns:
        """Those of the weights for which ``rows`` is true."""
        return self if rows.all() else Columns(*(column[rows] for column in self))

    def of(self, row: int) -> Found:
        """That of one weight."""
        step, value, truncation, roundoff, kink = (float(column[row]) for column in self)
        return Found(step, value, truncation, roundoff, kink, confirmed=False)


def on_grid(line: Line, x: Array, h: Array) -> Array:
    """``Line.on_grid`` along many weights x."""
    reach = np.abs(x) + h
    spacing = np.maximum(2 * line.unit * np.ldexp(0.5, np.frexp(reach)[1]), math.ulp(0.0))
    return np.where((reach > 0) & (reach < np.inf), np.maximum(1.0, np.rint(h / spacing)) * spacing, h)


def rungs(line: Line, x: Array, step: Array, above: Array, below: Array) -> Rungs:
    """``Line.rung`` along weights x (m,) at steps (m, k): central quotients of the changes of the loss above and below.

    line : what all weights have in common.
    """
    moved = np.maximum(np.abs(above), np.abs(below))
    value, gain, bend = (above - below) / (2 * step), math.sqrt(0.5) / step, (above + below) / step
    arithmetic = line.unit * (4 * (np.abs(value) + moved * gain) + np.abs(x[:, None] * bend) / step)
    more, square = growth(line, moved), np.full(step.shape, np.nan)
    square[:, :-1] = power(step[:, 1:] / step[:, :-1], 2)
    return Rungs(step, value, gain * more, arithmetic, bend, moved, more, square)


def growth(line: Line, moved: Array) -> Array:
    """``Line.growth`` where the loss has moved so far."""
    level = max(line.level, line.size)
    if not level > 0:
        return np.ones(moved.shape)
    return power(np.maximum(1.0, (line.size + moved) / level), line.power)


def power(base: Array, exponent: float) -> Array:
    """Powers as Python computes them."""
    powers = map(math.pow, base.ravel().tolist(), itertools.repeat(exponent))
    return np.fromiter(powers, np.float64, base.size).reshape(base.shape)


def spread(line: Line, seen: Rungs) -> Array:
    """``ladder.roundoff`` of all."""
    return quantile(line.degrees) * line.noise * seen.gain + seen.arithmetic


def apart(step: Array) -> Array:
    """Whether ascending steps (m, k) lie so far apart that the difference of two is not mostly noise; bool (m,)."""
    return every(step[:, 1:] >= SPACED * step[:, :-1])


def every(rows: Array) -> Array:
    """Whether all of each row hold; bool (m,).   Of few columns a loop over these is quicker than NumPy's over the rows."""
    found = rows[:, 0]
    for k in range(1, rows.shape[1]):
        found = found & rows[:, k]
    return found


def appraised(line: Line, seen: Rungs) -> Columns:
    """``ladder.appraised`` of two or three rungs that lie apart, none of them silent; each (m, k)."""
    noises = spread(line, seen)
    rung, own = [seen.at(j) for j in range(seen.step.shape[1])], list(noises.T)
    squares = [each.square for each in rung]
    first, gain = _smallest(seen, noises, rung, own, squares)
    pairs = [_jumps(seen, j, j + 1, line.noise) for j in range(len(rung) - 1)]
    jumps = [jump for jump, _ in pairs]
    if len(rung) > 2:
        hidden, most = pairs[0]
        jumps[0] = np.where(hidden > 0, hidden, np.minimum(_jumps(seen, 0, 2, line.noise)[0], most))
    truncation: list[Array] = []
    kinks: list[Array] = []
    plain: list[Array] = []
    for j, here in enumerate(rung):
        rough = np.zeros(len(noises))
        kink = jumps[min(j, len(jumps) - 1)]
        if j + 1 < len(rung):
            whole = first[j]
            uneven = LOCAL * _uneven(here, rung[j + 1], squares[j]) * math.sqrt(0.5) / here.step
            rough = np.where(kink == 0, np.maximum(0.0, uneven - own[j] - whole), 0.0)
        else:
            low = rung[j - 1]
            whole = MARGIN * np.abs(here.value - low.value) * gain / _part(gain) + own[j - 1]
            whole = np.where(gain > 1, whole, np.inf)
        beyond = np.zeros(len(noises))
        for i in range(j):
            beyond = np.maximum(beyond, np.abs(here.value - rung[i].value) - own[j] - own[i] - whole - plain[i])
        plain.append(whole + beyond)
        truncation.append(whole + beyond + kink + rough)
        kinks.append(kink)
    return Columns(seen.step, seen.value, np.stack(truncation, axis=1), noises, np.stack(kinks, axis=1))


def best(found: Columns) -> Columns:
    """Of each weight the quotient with the least bound, the first of several; each (m,)."""
    which = np.arange(len(found.step)), np.argmin(found.bound, axis=1)
    return Columns(*(column[which] for column in found))


def _smallest(
    seen: Rungs, noises: Array, rung: list[Rungs], own: list[Array], squares: list[Array]
) -> tuple[list[Array], Array]:
    """``ladder.truncation`` of each rung but the largest, and by what factor that grows from the next smaller one to it."""
    gaps = [MARGIN * np.abs(b.value - a.value) for a, b in itertools.pairwise(rung)]
    if len(rung) == 2:
        return [_truncation(gaps[0], own[0], own[1], squares[0])], squares[0]
    orders = _orders(seen, noises)
    near, far, upper = (
        np.array([r**p for r, p in zip((b.step / a.step).tolist(), orders.tolist(), strict=True)])
        for a, b in ((rung[0], rung[1]), (rung[0], rung[2]), (rung[1], rung[2]))
    )
    # the second next one tells more where noise is most of what the next one tells
    whole = MARGIN * np.abs(rung[2].value - rung[0].value) + own[0] + own[2]
    lowest = _truncation(gaps[0], own[0], own[1], near, whole / _part(far))
    middle = np.maximum(_truncation(gaps[1], own[1], own[2], squares[1]), _truncation(gaps[1], own[1], own[2], upper))
    return [np.where(far > 1, lowest, np.inf), middle], upper


def _truncation(gap: Array, own: Array, next_one: Array, gain: Array, most: Array | float = math.inf) -> Array:
    """What the next larger rung tells; infinite where there is no gain, as where nothing converges.

    most : what a further rung tells.
    """
    part = _part(gain)
    least = np.maximum(0.0, (gap - own - next_one) / part)
    return np.where(gain > 1, np.maximum(np.minimum(most, (gap + own + next_one) / part), least), np.inf)


def _part(gain: Array) -> Array:
    return np.where(gain > 1, gain - 1, 1.0)


def _orders(seen: Rungs, noises: Array) -> Array:
    """``ladder.order`` of three rungs: ORDERS[0] nearly everywhere."""
    found = np.full(len(noises), ORDERS[0])
    low, middle, high = seen.value.T
    lower, upper, noise = np.abs(middle - low), np.abs(high - middle), noises[:, 0] + noises[:, 1]
    rows = np.flatnonzero(lower > 2 * noise)
    h0, h1, h2 = (power(seen.step[rows, k], ORDERS[0]) for k in range(3))
    seen_growth = (upper[rows] - noise[rows]) / (lower[rows] + noise[rows])
    converging = upper[rows] >= DIVERGES * lower[rows]
    other = ~converging | ((h2 - h1) / (h1 - h0) / 2 > seen_growth)
    for row in rows[other].tolist():
        found[row] = order(seen.of(row), noises[row].tolist())
    return found


def _uneven(near: Rungs, far: Rungs, square: Array) -> Array:
    """``ladder.uneven``, where ``square`` is that of the ratio of the steps."""
    return np.abs(far.bend * far.step - square * near.bend * near.step) / np.sqrt(2 * (1 + power(square, 2.0)))


def _jumps(seen: Rungs, k: int, j: int, noise: float) -> tuple[Array, Array]:
    """``ladder.jump_seen`` of the rungs k and j: 0 nearly everywhere; and how large a jump may be that noise hides there."""
    near, far = seen.at(k), seen.at(j)
    found, q = np.zeros(len(near.step)), far.step / near.step
    jump = np.abs(q * near.bend - far.bend) / (q - 1) / 2
    deviation = np.hypot(q * math.sqrt(6) / near.step, math.sqrt(6) / far.step) * noise / (q - 1) / 2
    error = deviation + (near.arithmetic * q + far.arithmetic) / (q - 1)
    alike = np.abs(far.bend) < GROWN * far.step / near.step * np.abs(near.bend)
    for row in np.flatnonzero(alike & (jump > SEEN * error * (1 - ROUNDED))).tolist():
        each = seen.of(row)
        found[row] = jump_seen(each[k], each[j], noise)
    return found, jump + SEEN * error
