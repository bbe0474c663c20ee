"""Finite-difference schemes as values, the steps that are really taken, and the plain loop over the weights.

A scheme is a weighted sum of difference quotients between pairs of points, each divided by the distance really stepped:
sum_j c_j (f(x + b_j h) - f(x + a_j h)) / ((x + b_j h) - (x + a_j h)).  Forward, central, the five-point formula and
Richardson's extrapolation differ in their pairs (a_j, b_j, c_j) only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

Array = np.ndarray
Loss = Callable[[Array], Array]

# At how many distances from theta eps=auto evaluates; on both sides this takes 16 evaluations.
DISTANCES = 8
# The ladder of eps=auto begins at most this factor below the step that the noise and the scale suggest.
BELOW_OPTIMUM = 16.0


class Pair(NamedTuple):
    """One difference quotient: from ``low`` to ``high``, in units of the step, with its weight."""

    low: float
    high: float
    weight: Fraction


@dataclass(frozen=True)
class Scheme:
    """A finite-difference formula for the first derivative, and the steps at which its truncation is measured.

    order : power p of the leading truncation error, O(h**p).
    complex_valued : True for the complex step, Im f(x + i h) / h, which subtracts nothing and has no pairs.
    ratio : of two steps whose difference shows the truncation: the second anchor over the first, and each rung of eps=auto's
        ladder over the one below it.  From one to the other the truncation grows by ratio**order.
    gain : the first anchor over the step at which noise equals truncation for the assumed scale of the loss.  The true scale is
        mostly larger, so gain lies above 1 where the truncation allows it.
    embedded : a formula of lower order from some of the same points.  Their difference shows the truncation of a single step.
    """

    name: str
    pairs: tuple[Pair, ...]
    order: int
    complex_valued: bool = False
    ratio: float = 2.0
    gain: float = 1.0
    embedded: Scheme | None = None

    def __post_init__(self) -> None:
        if self.pairs and self.rungs(DISTANCES) < 2:
            raise ValueError(
                f"{self.name}: two of its steps have points at more than {DISTANCES} distances from theta, which is all that "
                "eps=auto evaluates: take fewer points"
            )

    @cached_property
    def offsets(self) -> tuple[float, ...]:
        """The points of the formula in units of the step, without 0, ascending."""
        return tuple(sorted({o for pair in self.pairs for o in (pair.low, pair.high)} - {0.0}))

    @cached_property
    def amplification(self) -> float:
        """sum_j abs(c_j): the largest factor by which the formula enlarges errors of its quotients that are equal in size."""
        return float(sum(abs(pair.weight) for pair in self.pairs))

    @cached_property
    def second_term(self) -> float:
        """The factor of h**(order + 2) f_n / n!, n = order + 3, the second term of the truncation of a symmetric formula."""
        return float(abs(sum(pair.weight * Fraction(pair.high) ** (self.order + 2) for pair in self.pairs)))

    @property
    def evaluations(self) -> int:
        """Evaluations of the loss for one weight, without the one at theta, which all weights share."""
        return 1 if self.complex_valued else len(self.offsets)

    @cached_property
    def distances(self) -> frozenset[float]:
        """The distances of the points from theta, in units of the step, without 0."""
        return frozenset(abs(o) for o in self.offsets)

    def rungs(self, distances: int) -> int:
        """The number of rungs, each ``ratio`` times the one below, whose points lie at no more than so many distances."""
        count, seen = 0, set(self.distances)
        while 0 < len(seen) <= distances:
            count += 1
            seen |= {d * self.ratio**count for d in self.distances}
        return count

    @cached_property
    def below(self) -> float:
        """The step at which noise equals truncation over the lowest rung, so that the ladder reaches above that step."""
        return min(BELOW_OPTIMUM, self.ratio ** (self.rungs(DISTANCES) - 1) / 2)


def symmetric(name: str, *reaches: float, ratio: float = 2.0, gain: float = 1.0) -> Scheme:
    """Central quotients over each of the reaches, in units of the step, weighted so that h**2, h**4, ... cancel.

    Richardson (1911): a central quotient over s h is a series in (s h)**2, which the weights extrapolate to 0.  With three
    reaches or more, the formula without the widest one is embedded.
    """
    squares = [Fraction(s) ** 2 for s in reaches]
    pairs = tuple(Pair(-s, s, weight) for s, weight in zip(reaches, _to_zero(squares), strict=True))
    rest = sorted(reaches)[:-1]
    embedded = symmetric(f"{name}_embedded", *(s for s in reaches if s in rest)) if len(rest) > 1 else None
    return Scheme(name, pairs, 2 * len(pairs), ratio=ratio, gain=gain, embedded=embedded)


def one_sided(name: str, *reaches: float) -> Scheme:
    """Quotients between theta and theta + reach h, all reaches of one sign, weighted so that h, h**2, ... cancel."""
    weights = _to_zero([Fraction(s) for s in reaches])
    pairs = tuple(Pair(min(s, 0), max(s, 0), weight) for s, weight in zip(reaches, weights, strict=True))
    return Scheme(name, pairs, len(pairs))


def _to_zero(at: list[Fraction]) -> list[Fraction]:
    """Lagrange's weights, which extrapolate a polynomial from its values at these points to 0."""
    if len({*at, 0}) <= len(at):
        raise ValueError(f"{', '.join(map(str, at))}: must be different points, none of them 0")
    return [math.prod((t / (t - s) for t in at if t != s), start=Fraction(1)) for s in at]


