"""Likelihoods of survival, rank, choice, mixture and factor models."""

from __future__ import annotations

import numpy as np

from gradcheck.calibration.zoo.arithmetic import LOG_2PI, Arithmetic, Values
from gradcheck.calibration.zoo.families.regressions import COEFFICIENTS, EXAMPLES, POINTS, design
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import drawn, start


@family("cox_partial_likelihood", points=POINTS)
def cox_partial_likelihood(rng: np.random.Generator, point: str) -> Instance:
    """Proportional hazards without ties: sum over events of log sum over those at risk of exp(eta) - eta."""
    X = design(rng)[:, 1:]  # rows in the order of time; the baseline takes the constant
    event = rng.random(EXAMPLES) < 0.7
    event[-1] = True
    rows = np.flatnonzero(event)

    def value(b: Values, a: Arithmetic) -> Values:
        eta = X @ b
        top = eta.real.max()
        risk = np.cumsum(a.exp(eta - top)[::-1])[::-1]
        return (a.log(risk[rows]) + top - eta[rows]).sum() / EXAMPLES

    def gradient(b: Values, a: Arithmetic) -> Values:
        eta = X @ b
        e = a.exp(eta - eta.real.max())
        risk = np.cumsum(e[::-1])[::-1]
        deta = e * np.cumsum(event / risk) - event
        return X.T @ deta / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS - 1, point, far=3.0), point)


@family("weibull_survival", points=POINTS)
def weibull_survival(rng: np.random.Generator, point: str) -> Instance:
    """Accelerated failure times with censoring: z = (log t - eta) / sigma, exp(z) - event (z - log sigma)."""
    X = design(rng)
    log_t = rng.normal(size=EXAMPLES)
    event = (rng.random(EXAMPLES) < 0.7).astype(float)

    def value(w: Values, a: Arithmetic) -> Values:
        z = (log_t - X @ w[:-1]) * a.exp(-w[-1])
        return (a.exp(z) - event * (z - w[-1])).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        inverse = a.exp(-w[-1])
        z = (log_t - X @ w[:-1]) * inverse
        dz = a.exp(z) - event
        return np.append(-X.T @ dz * inverse / EXAMPLES, (event - dz * z).mean())

    return drawn(value, gradient, start(rng, COEFFICIENTS + 1, point, spread=0.5, far=1.0), point)


@family("ordered_probit", points=("random", "optimum", "zeros"))
def ordered_probit(rng: np.random.Generator, point: str) -> Instance:
    """Four ordered classes: log of Phi(c_y - eta) - Phi(c_(y-1) - eta); cut points are sums of exponentials."""
    X = design(rng)[:, 1:]
    k = X.shape[1]
    y = rng.integers(4, size=EXAMPLES)
    rows, lowest, highest = np.arange(EXAMPLES), y == 0, y == 3
    above, below = np.minimum(y, 2), np.maximum(y - 1, 0)

    def parts(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, Values]:
        gaps = a.exp(w[k + 1 :])
        cuts = np.cumsum(np.concatenate([w[k : k + 1], gaps]))
        eta = X @ w[:k]
        upper, lower = cuts[above] - eta, cuts[below] - eta
        side = np.where(lower.real > 0, -1, 1)  # the tail in which the difference does not cancel
        between = side * (a.exp(a.log_ndtr(side * upper)) - a.exp(a.log_ndtr(side * lower)))
        p = np.where(lowest, a.exp(a.log_ndtr(upper)), np.where(highest, a.exp(a.log_ndtr(-lower)), between))
        return upper, lower, p, gaps

    def value(w: Values, a: Arithmetic) -> Values:
        return -a.log(parts(w, a)[2]).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        upper, lower, p, gaps = parts(w, a)
        density = [
            np.where(edge, 0, a.exp(-z * z / 2 - LOG_2PI / 2)) for edge, z in ((highest, upper), (lowest, lower))
        ]
        up, low = density[0] / p / EXAMPLES, density[1] / p / EXAMPLES
        dcuts = np.zeros((EXAMPLES, 3), dtype=up.dtype)
        dcuts[rows, above] -= up
        dcuts[rows, below] += low
        after = np.cumsum(dcuts.sum(0)[::-1])[::-1]
        return np.concatenate([X.T @ (up - low), after[:1], after[1:] * gaps])

    return drawn(value, gradient, start(rng, k + 3, point), point)


@family("gaussian_mixture", points=("random", "optimum"))
def gaussian_mixture(rng: np.random.Generator, point: str) -> Instance:
    """Three components in two dimensions: logits, means, log standard deviations of each axis."""
    k, d = 3, 2
    centres = rng.normal(size=(k, d)) * 3
    X = centres[rng.integers(k, size=EXAMPLES)] + rng.normal(size=(EXAMPLES, d))

    def parts(w: Values, a: Arithmetic) -> tuple[Values, Values, Values, Values]:
        logits, mean, s = w[:k], w[k : k + k * d].reshape(k, d), w[k + k * d :].reshape(k, d)
        inverse = a.exp(-s)
        r = (X[:, None, :] - mean) * inverse
        return logits, inverse, r, logits - (s + r * r / 2).sum(2)

    def value(w: Values, a: Arithmetic) -> Values:
        logits, _, _, joint = parts(w, a)
        return a.logsumexp(logits, 0) - a.logsumexp(joint).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        logits, inverse, r, joint = parts(w, a)
        share = a.softmax(joint) / EXAMPLES
        dlogits = a.softmax(logits, 0) - share.sum(0)
        dmean = -(share[:, :, None] * r).sum(0) * inverse
        ds = (share[:, :, None] * (1 - r * r)).sum(0)
        return np.concatenate([dlogits, dmean.ravel(), ds.ravel()])

    x = np.concatenate([rng.normal(size=k), (centres + rng.normal(size=(k, d))).ravel(), 0.3 * rng.normal(size=k * d)])
    return drawn(value, gradient, x, point)


