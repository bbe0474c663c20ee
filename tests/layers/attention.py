"""Attention of a sequence to itself, words as vectors."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


def softmax(scores: Array) -> Array:
    """exp(s) over its sum along the last axis, without overflow."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def softmax_backward(dout: Array, weights: Array) -> Array:
    """The gradient by the scores."""
    return weights * (dout - (dout * weights).sum(axis=-1, keepdims=True))


class CausalSelfAttention(Layer):
    """softmax(Q K^T / sqrt(k)) V Wo, where no step sees a later one; x (n, time, d), k = d."""

    def __init__(self, d: int, rng: np.random.Generator) -> None:
        super().__init__(**{name: rng.normal(size=(d, d)) / np.sqrt(d) for name in ("Wq", "Wk", "Wv", "Wo")})
        self.scale = 1 / np.sqrt(d)

    def forward(self, x: Array) -> Array:
        """The output (n, time, d)."""
        q, k, v = (x @ self.params[name] for name in ("Wq", "Wk", "Wv"))
        scores = self.scale * q @ k.swapaxes(1, 2)
        later = np.triu(np.ones(scores.shape[1:], dtype=bool), 1)
        weights = softmax(np.where(later, -np.inf, scores))
        mixed = weights @ v
        self.kept = (x, q, k, v, weights, mixed)
        return mixed @ self.params["Wo"]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input: through queries, keys and values."""
        x, q, k, v, weights, mixed = self.kept
        dmixed = dout @ self.params["Wo"].T
        dscores = self.scale * softmax_backward(dmixed @ v.swapaxes(1, 2), weights)
        dq, dk, dv = dscores @ k, dscores.swapaxes(1, 2) @ q, weights.swapaxes(1, 2) @ dmixed
        self.grads = {name: self.product(x, d) for name, d in (("Wq", dq), ("Wk", dk), ("Wv", dv))}
        self.grads["Wo"] = self.product(mixed, dout)
        return dq @ self.params["Wq"].T + dk @ self.params["Wk"].T + dv @ self.params["Wv"].T

    @staticmethod
    def product(a: Array, b: Array) -> Array:
        """a^T b over all examples and steps."""
        return np.einsum("nti,ntj->ij", a, b)


class Embedding(Layer):
    """A vector for each word: row w of E (words, d), for w of integers (n, time)."""

    def __init__(self, words: int, d: int, rng: np.random.Generator) -> None:
        super().__init__(E=rng.normal(size=(words, d)))

    def forward(self, x: Array) -> Array:
        """The vectors (n, time, d)."""
        self.kept = x
        return self.params["E"][x]

    def backward(self, dout: Array) -> None:
        """Words have no gradient; a word that stands in several places gets the sum."""
        self.grads = {"E": np.zeros_like(self.params["E"])}
        np.add.at(self.grads["E"], self.kept, dout)
