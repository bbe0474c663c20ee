"""Curves and integrals: splines, a Bezier curve, quadrature, fits by waves and bumps."""

from __future__ import annotations

from math import comb

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values, tridiagonal
from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.losses import drawn, start


@family("natural_cubic_spline", points=("random", "optimum", "zeros"))
def natural_cubic_spline(rng: np.random.Generator, point: str) -> Instance:
    """Heights of 20 knots: squared distance of the interpolating spline to 40 data, and its bending energy.

    Second derivatives m solve T m = D h; the adjoint solves the same matrix.
    """
    n, data = 20, 40
    h = rng.uniform(0.5, 1.5, size=n - 1)
    knots = np.concatenate([[0.0], np.cumsum(h)])
    T = np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
    D = np.zeros((n - 2, n))
    rows = np.arange(n - 2)
    D[rows, rows], D[rows, rows + 1], D[rows, rows + 2] = 1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]
    t = rng.uniform(0, knots[-1], size=data)
    y = np.sin(t) + 0.2 * rng.normal(size=data)
    k = np.clip(np.searchsorted(knots, t) - 1, 0, n - 2)
    right, left = (t - knots[k]) / h[k], (knots[k + 1] - t) / h[k]
    A, B = np.zeros((data, n)), np.zeros((data, n))
    each = np.arange(data)
    A[each, k], A[each, k + 1] = left, right
    B[each, k], B[each, k + 1] = (left**3 - left) * h[k] ** 2 / 6, (right**3 - right) * h[k] ** 2 / 6
    B = B[:, 1:-1]  # the second derivative of a natural spline is 0 at both ends

    def value(w: Values, a: Arithmetic) -> Values:
        m = tridiagonal(T, D @ w, a)
        return ((A @ w + B @ m - y) ** 2).sum() + 0.1 * (m @ (T @ m))

    def gradient(w: Values, a: Arithmetic) -> Values:
        m = tridiagonal(T, D @ w, a)
        r = 2 * (A @ w + B @ m - y)
        return A.T @ r + D.T @ tridiagonal(T, B.T @ r + 0.2 * (T @ m), a)

    return drawn(value, gradient, start(rng, n, point), point)


def b_spline_basis(t: Array, n: int) -> Array:
    """(points, n): cubic B-splines with equal knots over [0, 1], by the recursion of Cox and de Boor."""
    knots = np.linspace(-3 / (n - 3), 1 + 3 / (n - 3), n + 4)
    B = ((knots[:-1] <= t[:, None]) & (t[:, None] < knots[1:])).astype(float)
    for d in range(1, 4):
        rise = (t[:, None] - knots[: -d - 1]) / (knots[d:-1] - knots[: -d - 1]) * B[:, :-1]
        fall = (knots[d + 1 :] - t[:, None]) / (knots[d + 1 :] - knots[1:-d]) * B[:, 1:]
        B = rise + fall
    return B


@family("b_spline_density", points=("random", "optimum", "zeros", "saturated"))
def b_spline_density(rng: np.random.Generator, point: str) -> Instance:
    """Log density as a B-spline with 20 coefficients: log of the integral of exp(s) minus the mean of s over the data."""
    n = 20
    nodes, weights = np.polynomial.legendre.leggauss(24)
    grid = b_spline_basis((nodes + 1) / 2, n)
    seen = b_spline_basis(rng.beta(2, 4, size=50), n).mean(0)

    def value(w: Values, a: Arithmetic) -> Values:
        s = grid @ w
        top = s.real.max()
        return a.log((weights * a.exp(s - top)).sum()) + top - seen @ w + 1e-2 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        s = grid @ w
        e = weights * a.exp(s - s.real.max())
        return grid.T @ e / e.sum() - seen + 2e-2 * w

    return drawn(value, gradient, start(rng, n, point), point)


@family("bezier_length", points=("random", "optimum", "saturated"))
def bezier_length(rng: np.random.Generator, point: str) -> Instance:
    """Length of a Bezier curve with 12 control points in the plane by 20 Gauss nodes, and its distance to its start."""
    n = 12
    t, weights = np.polynomial.legendre.leggauss(20)
    t, weights = (t + 1) / 2, weights / 2
    powers = np.arange(n - 1)
    binomials = np.array([comb(n - 2, int(k)) for k in powers])
    bernstein = binomials * t[:, None] ** powers * (1 - t[:, None]) ** (n - 2 - powers)
    D = (n - 1) * bernstein @ np.diff(np.eye(n), axis=0)
    origin = rng.normal(size=2 * n)

    def value(w: Values, a: Arithmetic) -> Values:
        v = D @ w.reshape(n, 2)
        return weights @ a.sqrt((v * v).sum(1)) + ((w - origin) ** 2).sum() / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        v = D @ w.reshape(n, 2)
        speed = a.sqrt((v * v).sum(1))
        return (D.T @ ((weights / speed)[:, None] * v)).ravel() + w - origin

    return drawn(value, gradient, start(rng, 2 * n, point, far=1e4), point)


