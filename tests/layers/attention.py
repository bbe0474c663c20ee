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


class MultiHeadAttention(Layer):
    """Heads of softmax(Q K^T / sqrt(d / heads)) V side by side, times Wo; with biases; x (n, time, d)."""

    def __init__(self, d: int, heads: int, rng: np.random.Generator) -> None:
        weights = {f"W{name}": rng.normal(size=(d, d)) / np.sqrt(d) for name in "qkvo"}
        super().__init__(**weights, **{f"b{name}": rng.normal(size=d) for name in "qkvo"})
        self.heads, self.scale = heads, np.sqrt(heads / d)

    def split(self, x: Array) -> Array:
        """(n, time, d) -> (n, heads, time, d / heads)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def merge(self, x: Array) -> Array:
        """(n, heads, time, d / heads) -> (n, time, d)."""
        return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def forward(self, x: Array) -> Array:
        """The output (n, time, d)."""
        q, k, v = (self.split(x @ self.params[f"W{name}"] + self.params[f"b{name}"]) for name in "qkv")
        weights = softmax(self.scale * q @ k.swapaxes(2, 3))
        mixed = self.merge(weights @ v)
        self.kept = (x, q, k, v, weights, mixed)
        return mixed @ self.params["Wo"] + self.params["bo"]

    def by_scores(self, dweights: Array, weights: Array) -> Array:
        """The gradient by the scores."""
        return softmax_backward(dweights, weights)

    def backward(self, dout: Array) -> Array:
        """The gradient by the input: through queries, keys and values."""
        x, q, k, v, weights, mixed = self.kept
        dmixed = self.split(dout @ self.params["Wo"].T)
        dscores = self.scale * self.by_scores(dmixed @ v.swapaxes(2, 3), weights)
        by = {"q": dscores @ k, "k": dscores.swapaxes(2, 3) @ q, "v": weights.swapaxes(2, 3) @ dmixed}
        found = {name: self.merged(d) for name, d in by.items()} | {"o": dout}
        self.grads = {f"b{name}": d.sum(axis=(0, 1)) for name, d in found.items()}
        inputs = {name: mixed if name == "o" else x for name in found}
        self.grads |= {f"W{name}": np.einsum("nti,ntj->ij", inputs[name], d) for name, d in found.items()}
        return sum((found[name] @ self.params[f"W{name}"].T for name in "qkv"), np.zeros_like(x))

    def merged(self, x: Array) -> Array:
        """The heads side by side again, on the way back."""
        return self.merge(x)


class Softmax(Layer):
    """exp(x) over its sum along the last axis; with ``causal``, x (…, time, time), a step sees no later one."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def masked(self, x: Array) -> Array:
        """The scores that are seen, -inf elsewhere."""
        return np.where(np.tri(*x.shape[-2:], dtype=bool), x, -np.inf) if self.causal else x

    def forward(self, x: Array) -> Array:
        """The weights."""
        self.kept = (x, softmax(self.masked(x)))
        return self.kept[1]

    def backward(self, dout: Array) -> Array:
        """The gradient by the scores."""
        return softmax_backward(dout, self.kept[1])


class TiedWords(Layer):
    """Scores of all words from the mean of the vectors of some: mean_t E[x_t] E^T, for words x (n, time)."""

    def __init__(self, words: int, d: int, rng: np.random.Generator) -> None:
        super().__init__(E=rng.normal(size=(words, d)))

    def forward(self, x: Array) -> Array:
        """The scores (n, words)."""
        mean = self.params["E"][x].mean(axis=1)
        self.kept = (x, mean)
        return mean @ self.params["E"].T

    def backward(self, dout: Array) -> None:
        """Words have no gradient; E has one from each of its uses."""
        self.grads = {"E": self.by_input(dout) + self.by_output(dout)}

    def by_input(self, dout: Array) -> Array:
        """From the vectors that are averaged."""
        x, _ = self.kept
        found = np.zeros_like(self.params["E"])
        np.add.at(found, x, ((dout @ self.params["E"]) / x.shape[1])[:, None])
        return found

    def by_output(self, dout: Array) -> Array:
        """From the scores."""
        return dout.T @ self.kept[1]


class PaddedEmbedding(Embedding):
    """An embedding whose word 0 is padding, and has a vector of zeros whatever E says."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * (x > 0)[..., None]

    def backward(self, dout: Array) -> None:
        super().backward(dout * (self.kept > 0)[..., None])
