"""What must hold of a function and its gradient at x0 before anything is measured."""

from __future__ import annotations

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.calls import Calls
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

# Units of rounding by which two calls may differ: threads may add in another order.
THREADS = 8


def hold_to_contract(calls: Calls, theta: Array, seed: int, vjp: bool) -> tuple[Array, Array]:
    """Value (k,) and gradient (k, size) at theta, each computed twice.  With ``vjp`` an upstream gradient is drawn by ``seed``.

    Raises ContractError where the functions do not keep their contract at theta.
    """
    first = calls.outputs(theta)
    calls.args.require_unchanged("fun")
    second = calls.outputs(theta)
    _require_repeated("fun", first, second)
    if not np.isfinite(first).all():
        raise ContractError(f"fun is {first[~np.isfinite(first)][0]} at x0: it must be finite there")
    if vjp:
        # no entry near 0, so that the mistake of no output is multiplied by almost 0
        rng = np.random.default_rng(seed)
        upstream = rng.uniform(0.5, 1.5, first.size) * rng.choice([-1.0, 1.0], first.size)
        calls.upstream = upstream.astype(theta.dtype)
        first = (calls.upstream * first).sum(keepdims=True)
    gradient = calls.gradient(theta)
    calls.args.require_unchanged("jac" if calls.jac else "fun")
    _require_repeated("jac" if calls.jac else "the gradient of fun", gradient, calls.gradient(theta))
    return first, gradient


def _require_repeated(which: str, first: Array, second: Array) -> None:
    if np.array_equal(first, second, equal_nan=True):
        return
    with np.errstate(all="ignore"):
        gap = np.abs(first.astype(np.float64) - second.astype(np.float64))
        size = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
    finite = np.isfinite(first).all() and np.isfinite(second).all()
    if not finite or gap.max() > THREADS * unit_roundoff(first.dtype) * float(size):
        by = f"{gap[np.isfinite(gap)].max(initial=0.0):.2g}" if np.isfinite(gap).any() else "nan"
        raise ContractError(f"{which} is not deterministic: two calls with the same x differ by {by}")
