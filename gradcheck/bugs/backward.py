"""Mistakes inside the backward pass: each overrides the step in which people make it.

Layers count from 1 at the input to L; delta_l is the derivative of the data term by z_l, one row an example.
"""

import numpy as np

from gradcheck.bugs.base import (
    Array,
    BackwardBug,
    Bug,
    bias_needed,
    biases,
    layers_needed,
    mean_needed,
    steps_needed,
    texts,
    weights,
)
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols
from gradcheck.models.target import Classes
from gradcheck.numerics.layout import Layout

# --- the mean over the examples ---------------------------------------------------------------------------------------


class MissingMean(BackwardBug):
    """The gradient is summed over the examples, the loss averaged.

    1/n (1/m in the courses) forgotten when the loss was changed from a sum to a mean. The penalty is right, as it has
    no mean.
    """

    name = "missing_mean"
    kind = "constant_factor"
    why = "n times the data term"
    formula = texts(mean="{total}")
    needs = (steps_needed, mean_needed)

    def mean(self, total: Array, n: int) -> Array:
        return total


class DoubleMean(BackwardBug):
    """The gradient is divided by the number of examples twice.

    1/n stands in delta already and once more in front of the product; or a mean loss is averaged again by the training
    loop. The penalty is right.
    """

    name = "double_mean"
    kind = "constant_factor"
    why = "1/n of the data term"
    formula = texts(mean="{total} / {n}^2")
    needs = (steps_needed, mean_needed)

    def mean(self, total: Array, n: int) -> Array:
        return total / n / n


# --- the gradients of a layer -----------------------------------------------------------------------------------------


