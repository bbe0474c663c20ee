"""Mistakes planted in random gradients, and gradients that are wrong without a pattern: which kind does the diagnosis name?

A kind must be named in ``RECOGNISED`` of the cases in which it was planted, and in no more than ``INVENTED`` of those
without a pattern.  What is planted has sizes that people check: 3 to 60 weights, known to 4 to 12 digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.verdict import judge

from .kills import Failure

Array = np.ndarray
Random = np.random.Generator

RECOGNISED, INVENTED = 0.95, 0.01
# What may be said of a gradient that is wrong without a pattern.
GENERIC = {"entries", "scattered", "unknown", "zero_entries"}


@dataclass(frozen=True)
class Checked:
    """A wrong gradient of somebody's own function, and what was measured of it."""

    layout: Layout
    theta: Array
    analytic: Array
    numeric: Array
    bound: Array
    n: int | None = None
    n_classes: int | None = None

    def diagnosis(self) -> Diagnosis:
        """What the package says of it."""
        m = self.layout.size
        zero = np.zeros(m)
        with np.errstate(all="ignore"):
            estimate = Estimate(
                np.ones(m), self.numeric, self.bound, zero, zero, np.ones(m, dtype=bool), np.zeros(m, dtype=bool)
            )
            rounding = Rounding(0.0, zero, zero, zero, np.ones(m), 2.0**-53)
            verdicts = judge(self.analytic, estimate, rounding, np.arange(m), 1e-2, False)
        return diagnose(self, self.numeric, verdicts)


@dataclass(frozen=True)
class Truth:
    """A true gradient g at theta, and the numeric one within its bound."""

    layout: Layout
    theta: Array
    g: Array
    bound: Array

    def checked(self, analytic: Array, rng: Random, g: Array | None = None) -> Checked:
        """The wrong gradient beside a measurement of g; a slope of 0 is measured as 0."""
        g = self.g if g is None else g
        numeric = np.where(g == 0, 0.0, g + self.bound * rng.uniform(-0.9, 0.9, len(g)))
        return Checked(self.layout, self.theta, analytic, numeric, self.bound)


def draw(rng: Random, layout: Layout) -> Truth:
    """Weights and slopes of a common size each, which is not 1, and bounds of 4 to 12 digits below it."""
    m = layout.size
    g = rng.normal(size=m) * 10.0 ** rng.uniform(-3, 3)
    theta = rng.normal(size=m) * 10.0 ** rng.uniform(-1, 1)
    return Truth(layout, theta, g, np.full(m, 10.0 ** rng.uniform(-12, -6) * float(np.abs(g).max())))


def vector(rng: Random) -> Layout:
    return Layout(("x",), ((int(rng.integers(4, 40)),),))


def matrix(rng: Random, least: int = 3) -> Layout:
    return Layout(("W",), (tuple(int(k) for k in rng.integers(least, 9, 2)),))


def square(rng: Random) -> Layout:
    k = int(rng.integers(3, 8))
    return Layout(("S",), ((k, k),))


def net(rng: Random) -> Layout:
    d, h, k = (int(v) for v in rng.integers(3, 6, 3))
    return Layout(("W1", "b1", "W2", "b2"), ((d, h), (h,), (h, k), (k,)))


def any_layout(rng: Random) -> Layout:
    return [vector, matrix, square, net][rng.integers(4)](rng)


# --- planted kinds ---------------------------------------------------------------------------------------------------


def mask(rng: Random) -> Checked:
    """A mask that the backward pass lacks: the slope is 0 where the gradient is not."""
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    kept = rng.random(t.layout.size) < rng.uniform(0.3, 0.8)
    kept[rng.permutation(len(kept))[:2]] = False
    return t.checked(t.g, rng, np.where(kept, t.g, 0.0))


def mask_inverted(rng: Random) -> Checked:
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    kept = rng.random(t.layout.size) < 0.5
    kept[rng.permutation(len(kept))[:4]] = [True, True, False, False]
    return t.checked(np.where(kept, 0.0, t.g), rng, np.where(kept, t.g, 0.0))


def repeated_index(rng: Random) -> Checked:
    """An embedding whose rows are counted once: each row of the slope is its count times one vector, or times its own."""
    rows, d = int(rng.integers(4, 12)), int(rng.integers(1, 6))
    t = draw(rng, Layout(("E",), ((rows, d),)))
    count = rng.integers(0, 5, rows)
    count[rng.permutation(rows)[:3]] = [1, 2, 3]
    once = np.tile(rng.normal(size=d), (rows, 1)) if rng.random() < 0.5 else t.g.reshape(rows, d)
    once = once * float(np.abs(t.g).max())
    return t.checked((np.where(count[:, None] > 0, once, 0.0)).ravel(), rng, (count[:, None] * once).ravel())


