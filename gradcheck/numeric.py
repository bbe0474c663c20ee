"""Finite differences: schemes as values, the steps that are really taken, the loop over the weights.

A scheme is a weighted sum of difference quotients between pairs of points, each divided by the distance that was really
stepped: sum_j c_j (f(x + b_j h) - f(x + a_j h)) / ((x + b_j h) - (x + a_j h)).  Forward, central, the five-point formula
and Richardson's extrapolation differ in their pairs (a_j, b_j, c_j) alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Loss = Callable[[Array], Array]


class Pair(NamedTuple):
    """One difference quotient: from ``low`` to ``high``, in units of the step, with its weight."""

    low: float
    high: float
    weight: Fraction


@dataclass(frozen=True)
class Scheme:
    """A finite-difference formula for the first derivative.

    order : power p of the leading truncation error, O(h**p).
    complex_valued : the complex step, Im f(x + i h) / h, which subtracts nothing and has no pairs.
    """

    name: str
    pairs: tuple[Pair, ...]
    order: int
    complex_valued: bool = False

    @cached_property
    def offsets(self) -> tuple[float, ...]:
        """The points of the formula in units of the step, without 0, ascending."""
        return tuple(sorted({o for pair in self.pairs for o in (pair.low, pair.high)} - {0.0}))

    @cached_property
    def amplification(self) -> float:
        """sum_j |c_j|: by how much the formula can enlarge an error that all its quotients share."""
        return float(sum(abs(pair.weight) for pair in self.pairs))

    @property
    def evaluations(self) -> int:
        """Evaluations of the loss for one weight, that at theta itself (which all share) not counted."""
        return 1 if self.complex_valued else len(self.offsets)


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("central", (Pair(-1, 1, Fraction(1)),), 2),
        Scheme("forward", (Pair(0, 1, Fraction(1)),), 1),
        Scheme("backward", (Pair(-1, 0, Fraction(1)),), 1),
        # (8 f(h) - 8 f(-h) - f(2h) + f(-2h)) / 12 h, Abramowitz and Stegun 25.3.6
        Scheme("five_point", (Pair(-1, 1, Fraction(4, 3)), Pair(-2, 2, Fraction(-1, 3))), 4),
        # Richardson (1911): central quotients at h, h / 2, h / 4 with weights that cancel h**2 and h**4
        Scheme("richardson", tuple(Pair(-s, s, Fraction(w, 45)) for s, w in ((1, 1), (0.5, -20), (0.25, 64))), 6),
        # Squire and Trapp, SIAM Review 40 (1998)
        Scheme("complex_step", (), 2, complex_valued=True),
    )
}

# the formula that Richardson's extrapolation improves at its last step, from the same points: central quotients at h / 2, h / 4
EMBEDDED: dict[str, Scheme] = {
    "richardson": Scheme("richardson_fourth", (Pair(-0.5, 0.5, Fraction(-1, 3)), Pair(-0.25, 0.25, Fraction(4, 3))), 4),
}

# three points on one side of theta, (-3 f(0) + 4 f(h) - f(2h)) / 2h: for the edge of a domain
ONE_SIDED: tuple[Scheme, ...] = (
    Scheme("forward_parabola", (Pair(0, 1, Fraction(2)), Pair(0, 2, Fraction(-1))), 2),
    Scheme("backward_parabola", (Pair(-1, 0, Fraction(2)), Pair(-2, 0, Fraction(-1))), 2),
)


def perturbed_weights(theta: Array, h: Array, offsets: tuple[float, ...]) -> Array:
    """theta_i + o h_i for each offset o, in theta's dtype; (m, k) for m weights and k offsets, or (m, s, k) for h (m, s)."""
    return theta[..., None] + (h[..., None] * np.asarray(offsets, dtype=np.float64)).astype(theta.dtype)


def representable_step(theta: Array, h: Array) -> Array:
    """The step nearest to ``h`` for which theta + h is a number of the dtype, stepping away from 0; (m,), theta's dtype.

    The point farther from 0 has the coarser spacing, so for h <= |theta| the point on the other side is a number too, and
    the two lie symmetrically; above, they do so up to one rounding of each.  0 where the step is too small to change theta.
    """
    away = np.where(theta < 0, -1, 1).astype(theta.dtype)
    return np.abs((theta + away * h.astype(theta.dtype)) - theta)


def difference_quotient(scheme: Scheme, theta: Array, points: Array, losses: Array, center: Array) -> Array:
    """The scheme's derivative for m weights, in the dtype of the losses.

    theta (m,): the weights; points, losses (m, k): their perturbed values and the losses there, in the order of
    ``scheme.offsets``; center: the loss at theta.  A quotient over an empty step is NaN.  For s steps of each weight the
    points are (m, s, k) and theta (m, 1).
    """
    at = {o: (points[..., j], losses[..., j]) for j, o in enumerate(scheme.offsets)}
    at[0.0] = (theta, center)
    total = np.zeros(losses.shape[:-1], dtype=losses.dtype)
    with np.errstate(all="ignore"):
        for low, high, weight in scheme.pairs:
            (x0, f0), (x1, f1) = at[low], at[high]
            # times the numerator, over the denominator: 1/3 as a float64 would cost longdouble its last digits
            total += weight.numerator * ((f1 - f0) / (x1 - x0)) / weight.denominator
    return total


def losses_at(loss: Loss, theta: Array, index: Array, points: Array) -> Array:
    """The plain loop: loss with theta[index[r]] replaced by points[r, c]; (m, k), theta's dtype.

    A perturbed weight is restored by assignment, never by subtracting the step again.
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


def complex_step(loss: Loss, theta: Array, index: Array, h: Array) -> Array:
    """Im loss(theta + i h e_j) / h for each weight of ``index``; (m,), theta's dtype."""
    points = theta[index] + 1j * h.astype(theta.dtype)
    return losses_at(loss, theta, index, points[:, None])[:, 0].imag / h.astype(theta.dtype)


def textbook_gradient(loss: Loss, theta: Array, epsilon: float) -> Array:
    """(J(theta + epsilon e_i) - J(theta - epsilon e_i)) / (2 epsilon), as courses publish it; (size,), theta's dtype.

    Divides by 2 epsilon, not by the step that was really taken.
    """
    points = np.stack([theta + epsilon, theta - epsilon], axis=1)
    losses = losses_at(loss, theta, np.arange(theta.size), points)
    return (losses[:, 0] - losses[:, 1]) / (2 * epsilon)
