"""Functions with a solver inside: fixed points and roots, some stopped at a tolerance; gradients of the implicit function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradcheck.calibration.zoo.arithmetic import FLOAT, Arithmetic, Values
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import Value, complex_step, drawn, start

STATES = 5
# A contraction that is slow comes to its last bit after hundreds of iterations; Newton's method needs to be near.
LONGEST, NEAR = 1000, 1e-9
LARGEST_BIAS = 1e-5  # relative; ten times it is accepted, and must be far below the 1e-2 that a match resolves


def deviation(stopped: Value, one: Instance) -> float:
    """Largest relative difference of the derivatives of the stopped solver and of the ideal function."""
    return float((np.abs(complex_step(stopped, one.x) - one.correct) / np.abs(one.correct)).max())


Solve = Callable[[Values, Arithmetic], Values]  # weights -> state


def equilibrium(rng: np.random.Generator) -> tuple[Callable[[int | None], Solve], Value, Callable[..., Values]]:
    """y = tanh(W y + b) with a contraction W: the iterates, the loss |y - t|^2 / 2 of a state, and the adjoint gradient."""
    k = STATES
    target, scale = rng.normal(size=k), 0.4 / np.sqrt(k)

    def unpack(w: Values) -> tuple[Values, Values]:
        return scale * w[: k * k].reshape(k, k), w[k * k :]

    def solver(iterations: int | None) -> Solve:
        def solve(w: Values, a: Arithmetic) -> Values:
            W, b = unpack(w)
            y = 0 * b
            for _ in range(iterations or LONGEST):
                before, y = y, a.tanh(W @ y + b)
                if iterations is None and ((y == before).all() or (a is not FLOAT and np.abs(y - before).max() < NEAR)):
                    break
            for _ in range(0 if iterations or a is FLOAT else 4):  # to many digits by Newton's method
                t = a.tanh(W @ y + b)
                y = y - a.solve(np.eye(k) - (1 - t * t)[:, None] * W, y - t)
            return y

        return solve

    def loss(y: Values, a: Arithmetic) -> Values:
        return ((y - target) ** 2).sum() / 2

    def adjoint(w: Values, y: Values, a: Arithmetic) -> Values:
        W, _ = unpack(w)
        slope = 1 - y * y
        v = a.solve((np.eye(k) - slope[:, None] * W).T, y - target) * slope
        return np.append(scale * np.multiply.outer(v, y).ravel(), v)

    return solver, loss, adjoint


@family("fixed_point", points=("random", "optimum", "saturated", "zeros"))
def fixed_point(rng: np.random.Generator, point: str) -> Instance:
    """Equilibrium of a recurrent net, iterated to the last bit; the gradient solves the adjoint equation."""
    solver, loss, adjoint = equilibrium(rng)
    solve = solver(None)

    def value(w: Values, a: Arithmetic) -> Values:
        return loss(solve(w, a), a)

    def gradient(w: Values, a: Arithmetic) -> Values:
        return adjoint(w, solve(w, a), a)

    x = start(rng, STATES * (STATES + 1), point, spread=0.7, far=1.0)
    if point == "saturated":
        x[-STATES:] *= 8
    return drawn(value, gradient, x, point)


@family("fixed_point_stopped", points=("random",))
def fixed_point_stopped(rng: np.random.Generator, point: str) -> Instance:
    """The same equilibrium after a fixed number of iterations: exact to about 1e-9, a smooth bias."""
    solver, loss, adjoint = equilibrium(rng)
    full = solver(None)
    x = start(rng, STATES * (STATES + 1), point, spread=0.7)
    y = full(x, FLOAT)
    least = next(n for n in range(1, 100) if np.abs(solver(n)(x, FLOAT) - y).max() < 1e-9)

    def gradient(w: Values, a: Arithmetic) -> Values:
        return adjoint(w, full(w, a), a)

    for iterations in range(least, 100):
        stopped = solver(iterations)

        def value(w: Values, a: Arithmetic, stopped: Solve = stopped) -> Values:
            return loss(stopped(w, a), a)

        one = drawn(value, gradient, x, point, ideal=lambda w, a: loss(full(w, a), a))
        bias = deviation(value, one)
        if bias <= LARGEST_BIAS:  # a small derivative may have a large one
            break
    return replace(one, bias=bias)


@family("kepler_equation", points=("random", "saturated", "zeros"))
def kepler_equation(rng: np.random.Generator, point: str) -> Instance:
    """E - e sin E = M by Newton's method to the last bit, for ten orbits (M, e = tanh(w)); near e = 1 where saturated."""
    orbits = 10
    c = rng.normal(size=orbits)

    def anomaly(w: Values, a: Arithmetic) -> tuple[Values, Values]:
        M, e = w[:orbits], a.tanh(w[orbits:])
        E = M + np.where(M.real >= 0, 0.85, -0.85) * e
        for _ in range(12 if w.dtype == float else 15):
            E = E - (E - e * a.sin(E) - M) / (1 - e * a.cos(E))
        return E, e

    def value(w: Values, a: Arithmetic) -> Values:
        E, e = anomaly(w, a)
        return (c * a.cos(E) * (1 - e * a.cos(E))).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        E, e = anomaly(w, a)
        cos, sin = a.cos(E), a.sin(E)
        dE = c * sin * (2 * e * cos - 1)
        dM = dE / (1 - e * cos)
        de = dM * sin - c * cos * cos
        return np.append(dM, de * (1 - e * e))

    x = np.append(rng.uniform(0.3, 2.8, size=orbits), rng.uniform(0.1, 1.0, size=orbits))
    if point == "saturated":
        x[orbits:] = rng.uniform(2.0, 3.0, size=orbits)
    return drawn(value, gradient, np.zeros(2 * orbits) if point == "zeros" else x, point)


