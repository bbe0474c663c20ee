"""Regression likelihoods, averaged over the examples; the weights are the coefficients, and further parameters last."""

from __future__ import annotations

import numpy as np

from gradcheck.calibration.zoo.arithmetic import LOG_2PI, Arithmetic, Values
from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.losses import drawn, start

EXAMPLES, COEFFICIENTS = 30, 20
POINTS = ("random", "optimum", "saturated", "zeros")


def design(rng: np.random.Generator, columns: int = COEFFICIENTS) -> Array:
    """(examples, columns), rows of length about 1, the first column constant."""
    X = rng.normal(size=(EXAMPLES, columns)) / np.sqrt(columns)
    X[:, 0] = 1.0
    return X


@family("poisson_regression", points=POINTS)
def poisson_regression(rng: np.random.Generator, point: str) -> Instance:
    """Counts with a log link: mean of exp(eta) - y eta."""
    X = design(rng)
    y = rng.poisson(2.0, size=EXAMPLES).astype(float)

    def value(b: Values, a: Arithmetic) -> Values:
        eta = X @ b
        return (a.exp(eta) - y * eta).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        return X.T @ (a.exp(X @ b) - y) / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS, point, far=4.0), point)


@family("gamma_regression", points=POINTS)
def gamma_regression(rng: np.random.Generator, point: str) -> Instance:
    """Positive responses with a log link: mean of y exp(-eta) + eta."""
    X = design(rng)
    y = rng.gamma(2.0, size=EXAMPLES)

    def value(b: Values, a: Arithmetic) -> Values:
        eta = X @ b
        return (y * a.exp(-eta) + eta).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        return X.T @ (1 - y * a.exp(-(X @ b))) / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS, point, far=4.0), point)


@family("inverse_gaussian_regression", points=POINTS)
def inverse_gaussian_regression(rng: np.random.Generator, point: str) -> Instance:
    """Positive responses with a log link: mean of (y - mu)^2 / (2 mu^2 y), mu = exp(eta)."""
    X = design(rng)
    y = rng.wald(1.0, 2.0, size=EXAMPLES)

    def value(b: Values, a: Arithmetic) -> Values:
        mu = a.exp(X @ b)
        return ((y - mu) ** 2 / (2 * mu**2 * y)).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        mu = a.exp(X @ b)
        return X.T @ (-(y - mu) / mu**2) / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS, point, spread=0.5, far=3.0), point)


@family("negative_binomial_regression", points=POINTS)
def negative_binomial_regression(rng: np.random.Generator, point: str) -> Instance:
    """Overdispersed counts: log link, size r = exp(last weight); constants of y left out."""
    X = design(rng)
    y = rng.negative_binomial(2, 0.4, size=EXAMPLES).astype(float)

    def value(w: Values, a: Arithmetic) -> Values:
        eta, r = X @ w[:-1], a.exp(w[-1])
        mu = a.exp(eta)
        return (a.gammaln(r) - a.gammaln(y + r) - r * w[-1] - y * eta + (y + r) * a.log(r + mu)).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        eta, r = X @ w[:-1], a.exp(w[-1])
        mu = a.exp(eta)
        db = X.T @ ((y + r) * mu / (r + mu) - y) / EXAMPLES
        dr = (a.digamma(r) - a.digamma(y + r) - w[-1] - 1 + a.log(r + mu) + (y + r) / (r + mu)).mean()
        return np.append(db, dr * r)

    return drawn(value, gradient, start(rng, COEFFICIENTS + 1, point, far=3.0), point)


@family("zero_inflated_poisson", points=POINTS)
def zero_inflated_poisson(rng: np.random.Generator, point: str) -> Instance:
    """Counts with extra zeros: log(1 + exp(z)) - log(exp(z) + exp(-mu)) where y = 0, z the weights of a second design."""
    X, Z = design(rng), design(rng, 4)
    y = rng.poisson(2.0, size=EXAMPLES) * (rng.random(EXAMPLES) > 0.3)
    none = y == 0

    def value(w: Values, a: Arithmetic) -> Values:
        eta, z = X @ w[:COEFFICIENTS], Z @ w[COEFFICIENTS:]
        mu = a.exp(eta)
        zero = -mu + a.softplus(z + mu)
        return (a.softplus(z) - np.where(none, zero, y * eta - mu)).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        eta, z = X @ w[:COEFFICIENTS], Z @ w[COEFFICIENTS:]
        mu = a.exp(eta)
        structural = a.sigmoid(z + mu)
        deta = np.where(none, mu * (1 - structural), mu - y)
        dz = a.sigmoid(z) - np.where(none, structural, 0)
        return np.concatenate([X.T @ deta, Z.T @ dz]) / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS + 4, point, far=3.0), point)


@family("beta_regression", points=POINTS)
def beta_regression(rng: np.random.Generator, point: str) -> Instance:
    """Shares: mean mu = sigmoid(eta), precision phi = exp(last weight); Ferrari and Cribari-Neto, 2004."""
    X = design(rng)
    y = rng.beta(2.0, 3.0, size=EXAMPLES)
    log_y, log_rest = np.log(y), np.log1p(-y)

    def value(w: Values, a: Arithmetic) -> Values:
        mu, phi = a.sigmoid(X @ w[:-1]), a.exp(w[-1])
        p, q = mu * phi, (1 - mu) * phi
        return (a.gammaln(p) + a.gammaln(q) - a.gammaln(phi) - (p - 1) * log_y - (q - 1) * log_rest).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        mu, phi = a.sigmoid(X @ w[:-1]), a.exp(w[-1])
        p, q = mu * phi, (1 - mu) * phi
        dp, dq = a.digamma(p) - log_y, a.digamma(q) - log_rest
        deta = (dp - dq) * phi * mu * (1 - mu)
        dphi = (mu * dp + (1 - mu) * dq - a.digamma(phi)).mean()
        return np.append(X.T @ deta / EXAMPLES, dphi * phi)

    return drawn(value, gradient, start(rng, COEFFICIENTS + 1, point, far=4.0), point)


