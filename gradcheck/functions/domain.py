"""Where a caller's function may be evaluated: within limits, and at complex points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeGuard, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.calls import Calls
from gradcheck.functions.parameters import Parameters
from gradcheck.numerics.examine import examine
from gradcheck.numerics.layout import Layout
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
# How many names a message lists.
LISTED = 8
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


# SciPy's; one pair for all weights; a pair for each; or pairs by the names of parameters.
Pair = Sequence[float | None]
Bounds = Box | Pair | Sequence[Pair] | Mapping[str, Pair]

SHAPES = (
    "must be {n} pairs (low, high), None for no limit, one pair for all, a dict such as {{'{name}': (0, None)}}, or"
    " scipy.optimize.Bounds"
)


def limits(bounds: Bounds, parameters: Parameters, theta: Array) -> tuple[Array, Array]:
    """Lower and upper limits (size,) from SciPy's ``Bounds``, pairs (low, high), None for no limit, or pairs by names.

    Raises ContractError where they do not fit theta, or theta lies outside.
    """
    layout = parameters.layout
    try:
        if isinstance(bounds, Box):
            low, high = np.asarray(bounds.lb, np.float64), np.asarray(bounds.ub, np.float64)
        elif isinstance(bounds, Mapping):
            low, high = _by_name(bounds, parameters)
        elif _is_pair(bounds):
            low, high = (np.asarray(side, np.float64) for side in _sides(bounds))
        else:
            pairs = [_sides(cast(Pair, pair)) for pair in bounds]
            if len(pairs) != theta.size:
                raise ValueError("too few pairs, or too many")
            low, high = np.array([p[0] for p in pairs], np.float64), np.array([p[1] for p in pairs], np.float64)
        low, high = (np.broadcast_to(limit.reshape(-1), theta.shape) for limit in (low, high))
    except (TypeError, ValueError) as error:
        if isinstance(error, ContractError):
            raise
        name = layout.names[0] if layout.names else "x"
        raise ContractError(f"bounds={bounds!r}: {SHAPES.format(n=theta.size, name=name)}") from None
    crossed = np.flatnonzero(low > high)
    if crossed.size:
        i = int(crossed[0])
        raise ContractError(
            f"bounds: the lower limit of {_entry(layout, i)} is {low[i]:g}, above the upper one, {high[i]:g}"
        )
    outside = np.flatnonzero((theta < low) | (theta > high))
    if outside.size:
        i = int(outside[0])
        named = "" if parameters.single and not layout.labels else f", {_entry(layout, i)},"
        raise ContractError(
            f"x0 lies outside bounds: entry {i}{named} is {theta[i]:g}, not in [{low[i]:g}, {high[i]:g}]"
        )
    return low, high


def _is_pair(bounds: object) -> TypeGuard[Pair]:
    """Whether this is one pair (low, high) of numbers or None."""
    return isinstance(bounds, (tuple, list)) and len(bounds) == 2 and all(b is None or np.ndim(b) == 0 for b in bounds)


def _sides(pair: Pair) -> Pair:
    low, high = pair
    return -np.inf if low is None else low, np.inf if high is None else high


def _by_name(bounds: Mapping[str, Pair], parameters: Parameters) -> tuple[Array, Array]:
    """Limits from pairs by the name of a parameter, of a part of x0 that holds several, or of a labelled entry."""
    layout = parameters.layout
    low, high = np.full(layout.size, -np.inf), np.full(layout.size, np.inf)
    for name, pair in bounds.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ContractError(f"bounds: {name!r} has {pair!r}: must be a pair (low, high), None for no limit")
        where = named_weights(layout, str(name))
        if not where.size:
            frozen = " (frozen: it has no gradient)" if name in parameters.frozen else ""
            raise ContractError(
                f"bounds: x0 has no parameter {name}{frozen}; it has {', '.join(layout.names[:LISTED])}"
            )
        for limit, side in zip((low, high), _sides(pair), strict=True):
            array = np.asarray(side, np.float64)
            if array.size not in (1, where.size):
                raise ContractError(f"bounds: {name!r} has a limit of shape {array.shape} for {where.size} weights")
            limit[where] = array.reshape(-1)
    return low, high


def named_weights(layout: Layout, name: str) -> Array:
    """Flat indices of the weights that a name means: a parameter, those whose path begins so, or a labelled entry."""
    found = [
        np.arange(where.start, where.stop)
        for own, where in layout.slices.items()
        if own == name or own.startswith((f"{name}.", f"{name}["))
    ]
    if not found:
        for own, axes in layout.labels.items():
            start = layout.slices[own].start
            for k, labels in enumerate(itertools.product(*axes)):
                word = ",".join(labels)
                if name == f"{own}[{word}]" or (name == word and len(layout.names) == 1):
                    found.append(np.array([start + k]))
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _entry(layout: Layout, index: int) -> str:
    name, position = layout.locate(index)
    return name + layout.place(name, position)


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
