"""Losses with kinks, bends and barriers of convex optimisation."""

from __future__ import annotations

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values
from gradcheck.calibration.zoo.families.regressions import COEFFICIENTS, EXAMPLES, POINTS, design
from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.losses import drawn, start


def near(rng: np.random.Generator, size: int | None = None) -> Array:
    """Distances to a kink, 1e-9 to 1e-5, of either sign."""
    return np.asarray(rng.choice([-1.0, 1.0], size=size) * 10.0 ** rng.uniform(-9, -5, size=size))


def positive_part(z: Values) -> Values:
    """max(z, 0), by the real part."""
    return np.where(z.real > 0, z, 0)


@family("quantile_regression", points=("random", "near_kink", "saturated"))
def quantile_regression(rng: np.random.Generator, point: str) -> Instance:
    """Mean of tau r where r > 0 and (tau - 1) r elsewhere, r = y - X b; Koenker and Bassett, 1978."""
    X, y, tau = design(rng), rng.normal(size=EXAMPLES), float(rng.uniform(0.1, 0.9))
    x = start(rng, COEFFICIENTS, point)
    if point == "near_kink":  # of the first example, by way of the constant
        x[0] += y[0] - X[0] @ x - near(rng)

    def value(b: Values, a: Arithmetic) -> Values:
        r = y - X @ b
        return np.where(r.real > 0, tau * r, (tau - 1) * r).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        r = y - X @ b
        return -X.T @ np.where(r.real > 0, tau, tau - 1) / EXAMPLES + 0 * b

    return drawn(value, gradient, x, point, kinks=True)


def _beside_margin(rng: np.random.Generator, X: Array, y: Array, point: str) -> Array:
    """A start; near a kink, the first example lies beside the margin, by way of the constant."""
    x = start(rng, COEFFICIENTS, point)
    if point == "near_kink":
        x[0] += y[0] * (1 - near(rng)) - X[0] @ x
    return x


@family("hinge_svm", points=("random", "near_kink", "saturated", "zeros"))
def hinge_svm(rng: np.random.Generator, point: str) -> Instance:
    """Mean of max(0, 1 - y X w) and |w|^2 / 100."""
    X, y = design(rng), rng.choice([-1.0, 1.0], size=EXAMPLES)
    x = _beside_margin(rng, X, y, point)

    def value(w: Values, a: Arithmetic) -> Values:
        return positive_part(1 - y * (X @ w)).mean() + 1e-2 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        active = (y * (X @ w)).real < 1
        return -X.T @ (y * active) / EXAMPLES + 2e-2 * w

    return drawn(value, gradient, x, point, kinks=True)


@family("squared_hinge_svm", points=("random", "near_kink", "optimum", "zeros"))
def squared_hinge_svm(rng: np.random.Generator, point: str) -> Instance:
    """Mean of max(0, 1 - y X w)^2 and |w|^2 / 100: the slope bends but does not jump."""
    X, y = design(rng), rng.choice([-1.0, 1.0], size=EXAMPLES)
    x = _beside_margin(rng, X, y, point)

    def value(w: Values, a: Arithmetic) -> Values:
        return (positive_part(1 - y * (X @ w)) ** 2).mean() + 1e-2 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        return -2 * X.T @ (y * positive_part(1 - y * (X @ w))) / EXAMPLES + 2e-2 * w

    return drawn(value, gradient, x, point)


@family("huber_regression", points=("random", "near_kink", "optimum", "saturated"))
def huber_regression(rng: np.random.Generator, point: str) -> Instance:
    """Mean of r^2 / 2 where abs(r) <= 1, abs(r) - 1/2 beyond: the slope bends at +-1."""
    X = design(rng)
    y = X @ rng.normal(size=COEFFICIENTS) + rng.standard_t(2, size=EXAMPLES)
    x = start(rng, COEFFICIENTS, point)
    if point == "near_kink":
        x[0] += y[0] - X[0] @ x - (1 + near(rng))

    def value(b: Values, a: Arithmetic) -> Values:
        r = y - X @ b
        size = np.where(r.real < 0, -r, r)
        return np.where(size.real <= 1, r * r / 2, size - 0.5).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        r = y - X @ b
        bent = np.where(r.real > 1, 1, np.where(r.real < -1, -1, r))
        return -X.T @ bent / EXAMPLES

    return drawn(value, gradient, x, point)


