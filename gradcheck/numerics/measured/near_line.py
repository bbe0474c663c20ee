"""The points of a line beside theta, on which the noise of a function is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Array = np.ndarray
Values = Callable[[Array], Array]

# Points of a line by which its spacing is judged, equally spaced.
JUDGED = 8
# Places of further points in units of a spacing.  They are irregular: a loss of few digits that rises by just one of them at
# every spacing would seem to have no noise.  So would one that rises by a multiple of as many digits as a spacing has parts,
# which is the rarer the finer the parts are.  An odd number of parts gives the points last bits that differ, so that a product
# with a number of few digits is rounded anew at each.
PARTS = 65
FURTHER = tuple(part / PARTS for part in (25, 103, 171, 237, 333, 411, 485, 559, 597, 681))
PLACES = (*(float(j) for j in range(JUDGED)), *FURTHER)
# Numbers of the points that are evaluated together, at most.
TOGETHER = 2**21
# The line begins so far from theta, in units of the scale: at theta itself many roundings vanish, or are special.
BESIDE = 2.0**-16
# Weights that are tried alone where no line of all lies inside a domain.
SINGLE = 4


class NearLine:
    """The values of a function at places of a line, each evaluated once.

    evaluate : values (p, k) at points (p, size); NaN where there are none.   reach : (size,) the line's direction and size.
    unit : rounding unit of theta.   distance : the line begins so far from theta, in units of the reach.
    known : values (k,) by place times spacing.
    """

    def __init__(self, evaluate: Values, theta: Array, reach: Array, unit: float, distance: float) -> None:
        self.known: dict[float, Array] = {}
        self._evaluate, self._theta, self._reach, self._unit = evaluate, theta, reach, unit
        self._distance = distance
        # of the last spacing: where the line begins, and one of its parts
        self._laid: tuple[float, Array, Array] | None = None

    def __call__(self, spacing: float, places: tuple[float, ...]) -> Array | None:
        """The values (p, k) at places with a spacing; None where the function is not finite."""
        if self._laid is None or self._laid[0] != spacing:
            self._laid = spacing, *steps_along(self._theta, self._reach, spacing, self._unit, self._distance)
        _, beside, part = self._laid
        missing = [place for place in places if place * spacing not in self.known]
        together = max(1, TOGETHER // self._theta.size)
        for some in (missing[k : k + together] for k in range(0, len(missing), together)):
            found = self._evaluate(on_line(self._theta, beside, part, some))
            if not np.isfinite(found).all():
                return None
            self.known.update(zip((place * spacing for place in some), found, strict=True))
        return np.stack([self.known[place * spacing] for place in places])


def steps_along(
    theta: Array, reach: Array, spacing: float, unit: float, distance: float = BESIDE
) -> tuple[Array, Array]:
    """Where a line begins, as seen from theta, and one of the PARTS of its spacing; (size,) both.

    They are whole spacings of the numbers, so that every point is exact: rounding a point would move the loss.
    """
    size = np.abs(theta.astype(np.float64)) + 2 * max(distance, PLACES[-1] * spacing) * np.abs(reach)
    grid = np.where(size > 0, np.ldexp(2 * unit, np.frexp(size)[1] - 1), 1.0)

    def exactly(t: Array, odd: bool) -> Array:
        spacings = np.maximum(np.rint(np.abs(t) / grid), 1.0)
        return np.where(reach != 0, np.copysign((spacings + (odd & (spacings % 2 == 0))) * grid, reach), 0.0)

    # an odd number of spacings in each part: the last bits of the points differ
    return exactly(distance * reach, odd=False), exactly(spacing / PARTS * reach, odd=True)


def on_line(theta: Array, beside: Array, part: Array, places: Sequence[float]) -> Array:
    """The points (p, size) at places of a line."""
    parts = np.array([round(place * PARTS) for place in places], dtype=theta.dtype)
    return theta + (beside.astype(theta.dtype) + parts[:, None] * part.astype(theta.dtype))


def directions(theta: Array, low: Array, high: Array, span: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Directions (size,) of entries in [-1, 1] along which a line from theta may lie inside a domain, the best ones first.

    span : (size,) how far the line reaches for an entry 1.  low, high : (size,) limits that no point may leave.
    First random signs; then away from 0, up, down, towards 0, for the edge of a domain; then single weights.
    """
    size = rng.uniform(0.5, 1.0, theta.shape)
    single = rng.permutation(theta.size)[:SINGLE].tolist()
    for signs in _signs(theta, rng.choice([-1.0, 1.0], theta.shape), single):
        room = np.where(signs > 0, high - theta, theta - low)
        other = np.where(signs > 0, theta - low, high - theta)
        turned = np.where(room >= span, signs, np.where(other >= span, -signs, 0.0))
        yield turned * size


def _signs(theta: Array, drawn: Array, single: Sequence[int]) -> Iterator[Array]:
    """Signs (size,) of directions, the best ones first: nearly always the first ones do, so that the others are not made."""
    yield drawn
    away, up = np.where(theta < 0, -1.0, 1.0), np.ones(theta.shape)
    yield away
    yield up
    yield -up
    yield -away
    for i in single:
        for sign in (1.0, -1.0):
            yield np.where(np.arange(theta.size) == i, sign, 0.0)
