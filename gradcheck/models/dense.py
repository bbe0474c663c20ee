"""What every dense model shares: forward pass, backward pass, and the rounding errors of both.

Layer l = 1..L computes z_l = a_{l-1} W_l + b_l with a_0 = X and, for the hidden layers, a_l = g(z_l).  ``linear`` and
``logistic`` are the case L = 1.  A subclass says what stands behind the last z: the loss of each example, its derivative
(the output layer's delta) and the rounding error of both.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gradcheck.batch import Batch
from gradcheck.layout import Layout
from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.models.functions import total
from gradcheck.models.lines import Lines
from gradcheck.models.parts import Parts
from gradcheck.models.perturbation import Perturbation
from gradcheck.models.rounding import Rounding, dense_rounding
from gradcheck.models.settings import require_choice, require_not_negative

Array = np.ndarray
TEXTBOOK = Parts()


class Trace(NamedTuple):
    """A forward pass: parameters by name, inputs a_0..a_{L-1} of the layers and their outputs z_1..z_L, each (n, h)."""

    params: dict[str, Array]
    inputs: list[Array]
    zs: list[Array]


@lru_cache(maxsize=256)
def _layout(widths: tuple[int, ...], bias: bool, numbered: bool) -> Layout:
    names: list[str] = []
    shapes: list[tuple[int, ...]] = []
    for layer, (rows, columns) in enumerate(pairwise(widths), start=1):
        suffix = str(layer) if numbered else ""
        names.append("W" + suffix)
        shapes.append((rows, columns))
        if bias:
            names.append("b" + suffix)
            shapes.append((columns,))
    return Layout(tuple(names), tuple(shapes))


class Dense:
    """Base of the dense models; the subclasses are dataclasses with the fields ``bias`` and ``l2`` at least."""

    bias: bool
    l2: float

    # --- what a subclass says ---------------------------------------------------------------------------------------

    @property
    def hidden(self) -> list[int]:
        """Widths of the hidden layers."""
        return []

    @property
    def hidden_activation(self) -> Activation:
        """Activation of the hidden layers."""
        return ACTIVATIONS["identity"]

    def outputs(self, batch: Batch) -> int:
        """Number k of outputs of the last layer."""
        return 1

    def total(self, z: Array, y: Array) -> Array:
        """Sum of the loss over the examples, before the mean; scalar of z's dtype."""
        raise NotImplementedError

    def output_delta(self, z: Array, y: Array, parts: Parts) -> Array:
        """Derivative of ``total`` by z, (n, k), made of ``parts``."""
        raise NotImplementedError

    def loss_rounding(self, z: Array, y: Array) -> Array:
        """Standard deviation of the rounding error of each example's loss at a given z, over u; (n,), in float64."""
        raise NotImplementedError

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        """Standard deviation of the rounding error of delta, (n, k), where that of z is ``sigma`` (n, k); all in float64."""
        raise NotImplementedError

    def beyond(self, z: Array, y: Array) -> Array:
        """How far the loss at each z lies beyond the limit where it is clipped, (n, k) or (n, 1), in units of the loss.

        Positive where it is clipped, hence flat though the textbook's delta is not 0; negative inside the limit.
        """
        return np.full(z.shape, -np.inf)

    def scale_of_z(self, z: Array, y: Array) -> float:
        """The change of z over which the loss behaves like its Taylor polynomial of low degree: 1 for sigmoid and softmax."""
        return 1.0

    def distance_to_limit(self, z: Array) -> Array:
        """How far each z is from the limit where the loss is clipped, in units of z; of a loss that is a sum over outputs."""
        return np.full(z.shape, np.inf)

    def may_clip(self, z: Array) -> bool:
        """A cheap test: False only where no entry of z is beyond the limit."""
        return False

    @property
    def lines(self) -> Lines | None:
        """How ``total`` is computed along lines, where it is a sum over the outputs too and there is a fast way."""
        return None

    @property
    def averaged(self) -> bool:
        """Whether the loss is divided by the number of examples."""
        return True

    @property
    def factor(self) -> float:
        """Constant in front of ``total``, beside the mean."""
        return 1.0

    # --- what follows from it ---------------------------------------------------------------------------------------

    @property
    def smooth(self) -> bool:
        """Whether the loss can be continued into the complex plane: no kinked activation in a hidden layer."""
        return not (self.hidden and self.hidden_activation.kinked)

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias parameter."""
        return self.bias

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers."""
        return len(self.hidden)

    @property
    def numbered(self) -> bool:
        """Whether the parameters carry the number of their layer: W1, b1, … instead of W, b."""
        return True

    def validate(self) -> None:
        """Raise ValueError, naming the key, unless every setting has an allowed value."""
        require_not_negative("model.l2", self.l2)

    def layout(self, batch: Batch) -> Layout:
        """Names and shapes of the parameters for this batch."""
        return _layout((batch.X.shape[1], *self.hidden, self.outputs(batch)), self.bias, self.numbered)

    def forward(self, theta: Array, batch: Batch) -> Trace:
        """All layers' inputs and outputs at the flat parameter vector ``theta``, in its dtype."""
        params = self.layout(batch).split(theta)
        weights = [v for name, v in params.items() if name[0] == "W"]
        biases = [v for name, v in params.items() if name[0] == "b"]
        g = self.hidden_activation
        inputs = [batch.X]
        zs: list[Array] = []
        for layer, weight in enumerate(weights):
            z = inputs[layer] @ weight
            if biases:
                z += biases[layer]
            zs.append(z)
            if layer < len(weights) - 1:
                inputs.append(g.value(z))
        return Trace(params, inputs, zs)

    def data_loss(self, z: Array, y: Array) -> Array:
        """Loss of the last layer's z without the penalty; scalar."""
        return self.scaled(self.total(z, y), z.shape[-2])

    def scaled(self, total: Array, n: int) -> Array:
        """The loss of ``total`` over n examples: times ``factor``, over n where it is averaged."""
        loss = total * self.factor if self.factor != 1 else total
        return loss / n if self.averaged else loss

    def penalty(self, params: dict[str, Array]) -> Array | float:
        """l2 / 2 times the sum of squares of all W; the biases are left out."""
        if self.l2 == 0:
            return 0.0
        return self.l2 / 2 * sum(total(w * w) for name, w in params.items() if name[0] == "W")

    def loss(self, theta: Array, batch: Batch) -> Array:
        """The loss at the flat ``theta``: factor * total (/ n) + l2 / 2 sum(W**2); scalar of theta's dtype.

        A complex ``theta`` gives the analytic continuation where the model is ``smooth``.
        """
        trace = self.forward(theta, batch)
        return self.data_loss(trace.zs[-1], batch.y) + self.penalty(trace.params)

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        """The textbook gradient of ``loss``, flat, in theta's dtype, made of ``parts``.

        dW_l = a_{l-1}^T delta_l / n + l2 W_l,  db_l = sum_i delta_l,i / n,  delta_{l} = (delta_{l+1} W_{l+1}^T) * g'(z_l).
        """
        params, inputs, zs = self.forward(theta, batch)
        n = len(batch.X)
        suffixes = [name[1:] for name in params if name[0] == "W"]
        gradients: dict[str, Array] = {}
        delta = parts.examples(self.output_delta(zs[-1], batch.y, parts))
        for layer in range(len(zs), 0, -1):
            weight, bias = "W" + suffixes[layer - 1], "b" + suffixes[layer - 1]
            total = inputs[layer - 1].T @ delta
            dw = parts.weight(parts.mean(total, n) if self.averaged else total, layer)
            gradients[weight] = parts.data_term(dw) + parts.penalty(weight, params[weight], self.l2)
            if self.bias:
                # the copy makes the examples contiguous, so that NumPy sums them pairwise
                total = np.ascontiguousarray(delta.T).sum(axis=1)
                db = parts.bias(parts.mean(total, n) if self.averaged else total, layer)
                gradients[bias] = parts.data_term(db) + parts.penalty(bias, params[bias], self.l2)
            if layer > 1:
                z, a = zs[layer - 2], inputs[layer - 1]
                slope = parts.activation_derivative(self.hidden_activation, z, a, layer - 1)
                delta = parts.below(delta @ params[weight].T, layer - 1) * slope
        return self.layout(batch).join(gradients, theta.dtype)

    # --- what the verdict needs --------------------------------------------------------------------------------------

    def rounding(self, theta: Array, batch: Batch) -> Rounding:
        """Rounding errors of ``loss`` and ``gradient`` at ``theta``, from a forward error analysis."""
        return dense_rounding(self, theta, batch)

    def perturbation(self, theta: Array, batch: Batch) -> Perturbation:
        """The losses near ``theta``, from what one forward pass leaves to be computed."""
        return Perturbation(self, theta, batch)


def require_layers(layers: list[int]) -> None:
    """Raise ValueError unless every width is a positive whole number."""
    for width in layers:
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"model.layers={list(layers)}: every width must be a whole number >= 1")


def require_activation(name: str) -> None:
    """Raise ValueError unless the activation is known."""
    require_choice("model.activation", name, tuple(ACTIVATIONS))
