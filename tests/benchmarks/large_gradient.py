"""What a check of a large gradient costs: a logistic loss of 1,000,000 weights and 200 examples.

The time of ``check_gradient`` over that of 20 gradient plus 50 loss evaluations, for the right gradient and for one with
a single entry off by 1% of the largest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import gradcheck
from tests.benchmarks.frame import Row, alternating, ratio

WEIGHTS, EXAMPLES = 1_000_000, 200
GRADIENTS, LOSSES = 20, 50
ALLOWED = {"right": 3.0, "wrong": 5.0}


def rows(weights: int = WEIGHTS) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((EXAMPLES, weights))
    y = rng.integers(0, 2, EXAMPLES).astype(float)
    w = rng.standard_normal(weights) / np.sqrt(weights)
    entry = int(rng.integers(weights))

    def loss(w: np.ndarray) -> float:
        z = X @ w
        return float(np.mean(np.logaddexp(0, z) - y * z))

    def gradient(w: np.ndarray) -> np.ndarray:
        return X.T @ (1 / (1 + np.exp(-(X @ w))) - y) / EXAMPLES

    def wrong(w: np.ndarray) -> np.ndarray:
        g = gradient(w)
        g[entry] += 1e-2 * np.abs(g).max()
        return g

    def unit() -> None:
        for _ in range(GRADIENTS):
            gradient(w)
        for _ in range(LOSSES):
            loss(w)

    for name, jac in (("right", gradient), ("wrong", wrong)):
        results = []
        spent, base = alternating(
            lambda jac=jac, results=results: results.append(gradcheck.check_gradient(loss, jac, w)),
            unit,
            repeats=2,
            warm=False,
        )
        found = [r.errors.query("verdict == 'mismatch'")["flat_index"].tolist() for r in results]
        as_it_must = all(r.ok for r in results) if name == "right" else all(f == [entry] for f in found)
        measured = ratio(spent, base)
        yield Row(
            f"check_gradient, logistic n = {EXAMPLES}, {weights:,} weights, {name} gradient,"
            f" over {GRADIENTS} gradients and {LOSSES} losses",
            f"{ALLOWED[name]:g} or less",
            measured,
            as_it_must and measured <= ALLOWED[name],
            f"median of 2; {results[0].nfev} losses, {results[0].njev} gradients, {results[0].verdict}"
            + ("" if as_it_must else ", NOT AS IT MUST BE"),
        )
