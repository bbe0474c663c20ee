"""A sweep without a framework, as a program of its own: data, gradient and central differences of each cell in NumPy.

    python tests/benchmarks/_bare.py SEEDS [MULTIPLE ...]

The cells are those of the benchmark ``sweep``: logistic, n = 100, d = 10 with a bias, four eps for each seed.  Each
MULTIPLE is a further pair of points at that many eps, for a loop that evaluates the loss as often as a verdict does.
"""

from __future__ import annotations

import sys

import numpy as np

EPS = (1e-3, 1e-4, 1e-5, 1e-6)
N, D = 100, 10


def loss(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
    z = X @ theta[:D] + theta[D]
    return np.mean(np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z))))


def gradient(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    r = (1 / (1 + np.exp(-(X @ theta[:D] + theta[D]))) - y) / N
    return np.append(X.T @ r, r.sum())


def worst(seed: int, eps: float, multiples: list[float]) -> float:
    """The largest relative error of one cell."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D))
    scores = X @ (rng.standard_normal(D) / np.sqrt(D)) + 0.1 * rng.standard_normal(N)
    y = (rng.random(N) < 1 / (1 + np.exp(-scores))).astype(float)
    theta = np.random.default_rng(0).standard_normal(D + 1)
    analytic = gradient(theta, X, y)
    numeric = np.empty_like(theta)
    for multiple in [*multiples, 1.0]:
        h = multiple * eps
        for i in range(len(theta)):
            kept = theta[i]
            theta[i] = kept + h
            above = loss(theta, X, y)
            theta[i] = kept - h
            below = loss(theta, X, y)
            theta[i] = kept
            numeric[i] = (above - below) / (2 * h)
    return float(np.max(np.abs(analytic - numeric) / np.maximum(1e-8, np.abs(analytic) + np.abs(numeric))))


if __name__ == "__main__":
    seeds, multiples = int(sys.argv[1]), [float(text) for text in sys.argv[2:]]
    errors = [worst(seed, eps, multiples) for seed in range(seeds) for eps in EPS]
    print(f"{len(errors)} cells, largest relative error {max(errors):.1e}")
