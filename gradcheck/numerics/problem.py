"""What is checked, as values: a loss around theta and the gradient claimed for it; losses near theta, and kinks in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.layout import Layout
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray
# of (index, points): losses with theta[index[r]] replaced by points[r, c], and how far kinks may have bent them; both (m, k)
Losses = Callable[[Array, Array], tuple[Array, Array]]


class Crossings(NamedTuple):
    """Kinks near theta along some weights, one entry each, in no order.

    row : which of the weights, intp.
    distance : the step at which it is crossed, to first order, on either side of theta, >= 0, float64.
    jump : by how much the derivative by that weight changes there, >= 0, float64.
    """

    row: Array
    distance: Array
    jump: Array


class Evaluations(NamedTuple):
    """Losses at perturbed weights, in the dtype, and how far kinks may have bent them, float64; both (m, k) or (m, s, k)."""

    losses: Array
    deviations: Array


@dataclass(frozen=True, eq=False)
class Problem:
    """A loss around theta and the gradient that is claimed for it.

    loss : the loss at a theta, for complex arguments too.
    perturbed : loss at a perturbed theta, and how far kinks may have bent it there; or
    perturbed_losses : both for many points at once, theta[index[r]] replaced by points[r, c], complex ones too.
    rounding_at : ``rounding`` at another theta.
    crossings : the kinks that steps along some weights cross; None where there are none, or the loss cannot tell.
    correct : the gradient before the bug; None where it is not known.
    opaque : a function that says nothing of its kinks and its scale; both are measured.
    relative_noise : that of the loss by which steps are chosen, where it is not to be this loss's own.
    low, high : (size,) the domain, outside which the loss is not evaluated; None for none.
    """

    layout: Layout
    theta: Array
    loss: Callable[[Array], Array]
    analytic: Array
    correct: Array | None
    rounding: Rounding
    perturbed: Callable[[Array], tuple[Array, float]] | None = None
    perturbed_losses: Losses | None = None
    rounding_at: Callable[[Array], Rounding] | None = None
    crossings: Callable[[Array, Array], Crossings] | None = None
    kinked: bool = False
    opaque: bool = False
    relative_noise: float | None = None
    low: Array | None = None
    high: Array | None = None
    n: int | None = None
    n_classes: int | None = None

    @cached_property
    def center(self) -> Array:
        """The loss at theta."""
        return self.loss(self.theta)
