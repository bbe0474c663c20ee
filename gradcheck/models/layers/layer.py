"""What a layer is: a forward pass, and the backward pass that somebody wrote for it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

from gradcheck.errors import Meaningless
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray
Shape = tuple[int, ...]
Params = Mapping[str, Array]
C = TypeVar("C")


class Unfit(ValueError):
    """A setting that a layer cannot have, at all or with this input; the message begins with the layer's own key."""


@dataclass(frozen=True)
class Layer(ABC, Generic[C]):
    """One layer of a chain: values in, values out.  C is what its backward pass needs of its forward pass.

    tag : what follows the names of its parameters: with "2" they are W2 and b2.  Layers with the same names share these
        parameters, and their gradients are added.
    steps : the methods of ``Parts`` of which its backward pass is made; a bug asks for them.
    """

    tag: str = ""

    steps: ClassVar[tuple[str, ...]] = ()

    @property
    def kink(self) -> str | None:
        """The name of what makes the layer not differentiable somewhere; None where nothing does."""
        return None

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """Names and shapes of the parameters, for inputs whose examples have this shape."""
        return {}

    def require(self) -> None:
        """Raise Unfit for a setting that is wrong whatever the input is."""

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """The shape of one example of the output, for inputs whose examples have this shape.

        Raises Unfit where the layer's settings do not go with such an input, Meaningless where it cannot take it at all.
        """

    @abstractmethod
    def forward(self, params: Params, x: Array) -> tuple[Array, C]:
        """The output (n, …) for the input x (n, …), and what ``backward`` needs.

        Complex parameters give the analytic continuation unless the layer has a kink.
        """

    @abstractmethod
    def backward(self, params: Params, cache: C, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        """The derivatives of a loss by the input, (n, …), and by the parameters, from ``dout``, that by the output.

        They are made of ``parts`` and summed over the examples.
        """

    def width(self, shape: Shape) -> int:
        """How many numbers an example the forward pass keeps, roughly."""
        return int(np.prod(self.output(shape), dtype=np.int64))

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        """The derivatives by the parameters in symbols, such as dW of a dense layer.

        x is the input, d the derivative by the output; the mean over the examples and the penalty are added elsewhere.
        """
        return {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        """Of what the backward pass is made, in symbols: the derivative by the input, and the steps that bugs replace."""
        return {}

    @property
    def number(self) -> int:
        """The number of the layer, from its tag."""
        return int(self.tag or 1)


def add(gradients: dict[str, Array], more: Mapping[str, Array]) -> None:
    """Add derivatives by parameters to those that are there: a parameter that several layers share has one sum."""
    for name, value in more.items():
        gradients[name] = gradients[name] + value if name in gradients else value


def require_steps(shape: Shape) -> None:
    """Raise Meaningless unless an example is a vector for each step of time, (T, d)."""
    if len(shape) != 2:
        raise Meaningless(
            f"data: examples of the shape {shape}; the layer takes a vector for each step of time, (T, d)"
        )


def require_count(key: str, value: object, low: int) -> None:
    """Raise Unfit unless the value is a whole number >= low."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise Unfit(f"{key}={value}: must be a whole number >= {low}")


def require_not_negative(key: str, value: object) -> None:
    """Raise Unfit unless the value is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise Unfit(f"{key}={value}: must be a finite number >= 0")
