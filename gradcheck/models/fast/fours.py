"""Hidden units below a single output, four at a time: one quotient of sums of exponentials, whatever the step.

With F = exp(-c z) and D = exp(c m w) a unit at z + m w is F / (F + D) (``exponentials``).  Four of them, each with the weight v
with which it enters the output, have one denominator, and a product of exponentials is the exponential of a sum:

    sum_i v_i F_i / (F_i + D_i) = sum_S v_S F_S exp(c m w_R) / sum_S F_S exp(c m w_R)

over all sets S of the four, with F_S the product of F in S, v_S the sum of v in S, and w_R that of w in the rest R.  The
exponentials are summed by their series: what stands before each power of m is a product of all F_S, which hold for every
row, and of what the row says.  So numerators and denominators at many m are one product of matrices for each example.

What all are at theta is computed in the same order, hence a step of 0 changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gradcheck.models.activations import Activation
from gradcheck.models.fast.blocks import aligned
from gradcheck.models.fast.exponentials import MOST_TERMS, Rate, rate_of
from gradcheck.numerics.rounding import VARIANCE, unit_roundoff

Array = np.ndarray

# units that share a quotient; twice as many would have 16 times as many sets
TOGETHER = 4
# F to this power must be a number: the product of all, with room for weights and sums
POWER = TOGETHER + 1
# whether the unit is in the set, (sets, units)
_IN = (np.arange(2**TOGETHER)[:, None] >> np.arange(TOGETHER) & 1).astype(bool)
# numerators and denominators of some examples: a megabyte in float64, half of which is divided by the other half; with fewer,
# the calls of NumPy take the time
BLOCK_NUMBERS = 2**17
# examples whose series BLAS multiplies with one thread, whatever the number of its threads
ONE_THREAD = 2**10


class Row(NamedTuple):
    """What a row of weights says of all examples.

    series : (n, 2, fours, terms) what stands before the powers of m in numerators and denominators, the highest first.
    resting : (n,) the output's change is counted from here: the sum of all quotients at m = 0.
    """

    series: Array
    resting: Array


class Memory(NamedTuple):
    """Arrays to be written over: powers (MOST_TERMS, e, b), numerators and denominators (2 fours, e, b)."""

    powers: Array
    parts: Array


class Fours:
    """A layer of hidden units at theta that is followed by a single output.

    z : (n, h) before the activation.   following : (h,) the output's weights.
    """

    def __init__(self, of: Rate, z: Array, following: Array) -> None:
        self._of = of
        n, h = z.shape
        self._fours = -(-h // TOGETHER)
        inverse = np.zeros((n, self._fours * TOGETHER), z.dtype)
        # what there is not has F = 0 and D = 1, and is no factor
        inverse[:, :h] = np.exp(z * z.dtype.type(-of.rate))
        self._sets = _products_of_sets(inverse.reshape(n, self._fours, TOGETHER))
        self._following = _sums_of_sets(self._each(following * z.dtype.type(of.scale)), _IN)

    def terms(self, reach: Array) -> Array:
        """How many terms the series need where a step changes an input of some unit by ``reach``, (m,); 0 for a large one.

        An even number, so that few sheets have points of several.
        """
        limits, counts = self._limits
        found: Array = np.searchsorted(limits, TOGETHER * abs(self._of.rate) * reach)
        return counts[found]

    @cached_property
    def _limits(self) -> tuple[Array, Array]:
        """Up to where the first term that is left out is a quarter of the unit roundoff, for 2, 4, ... terms; their numbers."""
        u = unit_roundoff(self._sets.dtype)
        counts = range(2, MOST_TERMS + 1, 2)
        return np.array([(math.factorial(p) * u / 4) ** (1 / p) for p in counts]), np.array([*counts, 0])

    def memory(self, points: int) -> Memory:
        """What ``output_after`` writes over, for so many points."""
        parts, dtype = 2 * self._fours, self._sets.dtype
        examples = min(self._sets.shape[1], max(1, BLOCK_NUMBERS // (parts * points)))

        def flat(k: int) -> Array:
            return aligned(1, k * examples * points, dtype)[0][: k * examples * points].reshape(k, examples, points)

        return Memory(flat(MOST_TERMS), flat(parts))

    def row(self, weights: Array, terms: int) -> Row:
        """Of the weights (h,) with which a unit of the layer before enters these."""
        dtype = self._sets.dtype
        w = _sums_of_sets(self._each(weights * dtype.type(self._of.rate)), ~_IN)
        powers = np.ones((*w.shape, terms), dtype)
        for p in range(1, terms):
            np.multiply(powers[..., -p], w / dtype.type(p), out=powers[..., -p - 1])
        of_sets = np.stack([self._following[..., None] * powers, powers])
        series = np.empty((self._sets.shape[1], 2, self._fours, terms), dtype)
        out = series.transpose(1, 2, 0, 3)
        for start in range(0, len(series), ONE_THREAD):
            some = slice(start, start + ONE_THREAD)
            np.matmul(self._sets[:, some], of_sets, out=out[:, :, some])
        above, below = np.ascontiguousarray(series[..., -1].transpose(1, 2, 0))
        return Row(series, _quotients(above, below))

    def output_after(self, row: Row, fill: Callable[[slice, Array], None], memory: Memory, out: Array) -> None:
        """By how much the output changes at some points, written to ``out`` (b, n).

        fill(some, m) : writes to m (e, b) by how much the unit before has moved in some examples.
        """
        n, _, fours, terms = row.series.shape
        matrices = row.series.reshape(n, 2 * fours, terms)
        powers, parts = memory.powers[-terms:], memory.parts
        powers[-1] = 1
        for start in range(0, n, parts.shape[1]):
            some = slice(start, min(start + parts.shape[1], n))
            m, of_some = powers[:, : some.stop - start], parts[:, : some.stop - start]
            fill(some, m[-2])
            for p in range(2, terms):
                np.multiply(m[-p], m[-2], out=m[-p - 1])
            # each example has a product of its own, of a shape that follows from the sizes of the net
            np.matmul(matrices[some], m.transpose(1, 0, 2), out=of_some.transpose(1, 0, 2))
            found = _quotients(of_some[:fours], of_some[fours:])
            np.subtract(found, row.resting[some, None], out=out[:, some].T)

    def _each(self, weights: Array) -> Array:
        """Weights of the units (h,), four by four; 0 for what there is not."""
        found = np.zeros(self._fours * TOGETHER, weights.dtype)
        found[: len(weights)] = weights
        return found.reshape(self._fours, TOGETHER)


def fours_of(activation: Activation, z: Array, following: Array) -> Fours | None:
    """The units with the outputs z (n, h) before the activation; None where there is no faster way than in full."""
    of = rate_of(activation, z, POWER)
    return None if of is None else Fours(of, z, following)


def fours_variance(activation: Activation, z: Array, following: Array) -> Array | None:
    """Variance of the rounding error of the output as ``Fours.output_after`` computes it, over u**2, in float64; (n,).

    z : in the dtype.   following : in float64.   None where it computes none.

    One unit for every addition to a numerator and to its denominator, in the worst order of the sums, one for the quotient, and
    one for each sum of quotients.  What was rounded in F is the same at every point.
    """
    of = rate_of(activation, z, POWER)
    if of is None:
        return None
    with np.errstate(all="ignore"):
        units = of.scale * following / (1 + np.exp(of.rate * np.asarray(z, np.float64)))
    n, h = units.shape
    padded = np.zeros((-(-h // TOGETHER) * TOGETHER, n))
    padded[:h] = units.T
    quotients = padded.reshape(-1, TOGETHER, n).sum(axis=1)
    variance: Array = (2 * (MOST_TERMS - 1) + 1) * (quotients**2).sum(axis=0)
    while len(quotients) > 1:
        quotients = _halved(quotients)
        variance += (quotients**2).sum(axis=0)
    return VARIANCE * variance


def _quotients(above: Array, below: Array) -> Array:
    """The sum over the first axis of above / below, which is written over ``above``."""
    found = np.divide(above, below, out=above)
    while len(found) > 1:
        found = _halved(found)
    first: Array = found[0]
    return first


def _halved(terms: Array) -> Array:
    """Half as many terms of the same sum: the last ones are added to the first."""
    half = len(terms) // 2
    terms[:half] += terms[len(terms) - half :]
    return terms[: len(terms) - half]


def _products_of_sets(factors: Array) -> Array:
    """The products of the factors (n, fours, 4) in every set, (fours, n, sets); 1 for the empty one."""
    found = np.ones((factors.shape[1], factors.shape[0], len(_IN)), factors.dtype)
    for k in range(TOGETHER):
        found[..., 2**k : 2 ** (k + 1)] = found[..., : 2**k] * factors[..., k].T[..., None]
    return found


def _sums_of_sets(terms: Array, which: Array) -> Array:
    """The sums of the terms (fours, 4) over each set, (fours, sets)."""
    found: Array = np.where(which, terms[:, None], 0).sum(axis=2)
    return found
