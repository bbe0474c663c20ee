"""Where a caller's function may be evaluated: within limits, and at complex points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.calls import Calls
from gradcheck.functions.measured import length_scales
from gradcheck.numerics.auto import auto
from gradcheck.numerics.problem import Evaluations
from gradcheck.numerics.quotients import Probe
from gradcheck.numerics.rounding import Rounding, unit_roundoff
from gradcheck.numerics.schemes import SCHEMES

Array = np.ndarray

# Random directions along which the complex step is compared with real differences.
DIRECTIONS = 2
UNSAFE = "scheme='complex_step': fun is not complex-safe"


@runtime_checkable
class Box(Protocol):
    """Lower and upper limits, as in ``scipy.optimize.Bounds``."""

    @property
    def lb(self) -> ArrayLike:
        """Lower limits."""

    @property
    def ub(self) -> ArrayLike:
        """Upper limits."""


Bounds = Box | Sequence[tuple[float | None, float | None]]


def limits(bounds: Bounds, theta: Array) -> tuple[Array, Array]:
    """Lower and upper limits (size,) from SciPy's ``Bounds`` or pairs (low, high), None for no limit.

    Raises ContractError where they do not fit theta, or theta lies outside.
    """
    try:
        if isinstance(bounds, Box):
            low, high = np.asarray(bounds.lb, np.float64), np.asarray(bounds.ub, np.float64)
        else:
            pairs = [(-np.inf if lo is None else lo, np.inf if hi is None else hi) for lo, hi in bounds]
            if len(pairs) != theta.size:
                raise ValueError("too few pairs, or too many")
            low, high = np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.float64)
        low, high = (np.broadcast_to(limit.reshape(-1), theta.shape) for limit in (low, high))
    except (TypeError, ValueError):
        raise ContractError(
            f"bounds={bounds!r}: must be {theta.size} pairs (low, high), None for no limit, or scipy.optimize.Bounds"
        ) from None
    outside = np.flatnonzero((theta < low) | (theta > high))
    if outside.size:
        i = int(outside[0])
        raise ContractError(f"x0 lies outside bounds: entry {i} is {theta[i]:g}, not in [{low[i]:g}, {high[i]:g}]")
    return low, high


def require_complex_safe(calls: Calls, theta: Array, seed: int) -> None:
    """Raise ContractError where ``fun`` refuses complex arguments, drops their imaginary part, or uses it wrongly.

    Along random directions v the complex step Im f(x + i h v) / h is compared with real differences of t -> f(x + t v),
    within their bounds.  A function with abs, conj or norm fails it.
    """
    rng = np.random.default_rng(seed)
    u = unit_roundoff(theta.dtype)
    length = length_scales(calls.parameters, theta)
    value = calls.scalars(theta)
    for _ in range(DIRECTIONS):
        direction = (length * rng.uniform(0.5, 1.0, theta.size) * rng.choice([-1.0, 1.0], theta.size)).astype(
            theta.dtype
        )
        mixture = rng.uniform(0.5, 1.0, value.size) * rng.choice([-1.0, 1.0], value.size)
        h = u**0.75
        try:
            shifted = calls.scalars(theta + 1j * h * direction)
        except ContractError:
            raise
        except Exception as error:
            raise ContractError(f"{UNSAFE}, it raises {type(error).__name__}: {one_line(error)}") from None
        if not np.iscomplexobj(shifted):
            shifted = shifted.astype(np.result_type(shifted, np.complex64))
        slope = float((mixture * shifted.imag).sum() / h)
        known, bound = _slope(calls, theta, direction, mixture, slope)
        if not abs(slope - known) <= bound and np.isfinite(known):
            lost = "it drops the imaginary part" if slope == 0 else "its imaginary part is not the derivative"
            raise ContractError(f"{UNSAFE}, {lost} (abs, conj, norm, .real or a cast to float?)")


def _slope(calls: Calls, theta: Array, direction: Array, mixture: Array, slope: float) -> tuple[float, float]:
    """Derivative of t -> mixture . f(theta + t direction) at 0 from real differences, and its bound."""

    def value(t: Array) -> Array:
        return (mixture * calls.perturbed(theta + t * direction)).sum()

    def evaluate(index: Array, points: Array) -> Evaluations:
        return Evaluations(np.array([[value(t) for t in row] for row in points], theta.dtype), np.zeros(points.shape))

    u = unit_roundoff(theta.dtype)
    terms = np.abs(mixture * calls.scalars(theta)).astype(np.float64).sum()
    # rounding the point x + t v moves the value by up to the gradient times u x, which may exceed the rounding of the terms
    moved = abs(slope) * float(np.max(np.abs(theta) / np.abs(direction), initial=1.0))
    noise = 64 * u * (terms + moved)
    rounding = Rounding(float(noise), np.full(1, noise), np.zeros(1), np.zeros(1), np.ones(1), u)
    zero = np.zeros(1, theta.dtype)
    center = value(zero[0])
    probe = Probe(zero, center, evaluate, _never, rounding, opaque=True)
    found = auto(probe, SCHEMES["central"], np.zeros(1, np.intp))
    bound = found.bound + 64 * u * abs(slope)
    return float(found.value[0]), float(np.where(np.isnan(bound), np.inf, bound)[0])


def _never(index: Array, h: Array) -> Array:
    raise NotImplementedError
