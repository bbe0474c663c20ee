"""Where a caller's function may be evaluated: within limits, and at complex points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.calls import Calls
from gradcheck.numerics.examine import examine
from gradcheck.numerics.measured.pose import along
from gradcheck.numerics.measured.scales import scales
from gradcheck.numerics.rounding import unit_roundoff
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

Array = np.ndarray

# Random directions along which the complex step is compared with real differences.
DIRECTIONS = 2
# The relative difference of a complex step that is certain to be seen.
MATCH_AT = 1e-2
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
    length = scales(calls.parameters.layout, theta)
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
        return (mixture * calls.perturbed(theta + t[0] * direction)).sum()

    posed = along(value, theta.dtype, slope, 0.0, 1.0)
    estimate, judged, *_ = examine(posed, SCHEMES["central"], AUTO, MATCH_AT, np.zeros(1, np.intp))
    bound = float(judged.bound[0]) + 64 * unit_roundoff(theta.dtype) * abs(slope)
    return float(estimate.value[0]), bound
