"""Mistakes inside of layers, each with the kind that a diagnosis gives it, in layers of random shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from layers.attention import (
    Embedding,
    MultiHeadAttention,
    PaddedEmbedding,
    Softmax,
    TiedWords,
    softmax,
    softmax_backward,
)
from layers.base import Array, Layer
from layers.convolution import Conv2d
from layers.drawn import (
    Drawn,
    Random,
    attention,
    batch_norm,
    causal_scores,
    conv,
    dropout,
    group_norm,
    gru,
    layer_norm,
    padded,
    padded_words,
    rnn,
    scores,
    words,
)
from layers.mistakes import Mistake
from layers.normalization import BatchNorm, Dropout, GroupNorm, LayerNorm, normalized_backward
from layers.recurrent import GRU, RNN, PaddedRNN


@dataclass(frozen=True)
class Inner:
    """A mistake.

    what : in words.   kinds : what a diagnosis may call it.   gradients : those that are wrong.
    draw : a right layer and an input.   wrong : the class in its place.
    """

    what: str
    kinds: frozenset[str]
    gradients: frozenset[str]
    draw: Callable[[Random], Drawn]
    wrong: type[Layer]

    def planted(self, rng: Random) -> Drawn:
        """A layer with the mistake, and an input."""
        layer, x = self.draw(rng)
        layer.__class__ = self.wrong
        return layer, x


INNER: dict[str, Inner] = {}


def inner(
    what: str, kinds: str, gradients: str, draw: Callable[[Random], Drawn]
) -> Callable[[type[Layer]], type[Layer]]:
    """Enter a wrong class into the table."""

    def enter(wrong: type[Layer]) -> type[Layer]:
        INNER[wrong.__name__] = Inner(what, frozenset(kinds.split()), frozenset(gradients.split()), draw, wrong)
        return wrong

    return enter


def in_networks() -> list[Mistake]:
    """Those whose right layer is one of the networks' layers, as mistakes to plant there."""
    return [
        Mistake(each.what, each.wrong.__bases__[0], each.wrong, each.gradients, _fits)
        for each in INNER.values()
        if each.wrong.__bases__[0] not in (Softmax, PaddedRNN, TiedWords, PaddedEmbedding)
    ]


def _fits(layer: Layer) -> bool:
    """Whether a mistake makes a difference: what is cut off is padding."""
    return not isinstance(layer, Conv2d) or layer.padding > 0


# ------------------------------------------------------------------------------------------------------ normalizations


