"""Regressions and nets with back-propagation by hand, in float64 and in float32."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, Written, size, written

Rng: TypeAlias = np.random.Generator
ROWS = 12


def _data(rng: Rng, d: int, rows: int = ROWS) -> Array:
    return rng.normal(size=(rows, d))


def _at(rng: Rng, point: str, n: int, scale: float = 0.7) -> Array:
    if point == "zeros":
        return np.zeros(n)
    return rng.normal(0, 8 if point == "saturated" else scale, n)


def _linear(rng: Rng, n: int) -> tuple[Written, Written, Array]:
    X, y = _data(rng, n), rng.normal(size=ROWS)

    def fun(w: Array, m: Functions) -> Array:
        return np.sum((X @ w - y) ** 2) / (2 * ROWS)

    def jac(w: Array, m: Functions) -> Array:
        return X.T @ (X @ w - y) / ROWS

    return fun, jac, np.linalg.lstsq(X, y)[0]


@family("linear_regression", points=("random", "zeros", "optimum"))
def linear_regression(rng: Rng, point: str) -> Instance:
    n = size(rng)
    fun, jac, best = _linear(rng, n)
    return written(fun, jac, best if point == "optimum" else _at(rng, point, n))


def _logistic(rng: Rng, n: int, dtype: type = np.float64) -> tuple[Written, Written]:
    X: Array = _data(rng, n).astype(dtype)
    y: Array = (rng.random(ROWS) < 0.5).astype(dtype)

    def fun(w: Array, m: Functions) -> Array:
        z = X @ w
        return np.sum(m.logaddexp(0 * z, z) - y * z) / ROWS

    def jac(w: Array, m: Functions) -> Array:
        return X.T @ (1 / (1 + m.exp(-(X @ w))) - y) / ROWS

    return fun, jac


@family("logistic_regression", points=("random", "saturated", "zeros"))
def logistic_regression(rng: Rng, point: str) -> Instance:
    n = size(rng)
    return written(*_logistic(rng, n), _at(rng, point, n, 0.3))


@family("textbook_logistic_regression", points=("random", "saturated", "zeros"))
def textbook_logistic_regression(rng: Rng, point: str) -> Instance:
    """The logarithms of probabilities, which saturate to a plateau, instead of the stable form."""
    n = size(rng)
    X, y = _data(rng, n), (rng.random(ROWS) < 0.5) * 1.0
    scale = {"random": 0.3, "saturated": 12 / np.sqrt(n), "zeros": 0.0}[point]

    def fun(w: Array, m: Functions) -> Array:
        p = 1 / (1 + m.exp(-(X @ w)))
        return -np.sum(y * m.log(p) + (1 - y) * m.log(1 - p)) / ROWS

    def jac(w: Array, m: Functions) -> Array:
        return X.T @ (1 / (1 + m.exp(-(X @ w))) - y) / ROWS

    w = rng.normal(0, 1, n) * scale
    # beyond 36.7 a probability is rounded to 1, and log(0) times 0 is not a number
    return written(fun, jac, w * min(1.0, 36.0 / max(1.0, float(np.abs(X @ w).max()))))


def _softmax(rng: Rng, d: int, classes: int, dtype: type = np.float64) -> tuple[Written, Written]:
    X: Array = _data(rng, d).astype(dtype)
    y: Array = np.eye(classes, dtype=dtype)[rng.integers(0, classes, ROWS)]

    def shifted(w: Array) -> Array:
        z = X @ w.reshape(d, classes)
        return z - np.max(z, axis=1, keepdims=True)

    def fun(w: Array, m: Functions) -> Array:
        z = shifted(w)
        return np.sum(m.log(np.sum(m.exp(z), axis=1)) - np.sum(y * z, axis=1)) / ROWS

    def jac(w: Array, m: Functions) -> Array:
        e = m.exp(shifted(w))
        return (X.T @ (e / np.sum(e, axis=1, keepdims=True) - y) / ROWS).reshape(-1)

    return fun, jac


@family("softmax_regression", points=("random", "saturated", "zeros"))
def softmax_regression(rng: Rng, point: str) -> Instance:
    d = int(rng.integers(5, 10)) if rng.random() < 0.6 else 1
    return written(*_softmax(rng, d, 4), _at(rng, point, 4 * d, 0.4))


def _mlp(rng: Rng, d: int, hidden: int, kind: str, dtype: type = np.float64) -> tuple[Written, Written]:
    """One hidden layer, one output, half the mean squared error."""
    X: Array = _data(rng, d).astype(dtype)
    y: Array = rng.normal(size=ROWS).astype(dtype)
    cut = np.cumsum([d * hidden, hidden, hidden])

    def parts(w: Array) -> tuple[Array, Array, Array, Array]:
        return w[: cut[0]].reshape(d, hidden), w[cut[0] : cut[1]], w[cut[1] : cut[2]], w[cut[2] :]

    def active(z: Array, m: Functions) -> tuple[Array, Array]:
        if kind == "relu":
            return np.maximum(z, 0), (z > 0) * (1 + 0 * z)
        if kind == "tanh":
            a = m.tanh(z)
            return a, 1 - a**2
        a = 1 / (1 + m.exp(-z))
        return a, a * (1 - a)

    def fun(w: Array, m: Functions) -> Array:
        W, b, v, c = parts(w)
        return np.sum((active(X @ W + b, m)[0] @ v + c - y) ** 2) / (2 * ROWS)

    def jac(w: Array, m: Functions) -> Array:
        W, b, v, c = parts(w)
        a, slope = active(X @ W + b, m)
        out = (a @ v + c - y) / ROWS
        back = out[:, None] * v * slope
        return np.concatenate([(X.T @ back).reshape(-1), np.sum(back, axis=0), a.T @ out, [np.sum(out)]])

    return fun, jac


def _net(kind: str) -> None:
    points = ("random", "saturated", "zeros") if kind != "relu" else ("random", "zeros")

    @family(f"mlp_{kind}", points=points)
    def draw(rng: Rng, point: str) -> Instance:
        d, hidden = (int(rng.integers(3, 6)), int(rng.integers(4, 7))) if rng.random() < 0.7 else (1, 1)
        n = hidden * (d + 2) + 1
        kinks = kind == "relu" and point == "zeros"
        return written(*_mlp(rng, d, hidden, kind), _at(rng, point, n), kinks=kinks)


for _kind in ("tanh", "sigmoid", "relu"):
    _net(_kind)


@family("deep_tanh", points=("random", "saturated"))
def deep_tanh(rng: Rng, point: str) -> Instance:
    """Six layers of one width; the gradients of the first are small."""
    width = int(rng.integers(2, 4))
    X, y, n = _data(rng, width, 6), rng.normal(size=(6, width)), 6 * width**2

    def forward(w: Array, m: Functions) -> list[Array]:
        layers = [X]
        for W in w.reshape(6, width, width):
            layers.append(m.tanh(layers[-1] @ W))
        return layers

    def fun(w: Array, m: Functions) -> Array:
        return (forward(w, m)[-1] - y).reshape(-1) @ (forward(w, m)[-1] - y).reshape(-1)

    def jac(w: Array, m: Functions) -> Array:
        layers, weights, found = forward(w, m), w.reshape(6, width, width), []
        back = 2 * (layers[-1] - y)
        for k in reversed(range(6)):
            back = back * (1 - layers[k + 1] ** 2)
            found.append((layers[k].T @ back).reshape(-1))
            back = back @ weights[k].T
        return np.concatenate(found[::-1])

    return written(fun, jac, _at(rng, point, n))


def _single(name: str, kind: str) -> None:
    """float32 altogether: weights, data, loss and gradient; ``inside`` computes so whatever the weights are."""

    @family(name, points=("random", "zeros"))
    def draw(rng: Rng, point: str) -> Instance:
        single = np.float32
        if kind == "logistic":
            n = size(rng)
            fun, jac = _logistic(rng, n, single)
        elif kind == "softmax":
            n = 4 * int(rng.integers(5, 10))
            fun, jac = _softmax(rng, n // 4, 4, single)
        elif kind == "sum":
            n = size(rng)
            fun, jac = (lambda x, m: np.sum(m.sin(x) + x**2)), (lambda x, m: m.cos(x) + 2 * x)
        else:
            d, hidden = int(rng.integers(3, 6)), int(rng.integers(4, 7))
            n = hidden * (d + 2) + 1
            fun, jac = _mlp(rng, d, hidden, kind, single)
        x = _at(rng, point, n)
        x = x.astype(single) if not name.endswith("inside") else x
        kinks = kind == "relu" and point == "zeros"
        return written(_as_single(fun), _as_single(jac), x, kinks=kinks, ideal=(fun, jac), float32=True)


def _as_single(of: Written) -> Written:
    return lambda x, m: of(x.astype(np.float32), m)


for _name, _kind in (
    ("float32_logistic", "logistic"),
    ("float32_softmax", "softmax"),
    ("float32_mlp_tanh", "tanh"),
    ("float32_mlp_relu", "relu"),
    ("float32_sum", "sum"),
    ("float32_logistic_inside", "logistic"),
    ("float32_mlp_inside", "sigmoid"),
):
    _single(_name, _kind)
