"""Heads: what stands behind the last layer's z, which is the loss of each example, its derivative, and the rounding of both.

A net of dense layers is composed with one of them, as a generalised linear model is with its loss: ``linear``, ``logistic``,
``mlp`` and ``softmax`` are settings and a head.  All arrays have one row an example: z and delta (n, k), y as the target is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from gradcheck.models.cross_entropy import (
    LOGIT_LIMIT,
    PROBABILITY_FLOOR,
    cross_entropy_beyond,
    cross_entropy_delta_rounding,
    cross_entropy_loss_rounding,
    cross_entropy_total,
    probability,
)
from gradcheck.models.functions import clip, log_softmax, sigmoid, softmax, total
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols, product
from gradcheck.numerics.rounding import ELEMENTARY, VARIANCE, binade

Array = np.ndarray
LOG_FLOOR = math.log(PROBABILITY_FLOOR)
LOG_CEILING = math.log1p(-PROBABILITY_FLOOR)


class Head(ABC):
    """The loss of a net as a function of the last layer's z: ``factor`` times the sum over the examples of each one's.

    Where a stack of nets has a z and a y each, (p, n, k), the answers have this first axis too, unless it is said otherwise.
    """

    # --- the mathematics ----------------------------------------------------------------------------------------------

    @property
    def factor(self) -> float:
        """Constant in front of ``total``, beside the mean."""
        return 1.0

    def outputs(self, y: Array) -> int:
        """Number k of outputs of the last layer."""
        return int(y.shape[-1])

    @abstractmethod
    def total(self, z: Array, y: Array) -> Array:
        """Sum of the loss over the examples, before the mean and ``factor``; scalar of z's dtype, or one for each of a
        stack of z (B, n, k).
        """

    @abstractmethod
    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        """Derivative of ``factor`` times ``total`` by z, (n, k), made of ``parts``."""

    def delta_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        """``delta`` and the outputs o in symbols; z stands for the last layer's."""
        return {"delta": symbols.step("examples", delta="the derivative of the loss by z")}

    # --- its rounding errors, all in float64 ----------------------------------------------------------------------------

    @abstractmethod
    def loss_rounding(self, z: Array, y: Array) -> Array:
        """Standard deviation of the rounding error of each example's loss at a given z, over u; (n,)."""

    @abstractmethod
    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        """Standard deviation of the rounding error of delta, (n, k), where that of z is ``sigma`` (n, k)."""

    def scale_of_z(self, z: Array, y: Array) -> float:
        """The change of z over which the loss behaves like its Taylor polynomial of low degree: 1 for sigmoid and softmax."""
        return 1.0

    # --- where it is clipped ------------------------------------------------------------------------------------------

    def beyond(self, z: Array, y: Array) -> Array:
        """How far the loss at each z lies beyond the limit where it is clipped, (n, k) or (n, 1), in units of the loss.

        Positive where it is clipped, hence flat though the textbook's delta is not 0; negative inside the limit.
        """
        return np.full(z.shape, -np.inf)

    def may_clip(self, z: Array) -> bool:
        """A cheap test: False only where no entry of z is beyond the limit."""
        return False


def by_example(sigma: Array) -> Array:
    """Standard deviations of the sums over the outputs of each example, (n,), from those of the terms (n, k)."""
    deviation: Array = sigma[..., 0] if sigma.shape[-1] == 1 else np.sqrt((sigma**2).sum(axis=-1))
    return deviation


@dataclass(frozen=True)
class SquaredError(Head):
    """``constant`` times the sum of squares of the residuals z - y; delta 2 constant (z - y)."""

    constant: float = 1.0

    @property
    def factor(self) -> float:
        return self.constant

    def total(self, z: Array, y: Array) -> Array:
        r = z - y
        return total(r * r)

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        r = parts.residual(z, y)
        return r if self.constant == 0.5 else 2 * self.constant * r

    def delta_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        r = symbols.step("residual", outputs="o", y=symbols.step("y"))
        delta = r if self.constant == 0.5 else f"{2 * self.constant:g} ({r})"
        return {"delta": symbols.step("examples", delta=delta), "o": "z"}

    def loss_rounding(self, z: Array, y: Array) -> Array:
        r = z - y
        sigma_r = np.sqrt(VARIANCE * binade(r) ** 2)
        sigma = np.sqrt((2 * r * sigma_r) ** 2 + VARIANCE * binade(r * r) ** 2)
        return by_example(sigma) * self.constant

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        return np.sqrt(sigma**2 + VARIANCE * (u * binade(z - y)) ** 2) * 2 * self.constant

    def scale_of_z(self, z: Array, y: Array) -> float:
        # a quadratic loss has no scale of its own; beyond many residuals the loss only grows, and its noise with it
        size = 100 * float(np.sqrt(np.mean((z - y) ** 2)))
        return max(size, float(np.abs(y).max(initial=0.0)), float(np.abs(z).max(initial=0.0))) or 1.0


def _of_class(numbers: Array, y: Array) -> Array:
    """Of each example's numbers (..., n, k) that of its class y (n,), or (..., n); (..., n)."""
    found: Array = np.take_along_axis(numbers, np.broadcast_to(y, numbers.shape[:-1])[..., None], axis=-1)[..., 0]
    return found


