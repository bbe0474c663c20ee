"""What every bug shares: its settings, what it asks of a model, and the wrong gradient that it makes."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Optional

import numpy as np

from gradcheck.errors import Meaningless
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model, Section
from gradcheck.models.parts import Parts, is_bias, is_weight, layer_of
from gradcheck.models.stepwise import Stepwise
from gradcheck.models.symbols import Symbols
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.streams import stream, validate_seed

Array = np.ndarray
Generator = np.random.Generator


def texts(**named: str) -> Mapping[str, str]:
    """Texts by their names, such as the formulas of steps."""
    return MappingProxyType(named)


# What a bug asks of a model: None where the model has it, else what it lacks, to follow the model's name.
Need = Callable[[Model], Optional[str]]


# --- what a model must have -------------------------------------------------------------------------------------------


def steps_needed(model: Model) -> str | None:
    """A gradient that is made of the steps of ``Parts``."""
    if isinstance(model, Stepwise):
        return None
    return "gives its gradient whole, without the steps in which this mistake is made"


def layers_needed(model: Model) -> str | None:
    """Layers with a weight matrix each, evaluated on examples."""
    return model.lacks.examples


def mean_needed(model: Model) -> str | None:
    """A loss that is averaged over the examples."""
    return model.lacks.mean


def bias_needed(model: Model) -> str | None:
    """A bias."""
    return model.lacks.bias


def hidden_needed(model: Model) -> str | None:
    """A hidden layer."""
    return model.lacks.hidden


def step_needed(step: str, lack: str) -> Need:
    """A backward pass with this step of ``Parts``; ``lack`` follows the name of a model that has none."""

    def need(model: Model) -> str | None:
        return None if step in model.steps else lack

    return need


# --- bugs -------------------------------------------------------------------------------------------------------------


@dataclass
class Bug(Section):
    """A mistake with its five settings; ``gradient`` makes it.

    param : the parameter in which the mistake is made; null stands for what the bug's YAML says.
    index : flat index of one entry, inside ``param`` where that is given, else over all of theta.
    magnitude : size of the mistake, in the bug's own measure.
    fraction : share of the entries or labels that are wrong, in (0, 1]; at least one is.
    seed : of the bug's own random stream; it moves neither data nor weights, and bugs without chance ignore it.

    A setting that the bug does not use must be null.

    kind : the kind of mistake that a diagnosis must name, and ``why``.
    formula : what is wrong, in symbols: by the step of ``models.symbols`` that it stands for; of a finished gradient by
        ``gradient``, where each derivative {g} is wrong alike, or ``entry``.
    uses : the settings that it has, and what each means.
    source : the address of a public report of the mistake, where there is one.
    """

    param: Optional[str] = None
    index: Optional[int] = None
    magnitude: Optional[float] = None
    fraction: Optional[float] = None
    seed: int = 0

    name: ClassVar[str]
    kind: ClassVar[str] = "unknown"
    why: ClassVar[str] = ""
    formula: ClassVar[Mapping[str, str]] = {}
    uses: ClassVar[Mapping[str, str]] = {}
    source: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()  # settings that cannot be null
    positive: ClassVar[bool] = False  # whether a negative magnitude has no meaning
    needs: ClassVar[tuple[Need, ...]] = ()

    @property
    def given(self) -> dict[str, object]:
        """The settings that a bug may use or not, by their keys."""
        return {"param": self.param, "index": self.index, "magnitude": self.magnitude, "fraction": self.fraction}

    def validate(self) -> None:
        """Raise ValueError, naming the key, for a value that is wrong whatever the model is."""
        if self.param is not None and not (isinstance(self.param, str) and self.param):
            raise ValueError(f"bug.param={self.param}: must be the name of a parameter, such as W1, or null")
        if self.index is not None and (
            isinstance(self.index, bool) or not isinstance(self.index, int) or self.index < 0
        ):
            raise ValueError(f"bug.index={self.index}: must be a whole number >= 0 or null")
        wanted = "a finite number > 0" if self.positive else "a finite number other than 0"
        if not _absent_or(self.magnitude, lambda m: math.isfinite(m) and m != 0 and not (self.positive and m < 0)):
            raise ValueError(f"bug.magnitude={self.magnitude}: must be {wanted}")
        if not _absent_or(self.fraction, lambda f: 0 < f <= 1):
            raise ValueError(f"bug.fraction={self.fraction}: must be a number in (0, 1]")
        validate_seed("bug.seed", self.seed)
        for key in self.requires:
            if self.given[key] is None:
                kind = wanted if key == "magnitude" else "a number in (0, 1]"
                raise ValueError(f"bug.{key}=null: {self.name} needs {kind}")

    def refuse_model(self, model: Model) -> None:
        """Raise Meaningless for what the settings and the model alone say: no data are needed to know it."""
        for key, value in self.given.items():
            if value is not None and key not in self.uses:
                known = ", ".join(f"bug.{used}" for used in self.uses)
                uses = f"it uses {known}" if known else "it has none"
                raise Meaningless(f"bug.{key}={value}: {self.name} has no such setting ({uses})")
        for need in self.needs:
            lack = need(model)
            if lack is not None:
                raise Meaningless(f"bug={self.name}: {model.name} {lack}")

    def refuse(self, model: Model, layout: Layout, batch: Batch) -> None:
        """Raise Meaningless where this mistake cannot be made in this model with these data."""
        self.refuse_model(model)
        if self.param is not None:
            allowed = self.params(model, layout)
            if self.param not in allowed:
                raise Meaningless(
                    f"bug.param={self.param}: must be one of {', '.join(allowed)} "
                    f"({self.name} in {model.name}), or null"
                )
        where = self.where(layout)
        count = where.stop - where.start
        if count == 0:
            raise Meaningless(f"bug.param={self.param}: has no entry that could be wrong")
        if self.index is not None and self.index >= count:
            owner = self.param or f"theta of {model.name}"
            raise Meaningless(f"bug.index={self.index}: must be from 0 to {count - 1}, {owner} has {count} entries")

    def params(self, model: Model, layout: Layout) -> tuple[str, ...]:
        """Names that ``param`` may have."""
        return layout.names

    def where(self, layout: Layout) -> slice:
        """The part of theta that ``param`` names; all of it for null."""
        return slice(0, layout.size) if self.param is None else layout.slices[self.param]

    @abstractmethod
    def gradient(self, model: Model, theta: Array, batch: Batch) -> Array:
        """The wrong gradient at the flat ``theta``: flat, in theta's dtype; nothing that is passed is changed."""

    def symbols(self, model: Model) -> Symbols:
        """The steps of the model's gradient in symbols, with the mistake."""
        return Symbols(self.formula)

    def random(self) -> Generator:
        """A fresh generator of the bug's own stream."""
        return stream(self.seed, "bug")


