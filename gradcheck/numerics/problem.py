"""The problem that is checked, as values: a loss around theta with the gradient claimed for it, losses, and kinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from gradcheck.numerics.layout import Layout
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray
# A function of (index, points).  It returns the losses with theta[index[r]] replaced by points[r, c], and how far kinks may
# have bent each of them; both (m, k).
Losses = Callable[[Array, Array], tuple[Array, Array]]


class Crossings(NamedTuple):
    """Kinks near theta along some weights: one entry for each kink, in no order.

    row : the weight's position among these weights, intp.
    distance : the step that reaches the kink, to first order; >= 0, float64.
    jump : by how much the derivative with respect to that weight changes there; >= 0, float64.
    side : 1.0 where steps upwards cross the kink, -1.0 where steps downwards do, 0.0 where both do; float64.
    """

    row: Array
    distance: Array
    jump: Array
    side: Array

    def where(self, which: Array) -> Crossings:
        """The kinks along the weights ``which`` (bool) alone."""
        kept = which[self.row]
        rest = (column[kept] for column in self[1:])
        return Crossings((np.cumsum(which) - 1)[self.row[kept]], *rest)

    @classmethod
    def none(cls) -> Crossings:
        """No kink."""
        return cls(np.empty(0, np.intp), np.empty(0), np.empty(0), np.empty(0))

    @classmethod
    def joined(cls, parts: Iterable[Crossings]) -> Crossings:
        """The kinks of all parts, whose rows count the same weights."""
        return cls(*(np.concatenate(columns) for columns in zip(cls.none(), *parts, strict=True)))


class Evaluations(NamedTuple):
    """Losses at perturbed weights, in the dtype, and how far kinks may have bent them, float64; both (m, k) or (m, s, k)."""

    losses: Array
    deviations: Array


class Neighbours(Protocol):
    """Problems of one shape that were posed together."""

    def losses(self, which: Array, points: Array) -> Array | None:
        """What ``Problem.perturbed_losses`` of the problems ``which`` (q,) gives where all their weights are replaced, one at a
        time, by points (q, size, k); (q, size, k).  None where it is not known that no kink is crossed, or in no other way.
        """


@dataclass(frozen=True, eq=False)
class Measured:
    """A loss without an error analysis of its own: its noise, scale and kinks are measured.

    degrees : degrees of freedom with which the noise in ``Problem.rounding`` is known.
    gradient_at : the claimed gradient at another theta, NaN where there is none; None where it cannot be had.
    level : size of the loss where its noise was measured.   power : the power of its size with which the noise grows.
    follows_dtype : whether loss and gradient_at compute in the dtype of the theta they are given: longdouble gives more digits.
    """

    degrees: float
    gradient_at: Callable[[Array], Array] | None = None
    level: float = math.inf
    power: float = 0.5
    follows_dtype: bool = False


@dataclass(frozen=True, eq=False)
class Problem:
    """A loss around theta and the gradient that is claimed for it.

    loss : the loss at a theta, which may be complex.   analytic : the claimed gradient.
    losses : ``loss`` at each of several thetas (b, size), in fewer operations, the same but for rounding; None where there is
        no such way.
    correct : the gradient before the bug; None where it is not known.
    perturbed_losses : the losses at many points at once, which may be complex, and how far kinks may have bent each.  ``loss``
        is the definition; where this is None, it is called at one point after the other, and no kink is known.
    rounding : the rounding errors at theta.   rounding_at : those at another theta; None where they are not known.
    crossings : the kinks that steps along some weights cross; None where there are none, or the loss does not know them.
    kinked : whether the loss has kinks of its own, beside the limits of clipped probabilities.
    measured : what is known of a loss without an error analysis; None where the loss knows its noise, scale and kinks.
    relative_noise : use this instead of the loss's own relative noise when choosing steps (outputs of one function share their
        steps).
    low, high : (size,) the domain, outside which the loss is not evaluated; None for none.
    n, n_classes : the numbers of examples and of classes; None where there are none.
    at_theta : the loss at theta, where it is known.
    neighbours : problems that were posed together with this one, and which of them it is.
    """

    layout: Layout
    theta: Array
    loss: Callable[[Array], Array]
    analytic: Array
    correct: Array | None
    rounding: Rounding
    perturbed_losses: Losses | None = None
    losses: Callable[[Array], Array] | None = None
    rounding_at: Callable[[Array], Rounding] | None = None
    crossings: Callable[[Array, Array], Crossings] | None = None
    kinked: bool = False
    measured: Measured | None = None
    relative_noise: float | None = None
    low: Array | None = None
    high: Array | None = None
    n: int | None = None
    n_classes: int | None = None
    at_theta: Array | None = None
    neighbours: tuple[Neighbours, int] | None = None

    @cached_property
    def center(self) -> Array:
        """The loss at theta."""
        return self.loss(self.theta) if self.at_theta is None else self.at_theta
