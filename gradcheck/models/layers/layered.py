"""The models that are a chain of layers with a head: a subclass is a dataclass of settings, and says which chain they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np

from gradcheck.models.batch import Batch
from gradcheck.models.functions import total
from gradcheck.models.heads import Head, SquaredError
from gradcheck.models.interfaces import Lacks
from gradcheck.models.layers.chain import Chain
from gradcheck.models.layers.layer import Shape, Unfit
from gradcheck.models.layers.unclipped import LogitCrossEntropy, LogSoftmax
from gradcheck.models.parts import TEXTBOOK, Parts, is_bias, is_weight, layer_of
from gradcheck.models.settings import require_choice, require_not_negative
from gradcheck.models.stepwise import Stepwise
from gradcheck.models.symbols import Equations, Symbols, plus
from gradcheck.models.target import Binary, Classes, Real, Target
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem

Array = np.ndarray
LOSSES = ("softmax", "sigmoid", "squared_error")


class Rows(NamedTuple):
    """What the head sees: the last layer's z (m, k), and the targets of these rows."""

    z: Array
    y: Array


class _Net(NamedTuple):
    """The layers for a batch, and their parameters."""

    chain: Chain
    layout: Layout


@dataclass
class Layered(Stepwise):
    """Base of the models that are a chain of layers.

    loss_name : ``softmax`` (class labels), ``sigmoid`` (0/1 targets, cross-entropy summed over the outputs) or
        ``squared_error`` (the mean over the examples of sum((z - y)**2) / 2).
    n_classes : of softmax; 0 takes the largest label's.   l2 : of the penalty l2 / 2 sum(W**2) over all W.
    """

    # the config calls it model.loss; here that name is the method's
    loss_name: str = field(default="softmax", metadata={"key": "loss"})
    n_classes: int = 0
    l2: float = 0.0

    choices: ClassVar[Mapping[str, Sequence[object]]] = {"loss_name": LOSSES}
    section: ClassVar[str] = "model"  # where the config has the settings of the layers

    @abstractmethod
    def chain(self, outputs: int) -> Chain:
        """The layers that the settings make, with so many outputs."""

    # --- what a subclass may say otherwise ------------------------------------------------------------------------------

    def built(self, batch: Batch) -> Chain:
        """The layers for a batch, which may know more of it than its shape; their parameters are the same."""
        return self.chain(self.outputs(batch))

    def require_examples(self, shape: Shape) -> None:
        """Raise Meaningless unless the model takes examples of this shape; by default its layers say so."""

    def rows(self, z: Array, batch: Batch) -> Rows:
        """The rows of z (n, …, k) that have a target, and these."""
        return Rows(z, batch.y)

    def unrows(self, delta: Array, z: Array, batch: Batch) -> Array:
        """The derivative by z, in its shape, from that by its ``rows``."""
        return delta

    # ----------------------------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        """What makes the loss of the last layer's z."""
        heads = {"softmax": LogSoftmax(self.n_classes), "sigmoid": LogitCrossEntropy()}
        return heads.get(self.loss_name) or SquaredError(0.5)

    @property
    def target(self) -> Target:
        if self.loss_name == "softmax":
            return Classes(self.n_classes)
        return Binary(0, "probabilities") if self.loss_name == "sigmoid" else Real(0)

    def validate(self) -> None:
        require_choice("model.loss", self.loss_name, LOSSES)
        if isinstance(self.n_classes, bool) or not isinstance(self.n_classes, int) or self.n_classes < 0:
            raise ValueError(f"model.n_classes={self.n_classes}: must be a whole number >= 0 (0: the largest label's)")
        require_not_negative("model.l2", self.l2)
        with self._named():
            for layer in self.chain(1).leaves():
                layer.require()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What a layer cannot take, with the whole key."""
        try:
            yield
        except Unfit as error:
            raise ValueError(f"{self.section}.{error}") from None

    @property
    def kink(self) -> str | None:
        return self.chain(1).kink

    @property
    def lacks(self) -> Lacks:
        hidden = None if "activation_derivative" in self.steps else "has no hidden layer with an activation"
        return Lacks(examples=None, mean=None, bias=None, hidden=hidden)

    @property
    def steps(self) -> frozenset[str]:
        return self.chain(1).all_steps()

    def outputs(self, batch: Batch) -> int:
        """How many outputs the last layer has."""
        return self.head.outputs(batch.y)

    def sized(self, batch: Batch) -> Layered:
        return replace(self, n_classes=self.outputs(batch)) if isinstance(self.target.each, Classes) else self

    def layout(self, batch: Batch) -> Layout:
        return self._layout(self.chain(self.outputs(batch)), batch.X.shape[1:])

    def _layout(self, chain: Chain, shape: Shape) -> Layout:
        self.require_examples(shape)
        with self._named():
            shapes = chain.parameters(shape)
        return Layout(tuple(shapes), tuple(shapes.values()))

    def _net(self, batch: Batch) -> _Net:
        chain = self.built(batch)
        return _Net(chain, self._layout(chain, batch.X.shape[1:]))

    def width(self, batch: Batch) -> int:
        return self.chain(self.outputs(batch)).width(batch.X.shape[1:])

    def loss(self, theta: Array, batch: Batch) -> Array:
        return self._loss(self._net(batch), theta, batch)

    def _loss(self, net: _Net, theta: Array, batch: Batch) -> Array:
        params = net.layout.split(theta)
        z, _ = net.chain.forward(params, batch.X)
        rows = self.rows(z, batch)
        loss = self.head.total(rows.z, rows.y) * self.head.factor / len(rows.z)
        if self.l2 == 0:
            return loss
        return loss + self.l2 / 2 * sum(total(w.reshape(1, -1) ** 2) for n, w in params.items() if is_weight(n))

    def gradient(self, theta: Array, batch: Batch, parts: Parts = TEXTBOOK) -> Array:
        return self._gradient(self._net(batch), theta, batch, parts)

    def _gradient(self, net: _Net, theta: Array, batch: Batch, parts: Parts) -> Array:
        chain, layout = net
        params = layout.split(theta)
        z, cache = chain.forward(params, batch.X)
        rows = self.rows(z, batch)
        delta = parts.examples(self.head.delta(rows.z, rows.y, parts))
        _, sums = chain.backward(params, cache, self.unrows(delta, z, batch), parts)
        return layout.join({n: self._finished(n, sums[n], params[n], len(rows.z), parts) for n in sums}, theta.dtype)

    def _finished(self, name: str, summed: Array, values: Array, n: int, parts: Parts) -> Array:
        """The derivative by one parameter, from its sum over the examples: mean, and penalty of W."""
        gradient, layer = parts.mean(summed, n), layer_of(name)
        if is_weight(name):
            gradient = parts.weight(gradient, layer)
        elif is_bias(name):
            gradient = parts.bias(gradient, layer)
        gradient = parts.data_term(gradient)
        return gradient + parts.penalty(name, values, self.l2) if is_weight(name) or is_bias(name) else gradient

    def equations(self, symbols: Symbols) -> Equations:
        """The gradient in symbols: of each layer its derivatives by its parameters, with mean and penalty."""
        chain = self.chain(1)
        derivatives = {
            name: self._in_symbols(name, summed, symbols)
            for name, summed in chain.derivatives_in_symbols(symbols).items()
        }
        head = self.head.delta_in_symbols(symbols)
        last = {"d of the output" if name == "delta" else name: text for name, text in head.items()}
        # the last layer's come first, the first parameter's last
        return Equations(derivatives, chain.made_of(symbols) | last, list(derivatives)[-1])

    def _in_symbols(self, name: str, summed: str, symbols: Symbols) -> str:
        """``_finished`` in symbols; ``name`` is such as dW of a dense layer."""
        gradient = "0" if summed == "0" else symbols.step("mean", total=summed, n="n")
        param = name.split()[0][1:]
        if is_weight(param) or is_bias(param):
            step, penalty = ("weight", "penalty") if is_weight(param) else ("bias", "penalty_of_bias")
            gradient = symbols.step(step, gradient=gradient, W="W")
            data = symbols.step("data_term", gradient=gradient) if gradient != "0" else gradient
            return plus(data, symbols.step(penalty, W="W", b="b"))
        return symbols.step("data_term", gradient=gradient)

    def pose(self, theta: Array, batch: Batch) -> Problem:
        from gradcheck.numerics.measured.pose import around

        net = self._net(batch)  # made once for all points
        posed = around(
            net.layout,
            theta,
            lambda point: self._loss(net, point, batch),
            lambda point: self._gradient(net, point, batch, TEXTBOOK),
        )
        n_classes = self.outputs(batch) if isinstance(self.target.each, Classes) else None
        return replace(posed, n=len(self.targets(batch)), n_classes=n_classes)
