"""Mistakes inside the backward pass: each overrides the step in which people make it.

Layers count from 1 at the input to L; delta_l is the derivative of the data term by z_l, one row an example.
"""

import numpy as np

from gradcheck.bugs.base import (
    Array,
    BackwardBug,
    bias_needed,
    biases,
    hidden_needed,
    layer_of,
    layers_needed,
    mean_needed,
    steps_needed,
    weights,
)
from gradcheck.models.activations import Activation
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import Parts
from gradcheck.models.target import Classes
from gradcheck.numerics.layout import Layout

# --- the mean over the examples ---------------------------------------------------------------------------------------


class MissingMean(BackwardBug):
    """1/n forgotten: the sum over the examples where their mean is due."""

    name = "missing_mean"
    needs = (steps_needed, mean_needed)

    def mean(self, total: Array, n: int) -> Array:
        return total


class DoubleMean(BackwardBug):
    """Divided by n twice: once in delta, once more in the product."""

    name = "double_mean"
    needs = (steps_needed, mean_needed)

    def mean(self, total: Array, n: int) -> Array:
        return total / n / n


# --- the gradients of a layer -----------------------------------------------------------------------------------------


class Transposed(BackwardBug):
    """delta_l^T a_{l-1} for a_{l-1}^T delta_l, read row by row into the shape of W_l."""

    name = "transposed"
    uses = ("param",)
    needs = (steps_needed, layers_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def weight(self, gradient: Array, layer: int) -> Array:
        return gradient.T.reshape(gradient.shape) if self.hits(layer) else gradient


class DroppedBias(BackwardBug):
    """db_l never computed: left at zero."""

    name = "dropped_bias"
    uses = ("param",)
    needs = (steps_needed, bias_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return biases(layout)

    def bias(self, gradient: Array, layer: int) -> Array:
        return np.zeros_like(gradient) if self.hits(layer) else gradient


def _second_layer_needed(model: Model) -> str | None:
    return model.lacks.hidden and "has no second layer"


class CoursePair(BackwardBug):
    """The two mistakes planted in a well-known course exercise: dW2 times 2, db1 times 4."""

    name = "course_pair"
    needs = (steps_needed, _second_layer_needed, bias_needed)

    def weight(self, gradient: Array, layer: int) -> Array:
        return 2 * gradient if layer == 2 else gradient

    def bias(self, gradient: Array, layer: int) -> Array:
        return 4 * gradient if layer == 1 else gradient


class DoubleCount(BackwardBug):
    """The gradient buffer is not cleared between two passes: the data term is added to itself."""

    name = "double_count"
    needs = (steps_needed,)

    def data_term(self, gradient: Array) -> Array:
        return gradient + gradient


# --- the penalty ------------------------------------------------------------------------------------------------------


class MissingL2(BackwardBug):
    """The loss has the penalty l2/2 sum(W**2), the gradient has not."""

    name = "missing_l2"
    uses = ("param",)
    needs = (steps_needed,)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        if self.param in (None, name):
            return np.zeros_like(values)
        return super().penalty(name, values, l2)


class DoubleL2(BackwardBug):
    """2 l2 W for l2 W: the derivative of l2 sum(W**2), where the loss has l2/2 sum(W**2)."""

    name = "double_l2"
    uses = ("param",)
    needs = (steps_needed,)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        right = super().penalty(name, values, l2)
        return 2 * right if self.param in (None, name) else right


class L2OnBias(BackwardBug):
    """l2 b added to db, though the loss does not penalise b."""

    name = "l2_on_bias"
    uses = ("param",)
    needs = (steps_needed, bias_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return biases(layout)

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        if name.startswith("b") and self.param in (None, name):
            return l2 * values
        return super().penalty(name, values, l2)


# --- the output layer -------------------------------------------------------------------------------------------------


class _MeanTarget(Parts):
    def residual(self, outputs: Array, y: Array) -> Array:
        # (n, 1) minus (n,) is (n, n) with entries a_i - y_j; averaged over j it fits again
        return outputs - y.mean(axis=0)


class _BatchNormaliser(Parts):
    def probabilities(self, z: Array) -> Array:
        # the shift by the largest of all logits cancels and keeps exp from overflowing
        e = np.exp(z - z.max())
        return e / e.sum()


class Broadcast(BackwardBug):
    """Shapes that broadcast or reduce without complaint: a_i - mean(y) for a_i - y_i; softmax over the whole batch."""

    name = "broadcast"
    needs = (steps_needed, layers_needed)

    def steps(self, model: Model, theta: Array, batch: Batch) -> Parts:
        return _BatchNormaliser() if isinstance(model.target, Classes) else _MeanTarget()


def _output_derivative_needed(model: Model) -> str | None:
    return model.lacks.output_derivative


class MissingOutputDerivative(BackwardBug):
    """delta_L = o - y for (o - y) o (1 - o): the delta of cross-entropy under a squared error."""

    name = "missing_output_derivative"
    needs = (steps_needed, _output_derivative_needed)

    def output_derivative(self, o: Array) -> Array:
        return np.ones_like(o)


# --- the hidden layers ------------------------------------------------------------------------------------------------


class HiddenBug(BackwardBug):
    """A mistake on the way down through the hidden layers; ``param`` names a hidden layer by its weights."""

    uses = ("param",)
    needs = (steps_needed, hidden_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)[:-1]


class MissingActivationDerivative(HiddenBug):
    """delta_l = delta_{l+1} W_{l+1}^T, without the factor g'(z_l)."""

    name = "missing_activation_derivative"

    def activation_derivative(self, activation: Activation, z: Array, a: Array, layer: int) -> Array:
        return np.ones_like(z) if self.hits(layer) else super().activation_derivative(activation, z, a, layer)


class ActivationDerivativeAtOutput(HiddenBug):
    """g'(a_l) for g'(z_l): the derivative's function is given the unit's output where it expects its input."""

    name = "activation_derivative_at_output"

    def activation_derivative(self, activation: Activation, z: Array, a: Array, layer: int) -> Array:
        return super().activation_derivative(activation, a if self.hits(layer) else z, a, layer)


class DetachedLayer(HiddenBug):
    """Nothing flows below a layer: delta_l = 0 for layer ``param`` and all below; null is the last hidden layer."""

    name = "detached_layer"

    def hits(self, layer: int) -> bool:
        return True if self.param is None else layer <= layer_of(self.param)

    def below(self, delta: Array, layer: int) -> Array:
        return np.zeros_like(delta) if self.hits(layer) else delta
