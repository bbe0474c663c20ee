"""JAX: ``jax.test_util.check_grads`` of a ``custom_vjp`` over ``pure_callback``."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.test_util import check_grads

from tests.benchmarks.referee.case import Answer, Case, Tool

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")


def check(case: Case) -> Answer:
    """AssertionError accuses."""
    dtype = case.x.dtype
    value, gradient = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct(case.x.shape, dtype)

    @jax.custom_vjp
    def f(x: jax.Array) -> jax.Array:
        return jax.pure_callback(lambda at: np.asarray(case.fun(np.asarray(at)), dtype), value, x)

    def forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return f(x), x

    def backward(x: jax.Array, upstream: jax.Array) -> tuple[Any]:
        claim = jax.pure_callback(lambda at: np.asarray(case.grad(np.asarray(at)), dtype), gradient, x)
        return (upstream * claim,)

    f.defvjp(forward, backward)
    try:
        check_grads(f, (case.x,), order=1, modes=["rev"])
    except AssertionError as error:
        return Answer(True, str(error), size=True)
    return Answer(False, "nothing")


TOOLS = (
    Tool("jax", "jax", "AssertionError: |v.a - v.n| > tol (1 + |v.n|) along one direction, order 1, reverse", check),
)
