"""Functions with kinks: at x, 1e-9 to 1e-5 beside it, and where nobody expects one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, log_uniform, size, written

Rng: TypeAlias = np.random.Generator
Term: TypeAlias = Callable[[Array, Array, Array, Functions], Array]
POINTS = ("random", "kink", "near_kink")
NEAREST, FARTHEST = 1e-9, 1e-5


class Kinked(NamedTuple):
    """sum(term(x, k, a)) with a kink at x = k in each weight; ``a`` are coefficients."""

    term: Term
    slope: Term


def _step(x: Array, m: Functions) -> Array:
    return (x > 0) * (1 + 0 * x)


def _plain_sign(x: Array) -> Array:
    return np.where(x > 0, 1, np.where(x < 0, -1, 0)) + 0 * x


KINKED: dict[str, Kinked] = {
    "sum_abs": Kinked(lambda x, k, a, m: abs(x - k), lambda x, k, a, m: _plain_sign(x - k)),
    "kinked_sine": Kinked(
        lambda x, k, a, m: 1 + m.sin(x) + a * abs(x - k),
        lambda x, k, a, m: m.cos(x) + a * _plain_sign(x - k),
    ),
    "relu_sum": Kinked(
        lambda x, k, a, m: a * np.maximum(x - k, 0),
        lambda x, k, a, m: a * _step(x - k, m),
    ),
    "leaky_relu": Kinked(
        lambda x, k, a, m: np.where(x > k, x - k, 0.01 * (x - k)) + x**2 / 2,
        lambda x, k, a, m: np.where(x > k, 1, 0.01) + x,
    ),
    "hinge": Kinked(
        lambda x, k, a, m: np.maximum(0, 1 - (x - k) - 1) + 0.05 * x**2,
        lambda x, k, a, m: -(1 - _step(x - k, m)) + 0.1 * x,
    ),
    "pinball": Kinked(
        lambda x, k, a, m: np.maximum(0.9 * (k - x), -0.1 * (k - x)),
        lambda x, k, a, m: np.where(x > k, 0.1, -0.9) + 0 * x,
    ),
    "lasso": Kinked(
        lambda x, k, a, m: (x - k - a) ** 2 / 2 + 0.5 * abs(x - k),
        lambda x, k, a, m: x - k - a + 0.5 * _plain_sign(x - k),
    ),
    "hard_tanh": Kinked(
        lambda x, k, a, m: np.minimum(np.maximum(x - k, 0), 1) * a + m.exp(x / 2),
        lambda x, k, a, m: ((x > k) & (x < k + 1)) * a + m.exp(x / 2) / 2,
    ),
}


def _near(rng: Rng, n: int) -> Array:
    return log_uniform(rng, NEAREST, FARTHEST, n) * rng.choice([-1, 1], n)


def _register(name: str, of: Kinked) -> None:
    @family(name, points=POINTS)
    def draw(rng: Rng, point: str) -> Instance:
        n = size(rng)
        # half of the kinks are at 0, where a weight has no size of its own
        k, a = rng.normal(size=n) * (rng.random() < 0.5), rng.normal(size=n)
        x = k.copy()
        if point == "random":
            x = x + rng.normal(size=n)
        else:
            there = rng.random(n) < 0.5
            there[int(rng.integers(n))] = True
            x = np.where(there, k + (_near(rng, n) if point == "near_kink" else 0), k + rng.normal(size=n))
        return written(
            lambda x, m: np.sum(of.term(x, k, a, m)),
            lambda x, m: of.slope(x, k, a, m),
            x,
            kinks=point != "random",
        )


for _name, _made in KINKED.items():
    _register(_name, _made)


@family("largest_entry", points=POINTS)
def largest_entry(rng: Rng, point: str) -> Instance:
    """max(x): two entries are equal on the kink, and the first gets the slope."""
    n = max(2, size(rng))
    x = rng.normal(size=n)
    if point != "random":
        first, second = rng.choice(n, 2, replace=False)
        x[first] = np.max(x) + 0.5
        x[second] = x[first] + (float(_near(rng, 1)[0]) if point == "near_kink" else 0)

    def jac(x: Array, m: Functions) -> Array:
        found = 0 * x
        found[int(np.argmax(x))] += 1
        return found

    return written(lambda x, m: np.max(x), jac, x, kinks=point != "random")


@family("least_absolute_deviations", points=("random", "near_kink"))
def least_absolute_deviations(rng: Rng, point: str) -> Instance:
    """Residuals of a regression: kinks that lie across the weights."""
    n, rows = size(rng), 15
    X, x = rng.normal(size=(rows, n)), rng.normal(size=n)
    y = X @ x + (_near(rng, rows) if point == "near_kink" else rng.normal(size=rows))
    return written(
        lambda w, m: np.sum(abs(X @ w - y)),
        lambda w, m: X.T @ _plain_sign(X @ w - y),
        x,
        kinks=point != "random",
    )


@family("huber", points=("random", "kink"))
def huber(rng: Rng, point: str) -> Instance:
    """The second derivative jumps, the first does not."""
    n = size(rng)
    centre = rng.normal(size=n)
    x = centre + (rng.normal(0, 2, n) if point == "random" else rng.choice([-1, 1], n))

    def fun(x: Array, m: Functions) -> Array:
        d = x - centre
        return np.sum(np.where(abs(d) <= 1, d**2 / 2, abs(d) - 0.5))

    return written(fun, lambda x, m: np.minimum(np.maximum(x - centre, -1), 1), x)


@family("svm", points=("random", "zeros"))
def svm(rng: Rng, point: str) -> Instance:
    n, rows = size(rng), 20
    X, y = rng.normal(size=(rows, n)), rng.choice([-1.0, 1.0], rows)

    def jac(w: Array, m: Functions) -> Array:
        return w - X.T @ (y * (y * (X @ w) < 1)) / rows

    return written(
        lambda w, m: w @ w / 2 + np.sum(np.maximum(0, 1 - y * (X @ w))) / rows,
        jac,
        np.zeros(n) if point == "zeros" else rng.normal(0, 0.5, n),
    )


@family("max_pooling", points=("random",))
def max_pooling(rng: Rng, point: str) -> Instance:
    groups, width = int(rng.integers(5, 10)), 4
    a = rng.normal(size=groups)

    def jac(x: Array, m: Functions) -> Array:
        pools = x.reshape(groups, width)
        found = 0 * pools
        rows, best = np.arange(groups), np.argmax(pools, axis=1)
        found[rows, best] = 2 * a * pools[rows, best]
        return found.reshape(-1)

    return written(
        lambda x, m: np.sum(a * np.max(x.reshape(groups, width), axis=1) ** 2), jac, rng.normal(size=groups * width)
    )
