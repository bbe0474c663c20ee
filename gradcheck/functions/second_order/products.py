"""Is a product of ``hessp`` that of the Hessian, H p, within rounding?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.functions.second_order.near import ROUNDINGS, at, bound_of, near, roundoff_of, size_of

Array = np.ndarray

# Unit vectors and random vectors by which the Hessian is multiplied.
UNITS, DRAWN = 3, 2


@dataclass(frozen=True, eq=False)
class Products:
    """Products of ``hessp`` beside those of ``hess``, one row a product.

    vectors : (m, n) the vectors p.   claimed : (m, n) those of hessp.   expected : H p.   bound : what rounding explains.
    """

    vectors: Array
    claimed: Array
    expected: Array
    bound: Array
    accept: float

    @property
    def wrong(self) -> Array:
        """Where they differ by more than rounding, (m, n) bool."""
        with np.errstate(all="ignore"):
            larger = np.maximum(np.abs(self.claimed), np.abs(self.expected))
            agree = np.abs(self.claimed - self.expected) <= self.bound + self.accept * larger
        # where the Hessian is not finite, it is wrong already
        return ~agree & np.isfinite(self.expected)


def compared(
    hessian: Callable[[Array], Array],
    product: Callable[[Array, Array], Array],
    theta: Array,
    limits: tuple[Array | None, Array | None],
    accept: float,
    seed: int,
) -> Products:
    """Compare hessp(x, p) with hess(x) p for some unit vectors and some drawn vectors p.

    hessian, product : at a flat theta, (n, n) and (n,).
    """
    rng = np.random.default_rng(seed)
    n = theta.size
    units = np.eye(n)[np.sort(rng.permutation(n)[:UNITS])]
    drawn = rng.uniform(0.5, 1.5, (DRAWN, n)) * rng.choice([-1.0, 1.0], (DRAWN, n))
    vectors = np.concatenate([units, drawn]).astype(theta.dtype)

    def products(point: Array) -> Array:
        return np.stack([product(point, p) for p in vectors])

    def differences(point: Array) -> Array:
        return products(point) - vectors @ hessian(point).T

    own, claimed = hessian(theta), products(theta)
    with np.errstate(all="ignore"):
        expected = vectors @ own.T
        floor = ROUNDINGS * roundoff_of(claimed, theta.dtype) * (np.abs(vectors) @ size_of(own))
        apart = claimed - expected
        beside = [] if (np.abs(apart) <= floor).all() else at(differences, near(theta, *limits))
        return Products(vectors, claimed, expected, bound_of(apart, beside, floor), accept)
