"""Matrices of the weights: solves, factorisations, eigenvalues, exponentials."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

from gradcheck.calibration.zoo.arithmetic import Arithmetic, Values
from gradcheck.calibration.zoo.instance import Instance, family
from gradcheck.calibration.zoo.losses import drawn, start


@family("linear_solve", points=("random", "optimum", "saturated", "zeros"))
def linear_solve(rng: np.random.Generator, point: str) -> Instance:
    """c^T A^-1 b squared over 2, A = 3 I + W; nearly singular where saturated."""
    n = 5
    b, c = rng.normal(size=(2, n))
    base = 3 * np.eye(n)

    def value(w: Values, a: Arithmetic) -> Values:
        return (c @ a.solve(base + w.reshape(n, n), b) - 1) ** 2 / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        A = base + w.reshape(n, n)
        y, z = a.solve(A, b), a.solve(A.T, c)
        return -(c @ y - 1) * np.multiply.outer(z, y).ravel()

    x = start(rng, n * n, point, spread=0.7, far=0.3)
    if point == "saturated":  # the last row is the first but for 1e-3
        W = x.reshape(n, n)
        W[-1] = W[0] + base[0] - base[-1] + 1e-3 * rng.normal(size=n)
    return drawn(value, gradient, x, point, steps=8)


@family("least_squares_qr", points=("random", "optimum"))
def least_squares_qr(rng: np.random.Generator, point: str) -> Instance:
    """Residual and coefficients of a least squares fit by QR, by the design matrix: |y - X b|^2 / 2 + c^T b."""
    m, k = 8, 3
    y, c = rng.normal(size=m), rng.normal(size=k)

    def fit(w: Values, a: Arithmetic) -> tuple[Values, Values, Values]:
        X = w.reshape(m, k)
        if w.dtype == float:
            Q, R = np.linalg.qr(X)
            return X, a.solve(R, Q.T @ y), R.T @ R
        return X, a.solve(X.T @ X, X.T @ y), X.T @ X

    def value(w: Values, a: Arithmetic) -> Values:
        X, b, _ = fit(w, a)
        return ((y - X @ b) ** 2).sum() / 2 + c @ b

    def gradient(w: Values, a: Arithmetic) -> Values:
        X, b, gram = fit(w, a)
        r = y - X @ b
        v = a.solve(gram, c)
        return (-np.multiply.outer(r, b) + np.multiply.outer(r, v) - np.multiply.outer(X @ v, b)).ravel()

    return drawn(value, gradient, start(rng, m * k, point), point, steps=8)


@family("log_determinant", points=("random", "optimum", "saturated", "zeros"))
def log_determinant(rng: np.random.Generator, point: str) -> Instance:
    """log det(I + B B^T) by Cholesky, and a pull to a target: |B - T|^2 / 2."""
    n = 5
    target = rng.normal(size=n * n)
    eye = np.eye(n)

    def value(w: Values, a: Arithmetic) -> Values:
        B = w.reshape(n, n)
        return a.logdet(eye + B @ B.T) + ((w - target) ** 2).sum() / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        B = w.reshape(n, n)
        return 2 * a.solve(eye + B @ B.T, B).ravel() + w - target

    return drawn(value, gradient, start(rng, n * n, point, far=100.0), point)


def symmetric(w: Values, n: int) -> Values:
    """The symmetric matrix whose upper triangle is w, row by row."""
    S = np.zeros((n, n), dtype=w.dtype)
    S[np.triu_indices(n)] = w
    return S + np.triu(S, 1).T


@family("largest_eigenvalue", points=("random", "saturated"))
def largest_eigenvalue(rng: np.random.Generator, point: str) -> Instance:
    """Largest eigenvalue of a symmetric matrix; v v^T, off the diagonal twice.  Where saturated the second one is near."""
    n = 6
    i, j = np.triu_indices(n)

    def top(w: Values) -> tuple[Values, Values]:
        if w.dtype == float:
            values, vectors = np.linalg.eigh(symmetric(w, n))
            return values[-1], vectors[:, -1]
        E, Q = mpmath.eigsy(mpmath.matrix(symmetric(w, n).tolist()))
        return E[n - 1], np.array([Q[k, n - 1] for k in range(n)], dtype=object)

    def value(w: Values, a: Arithmetic) -> Values:
        return top(w)[0]

    def gradient(w: Values, a: Arithmetic) -> Values:
        v = top(w)[1]
        return v[i] * v[j] * np.where(i == j, 1, 2)

    x = rng.normal(size=i.size)
    if point == "saturated":
        values, Q = np.linalg.eigh(symmetric(x, n))
        values[-2] = values[-1] - 1e-3
        x = (Q * values @ Q.T)[i, j]
    return drawn(value, gradient, x, point)


@family("nuclear_norm", points=("random", "saturated"))
def nuclear_norm(rng: np.random.Generator, point: str) -> Instance:
    """Sum of the singular values and |W - T|^2 / 2: U V^T + W - T.  Where saturated one singular value is small."""
    m, k = 6, 4
    target = rng.normal(size=m * k)

    def factors(w: Values) -> tuple[Values, Values, Values]:
        if w.dtype == float:
            return np.linalg.svd(w.reshape(m, k), full_matrices=False)
        U, s, V = mpmath.svd_r(mpmath.matrix(w.reshape(m, k).tolist()), full_matrices=False)
        return _array(U), _array(s)[:, 0], _array(V)

    def value(w: Values, a: Arithmetic) -> Values:
        return factors(w)[1].sum() + ((w - target) ** 2).sum() / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        U, _, V = factors(w)
        return (U @ V).ravel() + w - target

    x = rng.normal(size=m * k)
    if point == "saturated":
        U, s, V = factors(x)
        s[-1] = 1e-3
        x = (U * s @ V).ravel()
    return drawn(value, gradient, x, point)


def _array(matrix: Any) -> Values:
    """mpmath's matrix as an array of objects."""
    return np.array(matrix.tolist(), dtype=object).reshape(matrix.rows, matrix.cols)


