"""JAX: ``jax.test_util.check_grads`` of a ``custom_vjp`` over ``pure_callback``."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import jax
import numpy as np
from jax._src import public_test_util
from jax.test_util import check_grads

from tests.benchmarks.referee.case import Answer, Case, Tool

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
_COMPARE = public_test_util.check_close


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
    scores = [0.0]

    def compared(a: object, n: object, atol: dict[Any, float], rtol: dict[Any, float], err_msg: str = "") -> None:
        one, other = float(np.asarray(a)), float(np.asarray(n))
        scores.append(abs(one - other) / (atol[dtype] + rtol[dtype] * abs(other)))
        _COMPARE(a, n, atol=atol, rtol=rtol, err_msg=err_msg)

    # its own comparison, whose numbers are kept
    with patch.object(public_test_util, "check_close", compared):
        try:
            check_grads(f, (case.x,), order=1, modes=["rev"])
        except AssertionError as error:
            return Answer(True, str(error), max(scores), size=True)
    return Answer(False, "nothing", max(scores))


TOOLS = (
    Tool("jax", "jax", "AssertionError: |v.a - v.n| > tol (1 + |v.n|) along one direction, order 1, reverse", check),
)