class Transposed(BackwardBug):
    """The gradient of a weight matrix is its own transpose, squeezed into the right shape.

    delta^T a for a^T delta: a formula copied from a text in which columns are examples. In a square layer the shapes
    fit and nothing complains; elsewhere somebody adds a reshape until they do. The penalty is right. reshape reads row
    by row.
    """

    name = "transposed"
    kind = "transposed"
    why = "the values of each dW stand in the order of the transpose"
    formula = texts(weight="reshape(({gradient})^T, shape of {W})")
    uses = texts(param="which weight matrix (null: all)")
    needs = (steps_needed, layers_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def weight(self, gradient: Array, layer: int) -> Array:
        return gradient.T.reshape(gradient.shape) if self.hits(layer) else gradient


class DroppedBias(BackwardBug):
    """The gradient of the bias is never computed and stays 0.

    The bias was added to the forward pass later, and the backward pass forgotten; or db was computed and not returned.
    """

    name = "dropped_bias"
    kind = "bias"
    why = "the biases alone are 0"
    formula = texts(bias="0")
    uses = texts(param="which bias (null: all)")
    needs = (steps_needed, bias_needed)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return biases(layout)

    def bias(self, gradient: Array, layer: int) -> Array:
        return np.zeros_like(gradient) if self.hits(layer) else gradient


def _second_layer_needed(model: Model) -> str | None:
    return model.lacks.hidden and "has no second layer"


class CoursePair(BackwardBug):
    """Second layer's dW times 2 and first layer's db times 4.

    The two mistakes that a well-known deep-learning course plants in its gradient-checking exercise: a stray factor 2
    in dW2 and 4/m for 1/m in db1. The penalty is right.
    """

    name = "course_pair"
    kind = "param_factor"
    why = "2 for dW2, 4 for db1"
    formula = texts(weight_2="2 {gradient}", bias_1="4 {gradient}")
    needs = (steps_needed, _second_layer_needed, bias_needed)

    def weight(self, gradient: Array, layer: int) -> Array:
        return 2 * gradient if layer == 2 else gradient

    def bias(self, gradient: Array, layer: int) -> Array:
        return 4 * gradient if layer == 1 else gradient


class DoubleCount(BackwardBug):
    """The gradient is accumulated twice.

    Buffers are filled with += and not cleared between two passes over the batch (a forgotten zero_grad), so the data
    term is counted twice; the penalty is added once, at the end.
    """

    name = "double_count"
    kind = "constant_factor"
    why = "twice the data term"
    formula = texts(data_term="2 {gradient}")
    needs = (steps_needed,)

    def data_term(self, gradient: Array) -> Array:
        return gradient + gradient


# --- the penalty ------------------------------------------------------------------------------------------------------


class MissingL2(BackwardBug):
    """The penalty stands in the loss, its gradient was forgotten.

    Regularisation added to the loss function alone. No effect where model.l2=0 or the weights are 0.
    """

    name = "missing_l2"
    kind = "l2"
    why = "-l2 W"
    formula = texts(penalty="0")
    uses = texts(param="the weights whose penalty is forgotten (null: all)")
    needs = (steps_needed,)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        if self.param in (None, name):
            return np.zeros_like(values)
        return super().penalty(name, values, l2)


class DoubleL2(BackwardBug):
    """The gradient of the penalty is twice too large.

    The loss has l2/2 sum(W^2), the gradient is that of l2 sum(W^2): two conventions for the same constant. No effect
    where model.l2=0 or the weights are 0.
    """

    name = "double_l2"
    kind = "l2"
    why = "+l2 W"
    formula = texts(penalty="2 l2 {W}")
    uses = texts(param="the weights whose penalty is wrong (null: all)")
    needs = (steps_needed,)

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        return weights(layout)

    def penalty(self, name: str, values: Array, l2: float) -> Array:
        right = super().penalty(name, values, l2)
        return 2 * right if self.param in (None, name) else right


class L2OnBias(BackwardBug):
    """The bias is penalised in the gradient, but not in the loss.

    The penalty's gradient is added to the whole vector theta, the bias (theta_0 of the x0 = 1 column) with it. No
    effect where model.l2=0 or the biases are 0.
    """

    name = "l2_on_bias"
    kind = "l2"
    why = "+l2 b"
    formula = texts(penalty_of_bias="l2 {b}")
    uses = texts(param="which bias (null: all)")
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
    """Arrays of different shapes broadcast, or reduce over the wrong axis, without complaint.

    a is (n, 1) and y is (n,): a - y is the (n, n) matrix a_i - y_j, and its mean over j brings back the shape (n, 1),
    with the mean of y in place of y_i. In softmax: sum() for sum(axis=1), so that the whole batch is one distribution.
    No effect for n = 1; in linear, logistic and mlp none where all y are equal.
    """

    name = "broadcast"
    kind = "scattered"
    why = "residuals of other examples: at best their sum is right, hence the output bias"
    formula = texts(residual="{outputs} - mean({y})", probabilities="exp(z_ik) / sum_{{j,m}} exp(z_jm)")
    needs = (steps_needed, layers_needed)

    def steps(self, model: Model, theta: Array, batch: Batch) -> Parts:
        return _BatchNormaliser() if isinstance(model.target.each, Classes) else _MeanTarget()

    def symbols(self, model: Model) -> Symbols:
        step = "probabilities" if isinstance(model.target.each, Classes) else "residual"
        return Symbols({step: self.formula[step]})


def _output_derivative_needed(model: Model) -> str | None:
    return model.lacks.output_derivative


class MissingOutputDerivative(BackwardBug):
    """The output layer's delta lacks the derivative of the sigmoid.

    The delta of cross-entropy, o - y, kept (or copied) for a squared error, where the sigmoid's derivative o (1 - o)
    does not cancel.
    """

    name = "missing_output_derivative"
    kind = "scattered"
    why = "every example gets a weight of its own, as with other examples"
    formula = texts(output_derivative="1")
    needs = (steps_needed, _output_derivative_needed)

    def output_derivative(self, o: Array) -> Array:
        return np.ones_like(o)


BACKWARD_BUGS: tuple[type[Bug], ...] = (
    MissingMean,
    DoubleMean,
    Transposed,
    DroppedBias,
    CoursePair,
    DoubleCount,
    MissingL2,
    DoubleL2,
    L2OnBias,
    Broadcast,
    MissingOutputDerivative,
)
