"""Ordinary differential equations, integrated with fixed steps; gradients by the adjoint of each step, backwards in time.

States are lists of numbers: at two or three components an array costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values, scalars, tridiagonal
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import drawn, start

State = list[Values]
Slope = Callable[[State, list[Values], Arithmetic], State]  # dy/dt of a state and parameters
# of a state, parameters and the weights v of the slopes: v^T d(slope)/dy and v^T d(slope)/d(parameters)
Pullback = Callable[[State, list[Values], State, Arithmetic], tuple[State, list[Values]]]


def moved(y: State, h: float, k: State) -> State:
    """y + h k."""
    return [u + h * v for u, v in zip(y, k, strict=True)]


def rk4(f: Slope, y: State, p: list[Values], h: float, a: Arithmetic) -> State:
    """One step of the classical Runge-Kutta method."""
    k1 = f(y, p, a)
    k2 = f(moved(y, h / 2, k1), p, a)
    k3 = f(moved(y, h / 2, k2), p, a)
    k4 = f(moved(y, h, k3), p, a)
    return [u + h / 6 * (r + 2 * s + 2 * t + q) for u, r, s, t, q in zip(y, k1, k2, k3, k4, strict=True)]


def rk4_adjoint(
    f: Slope, pull: Pullback, y: State, p: list[Values], h: float, v: State, a: Arithmetic
) -> tuple[State, list[Values]]:
    """Weights v of the step's end, taken back to its start and to the parameters."""
    y2 = moved(y, h / 2, f(y, p, a))
    y3 = moved(y, h / 2, f(y2, p, a))
    y4 = moved(y, h, f(y3, p, a))
    sixth, third = [h / 6 * one for one in v], [h / 3 * one for one in v]
    v4, p4 = pull(y4, p, sixth, a)
    v3, p3 = pull(y3, p, moved(third, h, v4), a)
    v2, p2 = pull(y2, p, moved(third, h / 2, v3), a)
    v1, p1 = pull(y, p, moved(sixth, h / 2, v2), a)
    parts = zip(v, v1, v2, v3, v4, strict=True)
    return [sum(one) for one in parts], [sum(one) for one in zip(p1, p2, p3, p4, strict=True)]


def trajectory(f: Slope, y: State, parameters: list[list[Values]], h: float, a: Arithmetic) -> list[State]:
    """All states; step k has the parameters k."""
    path = [y]
    for p in parameters:
        path.append(rk4(f, path[-1], p, h, a))
    return path


def _lotka_volterra(y: State, p: list[Values], a: Arithmetic) -> State:
    return [y[0] * (p[0] - p[1] * y[1]), y[1] * (p[3] * y[0] - p[2])]


def _lotka_volterra_back(y: State, p: list[Values], v: State, a: Arithmetic) -> tuple[State, list[Values]]:
    dy = [v[0] * (p[0] - p[1] * y[1]) + v[1] * p[3] * y[1], v[1] * (p[3] * y[0] - p[2]) - v[0] * p[1] * y[0]]
    return dy, [v[0] * y[0], -v[0] * y[0] * y[1], -v[1] * y[1], v[1] * y[0] * y[1]]


