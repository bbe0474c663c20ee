"""The noise of a function, measured along a line of very near points.

Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): the k-th differences of a smooth function
vanish like the k-th power of the spacing, those of its noise do not, and sigma_k**2 = gamma_k mean((Delta^k f)**2) with
gamma_k = (k!)**2 / (2 k)! estimates the variance of the noise for every k.  The spacing adapts: it grows where half of the
values are equal, since a function of few digits is constant on a near line, and shrinks where the differences do not settle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gradcheck.numerics.measured.jump import jump
from gradcheck.numerics.measured.near_line import BESIDE, JUDGED, PARTS, PLACES, NearLine, Values, directions

Array = np.ndarray

POINTS = len(PLACES)
# Degree of the polynomial that is taken off: POINTS - DEGREE - 1 degrees of freedom are left.
DEGREE = 4
# Beneath a fine noise a loss may have few digits, whose stairs do not show on a near line.  So the further points lie with this
# spacing in units of the scale where it is wider than the one at which noise was seen.
WIDE = 2.0**-21
# Noise that seems so many times louder there is measured anew with that spacing: F(8, 5) exceeds 14 five times in a thousand.
LOUDER = 3.0
# A loss that bends more is smooth all the same if a polynomial of this degree leaves no more than the near points show.
BENT = 6
# Points of a near line, on which a smooth loss is a parabola, that tell the noise as well as all, and that tell its size.
NARROW, FEW = 16, 11
# A jump that is so many times smaller than what a smooth loss leaves there is not sought beneath it.
SMALLER = 4.0
# The first spacing in units of u times the scale: 2**12 spacings of the numbers, so that every intermediate is rounded anew.
SPACING = 2.0**12
# By how much a spacing is changed, how often, and the largest one in units of the scale.
FACTOR, TRIES, LARGEST = 100.0, 7, 1e-2
# Where a weight is 0 nothing tells its scale.  If the loss has changed by more than this part of itself where the line begins,
# the line is laid nearer to theta.
NEARER, CHANGED = 2.0**-40, 0.05
# Orders agree if their estimates differ by no more than this factor (Moré and Wild, section 4).
AGREE = 4.0
# The noise grows with this power of the size of the loss, at least and at most: a sum of squares r**2 whose parts carry a
# rounding error e has the noise 2 r e, and a number of few digits has noise in proportion to itself.
ROOT, PROPORTIONAL = 0.5, 1.0
# Two lines show that power where their sizes lie so far apart.
SIZES = 16.0
# Bases that are kept: most lines have the same spacing, and so the same places.
BASES = 64


@lru_cache(maxsize=BASES)
def basis(places: tuple[float, ...], degree: int) -> Array:
    """An orthonormal basis (p, degree + 1) of the polynomials at places (p,), of which the first is the lowest; read only."""
    at = np.array(places)
    span = at.max() - at[0]
    found = np.linalg.qr(np.vander((at - at[0]) / span * 2 - 1, degree + 1))[0]
    found.flags.writeable = False
    return found


BASIS = basis(PLACES, DEGREE)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the noise of each output, (k,), and the degrees of freedom with which they are known.

    level : (k,) the median size of each output where its noise was measured; infinite where it was not.
    power : (k,) the power of its size with which the noise of each output grows.
    """

    deviation: Array
    degrees: float
    level: Array
    power: Array


def table(values: Array) -> Array:
    """Standard deviation of the noise of ``values`` (p,) by differences of the orders 1 to p - 2; (p - 2,)."""
    return np.array([level for _, level in _orders(values)])


def _orders(values: Array) -> Iterator[tuple[Array, float]]:
    """The differences of each order, and the deviation that they show."""
    differences = np.asarray(values)
    for k in range(1, len(values) - 1):
        differences = np.diff(differences)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        size = np.abs(differences).max()
        # in units of the largest: the squares of very small values would vanish
        parts = (differences / size if size > 0 else differences).astype(np.float64)
        yield differences, math.sqrt(gamma * (float((parts**2).sum()) / len(parts))) * float(size)


def settled(values: Array) -> bool:
    """Whether the differences of ``values`` show noise: three orders in a row agree, and the first of them changes its sign."""
    last: list[tuple[Array, float]] = []
    # the higher orders are not asked for where the lower ones agree
    for each in _orders(values):
        last = [*last[-2:], each]
        levels, first = [level for _, level in last], last[0][0]
        if len(last) == 3 and first.min() < 0 < first.max() and _agree(levels):
            return True
    return False


