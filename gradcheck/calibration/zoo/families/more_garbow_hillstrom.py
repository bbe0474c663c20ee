"""Test problems of Moré, Garbow and Hillstrom, ACM Trans. Math. Softw. 7 (1981): sums of squared residuals."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, log_uniform, written

Rng: TypeAlias = np.random.Generator
Residuals: TypeAlias = Callable[[Array, Functions], Array]


class Problem(NamedTuple):
    """Residuals, their Jacobian, the standard start for n weights, n to draw, and a minimum where it is known."""

    residuals: Residuals
    jacobian: Residuals
    start: Callable[[int], Array]
    sizes: tuple[int, ...]
    minimum: Callable[[int], Array] | None = None


def _columns(*columns: Array) -> Array:
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def _blocks(x: Array, k: int) -> tuple[Array, ...]:
    return tuple(x[i::k] for i in range(k))


def _filled(rows: list[tuple[Array, Array, Array]], shape: tuple[int, int], x: Array) -> Array:
    """A matrix with these entries (rows, columns, values), of the numbers that x has."""
    made = np.zeros(shape, dtype=x.dtype)
    for r, c, values in rows:
        made[r, c] = values
    return made


def _rosenbrock(x: Array, m: Functions) -> Array:
    a, b = _blocks(x, 2)
    return np.concatenate([10 * (b - a**2), 1 - a])


def _rosenbrock_jacobian(x: Array, m: Functions) -> Array:
    a, _ = _blocks(x, 2)
    i, k = np.arange(a.size), a.size
    rows = [(i, 2 * i, -20 * a), (i, 2 * i + 1, 10 + 0 * a), (k + i, 2 * i, -1 + 0 * a)]
    return _filled(rows, (x.size, x.size), x)


def _singular(x: Array, m: Functions) -> Array:
    a, b, c, d = _blocks(x, 4)
    return np.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def _singular_jacobian(x: Array, m: Functions) -> Array:
    a, b, c, d = _blocks(x, 4)
    i, k, one = np.arange(a.size), a.size, 1 + 0 * a
    u, v = b - 2 * c, a - d
    rows = [
        (i, 4 * i, one),
        (i, 4 * i + 1, 10 * one),
        (k + i, 4 * i + 2, 5**0.5 * one),
        (k + i, 4 * i + 3, -(5**0.5) * one),
        (2 * k + i, 4 * i + 1, 2 * u),
        (2 * k + i, 4 * i + 2, -4 * u),
        (3 * k + i, 4 * i, 2 * 10**0.5 * v),
        (3 * k + i, 4 * i + 3, -2 * 10**0.5 * v),
    ]
    return _filled(rows, (x.size, x.size), x)


def _wood(x: Array, m: Functions) -> Array:
    a, b, c, d = _blocks(x, 4)
    first = [10 * (b - a**2), 1 - a, 90**0.5 * (d - c**2), 1 - c]
    return np.concatenate([*first, 10**0.5 * (b + d - 2), (b - d) / 10**0.5])


def _wood_jacobian(x: Array, m: Functions) -> Array:
    a, _, c, _ = _blocks(x, 4)
    i, k, one = np.arange(a.size), a.size, 1 + 0 * a
    rows = [
        (i, 4 * i, -20 * a),
        (i, 4 * i + 1, 10 * one),
        (k + i, 4 * i, -one),
        (2 * k + i, 4 * i + 2, -2 * 90**0.5 * c),
        (2 * k + i, 4 * i + 3, 90**0.5 * one),
        (3 * k + i, 4 * i + 2, -one),
        (4 * k + i, 4 * i + 1, 10**0.5 * one),
        (4 * k + i, 4 * i + 3, 10**0.5 * one),
        (5 * k + i, 4 * i + 1, one / 10**0.5),
        (5 * k + i, 4 * i + 3, -one / 10**0.5),
    ]
    return _filled(rows, (6 * k, x.size), x)


def _helical(x: Array, m: Functions) -> Array:
    turn = m.arctan(x[1] / x[0]) / (2 * np.pi)
    return np.array([10 * (x[2] - 10 * turn), 10 * (m.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


def _helical_jacobian(x: Array, m: Functions) -> Array:
    s = x[0] ** 2 + x[1] ** 2
    r, turn = m.sqrt(s), 100 / (2 * np.pi * s)
    return np.array([[turn * x[1], -turn * x[0], 10], [10 * x[0] / r, 10 * x[1] / r, 0], [0, 0, 1]])


def _brown(x: Array, m: Functions) -> Array:
    return np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def _brown_jacobian(x: Array, m: Functions) -> Array:
    return np.array([[1, 0], [0, 1], [x[1], x[0]]])


def _powell_badly_scaled(x: Array, m: Functions) -> Array:
    return np.array([1e4 * x[0] * x[1] - 1, m.exp(-x[0]) + m.exp(-x[1]) - 1.0001])


def _powell_badly_scaled_jacobian(x: Array, m: Functions) -> Array:
    return np.array([[1e4 * x[1], 1e4 * x[0]], [-m.exp(-x[0]), -m.exp(-x[1])]])


def _beale(x: Array, m: Functions) -> Array:
    return np.array([y - x[0] * (1 - x[1] ** k) for k, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


def _beale_jacobian(x: Array, m: Functions) -> Array:
    return np.array([[-(1 - x[1] ** k), x[0] * k * x[1] ** (k - 1)] for k in (1, 2, 3)])


_T13 = np.arange(1, 14) / 10
_Y13 = np.exp(-_T13) - 5 * np.exp(-10 * _T13) + 3 * np.exp(-4 * _T13)


def _biggs(x: Array, m: Functions) -> Array:
    e = [m.exp(-_T13 * x[k]) for k in (0, 1, 4)]
    return x[2] * e[0] - x[3] * e[1] + x[5] * e[2] - _Y13


def _biggs_jacobian(x: Array, m: Functions) -> Array:
    a, b, c = (m.exp(-_T13 * x[k]) for k in (0, 1, 4))
    return _columns(-_T13 * x[2] * a, _T13 * x[3] * b, a, -b, -_T13 * x[5] * c, c)


_T10 = np.arange(1, 11) / 10


def _box(x: Array, m: Functions) -> Array:
    return m.exp(-_T10 * x[0]) - m.exp(-_T10 * x[1]) - x[2] * (np.exp(-_T10) - np.exp(-10 * _T10))


def _box_jacobian(x: Array, m: Functions) -> Array:
    flat = -(np.exp(-_T10) - np.exp(-10 * _T10)) + 0 * x[2]
    return _columns(-_T10 * m.exp(-_T10 * x[0]), _T10 * m.exp(-_T10 * x[1]), flat)


def _trigonometric(x: Array, m: Functions) -> Array:
    i = np.arange(1, x.size + 1)
    return x.size - np.sum(m.cos(x)) + i * (1 - m.cos(x)) - m.sin(x)


def _trigonometric_jacobian(x: Array, m: Functions) -> Array:
    i = np.arange(1, x.size + 1)
    return m.sin(x) + np.eye(x.size) * (i * m.sin(x) - m.cos(x))


def _variably(x: Array, m: Functions) -> Array:
    total = np.arange(1, x.size + 1) @ (x - 1)
    return np.concatenate([x - 1, np.array([total, total**2])])


def _variably_jacobian(x: Array, m: Functions) -> Array:
    i = np.arange(1, x.size + 1)
    return np.concatenate([np.eye(x.size), [i + 0 * x], [2 * (i @ (x - 1)) * i]])


_T29 = np.arange(1, 30) / 29


def _watson(x: Array, m: Functions) -> Array:
    j = np.arange(x.size)
    powers = _T29[:, None] ** j
    slopes = j[1:] * _T29[:, None] ** (j[1:] - 1)
    rows = slopes @ x[1:] - (powers @ x) ** 2 - 1
    return np.concatenate([rows, np.array([x[0], x[1] - x[0] ** 2 - 1])])


def _watson_jacobian(x: Array, m: Functions) -> Array:
    j = np.arange(x.size)
    powers = _T29[:, None] ** j
    slopes = np.concatenate([np.zeros((29, 1)), j[1:] * _T29[:, None] ** (j[1:] - 1)], axis=1)
    last = np.zeros((2, x.size), dtype=x.dtype)
    last[0, 0], last[1, 0], last[1, 1] = 1, -2 * x[0], 1
    return np.concatenate([slopes - 2 * (powers @ x)[:, None] * powers, last])


def _penalty(x: Array, m: Functions) -> Array:
    return np.concatenate([1e-5**0.5 * (x - 1), np.array([x @ x - 0.25])])


def _penalty_jacobian(x: Array, m: Functions) -> Array:
    return np.concatenate([1e-5**0.5 * np.eye(x.size), [2 * x]])


def _broyden(x: Array, m: Functions) -> Array:
    before, after = np.concatenate([[0 * x[0]], x[:-1]]), np.concatenate([x[1:], [0 * x[0]]])
    return (3 - 2 * x) * x - before - 2 * after + 1


def _broyden_jacobian(x: Array, m: Functions) -> Array:
    n = x.size
    return np.eye(n) * (3 - 4 * x) - np.eye(n, k=-1) - 2 * np.eye(n, k=1)


def _boundary_value(x: Array, m: Functions) -> Array:
    h, t = 1 / (x.size + 1), np.arange(1, x.size + 1) / (x.size + 1)
    before, after = np.concatenate([[0 * x[0]], x[:-1]]), np.concatenate([x[1:], [0 * x[0]]])
    return 2 * x - before - after + h**2 * (x + t + 1) ** 3 / 2


def _boundary_value_jacobian(x: Array, m: Functions) -> Array:
    n = x.size
    h, t = 1 / (n + 1), np.arange(1, n + 1) / (n + 1)
    return np.eye(n) * (2 + 3 * h**2 * (x + t + 1) ** 2 / 2) - np.eye(n, k=-1) - np.eye(n, k=1)


_T16 = 45 + 5 * np.arange(1, 17)
_Y16 = np.array([34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872])


def _meyer(x: Array, m: Functions) -> Array:
    return x[0] * m.exp(x[1] / (_T16 + x[2])) - _Y16


def _meyer_jacobian(x: Array, m: Functions) -> Array:
    e = m.exp(x[1] / (_T16 + x[2]))
    return _columns(e, x[0] * e / (_T16 + x[2]), -x[0] * x[1] * e / (_T16 + x[2]) ** 2)


def _start(*values: float) -> Callable[[int], Array]:
    return lambda n: np.resize(np.array(values, dtype=float), n)


_MANY = (20, 24, 28, 32, 40)
PROBLEMS: dict[str, Problem] = {
    "rosenbrock": Problem(_rosenbrock, _rosenbrock_jacobian, _start(-1.2, 1.0), (2, 4, *_MANY), np.ones),
    "powell_singular": Problem(_singular, _singular_jacobian, _start(3.0, -1.0, 0.1, 1.0), (4, *_MANY), np.zeros),
    "wood": Problem(_wood, _wood_jacobian, _start(-3.0, -1.0, -3.0, -1.0), (4, *_MANY), np.ones),
    "helical_valley": Problem(_helical, _helical_jacobian, _start(0.8, 0.3, 0.1), (3,), _start(1.0, 0.0, 0.0)),
    "brown_badly_scaled": Problem(_brown, _brown_jacobian, _start(1.0, 1.0), (2,), _start(1e6, 2e-6)),
    "powell_badly_scaled": Problem(_powell_badly_scaled, _powell_badly_scaled_jacobian, _start(1e-5, 9.0), (2,)),
    "beale": Problem(_beale, _beale_jacobian, _start(1.0, 1.0), (2,), _start(3.0, 0.5)),
    "biggs_exp6": Problem(_biggs, _biggs_jacobian, _start(1, 2, 1, 1, 1, 1), (6,), _start(1, 10, 1, 5, 4, 3)),
    "box_3d": Problem(_box, _box_jacobian, _start(0.0, 10.0, 20.0), (3,), _start(1.0, 10.0, 1.0)),
    "trigonometric": Problem(
        _trigonometric, _trigonometric_jacobian, lambda n: np.full(n, 1 / n), (3, *_MANY), np.zeros
    ),
    "variably_dimensioned": Problem(
        _variably, _variably_jacobian, lambda n: 1 - np.arange(1, n + 1) / n, (4, *_MANY), np.ones
    ),
    "watson": Problem(_watson, _watson_jacobian, np.zeros, (6, 9)),
    "penalty": Problem(_penalty, _penalty_jacobian, lambda n: np.arange(1.0, n + 1), (4, *_MANY)),
    "broyden_tridiagonal": Problem(_broyden, _broyden_jacobian, _start(-1.0), (5, *_MANY)),
    "boundary_value": Problem(
        _boundary_value,
        _boundary_value_jacobian,
        lambda n: (np.arange(1, n + 1) / (n + 1)) * (np.arange(1, n + 1) / (n + 1) - 1),
        (5, *_MANY),
    ),
    "meyer": Problem(_meyer, _meyer_jacobian, _start(0.02, 4000.0, 250.0), (3,)),
}


def _register(name: str, of: Problem) -> None:
    points = ("random", "zeros") if name not in ("helical_valley", "meyer") else ("random",)
    if of.minimum is not None:
        points = (*points, "optimum")

    @family(name, points=points)
    def draw(rng: Rng, point: str) -> Instance:
        n = int(rng.choice(of.sizes))
        start = of.start(n)
        if point == "random":
            # about the start, as near or as far as a solver may come
            start = start + np.where(start == 0, 1, np.abs(start)) * rng.normal(size=n) * log_uniform(rng, 1e-3, 0.3)
        elif point == "optimum" and of.minimum is not None:
            start = of.minimum(n)
        else:
            start = np.zeros(n)
        return written(
            lambda x, m: np.sum(of.residuals(x, m) ** 2),
            lambda x, m: 2 * (of.residuals(x, m) @ of.jacobian(x, m)),
            np.asarray(start, float),
        )


for _name, _problem in PROBLEMS.items():
    _register(_name, _problem)