class OutputBug(Bug):
    """A mistake in the finished gradient, whatever model it comes from."""

    @abstractmethod
    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        """The wrong gradient, a new flat array of the dtype of the ``correct`` one."""

    def gradient(self, model: Model, theta: Array, batch: Batch) -> Array:
        return self.corrupt(model.gradient(theta, batch), model.layout(batch), self.random())


class BackwardBug(Bug, Parts):
    """A mistake in one step of the backward pass: a subclass overrides that step, and the model does the rest."""

    needs: ClassVar[tuple[Need, ...]] = (steps_needed,)

    def gradient(self, model: Model, theta: Array, batch: Batch) -> Array:
        if not isinstance(model, Stepwise):
            raise Meaningless(f"bug={self.name}: {model.name} {steps_needed(model)}")
        return model.gradient(theta, batch, self.steps(model, theta, batch))

    def steps(self, model: Model, theta: Array, batch: Batch) -> Parts:
        """The steps of which the model makes its gradient."""
        return self

    def hits(self, layer: int) -> bool:
        """Whether ``param`` names a parameter of this layer, or is null."""
        return self.param is None or layer_of(self.param) == layer


def _absent_or(value: object, holds: Callable[[float], bool]) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and holds(value)


def weights(layout: Layout) -> tuple[str, ...]:
    """Parameters that are penalised."""
    return tuple(name for name in layout.names if is_weight(name) or name == "theta")


def biases(layout: Layout) -> tuple[str, ...]:
    """The biases of layers."""
    return tuple(name for name in layout.names if is_bias(name))


def some(rng: Generator, count: int, fraction: float) -> Array:
    """Ascending indices of round(fraction count) of ``count`` things, at least one, drawn without replacement."""
    k = max(1, round(fraction * count))
    return np.arange(count) if k == count else np.sort(rng.choice(count, size=k, replace=False))
