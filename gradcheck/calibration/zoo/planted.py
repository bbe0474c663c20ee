"""Mistakes that are planted in a right gradient, from a relative size of 1e-8 to a sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.calibration.zoo.precise import log_uniform

Jac: TypeAlias = Callable[[Array], Array]
Rng: TypeAlias = np.random.Generator
SMALLEST, LARGEST = 1e-8, 1.0


def _relative(rng: Rng) -> float:
    return float(log_uniform(rng, SMALLEST, LARGEST)) * float(rng.choice([-1, 1]))


def _some(rng: Rng, n: int) -> Array:
    """The places of one entry, or of a third of them."""
    return rng.choice(n, 1 if rng.random() < 0.5 else 1 + n // 3, replace=False)


def _scaled(of: Instance, rng: Rng) -> Jac:
    """One entry or several are wrong by a relative error, each by its own."""
    factor = np.ones(of.x.size)
    for i in _some(rng, of.x.size):
        factor[i] += _relative(rng)
    return lambda x: (of.jac(x) * factor).astype(x.dtype)


def _times(factor: float) -> Callable[[Instance, Rng], Jac]:
    """One entry or several are multiplied by this factor."""

    def make(of: Instance, rng: Rng) -> Jac:
        factors = np.ones(of.x.size)
        factors[_some(rng, of.x.size)] = factor
        return lambda x: (of.jac(x) * factors).astype(x.dtype)

    return make


def _everywhere(of: Instance, rng: Rng) -> Jac:
    """The whole gradient has a factor that it should not have."""
    factor = 1 + _relative(rng)
    return lambda x: (of.jac(x) * factor).astype(x.dtype)


def _added(of: Instance, rng: Rng) -> Jac:
    """One entry or several are off by a part of the largest."""
    off = np.zeros(of.x.size)
    off[_some(rng, of.x.size)] = _relative(rng) * float(np.max(np.abs(of.correct), initial=0.0))
    return lambda x: (of.jac(x) + off).astype(x.dtype)


def _at_x_alone(of: Instance, rng: Rng) -> Jac:
    """The gradient is wrong where a coordinate has exactly its value at x, and right at every other point."""
    places, by = _some(rng, of.x.size), float(rng.choice([0.5, 1.0, 2.0, 5.0, 20.0]))

    def jac(x: Array) -> Array:
        found = of.jac(x).copy()
        same = places[x[places] == of.x[places]]
        found[same] += by * np.where(found[same] == 0, 1, found[same])
        return found

    return jac


MISTAKES: dict[str, Callable[[Instance, Rng], Jac]] = {
    "scaled": _scaled,
    "sign": _times(-1.0),
    "zero": _times(0.0),
    "double": _times(2.0),
    "everywhere": _everywhere,
    "added": _added,
    "at_x_alone": _at_x_alone,
}
# Relative errors of any size are the commonest.
_SHARES = (0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)


def planted(of: Instance, rng: Rng) -> tuple[str, Jac]:
    """The kind of a mistake, and the gradient that has it."""
    kind = str(rng.choice(list(MISTAKES), p=_SHARES))
    return kind, MISTAKES[kind](of, rng)