@family("lotka_volterra", points=("random", "optimum"))
def lotka_volterra(rng: np.random.Generator, point: str) -> Instance:
    """Squared distance of the logarithms of predators and prey to data, RK4; logarithms of start and rates."""
    steps, h = 12, 0.25
    data = 0.3 * rng.normal(size=(steps, 2))

    def path(w: Values, a: Arithmetic) -> tuple[list[State], list[Values]]:
        e = scalars(a.exp(w))
        return trajectory(_lotka_volterra, e[:2], [e[2:]] * steps, h, a), e

    def value(w: Values, a: Arithmetic) -> Values:
        found: Values = np.array(path(w, a)[0][1:])
        return ((a.log(found) - data) ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        states, e = path(w, a)
        off = (a.log(np.array(states[1:])) - data) / np.array(states[1:]) / steps
        v, dp = [0.0] * 2, [0.0] * 4
        for k in reversed(range(steps)):
            v = moved(v, 1.0, scalars(off[k]))
            v, more = rk4_adjoint(_lotka_volterra, _lotka_volterra_back, states[k], e[2:], h, v, a)
            dp = moved(dp, 1.0, more)
        return np.array(v + dp) * np.array(e)

    return drawn(value, gradient, start(rng, 6, point, spread=0.3), point, steps=15)


def _pendulum(y: State, p: list[Values], a: Arithmetic) -> State:
    return [y[1], p[0] - p[1] * a.sin(y[0]) - p[2] * y[1]]


def _pendulum_back(y: State, p: list[Values], v: State, a: Arithmetic) -> tuple[State, list[Values]]:
    return [-p[1] * a.cos(y[0]) * v[1], v[0] - p[2] * v[1]], [v[1], -v[1] * a.sin(y[0]), -v[1] * y[1]]


@family("pendulum_control", points=("random", "optimum", "zeros"))
def pendulum_control(rng: np.random.Generator, point: str) -> Instance:
    """Swing a pendulum up: torques u_k of 18 steps of RK4, stiffness and damping; end near the top, and small torques."""
    steps, h = 18, 0.15

    def path(w: Values, a: Arithmetic) -> tuple[list[State], list[list[Values]]]:
        rates = scalars(a.exp(w[:2]))
        p = [[u, *rates] for u in scalars(w[2:])]
        return trajectory(_pendulum, [0.1 + 0 * rates[0], 0 * rates[0]], p, h, a), p

    def value(w: Values, a: Arithmetic) -> Values:
        y = path(w, a)[0][-1]
        return 1 + a.cos(y[0]) + y[1] * y[1] / 2 + 1e-2 * (w[2:] ** 2).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        states, p = path(w, a)
        v = [-a.sin(states[-1][0]), states[-1][1]]
        du, drates = 2e-2 * w[2:], [0.0, 0.0]
        for k in reversed(range(steps)):
            v, dp = rk4_adjoint(_pendulum, _pendulum_back, states[k], p[k], h, v, a)
            du[k] += dp[0]
            drates = moved(drates, 1.0, dp[1:])
        return np.append(np.array(drates) * a.exp(w[:2]), du)

    return drawn(value, gradient, start(rng, steps + 2, point), point, steps=15)


def _lorenz(y: State, p: list[Values], a: Arithmetic) -> State:
    return [p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]]


def _lorenz_back(y: State, p: list[Values], v: State, a: Arithmetic) -> tuple[State, list[Values]]:
    dx = -p[0] * v[0] + (p[1] - y[2]) * v[1] + y[1] * v[2]
    dy = [dx, p[0] * v[0] - v[1] + y[0] * v[2], -y[0] * v[1] - p[2] * v[2]]
    return dy, [v[0] * (y[1] - y[0]), v[1] * y[0], -v[2] * y[2]]


@family("lorenz", points=("random",))
def lorenz(rng: np.random.Generator, point: str) -> Instance:
    """Chaos: where the Lorenz equations are after 30 steps of RK4, by start and parameters."""
    steps, h = 30, 0.025
    c = rng.normal(size=3).tolist()

    def path(w: Values, a: Arithmetic) -> list[State]:
        s = scalars(w)
        return trajectory(_lorenz, s[:3], [s[3:]] * steps, h, a)

    def value(w: Values, a: Arithmetic) -> Values:
        y = path(w, a)[-1]
        return sum(k * one + one * one / 30 for k, one in zip(c, y, strict=True))

    def gradient(w: Values, a: Arithmetic) -> Values:
        *states, end = path(w, a)
        p = scalars(w)[3:]
        v, dp = [k + one / 15 for k, one in zip(c, end, strict=True)], [0.0] * 3
        for y in reversed(states):
            v, more = rk4_adjoint(_lorenz, _lorenz_back, y, p, h, v, a)
            dp = moved(dp, 1.0, more)
        return np.array(v + dp)

    x = np.append(5 * rng.normal(size=3) + [0, 0, 25], np.array([10.0, 28.0, 8 / 3]) * rng.uniform(0.9, 1.1, size=3))
    return drawn(value, gradient, x, point)


