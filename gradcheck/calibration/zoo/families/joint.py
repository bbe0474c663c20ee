"""Elementary functions of all weights together: products, quadratic forms, sums of very different parts."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, log_uniform, size, written

Rng: TypeAlias = np.random.Generator


@family("log_sum_exp", points=("random", "saturated", "zeros"))
def log_sum_exp(rng: Rng, point: str) -> Instance:
    n = size(rng)
    x = {"random": rng.normal(size=n), "saturated": rng.normal(0, 15, n), "zeros": np.zeros(n)}[point]

    def shifted(x: Array, m: Functions) -> Array:
        return m.exp(x - np.max(x))

    return written(
        lambda x, m: np.max(x) + m.log(np.sum(shifted(x, m))),
        lambda x, m: shifted(x, m) / np.sum(shifted(x, m)),
        x,
    )


def _product(x: Array, m: Functions) -> Array:
    return np.asarray(np.prod(x))[()]


@family("product", points=("random",))
def product(rng: Rng, point: str) -> Instance:
    return written(_product, lambda x, m: _product(x, m) / x, rng.normal(1, 0.3, size(rng)))


@family("quadratic_form", points=("random", "optimum", "zeros"))
def quadratic_form(rng: Rng, point: str) -> Instance:
    n = size(rng)
    root = rng.normal(size=(n, n))
    matrix, b = root @ root.T / n + np.eye(n), rng.normal(size=n)
    x = {"random": rng.normal(size=n), "optimum": np.linalg.solve(matrix, b), "zeros": np.zeros(n)}[point]
    return written(lambda x, m: x @ (matrix @ x) / 2 - b @ x, lambda x, m: (matrix @ x + matrix.T @ x) / 2 - b, x)


@family("ill_conditioned", points=("random", "optimum"))
def ill_conditioned(rng: Rng, point: str) -> Instance:
    """A quadratic whose axes have curvatures from 1e-8 to 1e8."""
    n = size(rng)
    curvature, at = log_uniform(rng, 1e-8, 1e8, n), rng.normal(size=n)
    x = at if point == "optimum" else at + rng.normal(size=n)
    return written(lambda x, m: np.sum(curvature * (x - at) ** 2) / 2, lambda x, m: curvature * (x - at), x.copy())


@family("mixed_parts", points=("random",))
def mixed_parts(rng: Rng, point: str) -> Instance:
    """Half of the weights in sines, the others large and with tiny slopes."""
    n = max(2, size(rng))
    half, slope = n // 2, log_uniform(rng, 1e-10, 1e-6, n - n // 2)
    x = np.concatenate([rng.normal(size=half), rng.normal(size=n - half) / slope])
    return written(
        lambda x, m: np.sum(m.sin(x[:half])) + np.sum(slope * x[half:]),
        lambda x, m: np.concatenate([m.cos(x[:half]), slope + 0 * x[half:]]),
        x,
    )


@family("normal_location", points=("random", "optimum"))
def normal_location(rng: Rng, point: str) -> Instance:
    """Log-likelihood of means about 1e7 with standard deviation 1."""
    n, rows = size(rng), 6
    y = rng.normal(1e7, 1, (rows, n))
    x = y.mean(axis=0) if point == "optimum" else 1e7 + rng.normal(size=n)
    return written(
        lambda x, m: np.sum((y - x) ** 2) / 2 + rows * n * np.log(2 * np.pi) / 2,
        lambda x, m: -np.sum(y - x, axis=0),
        x,
    )


@family("sphere_norm", points=("random",))
def sphere_norm(rng: Rng, point: str) -> Instance:
    return written(
        lambda x, m: m.sqrt(np.sum(x**2)), lambda x, m: x / m.sqrt(np.sum(x**2)), log_uniform(rng, 1e-3, 1e3, size(rng))
    )


@family("rational", points=("random", "zeros"))
def rational(rng: Rng, point: str) -> Instance:
    n = size(rng)
    a = rng.normal(size=n)
    x = np.zeros(n) if point == "zeros" else rng.normal(size=n)
    return written(
        lambda x, m: (a @ x) / (1 + x @ x),
        lambda x, m: a / (1 + x @ x) - 2 * (a @ x) * x / (1 + x @ x) ** 2,
        x,
    )
