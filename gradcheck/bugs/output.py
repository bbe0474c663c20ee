"""Mistakes in the finished gradient: they need no knowledge of the model.

``g`` is the correct gradient, flat; where ``param`` is given, the entries of other parameters stay as they are.
"""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from gradcheck.bugs.base import Array, Generator, OutputBug, some
from gradcheck.numerics.layout import Layout


class NoBug(OutputBug):
    """The gradient as it is: g."""

    name = "none"

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        return correct.copy()


class SignFlip(OutputBug):
    """Wrong sign: -g."""

    name = "sign_flip"
    uses = ("param",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        wrong[here] = -correct[here]
        return wrong


@dataclass
class Scale(OutputBug):
    """A constant factor too much: g (1 + magnitude)."""

    magnitude: Optional[float] = 1e-3

    name = "scale"
    uses = ("param", "magnitude")
    requires = ("magnitude",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        # the sum is rounded in the gradient's own dtype: longdouble keeps a magnitude below 1e-16
        wrong[here] *= 1 + correct.dtype.type(self.magnitude)
        return wrong


class ZeroEntry(OutputBug):
    """One entry is never computed: g_j = 0."""

    name = "zero_entry"
    uses = ("param", "index")

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[_entry(self, layout, rng)] = 0
        return wrong


class ZeroParam(OutputBug):
    """The gradient of a whole parameter is never computed: 0; the first parameter for null."""

    name = "zero_param"
    uses = ("param",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[layout.slices[self.param or layout.names[0]]] = 0
        return wrong


@dataclass
class SingleEntry(OutputBug):
    """One entry is off: g_j + magnitude max_k |g_k|, the maximum taken over all of theta.

    Measured by the largest entry, since an entry that is itself tiny or 0 could not be made visibly wrong by a factor.
    """

    magnitude: Optional[float] = 1e-2

    name = "single_entry"
    uses = ("param", "index", "magnitude")
    requires = ("magnitude",)

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[_entry(self, layout, rng)] += correct.dtype.type(self.magnitude) * _largest(correct)
        return wrong


@dataclass
class RelativeNoise(OutputBug):
    """Entries off by random factors: g_j (1 + magnitude N(0, 1)), in a fraction of the entries."""

    magnitude: Optional[float] = 1e-2
    fraction: Optional[float] = 1.0

    name = "relative_noise"
    uses = ("param", "magnitude", "fraction")
    requires = ("magnitude", "fraction")
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[self.where(layout)] += _noise(self, correct, layout, rng) * correct[self.where(layout)]
        return wrong


@dataclass
class AdditiveNoise(OutputBug):
    """Random numbers on top: g_j + magnitude rms(g) N(0, 1), in a fraction of the entries.

    Measured by the root mean square over all of theta, so that the same magnitude means the same for gradients of any
    scale; unlike relative noise it also hits entries that are 0.
    """

    magnitude: Optional[float] = 1e-2
    fraction: Optional[float] = 1.0

    name = "additive_noise"
    uses = ("param", "magnitude", "fraction")
    requires = ("magnitude", "fraction")
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong = correct.copy()
        wrong[self.where(layout)] += _noise(self, correct, layout, rng) * _root_mean_square(correct)
        return wrong


@dataclass
class Clipped(OutputBug):
    """Gradient clipping left on: each entry limited to [-t, t] with t = magnitude max_k |g_k|."""

    magnitude: Optional[float] = 0.5

    name = "clipped"
    uses = ("param", "magnitude")
    requires = ("magnitude",)
    positive = True

    def corrupt(self, correct: Array, layout: Layout, rng: Generator) -> Array:
        wrong, here = correct.copy(), self.where(layout)
        limit = correct.dtype.type(self.magnitude) * _largest(correct[here])
        wrong[here] = np.clip(correct[here], -limit, limit)
        return wrong


class Downcast(OutputBug):
    """A gradient buffer of too low a precision: each entry rounded to the next lower dtype and cast back.

    longdouble to float64 to float32 to float16; what is too large for the lower dtype becomes infinite.
    """

    name = "downcast"
    uses = ("param", "index")

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
