"""Mistakes inside of layers that no network of ``nets`` has: heads, groups, gates and padding; and single layers to plant them in.

Each entry makes a layer and its input, of random shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from layers.attention import Embedding, MultiHeadAttention, Softmax, TiedWords, softmax, softmax_backward
from layers.base import Array, Layer
from layers.convolution import Conv2d
from layers.normalization import BatchNorm, Dropout, GroupNorm, LayerNorm, normalized_backward
from layers.recurrent import GRU, RNN, PaddedRNN

Random = np.random.Generator
Drawn = tuple[Layer, Array]


@dataclass(frozen=True)
class Inner:
    """A mistake.

    what : in words.   kinds : what a diagnosis may call it.   draw : a right layer and an input.   wrong : the class in its place.
    """

    what: str
    kinds: frozenset[str]
    draw: Callable[[Random], Drawn]
    wrong: type[Layer]

    def planted(self, rng: Random) -> Drawn:
        """A layer with the mistake, and an input."""
        layer, x = self.draw(rng)
        layer.__class__ = self.wrong
        return layer, x


INNER: dict[str, Inner] = {}


def inner(what: str, kinds: str, draw: Callable[[Random], Drawn]) -> Callable[[type[Layer]], type[Layer]]:
    """Enter a wrong class into the table."""

    def enter(wrong: type[Layer]) -> type[Layer]:
        INNER[wrong.__name__] = Inner(what, frozenset(kinds.split()), draw, wrong)
        return wrong

    return enter


# ------------------------------------------------------------------------------------------------------------- layers


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
    return Dropout(rng.uniform(0.4, 0.7), np.random.default_rng(between(rng, 0, 10**6))), rng.normal(size=(4, between(rng, 4, 8)))


# ------------------------------------------------------------------------------------------------------ normalizations


@inner("the mean is taken for a constant", "shift", batch_norm)
class BatchNormConstantMean(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d = dout * self.params["gamma"]
        return (d - normal * (d * normal).mean(axis=0)) / deviation


@inner("mean and variance are taken for constants", "shift", batch_norm)
class BatchNormConstants(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return dout * self.params["gamma"] / self.kept[1]


@inner("the variance is taken for a constant", "scale", batch_norm)
class BatchNormConstantVariances(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        d = dout * self.params["gamma"]
        return (d - d.mean(axis=0)) / self.kept[1]


@inner("the variance is taken over n - 1", "scale", batch_norm)
class BatchNormCount(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d, n = dout * self.params["gamma"], len(dout)
        return (d - d.mean(axis=0) - normal * (d * normal).sum(axis=0) / (n - 1)) / deviation


@inner("gamma is missing in dx", "slice_factor", batch_norm)
class BatchNormNoGamma(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout, *self.kept, 0)


@inner("the mean is taken for a constant", "shift", layer_norm)
class LayerNormConstantMean(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d = dout * self.params["gamma"]
        return (d - normal * (d * normal).mean(axis=-1, keepdims=True)) / deviation


@inner("the variance is taken for a constant", "scale", layer_norm)
class LayerNormConstantVariance(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        d = dout * self.params["gamma"]
        return (d - d.mean(axis=-1, keepdims=True)) / self.kept[1]


@inner("the means are taken along the examples", "shift", layer_norm)
class LayerNormOtherAxis(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout * self.params["gamma"], *self.kept, 0)


@inner("the mean is taken for a constant", "shift", group_norm)
class GroupNormConstantMean(GroupNorm):
    def by_rows(self, dnormal: Array, normal: Array, deviation: Array) -> Array:
        d, y = (a.reshape(len(a), self.groups, -1) for a in (dnormal, normal))
        return ((d - y * (d * y).mean(axis=2, keepdims=True)) / deviation).reshape(dnormal.shape)


@inner("the variance is taken for a constant", "scale", group_norm)
class GroupNormConstantVariance(GroupNorm):
    def by_rows(self, dnormal: Array, normal: Array, deviation: Array) -> Array:
        d = dnormal.reshape(len(dnormal), self.groups, -1)
        return ((d - d.mean(axis=2, keepdims=True)) / deviation).reshape(dnormal.shape)


# -------------------------------------------------------------------------------------------------------- convolutions


@inner("dW is turned by half a turn", "flipped", conv)
class ConvTurnedW(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] = self.grads["W"][:, :, ::-1, ::-1].copy()
        return dx


@inner("the padding is cut off at the wrong side", "shifted", conv)
class ConvCut(Conv2d):
    def backward(self, dout: Array) -> Array:
        p, self.padding = self.padding, 0
        try:
            image = super().backward(dout)
        finally:
            self.padding = p
        return image[:, :, : image.shape[2] - 2 * p, : image.shape[3] - 2 * p]


# ---------------------------------------------------------------------------------------------------------- recurrence


@inner("the reset gate is missing in the state's gradient", "truncated", gru)
class GRUWithoutReset(GRU):
    def reset(self, back: Array, r: Array) -> Array:
        return back


@inner("time is cut off", "truncated", rnn)
class RNNCut(RNN):
    def backward(self, dout: Array) -> Array:
        x, states = self.kept
        dz = dout * (1 - states[:, 1:] ** 2)
        self.grads = {
            "Wx": np.einsum("nti,ntj->ij", x, dz),
            "Wh": np.einsum("nti,ntj->ij", states[:, :-1], dz),
            "b": dz.sum(axis=(0, 1)),
        }
        return dz @ self.params["Wx"].T


@inner("padding is not masked", "padding", padded)
class PaddedRNNWithoutMask(PaddedRNN):
    def backward(self, dout: Array) -> Array:
        return RNN.backward(self, dout)


# ----------------------------------------------------------------------------------------------------------- attention


@inner("only the diagonal of the softmax's derivative", "shift", attention)
class AttentionDiagonal(MultiHeadAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return dweights * weights * (1 - weights)


@inner("the scale is missing", "param_factor", attention)
class AttentionUnscaled(MultiHeadAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return softmax_backward(dweights, weights) / self.scale


@inner("heads and their entries change places", "blocks", attention)
class AttentionMixedHeads(MultiHeadAttention):
    def merged(self, x: Array) -> Array:
        return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)


@inner("heads stand in the opposite order", "blocks", attention)
class AttentionReversedHeads(MultiHeadAttention):
    def merged(self, x: Array) -> Array:
        return self.merge(x[:, ::-1])


@inner("only the diagonal of the derivative", "shift", scores)
class SoftmaxDiagonal(Softmax):
    def backward(self, dout: Array) -> Array:
        return dout * self.kept[1] * (1 - self.kept[1])


@inner("the mask is missing in the backward pass", "causality", causal_scores)
class CausalSoftmaxWithoutMask(Softmax):
    def backward(self, dout: Array) -> Array:
        return softmax_backward(dout, softmax(self.kept[0]))


# ----------------------------------------------------------------------------------------------------- words, dropout


@inner("the use as an input is forgotten", "entries", words)
class TiedWithoutInput(TiedWords):
    def by_input(self, dout: Array) -> Array:
        return np.zeros_like(self.params["E"])


@inner("the use as an output is forgotten", "tied", words)
class TiedWithoutOutput(TiedWords):
    def by_output(self, dout: Array) -> Array:
        return np.zeros_like(self.params["E"])


class PaddedEmbedding(Embedding):
    """An embedding whose word 0 is padding, and has a vector of zeros whatever E says."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) * (x > 0)[..., None]

    def backward(self, dout: Array) -> None:
        super().backward(dout * (self.kept > 0)[..., None])


def padded_words(rng: Random) -> Drawn:
    count = between(rng, 6, 9)
    x = rng.integers(1, count, (3, between(rng, 3, 5)))
    x[:2, -2:] = 0
    return PaddedEmbedding(count, between(rng, 4, 6), rng), x


@inner("the row of the padding gets a gradient", "padding", padded_words)
class EmbeddingUpdatesPadding(PaddedEmbedding):
    def backward(self, dout: Array) -> None:
        Embedding.backward(self, dout)


@inner("a new mask is drawn", "mask", dropout)
class DropoutRedrawn(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.rng.random(dout.shape) < self.keep) / self.keep


@inner("the scale is dropped", "constant_factor", dropout)
class DropoutUnscaled(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.kept > 0)