@family("factor_analysis", points=("random", "optimum", "boundary"))
def factor_analysis(rng: np.random.Generator, point: str) -> Instance:
    """log det S + trace(S^-1 C), S = L L^T + diag(exp(psi)); at the boundary one variance nearly vanishes (Heywood)."""
    d, k = 7, 2
    Z = rng.normal(size=(40, k)) @ rng.normal(size=(k, d)) + rng.normal(size=(40, d))
    C = Z.T @ Z / len(Z)
    eye = np.eye(d)

    def covariance(w: Values, a: Arithmetic) -> Values:
        L = w[: d * k].reshape(d, k)
        return L @ L.T + eye * a.exp(w[d * k :])

    def value(w: Values, a: Arithmetic) -> Values:
        S = covariance(w, a)
        return a.logdet(S) + np.trace(a.solve(S, C))

    def gradient(w: Values, a: Arithmetic) -> Values:
        S = covariance(w, a)
        P = a.solve(S, eye)
        dS = P - P @ C @ P
        dL = 2 * dS @ w[: d * k].reshape(d, k)
        return np.append(dL.ravel(), np.diagonal(dS) * a.exp(w[d * k :]))

    x = rng.normal(size=d * k + d) * np.repeat([1.0, 0.5], [d * k, d])
    if point == "boundary":
        x[-1] = -10.0
    return drawn(value, gradient, x, point)


@family("dirichlet_multinomial", points=("random", "optimum", "saturated", "zeros"))
def dirichlet_multinomial(rng: np.random.Generator, point: str) -> Instance:
    """Overdispersed counts of shares: alpha = exp(w), A its sum; a prior.

    gammaln(A) - gammaln(A + n) + sum of gammaln(c + alpha) - gammaln(alpha), with the minus of a loss.
    """
    rows, k = 5, 20
    C = rng.poisson(3.0, size=(rows, k)).astype(float)
    n = C.sum(1)

    def value(w: Values, a: Arithmetic) -> Values:
        alpha = a.exp(w)
        total = alpha.sum()
        each = a.gammaln(C + alpha) - a.gammaln(alpha)
        return (a.gammaln(total + n) - a.gammaln(total) - each.sum(1)).mean() + 0.05 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        alpha = a.exp(w)
        total = alpha.sum()
        both = (a.digamma(total + n) - a.digamma(total)).mean()
        return (both - (a.digamma(C + alpha) - a.digamma(alpha)).mean(0)) * alpha + 0.1 * w

    return drawn(value, gradient, start(rng, k, point, far=4.0), point)


@family("bradley_terry", points=POINTS)
def bradley_terry(rng: np.random.Generator, point: str) -> Instance:
    """Strengths from pairs: mean of log(1 + exp(s_loser - s_winner)), and a weak prior."""
    n, games = 24, 80
    winner = rng.integers(n, size=games)
    loser = (winner + rng.integers(1, n, size=games)) % n

    def value(s: Values, a: Arithmetic) -> Values:
        return a.softplus(s[loser] - s[winner]).mean() + 1e-3 * (s * s).sum()

    def gradient(s: Values, a: Arithmetic) -> Values:
        p = a.sigmoid(s[loser] - s[winner]) / games
        ds = 2e-3 * s
        np.add.at(ds, loser, p)
        np.subtract.at(ds, winner, p)
        return ds

    return drawn(value, gradient, start(rng, n, point, far=10.0), point)


@family("item_response", points=POINTS)
def item_response(rng: np.random.Generator, point: str) -> Instance:
    """Two-parameter logistic model: y_ij of ability t_i, discrimination exp(d_j), difficulty b_j."""
    people, items = 12, 6
    sign = rng.choice([-1.0, 1.0], size=(people, items))

    def value(w: Values, a: Arithmetic) -> Values:
        t, d, b = w[:people], w[people : people + items], w[people + items :]
        z = a.exp(d) * (t[:, None] - b)
        return a.softplus(-sign * z).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        t, d, b = w[:people], w[people : people + items], w[people + items :]
        z = a.exp(d) * (t[:, None] - b)
        dz = -sign * a.sigmoid(-sign * z) / (people * items)
        slope = dz * a.exp(d)
        return np.concatenate([slope.sum(1), (dz * z).sum(0), -slope.sum(0)])

    return drawn(value, gradient, start(rng, people + 2 * items, point, far=3.0), point)


@family("plackett_luce", points=POINTS)
def plackett_luce(rng: np.random.Generator, point: str) -> Instance:
    """Rankings: sum over places of log sum of exp(s) of those not yet placed - s of the one placed."""
    n, rankings = 20, 4
    orders = np.array([rng.permutation(n) for _ in range(rankings)])

    def value(s: Values, a: Arithmetic) -> Values:
        z = s[orders]
        top = z.real.max()
        left = np.cumsum(a.exp(z - top)[:, ::-1], axis=1)[:, ::-1]
        return (a.log(left) + top - z).mean()

    def gradient(s: Values, a: Arithmetic) -> Values:
        z = s[orders]
        e = a.exp(z - z.real.max())
        left = np.cumsum(e[:, ::-1], axis=1)[:, ::-1]
        dz = (e * np.cumsum(1 / left, axis=1) - 1) / (n * rankings)
        ds = 0 * s
        np.add.at(ds, orders, dz)
        return ds

    return drawn(value, gradient, start(rng, n, point, far=5.0), point)