def _exponential(A: Values) -> Values:
    """exp(A): the Taylor series of A / 2^6, squared six times."""
    term = total = np.eye(len(A)) + 0 * A
    small = A / 64
    for k in range(1, 10 if A.dtype == float else 30):
        term = term @ small / k
        total = total + term
    for _ in range(6):
        total = total @ total
    return total


@family("matrix_exponential", points=("random", "optimum", "zeros"))
def matrix_exponential(rng: np.random.Generator, point: str) -> Instance:
    """(c^T exp(A) b - 1)^2 / 2; the derivative of exp is a block of the exponential of twice the size (Mathias, 1996)."""
    n = 4
    b, c = rng.normal(size=(2, n))

    def value(w: Values, a: Arithmetic) -> Values:
        return (c @ _exponential(w.reshape(n, n)) @ b - 1) ** 2 / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        A = w.reshape(n, n)
        block = np.zeros((2 * n, 2 * n), dtype=w.dtype)
        block[:n, :n] = block[n:, n:] = A.T
        block[:n, n:] = np.outer(c, b)
        E = _exponential(block)
        return (c @ E[:n, :n].T @ b - 1) * E[:n, n:].ravel()

    return drawn(value, gradient, start(rng, n * n, point, spread=0.5), point, steps=4)


@family("lyapunov_equation", points=("random", "optimum"))
def lyapunov_equation(rng: np.random.Generator, point: str) -> Instance:
    """trace(C P), P = A P A^T + Q, A = W / 2 / sqrt(n): the steady covariance of a linear system, as one linear solve."""
    n = 4
    M, C = rng.normal(size=(2, n, n))
    Q, C = M @ M.T, C @ C.T
    eye = np.eye(n * n)
    scale = 0.3

    def steady(A: Values, right: Values, a: Arithmetic) -> Values:
        K = np.multiply.outer(A, A).transpose(0, 2, 1, 3).reshape(n * n, n * n)
        return a.solve(eye - K, right.ravel()).reshape(n, n)

    def value(w: Values, a: Arithmetic) -> Values:
        return (C * steady(scale * w.reshape(n, n), Q, a)).sum()

    def gradient(w: Values, a: Arithmetic) -> Values:
        A = scale * w.reshape(n, n)
        P, L = steady(A, Q, a), steady(A.T, C, a)
        return 2 * scale * (L @ A @ P).ravel()

    x = start(rng, n * n, point)
    x /= max(1.0, float(np.abs(np.linalg.eigvals(scale * x.reshape(n, n))).max()) / 0.8)
    return drawn(value, gradient, x, point, steps=5)


@family("graph_laplacian", points=("random", "optimum", "zeros", "saturated"))
def graph_laplacian(rng: np.random.Generator, point: str) -> Instance:
    """Smooth signal on a graph with 24 nodes: x^T L x / 2 + |x - y|^2 / 2 over the nodes that are seen."""
    n = 24
    A = np.triu(rng.random((n, n)) < 0.2, 1) * rng.lognormal(size=(n, n))
    A = A + A.T
    L = np.diag(A.sum(1)) - A
    seen, y = (rng.random(n) < 0.6).astype(float), rng.normal(size=n)

    def value(w: Values, a: Arithmetic) -> Values:
        return w @ (L @ w) / 2 + (seen * (w - y) ** 2).sum() / 2

    def gradient(w: Values, a: Arithmetic) -> Values:
        return L @ w + seen * (w - y)

    return drawn(value, gradient, start(rng, n, point, far=1e6), point)
