"""What somebody adds to the package from outside: a model, its kind of target, a layer, a source of data, a bug and a rule.

One class and one entry in a table each.  The configs that name them are written by the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.bugs.base import BackwardBug, texts
from gradcheck.experiment.config.schema import TABLES
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.dense import Dense
from gradcheck.models.functions import total
from gradcheck.models.heads import Head, by_example
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers import LAYERS
from gradcheck.models.layers.layer import Layer, Params, Shape
from gradcheck.models.net import Net
from gradcheck.models.parts import Parts
from gradcheck.models.target import NoTarget, Target, require_columns
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE
from gradcheck.numerics.rules import RULES, Rule

Array = np.ndarray


@dataclass(frozen=True)
class Counts(Target):
    """Whole numbers >= 0, (n, size)."""

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        return rng.poisson(np.exp(scores)).astype(float)

    def check(self, y: Array, whose: str) -> None:
        require_columns(y, self.size, whose)
        wrong = y[(y < 0) | (y != np.round(y))]
        if wrong.size:
            raise ValueError(f"data.y={float(wrong.flat[0]):g}: {whose} needs counts 0, 1, 2, ...")


@dataclass
class Poisson(Dense, Head):
    """Poisson regression: mean of exp(z) - y z with z = X W + b; it is its own head, with delta exp(z) - y."""

    bias: bool = True
    l2: float = 0.0

    name = "poisson"
    target = Counts(1)

    @property
    def net(self) -> Net:
        return Net(self, bias=self.bias, l2=self.l2, numbered=False)

    def total(self, z: Array, y: Array) -> Array:
        return total(np.exp(z) - y * z)

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(np.exp(z), y)

    def loss_rounding(self, z: Array, y: Array) -> Array:
        rate, linear = np.exp(z), y * z
        return by_example(np.sqrt(ELEMENTARY * rate**2 + VARIANCE * (linear**2 + (rate - linear) ** 2)))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        rate = np.exp(z)
        return np.sqrt((rate * sigma) ** 2 + u * u * (ELEMENTARY * rate**2 + VARIANCE * (rate - y) ** 2))


@dataclass(frozen=True)
class Power(Layer[Array]):
    """s x**degree, entry by entry, with one s for each feature along the last axis."""

    degree: int = 2

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {f"s{self.tag}": shape[-1:]}

    def output(self, shape: Shape) -> Shape:
        return shape

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        return params[f"s{self.tag}"] * x**self.degree, x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        s = params[f"s{self.tag}"]
        ds = (dout * cache**self.degree).reshape(-1, len(s)).sum(axis=0)
        return dout * s * self.degree * cache ** (self.degree - 1), {f"s{self.tag}": ds}


@dataclass
class Circle(DataSource):
    """n points on a circle, in order; scores are their first coordinate."""

    n: int = 12
    radius: float = 1.0

    def validate(self) -> None:
        if self.n < 1 or not 0 < self.radius < math.inf:
            raise ValueError(f"data.n={self.n}, data.radius={self.radius}: must be positive")

    def size(self, target: Target) -> tuple[int, int, int]:
        return self.n, 2, target.outputs(1)

    def batch(self, target: Target, dtype: Any) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        angle = 2 * np.pi * np.arange(self.n) / self.n
        X = self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        y = target.draw(np.tile(X[:, :1], target.outputs(1)), np.random.default_rng(0))
        return Batch(X.astype(dtype), y if y.dtype.kind == "i" else y.astype(dtype))


class HalvedBias(BackwardBug):
    """db / 2."""

    name = "halved_bias"
    formula = texts(bias="{gradient} / 2")

    def bias(self, gradient: Array, layer: int) -> Array:
        return gradient / 2


LAYER = {"power": Power}
ENTRIES: dict[str, dict[str, type]] = {
    "model": {"poisson": Poisson},
    "data": {"circle": Circle},
    "bug": {"halved_bias": HalvedBias},
}


# A rule of another tool: what it accuses is a column of every run.
TENTH = Rule(
    "tenth",
    "|a-n| > 0.1 |n| in some entry",
    "a rule of thumb",
    lambda gradients: gradients.difference <= 0.1 * np.abs(gradients.numeric),
)


def add() -> None:
    """Enter them into the tables, where a process looks for what its configs name; the rule before columns are made of it."""
    RULES[TENTH.name] = TENTH
    LAYERS.update(LAYER)
    for section, entries in ENTRIES.items():
        TABLES[section].update(entries)