def _agree(levels: list[float]) -> bool:
    # NaN agrees with nothing
    return all(one <= AGREE * other for one in levels for other in levels)


def straight(values: Array) -> bool:
    """Whether values at equal distances rise by the same, to the bit: a smaller spacing would show no more of the noise."""
    return not np.diff(values, 2).any()


def plateau(values: Array) -> bool:
    """Whether at least half of the neighbouring values are equal, so that the spacing is too small to show the noise."""
    return bool(2 * np.count_nonzero(np.diff(values) == 0) >= len(values) - 1)


def freedom(polynomials: Array) -> float:
    """Degrees of freedom that the polynomials of a ``basis`` leave."""
    return float(polynomials.shape[0] - polynomials.shape[1])


def residual(values: Array, polynomials: Array = BASIS) -> float:
    """Standard deviation of the values (p,) around a polynomial of a ``basis``, by default that at ``PLACES``."""
    # subtract in the dtype of the values, so that longdouble is not rounded away
    centred = (values - values[0]).astype(np.float64)
    size = float(np.abs(centred).max()) or 1.0
    rest = centred / size - polynomials @ (polynomials.T @ (centred / size))
    return size * math.sqrt(float(rest @ rest) / freedom(polynomials))


def measured_noise(
    evaluate: Values, theta: Array, scale: Array, limits: tuple[Array, Array], floor: Array, size: Array
) -> Noise:
    """The noise of every output of a function around theta.

    evaluate : values (p, k) at points (p, size); NaN where there are none.   scale : (size,) a guess of the function's own.
    limits : the lowest and highest points that may be evaluated.   floor : (k,) the least deviations, of the last rounding.
    size : (k,) of the outputs at theta.
    """
    unit = float(np.finfo(theta.dtype).eps) / 2
    rng = np.random.default_rng(theta.size)
    span = np.maximum(scale, np.abs(theta.astype(np.float64)))

    def moved(values: Array) -> bool:
        level = np.median(np.abs(np.atleast_2d(values)), axis=0).astype(np.float64)
        return bool(np.isfinite(level).all() and (np.abs(level - size) > CHANGED * np.maximum(level, size)).any())

    for signs in directions(theta, *limits, (BESIDE + PLACES[-1] * WIDE) * span, rng):
        if not signs.any():
            continue
        zeros = bool(((theta == 0) & (signs != 0)).any())
        found = _along(evaluate, theta, signs * span, unit, floor, BESIDE, moved if zeros else None)
        if found is not None:
            if zeros and moved(found.level):
                nearer = _along(evaluate, theta, signs * span, unit, floor, NEARER)
                found = replace(nearer, power=_power(nearer, found)) if nearer else found
            return found
    return _unknown(floor)


def _unknown(floor: Array) -> Noise:
    return Noise(floor, 3.0, np.full(floor.shape, np.inf), np.full(floor.shape, ROOT))


def _power(near: Noise, far: Noise) -> Array:
    """The power of the size of each output with which its noise grows, by two lines."""
    with np.errstate(all="ignore"):
        power = np.log(far.deviation / near.deviation) / np.log(far.level / near.level)
    seen = np.isfinite(power) & (far.level > SIZES * near.level)
    return np.clip(np.where(seen, power, ROOT), ROOT, PROPORTIONAL)


