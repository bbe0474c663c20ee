"""The mistakes of layers in the runner's models: is the first wrong layer named, counted from the loss?

The models ``conv``, ``norm``, ``recurrent``, ``attention`` and ``layer`` are handed to ``check_layers`` as chains of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from gradcheck import check_layers
from gradcheck.bugs import BUGS
from gradcheck.bugs.attention import ATTENTION_BUGS
from gradcheck.bugs.base import BackwardBug
from gradcheck.bugs.images import IMAGE_BUGS
from gradcheck.bugs.norms import NORM_BUGS
from gradcheck.bugs.recurrence import RECURRENCE_BUGS
from gradcheck.experiment.cell import Cell
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import OneLayer
from gradcheck.models.layers import LAYERS
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.layered import Layered
from gradcheck.models.parts import TEXTBOOK, Parts
from gradcheck.models.sequence import TokenModel

from . import layers, sequences
from .kills import Failure
from .steps import NAMED

Array = np.ndarray
MISTAKES = [*IMAGE_BUGS, *NORM_BUGS, *RECURRENCE_BUGS, *ATTENTION_BUGS]
NONE = BUGS["none"]()
# What a mistake changes of a gradient, over its largest entry: above the first it can be seen, below the second it is rounding.
CHANGES, ROUNDING = 1e-6, 1e-12
LEAST = 1e-3  # a gradient that is smaller is measured by this, since the upstream one is about 1
TRIES = 400


class Step(NamedTuple):
    """A layer of a model as two functions and its parameters: what ``check_layers`` takes."""

    forward: Callable[..., tuple[Array, Any]]
    backward: Callable[[Array, Any], tuple[Array | None, ...]]
    params: dict[str, Array]


def step(layer: Layer[Any], params: dict[str, Array], parts: Parts, of_tokens: bool) -> Step:
    """A layer whose backward pass is made of ``parts``; tokens have no derivative."""

    def forward(x: Array, *values: Array) -> tuple[Array, Any]:
        given = dict(zip(params, values, strict=True))
        out, kept = layer.forward(given, x)
        return out, (given, kept)

    def backward(dout: Array, cache: Any) -> tuple[Array | None, ...]:
        dx, gradients = layer.backward(*cache, dout, parts)
        return None if of_tokens else dx, *(gradients[name] for name in params)

    return Step(forward, backward, params)


class Loss:
    """The head of a model: the value, and the derivative by the last output."""

    def __init__(self, cell: Cell, batch: Any) -> None:
        self._model, self._batch = cell.model, batch

    def __call__(self, z: Array) -> tuple[Array, Array]:
        model, batch = self._model, self._batch
        rows = model.rows(z, batch)
        delta = model.head.delta(rows.z, rows.y, TEXTBOOK) / len(rows.z)
        value = model.head.total(rows.z, rows.y) * model.head.factor / len(rows.z)
        return value, model.unrows(delta, z, batch)


@dataclass
class Net:
    """A model at random parameters as a chain, its input, and its loss."""

    cell: Cell
    parts: Parts
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        model: Layered = self.cell.model
        self.batch = self.cell.data.batch(model.target, np.dtype(float))
        model.check_batch(self.batch)
        layout = model.layout(self.batch)
        params = layout.split(self.cell.init.theta(layout, np.dtype(float)))
        chain, shape = model.built(self.batch), self.batch.X.shape[1:]
        tokens = isinstance(model, TokenModel)
        for layer, own in chain.shapes(shape):
            named = {name: params[name].copy() for name in layer.parameters(own)}
            self.steps.append(step(layer, named, self.parts, tokens and not self.steps))
        self.x = self.batch.X.astype(int) if tokens else self.batch.X
        self.loss = Loss(self.cell, self.batch)


def source(rng: Generator) -> Cell:
    """A random cell of any of the models."""
    kind = int(rng.integers(5))
    if kind < 2:
        return layers._cell(rng)
    if kind < 4:
        return sequences.cell(rng, NONE)
    layer = str(rng.choice(list(LAYERS)))
    images = layer in ("conv", "max_pool", "average_pool") or (layer.endswith("norm") and rng.random() < 0.5)
    seed = int(rng.integers(10**6))
    data = Images(n=4, height=5, width=4, seed=seed) if images else Gaussian(n=6, d=3, seed=seed)
    model = OneLayer(layer=layer, units=4)
    return Cell(model, data, Normal(seed, 0.6), NONE, layers.SCHEMES["central"], np.dtype(float), 1e-2)


def changes(right: Net, wrong: Net, rng: Generator) -> list[float]:
    """By how much the mistake changes the gradients that each layer makes, over their largest entries."""
    x, found = right.x, []
    for one, other in zip(right.steps, wrong.steps, strict=True):
        out, cache = one.forward(x, *one.params.values())
        upstream = rng.normal(size=out.shape)
        gradients = zip(one.backward(upstream, cache), other.backward(upstream, cache), strict=True)
        apart = [np.abs(a - b).max() / max(np.abs(a).max(), LEAST) for a, b in gradients if a is not None and a.size]
        found.append(max(apart, default=0.0))
        x = out
    return found


def planted(bug: type[BackwardBug], start: int) -> tuple[Net, list[int]]:
    """A random net in which the mistake is made, and the layers that it makes wrong."""
    for seed in range(start, start + TRIES):
        rng = np.random.default_rng(seed)
        cell = source(rng)
        mistake = bug()
        try:
            right = Net(cell, TEXTBOOK)
            mistake.refuse_model(cell.model)
            theta = cell.init.theta(cell.model.layout(right.batch), np.dtype(float))
            wrong = Net(cell, mistake.steps(cell.model, theta, right.batch))
            made = changes(right, wrong, rng)
        except ValueError:  # the layer does not take such data, or the mistake has no meaning in it
            continue
        if max(made) > CHANGES and not any(ROUNDING < change < CHANGES for change in made):
            return wrong, [i for i, change in enumerate(made) if change > CHANGES]
    raise Failure(f"{bug.name}: has no effect in {TRIES} nets from {start} on")


def answers(nets: int) -> Iterator[tuple[str, bool, list[int]]]:
    """Of each mistake in so many nets: its name, whether the first wrong layer is named, and layers accused besides."""
    for k, bug in enumerate(MISTAKES):
        for i in range(nets):
            net, made = planted(bug, 10_000 * k + 500 * i)
            with np.errstate(all="ignore"):
                found = check_layers(net.steps, net.x, net.loss, seed=i)
            first = found.first_wrong
            besides = [one.index for one in found.steps if one.wrong and one.index not in made]
            yield bug.name, first is not None and first.index == made[-1], besides


def accused(seed: int) -> list[int]:
    """The layers of a right net that are accused."""
    while True:
        try:
            net = Net(source(np.random.default_rng(seed)), TEXTBOOK)
            break
        except ValueError:
            seed += 10**6
    with np.errstate(all="ignore"):
        return [one.index for one in check_layers(net.steps, net.x, net.loss, seed=seed).steps if one.wrong]


def trial(nets: int) -> str:
    """Plant each mistake in so many nets, and look at as many right ones as there are mistakes.  Raises Failure."""
    told = list(answers(nets))
    named, besides = sum(right for _, right, _ in told), sum(bool(others) for _, _, others in told)
    wrongly = sum(bool(accused(10**7 + i)) for i in range(len(told)))
    found = (
        f"{len(MISTAKES)} mistakes in {nets} nets each of the runner's models: the first wrong layer is named in {named} of"
        f" {len(told)}, another one accused besides in {besides}; of {len(told)} right nets {wrongly} have a layer that is"
        " accused"
    )
    if named < NAMED * len(told) or besides or wrongly:
        missed = sorted({name for name, right, others in told if not right or others})
        raise Failure(f"{found}; {', '.join(missed)}")
    return found
