"""The steps of a textbook backward pass, one method each.

A model writes its gradient in terms of these steps. A bug of the catalogue overrides one of them, so the mistake is made
inside the backward pass, where people make it, and every later step works with the wrong part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradcheck.models.functions import softmax
from gradcheck.models.image_steps import ImageSteps
from gradcheck.models.sequence_steps import SequenceSteps

if TYPE_CHECKING:
    from gradcheck.models.activations import Activation

Array = np.ndarray


class Parts(ImageSteps, SequenceSteps):
    """The correct steps; those of a dense net stand here.

    Shapes: n examples, k outputs, h units of a layer; layers count from 1 at the input.
    """

    def residual(self, outputs: Array, y: Array) -> Array:
        """Prediction minus target, (n, k); for softmax ``y`` is one-hot."""
        return outputs - y

    def probabilities(self, z: Array) -> Array:
        """Softmax over the classes of one example: exp(z_ik) / sum_l exp(z_il), (n, k)."""
        return softmax(z)

    def output_derivative(self, o: Array) -> Array:
        """Derivative o (1 - o) of the sigmoid output of a net with squared error, (n, k)."""
        return o * (1 - o)

    def examples(self, delta: Array) -> Array:
        """The output layer's delta of the examples that take part, (n, k), before the mean."""
        return delta

    def mean(self, total: Array, n: int) -> Array:
        """Average over the n examples: total / n."""
        return total / n

    def activation_derivative(self, activation: Activation, z: Array, a: Array, layer: int) -> Array:
        """g'(z) of hidden layer ``layer``, whose output is a = g(z), (n, h)."""
        return activation.derivative(z)

    def below(self, delta: Array, layer: int) -> Array:
        """What layer ``layer`` + 1 hands down to hidden layer ``layer``: delta W^T, (n, h)."""
        return delta

    def weight(self, gradient: Array, layer: int) -> Array:
        """dW of one layer, data term."""
        return gradient

    def bias(self, gradient: Array, layer: int) -> Array:
        """db of one layer, data term."""
        return gradient

    def data_term(self, gradient: Array) -> Array:
        """The whole data term of one parameter, before the penalty is added."""
        return gradient

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        """Gradient l2 W of the penalty l2 / 2 sum(W**2); zero for the biases ``b*``, which are not penalised."""
        return np.zeros_like(values) if name.startswith("b") else l2 * values


TEXTBOOK = Parts()


def layer_of(param: str) -> int:
    """The number at the end of a parameter's name: 2 of ``W2`` or ``gamma2``; 1 of ``W``, ``b``: the only layer."""
    digits = param[len(param.rstrip("0123456789")) :]
    return int(digits or 1)


def is_weight(param: str) -> bool:
    """Whether it is a matrix of weights, which is penalised: ``W``, ``W2``, ``Wq1``; not ``gamma1``, the scale of a norm."""
    return param.startswith("W")


def is_bias(param: str) -> bool:
    """Whether it is the bias of a layer: ``b``, ``b2``, ``bq1``; not ``beta1``, the shift of a norm."""
    return param.startswith("b") and not param.startswith("beta")
