"""Known gradients of the zoo are the derivatives of their ideal functions, in every weight at once."""

from __future__ import annotations

import zlib
from dataclasses import replace

import mpmath
import numpy as np
import pytest

import gradcheck.calibration.zoo.families  # noqa: F401
from gradcheck.calibration.zoo.arithmetic import EXACT, FLOAT, WIDE, Arithmetic, Values, pivots, tridiagonal
from gradcheck.calibration.zoo.instance import FAMILIES, Instance
from gradcheck.calibration.zoo.losses import complex_step, descended, objects

CASES = [(name, point) for name, one in sorted(FAMILIES.items()) for point in one.points]
DIGITS = 60


def slope(of: Instance, direction: np.ndarray) -> tuple[float, float]:
    """The derivative of the ideal function along a direction, by a difference with 60 digits, and by the known gradient."""
    assert of.exact is not None
    with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
        x = objects(of.x)
        # far below the distance to a kink or a wall, and the difference still has 60 - 28 digits
        h = mpmath.mpf("1e-24") * float(np.abs(of.x).min() or 1e-4)
        difference = (of.exact(list(x + h * direction)) - of.exact(list(x - h * direction))) / (2 * h)
    return float(difference), float(of.correct @ direction)


@pytest.mark.parametrize(("name", "point"), CASES)
def test_the_known_gradient_is_the_derivative_along_a_random_direction(name: str, point: str) -> None:
    rng = np.random.default_rng(zlib.crc32(f"{name} {point}".encode()))
    with np.errstate(all="ignore"):
        of = FAMILIES[name].draw(rng, point)
    if of.exact is None or point == "kink":
        pytest.skip("no derivative by differences")
    direction = rng.choice([-1.0, 1.0], size=of.x.size)
    difference, known = slope(of, direction)
    # each weight was rounded once, the sum n times; of terms of 1 in the loss, differences leave 1e-30
    assert abs(difference - known) <= np.finfo(float).eps * (1 + of.x.size) * np.abs(of.correct).sum() + 1e-30


def test_a_wrong_known_gradient_is_seen() -> None:
    """One weight in twenty that is wrong in its eleventh digit."""
    of = FAMILIES["poisson_regression"].draw(np.random.default_rng(1), "random")
    direction = np.ones(of.x.size)
    factor = np.where(np.arange(of.x.size) == np.argmax(np.abs(of.correct)), 1 + 1e-11, 1)
    difference, known = slope(replace(of, correct=of.correct * factor), direction)
    assert abs(difference - known) > np.finfo(float).eps * (1 + of.x.size) * np.abs(of.correct).sum()


# --- the arithmetics -------------------------------------------------------------------------------------------------


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