def logarithm(rng: Random) -> Checked:
    """The gradient by log x, by exp(x), or with that factor missing."""
    t = draw(rng, [vector, net][rng.integers(2)](rng))
    theta = np.abs(t.theta) if rng.random() < 0.5 else np.clip(t.theta, -5, 5)
    bend = [lambda x: x, lambda x: 1 / x, np.exp, lambda x: np.exp(-x)][rng.integers(4)]
    return Truth(t.layout, theta, t.g, t.bound).checked(t.g * bend(theta), rng)


def one_triangle(rng: Random) -> Checked:
    """A symmetric matrix of which fun reads one triangle, of which jac fills one, or whose pairs jac counts twice."""
    t = draw(rng, square(rng))
    k = t.layout.shapes[0][0]
    half = t.g.reshape(k, k)
    both = np.tril(half) + np.tril(half, -1).T
    folded = np.tril(half) + np.tril(half, -1)
    folded = folded if rng.random() < 0.5 else folded.T
    case = rng.integers(3)
    if case == 0:
        return t.checked(both.ravel(), rng, folded.ravel())
    analytic = folded if case == 1 else 2 * both - np.diag(np.diag(both))
    return t.checked(analytic.ravel(), rng, both.ravel())


def tangent(rng: Random) -> Checked:
    """The gradient projected on the sphere of all weights, of each row, or of each column."""
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    shape = t.layout.shapes[0]
    axes = [None] if len(shape) == 1 else [None, 0, 1]
    axis = axes[rng.integers(len(axes))]
    x, g = t.theta.reshape(shape), t.g.reshape(shape)
    inner = np.sum(g * x, axis=axis, keepdims=True) / np.sum(x * x, axis=axis, keepdims=True)
    return t.checked((g - inner * x).ravel(), rng)


def l2_part(rng: Random) -> Checked:
    """A penalty on the intercept's row or column, or missing in all others."""
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    shape = t.layout.shapes[0]
    size = float(np.abs(t.g).max() / np.abs(t.theta).max()) * 10.0 ** rng.uniform(-2, 0.5)
    chosen = np.zeros(shape, dtype=bool)
    axis, k = int(rng.integers(len(shape))), [0, -1][rng.integers(2)]
    chosen[(slice(None),) * axis + (k,)] = True
    if len(shape) == 1 or rng.random() < 0.5:
        chosen = ~chosen
    sign = rng.choice([-1.0, 1.0])
    return t.checked(t.g + sign * size * t.theta * chosen.ravel(), rng)


def of_theta_alone(rng: Random) -> Checked:
    """The gradient of another function: a multiple of the weights."""
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    return t.checked(rng.choice([1.0, 2.0, 0.1]) * t.theta, rng)


def constant_factor(rng: Random) -> Checked:
    t = draw(rng, any_layout(rng))
    return t.checked(t.g * rng.choice([-1.0, 2.0, 0.5, 3.0, 1.5, 0.3]), rng)


def l2(rng: Random) -> Checked:
    t = draw(rng, [vector, matrix][rng.integers(2)](rng))
    size = float(np.abs(t.g).max() / np.abs(t.theta).max()) * 10.0 ** rng.uniform(-2, 0.5)
    return t.checked(t.g + rng.choice([-1.0, 1.0]) * size * t.theta, rng)


def transposed(rng: Random) -> Checked:
    t = draw(rng, matrix(rng))
    return t.checked(t.g.reshape(t.layout.shapes[0][::-1]).T.ravel(), rng)


def clipped(rng: Random) -> Checked:
    t = draw(rng, any_layout(rng))
    limit = float(np.quantile(np.abs(t.g), rng.uniform(0.3, 0.8)))
    return t.checked(np.clip(t.g, -limit, limit), rng)


def image(rng: Random) -> Layout:
    return Layout(("K",), (tuple(int(k) for k in (*rng.integers(1, 4, 2), *rng.integers(3, 6, 2))),))


def sequence(rng: Random) -> Layout:
    return Layout(("x",), (tuple(int(k) for k in rng.integers(3, 6, 3)),))


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


