"""Layers of random shapes, each with an input."""

from __future__ import annotations

import numpy as np
from layers.attention import MultiHeadAttention, PaddedEmbedding, Softmax, TiedWords
from layers.base import Array, Layer
from layers.convolution import Conv2d
from layers.normalization import BatchNorm, Dropout, GroupNorm, LayerNorm
from layers.recurrent import GRU, RNN, PaddedRNN

Random = np.random.Generator
Drawn = tuple[Layer, Array]


def between(rng: Random, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def batch_norm(rng: Random) -> Drawn:
    n, d = between(rng, 4, 9), between(rng, 2, 5)
    return BatchNorm(d, rng), rng.normal(size=(n, d)) * rng.uniform(0.5, 3) + rng.normal(size=d)


def layer_norm(rng: Random) -> Drawn:
    shape = (between(rng, 2, 4), between(rng, 2, 4), between(rng, 4, 7))
    return LayerNorm(shape[-1], rng), rng.normal(size=shape) + rng.normal()


def group_norm(rng: Random) -> Drawn:
    groups, each = between(rng, 2, 3), between(rng, 2, 3)
    x = rng.normal(size=(between(rng, 2, 3), groups * each, 2, between(rng, 2, 3)))
    return GroupNorm(groups * each, groups, rng), x + rng.normal()


def conv(rng: Random) -> Drawn:
    channels, size = between(rng, 1, 3), between(rng, 2, 3)
    x = rng.normal(size=(between(rng, 2, 3), channels, between(rng, 4, 6), between(rng, 4, 6)))
    return Conv2d(channels, between(rng, 1, 3), size, rng, padding=1), x


def sequences(rng: Random) -> Array:
    return rng.normal(size=(between(rng, 2, 4), between(rng, 3, 6), between(rng, 2, 4)))


def rnn(rng: Random) -> Drawn:
    x = sequences(rng)
    return RNN(x.shape[2], between(rng, 2, 4), rng), x


def gru(rng: Random) -> Drawn:
    x = sequences(rng)
    return GRU(x.shape[2], between(rng, 2, 4), rng), x


def padded(rng: Random) -> Drawn:
    x = sequences(rng)
    lengths = rng.integers(1, x.shape[1] + 1, len(x))
    lengths[:2] = [1, x.shape[1] - 1]
    return PaddedRNN(x.shape[2], between(rng, 2, 4), lengths, rng), x


def attention(rng: Random) -> Drawn:
    heads, each = between(rng, 2, 3), between(rng, 2, 3)
    x = rng.normal(size=(between(rng, 1, 2), between(rng, 3, 5), heads * each))
    return MultiHeadAttention(heads * each, heads, rng), x


def scores(rng: Random) -> Drawn:
    return Softmax(False), rng.normal(size=(between(rng, 2, 5), between(rng, 3, 7)))


def causal_scores(rng: Random) -> Drawn:
    time = between(rng, 4, 6)
    return Softmax(True), rng.normal(size=(between(rng, 1, 3), time, time))


def words(rng: Random) -> Drawn:
    count, time = between(rng, 5, 9), between(rng, 3, 5)
    x = rng.integers(1, count - 1, (between(rng, 2, 3), time))
    x[0, :2] = count // 2
    return TiedWords(count, between(rng, 3, 5), rng), x


def dropout(rng: Random) -> Drawn:
    return Dropout(rng.uniform(0.4, 0.7), np.random.default_rng(between(rng, 0, 10**6))), rng.normal(
        size=(4, between(rng, 4, 8))
    )


def padded_words(rng: Random) -> Drawn:
    count = between(rng, 6, 9)
    x = rng.integers(1, count, (3, between(rng, 3, 5)))
    x[:2, -2:] = 0
    return PaddedEmbedding(count, between(rng, 4, 6), rng), x
