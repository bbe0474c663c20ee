"""The noise of a function, measured along a line of very near points.

Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011): the k-th differences of a smooth function
vanish like the k-th power of the spacing, those of its noise do not, and sigma_k**2 = gamma_k mean((Delta^k f)**2) with
gamma_k = (k!)**2 / (2 k)! estimates the variance of the noise for every k.  The spacing adapts: it grows where half of the
values are equal, since a function of few digits is constant on a near line, and shrinks where the differences do not settle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Values = Callable[[Array], Array]

# Points of a line by which its spacing is judged, equally spaced.
JUDGED = 8
# Places of further points in units of a spacing.  They are irregular: a loss of few digits that rises by just one of them at
# every spacing would seem to have no noise.  So would one that rises by a multiple of as many digits as a spacing has parts,
# which is the rarer the finer the parts are.
PARTS = 64
FURTHER = tuple(part / PARTS for part in (25, 103, 171, 237, 333, 411, 485, 559, 597, 681))
PLACES = (*(float(j) for j in range(JUDGED)), *FURTHER)
POINTS = len(PLACES)
# Degree of the polynomial that is taken off: POINTS - DEGREE - 1 degrees of freedom are left.
DEGREE = 4
# An orthonormal basis (POINTS, DEGREE + 1) of these polynomials at the places.
BASIS = np.linalg.qr(np.vander(np.array(PLACES) / PLACES[-1] * 2 - 1, DEGREE + 1))[0]
# The first spacing in units of u times the scale: 2**12 spacings of the numbers, so that every intermediate is rounded anew.
SPACING = 2.0**12
# By how much a spacing is changed, how often, and the largest one in units of the scale.
FACTOR, TRIES, LARGEST = 100.0, 7, 1e-2
# Numbers of the points that are evaluated together, at most.
TOGETHER = 2**21
# The line begins so far from theta, in units of the scale: at theta itself many roundings vanish, or are special.
BESIDE = 2.0**-16
# Where a weight is 0 nothing tells its scale.  If the loss has changed by more than this part of itself where the line begins,
# the line is laid nearer to theta.
NEARER, CHANGED = 2.0**-40, 0.05
# Orders agree if their estimates differ by no more than this factor (Moré and Wild, section 4).
AGREE = 4.0


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the noise of each output, (k,), and the degrees of freedom with which they are known.

    level : (k,) the median size of each output where its noise was measured; infinite where it was not.
    """

    deviation: Array
    degrees: float
    level: Array


def table(values: Array) -> Array:
    """Standard deviation of the noise of ``values`` (p,) by differences of the orders 1 to p - 2; (p - 2,)."""
    found = []
    differences = np.asarray(values)
    for k in range(1, len(values) - 1):
        differences = np.diff(differences)
        gamma = math.factorial(k) ** 2 / math.factorial(2 * k)
        size = np.abs(differences).max()
        # in units of the largest: the squares of very small values would vanish
        parts = (differences / size if size > 0 else differences).astype(np.float64)
        found.append(math.sqrt(gamma * float(np.mean(parts**2))) * float(size))
    return np.array(found)


def settled(values: Array) -> bool:
    """Whether the differences of ``values`` show noise: three orders in a row agree, and the first of them changes its sign."""
    levels = table(values)
    differences = np.asarray(values)
    for k in range(len(levels) - 2):
        differences = np.diff(differences)
        if differences.min() < 0 < differences.max() and levels[k : k + 3].max() <= AGREE * levels[k : k + 3].min():
            return True
    return False


def plateau(values: Array) -> bool:
    """Whether at least half of the neighbouring values are equal, so that the spacing is too small to show the noise."""
    return bool(2 * np.count_nonzero(np.diff(values) == 0) >= len(values) - 1)


def residual(values: Array) -> float:
    """Standard deviation of the values (POINTS,) at ``PLACES`` around a polynomial of degree ``DEGREE``."""
    # subtract in the dtype of the values, so that longdouble is not rounded away
    centred = (values - values[0]).astype(np.float64)
    size = float(np.abs(centred).max()) or 1.0
    rest = centred / size - BASIS @ (BASIS.T @ (centred / size))
    return size * math.sqrt(float(rest @ rest) / (POINTS - DEGREE - 1))


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
    for signs in directions(theta, *limits, (BESIDE + 1e-9) * span, rng):
        if not signs.any():
            continue
        found = _along(evaluate, theta, signs * span, unit, floor, BESIDE)
        if found is not None:
            zeros = ((theta == 0) & (signs != 0)).any()
            elsewhere = np.abs(found.level - size) > CHANGED * np.maximum(found.level, size)
            if zeros and np.isfinite(found.level).all() and elsewhere.any():
                found = _along(evaluate, theta, signs * span, unit, floor, NEARER) or found
            return found
    return Noise(floor, 3.0, np.full(floor.shape, np.inf))