@family("bisection", points=("random",))
def bisection(rng: np.random.Generator, point: str) -> Instance:
    """Roots of z^3 + p z = q by bisection to 1e-10: the root moves in stairs, those of 12 equations at different places."""
    equations = 12
    c = rng.normal(size=equations)
    low, high = -3 - rng.random(equations), 3 + rng.random(equations)

    def halved(w: Values, a: Arithmetic) -> Values:
        p, q = a.exp(w[:equations]), w[equations:]
        lower, upper = low, high
        for _ in range(36):
            middle = (lower + upper) / 2
            above = middle**3 + p * middle > q
            lower, upper = np.where(above, lower, middle), np.where(above, middle, upper)
        return (c * (lower + upper) / 2).sum()

    def root(w: Values, a: Arithmetic) -> tuple[Values, Values]:
        p, q = a.exp(w[:equations]), w[equations:]
        z = 0 * q + np.where(q.real > 0, 1, -1)
        for _ in range(20):
            z = (2 * z**3 + q) / (3 * z**2 + p)
        return p, z

    def gradient(w: Values, a: Arithmetic) -> Values:
        p, z = root(w, a)
        dq = c / (3 * z**2 + p)
        return np.append(-dq * z * p, dq)

    x = np.append(rng.normal(size=equations), 2 * rng.normal(size=equations))
    return drawn(halved, gradient, x, point, ideal=lambda w, a: (c * root(w, a)[1]).sum())


def stopped_iteration(p: Values, q: Values, a: Arithmetic, tolerance: float) -> Values:
    """z = cos(p z + q) of each equation, iterated from 0 until it moves less than the tolerance.

    abs(p) is below 0.6, so 200 iterations are enough; where q is so large that p z + q has no digits, it would move for ever.
    """
    z = 0 * q
    moving = np.ones(z.shape, dtype=bool)
    for _ in range(200):
        if not moving.any():
            break
        new = a.cos(p * z + q)
        z, still = np.where(moving, new, z), np.abs((new - z).real) >= tolerance
        moving = moving & still
    return z


