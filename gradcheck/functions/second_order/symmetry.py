"""Is a Hessian its own transpose, entry by entry, within rounding?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.functions.second_order.near import ROUNDINGS, at, bound_of, near, roundoff_of, size_of

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Symmetry:
    """How a Hessian differs from its transpose at one point.

    hessian : (n, n) as claimed.   bound : (n, n) the largest difference that rounding explains.
    asymmetric : (n, n) bool, where the difference is larger.
    """

    hessian: Array
    bound: Array
    asymmetric: Array

    @property
    def symmetric(self) -> bool:
        """Whether no entry differs from its transpose by more than rounding."""
        return not self.asymmetric.any()

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs (i, j), i > j, that differ, the clearest first."""
        i, j = np.nonzero(np.tril(self.asymmetric))
        with np.errstate(all="ignore"):
            excess = np.abs(self.hessian - self.hessian.T)[i, j] / self.bound[i, j]
        order = np.argsort(-np.nan_to_num(excess, nan=np.inf), kind="stable")
        return [(int(i[k]), int(j[k])) for k in order]


def symmetry(
    hessian: Callable[[Array], Array], theta: Array, low: Array | None, high: Array | None, accept: float
) -> Symmetry:
    """Compare the Hessian at theta with its transpose.

    It is called once; and where it is not the same to the bit as its transpose, at near points, which show its rounding.
    An entry that is not finite is no asymmetry: it is wrong already.
    accept : the relative difference that is taken beside the bound.
    """
    claimed = hessian(theta)
    with np.errstate(all="ignore"):
        apart = claimed - claimed.T
        floor = ROUNDINGS * roundoff_of(claimed, theta.dtype) * size_of(claimed)
        if not np.isfinite(apart).all() or not apart.any():
            bound = floor
        else:
            bound = bound_of(apart, [h - h.T for h in at(hessian, near(theta, low, high))], floor)
        larger = np.maximum(np.abs(claimed), np.abs(claimed.T))
        return Symmetry(claimed, bound, np.abs(apart) > bound + accept * larger)
