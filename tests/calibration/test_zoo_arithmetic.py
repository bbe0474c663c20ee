"""Losses of the zoo that are written once for three kinds of numbers: each kind says the same."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import gradcheck.calibration.zoo.families  # noqa: F401
from gradcheck.calibration.zoo.arithmetic import COMPLEX, EXACT, FLOAT, Arithmetic, Values, tridiagonal
from gradcheck.calibration.zoo.losses import complex_step, descended, objects


def quartic(w: Values, a: Arithmetic) -> Values:
    return (a.softplus(w) + a.logsumexp(w) ** 2 * a.sigmoid(-w)).sum() + a.logdet(np.eye(w.size) + np.outer(w, w))


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_has_the_same_value_in_each_arithmetic(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=6) * 10.0**seed / 100
    with mpmath.workdps(40):
        exact = float(quartic(objects(x), EXACT))
    for value in (quartic(x, FLOAT), quartic(x.astype(complex), COMPLEX).real):
        assert float(value) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_linear_algebra_without_lapack_agrees_with_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 2 + seed
    M, b = rng.normal(size=(2, n, n))
    positive = M @ M.T + np.eye(n)
    banded = np.diag(3 + rng.random(n)) + np.diag(rng.random(n - 1), 1) - np.diag(rng.random(n - 1), -1)
    given, right = objects(M.ravel()).reshape(n, n), objects(b[0])
    off = [
        EXACT.solve(given, b) - np.linalg.solve(M, b),
        EXACT.solve(M, right) - np.linalg.solve(M, b[0]),
        tridiagonal(banded, right, EXACT) - np.linalg.solve(banded, b[0]),
        EXACT.logdet(objects(positive.ravel()).reshape(n, n)) - np.linalg.slogdet(positive)[1],
        COMPLEX.logdet(positive.astype(complex)) - FLOAT.logdet(positive),
    ]
    # n^2 roundings times a condition number of at most 1e4 in these draws
    assert max(float(np.max(np.abs(one))) for one in off) < 1e-10


@pytest.mark.parametrize("seed", range(5))
def test_a_matrix_of_float64_is_solved_with_all_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, x = (
        np.diag(3 + rng.random(6)) + np.diag(rng.random(5), 1) - np.diag(rng.random(5), -1),
        objects(rng.normal(size=6)),
    )
    with mpmath.workdps(40):
        for found in (EXACT.solve(A, A @ x), tridiagonal(A, A @ x, EXACT)):
            assert max(abs(found - x)) < 1e-37


def test_the_complex_step_finds_the_derivative_to_the_last_bits() -> None:
    x = np.random.default_rng(3).normal(size=6)
    slope_of_quartic = complex_step(quartic, x)
    with mpmath.workdps(40):
        known = [float(mpmath.diff(lambda t, j=j: quartic(moved(x, j, t), EXACT), 0)) for j in range(6)]
    assert slope_of_quartic == pytest.approx(known, rel=1e-13)


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
