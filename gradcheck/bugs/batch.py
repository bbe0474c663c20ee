"""Mistakes with the examples or their labels: the backward pass is right, what it is given is not."""

from dataclasses import dataclass
from typing import Optional

from gradcheck.bugs.base import Array, BackwardBug, Bug, layers_needed, some, steps_needed
from gradcheck.errors import Meaningless
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import Parts
from gradcheck.numerics.layout import Layout


class OffByOne(BackwardBug):
    """The loop over the examples stops one short: the last one is missing, the mean is still over n."""

    name = "off_by_one"
    needs = (steps_needed, layers_needed)

    def examples(self, delta: Array) -> Array:
        delta = delta.copy()
        delta[-1:] = 0
        return delta


class _Relabelled(Parts):
    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def residual(self, outputs: Array, y: Array) -> Array:
        return outputs - self.labels


def _labels_needed(model: Model) -> str | None:
    return model.target.cannot_flip


@dataclass
class LabelFlip(BackwardBug):
    """Some labels are wrong in the gradient: y becomes 1 - y, a class becomes another one.

    round(fraction n k) of the n k labels are hit, at least one; the loss sees the right ones.
    """

    fraction: Optional[float] = 0.1

    name = "label_flip"
    uses = ("fraction",)
    requires = ("fraction",)
    needs = (steps_needed, layers_needed, _labels_needed)

    def refuse(self, model: Model, layout: Layout, batch: Batch) -> None:
        super().refuse(model, layout, batch)
        other = model.target.without_other(batch.y)
        if other.size:
            raise Meaningless(
                f"bug=label_flip: data.y={float(other.flat[0]):g} cannot be flipped, targets must be 0 or 1"
            )

    def steps(self, model: Model, theta: Array, batch: Batch) -> Parts:
        assert self.fraction is not None
        rng, outputs = self.random(), _width(model.layout(batch))
        wrong = model.target.flip(batch.y, some(rng, batch.y.size, self.fraction), outputs, rng)
        return _Relabelled(model.target.encoded(wrong, outputs, theta.dtype))


class StaleBatch(Bug):
    """The gradient of the previous mini-batch: n rows of X and y, drawn with replacement from the same source."""

    name = "stale_batch"
    needs = (layers_needed,)

    def gradient(self, model: Model, theta: Array, batch: Batch) -> Array:
        n = len(batch.X)
        rows = self.random().integers(n, size=n)
        # without its largest label the stale batch would make a smaller model
        return model.sized(batch).gradient(theta, Batch(batch.X[rows], batch.y[rows]))


def _width(layout: Layout) -> int:
    """Number of outputs of the last layer."""
    return layout.shapes[-1][-1]
