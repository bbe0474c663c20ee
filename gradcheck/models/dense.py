"""The models that are a net of dense layers: a subclass is a dataclass of settings, and says which net they make."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from gradcheck.batch import Batch
from gradcheck.layout import Layout
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.net import Net
from gradcheck.models.parts import TEXTBOOK, Parts
from gradcheck.models.perturbation import Perturbation
from gradcheck.models.rounding import dense_rounding
from gradcheck.models.settings import require_choice, require_not_negative
from gradcheck.rounding import Rounding

Array = np.ndarray


class Dense(ABC):
    """Base of the dense models; the subclasses are dataclasses with the fields ``bias`` and ``l2`` at least."""

    bias: bool
    l2: float

    @property
    @abstractmethod
    def net(self) -> Net:
        """The layers and the head that the settings make."""

    @property
    def smooth(self) -> bool:
        """Whether the loss can be continued into the complex plane: no kinked activation in a hidden layer."""
        return not self.net.kinked

    @property
    def averaged(self) -> bool:
        """Whether the loss is divided by the number of examples."""
        return self.net.averaged

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias parameter."""
        return self.bias

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.net.hidden)

    def validate(self) -> None:
        """Raise ValueError, naming the key, unless every setting has an allowed value."""
        require_not_negative("model.l2", self.l2)

    def outputs(self, batch: Batch) -> int:
        """Number of outputs of the last layer."""
        return self.net.head.outputs(batch.y)

    def layout(self, batch: Batch) -> Layout:
        """Names and shapes of the parameters for this batch."""
        return self.net.layout(batch)

    def loss(self, theta: Array, batch: Batch) -> Array:
        """The loss at the flat ``theta``; scalar of theta's dtype."""
        return self.net.loss(theta, batch)

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        """The textbook gradient of ``loss``, flat, in theta's dtype, made of ``parts``."""
        return self.net.gradient(theta, batch, parts)

    def rounding(self, theta: Array, batch: Batch) -> Rounding:
        """Rounding errors of ``loss`` and ``gradient`` at ``theta``, from a forward error analysis."""
        return dense_rounding(self.net, theta, batch)

    def perturbation(self, theta: Array, batch: Batch) -> Perturbation:
        """The losses near ``theta``, from what one forward pass leaves to be computed."""
        return Perturbation(self.net, theta, batch)


def require_layers(layers: list[int]) -> None:
    """Raise ValueError unless every width is a positive whole number."""
    for width in layers:
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"model.layers={list(layers)}: every width must be a whole number >= 1")


def require_activation(name: str) -> None:
    """Raise ValueError unless the activation is known."""
    require_choice("model.activation", name, tuple(ACTIVATIONS))
