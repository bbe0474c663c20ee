"""What a family of the zoo draws: one function as somebody would write it, with its gradient, at one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from mpmath import mpf

Array: TypeAlias = np.ndarray

# Where a family may put x.  ``kink``: on a kink of the function; ``near_kink``: 1e-9 to 1e-5 away from one; ``boundary``: near
# the end of where it is defined.
POINTS = ("random", "optimum", "saturated", "zeros", "kink", "near_kink", "boundary")


@dataclass(frozen=True, eq=False)
class Instance:
    """One function of the zoo with its gradient at one point.

    x : (n,), float64; float32 for families that compute in float32 altogether.
    fun, jac : the function and its right gradient, as somebody would write them with NumPy.
    correct : (n,), float64: the derivative of the ideal function at x, which has no rounding and no noise.  On a kink it is
        any value between the slopes on both sides.
    exact : the ideal function in mpmath, where that is feasible.  It takes the coordinates and returns the value.
    bias : smooth relative difference between fun and the ideal function, as a solver's tolerance leaves one.
    kinks : kinks of the function lie at x or near it.
    float32 : fun computes in float32, whatever the type of x.
    """

    x: Array
    fun: Callable[[Array], float]
    jac: Callable[[Array], Array]
    correct: Array
    exact: Callable[[list[mpf]], mpf] | None = None
    bias: float = 0.0
    kinks: bool = False
    float32: bool = False


Draw: TypeAlias = Callable[[np.random.Generator, str], Instance]


@dataclass(frozen=True)
class Family:
    """Functions of one kind.  ``points``: the kinds of point at which it can be drawn."""

    name: str
    draw: Draw
    points: tuple[str, ...]


FAMILIES: dict[str, Family] = {}


def family(name: str, *, points: tuple[str, ...] = ("random",)) -> Callable[[Draw], Draw]:
    """Register the decorated function, which draws an instance, as the family of this name."""
    unknown = set(points) - set(POINTS)
    if unknown or name in FAMILIES:
        raise ValueError(f"family {name}: {f'no such point: {sorted(unknown)}' if unknown else 'is there already'}")

    def register(draw: Draw) -> Draw:
        FAMILIES[name] = Family(name, draw, points)
        return draw

    return register
