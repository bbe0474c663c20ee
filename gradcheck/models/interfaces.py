"""What a config names: a model, a source of data, a start of the parameters; a bug is the fourth, in its own room.

Each is a dataclass of settings, the keys of its config section, and one of these interfaces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.models.batch import Batch
from gradcheck.models.symbols import Equations, Symbols
from gradcheck.models.target import Target
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.problem import Problem

Array = np.ndarray


class Section(ABC):
    """The object of a config section."""

    max_bytes: int = 2**30
    """Files that are larger are refused."""

    @abstractmethod
    def validate(self) -> None:
        """Raise ValueError that names the key, its value and what is allowed, unless every setting is allowed."""

    def sources(self) -> list[Path]:
        """The files whose content decides what the section gives."""
        return []

    def facts(self) -> list[object]:
        """What else of these files decides it, beside their content: values that JSON has."""
        return []


class DataSource(Section):
    """Where examples come from."""

    @abstractmethod
    def size(self, target: Target) -> tuple[int, int, int]:
        """n, d and the number of outputs or classes, without making the examples."""

    @abstractmethod
    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        """The examples, for a model that learns such a target, made in float64 and then cast to dtype."""

    def shape(self, target: Target) -> tuple[int, ...]:
        """The shape of one example, of as many numbers as ``size`` says."""
        return self.size(target)[1:2]

    def notes(self, target: Target) -> list[str]:
        """What the user should know of how the examples were read, a line each."""
        return []


class Start(Section):
    """Where the parameters come from at which a gradient is checked."""

    @abstractmethod
    def theta(self, layout: Layout, dtype: DTypeLike) -> Array:
        """Flat parameters (layout.size,), made in float64 and then cast to dtype."""

    def refine(self, theta: Array, loss: Callable[[Array], Array], gradient: Callable[[Array], Array]) -> Array:
        """The parameters to check, (size,); ``theta`` may be only where the search for them starts."""
        return theta


@dataclass(frozen=True)
class Lacks:
    """What a model lacks, in words that follow its name; None where it has it.  Bugs ask for these things."""

    examples: str | None = "has neither examples nor weight matrices"
    mean: str | None = "has no mean over examples"
    bias: str | None = "has no bias"
    hidden: str | None = "has no hidden layer"
    output_derivative: str | None = "has no output derivative to forget (mlp with model.loss=squared_error has)"


class Model(Section):
    """A loss of flat parameters and the gradient that is claimed for it.

    name : under which the config knows it.
    choices : values of settings that decide which bugs have meaning, and of what the gradient is made; the default first.
    suits : a source of data whose examples it takes.
    """

    name: ClassVar[str]
    suits: ClassVar[str] = "gaussian"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {}

    @property
    @abstractmethod
    def target(self) -> Target:
        """The kind of target that the model learns from."""

    @property
    def kink(self) -> str | None:
        """The name of what makes the loss not differentiable somewhere; None where nothing does, as far as is known."""
        return None

    @property
    def smooth(self) -> bool:
        """Whether the loss can be continued into the complex plane, as far as is known."""
        return self.kink is None

    @property
    def lacks(self) -> Lacks:
        """What the model lacks."""
        return Lacks()

    @property
    def steps(self) -> frozenset[str]:
        """The steps of layers of which its gradient is made, by the names of the methods of ``Parts``."""
        return frozenset()

    def width(self, batch: Batch) -> int:
        """How many numbers an example a forward pass keeps, roughly: here the outputs of the layers, one a weight matrix."""
        return sum(shape[1] for shape in self.layout(batch).shapes if len(shape) == 2)

    @abstractmethod
    def layout(self, batch: Batch) -> Layout:
        """Names and shapes of the parameters for this batch."""

    @abstractmethod
    def loss(self, theta: Array, batch: Batch) -> Array:
        """The loss at the flat ``theta``; scalar of theta's dtype."""

    @abstractmethod
    def gradient(self, theta: Array, batch: Batch) -> Array:
        """The gradient of ``loss`` that is claimed, flat, in theta's dtype."""

    def pose(self, theta: Array, batch: Batch) -> Problem:
        """The problem at theta, with the model's own gradient as the claim.

        A model that says no more than its loss and its gradient is measured, as somebody else's function is: noise, scale
        and kinks.  One that knows its rounding errors poses its own problem.

        Raises ContractError or ValueError where it cannot be posed there.
        """
        from gradcheck.numerics.measured.pose import around  # a model with an analysis of its own is not measured

        n = len(batch.X) or None
        posed = around(
            self.layout(batch), theta, lambda point: self.loss(point, batch), lambda point: self.gradient(point, batch)
        )
        return replace(posed, n=n)

    def pose_together(self, thetas: Sequence[Array], batches: Sequence[Batch]) -> list[Problem]:
        """``pose`` at several thetas, each with examples of its own, in fewer operations where there is such a way."""
        return [self.pose(theta, batch) for theta, batch in zip(thetas, batches, strict=True)]

    def equations(self, symbols: Symbols) -> Equations:
        """The gradient in symbols; here it is given whole, and nothing is known of what it is made of."""
        return Equations({"dJ": "the gradient that it gives"}, {}, "dJ of the first parameter")

    def check_batch(self, batch: Batch) -> None:
        """Raise ValueError unless the targets are what the model learns from."""
        self.target.check(batch.y, self.name)

    def targets(self, batch: Batch) -> Array:
        """The targets that the loss reads, one row each: here those of all examples."""
        return batch.y

    def sized(self, batch: Batch) -> Model:
        """The model with the sizes of this batch as its settings, so that it keeps them with other batches."""
        return self

    def require_complex(self, theta: Array) -> None:
        """Raise Meaningless if the functions, called at theta, show that the loss has no complex derivative."""

    def permit(self, modules: Iterable[str]) -> None:
        """Allow functions of these modules (or one function by its whole name) to be imported."""