PLANTED: dict[str, tuple[str, Callable[[Random], Checked]]] = {
    "mask": ("mask", mask),
    "inverted mask": ("mask", mask_inverted),
    "repeated index": ("repeated_index", repeated_index),
    "by the logarithm": ("logarithm", logarithm),
    "one triangle": ("one_triangle", one_triangle),
    "tangent": ("tangent", tangent),
    "penalty on a row or column": ("l2_part", l2_part),
    "of the weights alone": ("of_theta_alone", of_theta_alone),
    "factor": ("constant_factor", constant_factor),
    "penalty": ("l2", l2),
    "transposed": ("transposed", transposed),
    "clipped": ("clipped", clipped),
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


# --- without a pattern -----------------------------------------------------------------------------------------------


def relative_noise(t: Truth, rng: Random) -> Array:
    return t.g * (1 + rng.uniform(0.01, 2) * rng.normal(size=len(t.g)))


def additive_noise(t: Truth, rng: Random) -> Array:
    return t.g + rng.uniform(0.01, 1) * float(np.abs(t.g).max()) * rng.normal(size=len(t.g))


def noise_in_some(t: Truth, rng: Random) -> Array:
    return np.where(rng.random(len(t.g)) < rng.uniform(0.1, 0.9), additive_noise(t, rng), t.g)


def random_signs(t: Truth, rng: Random) -> Array:
    signs = rng.choice([-1.0, 1.0], len(t.g))
    # all alike would be a factor, and alike in one parameter a factor of it
    signs[:2], signs[-2:] = [1.0, -1.0], [-1.0, 1.0]
    return t.g * signs


def random_factors(t: Truth, rng: Random) -> Array:
    return t.g * 10.0 ** rng.uniform(-1, 1, len(t.g))


def unrelated(t: Truth, rng: Random) -> Array:
    return rng.normal(size=len(t.g)) * float(np.abs(t.g).max())


def another_function(t: Truth, rng: Random) -> Array:
    scale = float(np.abs(t.theta).max())
    return [np.sin, np.tanh, np.square, np.cbrt][rng.integers(4)](t.theta / scale * 3) * float(np.abs(t.g).max())


PATTERNLESS: tuple[Callable[[Truth, Random], Array], ...] = (
    relative_noise,
    additive_noise,
    noise_in_some,
    random_signs,
    random_factors,
    unrelated,
    another_function,
)


def patternless(rng: Random) -> Checked:
    """A gradient that is wrong in one of many ways that no hypothesis knows; the true one may have zeros."""
    t = draw(rng, [vector, matrix, square, image, sequence][rng.integers(5)](rng))
    if rng.random() < 0.2:  # a relu's: some slopes are 0
        t = Truth(t.layout, t.theta, np.where(rng.random(t.layout.size) < 0.7, t.g, 0.0), t.bound)
    return t.checked(PATTERNLESS[rng.integers(len(PATTERNLESS))](t, rng), rng)


# --- the count -------------------------------------------------------------------------------------------------------


def recognised(name: str, count: int, seed: int) -> Counter[str]:
    """How often each kind was named of so many cases in which this one was planted."""
    rng = np.random.default_rng([seed, sorted(PLANTED).index(name)])
    found = (PLANTED[name][1](rng).diagnosis().kind for _ in range(count))
    return Counter("nothing" if kind is None else kind for kind in found)


def invented(count: int, seed: int) -> Counter[str]:
    """The kinds that were named of so many gradients that are wrong without a pattern."""
    rng = np.random.default_rng([seed, len(PLANTED)])
    found = (patternless(rng).diagnosis().kind for _ in range(count))
    return Counter("nothing" if kind is None else kind for kind in found)


def trial(folder: Path, count: int) -> str:
    """The trial in full: ``count`` cases of each kind, and ten times as many without a pattern."""
    shares = {}
    for name, (kind, _) in PLANTED.items():
        found = recognised(name, count, 0)
        shares[name] = found[kind] / count
        if shares[name] < RECOGNISED:
            raise Failure(f"{name}: {dict(found)}")
    without = invented(10 * count, 0)
    wrong = sum(k for kind, k in without.items() if kind not in GENERIC | {"nothing"})
    if wrong > INVENTED * sum(without.values()):
        raise Failure(f"without a pattern: {dict(without)}")
    least = min(shares, key=lambda name: shares[name])
    return (
        f"{len(PLANTED)} kinds, {count} random cases of each: {sum(shares.values()) / len(shares):.1%} named rightly, the "
        f"least '{least}' with {shares[least]:.1%}; {10 * count} gradients without a pattern: {wrong} named a kind"
    )
