"""The models that are a net of dense layers: a subclass is a dataclass of settings, and says which net they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import numpy as np

from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.analysed import Along
from gradcheck.models.batch import Batch
from gradcheck.models.fast.noise import BY_STRUCTURE
from gradcheck.models.fast.perturbation import Perturbation
from gradcheck.models.fast.stacks import StackOfNets
from gradcheck.models.handwritten import Around, Handwritten
from gradcheck.models.in_full import NetInFull
from gradcheck.models.interfaces import Lacks
from gradcheck.models.net import Net
from gradcheck.models.parts import TEXTBOOK, Parts
from gradcheck.models.rounding import dense_rounding, dense_roundings
from gradcheck.models.settings import require_choice, require_not_negative, require_rows
from gradcheck.models.symbols import Equations, Symbols
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Neighbours, Problem
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray


class Fast(NamedTuple):
    """A fast way to a net's losses near a theta, and what its rounding errors along a weight are.

    together : the same losses of several nets, whose thetas and examples are stacked; None for no such way.
    """

    around: Callable[[Net, Array, Batch], Around]
    along: Along
    together: Callable[[Net, Array, Batch], Neighbours] | None = None


class Dense(Handwritten):
    """Base of the dense models; the subclasses are dataclasses with the fields ``bias`` and ``l2`` at least.

    The slow way is the definition: with ``fast`` None every loss is computed in full, and without ``models.fast`` all holds.
    """

    bias: bool
    l2: float
    fast: ClassVar[Fast | None] = Fast(Perturbation, BY_STRUCTURE, StackOfNets)

    choices: ClassVar[Mapping[str, Sequence[object]]] = {"bias": (True, False)}

    @property
    @abstractmethod
    def net(self) -> Net:
        """The layers and the head that the settings make."""

    @property
    def kink(self) -> str | None:
        net = self.net
        return net.activation.name if net.kinked else None

    @property
    def lacks(self) -> Lacks:
        net = self.net
        return Lacks(
            examples=None,
            mean=None if net.averaged else "has no mean over the examples",
            bias=None if net.bias else "has no bias (model.bias=false)",
            hidden=None if net.hidden else "has no hidden layer",
        )

    @property
    def averaged(self) -> bool:
        """Whether the loss is divided by the number of examples."""
        return self.net.averaged

    def validate(self) -> None:
        require_not_negative("model.l2", self.l2)

    def layout(self, batch: Batch) -> Layout:
        require_rows(self.name, batch.X.shape[1:])
        return self.net.layout(batch)

    def loss(self, theta: Array, batch: Batch) -> Array:
        return self.net.loss(theta, batch)

    def losses(self, batch: Batch) -> Callable[[Array], Array]:
        net = self.net
        return lambda thetas: net.loss(thetas, batch)

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        return self.net.gradient(theta, batch, parts)

    def equations(self, symbols: Symbols) -> Equations:
        return self.net.equations(symbols)

    def pose_together(self, thetas: Sequence[Array], batches: Sequence[Batch]) -> list[Problem]:
        if len({(batch.X.shape, batch.y.shape, theta.shape) for theta, batch in zip(thetas, batches, strict=True)}) > 1:
            return super().pose_together(thetas, batches)
        net, stack = self.net, np.stack(thetas)
        together = Batch(*(np.stack(columns) for columns in zip(*batches, strict=True)))
        gradients, losses = net.gradient(stack, together), net.loss(stack, together)
        roundings = dense_roundings(net, stack, together, self.fast and self.fast.along)
        each = zip(thetas, batches, gradients, roundings, losses, strict=True)
        found = [self.posed(*one) for one in each]
        if self.fast is None or self.fast.together is None:
            return found
        neighbours = self.fast.together(net, stack, together)
        return [replace(problem, neighbours=(neighbours, p)) for p, problem in enumerate(found)]

    def rounding(self, theta: Array, batch: Batch) -> Rounding:
        """Rounding errors of ``loss`` and ``gradient`` at ``theta``, from a forward error analysis."""
        return dense_rounding(self.net, theta, batch, self.fast and self.fast.along)

    def perturbation(self, theta: Array, batch: Batch) -> Around:
        """The losses near ``theta``: from what one forward pass leaves to be computed, or in full."""
        return (self.fast.around if self.fast else NetInFull)(self.net, theta, batch)


def require_layers(layers: list[int]) -> None:
    """Raise ValueError unless every width is a positive whole number."""
    for width in layers:
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"model.layers={list(layers)}: every width must be a whole number >= 1")


def require_activation(name: str) -> None:
    """Raise ValueError unless the activation is known."""
    require_choice("model.activation", name, tuple(ACTIVATIONS))
