"""Mistakes on the way down through the hidden layers, l = L - 1 to 1, where delta_l is made from delta_{l+1}."""

import numpy as np

from gradcheck.bugs.base import (
    Array,
    BackwardBug,
    Bug,
    hidden_needed,
    steps_needed,
    texts,
    weights,
)
from gradcheck.models.activations import Activation
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import layer_of
from gradcheck.numerics.layout import Layout


class HiddenBug(BackwardBug):
    """A mistake on the way down through the hidden layers; ``param`` names a hidden layer by its weights."""

    needs = (steps_needed, hidden_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)[:-1]


class MissingActivationDerivative(HiddenBug):
    """delta is handed down without the derivative of the activation.

    The chain rule stops at the matrix: delta W^T is taken for the hidden layer's delta. No effect for the identity.
    """

    name = "missing_activation_derivative"
    kind = "activation_derivative"
    why = "right above a hidden layer, wrong from it down"
    formula = texts(activation_derivative="1")
    uses = texts(param="the weights of one hidden layer, such as W1 (null: every hidden layer)")

    def activation_derivative(self, activation: Activation, z: Array, a: Array, layer: int) -> Array:
        return np.ones_like(z) if self.hits(layer) else super().activation_derivative(activation, z, a, layer)


class ActivationDerivativeAtOutput(HiddenBug):
    """The derivative of the activation is taken at the unit's output.

    sigmoid_prime(a) where the function expects z: the forward pass kept a only. No effect for the identity and for
    relu, where both agree.
    """

    name = "activation_derivative_at_output"
    kind = "activation_derivative"
    why = "right above a hidden layer, wrong from it down"
    formula = texts(activation_derivative="g'({a})")
    uses = texts(param="the weights of one hidden layer, such as W1 (null: every hidden layer)")

    def activation_derivative(self, activation: Activation, z: Array, a: Array, layer: int) -> Array:
        return super().activation_derivative(activation, a if self.hits(layer) else z, a, layer)


class DetachedLayer(HiddenBug):
    """Nothing flows below a layer.

    A detach() or stop_gradient that was left in, a copy that breaks the graph, a loop over the layers that ends too
    early. The penalty is right. delta_l is 0 in this layer and in all below.
    """

    name = "detached_layer"
    kind = "detached"
    why = "the data term is 0 from a layer down"
    formula = texts(below="0")
    uses = texts(param="the weights of the highest layer that gets nothing, such as W1 (null: the last hidden one)")

    def hits(self, layer: int) -> bool:
        return True if self.param is None else layer <= layer_of(self.param)

    def below(self, delta: Array, layer: int) -> Array:
        return np.zeros_like(delta) if self.hits(layer) else delta


HIDDEN_BUGS: tuple[type[Bug], ...] = (
    MissingActivationDerivative,
    ActivationDerivativeAtOutput,
    DetachedLayer,
)