def _along(evaluate: Values, theta: Array, reach: Array, unit: float, floor: Array, distance: float) -> Noise | None:
    """The noise along one line that begins so far from theta; None where the function is not finite on it."""
    known: dict[float, Array] = {}

    def values(spacing: float, count: int) -> Array | None:
        beside, step = steps_along(theta, reach, spacing, unit, distance)
        missing = [place for place in PLACES[:count] if place * spacing not in known]
        together = max(1, TOGETHER // theta.size)
        for some in (missing[k : k + together] for k in range(0, len(missing), together)):
            found = evaluate(np.stack([theta + (beside + place * step).astype(theta.dtype) for place in some]))
            if not np.isfinite(found).all():
                return None
            known.update(zip((place * spacing for place in some), found, strict=True))
        return np.stack([known[place * spacing] for place in PLACES[:count]])

    # beside 0 the numbers lie so close that a nearer line may be a shorter one
    spacing, shrunk, best = min(SPACING * unit, distance if distance < BESIDE else math.inf), False, None
    for _ in range(TRIES):
        # three equal values show a plateau without the others
        few = values(spacing, 3)
        if few is None:
            break
        if (np.diff(few, axis=0) != 0).any():
            some = values(spacing, JUDGED)
            if some is None:
                break
            flat = [plateau(column) for column in some.T]
            if 2 * sum(flat) <= len(flat):
                best = spacing
                good = [settled(c) for c, f in zip(some.T, flat, strict=True) if not f]
                if 2 * sum(good) >= len(good) or spacing <= 16 * unit or (shrunk and spacing > SPACING * unit):
                    break
                spacing, shrunk = spacing / FACTOR, True
                continue
        if shrunk or spacing * FACTOR > LARGEST:
            break
        spacing *= FACTOR
    if best is None:
        return None if not known else Noise(floor, 3.0, np.full(floor.shape, np.inf))
    found = values(best, POINTS)
    if found is None:
        return None
    deviation = np.array([residual(column) for column in found.T])
    level = np.median(np.abs(found), axis=0).astype(np.float64)
    return Noise(np.fmax(deviation, floor), float(POINTS - DEGREE - 1), level)


def steps_along(
    theta: Array, reach: Array, spacing: float, unit: float, distance: float = BESIDE
) -> tuple[Array, Array]:
    """Where a line begins, as seen from theta, and the step from each of its points to the next one; (size,) both.

    They are whole spacings of the numbers, so that every point is exact: rounding a point would move the loss.
    """
    size = np.abs(theta.astype(np.float64)) + 2 * distance * np.abs(reach)
    grid = np.where(size > 0, np.ldexp(2 * unit, np.frexp(size)[1] - 1), 1.0)

    def exactly(t: Array) -> Array:
        return np.where(reach != 0, np.copysign(np.maximum(np.rint(np.abs(t) / grid), 1.0) * grid, reach), 0.0)

    # a part of a step is a whole number of spacings too
    return exactly(distance * reach), PARTS * exactly(spacing / PARTS * reach)


def directions(theta: Array, low: Array, high: Array, span: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Directions (size,) of entries in [-1, 1] along which a line from theta may lie inside a domain, the best ones first.

    span : (size,) how far the line reaches for an entry 1.  low, high : (size,) limits that no point may leave.
    First random signs; then away from 0, up, down, towards 0, for the edge of a domain; then single weights.
    """
    size = rng.uniform(0.5, 1.0, theta.shape)
    away = np.where(theta < 0, -1.0, 1.0)
    up = np.ones(theta.shape)
    single = []
    for i in rng.permutation(theta.size)[:4]:
        for sign in (1.0, -1.0):
            single.append(np.where(np.arange(theta.size) == i, sign, 0.0))
    for signs in (rng.choice([-1.0, 1.0], theta.shape), away, up, -up, -away, *single):
        room = np.where(signs > 0, high - theta, theta - low)
        other = np.where(signs > 0, theta - low, high - theta)
        turned = np.where(room >= span, signs, np.where(other >= span, -signs, 0.0))
        yield turned * size
