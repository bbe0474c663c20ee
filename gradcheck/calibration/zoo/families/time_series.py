"""Likelihoods and losses of time series; gradients by the recursion, backwards in time."""

from __future__ import annotations

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values, scalars
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import drawn, start

LENGTH = 20


@family("kalman_filter", points=("random", "optimum", "saturated", "zeros"))
def kalman_filter(rng: np.random.Generator, point: str) -> Instance:
    """Local level with shocks of each day: innovations e, variances F of the filter; mean of log F + e^2 / F.

    Weights: log variance of the observation and of the level, first level, the level's shift on each later day.
    """
    n = LENGTH
    y = np.cumsum(rng.normal(size=n)) + rng.normal(size=n)

    def filtered(w: Values, a: Arithmetic) -> tuple[list[Values], list[Values], list[Values], Values]:
        R, Q = scalars(a.exp(w[:2]))
        level, *shifts = scalars(w[2:])
        e, F, P = [y[0] - level], [1 + Q + R], [1 + Q]
        for t in range(1, n):
            K = P[-1] / F[-1]
            level = level + K * e[-1] + shifts[t - 1]
            P.append(P[-1] * (1 - K) + Q)
            F.append(P[-1] + R)
            e.append(y[t] - level)
        return e, F, P, R

    def value(w: Values, a: Arithmetic) -> Values:
        e, F, _, _ = (np.array(one) for one in filtered(w, a))
        return (a.log(F) + e * e / F).mean() + 0.05 * (w[3:] ** 2).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        e, F, P, R = filtered(w, a)
        dw = 0.1 * w
        dw[:3] = 0 * w[:3]
        dlevel, dP, dQ, dR = 0 * R, 0 * R, 0 * R, 0 * R
        for t in reversed(range(n)):
            # dlevel and dP are those of the prediction for the day after, until the innovation of this day is added
            K = P[t] / F[t]
            dK = dlevel * e[t] - dP * P[t]
            de = 2 * e[t] / F[t] / n + dlevel * K
            dF = (1 / F[t] - e[t] * e[t] / (F[t] * F[t])) / n - dK * K / F[t]
            dP = dP * (1 - K) + dK / F[t] + dF
            dR, dQ = dR + dF, dQ + dP
            dlevel = dlevel - de
            dw[2 + t] = dw[2 + t] + dlevel
        dw[0], dw[1] = dR * R, dQ * a.exp(w[1])
        return dw

    x = start(rng, n + 2, point, far=5.0)
    if point == "saturated":
        x[0] = -12.0  # the filter follows every observation
    return drawn(value, gradient, x, point)


@family("arma", points=("random", "optimum", "zeros"))
def arma(rng: np.random.Generator, point: str) -> Instance:
    """Conditional sum of squares of ARMA(2, 2) with a mean: e_t = z_t - phi z - theta e, log of the mean of e^2."""
    n = 30
    y = np.convolve(rng.normal(size=n + 3), [1.0, 0.5, 0.3, 0.2])[3 : n + 3] + 1

    def innovations(w: Values, a: Arithmetic) -> list[Values]:
        m, p1, p2, q1, q2 = scalars(w)
        z = [one - m for one in y.tolist()]
        e = [0 * m, 0 * m]
        for t in range(2, n):
            e.append(z[t] - p1 * z[t - 1] - p2 * z[t - 2] - q1 * e[t - 1] - q2 * e[t - 2])
        return e

    def value(w: Values, a: Arithmetic) -> Values:
        e = np.array(innovations(w, a))
        return a.log((e * e).mean())

    def gradient(w: Values, a: Arithmetic) -> Values:
        e = innovations(w, a)
        m, p1, p2, q1, q2 = scalars(w)
        z = [one - m for one in y.tolist()]
        total = sum(one * one for one in e)
        d = [2 * one / total for one in e]
        dw = [0 * m] * 5
        for t in reversed(range(2, n)):
            d[t - 1] = d[t - 1] - q1 * d[t]
            d[t - 2] = d[t - 2] - q2 * d[t]
            terms = (p1 + p2 - 1, -z[t - 1], -z[t - 2], -e[t - 1], -e[t - 2])
            dw = [one + d[t] * k for one, k in zip(dw, terms, strict=True)]
        return np.array(dw)

    return drawn(value, gradient, start(rng, 5, point, spread=0.3), point)


