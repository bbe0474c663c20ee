"""What surrounds a function: noise of its value, weights on other scales, an offset.  The ideal function stays the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gradcheck.calibration.zoo.instance import Array, Instance
from gradcheck.calibration.zoo.precise import log_uniform

Rng: TypeAlias = np.random.Generator
Value: TypeAlias = Callable[[Array], float]

# The longest wave that counts as noise, in spacings of x: a longer one is a smooth part of the function.
LONGEST_WAVE = 1e3
# Two to these powers multiply weights of other scales: about 1e-8 to 1e8.  Powers of two, so that nothing is rounded.
SCALE_POWER = 26


def _size(of: Instance) -> float:
    """How large the value is; where it is 0, a change of it by as much as the weights are large."""
    with np.errstate(all="ignore"):
        return abs(of.fun(of.x)) or float(np.max(np.abs(of.x * of.correct), initial=0.0)) or 1.0


def _stairs(of: Instance, rng: Rng) -> Value:
    """The value is rounded to a multiple of a quantum, as printed numbers are."""
    quantum = _size(of) * float(log_uniform(rng, 1e-13, 1e-5))
    return lambda x: quantum * _rounded(of.fun(x) / quantum)


def _rounded(value: float) -> float:
    return round(value) if math.isfinite(value) else value


def _white(of: Instance, rng: Rng) -> Value:
    """Each point has its own noise, a hash of the bits of x: the same when it is evaluated again."""
    amplitude = _size(of) * float(log_uniform(rng, 1e-15, 1e-6))

    def fun(x: Array) -> float:
        bits = hashlib.blake2b(np.ascontiguousarray(x).tobytes(), digest_size=8).digest()
        return of.fun(x) + amplitude * (int.from_bytes(bits, "little") / 2**63 - 1)

    return fun


def _wave(of: Instance, rng: Rng) -> Value:
    """The value swings as a sine of the weights whose wavelength is 3 to 1000 spacings of each.

    Beside 0 the numbers lie so close that any wave is a smooth part of the function, so weights of 0 have none.
    """
    amplitude = _size(of) * float(log_uniform(rng, 1e-15, 1e-7))
    spacing = np.finfo(of.x.dtype).eps * np.where(of.x == 0, 1.0, np.abs(of.x)) / 2
    waves = 2 * np.pi / (spacing.astype(float) * log_uniform(rng, 3, LONGEST_WAVE, of.x.size))
    waves = np.where(of.x == 0, 0.0, waves)
    phase = float(rng.uniform(0, 2 * np.pi))
    return lambda x: of.fun(x) + amplitude * math.sin(math.fmod(float(waves @ (x - of.x)), 2 * np.pi) + phase)


def _growing(of: Instance, rng: Rng) -> Value:
    """The noise grows with the distance from x, since the distance is a difference of two large multiples of itself."""
    large = float(log_uniform(rng, 1e2, 1e7))

    def fun(x: Array) -> float:
        d = x - of.x
        return of.fun(of.x + ((large + 1) * d - large * d).astype(of.x.dtype))

    return fun


NOISES: dict[str, Callable[[Instance, Rng], Value] | None] = {
    "none": None,
    "stairs": _stairs,
    "white": _white,
    "wave": _wave,
    "growing": _growing,
}
SCALES = ("one", "spread")


def with_noise(of: Instance, kind: str, rng: Rng) -> Instance:
    """The same function with noise of this kind.

    A function that computes in float32 has the noise of float32 numbers, also between them.
    """
    make = NOISES[kind]
    if make is None:
        return of
    noisy = make(of, rng)
    single = of.x.dtype == np.float32
    return replace(of, fun=(lambda x: noisy(x.astype(np.float32))) if single else noisy)


def with_scales(of: Instance, rng: Rng) -> Instance:
    """The same function of weights that are multiplied by powers of two, about 1e-8 to 1e8."""
    s = np.exp2(rng.integers(-SCALE_POWER, SCALE_POWER + 1, of.x.size)).astype(of.x.dtype)
    exact = of.exact
    return replace(
        of,
        x=of.x * s,
        fun=lambda z: of.fun(z / s),
        jac=lambda z: of.jac(z / s) / s,
        correct=of.correct / s,
        exact=None if exact is None else lambda z: exact([v / float(f) for v, f in zip(z, s, strict=True)]),
    )


def with_offset(of: Instance, rng: Rng) -> Instance:
    """The same function plus a constant up to 1e8 times as large, which costs it digits."""
    offset = _size(of) * float(log_uniform(rng, 1, 1e8))
    exact = of.exact
    return replace(
        of,
        fun=lambda x: of.fun(x) + offset,
        exact=None if exact is None else lambda x: exact(x) + offset,
    )