class CrossEntropy(Head):
    """Binary cross-entropy of sigmoid outputs o, summed over the outputs; delta o - y."""

    def total(self, z: Array, y: Array) -> Array:
        return cross_entropy_total(z, y)

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(probability(z), y)

    def delta_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        r = symbols.step("residual", outputs="o", y=symbols.step("y"))
        return {"delta": symbols.step("examples", delta=r), "o": "sigmoid(z)"}

    def loss_rounding(self, z: Array, y: Array) -> Array:
        return by_example(cross_entropy_loss_rounding(z, y))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        return cross_entropy_delta_rounding(z, y, sigma, u)

    def beyond(self, z: Array, y: Array) -> Array:
        return cross_entropy_beyond(z, y)

    def may_clip(self, z: Array) -> bool:
        return bool(np.abs(z).max(initial=0) > LOGIT_LIMIT)


class SigmoidSquaredError(Head):
    """sum((o - y)**2) / 2 over sigmoid outputs o; delta (o - y) o (1 - o)."""

    def total(self, z: Array, y: Array) -> Array:
        r = sigmoid(z) - y
        return total(r * r) / 2

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        o = sigmoid(z)
        return parts.residual(o, y) * parts.output_derivative(o)

    def delta_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        r = symbols.step("residual", outputs="o", y=symbols.step("y"))
        delta = product(r, symbols.step("output_derivative"))
        return {"delta": symbols.step("examples", delta=delta), "o": "sigmoid(z)"}

    def loss_rounding(self, z: Array, y: Array) -> Array:
        o = sigmoid(z)
        r = o - y
        # an exp, a sum and a quotient; the difference; the square, halved
        sigma_r = np.sqrt(2 * ELEMENTARY * o**2 + VARIANCE * r**2)
        return by_example(np.sqrt((r * sigma_r) ** 2 + VARIANCE * (r * r / 2) ** 2))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        o = sigmoid(z)
        slope = o * sigmoid(-z)
        r = o - y
        sigma_r = np.sqrt((slope * sigma) ** 2 + u * u * (2 * ELEMENTARY * o**2 + VARIANCE * r**2))
        # the slope o (1 - o) carries the absolute rounding of 1 - o where o is near 1
        return np.hypot(slope * sigma_r, r * (0.1 * sigma + 3 * u * o))


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Head):
    """-log p_iy of p = softmax(z) against class labels y; delta p - onehot(y).

    The probability of the true class is clipped to [1e-12, 1 - 1e-12].   n_classes : 0 takes the largest label's.
    """

    n_classes: int = 0

    def outputs(self, y: Array) -> int:
        return self.n_classes or int(y.max(initial=1)) + 1

    def total(self, z: Array, y: Array) -> Array:
        log_p = _of_class(log_softmax(z), y)
        # picking the classes of a stack leaves the examples strided: made contiguous, NumPy sums them pairwise
        summed: Array = np.ascontiguousarray(clip(log_p, LOG_FLOOR, LOG_CEILING)).sum(axis=-1)
        return -summed

    def delta(self, z: Array, y: Array, parts: Parts) -> Array:
        return parts.residual(parts.probabilities(z), np.eye(z.shape[-1], dtype=z.dtype)[y])

    def delta_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        r = symbols.step("residual", outputs="p", y=f"onehot({symbols.step('y')})")
        return {"delta": symbols.step("examples", delta=r), "p_ik": symbols.step("probabilities")}

    def loss_rounding(self, z: Array, y: Array) -> Array:
        p = softmax(z)
        shifted = z - z.max(axis=-1, keepdims=True)
        # z minus its row maximum is rounded once; so are each exp but that of 0, each partial sum, the log and the difference
        sigma = np.sqrt(VARIANCE * shifted**2)
        log_sum = np.log(np.exp(shifted).sum(axis=-1))
        log_p = _of_class(shifted, y) - log_sum
        propagated = (((p - np.eye(z.shape[-1])[y]) * sigma) ** 2).sum(axis=-1)
        exps = ELEMENTARY * (np.where(shifted < 0, p, 0.0) ** 2).sum(axis=-1)
        sums = VARIANCE * (1 + z.shape[-1] / 3 + log_p**2)
        return np.sqrt(propagated + (exps + sums + ELEMENTARY * log_sum**2))

    def delta_rounding(self, z: Array, y: Array, sigma: Array, u: float) -> Array:
        p = softmax(z)
        shifted = z - z.max(axis=-1, keepdims=True)
        own = p * np.sqrt(sigma**2 + VARIANCE * (u * shifted) ** 2)
        spread = np.sqrt((own**2).sum(axis=-1, keepdims=True))
        return np.sqrt(own**2 + (p * spread) ** 2 + (2 * u * p) ** 2 + (u * (p - np.eye(z.shape[-1])[y])) ** 2)

    def beyond(self, z: Array, y: Array) -> Array:
        log_p = _of_class(log_softmax(z), y)
        return np.maximum(LOG_FLOOR - log_p, log_p - LOG_CEILING)[..., None]

    def may_clip(self, z: Array) -> bool:
        # a probability below 1e-12, or all others together below it, needs logits that far apart
        return bool((z.max(axis=-1, initial=0) - z.min(axis=-1, initial=0)).max(initial=0) > -LOG_FLOOR - 2)
