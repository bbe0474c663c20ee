"""Mistakes planted in random gradients: laws of the loss that the gradient breaks, and right values in another order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.numerics.layout import Layout

from .gradients import Checked, Random, Truth, additive_noise, draw, image, matrix, net, sequence


def shift(rng: Random) -> Checked:
    """Slopes that sum to 0 along an axis, and a mean, or a mean and a variance, that are taken for constants."""
    t = draw(rng, [matrix, sequence][rng.integers(2)](rng))
    shape = t.layout.shapes[0]
    axis = int(rng.integers(len(shape)))
    g = t.g.reshape(shape)
    g = g - g.mean(axis=axis, keepdims=True)
    size = float(np.abs(g).max())
    off = size * rng.normal(size=g.mean(axis=axis, keepdims=True).shape)
    slope = off / float(np.abs(t.theta).max()) * rng.integers(2)
    return t.checked((g + off + slope * t.theta.reshape(shape)).ravel(), rng, g.ravel())


def shift_of_a_softmax(rng: Random) -> Checked:
    """The diagonal of the softmax's derivative alone."""
    t = draw(rng, matrix(rng))
    theta, up = np.clip(t.theta, -4, 4), t.g.reshape(t.layout.shapes[0])
    s = np.exp(theta).reshape(up.shape)
    s /= s.sum(axis=1, keepdims=True)
    right = s * (up - (s * up).sum(axis=1, keepdims=True))
    bound = np.full(len(t.bound), 1e-10 * float(np.abs(right).max()))
    return Truth(t.layout, theta, right.ravel(), bound).checked((s * (1 - s) * up).ravel(), rng)


def bias_before_a_norm(rng: Random) -> Checked:
    """The slope by a bias is rounding, its gradient and that of the matrix before it are wrong."""
    t = draw(rng, net(rng))
    g, analytic = t.g.copy(), t.g.copy()
    at = t.layout.slices["b1"]
    g[at] = t.bound[at] * rng.uniform(-0.05, 0.05, at.stop - at.start)
    below = slice(0, at.stop)
    analytic[below] = g[below] + float(np.abs(g).max()) * rng.normal(size=at.stop)
    return t.checked(analytic, rng, g)


def scale(rng: Random) -> Checked:
    """Slopes that are orthogonal to each column or row of the weights, but for a norm's epsilon, and some of it is added."""
    t = draw(rng, matrix(rng, 4))
    shape = t.layout.shapes[0]
    axis = int(rng.integers(2))
    x, g = t.theta.reshape(shape), t.g.reshape(shape)
    inner = np.sum(g * x, axis=axis, keepdims=True) / np.sum(x * x, axis=axis, keepdims=True)
    left = 1e-5 * rng.random(inner.shape) * rng.integers(2)
    g = g - (1 - left) * inner * x
    size = float(np.abs(g).max() / np.abs(x).max())
    return t.checked((g + size * rng.normal(size=inner.shape) * x).ravel(), rng, g.ravel())


def causality(rng: Random) -> Checked:
    """No slope above the diagonal, and a gradient there; others may be wrong too."""
    count, time = int(rng.integers(1, 4)), int(rng.integers(5, 8))
    t = draw(rng, Layout(("S",), ((count, time, time),)))
    seen = np.broadcast_to(np.tri(time, dtype=bool), (count, time, time)).ravel()
    g = np.where(seen, t.g, 0.0)
    noise = float(np.abs(t.g).max()) * rng.normal(size=len(g)) * (rng.random() < 0.5)
    return t.checked(np.where(seen, t.g + noise, t.g), rng, g)


def padding(rng: Random) -> Checked:
    """A row, or the ends of sequences, without a slope, and a gradient there."""
    if rng.random() < 0.5:
        t = draw(rng, Layout(("E",), (tuple(int(k) for k in rng.integers(6, 10, 2)),)))
        outside = np.zeros(t.layout.shapes[0], dtype=bool)
        outside[rng.choice([0, -1])] = True
    else:
        t = draw(rng, sequence(rng))
        n, time, _ = t.layout.shapes[0]
        lengths = rng.integers(1, time + 1, n)
        lengths[:2] = [1, time - 1]
        outside = np.broadcast_to((np.arange(time) >= lengths[:, None])[..., None], t.layout.shapes[0])
    return t.checked(t.g, rng, np.where(outside.ravel(), 0.0, t.g))