# what users type, as a type; a test holds it equal to the names in the table
SchemeName = Literal["central", "forward", "backward", "five_point", "seven_point", "richardson", "complex_step"]
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        symmetric("central", 1, ratio=4.0, gain=4.0),
        one_sided("forward", 1),
        one_sided("backward", -1),
        # (8 f(h) - 8 f(-h) - f(2h) + f(-2h)) / 12 h, Abramowitz and Stegun 25.3.6
        symmetric("five_point", 1, 2, gain=2.0),
        # (45 f(h) - 45 f(-h) - 9 f(2h) + 9 f(-2h) + f(3h) - f(-3h)) / 60 h, Fornberg, Math. Comp. 51 (1988), table 1
        symmetric("seven_point", 1, 2, 3),
        symmetric("richardson", 1, 0.5, 0.25),
        # Squire and Trapp, SIAM Review 40 (1998)
        Scheme("complex_step", (), 2, complex_valued=True),
    )
}


def perturbed_weights(theta: Array, h: Array, offsets: tuple[float, ...]) -> Array:
    """theta_i + o h_i for each offset o, in theta's dtype; (m, k) for m weights and k offsets, or (m, s, k) for h (m, s)."""
    return theta[..., None] + (h[..., None] * np.asarray(offsets, dtype=np.float64)).astype(theta.dtype)


def representable_step(theta: Array, h: Array) -> Array:
    """The step nearest to ``h`` for which theta + h, away from 0, is a number of the dtype; (m,), theta's dtype.

    The point farther from 0 has the coarser spacing.  So for h <= abs(theta) the point on the other side is a number of the
    dtype too, and both lie symmetrically; for larger h, up to one rounding of each.  0 where h is too small to change theta.
    """
    away = np.where(theta < 0, -1, 1).astype(theta.dtype)
    return np.abs((theta + away * h.astype(theta.dtype)) - theta)


def difference_quotient(scheme: Scheme, theta: Array, points: Array, losses: Array, center: Array) -> Array:
    """The scheme's derivative for m weights, in the dtype of the losses.

    theta : (m,) the weights.   points, losses : (m, k) perturbed values and the losses there, in the order of
    ``scheme.offsets``.   center : the loss at theta.
    For s steps of each weight the points are (m, s, k) and theta (m, 1).  A quotient over a step of 0 is NaN.
    """
    at = {o: (points[..., j], losses[..., j]) for j, o in enumerate(scheme.offsets)}
    at[0.0] = (theta, center)
    total = np.zeros(losses.shape[:-1], dtype=losses.dtype)
    with np.errstate(all="ignore"):
        for low, high, weight in scheme.pairs:
            (x0, f0), (x1, f1) = at[low], at[high]
            # multiply by the numerator and divide by the denominator: 1/3 as a float64 is inexact in longdouble
            total += weight.numerator * ((f1 - f0) / (x1 - x0)) / weight.denominator
    return total


def losses_at(loss: Loss, theta: Array, index: Array, points: Array) -> Array:
    """The plain loop: losses with theta[index[r]] replaced by points[r, c]; (m, k), theta's dtype.

    A perturbed weight is restored by assignment, since subtracting the step would round.
    """
    out = np.empty(points.shape, dtype=np.result_type(theta.dtype, points.dtype))
    point = theta.astype(out.dtype)
    for r, i in enumerate(index):
        kept = point[i]
        for c in range(points.shape[1]):
            point[i] = points[r, c]
            out[r, c] = loss(point)
        point[i] = kept
    return out


def textbook_gradient(loss: Loss, theta: Array, epsilon: float) -> Array:
    """(J(theta + epsilon e_i) - J(theta - epsilon e_i)) / (2 epsilon), as courses publish it; (size,), theta's dtype.

    It divides by 2 epsilon, not by the step really taken.
    """
    points = np.stack([theta + epsilon, theta - epsilon], axis=1)
    losses = losses_at(loss, theta, np.arange(theta.size), points)
    return (losses[:, 0] - losses[:, 1]) / (2 * epsilon)
