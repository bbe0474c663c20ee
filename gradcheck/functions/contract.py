"""What must hold of a function and its gradient at x0 before anything is measured, and after all is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.calls import LAST, PROBES, Calls
from gradcheck.functions.points import Rows
from gradcheck.functions.surroundings import quiet
from gradcheck.functions.trees.inplace import InPlace
from gradcheck.functions.trees.live import LiveNumber
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

# Units of rounding by which two calls may differ: threads may add in another order.
THREADS = 8
# By how much, relative to the value, a value may depend on the other points of its stack: a sum of products is added in
# another order where it is one of many.  A function that mixes its points is off by far more.
ALONE = 1e-6
# How far the point lies from x0 that shows whether a stack is mixed, in units of max(|x0|, 1).
ASIDE = 1e-2
# A value in float64 that differs from that in float32 by more than this share is that of another function.
NEAR = 1e-2
# A shift that float32 cannot show: half a spacing of float32 is at least 2**-25 |x|.
HIDDEN = 2.0**-27
# How far ``fun`` is looked at before it is said that it does not read x, in units of max(|x0|, 1), each in SIGNS directions.
REACHES, SIGNS = (1.0, 10.0, 100.0), 3


class Held(NamedTuple):
    """The point at which all is measured, and what was found there: value (k,) and gradient (k, size).

    theta : that of x0; float64 where x0 is float32 and ``fun`` computes in float64.
    """

    theta: Array
    value: Array
    gradient: Array


def hold_to_contract(calls: Calls, theta: Array, seed: int, vjp: bool, widen: bool = False, name: str = "x0") -> Held:
    """Value and gradient at theta, each computed twice.  With ``vjp`` an upstream gradient is drawn by ``seed``.

    name : of the point, in messages.
    widen : try ``fun`` in float64 where theta is float32; the gradient stays that of float32.
    Raises ContractError where the functions do not keep their contract at theta.
    """
    calls.given = theta.dtype
    first = calls.outputs(theta)
    calls.args.require_unchanged("fun")
    second = calls.outputs(theta)
    _require_repeated("fun", first, second)
    if not np.isfinite(first).all():
        raise ContractError(f"fun is {first[~np.isfinite(first)][0]} at {name}: it must be finite there")
    rng = np.random.default_rng(seed)
    if vjp:
        # no entry near 0, so that the mistake of no output is multiplied by almost 0
        upstream = rng.uniform(0.5, 1.5, first.size) * rng.choice([-1.0, 1.0], first.size)
        calls.upstream = upstream.astype(theta.dtype)
        first = (calls.upstream * first).sum(keepdims=True)
    gradient = calls.gradient(theta)
    calls.args.require_unchanged("jac" if calls.separate else "fun")
    which = "jac" if calls.separate else "the gradient of fun"
    again = None if calls.paired and calls.max_nfev is not None else partial(calls.gradient, theta)
    _require_repeated(which, gradient, calls.gradient(theta), again)
    with quiet():
        if calls.stacked:
            _require_unmixed(calls, theta, first, rng)
        wide = (
            _in_float64(calls, theta, first, rng)
            if widen and not calls.in_place and theta.dtype == np.float32
            else None
        )
    if wide is not None:
        return Held(theta.astype(np.float64), wide, gradient.astype(np.float64))
    return Held(theta, first, gradient)


def end(calls: Calls, held: Held, start: Array, seed: int) -> None:
    """See whether ``fun`` still has its value, and where every value was the same whether it reads x at all.

    The last call is at x0, so that an object which keeps what it saw last is left as it was.
    held : what was found at the first point.   start : x0, where the first point is another one.
    Raises ContractError where it does not read x, where its value has changed meanwhile, or an argument.
    """
    calls.ending = True
    if calls.same and (held.gradient != 0).any() and _allows(calls, LAST + PROBES):
        _require_read(calls, held, seed)
    if isinstance(calls.parameters, InPlace):
        _require_numbers_read(calls, calls.parameters, held)
    elsewhere = not np.array_equal(held.theta, start)
    if _allows(calls, LAST + elsewhere):
        _require_repeated("fun", held.value, calls.scalars(held.theta))
    if elsewhere and _allows(calls, LAST):
        calls.perturbed(start.astype(held.theta.dtype))
    calls.args.require_unchanged("fun")


def _allows(calls: Calls, evaluations: int) -> bool:
    return calls.left is None or calls.left >= evaluations


def _require_repeated(which: str, first: Array, second: Array, again: Callable[[], Array] | None = None) -> None:
    """Raise ContractError where two calls differ by more than rounding.   again : makes a third one, to see how."""
    if np.array_equal(first, second, equal_nan=True):
        return
    with np.errstate(all="ignore"):
        gap = np.abs(first.astype(np.float64) - second.astype(np.float64))
        size = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
    finite = np.isfinite(first).all() and np.isfinite(second).all()
    if not finite or gap.max() > THREADS * unit_roundoff(first.dtype) * float(size):
        by = f"{gap[np.isfinite(gap)].max(initial=0.0):.2g}" if np.isfinite(gap).any() else "nan"
        raise ContractError(
            f"{which} is not deterministic: two calls with the same x differ by {by}{_why(first, second, again)}"
        )


def _why(first: Array, second: Array, again: Callable[[], Array] | None) -> str:
    """What is likely behind a value that changes, and what to do."""
    with np.errstate(all="ignore"):
        # a sum of the same number twice is exact, up to the rounding of what is added
        doubled = np.abs(second - 2 * first) <= THREADS * unit_roundoff(first.dtype) * np.abs(second)
    if doubled.all() and (first != 0).any():
        return "; the second is twice the first: set the gradients to 0 before each call, they add up (zero_grad)"
    if again is not None and _adds_up(first, second, again()):
        return "; each adds the same to the one before: set the gradients to 0 before each call (zero_grad)"
    return "; let what it draws begin with the same seed at each call, or switch dropout off"


def _adds_up(first: Array, second: Array, third: Array) -> bool:
    """Whether each of three values is the one before and the same more."""
    with np.errstate(all="ignore"):
        size = np.abs(first) + np.abs(second) + np.abs(third)
        # each of the three is a sum that was rounded, and so are the two differences
        return bool((np.abs(third - 2 * second + first) <= THREADS * unit_roundoff(first.dtype) * size).all())


def _require_unmixed(calls: Calls, theta: Array, value: Array, rng: np.random.Generator) -> None:
    """Raise ContractError where the value at a point depends on the points beside it.   value : at theta alone."""
    other = _inside(calls, theta + (ASIDE * _size(theta) * rng.uniform(-1, 1, theta.size)).astype(theta.dtype))
    together = calls.many(Rows(np.stack([theta, other])))
    for beside, alone in zip(together, (value, calls.perturbed(other)), strict=True):
        if (
            np.isfinite(beside).all()
            and np.isfinite(alone).all()
            and (np.abs(beside - alone) > ALONE * np.abs(alone)).any()
        ):
            raise ContractError(
                f"vectorized=True: fun returns {beside.ravel()[0]:g} at a point beside another and {alone.ravel()[0]:g} at the"
                " point alone: each value must depend on its own point only"
            )


def _in_float64(calls: Calls, theta: Array, value: Array, rng: np.random.Generator) -> Array | None:
    """The value at theta in float64 where ``fun`` really computes in it, else None."""
    wide = theta.astype(np.float64)
    shifted = wide * (1 + HIDDEN * rng.uniform(0.5, 1, wide.size) * rng.choice([-1, 1], wide.size))
    try:
        here, there = calls.in_float64(wide), calls.in_float64(_inside(calls, shifted))
    except Exception:  # it does not take float64
        return None
    if here is None or there is None or not (np.isfinite(here).all() and np.isfinite(there).all()):
        return None
    near = (np.abs(here - value) <= NEAR * np.maximum(np.abs(here), np.abs(value))).all()
    rounded = (here == here.astype(np.float32)) & (there == there.astype(np.float32))
    moved = (shifted == wide).all() or (here != there).any()
    if not (near and moved and not rounded.all()):
        return None
    calls.evaluation.precision = wide.dtype
    return here


def _require_read(calls: Calls, held: Held, seed: int) -> None:
    rng = np.random.default_rng(seed)
    theta, size = held.theta, _size(held.theta)
    signs = rng.choice([-1.0, 1.0], (SIGNS, theta.size))
    points = [_inside(calls, theta + (t * size * v).astype(theta.dtype)) for v in signs for t in REACHES]
    calls.anywhere(np.stack([*points, np.full_like(theta, np.nan)]))
    if not calls.same:
        return
    value = held.value.ravel()[0]
    remedy = (
        "the arrays of x0 are not those that fun computes with (copies, or replaced since?): pass these"
        if calls.in_place
        else "let fun compute with the x that it is given (put x into the model first), or say inplace=True where x0 holds the"
        " very arrays that fun computes with"
    )
    raise ContractError(
        f"fun returned the same value, {value:.6g}, at all {calls.nfev} points: near x0, up to 100 max(|x0|, 1) away, and where"
        f" x is NaN. It does not read x, its weights come from elsewhere: {remedy}"
    )


def _require_numbers_read(calls: Calls, parameters: InPlace, held: Held) -> None:
    """Raise ContractError where a number of x0 is not that with which ``fun`` computes: taken out of an object it is a copy."""
    places = list(parameters.layout.slices.values())
    for leaf, live in zip(parameters.arrays, parameters.live, strict=True):
        where = places[leaf.slots[0]]
        if not isinstance(live, LiveNumber) or not (held.gradient[:, where] != 0).any():
            continue
        theta = held.theta
        points = np.repeat(theta[None], 1 + len(REACHES), axis=0)
        points[1:, where.start] += [t * max(abs(theta[where.start]), 1.0) for t in REACHES[:-1]] + [np.nan]
        if _allows(calls, LAST + len(points)) and calls.constant(_inside(calls, points)):
            raise ContractError(
                f"fun does not compute with {leaf.name} of x0: it is a number, and taken out of an object a number is a copy;"
                " let x0 be what holds it, such as vars(obj), or make it an array, np.array(…), in the object itself"
            )


def _inside(calls: Calls, theta: Array) -> Array:
    if calls.low is None or calls.high is None:
        return theta
    # rounding a limit to float32 may lead outside; then the point is not evaluated
    return np.clip(theta, calls.low, calls.high).astype(theta.dtype)


def _size(theta: Array) -> Array:
    return np.maximum(np.abs(theta.astype(np.float64)), 1.0)
