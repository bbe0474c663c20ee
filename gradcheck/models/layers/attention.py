"""Attention of a sequence to itself, with several heads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, Unfit, require_count, require_steps
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray
PROJECTIONS = ("Wq", "Wk", "Wv", "Wo")


class Looked(NamedTuple):
    """What the way back needs: the input; queries, keys and values (n, H, T, k); scores, both masks and weights; the mix."""

    x: Array
    q: Array
    k: Array
    v: Array
    scores: Array
    causal: Array
    real: Array
    weights: Array
    mixed: Array


@dataclass(frozen=True)
class SelfAttention(Layer[Looked]):
    """softmax(Q K^T / sqrt(k)) V Wo for each of the heads, with Q, K, V = x Wq, x Wk, x Wv: (n, T, d) -> (n, T, d).

    heads : into how many blocks of k = d / heads features Q, K and V are cut.
    causal : whether no step sees a later one.   real : the steps that are seen at all, (n, T); None for all.
    """

    heads: int = 1
    causal: bool = True
    real: Array | None = field(default=None, compare=False, repr=False)

    steps = ("attention_weights", "softmax_derivative", "attention_scale", "merged_heads")

    def require(self) -> None:
        require_count("heads", self.heads, 1)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {name + self.tag: (shape[-1], shape[-1]) for name in PROJECTIONS}

    def output(self, shape: Shape) -> Shape:
        require_steps(shape)
        if shape[-1] % self.heads:
            raise Unfit(f"heads={self.heads}: must divide the {shape[-1]} features of a step")
        return shape

    def width(self, shape: Shape) -> int:
        steps, d = shape
        return 5 * steps * d + 3 * self.heads * steps * steps

    def forward(self, params: Params, x: Array) -> tuple[Array, Looked]:
        q, k, v = (self.split(x @ params[name + self.tag]) for name in PROJECTIONS[:3])
        scores = (q @ k.swapaxes(2, 3)) * self._scale(x)
        steps = x.shape[1]
        causal = np.tri(steps, dtype=bool) if self.causal else np.ones((steps, steps), dtype=bool)
        real = np.ones((1, 1, 1, steps), dtype=bool) if self.real is None else self.real[:, None, None, :]
        weights = masked_softmax(scores, causal & real)
        mixed = _merged(weights @ v)
        return mixed @ params[f"Wo{self.tag}"], Looked(x, q, k, v, scores, causal, real, weights, mixed)

    def backward(self, params: Params, cache: Looked, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        x, q, k, v = cache[:4]
        weights = parts.attention_weights(cache.weights, cache.scores, cache.causal, cache.real)
        dmixed = self.split(dout @ params[f"Wo{self.tag}"].T)
        dscores = parts.softmax_derivative(weights, dmixed @ v.swapaxes(2, 3))
        dscores = dscores * parts.attention_scale(self._scale(x))
        dq, dk, dv = dscores @ k, dscores.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ dmixed
        merged = dict(zip(PROJECTIONS, (parts.merged_heads(d) for d in (dq, dk, dv)), strict=False))
        rows = x.reshape(-1, x.shape[-1]).T
        gradients = {name + self.tag: rows @ d.reshape(-1, d.shape[-1]) for name, d in merged.items()}
        gradients[f"Wo{self.tag}"] = cache.mixed.reshape(-1, x.shape[-1]).T @ dout.reshape(-1, x.shape[-1])
        dx = sum((d @ params[name + self.tag].T for name, d in merged.items()), np.zeros_like(x))
        return dx, gradients

    def split(self, x: Array) -> Array:
        """(n, T, H k) -> (n, H, T, k)."""
        n, steps, d = x.shape
        return x.reshape(n, steps, self.heads, d // self.heads).swapaxes(1, 2)

    def _scale(self, x: Array) -> float:
        return 1 / math.sqrt(x.shape[-1] // self.heads)

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {f"d{name}": f"x^T d{name[1].upper()}" for name in PROJECTIONS[:3]} | {"dWo": "mixed^T d"}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        scale = symbols.step("attention_scale")
        first = "" if scale == "1" else f"{scale} "
        return {
            "dQ": f"{first}{symbols.step('merged_heads', d='dS K')}",
            "dK": f"{first}{symbols.step('merged_heads', d='dS^T Q')}",
            "dV": symbols.step("merged_heads", d="A^T dM"),
            "dS": symbols.step("softmax_derivative"),
            "dA": "dM V^T, with dM = d Wo^T",
            "A": symbols.step("attention_weights"),
        }


def _merged(x: Array) -> Array:
    n, heads, steps, k = x.shape
    return x.swapaxes(1, 2).reshape(n, steps, heads * k)


def masked_softmax(scores: Array, seen: Array) -> Array:
    """softmax along the last axis over those entries that are seen, 0 for the others; every row sees one at least."""
    real = np.where(seen, scores.real, -np.inf)
    shift = real.max(axis=-1, keepdims=True)
    e = np.where(seen, np.exp(np.where(seen, scores - shift, 0)), 0)
    weights: Array = e / e.sum(axis=-1, keepdims=True)
    return weights
