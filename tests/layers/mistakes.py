"""Mistakes that people make in a backward pass, each as a layer that is right but for this one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from layers.activations import ReLU, Sigmoid, Tanh
from layers.attention import CausalSelfAttention, Embedding, softmax
from layers.base import Array
from layers.composite import Residual
from layers.convolution import AvgPool2d, Conv2d, MaxPool2d, windows
from layers.dense import Dense, Flatten
from layers.losses import SoftmaxCrossEntropy, SquaredLoss
from layers.normalization import BatchNorm, Dropout, LayerNorm, normalized_backward
from layers.recurrent import LSTM, RNN


@dataclass(frozen=True)
class Mistake:
    """A wrong class in the place of a right one.

    what : the mistake in words.   right, wrong : the classes.   gradients : those that are wrong.
    fits : whether the mistake makes a difference in a layer.
    """

    what: str
    right: type
    wrong: type
    gradients: frozenset[str]
    fits: Callable[[Any], bool]


MISTAKES: list[Mistake] = []


def mistake(what: str, gradients: str, fits: Callable[[Any], bool] = lambda layer: True) -> Callable[[type], type]:
    """Enter a class into the table.  It replaces the class that it inherits from."""

    def enter(wrong: type) -> type:
        MISTAKES.append(Mistake(what, wrong.__bases__[0], wrong, frozenset(gradients.split()), fits))
        return wrong

    return enter


def exchangeable(layer: Conv2d) -> bool:
    """Whether there are as many kernels as channels, and more than one."""
    kernels, channels = layer.params["W"].shape[:2]
    return kernels == channels > 1


def square(layer: Dense) -> bool:
    return layer.params["W"].shape[0] == layer.params["W"].shape[1]


# -------------------------------------------------------------------------------------------------------------- dense


@mistake("the transpose of W is missing", "input", square)
class DenseWithoutTranspose(Dense):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return dout @ self.params["W"]


@mistake("db is a mean", "b")
class DenseMeanBias(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["b"] = dout.reshape(-1, dout.shape[-1]).mean(axis=0)
        return dx


@mistake("dW is divided by n once more", "W")
class DenseDividedTwice(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] /= len(dout)
        return dx


@mistake("dW is added up twice", "W")
class DenseAddedTwice(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] += self.grads["W"]
        return dx


@mistake("a penalty is added that the loss has not", "W")
class DenseDecay(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] = self.grads["W"] + 0.1 * self.params["W"]
        return dx


@mistake("the step of descent instead of the gradient", "W b")
class DenseDescends(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads = {name: -value for name, value in self.grads.items()}
        return dx


@mistake("the gradient is clipped", "input")
class DenseClipped(Dense):
    def backward(self, dout: Array) -> Array:
        return np.clip(super().backward(dout), -0.2, 0.2)


@mistake("db is the upstream gradient of the first example", "b")
class DenseFirstExample(Dense):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["b"] = dout.reshape(-1, dout.shape[-1])[0].copy()
        return dx


@mistake("the rows are flattened in another order", "input", lambda layer: True)
class FlattenFortran(Flatten):
    def backward(self, dout: Array) -> Array:
        return dout.reshape(self.kept, order="F")


# -------------------------------------------------------------------------------------------------------- activations


@mistake("the mask is missing", "input")
class ReLUWithoutMask(ReLU):
    def backward(self, dout: Array) -> Array:
        return dout.copy()


@mistake("the mask is that of the gradient", "input")
class ReLUGuided(ReLU):
    def backward(self, dout: Array) -> Array:
        return np.where(dout > 0, dout, 0.0)


@mistake("the derivative of a leaky one", "input")
class ReLULeaky(ReLU):
    def backward(self, dout: Array) -> Array:
        return np.where(self.kept, dout, 0.01 * dout)


@mistake("the square is missing in 1 - y^2", "input")
class TanhWithoutSquare(Tanh):
    def backward(self, dout: Array) -> Array:
        return dout * (1 - self.kept)


@mistake("the derivative is taken at the output", "input")
class TanhAtOutput(Tanh):
    def backward(self, dout: Array) -> Array:
        return dout * (1 - np.tanh(self.kept) ** 2)


@mistake("the derivative is missing", "input")
class TanhWithoutDerivative(Tanh):
    def backward(self, dout: Array) -> Array:
        return dout.copy()


@mistake("the derivative is taken at the output", "input")
class SigmoidAtOutput(Sigmoid):
    def backward(self, dout: Array) -> Array:
        y = 1 / (1 + np.exp(-self.kept))
        return dout * y * (1 - y)


@mistake("the factor 1 - y is missing", "input")
class SigmoidHalf(Sigmoid):
    def backward(self, dout: Array) -> Array:
        return dout * self.kept


@mistake("the upstream gradient is missing", "input")
class SigmoidAlone(Sigmoid):
    def backward(self, dout: Array) -> Array:
        return self.kept * (1 - self.kept)


# -------------------------------------------------------------------------------------------- convolution and pooling


def overwritten(parts: Array, shape: tuple[int, ...], stride: int) -> Array:
    """Windows put into an image one over the other, instead of added."""
    _, _, rows, columns, size, _ = parts.shape
    image = np.zeros(shape)
    for r in range(rows):
        for c in range(columns):
            image[:, :, r * stride : r * stride + size, c * stride : c * stride + size] = parts[:, :, r, c]
    return image


@mistake("the stride is ignored in dx", "input", lambda layer: layer.stride > 1)
class ConvWithoutStride(Conv2d):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        padded, W, p = self.kept, self.params["W"], self.padding
        image = np.zeros(padded.shape)
        size = W.shape[2]
        for r in range(dout.shape[2]):
            for c in range(dout.shape[3]):
                image[:, :, r : r + size, c : c + size] += np.einsum("nk,kcij->ncij", dout[:, :, r, c], W)
        return image[:, :, p : image.shape[2] - p, p : image.shape[3] - p]


@mistake("the stride is ignored in dW", "W", lambda layer: layer.stride > 1)
class ConvWithoutStrideInW(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        seen = windows(self.kept, self.params["W"].shape[2], 1)[:, :, : dout.shape[2], : dout.shape[3]]
        self.grads["W"] = np.einsum("ncrsij,nkrs->kcij", seen, dout)
        return dx


@mistake("the padding is cut off at the wrong side", "input", lambda layer: layer.padding > 0)
class ConvWrongCrop(Conv2d):
    def backward(self, dout: Array) -> Array:
        p = self.padding
        self.padding = 0
        try:
            image = super().backward(dout)
        finally:
            self.padding = p
        return image[:, :, : image.shape[2] - 2 * p, : image.shape[3] - 2 * p]


@mistake("the kernel is turned by half a turn", "input", lambda layer: layer.params["W"].shape[2] > 1)
class ConvTurned(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        W, grads = self.params["W"], self.grads
        turned = Conv2d.__new__(Conv2d)
        turned.params, turned.stride, turned.padding = {"W": W[:, :, ::-1, ::-1]}, self.stride, self.padding
        turned.kept = self.kept
        dx = turned.backward(dout)
        self.grads = grads
        return dx


@mistake("db is a mean over examples", "b")
class ConvMeanBias(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["b"] = dout.sum(axis=(2, 3)).mean(axis=0)
        return dx


@mistake("dW is a mean over examples", "W")
class ConvMeanW(Conv2d):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["W"] = self.grads["W"] / len(dout)
        return dx


@mistake("overlapping windows overwrite each other", "input", lambda layer: layer.stride < layer.params["W"].shape[2])
class ConvOverwritten(Conv2d):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        parts = np.einsum("nkrs,kcij->ncrsij", dout, self.params["W"])
        image, p = overwritten(parts, self.kept.shape, self.stride), self.padding
        return image[:, :, p : image.shape[2] - p, p : image.shape[3] - p]


@mistake("kernels and channels are exchanged", "input", exchangeable)
class ConvExchanged(Conv2d):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        grads = self.grads
        exchanged = Conv2d.__new__(Conv2d)
        exchanged.params = {"W": self.params["W"].swapaxes(0, 1)}
        exchanged.stride, exchanged.padding, exchanged.kept = self.stride, self.padding, self.kept
        dx = exchanged.backward(dout)
        self.grads = grads
        return dx


@mistake("overlapping windows overwrite each other", "input", lambda layer: layer.stride < layer.size)
class MaxPoolOverwritten(MaxPool2d):
    def backward(self, dout: Array) -> Array:
        shape, places = self.kept
        image = np.zeros(shape)
        for (n, c, r, s), place in np.ndenumerate(places):
            i, j = divmod(int(place), self.size)
            image[n, c, r * self.stride + i, s * self.stride + j] = dout[n, c, r, s]
        return image


@mistake("the gradient goes to every entry of the window", "input")
class MaxPoolSpread(MaxPool2d):
    def backward(self, dout: Array) -> Array:
        pool = AvgPool2d(self.size, self.stride)
        pool.kept = self.kept[0]
        return pool.backward(dout)


@mistake("the gradient goes to the first entry of the window", "input")
class MaxPoolFirst(MaxPool2d):
    def backward(self, dout: Array) -> Array:
        self.kept = (self.kept[0], np.zeros_like(self.kept[1]))
        return super().backward(dout)


@mistake("the gradient is divided by the size of the window", "input")
class MaxPoolDivided(MaxPool2d):
    def backward(self, dout: Array) -> Array:
        return super().backward(dout) / self.size**2


@mistake("1 / size^2 is missing", "input")
class AvgPoolSum(AvgPool2d):
    def backward(self, dout: Array) -> Array:
        return super().backward(dout) * self.size**2


@mistake("overlapping windows overwrite each other", "input", lambda layer: layer.stride < layer.size)
class AvgPoolOverwritten(AvgPool2d):
    def backward(self, dout: Array) -> Array:
        share = (dout / self.size**2)[..., None, None]
        return overwritten(np.broadcast_to(share, (*dout.shape, self.size, self.size)), self.kept, self.stride)


# ----------------------------------------------------------------------------------------------------- normalizations


@mistake("mean and variance are taken for constants", "input")
class BatchNormConstant(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return dout * self.params["gamma"] / self.kept[1]


@mistake("the variance is taken for a constant", "input")
class BatchNormConstantVariance(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        dnormal = dout * self.params["gamma"]
        return (dnormal - dnormal.mean(axis=0)) / self.kept[1]


@mistake("dgamma is that of x - mean", "gamma")
class BatchNormGamma(BatchNorm):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["gamma"] = (dout * self.kept[0] * self.kept[1]).sum(axis=0)
        return dx


@mistake("dbeta is a mean", "beta")
class BatchNormBeta(BatchNorm):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["beta"] = dout.mean(axis=0)
        return dx


@mistake("the running variance instead of the batch's", "input")
class BatchNormRunning(BatchNorm):
    def backward(self, dout: Array) -> Array:
        normal = self.kept[0]
        super().backward(dout)
        return normalized_backward(dout * self.params["gamma"], normal, np.sqrt(self.variance + self.eps), 0)


@mistake("gamma is missing in dx", "input")
class BatchNormWithoutGamma(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout, *self.kept, 0)


@mistake("1 / n is missing", "input")
class BatchNormSums(BatchNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        normal, deviation = self.kept
        dnormal = dout * self.params["gamma"]
        return (dnormal - dnormal.sum(axis=0) - normal * (dnormal * normal).sum(axis=0)) / deviation


@mistake("the means are taken along the wrong axis", "input")
class LayerNormAxis(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return normalized_backward(dout * self.params["gamma"], *self.kept, 0)


@mistake("the variance is taken for a constant", "input")
class LayerNormConstant(LayerNorm):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        dnormal = dout * self.params["gamma"]
        return (dnormal - dnormal.mean(axis=-1, keepdims=True)) / self.kept[1]


@mistake("dgamma is a mean over examples", "gamma")
class LayerNormGamma(LayerNorm):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        self.grads["gamma"] = self.grads["gamma"] / len(dout)
        return dx


@mistake("the scale is dropped", "input")
class DropoutWithoutScale(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.kept > 0)


@mistake("the mask is missing", "input")
class DropoutWithoutMask(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout / self.keep


@mistake("a new mask is drawn", "input")
class DropoutNewMask(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * (self.rng.random(dout.shape) < self.keep) / self.keep


@mistake("the scale is applied twice", "input")
class DropoutTwice(Dropout):
    def backward(self, dout: Array) -> Array:
        return dout * self.kept / self.keep


# ---------------------------------------------------------------------------------------------------------- sequences


@mistake("np.add.at is forgotten", "E")
class EmbeddingPlain(Embedding):
    def backward(self, dout: Array) -> None:
        self.grads = {"E": np.zeros_like(self.params["E"])}
        self.grads["E"][self.kept] += dout


@mistake("the gradient is divided by how often a word stands there", "E")
class EmbeddingMean(Embedding):
    def backward(self, dout: Array) -> None:
        super().backward(dout)
        counts = np.bincount(self.kept.ravel(), minlength=len(self.params["E"]))
        self.grads["E"] /= np.maximum(counts, 1)[:, None]


class _SteppedRNN(RNN):
    """The backward pass of an RNN whose parts can be changed."""

    def state_gradient(self, dz: Array) -> Array:
        return dz @ self.params["Wh"].T

    def slope(self, states: Array, t: int) -> Array:
        return 1 - states[:, t + 1] ** 2

    def before(self, states: Array, t: int) -> Array:
        return states[:, t]

    def backward(self, dout: Array) -> Array:
        x, states = self.kept
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        dx, dstate = np.zeros_like(x), np.zeros_like(states[:, 0])
        for t in reversed(range(x.shape[1])):
            dz = (dout[:, t] + dstate) * self.slope(states, t)
            self.grads["Wx"] += x[:, t].T @ dz
            self.grads["Wh"] += self.before(states, t).T @ dz
            self.grads["b"] += dz.sum(axis=0)
            dx[:, t], dstate = dz @ self.params["Wx"].T, self.state_gradient(dz)
        return dx


@mistake("time is cut off: no gradient goes back to the state", "input Wx Wh b")
class RNNTruncated(_SteppedRNN):
    def state_gradient(self, dz: Array) -> Array:
        return np.zeros_like(dz)


@mistake("the derivative of tanh is missing", "input Wx Wh b")
class RNNWithoutDerivative(_SteppedRNN):
    def slope(self, states: Array, t: int) -> Array:
        return np.ones_like(states[:, t])


@mistake("dWh is that of the state after the step", "Wh")
class RNNStateAfter(_SteppedRNN):
    def before(self, states: Array, t: int) -> Array:
        return states[:, t + 1]


@mistake("the transpose of Wh is missing", "input Wx Wh b")
class RNNWithoutTranspose(_SteppedRNN):
    def state_gradient(self, dz: Array) -> Array:
        return dz @ self.params["Wh"]


@mistake("db is that of the last step alone", "b")
class RNNLastBias(RNN):
    def backward(self, dout: Array) -> Array:
        dx = super().backward(dout)
        slope = 1 - self.kept[1][:, -1] ** 2
        self.grads["b"] = (dout[:, -1] * slope).sum(axis=0)
        return dx


class _SteppedLSTM(LSTM):
    """The backward pass of an LSTM whose parts can be changed."""

    def squash_slope(self, squashed: Array) -> Array:
        return 1 - squashed**2

    def gate_gradients(self, c: Array, gates: Any, dc: Array, dh: Array, squashed: Array) -> list[Array]:
        i, f, g, o = gates
        return [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * squashed * o * (1 - o)]

    def carried(self, dz: Array, dc: Array, f: Array) -> tuple[Array, Array]:
        return dz @ self.params["Wh"].T, dc * f

    def backward(self, dout: Array) -> Array:
        x, steps = self.kept
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        dx = np.zeros_like(x)
        dh = dc = np.zeros((len(x), self.k))
        for t in reversed(range(x.shape[1])):
            h, c, gates, squashed = steps[t]
            dh = dh + dout[:, t]
            dc = dc + dh * gates[3] * self.squash_slope(squashed)
            dz = np.hstack(self.gate_gradients(c, gates, dc, dh, squashed))
            self.grads["Wx"] += x[:, t].T @ dz
            self.grads["Wh"] += h.T @ dz
            self.grads["b"] += dz.sum(axis=0)
            dx[:, t] = dz @ self.params["Wx"].T
            dh, dc = self.carried(dz, dc, gates[1])
        return dx


@mistake("the memory's gradient is not carried back", "input Wx Wh b")
class LSTMMemoryCut(_SteppedLSTM):
    def carried(self, dz: Array, dc: Array, f: Array) -> tuple[Array, Array]:
        return dz @ self.params["Wh"].T, np.zeros_like(dc)


@mistake("the forget gate is missing in the carried gradient", "input Wx Wh b")
class LSTMWithoutForget(_SteppedLSTM):
    def carried(self, dz: Array, dc: Array, f: Array) -> tuple[Array, Array]:
        return dz @ self.params["Wh"].T, dc


@mistake("the state's gradient is not carried back", "input Wx Wh b")
class LSTMStateCut(_SteppedLSTM):
    def carried(self, dz: Array, dc: Array, f: Array) -> tuple[Array, Array]:
        return np.zeros_like(dc), dc * f


@mistake("the derivative of tanh of the memory is missing", "input Wx Wh b")
class LSTMWithoutSquash(_SteppedLSTM):
    def squash_slope(self, squashed: Array) -> Array:
        return np.ones_like(squashed)


@mistake("the candidate's derivative is that of a sigmoid", "input Wx Wh b")
class LSTMCandidate(_SteppedLSTM):
    def gate_gradients(self, c: Array, gates: Any, dc: Array, dh: Array, squashed: Array) -> list[Array]:
        found = super().gate_gradients(c, gates, dc, dh, squashed)
        i, _, g, _ = gates
        found[2] = dc * i * g * (1 - g)
        return found


@mistake("the forget gate's gradient is that of the new memory", "input Wx Wh b")
class LSTMNewMemory(_SteppedLSTM):
    def gate_gradients(self, c: Array, gates: Any, dc: Array, dh: Array, squashed: Array) -> list[Array]:
        found = super().gate_gradients(c, gates, dc, dh, squashed)
        i, f, g, _ = gates
        found[1] = dc * (f * c + i * g) * f * (1 - f)
        return found


class _SteppedAttention(CausalSelfAttention):
    """The backward pass of attention whose parts can be changed."""

    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return self.scale * weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))

    def by_keys(self, dscores: Array, q: Array) -> Array:
        return dscores.swapaxes(1, 2) @ q

    def through(self, dq: Array, dk: Array, dv: Array) -> Array:
        return dq @ self.params["Wq"].T + dk @ self.params["Wk"].T + dv @ self.params["Wv"].T

    def backward(self, dout: Array) -> Array:
        x, q, k, v, weights, mixed = self.kept
        dmixed = dout @ self.params["Wo"].T
        dscores = self.by_scores(dmixed @ v.swapaxes(1, 2), weights)
        dq, dk, dv = dscores @ k, self.by_keys(dscores, q), weights.swapaxes(1, 2) @ dmixed
        self.grads = {name: self.product(x, d) for name, d in (("Wq", dq), ("Wk", dk), ("Wv", dv))}
        self.grads["Wo"] = self.product(mixed, dout)
        return self.through(dq, dk, dv)


@mistake("the scale is dropped", "input Wq Wk")
class AttentionWithoutScale(_SteppedAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return super().by_scores(dweights, weights) / self.scale


@mistake("the softmax is taken for a function of each entry", "input Wq Wk")
class AttentionEntrywise(_SteppedAttention):
    def by_scores(self, dweights: Array, weights: Array) -> Array:
        return self.scale * dweights * weights * (1 - weights)


@mistake("the scores are not transposed for the keys", "input Wk")
class AttentionWithoutTranspose(_SteppedAttention):
    def by_keys(self, dscores: Array, q: Array) -> Array:
        return dscores @ q


@mistake("the way through the values is forgotten", "input")
class AttentionWithoutValues(_SteppedAttention):
    def through(self, dq: Array, dk: Array, dv: Array) -> Array:
        return super().through(dq, dk, 0 * dv)


@mistake("the way past the layers is forgotten", "input")
class ResidualWithoutSkip(Residual):
    def backward(self, dout: Array) -> Array:
        return super().backward(dout) - dout


@mistake("the way through the layers is forgotten", "input")
class ResidualDetached(Residual):
    def backward(self, dout: Array) -> Array:
        super().backward(dout)
        return dout.copy()


# ------------------------------------------------------------------------------------------------------------- losses


@mistake("1 / n is forgotten", "input")
class CrossEntropySum(SoftmaxCrossEntropy):
    def __call__(self, z: Array) -> tuple[float, Array]:
        value, dz = super().__call__(z)
        return value, dz * self.labels.size


@mistake("the labels are not subtracted", "input")
class CrossEntropyWithoutLabels(SoftmaxCrossEntropy):
    def __call__(self, z: Array) -> tuple[float, Array]:
        return super().__call__(z)[0], softmax(z) / self.labels.size


@mistake("1 / n is there twice", "input")
class CrossEntropyTwice(SoftmaxCrossEntropy):
    def __call__(self, z: Array) -> tuple[float, Array]:
        value, dz = super().__call__(z)
        return value, dz / self.labels.size


@mistake("the factor 2 of the square, and 1/2 in the loss", "input")
class SquaredTwice(SquaredLoss):
    def __call__(self, z: Array) -> tuple[float, Array]:
        value, dz = super().__call__(z)
        return value, 2 * dz


@mistake("the sign of the difference", "input")
class SquaredSign(SquaredLoss):
    def __call__(self, z: Array) -> tuple[float, Array]:
        value, dz = super().__call__(z)
        return value, -dz


# the class that a wrong one stands in for, where another class lies between them
MISTAKES[:] = [
    Mistake(m.what, m.right.__bases__[0] if m.right.__name__.startswith("_") else m.right, m.wrong, m.gradients, m.fits)
    for m in MISTAKES
]
