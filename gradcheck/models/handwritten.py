"""Models whose loss and gradient are written by hand, and which know their own rounding errors and kinks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.in_full import InFull
from gradcheck.models.stepwise import Stepwise
from gradcheck.models.target import Classes
from gradcheck.numerics.problem import Crossings, Problem
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray


class Around(Protocol):
    """A loss around one theta."""

    def losses(self, index: Array, points: Array) -> tuple[Array, Array]:
        """Losses with theta[index[r]] replaced by points[r, c], and how far kinks may have bent them; both (m, k)."""

    def crossings(self, index: Array, reach: Array) -> Crossings:
        """The kinks that steps up to ``reach`` (m,) cross along the weights of ``index`` (m,)."""


class Handwritten(Stepwise):
    """A model with an error analysis, whose gradient is made of the steps of ``Parts``."""

    @abstractmethod
    def rounding(self, theta: Array, batch: Batch) -> Rounding:
        """Rounding errors of ``loss`` and ``gradient`` at ``theta``."""

    def perturbation(self, theta: Array, batch: Batch) -> Around:
        """The losses near ``theta``; here each in full, of a model without kinks."""
        return InFull(self.loss, theta, batch)

    def losses(self, batch: Batch) -> Callable[[Array], Array] | None:
        """``loss`` of several thetas (b, size) at once, (b,); None where there is no faster way than one after the other."""
        return None

    def pose(self, theta: Array, batch: Batch) -> Problem:
        return self.posed(theta, batch, self.gradient(theta, batch), self.rounding(theta, batch))

    def posed(
        self, theta: Array, batch: Batch, gradient: Array, rounding: Rounding, at_theta: Array | None = None
    ) -> Problem:
        """The problem at theta with the gradient, the rounding errors and, if it is known, the loss that were found there."""
        around = self.perturbation(theta, batch)
        layout = self.layout(batch)
        n = len(batch.X) or None
        return Problem(
            layout=layout,
            theta=theta,
            loss=lambda point: self.loss(point, batch),
            perturbed_losses=around.losses,
            losses=self.losses(batch),
            rounding_at=lambda point: self.rounding(point, batch),
            crossings=None if self.smooth else around.crossings,
            analytic=gradient,
            correct=gradient,
            rounding=rounding,
            kinked=not self.smooth,
            at_theta=at_theta,
            n=n,
            n_classes=layout.shapes[-1][-1] if n and isinstance(self.target, Classes) else None,
        )