def truncated(rng: Random) -> Checked:
    """The last steps of a sequence are right, all before them wrong."""
    t = draw(rng, sequence(rng))
    shape = t.layout.shapes[0]
    before = np.zeros(shape, dtype=bool)
    before[:, : int(rng.integers(1, shape[1]))] = True
    return t.checked(np.where(before.ravel(), rng.normal() * additive_noise(t, rng), t.g), rng)


def flipped(rng: Random) -> Checked:
    t = draw(rng, image(rng))
    return t.checked(t.g.reshape(t.layout.shapes[0])[:, :, ::-1, ::-1].ravel(), rng)


def shifted(rng: Random) -> Checked:
    """An image that is cut out one pixel too early or too late."""
    t = draw(rng, image(rng))
    n, c, h, w = t.layout.shapes[0]
    whole = np.pad(t.g.reshape(n, c, h, w), ((0, 0), (0, 0), (1, 1), (1, 1)))
    around = float(np.abs(t.g).max()) * rng.normal(size=whole.shape)
    whole = np.where(np.pad(np.ones((n, c, h, w)), ((0, 0), (0, 0), (1, 1), (1, 1))) > 0, whole, around)
    i, j = rng.choice([0, 2], 2)
    return t.checked(whole[:, :, i : i + h, j : j + w].ravel(), rng)


def blocks(rng: Random) -> Checked:
    """Heads side by side in another order, or their entries."""
    rows, heads, each = (int(k) for k in rng.integers(2, 5, 3))
    t = draw(rng, Layout(("W",), ((rows, heads * each),)))
    split = t.g.reshape(rows, heads, each)
    mixed = split[:, ::-1] if rng.random() < 0.5 else split.swapaxes(1, 2)
    return t.checked(mixed.ravel(), rng)


def tied(rng: Random) -> Checked:
    """An embedding that is the output layer too: its rows of words that occur have one part, all others none."""
    t = draw(rng, Layout(("E",), (tuple(int(k) for k in rng.integers(5, 9, 2)),)))
    rows, d = t.layout.shapes[0]
    occurs = rng.random(rows) < 0.6
    occurs[rng.permutation(rows)[:2]] = [True, False]
    part = float(np.abs(t.g).max()) * rng.normal(size=(rows, d))
    return t.checked(np.where(occurs[:, None], part, 0.0).ravel(), rng)


def slice_factor(rng: Random) -> Checked:
    """A vector that is missing."""
    t = draw(rng, matrix(rng, 4))
    return t.checked((t.g.reshape(t.layout.shapes[0]) * 10 ** rng.uniform(-1, 1, t.layout.shapes[0][1])).ravel(), rng)


def factor_above(rng: Random) -> Checked:
    """A factor in the layer nearest the loss that is wrong, and everything below is off because of it."""
    t = draw(rng, net(rng))
    analytic = additive_noise(t, rng)
    for name, factor in (("W2", 1 / np.sqrt(3)), ("b2", 1.0)):
        at = t.layout.slices[name]
        analytic[at] = factor * t.g[at]
    return t.checked(analytic, rng)


LAWS: dict[str, tuple[str, Callable[[Random], Checked]]] = {
    "constant added": ("shift", shift),
    "diagonal of a softmax": ("shift", shift_of_a_softmax),
    "bias before a norm": ("shift", bias_before_a_norm),
    "scale of each column": ("scale", scale),
    "causal mask": ("causality", causality),
    "padding": ("padding", padding),
    "cut in time": ("truncated", truncated),
    "turned": ("flipped", flipped),
    "moved": ("shifted", shifted),
    "heads": ("blocks", blocks),
    "used twice": ("tied", tied),
    "vector missing": ("slice_factor", slice_factor),
    "factor, and all below": ("param_factor", factor_above),
}