@family("probit_regression", points=POINTS)
def probit_regression(rng: np.random.Generator, point: str) -> Instance:
    """Labels +-1: mean of -log Phi(y eta)."""
    X = design(rng)
    y = rng.choice([-1.0, 1.0], size=EXAMPLES)

    def value(b: Values, a: Arithmetic) -> Values:
        return -a.log_ndtr(y * (X @ b)).mean()

    def gradient(b: Values, a: Arithmetic) -> Values:
        z = y * (X @ b)
        ratio = a.exp(-z * z / 2 - LOG_2PI / 2 - a.log_ndtr(z))
        return X.T @ (-y * ratio) / EXAMPLES

    return drawn(value, gradient, start(rng, COEFFICIENTS, point, far=8.0), point)


@family("tobit_regression", points=POINTS)
def tobit_regression(rng: np.random.Generator, point: str) -> Instance:
    """Responses censored at 0, scale exp(last weight): normal density above, Phi(-eta / sigma) at 0."""
    X = design(rng)
    y = np.maximum(rng.normal(0.5, 1.0, size=EXAMPLES), 0.0)
    seen = y > 0

    def value(w: Values, a: Arithmetic) -> Values:
        r = (y - X @ w[:-1]) * a.exp(-w[-1])
        return np.where(seen, r * r / 2 + w[-1], -a.log_ndtr(r)).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        inverse = a.exp(-w[-1])
        r = (y - X @ w[:-1]) * inverse
        mills = a.exp(-r * r / 2 - LOG_2PI / 2 - a.log_ndtr(r))
        dr = np.where(seen, r, -mills)
        return np.append(-X.T @ dr * inverse / EXAMPLES, (np.where(seen, 1, 0) - dr * r).mean())

    return drawn(value, gradient, start(rng, COEFFICIENTS + 1, point, far=2.0), point)


@family("multinomial_logit", points=POINTS)
def multinomial_logit(rng: np.random.Generator, point: str) -> Instance:
    """Four classes: mean of log sum exp(X W) - (X W)_y."""
    classes, columns = 4, 6
    X = design(rng, columns)
    y = rng.integers(classes, size=EXAMPLES)
    rows, Y = np.arange(EXAMPLES), np.eye(classes)[y]

    def value(w: Values, a: Arithmetic) -> Values:
        z = X @ w.reshape(columns, classes)
        return (a.logsumexp(z) - z[rows, y]).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        z = X @ w.reshape(columns, classes)
        return (X.T @ (a.softmax(z) - Y) / EXAMPLES).ravel()

    return drawn(value, gradient, start(rng, columns * classes, point), point)


@family("student_t_regression", points=POINTS)
def student_t_regression(rng: np.random.Generator, point: str) -> Instance:
    """Heavy tails: degrees of freedom 2 + exp(w[-1]), scale exp(w[-2])."""
    X = design(rng)
    y = X @ rng.normal(size=COEFFICIENTS) + rng.standard_t(3, size=EXAMPLES)

    def value(w: Values, a: Arithmetic) -> Values:
        nu = 2 + a.exp(w[-1])
        r = (y - X @ w[:-2]) * a.exp(-w[-2])
        constant = a.gammaln(nu / 2) - a.gammaln((nu + 1) / 2) + a.log(nu) / 2 + w[-2]
        return constant + ((nu + 1) / 2 * a.log1p(r * r / nu)).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        nu, inverse = 2 + a.exp(w[-1]), a.exp(-w[-2])
        r = (y - X @ w[:-2]) * inverse
        dr = (nu + 1) * r / (nu + r * r)
        dnu = (a.digamma(nu / 2) - a.digamma((nu + 1) / 2) + 1 / nu) / 2
        dnu = dnu + (a.log1p(r * r / nu) / 2 - (nu + 1) / 2 * r * r / (nu * (nu + r * r))).mean()
        return np.concatenate([-X.T @ dr * inverse / EXAMPLES, [1 - (dr * r).mean(), dnu * (nu - 2)]])

    return drawn(value, gradient, start(rng, COEFFICIENTS + 2, point, far=4.0), point)


@family("heteroscedastic_regression", points=POINTS)
def heteroscedastic_regression(rng: np.random.Generator, point: str) -> Instance:
    """Mean X b and log standard deviation X c: mean of X c + (y - X b)^2 exp(-2 X c) / 2."""
    half = COEFFICIENTS // 2
    X = design(rng, half)
    y = rng.normal(size=EXAMPLES)

    def value(w: Values, a: Arithmetic) -> Values:
        s = X @ w[half:]
        return (s + (y - X @ w[:half]) ** 2 * a.exp(-2 * s) / 2).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        s, r = X @ w[half:], y - X @ w[:half]
        e = a.exp(-2 * s)
        return np.concatenate([-X.T @ (r * e), X.T @ (1 - r * r * e)]) / EXAMPLES

    return drawn(value, gradient, start(rng, 2 * half, point, far=3.0), point)
