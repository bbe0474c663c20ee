"""Hidden units that are quotients of exponentials, moved by a multiple of one row of weights: no exponential a unit.

With F = exp(-c z) and D = exp(c m w), a unit at z + m w is a quotient,

    1 / (1 + exp(c (z + m w))) = F / (F + D),      sigmoid: c = -1;  tanh = 1 - 2 times that of c = 2.

F is the same wherever the row moves.  m is a number for each example and w one for each unit, so that the powers of m w of
which a small step's D is summed are a matrix product of the powers of m and those of w, with as many terms as the dtype shows.

Quotients at theta are subtracted before they are weighted: a step of 0 changes no bit, and what is summed is small.
The shapes of the products follow from the sizes of net and data and from the point's own step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.numerics.rounding import VARIANCE, unit_roundoff

Array = np.ndarray

# with fewer examples the calls of NumPy take the time
FEWEST_EXAMPLES = 256
# numbers of what all points share, and of what is computed for some points together: both fit the second-level cache
SHARED_NUMBERS, BLOCK_NUMBERS = 2**13, 2**17
# of the series of exp; with more, exp itself takes no longer
MOST_TERMS = 8


class Rate(NamedTuple):
    """An activation as offset + scale / (1 + exp(rate z)).   steepness : the most that it changes by a change of 1 in z."""

    rate: float
    scale: float
    steepness: float


# by the very function: another one may have the same name
_RATES: dict[Callable[[Array], Array], Rate] = {
    ACTIVATIONS["tanh"].value: Rate(2.0, -2.0, 1.0),
    ACTIVATIONS["sigmoid"].value: Rate(-1.0, 1.0, 0.25),
}


class Memory(NamedTuple):
    """Arrays to be written over: powers (terms, b, n) and (terms, b, h), and units of some examples."""

    left: Array
    right: Array
    units: Array


class Hidden(NamedTuple):
    """A hidden layer at theta: F and F / (F + 1), (n, h)."""

    of: Rate
    inverse: Array
    resting: Array

    def terms(self, reach: Array) -> Array:
        """How many terms the series needs where a step changes an input of some unit by ``reach``, (m,); 0 for a large one."""
        u = unit_roundoff(self.inverse.dtype)
        # the first term that is left out is a quarter of the unit roundoff; the next are far smaller
        limits = [(math.factorial(p) * u / 4) ** (1 / p) for p in range(2, MOST_TERMS + 1)]
        found = 2 + np.searchsorted(limits, abs(self.of.rate) * reach)
        return np.where(found <= MOST_TERMS, found, 0)

    @property
    def points(self) -> int:
        """How many points ``after`` looks at together."""
        return max(1, BLOCK_NUMBERS // self._numbers)

    @property
    def _examples(self) -> int:
        """How many examples ``after`` looks at together: few, so that what all points share stays in the cache."""
        return min(len(self.inverse), max(1, SHARED_NUMBERS // self.inverse.shape[1]))

    @property
    def _numbers(self) -> int:
        return self._examples * self.inverse.shape[1]

    def memory(self, points: int) -> Memory:
        """What ``after`` writes over, for so many points: new pages each time take as long as some of the calls."""
        n, h = self.inverse.shape
        dtype = self.inverse.dtype
        return Memory(
            np.empty((MOST_TERMS, points, n), dtype),
            np.empty((MOST_TERMS, points, h), dtype),
            np.empty(points * self._numbers, dtype),
        )

    def after(self, moved: Array, weights: Array, terms: int, following: Array, memory: Memory, out: Array) -> Array:
        """By how much the layer's outputs times ``following`` (h, k) change; (b, n, k), written to ``out``.

        moved, weights : the input of unit h at example n of the point b moves by moved[b, n] weights[b, h].
        following : the next layer's weights, times the scale of the units.
        """
        b, n = moved.shape
        # the small terms come first, so that the sum is rounded once
        left, right = memory.left[:terms, :b], memory.right[:terms, :b]
        left[-1], right[-1] = 1, 1
        weights = weights * weights.dtype.type(self.of.rate)
        for p in range(1, terms):
            np.multiply(left[-p], moved, out=left[-p - 1])
            np.multiply(right[-p], weights / weights.dtype.type(p), out=right[-p - 1])
        powers, series = left.transpose(1, 2, 0), right.transpose(1, 0, 2)
        for start in range(0, n, self._examples):
            some = slice(start, min(start + self._examples, n))
            inverse = self.inverse[some]
            units = memory.units[: b * inverse.size].reshape(b, *inverse.shape)
            np.matmul(powers[:, some], series, out=units)
            units += inverse
            np.divide(inverse, units, out=units)
            units -= self.resting[some]
            np.matmul(units, following, out=out[:, some])
        return out


def rate_of(activation: Activation, z: Array, power: int) -> Rate | None:
    """The activation as a quotient; None unless examples are many, and F to this power neither overflows nor vanishes."""
    if activation.value not in _RATES or len(z) < FEWEST_EXAMPLES or z.dtype.itemsize > 8:
        return None
    highest = math.log(float(np.finfo(z.dtype).max)) / power
    of = _RATES[activation.value]
    return of if float(np.abs(z).max()) * abs(of.rate) <= highest else None


def hidden_of(activation: Activation, z: Array) -> Hidden | None:
    """The layer with the outputs z (n, h) before the activation; None where there is no faster way than in full."""
    of = rate_of(activation, z, 2)
    if of is None:
        return None
    inverse = np.exp(z * z.dtype.type(-of.rate))
    return Hidden(of, inverse, inverse / (inverse + z.dtype.type(1)))


def quotient_variance(activation: Activation, z: Array) -> Array | None:
    """Variance of the rounding error of the activation as ``Hidden.after`` computes it, over u**2, in float64; (n, h).

    z : in the dtype.   None where it computes none.

    One unit each for F + D, for the quotient, and for every addition to D, in the worst order of the sum.  What was rounded
    in F is the same at every point.
    """
    of = rate_of(activation, z, 2)
    if of is None:
        return None
    with np.errstate(all="ignore"):
        quotient = 1 / (1 + np.exp(of.rate * np.asarray(z, np.float64)))
    additions = (MOST_TERMS - 1) * (quotient * (1 - quotient)) ** 2
    variance: Array = of.scale**2 * VARIANCE * (2 * quotient**2 + additions)
    return variance
