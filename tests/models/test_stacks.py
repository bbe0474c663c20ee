"""Nets of one shape that are posed together have the numbers that each has alone, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.models import heads, rounding, sums
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import Batch
from gradcheck.models.fast.noise import BY_STRUCTURE
from gradcheck.models.net import Net

HEADS: tuple[heads.Head, ...] = (
    heads.SquaredError(1.0),
    heads.SquaredError(0.5),
    heads.CrossEntropy(),
    heads.SigmoidSquaredError(),
    heads.SoftmaxCrossEntropy(3),
)


def nets(rng: np.random.Generator) -> tuple[Net, np.ndarray, Batch]:
    """A net, several thetas, and examples for each of them; some thetas are large, so that probabilities are clipped."""
    head = HEADS[rng.integers(len(HEADS))]
    hidden = tuple(int(width) for width in rng.integers(1, 6, rng.integers(0, 3)))
    activation = list(ACTIVATIONS.values())[rng.integers(len(ACTIVATIONS))]
    l2 = float(rng.choice([0.0, 0.3]))
    net = Net(head, hidden, activation, bool(rng.integers(2)), l2, bool(rng.integers(2)))
    count, n, d, k = (int(rng.integers(low, high)) for low, high in ((1, 6), (1, 150), (1, 9), (1, 4)))
    dtype = (np.float32, np.float64, np.longdouble)[rng.integers(3)]
    X = (rng.standard_normal((count, n, d)) * 10.0 ** rng.integers(-9, 3)).astype(dtype)
    X[:, : n // 2 * rng.integers(2)] = X[:, :1]  # equal examples
    y: np.ndarray = rng.integers(0, 2, (count, n, k)).astype(dtype)
    if isinstance(head, heads.SoftmaxCrossEntropy):
        y = rng.integers(0, 3, (count, n))
    elif rng.integers(2):
        y = rng.random((count, n, k)).astype(dtype)
    size = net.layout(Batch(X[0], y[0])).size
    thetas = (rng.standard_normal((count, size)) * 10.0 ** rng.integers(-2, 3, (count, 1))).astype(dtype)
    return net, thetas, Batch(X, y)


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a), np.signbit(b))


@pytest.mark.parametrize("seed", range(60))
def test_a_stack_of_nets_has_the_losses_gradients_and_roundings_of_each(seed: int) -> None:
    net, thetas, batches = nets(np.random.default_rng(seed))
    along = (None, BY_STRUCTURE)[seed % 2]
    with np.errstate(all="ignore"):
        losses, gradients = net.loss(thetas, batches), net.gradient(thetas, batches)
        roundings = rounding.dense_roundings(net, thetas, batches, along)
        for p, theta in enumerate(thetas):
            batch = Batch(batches.X[p], batches.y[p])
            assert same(losses[p], net.loss(theta, batch))
            assert same(gradients[p], net.gradient(theta, batch))
            alone = rounding.dense_rounding(net, theta, batch, along)
            for name in ("loss", "line", "gradient", "clipped", "length"):
                assert same(getattr(roundings[p], name), getattr(alone, name)), name


def test_a_figure_of_another_net_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_the_first(z: np.ndarray) -> np.ndarray:
        return np.full(len(z), sums.repetition(z[0]))

    monkeypatch.setattr(rounding, "repetitions", of_the_first)
    with pytest.raises(AssertionError):
        list(map(test_a_stack_of_nets_has_the_losses_gradients_and_roundings_of_each, range(60)))
