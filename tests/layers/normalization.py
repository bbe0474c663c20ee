"""Normalization of examples and features, and dropout."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


def normalized_backward(dnormal: Array, normal: Array, deviation: Array, axis: int) -> Array:
    """The gradient by x of normal = (x - mean) / deviation, where both are taken along the axis."""
    mean = dnormal.mean(axis=axis, keepdims=True)
    slope = (dnormal * normal).mean(axis=axis, keepdims=True)
    return (dnormal - mean - normal * slope) / deviation


class BatchNorm(Layer):
    """Each feature of x (n, d) with mean 0 and variance 1 over the batch, times gamma, plus beta.

    In training it keeps running statistics, by which it normalizes in evaluation.
    """

    def __init__(self, d: int, rng: np.random.Generator, momentum: float = 0.9, eps: float = 1e-5) -> None:
        super().__init__(gamma=rng.uniform(0.5, 1.5, d), beta=rng.normal(size=d))
        self.momentum, self.eps = momentum, eps
        self.mean, self.variance = np.zeros(d), np.ones(d)
        self.training = True

    def forward(self, x: Array) -> Array:
        """The output (n, d)."""
        mean, variance = (x.mean(axis=0), x.var(axis=0)) if self.training else (self.mean, self.variance)
        if self.training:
            self.mean = self.momentum * self.mean + (1 - self.momentum) * mean
            self.variance = self.momentum * self.variance + (1 - self.momentum) * variance
        deviation = np.sqrt(variance + self.eps)
        normal = (x - mean) / deviation
        self.kept = (normal, deviation)
        return self.params["gamma"] * normal + self.params["beta"]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input, through the batch's mean and variance in training."""
        normal, deviation = self.kept
        self.grads = {"gamma": (dout * normal).sum(axis=0), "beta": dout.sum(axis=0)}
        dnormal = dout * self.params["gamma"]
        return normalized_backward(dnormal, normal, deviation, 0) if self.training else dnormal / deviation


class LayerNorm(Layer):
    """Each row of x (..., d) with mean 0 and variance 1, times gamma, plus beta."""

    def __init__(self, d: int, rng: np.random.Generator, eps: float = 1e-5) -> None:
        super().__init__(gamma=rng.uniform(0.5, 1.5, d), beta=rng.normal(size=d))
        self.eps = eps

    def forward(self, x: Array) -> Array:
        """The output (..., d)."""
        deviation = np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        normal = (x - x.mean(axis=-1, keepdims=True)) / deviation
        self.kept = (normal, deviation)
        return self.params["gamma"] * normal + self.params["beta"]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input."""
        normal, deviation = self.kept
        axes = tuple(range(dout.ndim - 1))
        self.grads = {"gamma": (dout * normal).sum(axis=axes), "beta": dout.sum(axis=axes)}
        return normalized_backward(dout * self.params["gamma"], normal, deviation, -1)


class Dropout(Layer):
    """Each entry with probability ``keep``, over ``keep``, else 0."""

    def __init__(self, keep: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.keep, self.rng, self.training = keep, rng, True

    def forward(self, x: Array) -> Array:
        """The output; x itself in evaluation."""
        self.kept = (self.rng.random(x.shape) < self.keep) / self.keep if self.training else np.ones_like(x)
        return x * self.kept

    def backward(self, dout: Array) -> Array:
        """dy times the mask."""
        return dout * self.kept


class GroupNorm(Layer):
    """The channels of x (n, c, height, width) in groups, each group of an example with mean 0 and variance 1."""

    def __init__(self, channels: int, groups: int, rng: np.random.Generator, eps: float = 1e-5) -> None:
        super().__init__(gamma=rng.uniform(0.5, 1.5, channels), beta=rng.normal(size=channels))
        self.groups, self.eps = groups, eps

    def forward(self, x: Array) -> Array:
        """The output (n, c, height, width)."""
        rows = x.reshape(len(x), self.groups, -1)
        deviation = np.sqrt(rows.var(axis=2, keepdims=True) + self.eps)
        normal = (rows - rows.mean(axis=2, keepdims=True)) / deviation
        self.kept = (normal.reshape(x.shape), deviation)
        return self.params["gamma"][:, None, None] * self.kept[0] + self.params["beta"][:, None, None]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input."""
        normal, deviation = self.kept
        self.grads = {"gamma": (dout * normal).sum(axis=(0, 2, 3)), "beta": dout.sum(axis=(0, 2, 3))}
        return self.by_rows(dout * self.params["gamma"][:, None, None], normal, deviation)

    def by_rows(self, dnormal: Array, normal: Array, deviation: Array) -> Array:
        """The gradient by the input, where each row is a group of an example."""
        shape = (len(dnormal), self.groups, -1)
        return normalized_backward(dnormal.reshape(shape), normal.reshape(shape), deviation, 2).reshape(dnormal.shape)