@family("van_der_pol_implicit", points=("random", "optimum"))
def van_der_pol_implicit(rng: np.random.Generator, point: str) -> Instance:
    """Stiff Van der Pol oscillator by implicit Euler, Newton in each step; start, stiffness and 17 kicks.

    With y' = z the step is one equation: F(y) = y - y0 - h (z0 + kick - h (mu (y^2 - 1) (y - y0)/h + y)) = 0.
    """
    steps, h = 17, 0.1
    target = rng.normal(size=steps)

    def slopes(y: Values, y0: Values, mu: Values) -> Values:
        return 1 + h * h + h * mu * (3 * y * y - 1 - 2 * y * y0)

    def path(w: Values, a: Arithmetic) -> tuple[list[Values], Values]:
        y, z, *kicks = scalars(w)
        mu = a.exp(kicks.pop(0))
        ys = [y]
        for k in range(steps):
            y0, push = y, z + kicks[k]
            for _ in range(9):
                F = (1 + h * h) * y - y0 - h * push + h * mu * (y * y - 1) * (y - y0)
                y = y - F / slopes(y, y0, mu)
            z = (y - y0) / h
            ys.append(y)
        return ys, mu

    def value(w: Values, a: Arithmetic) -> Values:
        ys, _ = path(w, a)
        return ((np.array(ys[1:]) - target) ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        ys, mu = path(w, a)
        dw, dmu, dy, dz = 0 * w, 0 * mu, 0 * mu, 0 * mu
        for k in reversed(range(steps)):
            y, y0 = ys[k + 1], ys[k]
            dy = dy + 2 * (y - target[k]) / steps + dz / h
            v = dy / slopes(y, y0, mu)  # dF/d(other) times -v
            dw[3 + k] = h * v
            dmu = dmu - h * (y * y - 1) * (y - y0) * v
            dy = -dz / h + (1 + h * mu * (y * y - 1)) * v
            dz = h * v
        dw[0], dw[1], dw[2] = dy, dz, dmu * mu
        return dw

    x = start(rng, steps + 3, point)
    x[2] = rng.uniform(-1.0, 0.5)
    return drawn(value, gradient, x, point, steps=10)


@family("heat_implicit", points=("random", "optimum", "zeros"))
def heat_implicit(rng: np.random.Generator, point: str) -> Instance:
    """Heat flow through 20 cells of conductivity exp(w), three implicit Euler steps: squared distance to data, and a prior."""
    n, steps, h = 20, 3, 0.5
    source, data = np.exp(-(np.linspace(-2, 2, n) ** 2)), rng.normal(size=n)

    def drop(u: Values) -> Values:  # to the left neighbour; the left end is held at 0
        return u - np.concatenate([[0.0], u[:-1]])

    def path(w: Values, a: Arithmetic) -> tuple[Values, list[Values]]:
        k = h * a.exp(w)
        A = np.diag(1 + k + np.append(k[1:], 0.0)) - np.diag(k[1:], 1) - np.diag(k[1:], -1)
        states = [source]
        for _ in range(steps):
            states.append(tridiagonal(A, states[-1] + h * source, a))
        return A, states

    def value(w: Values, a: Arithmetic) -> Values:
        return ((path(w, a)[1][-1] - data) ** 2).sum() / 2 + 0.05 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        A, states = path(w, a)
        v, dk = states[-1] - data, 0 * w
        for u in reversed(states[1:]):
            v = tridiagonal(A, v, a)  # A is symmetric
            dk = dk - h * drop(v) * drop(u)
        return dk * a.exp(w) + 0.1 * w

    return drawn(value, gradient, start(rng, n, point), point, steps=10)


@family("epidemic", points=("random", "optimum", "zeros"))
def epidemic(rng: np.random.Generator, point: str) -> Instance:
    """Susceptible, infected, recovered, by Euler's method: log contact rate of each of 24 days and log recovery rate."""
    days = 24
    data = rng.uniform(-4, -1, size=days)

    def path(w: Values, a: Arithmetic) -> tuple[list[Values], list[Values], Values, Values]:
        rates, out = scalars(0.4 * a.exp(w[:-1])), 0.2 * a.exp(w[-1])
        s, i = [0.99 + 0 * out], [0.01 + 0 * out]
        for b in rates:
            new = 1 - a.exp(-b * i[-1])
            s.append(s[-1] * (1 - new))
            i.append(i[-1] + s[-2] * new - out * i[-1])
        return s, i, rates, out

    def value(w: Values, a: Arithmetic) -> Values:
        i = np.array(path(w, a)[1][1:])
        return ((a.log(i) - data) ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        s, i, rates, out = path(w, a)
        ds, di, dout, dw = 0 * out, 0 * out, 0 * out, 0 * w
        for k in reversed(range(days)):
            di = di + 2 * (a.log(i[k + 1]) - data[k]) / (days * i[k + 1])
            stay = a.exp(-rates[k] * i[k])
            dstay = (ds - di) * s[k]
            dout = dout - di * i[k]
            dw[k] = -dstay * stay * i[k] * rates[k]
            ds, di = ds * stay + di * (1 - stay), di * (1 - out) - dstay * stay * rates[k]
        dw[-1] = dout * out
        return dw

    return drawn(value, gradient, start(rng, days + 1, point, spread=0.4), point, steps=10)