@inner("the mean is taken for a constant", "shift", "input", batch_norm)
class BatchNormConstantMean(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d = dout * self.params["gamma"]
        return (d - normal * (d * normal).mean(axis=0)) / deviation


@inner("mean and variance are taken for constants", "shift", "input", batch_norm)
class BatchNormConstants(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return dout * self.params["gamma"] / self.kept[1]


@inner("the variance is taken for a constant", "scale", "input", batch_norm)
class BatchNormConstantVariances(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        d = dout * self.params["gamma"]
        return (d - d.mean(axis=0)) / self.kept[1]


@inner("the variance is taken over n - 1", "scale", "input", batch_norm)
class BatchNormCount(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d, n = dout * self.params["gamma"], len(dout)
        return (d - d.mean(axis=0) - normal * (d * normal).sum(axis=0) / (n - 1)) / deviation


@inner("gamma is missing in dx", "slice_factor", "input", batch_norm)
class BatchNormNoGamma(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout, *self.kept, 0)


@inner("the mean is taken for a constant", "shift", "input", layer_norm)
class LayerNormConstantMean(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        d = dout * self.params["gamma"]
        return (d - normal * (d * normal).mean(axis=-1, keepdims=True)) / deviation


@inner("the variance is taken for a constant", "scale", "input", layer_norm)
class LayerNormConstantVariance(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        d = dout * self.params["gamma"]
        return (d - d.mean(axis=-1, keepdims=True)) / self.kept[1]


@inner("the means are taken along the examples", "shift", "input", layer_norm)
class LayerNormOtherAxis(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout * self.params["gamma"], *self.kept, 0)


@inner("the mean is taken for a constant", "shift", "input", group_norm)
class GroupNormConstantMean(GroupNorm):
    def by_rows(self, dnormal: Array, normal: Array, deviation: Array) -> Array:
        d, y = (a.reshape(len(a), self.groups, -1) for a in (dnormal, normal))
        return ((d - y * (d * y).mean(axis=2, keepdims=True)) / deviation).reshape(dnormal.shape)


@inner("the variance is taken for a constant", "scale", "input", group_norm)
class GroupNormConstantVariance(GroupNorm):
    def by_rows(self, dnormal: Array, normal: Array, deviation: Array) -> Array:
        d = dnormal.reshape(len(dnormal), self.groups, -1)
        return ((d - d.mean(axis=2, keepdims=True)) / deviation).reshape(dnormal.shape)


# -------------------------------------------------------------------------------------------------------- convolutions


@inner("dW is turned by half a turn", "flipped", "W", conv)
class ConvTurnedW(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] = self.grads["W"][:, :, ::-1, ::-1].copy()
        return dx


@inner("the padding is cut off at the wrong side", "shifted", "input", conv)
class ConvCut(Conv2d):
    def backward(self, dout: Array) -> Array:
        p, self.padding = self.padding, 0
        try:
            image = super().backward(dout)
        finally:
            self.padding = p
        return image[:, :, : image.shape[2] - 2 * p, : image.shape[3] - 2 * p]


# ---------------------------------------------------------------------------------------------------------- recurrence


@inner("the reset gate is missing in the state's gradient", "truncated", "input Wx Wh b", gru)
class GRUWithoutReset(GRU):
    def reset(self, back: Array, r: Array) -> Array:
        return back


@inner("time is cut off", "truncated", "input Wx Wh b", rnn)
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


@inner("padding is not masked", "padding", "input Wx Wh b", padded)
class PaddedRNNWithoutMask(PaddedRNN):
    def backward(self, dout: Array) -> Array:
        return RNN.backward(self, dout)


# ----------------------------------------------------------------------------------------------------------- attention


@inner("only the diagonal of the softmax's derivative", "shift", "input Wq Wk bq bk", attention)
class AttentionDiagonal(MultiHeadAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return dweights * weights * (1 - weights)


@inner("the scale is missing", "param_factor", "input Wq Wk bq", attention)
class AttentionUnscaled(MultiHeadAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return softmax_backward(dweights, weights) / self.scale


@inner("heads and their entries change places", "blocks", "input Wq Wk Wv bq bv", attention)
class AttentionMixedHeads(MultiHeadAttention):
    def merged(self, x: Array) -> Array:
        return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)


@inner("heads stand in the opposite order", "blocks", "input Wq Wk Wv bq bv", attention)
class AttentionReversedHeads(MultiHeadAttention):
    def merged(self, x: Array) -> Array:
        return self.merge(x[:, ::-1])


@inner("only the diagonal of the derivative", "shift", "input", scores)
class SoftmaxDiagonal(Softmax):
    def backward(self, dout: Array) -> Array:
        return dout * self.kept[1] * (1 - self.kept[1])


@inner("the mask is missing in the backward pass", "causality", "input", causal_scores)
class CausalSoftmaxWithoutMask(Softmax):
    def backward(self, dout: Array) -> Array:
        return softmax_backward(dout, softmax(self.kept[0]))


# ----------------------------------------------------------------------------------------------------- words, dropout


@inner("the use as an input is forgotten", "entries", "E", words)
class TiedWithoutInput(TiedWords):
    def by_input(self, dout: Array) -> Array:
        return np.zeros_like(self.params["E"])


@inner("the use as an output is forgotten", "tied", "E", words)
class TiedWithoutOutput(TiedWords):
    def by_output(self, dout: Array) -> Array:
        return np.zeros_like(self.params["E"])


@inner("the row of the padding gets a gradient", "padding", "E", padded_words)
class EmbeddingUpdatesPadding(PaddedEmbedding):
    def backward(self, dout: Array) -> None:
        Embedding.backward(self, dout)


@inner("a new mask is drawn", "mask", "input", dropout)
class DropoutRedrawn(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.rng.random(dout.shape) < self.keep) / self.keep


@inner("the scale is dropped", "constant_factor", "input", dropout)
class DropoutUnscaled(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.kept > 0)
