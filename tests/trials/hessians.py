"""Random Hessians of functions whose derivatives are right: no entry is accused, and every planted error in sight is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import optimize, special

import gradcheck

from .kills import Failure

Array = np.ndarray


class Second(NamedTuple):
    """A function with its gradient and its Hessian, and a point."""

    fun: Callable[[Any], Any]
    jac: Callable[[Any], Any]
    hess: Callable[[Any], Any]
    x0: Array


def quadratic(rng: Generator) -> Second:
    n = int(rng.integers(1, 13))
    scale = 10.0 ** rng.uniform(-4, 4, n) if rng.random() < 0.3 else np.ones(n)
    half = rng.normal(size=(n, n))
    q = scale[:, None] * (half + half.T) * scale
    b = rng.normal(size=n) * scale
    return Second(lambda x: x @ q @ x / 2 + b @ x, lambda x: q @ x + b, lambda x: q, rng.normal(size=n) / scale)


def logistic(rng: Generator) -> Second:
    n, d = int(rng.integers(5, 80)), int(rng.integers(1, 10))
    design = rng.normal(size=(n, d))
    y = (rng.random(n) < 0.5).astype(float)
    ridge = float(rng.uniform(0, 1))

    def jac(w: Array) -> Array:
        return design.T @ (special.expit(design @ w) - y) + ridge * w

    def hess(w: Array) -> Array:
        p = special.expit(design @ w)
        return (design.T * (p * (1 - p))) @ design + ridge * np.eye(d)

    return Second(
        lambda w: np.sum(np.logaddexp(0, design @ w) - y * (design @ w)) + ridge / 2 * w @ w,
        jac,
        hess,
        rng.normal(size=d),
    )


def normal(rng: Generator) -> Second:
    """The log-likelihood of the normal distribution by mean and standard deviation."""
    y = rng.normal(size=int(rng.integers(3, 50))) * rng.uniform(0.5, 5) + rng.normal()
    n = len(y)

    def jac(t: Array) -> Array:
        r = y - t[0]
        return np.array([r.sum() / t[1] ** 2, (r @ r) / t[1] ** 3 - n / t[1]])

    def hess(t: Array) -> Array:
        r = y - t[0]
        cross = -2 * r.sum() / t[1] ** 3
        return np.array([[-n / t[1] ** 2, cross], [cross, n / t[1] ** 2 - 3 * (r @ r) / t[1] ** 4]])

    return Second(
        lambda t: -n * np.log(t[1]) - np.sum((y - t[0]) ** 2) / (2 * t[1] ** 2),
        jac,
        hess,
        np.array([rng.normal(), rng.uniform(0.5, 3)]),
    )


def rosenbrock(rng: Generator) -> Second:
    x0 = rng.normal(size=int(rng.integers(2, 13)))
    return Second(optimize.rosen, optimize.rosen_der, optimize.rosen_hess, x0)


def poisson(rng: Generator) -> Second:
    n, d = int(rng.integers(5, 80)), int(rng.integers(1, 10))
    design = rng.normal(size=(n, d)) / np.sqrt(d)
    y = rng.poisson(2.0, n)

    def hess(b: Array) -> Array:
        return np.einsum("ni,n,nj->ij", design, np.exp(design @ b), design)

    return Second(
        lambda b: np.sum(np.exp(design @ b) - y * (design @ b)),
        lambda b: design.T @ (np.exp(design @ b) - y),
        hess,
        rng.normal(size=d),
    )


def gamma(rng: Generator) -> Second:
    """The log-likelihood of the gamma distribution by shape and rate."""
    y = rng.gamma(2.0, 1.0, int(rng.integers(3, 50))) + 1e-3
    n, logs, total = len(y), np.log(y).sum(), y.sum()

    def fun(t: Array) -> float:
        return float(n * (t[0] * np.log(t[1]) - special.gammaln(t[0])) + (t[0] - 1) * logs - t[1] * total)

    def jac(t: Array) -> Array:
        return np.array([n * (np.log(t[1]) - special.digamma(t[0])) + logs, n * t[0] / t[1] - total])

    def hess(t: Array) -> Array:
        return np.array([[-n * special.polygamma(1, t[0]), n / t[1]], [n / t[1], -n * t[0] / t[1] ** 2]])

    return Second(fun, jac, hess, rng.uniform(0.5, 5, 2))


def softmax(rng: Generator) -> Second:
    """Multinomial logistic regression; the weights of all classes in one vector."""
    n, d, k = int(rng.integers(5, 40)), int(rng.integers(1, 4)), int(rng.integers(2, 4))
    design, y = rng.normal(size=(n, d)), np.eye(k)[rng.integers(0, k, n)]

    def probabilities(w: Array) -> Array:
        return special.softmax(design @ w.reshape(d, k), axis=1)

    def fun(w: Array) -> float:
        z = design @ w.reshape(d, k)
        return float(np.sum(special.logsumexp(z, axis=1) - (y * z).sum(axis=1)))

    def hess(w: Array) -> Array:
        p = probabilities(w)
        inner = np.einsum("nc,ce->nce", p, np.eye(k)) - p[:, :, None] * p[:, None, :]
        return np.einsum("ni,nce,nj->icje", design, inner, design).reshape(d * k, d * k)

    return Second(fun, lambda w: (design.T @ (probabilities(w) - y)).reshape(-1), hess, rng.normal(size=d * k))


def log_sum(rng: Generator) -> Second:
    a = rng.normal(size=(int(rng.integers(2, 20)), int(rng.integers(1, 12))))

    def hess(x: Array) -> Array:
        p = special.softmax(a @ x)
        mean = a.T @ p
        return a.T @ (p[:, None] * a) - np.outer(mean, mean)

    return Second(
        lambda x: special.logsumexp(a @ x), lambda x: a.T @ special.softmax(a @ x), hess, rng.normal(size=a.shape[1])
    )


def residuals(rng: Generator) -> Second:
    """A sum of squares of sines, whose Hessian is not positive."""
    a = rng.normal(size=(int(rng.integers(2, 20)), int(rng.integers(1, 12))))
    y = rng.normal(size=len(a))

    def hess(x: Array) -> Array:
        s, c = np.sin(a @ x), np.cos(a @ x)
        return (a.T * (c * c - (s - y) * s)) @ a

    return Second(
        lambda x: np.sum((np.sin(a @ x) - y) ** 2) / 2,
        lambda x: a.T @ ((np.sin(a @ x) - y) * np.cos(a @ x)),
        hess,
        rng.normal(size=a.shape[1]),
    )


FAMILIES: Sequence[Callable[[Generator], Second]] = (
    quadratic,
    logistic,
    normal,
    rosenbrock,
    poisson,
    gamma,
    softmax,
    log_sum,
    residuals,
)


def plant(hessian: Array, rng: Generator) -> Array:
    """One entry, or an entry and its transpose, off by a random share."""
    changed = np.array(hessian, dtype=float)
    i, j = rng.integers(0, len(changed), 2)
    share = 1 + float(rng.choice([-1, 1]) * 10.0 ** rng.uniform(-13, 0.3))
    changed[i, j] *= share
    if i != j and rng.random() < 0.5:
        changed[j, i] *= share
    return changed


def visible(found: gradcheck.HessianOutcome, right: Array, wrong: Array) -> bool:
    """Whether a change is above the resolution of a row, twice its bound, or above that of the symmetry."""
    bound = np.full(right.shape, np.inf)
    bound.reshape(-1)[found.hessian.table["flat_index"]] = found.hessian.table["bound"]
    return bool(
        (np.abs(wrong - right) > 2 * bound).any() or (np.abs(wrong - wrong.T) > 2 * found.symmetry[0].bound).any()
    )


def trial(entries: int, seed: int = 0) -> str:
    """So many entries of Hessians, each right and with a planted error."""
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    k = seen = 0
    worst = 0.0
    while counts.total() < entries:
        family, own = FAMILIES[k % len(FAMILIES)], np.random.default_rng([seed, k])
        case = family(own)
        right = gradcheck.check_hessian(*case)
        table = right.hessian.table
        counts.update("exempt" if r == "exempt" else v for v, r in zip(table["verdict"], table["reason"], strict=True))
        with np.errstate(all="ignore"):
            worst = max(worst, float(np.nanmax(table["abs_err"] / table["bound"])))
        if right.verdict == "mismatch":
            raise Failure(f"{family.__name__} {seed} {k}: a right Hessian is accused\n{right}")
        wrong = plant(right.symmetry[0].hessian, rng)
        found = gradcheck.check_hessian(case.fun, case.jac, lambda x, h=wrong: h, case.x0)
        in_sight = visible(found, right.symmetry[0].hessian, wrong)
        seen += in_sight
        if in_sight and found.verdict != "mismatch":
            raise Failure(f"{family.__name__} {seed} {k}: a planted error is not found\n{found}")
        k += 1
    return (
        f"{counts.total()} entries of {k} Hessians of {len(FAMILIES)} families: none accused, nor its transpose (at most"
        f" {worst:.2f} of the bound), {counts['match']} match, {counts['exempt']} exempt; of {k} planted errors {seen} above"
        " the resolution, all found"
    )
