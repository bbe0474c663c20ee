"""Mistakes in the finished gradient: they need no knowledge of the model.

``g`` is the correct gradient, flat; where ``param`` is given, the entries of other parameters stay as they are.
"""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from gradcheck.bugs.base import Array, Bug, Generator, OutputBug, some, texts
from gradcheck.numerics.layout import Layout


class NoBug(OutputBug):
    """No bug: the gradient as it is.

    Nothing is wrong here; it is what every check must let pass.
    """

    name = "none"
    formula = texts(gradient="{g}")

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        return correct.copy()


class SignFlip(OutputBug):
    """The gradient has the wrong sign.

    Descent direction returned for the gradient, y - a written for a - y, or a minus lost while a derivative was taken
    by hand.
    """

    name = "sign_flip"
    kind = "constant_factor"
    why = "factor -1; param_factor where param names one of several"
    formula = texts(gradient="-{g}")
    uses = texts(param="where the sign is wrong (null: everywhere)")

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        wrong[here] = -correct[here]
        return wrong


@dataclass
class Scale(OutputBug):
    """The gradient is too large by a constant factor.

    The 2 of a square or the 1/2 of a loss forgotten (magnitude -0.5 or 1), m for m - 1, a loss weight or a learning
    rate left inside, a unit converted twice. A small magnitude shows how fine a difference a check can see.
    """

    magnitude: Optional[float] = 1e-3

    name = "scale"
    kind = "constant_factor"
    why = "factor 1 + magnitude; param_factor where param names one of several"
    formula = texts(gradient="(1 + magnitude) {g}")
    uses = texts(param="where (null: everywhere)", magnitude="relative size of the error")
    requires = ("magnitude",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        # the sum is rounded in the gradient's own dtype: longdouble keeps a magnitude below 1e-16
        wrong[here] *= 1 + correct.dtype.type(self.magnitude)
        return wrong


class ZeroEntry(OutputBug):
    """One entry of the gradient is never computed and stays 0.

    A loop that starts at 1, an off-by-one slice, a buffer made with zeros that is not filled to the end, a mask with
    one wrong element.
    """

    name = "zero_entry"
    kind = "zero_entries"
    why = "one entry is 0"
    formula = texts(entry="dJ_j = 0 for one entry j of {all}")
    uses = texts(
        param="the parameter of the entry (null: any)",
        index="the entry, inside param where that is given, else over all of theta (null: drawn with seed)",
    )

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[_entry(self, layout, rng)] = 0
        return wrong


class ZeroParam(OutputBug):
    """The gradient of a whole parameter is never computed and stays 0.

    A branch of the backward pass that was not written yet, a result assigned to a misspelt name, a parameter frozen by
    accident.
    """

    name = "zero_param"
    kind = "zero_param"
    why = "one parameter is 0"
    formula = texts(entry="{first} = 0")
    uses = texts(param="which one (null: the first, W or W1 or theta)")

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[layout.slices[self.param or layout.names[0]]] = 0
        return wrong


@dataclass
class SingleEntry(OutputBug):
    """One entry of the gradient is off, all others are right.

    A special case for one index, an in-place write that hits a neighbour, a hand-edited constant. Measured by the
    largest entry of the gradient, since a factor could not make an entry visibly wrong that is itself almost 0.
    """

    magnitude: Optional[float] = 1e-2

    name = "single_entry"
    kind = "entries"
    why = "one entry is off"
    formula = texts(entry="dJ_j + magnitude max_k |dJ_k| for one entry j of {all}")
    uses = texts(
        param="the parameter of the entry (null: any)",
        index="the entry, inside param where that is given, else over all of theta (null: drawn with seed)",
        magnitude="size of the error",
    )
    requires = ("magnitude",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[_entry(self, layout, rng)] += correct.dtype.type(self.magnitude) * _largest(correct)
        return wrong


@dataclass
class RelativeNoise(OutputBug):
    """Entries of the gradient are off by random factors.

    A stochastic estimate (dropout, sampling, a sketch) compared with the exact loss, or a table of a function that is
    too coarse.
    """

    magnitude: Optional[float] = 1e-2
    fraction: Optional[float] = 1.0

    name = "relative_noise"
    kind = "scattered"
    why = "every entry its own factor; entries where fraction is small"
    formula = texts(entry="dJ_j (1 + magnitude e_j) with e_j ~ N(0, 1), for a fraction of the entries j of {all}")
    uses = texts(
        param="where (null: everywhere)",
        magnitude="standard deviation of the relative error",
        fraction="share of the entries that are hit",
    )
    requires = ("magnitude", "fraction")
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[self.where(layout)] += _noise(self, correct, layout, rng) * correct[self.where(layout)]
        return wrong


@dataclass
class AdditiveNoise(OutputBug):
    """Random numbers are added to the gradient.

    Noise added for privacy or exploration and left on, uninitialised memory, a race between two writers. Measured by
    the root mean square of the gradient, so that the same magnitude means the same for gradients of 1e-6 and of 1e6;
    unlike relative_noise it also hits entries that are 0.
    """

    magnitude: Optional[float] = 1e-2
    fraction: Optional[float] = 1.0

    name = "additive_noise"
    kind = "scattered"
    why = "every entry its own offset; entries where fraction is small"
    formula = texts(entry="dJ_j + magnitude rms(dJ) e_j with e_j ~ N(0, 1), for a fraction of the entries j of {all}")
    uses = texts(
        param="where (null: everywhere)",
        magnitude="standard deviation over rms(dJ), taken over all of theta",
        fraction="share of the entries that are hit",
    )
    requires = ("magnitude", "fraction")
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[self.where(layout)] += _noise(self, correct, layout, rng) * _root_mean_square(correct)
        return wrong


@dataclass
class Clipped(OutputBug):
    """The entries of the gradient are clipped.

    Gradient clipping, meant for the optimiser, sits inside the function that returns the gradient.
    """

    magnitude: Optional[float] = 0.5

    name = "clipped"
    kind = "clipped"
    why = "the largest entries stand at the limit"
    formula = texts(entry="min(max(dJ_j, -t), t) with t = magnitude max_k |dJ_k|, for every entry j of {all}")
    uses = texts(
        param="clip this parameter by its own largest entry (null: all of theta together)",
        magnitude="the limit over the largest entry, below 1 to have an effect",
    )
    requires = ("magnitude",)
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        limit = correct.dtype.type(self.magnitude) * _largest(correct[here])
        wrong[here] = np.clip(correct[here], -limit, limit)
        return wrong


class Downcast(OutputBug):
    """The gradient is kept in a buffer of too low a precision.

    np.zeros(..., dtype=np.float32) for the gradients of a float64 model, mixed precision left on, a file format with
    fewer digits. longdouble becomes float64, float64 float32, float32 float16; there large values become infinite and
    small ones 0. The loss keeps the full precision. low rounds to the next lower dtype.
    """

    name = "downcast"
    kind = "precision"
    why = "every entry is rounded to a lower dtype"
    formula = texts(gradient="low({g})")
    uses = texts(
        param="which parameter (null: all)",
        index="this entry alone, inside param where that is given, else over all of theta (null: all entries)",
    )

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        if self.index is not None:
            here = slice(here.start + self.index, here.start + self.index + 1)
        with np.errstate(over="ignore", under="ignore"):
            wrong[here] = correct[here].astype(lower_precision(correct.dtype)).astype(correct.dtype)
        return wrong


def lower_precision(dtype: np.dtype) -> np.dtype:
    """The widest floating dtype with a shorter significand; float16 stays."""
    bits = np.finfo(dtype).nmant
    shorter = (np.dtype(t) for t in (np.float64, np.float32) if np.finfo(t).nmant < bits)
    return next(shorter, np.dtype(np.float16))


def _entry(bug: OutputBug, layout: Layout, rng: Generator) -> int:
    """Flat index of the entry that ``param`` and ``index`` name; drawn where ``index`` is null."""
    where = bug.where(layout)
    inside = int(rng.integers(where.stop - where.start)) if bug.index is None else bug.index
    return int(where.start) + inside


def _noise(bug: OutputBug, correct: Array, layout: Layout, rng: Generator) -> Array:
    """magnitude N(0, 1) for a fraction of the entries of ``param``, 0 for the others."""
    assert bug.fraction is not None
    assert bug.magnitude is not None
    noise = np.zeros(correct[bug.where(layout)].shape, correct.dtype)
    hit = some(rng, noise.size, bug.fraction)
    noise[hit] = bug.magnitude * rng.standard_normal(hit.size)
    return noise


def _largest(g: Array) -> Array:
    return np.abs(g).max(initial=0)


def _root_mean_square(g: Array) -> Array:
    largest = _largest(g)
    # scaled by the largest entry, so that no square leaves the range of the dtype
    return largest * np.sqrt(np.mean((g / largest) ** 2)) if largest > 0 else largest


OUTPUT_BUGS: tuple[type[Bug], ...] = (
    NoBug,
    SignFlip,
    Scale,
    ZeroEntry,
    ZeroParam,
    SingleEntry,
    RelativeNoise,
    AdditiveNoise,
    Clipped,
    Downcast,
)