@family("garch", points=("random", "optimum", "saturated"))
def garch(rng: np.random.Generator, point: str) -> Instance:
    """GARCH(1, 1) with a mean and 18 shifts of the variance: h_t = exp(c_t) + A e^2 + B h; mean of log h + e^2 / h."""
    n = LENGTH
    r = rng.standard_t(4, size=n)

    def variances(w: Values, a: Arithmetic) -> tuple[list[Values], list[Values], list[Values], list[Values]]:
        mean, A, B = w[0], *scalars(a.sigmoid(w[1:3]))
        base = scalars(a.exp(w[3:]))
        e = [one - mean for one in r.tolist()]
        h = [1 + 0 * A]
        for t in range(1, n):
            h.append(base[t - 1] + A * e[t - 1] * e[t - 1] + B * h[t - 1])
        return e, h, [A, B], base

    def value(w: Values, a: Arithmetic) -> Values:
        e, h, _, _ = (np.array(one) for one in variances(w, a))
        return (a.log(h) + e * e / h).mean() + 0.05 * (w[3:] ** 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        e, h, (A, B), base = variances(w, a)
        dw = 0.1 * w / (n - 1)
        dA, dB, dmean, dh = 0 * A, 0 * A, 0 * A, 0 * A
        for t in reversed(range(n)):
            # dh is that of the day after
            de = 2 * e[t] / h[t] / n + 2 * dh * A * e[t]
            dA, dB = dA + dh * e[t] * e[t], dB + dh * h[t]
            dmean = dmean - de
            dh = (1 / h[t] - e[t] * e[t] / (h[t] * h[t])) / n + dh * B
            if t:
                dw[2 + t] = dw[2 + t] + dh * base[t - 1]
        dw[:3] = np.array([dmean, dA * A * (1 - A), dB * B * (1 - B)])
        return dw

    x = start(rng, n + 2, point, far=2.0)
    x[1:3] += -1.0, (10.0 if point == "saturated" else 0.5)
    return drawn(value, gradient, x, point)


@family("hidden_markov", points=("random", "optimum", "zeros", "saturated"))
def hidden_markov(rng: np.random.Generator, point: str) -> Instance:
    """Three states, normal observations: log likelihood by the scaled forward algorithm, gradient by forward and backward.

    Weights: logits of the start (3) and of the moves (9), means (3), log standard deviations (3).
    """
    k, n = 3, 12
    y = rng.normal(size=n) + 3 * rng.integers(k, size=n)

    def forward(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, list[Values], list[Values]]:
        first, moves = a.softmax(w[:k]), a.softmax(w[k : k + k * k].reshape(k, k))
        z = (y[:, None] - w[-2 * k : -k]) * a.exp(-w[-k:])
        emission = a.exp(-z * z / 2 - w[-k:])
        p = first * emission[0]
        scale = [p.sum()]
        alpha = [p / scale[0]]
        for t in range(1, n):
            p = (alpha[-1] @ moves) * emission[t]
            scale.append(p.sum())
            alpha.append(p / scale[-1])
        return first, moves, emission, alpha, scale

    def value(w: Values, a: Arithmetic) -> Values:
        return -a.log(np.array(forward(w, a)[-1])).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        first, moves, emission, alpha, scale = forward(w, a)
        beta, dmoves, posterior = np.ones(k) + 0 * first, 0 * moves, []
        for t in reversed(range(n)):
            posterior.append(alpha[t] * beta)
            if t:
                message = emission[t] * beta / scale[t]
                dmoves = dmoves + np.multiply.outer(alpha[t - 1], message)
                beta = moves @ message
        share = np.array(posterior[::-1])
        z = (y[:, None] - w[-2 * k : -k]) * a.exp(-w[-k:])
        dstart = share[0] - first
        expected = moves * dmoves
        dlogits = expected - moves * expected.sum(1, keepdims=True)
        dmean, ds = (share * z * a.exp(-w[-k:])).sum(0), (share * (z * z - 1)).sum(0)
        return -np.concatenate([dstart, dlogits.ravel(), dmean, ds]) / n

    x = start(rng, 3 * k + k * k, point, far=5.0)
    if point != "zeros":
        x[-2 * k : -k] = np.arange(k) * 3 + rng.normal(size=k)
        x[-k:] = 0.2 * rng.normal(size=k)
    return drawn(value, gradient, x, point)


@family("holt_winters", points=("random", "optimum", "saturated", "zeros"))
def holt_winters(rng: np.random.Generator, point: str) -> Instance:
    """Level, trend and a season of four days: squared errors of forecasts one day ahead.

    Weights: three smoothing parameters (sigmoids), first level, first trend, first season.
    """
    n, season = 24, 4
    y = np.arange(n) * 0.2 + rng.normal(size=n) + np.tile(rng.normal(size=season), n // season)

    def smoothed(w: Values, a: Arithmetic) -> tuple[list[Values], list[Values]]:
        A, B, C = scalars(a.sigmoid(w[:3]))
        level, trend, *s = scalars(w[3:])
        e = []
        for t in range(n):
            e.append(y[t] - level - trend - s[t])
            level = level + trend + A * e[t]
            trend = trend + B * e[t]
            s.append(s[t] + C * e[t])
        return e, [A, B, C]

    def value(w: Values, a: Arithmetic) -> Values:
        e = np.array(smoothed(w, a)[0])
        return (e * e).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        e, (A, B, C) = smoothed(w, a)
        dA, dB, dC, dlevel, dtrend = [0 * A] * 5
        ds = [0 * A] * (n + season)
        for t in reversed(range(n)):
            later = ds[t + season]
            de = 2 * e[t] / n + dlevel * A + dtrend * B + later * C
            dA, dB, dC = dA + dlevel * e[t], dB + dtrend * e[t], dC + later * e[t]
            dlevel, dtrend, ds[t] = dlevel - de, dtrend + dlevel - de, later - de
        rates = [dA * A * (1 - A), dB * B * (1 - B), dC * C * (1 - C)]
        return np.array([*rates, dlevel, dtrend, *ds[:season]])

    return drawn(value, gradient, start(rng, 5 + season, point, far=6.0), point)


@family("hawkes_process", points=("random", "optimum", "zeros"))
def hawkes_process(rng: np.random.Generator, point: str) -> Instance:
    """Self-exciting events: rate mu + alpha sum exp(-beta (t - t_i)); log likelihood by the recursion of Ozaki, 1979."""
    n = 20
    times = np.cumsum(rng.exponential(size=n))
    gaps, left = np.diff(times), times[-1] - times

    def excited(w: Values, a: Arithmetic) -> tuple[Values, Values, list[Values], Values]:
        rates, decay = a.exp(w), a.exp(-a.exp(w[2]) * gaps)
        A = [0 * rates[0]]
        for d in decay:
            A.append(d * (1 + A[-1]))
        return rates, decay, A, -a.expm1(-rates[2] * left)  # 1 - exp loses a slow decay

    def value(w: Values, a: Arithmetic) -> Values:
        (mu, alpha, beta), _, A, ended = excited(w, a)
        return (mu * times[-1] + alpha / beta * ended.sum() - a.log(mu + alpha * np.array(A)).sum()) / n

    def gradient(w: Values, a: Arithmetic) -> Values:
        (mu, alpha, beta), decay, A, ended = excited(w, a)
        inverse = 1 / (mu + alpha * np.array(A))
        dA, dbeta = 0 * mu, alpha / beta * (left * (1 - ended)).sum() - alpha / beta**2 * ended.sum()
        for t in reversed(range(n - 1)):
            dA = dA - alpha * inverse[t + 1]
            dbeta = dbeta - dA * A[t + 1] * gaps[t]
            dA = dA * decay[t]
        dmu, dalpha = times[-1] - inverse.sum(), ended.sum() / beta - (inverse * np.array(A)).sum()
        return np.array([dmu * mu, dalpha * alpha, dbeta * beta]) / n

    return drawn(value, gradient, start(rng, 3, point, spread=0.5), point)


@family("soft_time_warping", points=("random", "optimum", "zeros"))
def soft_time_warping(rng: np.random.Generator, point: str) -> Instance:
    """Soft dynamic time warping of a series of 20 weights to one of 3 values; Cuturi and Blondel, 2017."""
    n, m = LENGTH, 3
    y = rng.normal(size=m)

    def table(w: Values, a: Arithmetic) -> Values:
        R = np.full((n + 1, m + 1), 1e4) + 0 * w[0]
        R[0, 0] = 0 * w[0]
        D = (w[:, None] - y) ** 2
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                ways = R[[i - 1, i - 1, i], [j - 1, j, j - 1]]
                least = ways.real.min()
                R[i, j] = D[i - 1, j - 1] + least - a.log(a.exp(least - ways).sum())
        return R

    def value(w: Values, a: Arithmetic) -> Values:
        return table(w, a)[n, m] / n

    def gradient(w: Values, a: Arithmetic) -> Values:
        R, D = table(w, a), (w[:, None] - y) ** 2
        E = np.zeros((n + 2, m + 2), dtype=w.dtype)
        E[n, m] = 1 / n
        for i in range(n, 0, -1):
            for j in range(m, 0, -1):
                for p, q in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                    if p <= n and q <= m:
                        E[i, j] += E[p, q] * a.exp(R[p, q] - D[p - 1, q - 1] - R[i, j])
        return (2 * (w[:, None] - y) * E[1 : n + 1, 1 : m + 1]).sum(1)

    return drawn(value, gradient, start(rng, n, point), point, steps=10)
