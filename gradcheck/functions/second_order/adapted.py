"""A gradient as a function of n outputs, and a Hessian as its Jacobian: so the check of a Jacobian checks a Hessian."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.second_order.matrices import HessianError, Shape
from gradcheck.functions.second_order.structure import Structure

Array = np.ndarray


@dataclass
class FlatGradient:
    """``jac`` as a function of a flat x whose value is flat, (n,).

    pair : ``jac`` is a function that returns (value, gradient).
    """

    jac: Callable[..., object]
    structure: Structure
    pair: bool = False

    def __call__(self, theta: Array, *args: object, **kwargs: object) -> Array:
        """The gradient at a flat point, in the dtype in which it came."""
        value = self.jac(self.structure.tree(theta), *args, **kwargs)
        if self.pair:
            assert isinstance(value, (tuple, list))
            value = value[1]
        return self.structure.flat(value, "the gradient")


@dataclass
class FlatHessian:
    """``hess`` as a function of a flat x whose value is a matrix (n, n), the Jacobian of a flat gradient."""

    hess: Callable[..., object]
    structure: Structure
    shape: Shape

    def __call__(self, theta: Array, *args: object, **kwargs: object) -> Array:
        """The Hessian at a flat point."""
        return self.shape.matrix(self.hess(self.structure.tree(theta), *args, **kwargs))


@dataclass
class OfProducts:
    """A Hessian (n, n) made of the products of ``hessp`` with the n unit vectors."""

    hessp: Callable[..., object]
    structure: Structure

    def __call__(self, theta: Array, *args: object, **kwargs: object) -> Array:
        """The Hessian at a flat point, column by column."""
        units = np.eye(theta.size, dtype=theta.dtype)
        return np.stack([self.product(theta, unit, *args, **kwargs) for unit in units], axis=1)

    def product(self, theta: Array, p: Array, *args: object, **kwargs: object) -> Array:
        """H p at a flat point."""
        tree = self.structure.tree
        return self.structure.flat(self.hessp(tree(theta), tree(p.copy()), *args, **kwargs), "the product of hessp")


def in_words_of_the_hessian(error: ContractError, differentiated: str = "jac") -> ContractError:
    """What the check of a Jacobian says of ``fun`` and ``jac`` is said of ``jac``, or what is differentiated, and ``hess``."""
    if isinstance(error, HessianError):
        return error
    words = {"fun": differentiated, "jac": "hess", "gradient": "Hessian", "weights come": "parameters come"}
    pattern = r"\b(" + "|".join(words) + r")\b"
    return HessianError(re.sub(pattern, lambda match: words[match[0]], str(error)))