def _along(
    evaluate: Values,
    theta: Array,
    reach: Array,
    unit: float,
    floor: Array,
    distance: float,
    left: Callable[[Array], bool] | None = None,
) -> Noise | None:
    """The noise along one line that begins so far from theta; None where the function is not finite on it.

    left : whether a nearer line is to be laid, by some values (p, k) of this one.
    """
    values = NearLine(evaluate, theta, reach, unit, distance)
    # beside 0 the numbers lie so close that a nearer line may be a shorter one
    spacing, shrunk, best = min(SPACING * unit, distance if distance < BESIDE else math.inf), False, None
    for _ in range(TRIES):
        # three equal values show a plateau without the others
        few = values(spacing, PLACES[:3])
        if few is None:
            break
        if (np.diff(few, axis=0) != 0).any():
            some = values(spacing, PLACES[:JUDGED])
            if some is None:
                break
            flat = [plateau(column) for column in some.T]
            if 2 * sum(flat) <= len(flat):
                best = spacing
                if left is not None and left(some):
                    # this line only tells with what power the noise grows
                    seen = _narrow(values, spacing, FEW)
                    return None if seen is None else _noise(*seen, floor)
                good = [settled(c) or straight(c) for c, f in zip(some.T, flat, strict=True) if not f]
                if 2 * sum(good) >= len(good) or spacing <= 16 * unit or (shrunk and spacing > SPACING * unit):
                    break
                spacing, shrunk = spacing / FACTOR, True
                continue
        if shrunk or spacing * FACTOR > LARGEST:
            break
        spacing *= FACTOR
    if best is None:
        return _unknown(floor) if values.known else None
    seen = _widely(values, best, floor) if distance >= BESIDE and JUDGED * best < WIDE else None
    if seen is None:
        found = values(best, PLACES)
        if found is None:
            return None
        seen = *_residuals(found, BASIS), found
    return _noise(*seen, floor)


def _noise(deviation: Array, degrees: float, found: Array, floor: Array) -> Noise:
    """The noise by the values of a line."""
    level = np.median(np.abs(found), axis=0).astype(np.float64)
    return Noise(np.fmax(deviation, floor), degrees, level, np.full(level.shape, ROOT))


def _widely(values: NearLine, spacing: float, floor: Array) -> tuple[Array, float, Array] | None:
    """The deviations of the noise, by points with this spacing and others that lie wider, their degrees, and the values.

    None where the function is not finite at them.
    """
    # a whole number of times as wide, so that all points lie on one line; an odd one: an even one would leave the last bits of
    # all points the same, and whatever is computed of them would be rounded alike
    times = round(WIDE / spacing) | 1
    wide = tuple(times * place for place in PLACES)
    # a polynomial of higher degree takes more points for the same degrees of freedom
    for number, degree in ((JUDGED, DEGREE), (JUDGED + BENT - DEGREE, BENT)):
        places = (*PLACES[:number], *wide[JUDGED:])
        found = values(spacing, places)
        if found is None:
            return None
        smooth, near = basis(places, degree), basis(PLACES[:number], 2)
        deviation = np.array([residual(column, smooth) for column in found.T])
        quiet = np.fmax([residual(column[:number], near) for column in found.T], floor)
        louder = np.flatnonzero(deviation > LOUDER * quiet).tolist()
        if not louder:
            return deviation, freedom(smooth), found
    if all(_jumps(values, spacing, places, k, max(LOUDER * quiet[k], deviation[k] / SMALLER)) for k in louder):
        again = values(spacing, wide)
        return None if again is None else (*_residuals(again, BASIS), again)
    return _narrow(values, spacing, NARROW)


def _narrow(values: NearLine, spacing: float, number: int) -> tuple[Array, float, Array] | None:
    """The deviations by some points of a near line, on which a smooth loss is a parabola, their degrees, and the values."""
    found = values(spacing, PLACES[:number])
    return None if found is None else (*_residuals(found, basis(PLACES[:number], 2)), found)


def _residuals(found: Array, polynomials: Array) -> tuple[Array, float]:
    return np.array([residual(column, polynomials) for column in found.T]), freedom(polynomials)


def _jumps(values: NearLine, spacing: float, places: tuple[float, ...], output: int, least: float) -> bool:
    """Whether an output jumps between places, as a loss of few digits does; else it only moves faster than it was guessed."""
    known, order = values(spacing, places), np.argsort(places)
    if known is None:
        return False
    column = known[order, output]
    j = int(np.argmax(np.abs(np.diff(column))))
    between, ends = (places[order[j]], places[order[j + 1]]), (column[j], column[j + 1])

    def middle(low: float, high: float) -> float:
        return math.floor((low + high) / 2 * PARTS) / PARTS

    # less one end, in the dtype of the values: float64 would round longdouble values that are nearly equal
    halves = jump(between, (0.0, float(ends[1] - ends[0])), middle, least)
    try:
        place = next(halves)
        while True:
            found = values(spacing, (place,))
            place = halves.send(math.nan if found is None else float(found[0, output] - ends[0]))
    except StopIteration as end:
        return float(end.value) > 0
