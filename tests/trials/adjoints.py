"""Random operators with their adjoints: none is accused, and every planted error that the bound lets see is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.random import Generator

import gradcheck
from gradcheck.functions.second_order import confirmed
from gradcheck.functions.second_order.operators import Operator
from gradcheck.functions.second_order.spaces import space_of

from .kills import Failure

Array = np.ndarray


class Adjoint(NamedTuple):
    """A product with J, that with its adjoint, and a point."""

    jvp: Callable[[Any, Any], Any]
    vjp: Callable[[Any, Any], Any]
    x0: Any


def scaled(rng: Generator, n: int) -> Array:
    """Factors from 1e-8 to 1e8, or near 1."""
    return 10.0 ** rng.uniform(-8, 8, n) if rng.random() < 0.5 else rng.uniform(0.5, 2, n)


def shape(rng: Generator) -> tuple[int, int]:
    return int(rng.integers(1, 40)), int(rng.integers(1, 40))


def matrix(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = scaled(rng, m)[:, None] * rng.normal(size=(m, n)) * scaled(rng, n)
    return Adjoint(lambda x, v: a @ v, lambda x, u: a.T @ u, rng.normal(size=n))


def complex_matrix(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = rng.normal(size=(m, n)) + 1j * rng.normal(size=(m, n))
    return Adjoint(lambda x, v: a @ v, lambda x, u: a.conj().T @ u, rng.normal(size=n) + 1j)


def complex_of_real(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = rng.normal(size=(m, n)) + 1j * rng.normal(size=(m, n))
    return Adjoint(lambda x, v: a @ v, lambda x, u: (a.conj().T @ u).real, rng.normal(size=n))


def float32_matrix(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = rng.normal(size=(m, n)).astype(np.float32)
    return Adjoint(lambda x, v: a @ v, lambda x, u: a.T @ u, rng.normal(size=n).astype(np.float32))


def float32_inside(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = rng.normal(size=(m, n)).astype(np.float32)

    def push(x: Array, v: Array) -> Array:
        return (a @ v.astype(np.float32)).astype(np.float64)

    return Adjoint(push, lambda x, u: (a.T @ u.astype(np.float32)).astype(np.float64), rng.normal(size=n))


def sparse(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a = scipy.sparse.random(m, n, density=0.2, random_state=rng, format="csr")
    return Adjoint(lambda x, v: a @ v, lambda x, u: a.T @ u, rng.normal(size=n))


def convolution(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    kernel = rng.normal(size=m)
    return Adjoint(
        lambda x, v: np.convolve(v, kernel), lambda x, u: np.correlate(u, kernel, "valid"), rng.normal(size=max(n, 1))
    )


def circular(rng: Generator) -> Adjoint:
    """By FFT forward and by sums backward, so that what is 0 in one is rounding in the other."""
    n = int(rng.integers(2, 30))
    kernel = rng.normal(size=n) * (rng.random(n) < 0.4)
    rows = np.array([np.roll(kernel[::-1], i + 1) for i in range(n)])
    return Adjoint(
        lambda x, v: np.fft.ifft(np.fft.fft(kernel) * np.fft.fft(v)).real, lambda x, u: rows.T @ u, rng.normal(size=n)
    )


def masked(rng: Generator) -> Adjoint:
    """Entries that the operator does not read: by FFT they leave rounding, by sums 0."""
    n = int(rng.integers(4, 30))
    mask = rng.random(n) < 0.5
    projector = np.fft.ifft(mask[:, None] * np.fft.fft(np.eye(n), axis=0), axis=0)
    return Adjoint(
        lambda x, v: np.fft.ifft(mask * np.fft.fft(v)),
        lambda x, u: projector.conj().T @ u,
        rng.normal(size=n) + 1j * rng.normal(size=n),
    )


def fourier(rng: Generator) -> Adjoint:
    n = int(rng.integers(2, 64))
    return Adjoint(lambda x, v: np.fft.fft(v), lambda x, u: np.fft.ifft(u) * n, rng.normal(size=n) + 1j)


def real_fourier(rng: Generator) -> Adjoint:
    n = int(rng.integers(2, 64))
    return Adjoint(lambda x, v: np.fft.fft(v), lambda x, u: (np.fft.ifft(u) * n).real, rng.normal(size=n))


def cumulative(rng: Generator) -> Adjoint:
    n, kind = int(rng.integers(1, 300)), rng.choice([np.float32, np.float64])
    return Adjoint(lambda x, v: np.cumsum(v), lambda x, u: np.cumsum(u[::-1])[::-1], rng.normal(size=n).astype(kind))


def interpolation(rng: Generator) -> Adjoint:
    n, m = int(rng.integers(2, 40)), int(rng.integers(1, 60))
    at = rng.uniform(0, n - 1, m)
    left = np.minimum(at.astype(int), n - 2)
    part = at - left

    def pull(x: Array, u: Array) -> Array:
        found = np.zeros(n)
        np.add.at(found, left, (1 - part) * u)
        np.add.at(found, left + 1, part * u)
        return found

    return Adjoint(lambda x, v: np.interp(at, np.arange(n), v), pull, rng.normal(size=n))


def gather(rng: Generator) -> Adjoint:
    n, m = shape(rng)
    index = rng.integers(0, n, m)

    def pull(x: Array, u: Array) -> Array:
        found = np.zeros(n)
        np.add.at(found, index, u)
        return found

    return Adjoint(lambda x, v: v[index], pull, rng.normal(size=n))


def diagonal(rng: Generator) -> Adjoint:
    d = scaled(rng, int(rng.integers(1, 40)))
    return Adjoint(lambda x, v: d * v, lambda x, u: u * d, rng.normal(size=len(d)))


def cosine(rng: Generator) -> Adjoint:
    """The same derivative by two formulas."""
    x0 = rng.uniform(-1.5, 1.5, int(rng.integers(1, 30)))
    return Adjoint(lambda x, v: np.cos(x) * v, lambda x, u: u * np.sqrt(1 - np.sin(x) ** 2), x0)


def tanh(rng: Generator) -> Adjoint:
    x0 = rng.normal(size=int(rng.integers(1, 30))) * 10.0 ** rng.uniform(-2, 1.2)
    return Adjoint(lambda x, v: (1 - np.tanh(x) ** 2) * v, lambda x, u: u / np.cosh(x) ** 2, x0)


def factored(rng: Generator) -> Adjoint:
    """The same derivative by two formulas, both of few digits where x is large."""
    x0 = rng.normal(size=int(rng.integers(1, 4))) * 10.0 ** rng.uniform(0, 1.4)
    return Adjoint(lambda x, v: (1 - np.tanh(x) ** 2) * v, lambda x, u: (1 - np.tanh(x)) * (1 + np.tanh(x)) * u, x0)


def relu_layer(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    b = rng.normal(size=(m, 3))
    x0 = {"W": rng.normal(size=(n, m)), "b": rng.normal(size=(n, 1))}

    def push(x: Any, v: Any) -> Array:
        return (x["W"] @ b + x["b"] > 0) * (v["W"] @ b + v["b"])

    def pull(x: Any, u: Array) -> Any:
        delta = (x["W"] @ b + x["b"] > 0) * u
        return {"W": delta @ b.T, "b": delta.sum(axis=1, keepdims=True)}

    return Adjoint(push, pull, x0)


def softmax(rng: Generator) -> Adjoint:
    def p(x: Array) -> Array:
        e = np.exp(x - x.max())
        return e / e.sum()

    def apply(x: Array, v: Array) -> Array:
        return p(x) * (v - p(x) @ v)

    return Adjoint(apply, lambda x, u: p(x) * u - p(x) * (p(x) @ u), 5 * rng.normal(size=int(rng.integers(2, 30))))


def normalized(rng: Generator) -> Adjoint:
    n = int(rng.integers(2, 30))
    return Adjoint(
        lambda x, v: v / np.linalg.norm(x) - x * (x @ v) / np.linalg.norm(x) ** 3,
        lambda x, u: (u - x * (x @ u) / (x @ x)) / np.sqrt(x @ x),
        rng.normal(size=n),
    )


def solve(rng: Generator) -> Adjoint:
    n = int(rng.integers(1, 20))
    a = rng.normal(size=(n, n)) + 2 * np.sqrt(n) * np.eye(n)
    return Adjoint(lambda x, v: np.linalg.solve(a, v), lambda x, u: np.linalg.solve(a.T, u), rng.normal(size=n))


def tensor(rng: Generator) -> Adjoint:
    """A convolution of images, written with windows."""
    h, w, k = int(rng.integers(3, 8)), int(rng.integers(3, 8)), int(rng.integers(1, 4))
    kernel = rng.normal(size=(k, k))

    def push(x: Array, v: Array) -> Array:
        return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(v, (k, k)), kernel)

    def pull(x: Array, u: Array) -> Array:
        found = np.zeros((h, w))
        for i in range(k):
            for j in range(k):
                found[i : i + u.shape[0], j : j + u.shape[1]] += kernel[i, j] * u
        return found

    return Adjoint(push, pull, rng.normal(size=(h, w)))


def total(rng: Generator) -> Adjoint:
    n = int(rng.integers(1, 2000))
    kind = rng.choice([np.float32, np.float64])
    one = np.dtype(kind).type(1) / np.dtype(kind).type(n)
    return Adjoint(lambda x, v: v.mean(), lambda x, u: np.full(n, u * one), rng.normal(size=n).astype(kind))


def two_outputs(rng: Generator) -> Adjoint:
    m, n = shape(rng)
    a, b = rng.normal(size=(m, n)), rng.normal(size=(n, m))
    return Adjoint(
        lambda x, v: (a @ v[0], [b @ v[1], v[0].sum()]),
        lambda x, u: [a.T @ u[0] + u[1][1], b.T @ u[1][0]],
        [rng.normal(size=n), rng.normal(size=m)],
    )


FAMILIES: Sequence[Callable[[Generator], Adjoint]] = (
    matrix,
    complex_matrix,
    complex_of_real,
    float32_matrix,
    float32_inside,
    sparse,
    convolution,
    circular,
    masked,
    fourier,
    real_fourier,
    cumulative,
    interpolation,
    gather,
    diagonal,
    cosine,
    tanh,
    factored,
    relu_layer,
    softmax,
    normalized,
    solve,
    tensor,
    total,
    two_outputs,
)


def sizes(case: Adjoint, outcome: gradcheck.AdjointOutcome) -> tuple[float, float]:
    """The largest entries of J^T u and J v for vectors near 1, at x0 and elsewhere."""
    first = outcome.pairs[0]
    space, x = space_of(case.x0, "x0")
    op = Operator(case.jvp, case.vjp, (), space, space_of(case.jvp(case.x0, case.x0), "J v")[0])
    elsewhere = confirmed.sizes_elsewhere(op, x, first.u, first.v, np.random.default_rng(0))
    found = [(confirmed.largest(first.w), confirmed.largest(first.jv)), *elsewhere]
    return max(w for w, _ in found), max(jv for _, jv in found)


def planted(case: Adjoint, outcome: gradcheck.AdjointOutcome, rng: Generator) -> tuple[Adjoint, bool]:
    """The operator with one entry of J^T u off by a random share, and whether some pair of the right one lets it be seen.

    What is small beside the products elsewhere may be what rounding leaves of 0.
    """
    share = float(rng.choice([-1, 1]) * 10.0 ** rng.uniform(-14, 0.3))
    entry = int(rng.integers(0, outcome.pairs[0].w.size))

    def change(tree: Any, left: int) -> tuple[Any, int]:
        if isinstance(tree, dict):
            items = {}
            for key, value in tree.items():
                items[key], left = change(value, left)
            return items, left
        if isinstance(tree, list):
            found = []
            for value in tree:
                value, left = change(value, left)
                found.append(value)
            return found, left
        array = np.array(tree)
        if 0 <= left < array.size:
            array.reshape(-1)[left] *= array.dtype.type(1 + share)
        return array, left - array.size

    # in float32 the factor itself is rounded
    kind = outcome.pairs[0].w.dtype
    real = float(np.abs(kind.type(1 + share) - 1))
    unit = 2.0**-24 if kind.itemsize == 4 * (1 + (kind.kind == "c")) else 2.0**-53
    n = max(outcome.pairs[0].w.size, outcome.pairs[0].jv.size)
    w, jv = sizes(case, outcome)

    def left(p: Any) -> float:
        return 2 * unit * (16 + n**0.5) * float(w * np.abs(p.v).sum() + jv * np.abs(p.u).sum())

    visible = any(
        abs(np.real(np.conj(p.w[entry]) * p.v[entry])) * real > 2 * (p.bound + left(p)) for p in outcome.pairs
    )
    return Adjoint(case.jvp, lambda x, u: change(case.vjp(x, u), entry)[0], case.x0), visible


def trial(count: int, seed: int = 0) -> str:
    """So many operators, each right and with a planted error."""
    rng = np.random.default_rng(seed)
    verdicts: Counter[str] = Counter()
    seen = pairs = 0
    worst = 0.0
    for k in range(count):
        family = FAMILIES[k % len(FAMILIES)]
        own = np.random.default_rng([seed, k])
        case = family(own)
        right = gradcheck.check_adjoint(*case, seed=k)
        verdicts[right.verdict] += 1
        pairs += len(right.pairs)
        worst = max(worst, max(p.apart / p.bound for p in right.pairs if p.bound > 0))
        if right.verdict == "mismatch":
            raise Failure(f"{family.__name__} {seed} {k}: a right adjoint is accused\n{right}")
        wrong, visible = planted(case, right, rng)
        found = gradcheck.check_adjoint(*wrong, seed=k)
        seen += visible
        if visible and found.verdict != "mismatch":
            raise Failure(f"{family.__name__} {seed} {k}: a planted error is not found\n{found}")
    return (
        f"{count} operators of {len(FAMILIES)} families, {pairs} pairs: none accused (at most {worst:.2f} of the bound),"
        f" {verdicts['match']} match; of {count} planted errors {seen} above the resolution, all found"
    )
