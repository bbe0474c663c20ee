"""Mistakes planted in random gradients, and gradients that are wrong without a pattern: which kind does the diagnosis name?

A kind must be named in ``RECOGNISED`` of the cases in which it was planted, and in no more than ``INVENTED`` of those
without a pattern.  What is planted has sizes that people check: 3 to 60 weights, known to 4 to 12 digits.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradcheck import check_layer
from gradcheck.numerics.layout import Layout

from . import coarse
from .gradients import (
    Array,
    Checked,
    Random,
    Truth,
    additive_noise,
    any_layout,
    draw,
    image,
    matrix,
    net,
    relative_noise,
    sequence,
    square,
    vector,
)
from .kills import Failure
from .planted_laws import LAWS

RECOGNISED, INVENTED = 0.95, 0.01
FACTORS = (-1.0, 2.0, 0.5, 3.0)  # of the whole gradient, where bounds are wide
# In layers, where sizes are small and slopes happen to be 0.
RECOGNISED_IN_LAYERS = 0.9
# What may be said of a gradient that is wrong without a pattern.
GENERIC = {"entries", "scattered", "unknown", "zero_entries"}


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
    **LAWS,
}


# --- without a pattern -----------------------------------------------------------------------------------------------


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


def without_pattern(t: Truth, rng: Random) -> Array:
    """A gradient that is wrong in one of many ways that no hypothesis knows."""
    return PATTERNLESS[rng.integers(len(PATTERNLESS))](t, rng)


def patternless(rng: Random) -> Checked:
    """A gradient that is wrong without a pattern; the true one may have zeros."""
    t = draw(rng, [vector, matrix, square, image, sequence][rng.integers(5)](rng))
    if rng.random() < 0.2:  # a relu's: some slopes are 0
        t = Truth(t.layout, t.theta, np.where(rng.random(t.layout.size) < 0.7, t.g, 0.0), t.bound)
    return t.checked(without_pattern(t, rng), rng)


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


def in_layers(count: int, seed: int) -> dict[str, tuple[int, int]]:
    """Of so many random layers with each mistake: how many get a kind of it, and how many a kind that is wrong."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what the tests share stands beside them
    from layers.inner import INNER

    found = {}
    for number, (name, mistake) in enumerate(INNER.items()):
        kinds = []
        for k in range(count):
            layer, x = mistake.planted(np.random.default_rng([seed, number, k]))
            kinds.append(check_layer(layer, x).diagnosis_kind)
        named = sum(kind in mistake.kinds for kind in kinds)
        wrong = sum(kind not in mistake.kinds | GENERIC for kind in kinds)
        found[name] = named, wrong
    return found


def where_bounds_are_wide(count: int, seed: int) -> tuple[int, int, int]:
    """Of so many coarse gradients for each factor how many have it named; of so many without a pattern, how many have one."""
    named = sum(coarse.kinds(seed, count, coarse.times(factor), 0.1)["constant_factor"] for factor in FACTORS)
    without = coarse.kinds(seed + 1, count, without_pattern, 0.1) + coarse.kinds(seed + 2, count, without_pattern, 0.95)
    return named, len(FACTORS) * count, sum(k for kind, k in without.items() if kind not in GENERIC)


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
    found, of, invented_factors = where_bounds_are_wide(count, 0)
    if found < RECOGNISED * of or invented_factors > INVENTED * 2 * count:
        raise Failure(
            f"wide bounds: {found} of {of} factors named, {invented_factors} of {2 * count} without a pattern"
        )
    layers = in_layers(count // 40, 0)
    each = max(count // 40, 1) * len(layers)
    named, besides = (sum(found[k] for found in layers.values()) for k in (0, 1))
    poor = [name for name, (right, _) in layers.items() if right < RECOGNISED_IN_LAYERS * (count // 40)]
    if poor or besides > INVENTED * each:
        raise Failure(f"in layers: {layers}")
    return (
        f"{len(PLANTED)} kinds, {count} random cases of each: {sum(shares.values()) / len(shares):.1%} named rightly, the "
        f"least '{least}' with {shares[least]:.1%}; {10 * count} gradients without a pattern: {wrong} named a kind; "
        f"where bounds are wide {found} of {of} factors named, {invented_factors} of {2 * count} without a pattern a kind; "
        f"{len(layers)} mistakes in {count // 40} random layers each: {named} of {each} named rightly, {besides} another kind"
    )
