"""Arrays of JAX as leaves."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers as numbers_of
from gradcheck.functions.trees.kinds import Labels, Read

Array = np.ndarray


@dataclass(frozen=True)
class JaxArray:
    """An array of JAX.  It is a copy: what is made of it may outlive the numbers."""

    labels: Labels = ()
    stacks: bool = True

    def make(self, numbers: Array) -> object:
        return jnp.array(numbers)

    def numbers(self, value: object) -> object:
        return numbers_of(value)


def read(value: object, what: str) -> Read | None:
    """An array as a leaf; None for another object of JAX."""
    if not isinstance(value, jax.Array):
        return None
    if isinstance(value, jax.core.Tracer):
        raise ContractError(f"{what} is traced by JAX: check outside of jit and grad")
    if jnp.issubdtype(value.dtype, jax.dtypes.extended):
        raise ContractError(f"{what} is a key for random numbers: let fun take it from args")
    return Read(JaxArray(), np.asarray(value), fixed=True)


def numbers(value: object) -> object:
    """As NumPy takes it."""
    return np.asarray(value) if isinstance(value, jax.Array) else value