@family("quadrature", points=("random", "zeros", "saturated"))
def quadrature(rng: np.random.Generator, point: str) -> Instance:
    """Seven integrals of exp(-p t) cos(q t) / (1 + t^2 r^2) over [0, 2] by 16 Gauss nodes, with weights, squared and summed."""
    integrals = 7
    t, weights = np.polynomial.legendre.leggauss(16)
    t = t + 1
    c = rng.normal(size=integrals)

    def integrand(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, Values]:
        p, q, r = w.reshape(3, integrals, 1)
        return q, r, a.exp(-p * t), 1 + (r * t) ** 2

    def value(w: Values, a: Arithmetic) -> Values:
        q, _, decay, low = integrand(w, a)
        return c @ ((decay * a.cos(q * t) / low) @ weights) ** 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        q, r, decay, low = integrand(w, a)
        wave = decay * a.cos(q * t) / low
        outer = 2 * c * (wave @ weights)
        slopes = (-t * wave, -t * decay * a.sin(q * t) / low, -2 * r * t * t * wave / low)
        return np.concatenate([outer * (one @ weights) for one in slopes])

    x = start(rng, 3 * integrals, point)
    if point == "saturated":
        x[:integrals] = rng.uniform(5, 15, size=integrals)
        x[integrals:] *= 0.3
    return drawn(value, gradient, x, point)


@family("brachistochrone", points=("random", "optimum", "saturated"))
def brachistochrone(rng: np.random.Generator, point: str) -> Instance:
    """Time of a bead along a polygon of 21 pieces from (0, 0) to (1, -1), by the depths of the 20 corners between."""
    n = 20
    dx = 1 / (n + 1)
    line = np.linspace(0, 1, n + 2)

    def path(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        y = np.concatenate([[0.0], w, [1.0]])
        dy = y[1:] - y[:-1]
        return dy, a.sqrt(dx * dx + dy * dy), a.sqrt(np.append(0 * w[:1], y[1:]))

    def value(w: Values, a: Arithmetic) -> Values:
        _, length, speed = path(w, a)
        return (2 * length / (speed[1:] + speed[:-1])).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        dy, length, speed = path(w, a)
        both = speed[1:] + speed[:-1]
        d = 2 * dy / (length * both)
        s = -2 * length / (both * both)
        return d[:-1] - d[1:] + (s[:-1] + s[1:]) / (2 * speed[1:-1])

    x = line[1:-1] + rng.uniform(0, 0.3, size=n)
    if point == "saturated":  # almost as high as the start
        x[: n // 2] = 10.0 ** rng.uniform(-8, -4, size=n // 2)
    return drawn(value, gradient, x, point, steps=5)


@family("sum_of_sinusoids", points=("random", "optimum", "saturated"))
def sum_of_sinusoids(rng: np.random.Generator, point: str) -> Instance:
    """Seven waves A cos(f t + phase) fitted to 50 data over [0, 10]; frequencies of a thousand where saturated."""
    waves = 7
    t, y = np.linspace(0, 10, 50), rng.normal(size=50)

    def parts(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        A, f, phase = w.reshape(3, waves, 1)
        angle = f * t + phase
        return A, angle, (A * a.cos(angle)).sum(0) - y

    def value(w: Values, a: Arithmetic) -> Values:
        return (parts(w, a)[2] ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        A, angle, r = parts(w, a)
        r = 2 * r / t.size
        dangle = -A * a.sin(angle) * r
        return np.concatenate([(a.cos(angle) * r).sum(1), (dangle * t).sum(1), dangle.sum(1)])

    x = rng.normal(size=3 * waves)
    x[waves : 2 * waves] = rng.uniform(0.5, 6, size=waves) * (300.0 if point == "saturated" else 1.0)
    return drawn(value, gradient, x, point)


@family("radial_basis_network", points=("random", "optimum", "zeros"))
def radial_basis_network(rng: np.random.Generator, point: str) -> Instance:
    """Five bumps in the plane: heights, centres, log widths; mean squared error at 30 places."""
    bumps, n = 5, 30
    X, y = rng.normal(size=(2, n)), rng.normal(size=n)

    def parts(w: Values, a: Arithmetic) -> tuple[Values, ...]:
        c, u, v, s = w.reshape(4, bumps, 1)
        sharp = a.exp(-2 * s)
        p, q = X[0] - u, X[1] - v
        E = a.exp(-(p * p + q * q) * sharp / 2)
        return c, sharp, p, q, E, (c * E).sum(0) - y

    def value(w: Values, a: Arithmetic) -> Values:
        return (parts(w, a)[-1] ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        c, sharp, p, q, E, r = parts(w, a)
        dE = 2 / n * r * E
        de = c * dE * sharp
        return np.concatenate([one.sum(1) for one in (dE, de * p, de * q, de * (p * p + q * q))])

    return drawn(value, gradient, start(rng, 4 * bumps, point), point)
