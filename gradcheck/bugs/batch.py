"""Mistakes with the examples or their labels: the backward pass is right, what it is given is not."""

from dataclasses import dataclass
from typing import Optional

from gradcheck.bugs.base import Array, BackwardBug, Bug, layers_needed, some, steps_needed, texts
from gradcheck.errors import Meaningless
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.parts import Parts
from gradcheck.numerics.layout import Layout


class OffByOne(BackwardBug):
    """The loop over the examples stops one short.

    for i in range(n - 1), X[:-1], or a last batch that is dropped: the last example is missing from the sum, which is
    still divided by n.
    """

    name = "off_by_one"
    kind = "scattered"
    why = "minus one example's share: a gradient of other examples"
    formula = texts(examples="{delta}, but 0 in the last row")
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
    """The gradient is computed with some wrong labels.

    Labels shuffled apart from the examples, a class index that is shifted for some files, noisy labels fed to one of
    the two passes. round(fraction n) labels are wrong, at least one; the loss sees the right ones. y' = 1 - y for the
    labels that are hit, or another class, each equally likely.
    """

    fraction: Optional[float] = 0.1

    name = "label_flip"
    kind = "scattered"
    why = "a gradient of other labels"
    formula = texts(y="y'")
    uses = texts(fraction="share of the labels that are wrong; seed draws which")
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
        rng, outputs, y = self.random(), _width(model.layout(batch)), model.targets(batch)
        wrong = model.target.flip(y, some(rng, y.size, self.fraction), outputs, rng)
        return _Relabelled(model.target.encoded(wrong, outputs, theta.dtype))


class StaleBatch(Bug):
    """The gradient belongs to the previous mini-batch.

    Activations or data cached in the forward pass are overwritten too late, or a pipeline returns the last result. The
    previous batch is n rows (X', y') drawn with replacement from the same examples. No effect where all rows are equal,
    as for n = 1.
    """

    name = "stale_batch"
    kind = "scattered"
    why = "a gradient of other examples"
    formula = texts(X="X'", y="y'")
    needs = (layers_needed,)

    def gradient(self, model: Model, theta: Array, batch: Batch) -> Array:
        n = len(batch.X)
        rows = self.random().integers(n, size=n)
        # without its largest label the stale batch would make a smaller model
        return model.sized(batch).gradient(theta, Batch(batch.X[rows], batch.y[rows]))


def _width(layout: Layout) -> int:
    """Number of outputs of the last layer."""
    return layout.shapes[-1][-1]


BATCH_BUGS: tuple[type[Bug], ...] = (
    OffByOne,
    LabelFlip,
    StaleBatch,
)
