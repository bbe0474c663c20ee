"""Networks of 5 to 12 layers with random shapes, and a loss."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from layers.activations import ReLU, Sigmoid, Tanh
from layers.attention import CausalSelfAttention, Embedding, MultiHeadAttention
from layers.base import Array, Layer
from layers.composite import Residual
from layers.convolution import AvgPool2d, Conv2d, MaxPool2d
from layers.dense import Dense, Flatten
from layers.losses import SoftmaxCrossEntropy, SquaredLoss
from layers.mistakes import Mistake
from layers.normalization import BatchNorm, Dropout, GroupNorm, LayerNorm
from layers.recurrent import GRU, LSTM, RNN

LEAST, MOST = 5, 12


@dataclass
class Net:
    """Layers, an input and a loss."""

    layers: list[Layer]
    x: Array
    loss: Any


def activation(rng: np.random.Generator) -> Layer:
    return [ReLU, Tanh, Sigmoid][rng.integers(3)]()


def dense_part(d: int, out: int, count: int, rng: np.random.Generator, rows: bool = True) -> list[Layer]:
    """So many layers from d to out features: dense ones, and between them what keeps the shape."""
    found: list[Layer] = []
    for i in range(count - 1):
        if i % 2 == 0:
            k = d if rng.random() < 0.4 else int(rng.integers(2, 5))
            found.append(Dense(d, k, rng))
            d = k
            continue
        kinds: list[Callable[[], Layer]] = [
            lambda: activation(rng),
            lambda d=d: LayerNorm(d, rng) if d > 2 else Tanh(),
            lambda: Dropout(rng.uniform(0.5, 0.8), np.random.default_rng(rng.integers(1000))),
            lambda d=d: Residual([Dense(d, d, rng), Tanh()]),
            *([lambda d=d: BatchNorm(d, rng)] * 2 if rows else []),
        ]
        found.append(kinds[rng.integers(len(kinds))]())
    return [*found, Dense(d, out, rng)]


def image_net(rng: np.random.Generator) -> Net:
    n, c, h, w = int(rng.integers(2, 4)), int(rng.integers(1, 3)), int(rng.integers(4, 6)), int(rng.integers(4, 6))
    x = rng.normal(size=(n, c, h, w))
    layers: list[Layer] = []
    out = x
    for _ in range(2):
        size = int(rng.integers(2, 4)) if min(out.shape[2:]) > 2 else 2
        padding = int(rng.integers(0, 2)) if min(out.shape[2:]) > size else 1
        k = out.shape[1] if rng.random() < 0.3 else int(rng.integers(1, 3))
        layers += [Conv2d(out.shape[1], k, size, rng, int(rng.integers(1, 3)), padding), activation(rng)]
        out = layers[-1].forward(layers[-2].forward(out))
        if out[0].size > 2 * k and rng.random() < 0.4:
            layers.append(GroupNorm(k, 1 if k % 2 or out[0].size < 4 * k else int(rng.integers(1, 3)), rng))
            out = layers[-1].forward(out)
        if min(out.shape[2:]) > 2 or (min(out.shape[2:]) == 2 and rng.random() < 0.5):
            layers.append([MaxPool2d, AvgPool2d][rng.integers(2)](2, int(rng.integers(1, 3))))
            out = layers[-1].forward(out)
    layers.append(Flatten())
    classes = int(rng.integers(2, 4))
    count = max(1, int(rng.integers(LEAST, MOST + 1)) - len(layers))
    layers += dense_part(layers[-1].forward(out).shape[1], classes, count, rng)
    return Net(layers, x, loss_of((n, classes), rng))


def dense_net(rng: np.random.Generator) -> Net:
    n, d, classes = int(rng.integers(3, 6)), int(rng.integers(2, 5)), int(rng.integers(2, 4))
    layers = dense_part(d, classes, int(rng.integers(LEAST, MOST + 1)), rng)
    return Net(layers, rng.normal(size=(n, d)), loss_of((n, classes), rng))


def sequence_net(rng: np.random.Generator) -> Net:
    n, time, words, d = 2, int(rng.integers(2, 4)), int(rng.integers(3, 6)), int(rng.integers(2, 4))
    x = rng.integers(0, words, (n, time))
    x.flat[1] = x.flat[0]  # a word that stands there twice
    k = int(rng.integers(2, 5))
    layers: list[Layer] = [Embedding(words, d, rng), [RNN, LSTM, GRU][rng.integers(3)](d, k, rng)]
    for _ in range(int(rng.integers(1, 4))):
        kinds: list[Callable[[], Layer]] = [
            lambda: CausalSelfAttention(k, rng),
            lambda: MultiHeadAttention(k, 1 if k % 2 else 2, rng),
            lambda: RNN(k, k, rng),
            lambda: LSTM(k, k, rng),
            lambda: GRU(k, k, rng),
        ]
        layers.append(kinds[rng.integers(len(kinds))]())
    classes = int(rng.integers(2, 4))
    count = max(1, int(rng.integers(LEAST, MOST + 1)) - len(layers))
    layers += dense_part(k, classes, count, rng, rows=False)
    return Net(layers, x, loss_of((n, time, classes), rng))


def loss_of(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if rng.random() < 0.5:
        return SoftmaxCrossEntropy(rng.integers(0, shape[-1], shape[:-1]))
    return SquaredLoss(rng.normal(size=shape))


FAMILIES = (image_net, dense_net, sequence_net)


def net_of(seed: int) -> Net:
    """The network with this number."""
    rng = np.random.default_rng(seed)
    return FAMILIES[seed % len(FAMILIES)](rng)


def planted(mistake: Mistake, seed: int) -> tuple[Net, int]:
    """A network with the mistake in it, and the index of its layer (the number of layers for the loss).

    The networks with the numbers from ``seed`` on are tried until one has a layer in which the mistake makes a difference.
    """
    rng = np.random.default_rng(seed)
    while True:
        net = net_of(seed)
        steps = [*net.layers, net.loss]
        fitting = [i for i, step in enumerate(steps) if type(step) is mistake.right and mistake.fits(step)]
        if fitting and LEAST <= len(net.layers) <= MOST:
            index = int(rng.choice(fitting))
            wrong = copy.deepcopy(net)
            [*wrong.layers, wrong.loss][index].__class__ = mistake.wrong
            if index == len(net.layers) or differs(net, wrong, index, rng):
                return wrong, index
        seed += 1


def differs(net: Net, wrong: Net, index: int, rng: np.random.Generator) -> bool:
    """Whether the wrong layer makes other gradients than the right one, at what it gets in the forward pass.

    A mask that is missing is no mistake where nothing is masked.
    """
    net, wrong = copy.deepcopy((net, wrong))
    x, y = net.x, wrong.x
    for layer, other in zip(net.layers[: index + 1], wrong.layers, strict=False):
        x, y = layer.forward(x), other.forward(y)
    upstream = rng.normal(size=x.shape)
    right, other = net.layers[index], wrong.layers[index]
    gradients = [[layer.backward(upstream), *layer.grads.values()] for layer in (right, other)]
    return any(a is not None and not np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(*gradients, strict=True))
