"""Losses of the zoo that are written once for three kinds of numbers: each kind says the same."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import gradcheck.calibration.zoo.families  # noqa: F401
from gradcheck.calibration.zoo.arithmetic import EXACT, FLOAT, WIDE, Arithmetic, Values, pivots, tridiagonal
from gradcheck.calibration.zoo.losses import complex_step, descended, objects


def quartic(w: Values, a: Arithmetic) -> Values:
    return (a.softplus(w) + a.logsumexp(w) ** 2 * a.sigmoid(-w)).sum() + a.logdet(np.eye(w.size) + np.outer(w, w))


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_has_the_same_value_in_each_arithmetic(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=6) * 10.0**seed / 100
    with mpmath.workdps(40):
        exact = float(quartic(objects(x), EXACT))
    for value in (quartic(x, FLOAT), quartic(x.astype(np.clongdouble), WIDE).real):
        assert float(value) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_linear_algebra_without_lapack_agrees_with_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 2 + seed
    M, b = rng.normal(size=(2, n, n))
    positive = M @ M.T + np.eye(n)
    banded = np.diag(3 + rng.random(n)) + np.diag(rng.random(n - 1), 1) - np.diag(rng.random(n - 1), -1)
    for wide in (lambda v: v.astype(np.clongdouble), lambda v: objects(v.ravel()).reshape(v.shape)):
        a = WIDE if wide(b).dtype != object else EXACT
        off = [
            a.solve(wide(M), wide(b)) - np.linalg.solve(M, b),
            a.solve(wide(M), b[0]) - np.linalg.solve(M, b[0]),
            tridiagonal(wide(banded), wide(b[0]), a) - np.linalg.solve(banded, b[0]),
            a.logdet(wide(positive)) - np.linalg.slogdet(positive)[1],
            pivots(wide(positive)).prod() / np.linalg.det(positive) - 1,
        ]
        # n^2 roundings times a condition number of at most 1e4 in these draws
        assert max(float(np.max(np.abs(one))) for one in off) < 1e-10


def test_the_complex_step_finds_the_derivative_to_the_last_bits() -> None:
    x = np.random.default_rng(3).normal(size=6)
    slope_of_quartic = complex_step(quartic, x)
    with mpmath.workdps(40):
        known = [float(mpmath.diff(lambda t, j=j: quartic(moved(x, j, t), EXACT), 0)) for j in range(6)]
    assert slope_of_quartic == pytest.approx(known, rel=1e-14)


def moved(x: np.ndarray, j: int, t: mpmath.mpf) -> Values:
    at = objects(x)
    at[j] += t
    return at


def test_a_descent_falls_and_stops_near_the_optimum() -> None:
    x = np.array([-1.2, 1.0])

    def value(w: Values, a: Arithmetic) -> Values:
        return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        r = w[1] - w[0] ** 2
        return np.array([-400 * r * w[0] - 2 * (1 - w[0]), 200 * r])

    values = [value(descended(value, gradient, x, steps), FLOAT) for steps in (0, 5, 20, 100)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-15