@family("iterations_vary", points=("random",))
def iterations_vary(rng: np.random.Generator, point: str) -> Instance:
    """Weighted fixed points z = cos(p z + q) of 60 equations, p = 0.6 tanh(P w), q = Q w, each stopped at a tolerance.

    Where w moves, the numbers of iterations change, each at its own place: the noise of the stops is rough, about the
    tolerance.  Between two changes the stopped iteration has a smooth bias.
    """
    equations, n = 60, 20
    P, Q = rng.normal(size=(2, equations, n)) / np.sqrt(n)
    c, x = rng.normal(size=equations), rng.normal(size=n)

    def coefficients(w: Values, a: Arithmetic) -> tuple[Values, Values]:
        return 0.6 * a.tanh(P @ w), Q @ w

    def solved(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        p, q = coefficients(w, a)
        z = stopped_iteration(p.real.astype(float), q.real.astype(float), FLOAT, 1e-9)
        for _ in range(1 if a is FLOAT else 4):  # to the last bit by Newton's method
            f = p * z + q
            z = z - (z - a.cos(f)) / (1 + p * a.sin(f))
        return p, q, z

    def gradient(w: Values, a: Arithmetic) -> Values:
        p, q, z = solved(w, a)
        sin = a.sin(p * z + q)
        dq = -c * sin / (1 + p * sin)
        t = p / 0.6
        return P.T @ (dq * z * 0.6 * (1 - t * t)) + Q.T @ dq

    tolerance = 10.0 ** rng.uniform(-10, -7)
    while True:

        def value(w: Values, a: Arithmetic, tolerance: float = tolerance) -> Values:
            return (c * stopped_iteration(*coefficients(w, a), a, tolerance)).sum()

        one = drawn(value, gradient, x, point, ideal=lambda w, a: (c * solved(w, a)[2]).sum())
        bias = deviation(value, one)
        if bias <= LARGEST_BIAS:
            return replace(one, bias=bias)
        tolerance /= 4


@family("pagerank", points=("random", "optimum", "saturated", "zeros"))
def pagerank(rng: np.random.Generator, point: str) -> Instance:
    """r = 0.7 P r + 0.3 / n with columns P = softmax of link strengths: iterated, the adjoint solved."""
    n, damping = 5, 0.7
    cost = rng.lognormal(size=n)

    def ranks(w: Values, a: Arithmetic) -> tuple[Values, Values]:
        P = a.softmax(w.reshape(n, n), axis=0)
        r = np.full(n, (1 - damping) / n)
        if a is not FLOAT:
            return P, a.solve(np.eye(n) - damping * P, r)
        for _ in range(100):
            r = damping * (P @ r) + (1 - damping) / n
        return P, r

    def value(w: Values, a: Arithmetic) -> Values:
        return a.log((cost * ranks(w, a)[1]).sum())

    def gradient(w: Values, a: Arithmetic) -> Values:
        P, r = ranks(w, a)
        v = a.solve((np.eye(n) - damping * P).T, cost / (cost * r).sum())
        dP = damping * np.multiply.outer(v, r)
        return (P * (dP - (P * dP).sum(axis=0))).ravel()

    return drawn(value, gradient, start(rng, n * n, point, far=6.0), point)


@family("sinkhorn", points=("random", "optimum", "saturated", "zeros"))
def sinkhorn(rng: np.random.Generator, point: str) -> Instance:
    """Transport cost after six Sinkhorn iterations between two clouds of five points in the plane; the weights move one."""
    n, rounds, strength, ridge, mass = 5, 6, 1.0, 1e-2, 0.2
    fixed_points = rng.normal(size=(n, 2))
    heights = rng.normal(size=(n, 2))

    def iterate(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, list[tuple[Values, Values]]]:
        moved = w[: 2 * n].reshape(n, 2)
        C = ((moved[:, None, :] - fixed_points) ** 2).sum(2) + 0.1 * w[2 * n :].reshape(n, 2) @ heights.T
        K = a.exp(-C / strength)
        v, path = np.full(n, 1.0), []
        for _ in range(rounds):
            u = mass / (K @ v)
            path.append((v, u))
            v = mass / (K.T @ u)
        return C, K, v, path

    def value(w: Values, a: Arithmetic) -> Values:
        C, K, v, path = iterate(w, a)
        return path[-1][1] @ (K * C) @ v + ridge * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        C, K, v, path = iterate(w, a)
        u = path[-1][1]
        dC = np.multiply.outer(u, v) * K
        dK = np.multiply.outer(u, v) * C
        du, dv = (K * C) @ v, (K * C).T @ u
        for before, u in reversed(path):
            s = -dv * v * v / mass  # of K.T @ u
            dK = dK + np.multiply.outer(u, s)
            t = -(du + K @ s) * u * u / mass  # of K @ before
            dK = dK + np.multiply.outer(t, before)
            du, dv, v = 0 * du, K.T @ t, before
        dC = dC - dK * K / strength
        moved = w[: 2 * n].reshape(n, 2)
        dmoved = 2 * (dC[:, :, None] * (moved[:, None, :] - fixed_points)).sum(1)
        return np.append(dmoved.ravel(), (0.1 * dC @ heights).ravel()) + 2 * ridge * w

    return drawn(value, gradient, start(rng, 4 * n, point, far=3.0), point)
