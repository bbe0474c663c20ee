"""Losses of few digits: printed, rounded, or computed in float32 inside a function of float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance, family
from gradcheck.calibration.zoo.precise import Functions, Written, size, written

Rng: TypeAlias = np.random.Generator


class Smooth(NamedTuple):
    """A function of which few digits are kept, and its gradient."""

    fun: Written
    jac: Written


SINES = Smooth(lambda x, m: np.sum(m.sin(x)), lambda x, m: m.cos(x))
SQUARES = Smooth(lambda x, m: np.sum(x**2), lambda x, m: 2 * x)
GROWTH = Smooth(lambda x, m: m.log(np.sum(m.exp(x))), lambda x, m: m.exp(x) / np.sum(m.exp(x)))


def _kept(name: str, of: Smooth, keep: Callable[[float], float]) -> None:
    @family(name, points=("random", "zeros"))
    def draw(rng: Rng, point: str) -> Instance:
        n = size(rng)
        x = np.zeros(n) if point == "zeros" else rng.normal(size=n)

        def fun(x: Array, m: Functions) -> float:
            return keep(float(of.fun(x, m)))

        return written(fun, of.jac, x, ideal=(of.fun, of.jac))


_kept("printed_6_digits", SINES, lambda value: float(f"{value:.6g}"))
_kept("printed_9_digits", GROWTH, lambda value: float(f"{value:.9g}"))
_kept("printed_4_places", SQUARES, lambda value: float(f"{value:.4f}"))
_kept("rounded_8_places", SQUARES, lambda value: round(value, 8))
_kept("value_in_float32", GROWTH, lambda value: float(np.float32(value)))
_kept("value_in_float16", SINES, lambda value: float(np.float16(value)))


@family("summed_in_float32", points=("random", "zeros"))
def summed_in_float32(rng: Rng, point: str) -> Instance:
    """Weights and terms in float32, one added after the other, in a function that takes and returns float64."""
    n = size(rng)
    a = rng.normal(size=n)

    def fun(x: Array, m: Functions) -> float:
        return float(np.cumsum(np.exp(0.3 * x.astype(np.float32)) * a.astype(np.float32))[-1])

    def smooth(x: Array, m: Functions) -> Array:
        return np.sum(m.exp(0.3 * x) * a)

    def jac(x: Array, m: Functions) -> Array:
        return 0.3 * m.exp(0.3 * x) * a

    return written(fun, jac, np.zeros(n) if point == "zeros" else rng.normal(size=n), ideal=(smooth, jac))