@family("elastic_net_logistic", points=("random", "near_kink", "saturated"))
def elastic_net_logistic(rng: np.random.Generator, point: str) -> Instance:
    """Logistic loss, 0.05 |w|_1 and 0.05 |w|^2; the weights are away from 0, or 1e-9 to 1e-5 beside it."""
    X, y = design(rng), rng.choice([-1.0, 1.0], size=EXAMPLES)
    x = start(rng, COEFFICIENTS, point)
    x += 0.1 * np.sign(x)
    if point == "near_kink":
        x[::2] = near(rng, COEFFICIENTS // 2)

    def value(w: Values, a: Arithmetic) -> Values:
        size = np.where(w.real < 0, -w, w)
        return a.softplus(-y * (X @ w)).mean() + 0.05 * size.sum() + 0.05 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        p = a.sigmoid(-y * (X @ w))
        return -X.T @ (y * p) / EXAMPLES + 0.05 * np.where(w.real < 0, -1, 1) + 0.1 * w

    return drawn(value, gradient, x, point, kinks=True)


@family("group_lasso", points=("random", "saturated", "boundary"))
def group_lasso(rng: np.random.Generator, point: str) -> Instance:
    """Squared error and 0.3 |w_g| of five groups of four; one group is nearly 0 at the boundary."""
    X, y = design(rng), rng.normal(size=EXAMPLES)
    x = start(rng, COEFFICIENTS, point)
    if point == "boundary":
        x[:4] *= 10.0 ** rng.uniform(-6, -3)

    def value(w: Values, a: Arithmetic) -> Values:
        lengths = a.sqrt((w.reshape(5, 4) ** 2).sum(1))
        return ((y - X @ w) ** 2).mean() / 2 + 0.3 * lengths.sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        groups = w.reshape(5, 4)
        lengths = a.sqrt((groups**2).sum(1, keepdims=True))
        return X.T @ (X @ w - y) / EXAMPLES + 0.3 * (groups / lengths).ravel()

    return drawn(value, gradient, x, point)


@family("log_barrier", points=("random", "optimum", "boundary"))
def log_barrier(rng: np.random.Generator, point: str) -> Instance:
    """t c^T x - sum log(b - A x) - sum log(1 - x^2): an interior point method; 1e-8 to 1e-4 from the wall at the boundary."""
    n, walls = 20, 10
    A, c, t = rng.normal(size=(walls, n)), rng.normal(size=n), 10.0 ** rng.uniform(-1, 2)
    x = rng.uniform(-0.9, 0.9, size=n)
    b = A @ x + rng.uniform(0.1, 1.0, size=walls)
    if point == "boundary":
        half = n // 2
        x[:half] = np.sign(x[:half]) * (1 - 10.0 ** rng.uniform(-8, -4, size=half))
        b = A @ x + 10.0 ** rng.uniform(-4, 0, size=walls)

    def value(w: Values, a: Arithmetic) -> Values:
        return t * (c @ w) - a.log(b - A @ w).sum() - a.log((1 - w) * (1 + w)).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        return t * c + A.T @ (1 / (b - A @ w)) + 2 * w / ((1 - w) * (1 + w))

    return drawn(value, gradient, x, point, steps=6)


@family("maximum_entropy", points=POINTS)
def maximum_entropy(rng: np.random.Generator, point: str) -> Instance:
    """Dual of the largest entropy under 20 moments of a distribution over 60 values: log sum exp(F w) - m^T w."""
    F = rng.normal(size=(60, 20))
    m = rng.dirichlet(np.ones(60)) @ F

    def value(w: Values, a: Arithmetic) -> Values:
        return a.logsumexp(F @ w) - m @ w

    def gradient(w: Values, a: Arithmetic) -> Values:
        return F.T @ a.softmax(F @ w) - m

    return drawn(value, gradient, start(rng, 20, point, spread=0.5, far=5.0), point)


@family("smoothed_total_variation", points=("random", "optimum", "zeros"))
def smoothed_total_variation(rng: np.random.Generator, point: str) -> Instance:
    """A noisy signal of 24 values: |w - y|^2 / 2 + sum sqrt(d^2 + 1e-6), d the differences of neighbours."""
    n = 24
    y = np.repeat(rng.normal(size=4), 6) + 0.1 * rng.normal(size=n)

    def value(w: Values, a: Arithmetic) -> Values:
        d = w[1:] - w[:-1]
        return ((w - y) ** 2).sum() / 2 + a.sqrt(d * d + 1e-6).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        d = w[1:] - w[:-1]
        s = d / a.sqrt(d * d + 1e-6)
        g = w - y
        g[1:] += s
        g[:-1] -= s
        return g

    return drawn(value, gradient, start(rng, n, point), point)


@family("markowitz", points=("random", "optimum", "saturated", "zeros"))
def markowitz(rng: np.random.Generator, point: str) -> Instance:
    """A portfolio of 20 assets, shares softmax(w): variance minus return, and smoothed costs of trading."""
    n = 20
    returns = 0.02 * rng.normal(size=(60, n)) + 0.001
    C, mean = np.cov(returns.T), returns.mean(0)
    held = rng.dirichlet(np.ones(n))

    def value(w: Values, a: Arithmetic) -> Values:
        s = a.softmax(w)
        trade = s - held
        return 10 * (s @ (C @ s)) - mean @ s + 1e-3 * a.sqrt(trade * trade + 1e-6).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        s = a.softmax(w)
        trade = s - held
        ds = 20 * (C @ s) - mean + 1e-3 * trade / a.sqrt(trade * trade + 1e-6)
        return s * (ds - s @ ds)

    return drawn(value, gradient, start(rng, n, point, far=8.0), point)
