"""Factorisations, embeddings, chains, processes: losses with a structure of their own."""

from __future__ import annotations

import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import drawn, start

POINTS = ("random", "optimum", "zeros")


@family("crf", points=(*POINTS, "saturated"))
def crf(rng: np.random.Generator, point: str) -> Instance:
    """Linear-chain conditional random field: log Z by the forward algorithm minus the score of the labels, a ridge.

    Weights: features to labels (4, 3), moves (3, 3); three sentences of six words.
    """
    features, k, length, sentences, ridge = 4, 3, 6, 3, 1e-3
    X = rng.normal(size=(sentences, length, features))
    y = rng.integers(k, size=(sentences, length))
    Y = np.eye(k)[y]
    pairs = np.einsum("sta,stb->ab", Y[:, :-1], Y[:, 1:])
    seen = np.einsum("stf,stk->fk", X, Y)

    def potentials(w: Values) -> tuple[Values, Values]:
        return X @ w[: features * k].reshape(features, k), w[features * k :].reshape(k, k)

    def forward(emission: Values, moves: Values, a: Arithmetic) -> list[Values]:
        alpha = [emission[:, 0]]
        for t in range(1, length):
            alpha.append(emission[:, t] + a.logsumexp(alpha[-1][:, :, None] + moves, axis=1))
        return alpha

    def value(w: Values, a: Arithmetic) -> Values:
        emission, moves = potentials(w)
        log_z = a.logsumexp(forward(emission, moves, a)[-1]).sum()
        score = w[: features * k] @ seen.ravel() + (moves * pairs).sum()
        return (log_z - score) / sentences + ridge * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        emission, moves = potentials(w)
        alpha = forward(emission, moves, a)
        log_z = a.logsumexp(alpha[-1])[:, None]
        beta = 0 * alpha[-1]
        dmoves, nodes = 0 * moves, [a.exp(alpha[-1] - log_z)]
        for t in reversed(range(1, length)):
            ahead = emission[:, t] + beta
            edge = alpha[t - 1][:, :, None] + moves + ahead[:, None, :] - log_z[:, :, None]
            dmoves = dmoves + a.exp(edge).sum(0)
            beta = a.logsumexp(moves + ahead[:, None, :])
            nodes.append(a.exp(alpha[t - 1] + beta - log_z))
        expected = sum(X[:, t].T @ p for t, p in enumerate(reversed(nodes)))
        return np.append((expected - seen).ravel(), (dmoves - pairs).ravel()) / sentences + 2 * ridge * w

    return drawn(value, gradient, start(rng, features * k + k * k, point, far=10.0), point)


@family("matrix_factorisation", points=POINTS)
def matrix_factorisation(rng: np.random.Generator, point: str) -> Instance:
    """|M - U V^T|^2 / 2 over all entries, with a ridge; the origin is a saddle."""
    m, n, k = 6, 5, 2
    M, ridge = rng.normal(size=(m, n)), 1e-2

    def value(w: Values, a: Arithmetic) -> Values:
        U, V = w[: m * k].reshape(m, k), w[m * k :].reshape(n, k)
        return ((M - U @ V.T) ** 2).sum() / 2 + ridge / 2 * (w * w).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        U, V = w[: m * k].reshape(m, k), w[m * k :].reshape(n, k)
        R = U @ V.T - M
        return np.append((R @ V).ravel(), (R.T @ U).ravel()) + ridge * w

    return drawn(value, gradient, start(rng, (m + n) * k, point), point)


@family("collaborative_filtering", points=(*POINTS, "saturated"))
def collaborative_filtering(rng: np.random.Generator, point: str) -> Instance:
    """Ratings that are there: mean squared error of mean + user + item + u.v; some users rated nothing."""
    users, items, k = 8, 6, 2
    rated = rng.random((users, items)) < 0.4
    rated[0] = False
    i, j = np.nonzero(rated)
    ratings = rng.integers(1, 6, size=i.size).astype(float)
    cuts = np.cumsum([1, users, items, users * k])

    def predicted(w: Values) -> tuple[Values, Values, Values]:
        mean, b, c, u, v = np.split(w, cuts)
        U, V = u.reshape(users, k), v.reshape(items, k)
        return mean[0] + b[i] + c[j] + (U[i] * V[j]).sum(1) - ratings, U, V

    def value(w: Values, a: Arithmetic) -> Values:
        r, _, _ = predicted(w)
        return (r * r).mean() + 1e-2 * (w[1:] ** 2).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        r, U, V = predicted(w)
        r = 2 * r / i.size
        dw = 2e-2 * w
        dw[0] = r.sum()
        _, db, dc, du, dv = np.split(dw, cuts)  # views
        np.add.at(db, i, r)
        np.add.at(dc, j, r)
        np.add.at(du.reshape(users, k), i, r[:, None] * V[j])
        np.add.at(dv.reshape(items, k), j, r[:, None] * U[i])
        return dw

    return drawn(value, gradient, start(rng, cuts[-1] + items * k, point, far=100.0), point)


