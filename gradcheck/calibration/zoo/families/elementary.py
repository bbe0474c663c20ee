"""Sums of elementary functions of one weight each, as textbooks and homework have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, log_uniform, size, written

Rng: TypeAlias = np.random.Generator
Term: TypeAlias = Callable[[Array, Array, Functions], Array]
Draw: TypeAlias = Callable[[Rng, int], Array]


class Elementary(NamedTuple):
    """sum(term(x, p)): the term, its slope, the points by kind, and the parameter of each weight."""

    term: Term
    slope: Term
    at: dict[str, Callable[[Rng, Array], Array]]
    parameter: Draw = lambda rng, n: rng.normal(size=n)


def _normal(rng: Rng, p: Array) -> Array:
    return rng.normal(size=p.size)


def _zeros(rng: Rng, p: Array) -> Array:
    return np.zeros(p.size)


def _uniform(low: float, high: float) -> Callable[[Rng, Array], Array]:
    return lambda rng, p: rng.uniform(low, high, p.size)


def _spread(low: float, high: float) -> Callable[[Rng, Array], Array]:
    return lambda rng, p: log_uniform(rng, low, high, p.size)


def _sigmoid(z: Array, m: Functions) -> Array:
    return 1 / (1 + m.exp(-z))


def _bump(x: Array, p: Array, m: Functions) -> Array:
    return m.exp(-(((x - p) * 3) ** 2) / 2)


def _powers(rng: Rng, n: int) -> Array:
    return rng.choice([-2.0, -0.5, 0.3, 1.5, 2.0, 3.0, 7.0, 12.5], n)


def _exp_slope(x: Array, p: Array, m: Functions) -> Array:
    return p * m.exp(x)


SUMS: dict[str, Elementary] = {
    "sum_exp": Elementary(
        lambda x, p, m: p * m.exp(x),
        _exp_slope,
        {"random": _normal, "zeros": _zeros, "saturated": _uniform(-40, -20)},
    ),
    "sum_sin": Elementary(
        lambda x, p, m: p * m.sin(x),
        lambda x, p, m: p * m.cos(x),
        {
            "random": lambda rng, p: rng.normal(0, 3, p.size),
            "zeros": _zeros,
            "optimum": lambda rng, p: np.full(p.size, np.pi / 2),
        },
    ),
    "sum_cubic": Elementary(
        lambda x, p, m: x**3 + p * x**2,
        lambda x, p, m: 3 * x**2 + 2 * p * x,
        {"random": _normal, "zeros": _zeros, "optimum": lambda rng, p: -2 * p / 3},
    ),
    "sum_sqrt": Elementary(
        lambda x, p, m: m.sqrt(x),
        lambda x, p, m: 0.5 / m.sqrt(x),
        {"random": _spread(1e-12, 1e12)},
    ),
    "sum_log": Elementary(
        lambda x, p, m: p * m.log(x),
        lambda x, p, m: p / x,
        {"random": _spread(1e-9, 1e9), "optimum": lambda rng, p: np.ones(p.size)},
    ),
    "sum_powers": Elementary(
        lambda x, p, m: x**p,
        lambda x, p, m: p * x ** (p - 1),
        {"random": _spread(0.05, 5)},
        _powers,
    ),
    "reciprocal": Elementary(
        lambda x, p, m: 1 / (x - p),
        lambda x, p, m: -1 / (x - p) ** 2,
        {"random": lambda rng, p: p + log_uniform(rng, 1e-8, 1.0, p.size) * rng.choice([-1, 1], p.size)},
    ),
    "narrow_tanh": Elementary(
        lambda x, p, m: m.tanh((x - 1.25) / p),
        lambda x, p, m: (1 - m.tanh((x - 1.25) / p) ** 2) / p,
        {"random": lambda rng, p: 1.25 + p * rng.normal(size=p.size)},
        lambda rng, n: log_uniform(rng, 1e-8, 1.0, n),
    ),
    "steep_tanh": Elementary(
        lambda x, p, m: m.tanh(p * x + 0.5),
        lambda x, p, m: p * (1 - m.tanh(p * x + 0.5) ** 2),
        {"zeros": _zeros, "random": lambda rng, p: rng.normal(size=p.size) / p},
        lambda rng, n: log_uniform(rng, 1.0, 1e8, n),
    ),
    "rates": Elementary(
        lambda x, p, m: m.exp(-x / p) + x / p / 2,
        lambda x, p, m: -m.exp(-x / p) / p + 1 / p / 2,
        {"random": lambda rng, p: p * rng.uniform(0.1, 3, p.size), "zeros": _zeros},
        lambda rng, n: log_uniform(rng, 1e-6, 1e6, n),
    ),
    "softplus": Elementary(
        lambda x, p, m: m.logaddexp(0, x),
        lambda x, p, m: _sigmoid(x, m),
        {"random": lambda rng, p: rng.normal(0, 3, p.size), "zeros": _zeros, "saturated": _uniform(-30, 30)},
    ),
    "naive_softplus": Elementary(
        lambda x, p, m: m.log(1 + m.exp(x)),
        lambda x, p, m: _sigmoid(x, m),
        {"random": lambda rng, p: rng.normal(0, 3, p.size), "zeros": _zeros, "saturated": _uniform(-30, 30)},
    ),
    "log_loss": Elementary(
        lambda x, p, m: -m.log(1 - _sigmoid(x, m)),
        lambda x, p, m: _sigmoid(x, m),
        {"random": lambda rng, p: rng.normal(0, 2, p.size), "zeros": _zeros, "saturated": _uniform(15, 36)},
    ),
    "sigmoid_less_one": Elementary(
        lambda x, p, m: m.logaddexp(0, -x),
        lambda x, p, m: _sigmoid(x, m) - 1,
        {"random": lambda rng, p: rng.normal(0, 2, p.size), "zeros": _zeros, "saturated": _uniform(15, 36)},
    ),
    "gaussian_bump": Elementary(
        _bump,
        lambda x, p, m: -9 * (x - p) * _bump(x, p, m),
        {
            "random": _normal,
            "optimum": lambda rng, p: p.copy(),
            "saturated": lambda rng, p: p + rng.uniform(1.5, 2.5, p.size),
        },
    ),
    "arctan_loss": Elementary(
        lambda x, p, m: m.arctan((x - p) ** 2),
        lambda x, p, m: 2 * (x - p) / (1 + (x - p) ** 4),
        {
            "random": _normal,
            "optimum": lambda rng, p: p.copy(),
            "saturated": lambda rng, p: p + 1e3 * rng.uniform(1, 9, p.size),
        },
    ),
    "growing_cancellation": Elementary(
        lambda x, p, m: m.logaddexp(0, -((p + 0.7) * x - p * x)),
        lambda x, p, m: -((p + 0.7) - p) * _sigmoid(-((p + 0.7) * x - p * x), m),
        {"zeros": _zeros, "random": _normal},
        lambda rng, n: log_uniform(rng, 1e2, 1e7, n),
    ),
}


def _register(name: str, made: Elementary) -> None:
    @family(name, points=tuple(made.at))
    def draw(rng: Rng, point: str) -> Instance:
        p = made.parameter(rng, size(rng))
        return written(
            lambda x, m: np.sum(made.term(x, p, m)),
            lambda x, m: made.slope(x, p, m),
            made.at[point](rng, p),
        )


for _name, _made in SUMS.items():
    _register(_name, _made)
