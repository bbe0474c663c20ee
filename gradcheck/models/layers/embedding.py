"""From tokens to vectors, the positions added to them, and an output layer that shares the matrix of the tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, require_steps
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray
PADDING = 0  # the token that fills a sequence up at its end


class Words(NamedTuple):
    """Tokens (n, T) as whole numbers, and which of them are real."""

    tokens: Array
    real: Array


@dataclass(frozen=True)
class Embedding(Layer[Words]):
    """A vector for each token: row x of E (vocabulary, units), for whole numbers x (n, T); 0 for the padding, token 0."""

    vocabulary: int = 2
    units: int = 1

    steps = ("padded_tokens", "token_rows")

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {f"E{self.tag}": (self.vocabulary, self.units)}

    def output(self, shape: Shape) -> Shape:
        return (*shape, self.units)

    def forward(self, params: Params, x: Array) -> tuple[Array, Words]:
        tokens = x.real.astype(np.intp)
        real = tokens != PADDING
        return params[f"E{self.tag}"][tokens] * real[..., None], Words(tokens, real)

    def backward(self, params: Params, cache: Words, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        rows = np.zeros((self.vocabulary, self.units), dout.dtype)
        rows = parts.token_rows(rows, cache.tokens, parts.padded_tokens(dout, cache.real))
        # whole numbers have no derivative
        return np.zeros(cache.tokens.shape, dout.dtype), {f"E{self.tag}": rows}

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        real = symbols.step("padded_tokens", d="d_it")
        return {"dE_v": symbols.step("token_rows", d=real)}


@dataclass(frozen=True)
class Positions(Layer[None]):
    """x + P: a vector for each step of time, (T, d), is added to it."""

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {f"P{self.tag}": shape}

    def output(self, shape: Shape) -> Shape:
        return shape

    def forward(self, params: Params, x: Array) -> tuple[Array, None]:
        return x + params[f"P{self.tag}"], None

    def backward(self, params: Params, cache: None, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        return dout, {f"P{self.tag}": dout.sum(axis=0)}

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {"dP_t": "sum_i d_it"}


@dataclass(frozen=True)
class TiedOutput(Layer[Array]):
    """x E^T + b along the last axis: (n, …, d) -> (n, …, vocabulary), with the embedding's own E, tagged ``shared``."""

    vocabulary: int = 2
    shared: str = ""

    steps = ("tied_output",)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {f"E{self.shared}": (self.vocabulary, shape[-1]), f"b{self.tag}": (self.vocabulary,)}

    def output(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.vocabulary)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        return x @ params[f"E{self.shared}"].T + params[f"b{self.tag}"], x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        rows, delta = cache.reshape(-1, cache.shape[-1]), dout.reshape(-1, self.vocabulary)
        gradients = {f"E{self.shared}": parts.tied_output(delta.T @ rows), f"b{self.tag}": delta.sum(axis=0)}
        return dout @ params[f"E{self.shared}"], gradients

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {
            "dE of the tied output": symbols.step("tied_output", gradient="d^T x"),
            "db of the tied output": "sum_i d_i",
        }


@dataclass(frozen=True)
class LastStep(Layer[tuple[Array, Shape]]):
    """Each sequence's last real step: (n, T, d) -> (n, d).   real : which steps are, (n, T); None for all."""

    real: Array | None = field(default=None, compare=False, repr=False)

    steps = ("last_step",)

    def output(self, shape: Shape) -> Shape:
        require_steps(shape)
        return shape[1:]

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Array, Shape]]:
        n, steps = x.shape[:2]
        last = np.full(n, steps - 1) if self.real is None else self.real.sum(axis=1) - 1
        return x[np.arange(n), last], (last, x.shape)

    def backward(
        self, params: Params, cache: tuple[Array, Shape], dout: Array, parts: Parts
    ) -> tuple[Array, dict[str, Array]]:
        last, shape = cache
        dx = np.zeros(shape, dout.dtype)
        dx[np.arange(len(dx)), parts.last_step(last, shape[1])] = dout
        return dx, {}

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        return {"d_it before the last step": f"d_i at t = {symbols.step('last_step')}, else 0"}