@family("mds_stress", points=("random", "optimum", "saturated"))
def mds_stress(rng: np.random.Generator, point: str) -> Instance:
    """Sum of (d_ij - D_ij)^2 over the pairs of twelve points in the plane; two points nearly meet where saturated."""
    n = 12
    i, j = np.triu_indices(n, 1)
    D = rng.uniform(0.5, 3.0, size=i.size)

    def value(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 2)
        d = a.sqrt(((z[i] - z[j]) ** 2).sum(1))
        return ((d - D) ** 2).sum() / i.size

    def gradient(w: Values, a: Arithmetic) -> Values:
        z = w.reshape(n, 2)
        diff = z[i] - z[j]
        d = a.sqrt((diff**2).sum(1))
        pull = (2 * (1 - D / d) / i.size)[:, None] * diff
        dz = 0 * z
        np.add.at(dz, i, pull)
        np.subtract.at(dz, j, pull)
        return dz.ravel()

    x = rng.normal(size=2 * n)
    if point == "saturated":
        x[:2] = x[2:4] + 1e-4 * rng.normal(size=2)
    return drawn(value, gradient, x, point)


@family("tsne", points=("random", "optimum", "saturated"))
def tsne(rng: np.random.Generator, point: str) -> Instance:
    """Kullback-Leibler divergence of P and Student-t similarities of twelve points; van der Maaten and Hinton, 2008."""
    n = 12
    A = rng.exponential(size=(n, n))
    P = (A + A.T) * (1 - np.eye(n))
    P /= P.sum()
    entropy = float((P[P > 0] * np.log(P[P > 0])).sum())

    def kernel(w: Values) -> tuple[Values, Values]:
        z = w.reshape(n, 2)
        return z, 1 / (1 + ((z[:, None] - z) ** 2).sum(2))

    def value(w: Values, a: Arithmetic) -> Values:
        K = kernel(w)[1]
        return entropy - (P * a.log(K)).sum() + a.log(K.sum() - n)

    def gradient(w: Values, a: Arithmetic) -> Values:
        z, K = kernel(w)
        S = (P - K / (K.sum() - n)) * K
        S = S * (1 - np.eye(n))
        return 4 * (S.sum(1)[:, None] * z - S @ z).ravel()

    return drawn(value, gradient, start(rng, 2 * n, point, far=100.0), point)


@family("gaussian_process", points=("random", "optimum", "zeros"))
def gaussian_process(rng: np.random.Generator, point: str) -> Instance:
    """Marginal likelihood with a squared exponential kernel; logarithms of 3 lengths, amplitude, noise; 5 coefficients."""
    n, d = 10, 3
    X, Z = rng.normal(size=(n, d)), rng.normal(size=(n, 5))
    y = np.sin(X[:, 0]) + 0.3 * rng.normal(size=n)
    squares = ((X[:, None] - X) ** 2).transpose(2, 0, 1)
    eye = np.eye(n)

    def kernel(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        weights = a.exp(-2 * w[:d])
        S = a.exp(2 * w[d] - (weights[:, None, None] * squares).sum(0) / 2)
        return S, weights, S + eye * (a.exp(2 * w[d + 1]) + 1e-6)

    def value(w: Values, a: Arithmetic) -> Values:
        _, _, K = kernel(w, a)
        r = y - Z @ w[d + 2 :]
        return (r @ a.solve(K, r) + a.logdet(K)) / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        S, weights, K = kernel(w, a)
        alpha = a.solve(K, y - Z @ w[d + 2 :])
        dK = (a.solve(K, eye) - np.multiply.outer(alpha, alpha)) / 2
        dlengths = ((dK * S) * squares).sum((1, 2)) * weights
        dnoise = 2 * np.trace(dK) * a.exp(2 * w[d + 1])
        return np.concatenate([dlengths, [2 * (dK * S).sum(), dnoise], -Z.T @ alpha])

    x = start(rng, d + 7, point, spread=0.5)
    return drawn(value, gradient, x, point, steps=15)


@family("word_vectors", points=(*POINTS, "saturated"))
def word_vectors(rng: np.random.Generator, point: str) -> Instance:
    """Skip-gram with negative samples: mean of log(1 + exp(-s u.v)), s = 1 of pairs seen together, -1 of others."""
    words, k, pairs = 6, 3, 30
    i, j = rng.integers(words, size=(2, pairs))
    sign = rng.choice([-1.0, 1.0], size=pairs)

    def value(w: Values, a: Arithmetic) -> Values:
        U, V = w.reshape(2, words, k)
        return a.softplus(-sign * (U[i] * V[j]).sum(1)).mean()

    def gradient(w: Values, a: Arithmetic) -> Values:
        U, V = w.reshape(2, words, k)
        dz = (-sign * a.sigmoid(-sign * (U[i] * V[j]).sum(1)) / pairs)[:, None]
        dw = 0 * w.reshape(2, words, k)
        np.add.at(dw[0], i, dz * V[j])
        np.add.at(dw[1], j, dz * U[i])
        return dw.ravel()

    return drawn(value, gradient, start(rng, 2 * words * k, point, far=3.0), point)


@family("noisy_channel", points=("random", "saturated", "optimum"))
def noisy_channel(rng: np.random.Generator, point: str) -> Instance:
    """Mutual information of input p and output q = p W of a channel with 20 inputs: minus the information; p = softmax(w)."""
    inputs, outputs = 20, 5
    W = rng.dirichlet(np.full(outputs, 0.5), size=inputs) * 0.99 + 0.01 / outputs
    own = (W * np.log(W)).sum(1)

    def value(w: Values, a: Arithmetic) -> Values:
        p = a.softmax(w)
        q = p @ W
        return (q * a.log(q)).sum() - p @ own

    def gradient(w: Values, a: Arithmetic) -> Values:
        p = a.softmax(w)
        dp = W @ (a.log(p @ W) + 1) - own
        return p * (dp - p @ dp)

    return drawn(value, gradient, start(rng, inputs, point, far=8.0), point)
