"""Somebody else's function and gradient: called with care, held to their contract, and made a problem that can be checked."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.noise import COARSE, POINTS, SPACING, coarse_noise, directions, line, near_noise, reach
from gradcheck.functions.parameters import Parameters
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.rounding import Rounding, unit_roundoff

Array = np.ndarray

# The measured standard deviation comes from a handful of differences, so it may be half the true one.
MEASURED = 2.0
# Perturbed evaluations that are kept for the other outputs of a function with several.
CACHED = 200_000
# Two calls may differ by some units of rounding, where threads add in another order.
THREADS = 8
# Arrays among the arguments up to this size are copied for the functions; of larger ones a checksum is kept.
COPIED = 2**27


@contextmanager
def untouched() -> Iterator[None]:
    """The global random states, NumPy's error settings and the warnings filters are afterwards what they were."""
    state, own = np.random.get_state(), random.getstate()  # noqa: NPY002  (what the caller's function may use)
    try:
        with warnings.catch_warnings(), np.errstate():
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        random.setstate(own)


@contextmanager
def quiet() -> Iterator[None]:
    """No warning: near the edge of a domain a function may well overflow."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class Arguments:
    """The caller's further arguments: copies for the functions to work on, watched for changes."""

    def __init__(self, args: tuple[Any, ...]) -> None:
        self._given = args
        self.values = tuple(_copy(a) for a in args)
        self._sums = [_checksum(a) if a is b else None for a, b in zip(args, self.values, strict=True)]

    def require_unchanged(self, which: str) -> None:
        """Raise ContractError where an array is not what it was."""
        for i, (given, now, known) in enumerate(zip(self._given, self.values, self._sums, strict=True)):
            if isinstance(given, np.ndarray):
                changed = _checksum(now) != known if now is given else not _same(now, given)
                if changed:
                    raise ContractError(f"{which} changes its argument args[{i}] in place: let it work on a copy")


def _copy(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.nbytes > COPIED:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, a lock, an open file: shared with the caller as in any other call
        return value


def _checksum(value: Any) -> int | None:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return None
    if not value.flags.c_contiguous or value.dtype.itemsize % 8:
        return hash(value.tobytes())
    # one pass without a copy; a sum that wraps around sees every single change
    return int(value.reshape(-1).view(np.uint64).sum(dtype=np.uint64))


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


@dataclass
class Function:
    """``fun`` and ``jac`` on the flat theta; ``jac`` None: ``fun`` returns value and gradient.

    upstream : dout of a vector-Jacobian product, flat.   output : shape of ``fun``'s value, once it is known.
    precision : the coarsest floating type of a value.   nfev, njev : calls so far.
    low, high : limits (size,) outside which nothing is evaluated.   raised : what ``fun`` raised at perturbed points.
    """

    fun: Callable[..., Any]
    jac: Callable[..., Any] | None
    args: Arguments
    parameters: Parameters
    upstream: Array | None = None
    output: tuple[int, ...] | None = None
    precision: np.dtype[Any] | None = None
    nfev: int = 0
    njev: int = 0
    low: Array | None = None
    high: Array | None = None
    raised: list[str] = field(default_factory=list)

    def call(self, theta: Array) -> tuple[Any, Any]:
        """Value and gradient (None unless ``fun`` returns both) at theta; ContractError if ``fun`` changes its argument."""
        self.nfev += 1
        x = self.parameters.build(theta)
        out = self.fun(x, *self.args.values)
        self._unchanged("fun", x, theta)
        if self.jac is not None:
            return out, None
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            what = f"{len(out)} things" if isinstance(out, (tuple, list)) else f"one {type(out).__name__}"
            raise ContractError(f"jac=True means that fun returns (value, gradient), but it returns {what}")
        return out[0], out[1]

    def outputs(self, theta: Array) -> Array:
        """The value of ``fun``, flat (k,), in theta's dtype (complex for a complex theta)."""
        array = self._number(self.call(theta)[0], theta)
        if self.output is None:
            self.output = array.shape
        elif array.shape != self.output:
            raise ContractError(f"fun returns the shape {array.shape} at a perturbed x, but {self.output} at x0")
        return array.reshape(-1)

    def scalars(self, theta: Array) -> Array:
        """What is differentiated: the outputs (k,), or the upstream gradient's product with them (1,)."""
        value = self.outputs(theta)
        return value if self.upstream is None else (self.upstream * value).sum(keepdims=True)

    def perturbed(self, theta: Array) -> Array:
        """``scalars`` near x0; NaN where ``fun`` raises, which the edge of a domain may do, and outside the limits."""
        missing = np.full(1 if self.upstream is not None else _count(self.output or ()), np.nan, theta.dtype)
        if self.low is not None and ((theta.real < self.low) | (theta.real > self.high)).any():
            return missing
        try:
            return self.scalars(theta)
        except ContractError:
            raise
        except Exception as error:  # whatever the caller's function raises there
            self.raised.append(f"{type(error).__name__}: {_one_line(error)}")
            return missing

    def gradient(self, theta: Array) -> Array:
        """The caller's gradient, flat, in theta's dtype: (k, size), one row for each of ``scalars``."""
        self.njev += 1
        if self.jac is None:
            value = self.call(theta)[1]
        else:
            x = self.parameters.build(theta)
            if self.upstream is None:
                value = self.jac(x, *self.args.values)
            else:
                dout = self.upstream.reshape(self.output or ()).copy()
                value = self.jac(x, dout, *self.args.values)
                if not np.array_equal(dout.reshape(-1), self.upstream):
                    raise ContractError("jac changes its argument dout in place: let it work on a copy")
            self._unchanged("jac", x, theta)
        outer = self.outer
        rows = _count(outer)
        found = np.empty((rows, theta.size), theta.dtype)
        named = self.parameters.parts(value, "the gradient", outer)
        for (name, shape, entry), where in zip(named, self.parameters.layout.slices.values(), strict=True):
            found[:, where] = self._entry(name, outer + shape, entry, theta).reshape(rows, where.stop - where.start)
        return found

    @property
    def outer(self) -> tuple[int, ...]:
        """Shape of several outputs, which stands in front of the parameters' own in a Jacobian; () for one output."""
        output = self.output or ()
        return () if self.upstream is not None or _count(output) == 1 else output

    def _entry(self, name: str, shape: tuple[int, ...], entry: Any, theta: Array) -> Array:
        what = "the gradient" if self.parameters.kind == "array" else f"the gradient of {name}"
        if entry is None:
            raise ContractError(f"{what} is None: it must be an array of shape {shape}")
        try:
            array = np.asarray(entry.toarray() if hasattr(entry, "toarray") else entry)
        except Exception:  # ragged, or something that is no array at all
            raise ContractError(f"{what} is no array of numbers: it must have the shape {shape}") from None
        if array.dtype.kind not in "iuf":
            raise ContractError(f"{what} has dtype {array.dtype}: it must be real numbers, {theta.dtype}")
        least = theta.dtype if self.precision is None else self.precision
        if array.dtype.kind == "f" and np.finfo(array.dtype).eps > np.finfo(least).eps:
            raise ContractError(f"{what} has dtype {array.dtype}, but x0 and the value of fun have {least}")
        output = self.output or ()
        if output and self.upstream is None and _count(output) == 1 and array.shape == output + shape:
            array = array.reshape(shape)
        if array.shape != shape:
            hint = ""
            if array.ndim >= 2 and array.T.shape == shape:
                hint = ": it is the transpose"
            elif array.size == _count(shape):
                hint = ": the same number of entries in another shape"
            raise ContractError(f"{what} has the shape {array.shape}, but must have {shape}{hint}")
        return array

    def _number(self, value: Any, theta: Array) -> Array:
        if value is None:
            raise ContractError("fun returns None: it must return a number or an array")
        pair = isinstance(value, (tuple, list)) and len(value) == 2 and np.ndim(value[0]) == 0 and self.jac is not None
        try:
            array = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
        except Exception:  # ragged, or something that is no array at all
            hint = "if it is (value, gradient), say jac=True" if pair else "it must return a number or an array"
            raise ContractError(f"fun returns a {type(value).__name__} that is no array: {hint}") from None
        if array.dtype.kind not in ("iufc" if np.iscomplexobj(theta) else "iuf"):
            raise ContractError(f"fun returns {array.dtype}: it must return real numbers")
        if array.size == 0:
            raise ContractError("fun returns an empty array: it must return at least one number")
        if array.dtype.kind == "f" and not np.iscomplexobj(theta):
            coarsest = self.precision or theta.dtype
            self.precision = array.dtype if np.finfo(array.dtype).eps > np.finfo(coarsest).eps else coarsest
        # a complex theta is a complex step: that the value is real is seen in what it lacks
        return array.astype(np.result_type(array.dtype, theta.dtype) if array.dtype.kind == "c" else theta.dtype)

    def _unchanged(self, which: str, x: Any, theta: Array) -> None:
        before = self.parameters.layout.split(theta)
        for name, now in zip(self.parameters.layout.names, self.parameters.leaves(x), strict=True):
            if not np.array_equal(now, before[name]):
                raise ContractError(f"{which} changes its argument {name} in place: let it work on a copy")


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def hold_to_contract(function: Function, theta: Array, seed: int, vjp: bool) -> tuple[Array, Array]:
    """Value (k,) and gradient (k, size) at theta, after each was computed twice; the upstream gradient of a vjp is drawn here.

    Raises ContractError where the functions do not keep their contract at x0 itself.
    """
    first = function.outputs(theta)
    function.args.require_unchanged("fun")
    second = function.outputs(theta)
    _require_repeated("fun", first, second)
    if not np.isfinite(first).all():
        raise ContractError(f"fun is {first[~np.isfinite(first)][0]} at x0: it must be finite there")
    if vjp:
        # no entry near 0, so that no output's mistake can hide
        rng = np.random.default_rng(seed)
        upstream = rng.uniform(0.5, 1.5, first.size) * rng.choice([-1.0, 1.0], first.size)
        function.upstream = upstream.astype(theta.dtype)
        first = (function.upstream * first).sum(keepdims=True)
    gradient = function.gradient(theta)
    function.args.require_unchanged("jac" if function.jac else "fun")
    _require_repeated("jac" if function.jac else "the gradient of fun", gradient, function.gradient(theta))
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


def length_scales(parameters: Parameters, theta: Array) -> Array:
    """A first guess of the scale of the function: |x_i|, at least 1% of its parameter's rms, 1 where all is 0."""
    length = np.empty(theta.size)
    for where in parameters.layout.slices.values():
        part = np.abs(theta[where].astype(np.float64))
        # in units of the largest, so that no square overflows or vanishes
        largest = float(part.max(initial=0.0))
        rms = largest * float(np.sqrt(np.mean((part / largest) ** 2))) if largest > 0 else 0.0
        length[where] = np.maximum(part, 1e-2 * rms) if rms > 0 else 1.0
    return length


def measured_rounding(function: Function, theta: Array, value: Array, gradient: Array, seed: int) -> list[Rounding]:
    """Noise of each output and of its gradient from difference tables along lines through theta."""
    rng = np.random.default_rng(seed)
    u = unit_roundoff(theta.dtype)
    length = length_scales(function.parameters, theta)
    # half a spacing of the value, in the type in which it was returned: what no table can fall below
    returned = function.precision or theta.dtype
    noise = np.spacing(np.abs(value).astype(returned)).astype(np.float64) / 2
    coarse = u * COARSE < 1e-3
    for _ in range(2):
        points, values = _finite_line(function, theta, length, SPACING, rng)
        if values is not None:
            noise = np.fmax(noise, near_noise(values))
    near = points
    if coarse:
        _, values = _finite_line(function, theta, length, COARSE, rng)
        if values is not None:
            noise = np.fmax(noise, coarse_noise(values))
    rows = np.abs(np.where(np.isfinite(gradient), gradient, 0.0)).astype(np.float64)
    # a gradient whose entries are all exact still passes through a few roundings
    own = 2 * max(u, unit_roundoff(returned)) * rows
    values = np.stack([_gradient_or_nan(function, p, gradient) for p in near])
    with np.errstate(all="ignore"):
        own = np.fmax(own, near_noise(values))
    zero = np.zeros(theta.size)
    noise = [MEASURED * float(s) for s in noise]
    return [Rounding(s, np.full(theta.size, s), MEASURED * own[k], zero, length, u) for k, s in enumerate(noise)]


def _finite_line(
    function: Function, theta: Array, length: Array, spacing: float, rng: np.random.Generator
) -> tuple[list[Array], Array | None]:
    """A line of points, and the values (p, k) there, on which the function is finite; None where none was found."""
    low = np.full(theta.size, -np.inf) if function.low is None else function.low
    high = np.full(theta.size, np.inf) if function.high is None else function.high
    step = reach(theta, length, spacing)
    points = [theta] * POINTS
    for direction in directions(theta, low, high, 8 * step, rng):
        if not direction.any():
            continue
        points = line(theta, direction, length, spacing)
        values: list[Array] = []
        for p in points:
            values.append(function.perturbed(p))
            if not np.isfinite(values[-1]).all():
                break
        else:
            return points, np.stack(values)
    return points, None


def _gradient_or_nan(function: Function, theta: Array, like: Array) -> Array:
    """The gradient at theta, NaN where it raises: beyond the edge of its domain nothing is measured."""
    try:
        return function.gradient(theta)
    except ContractError:
        raise
    except Exception:
        return np.full(like.shape, np.nan, theta.dtype)


def problems(function: Function, theta: Array, value: Array, gradient: Array, seed: int) -> list[Problem]:
    """One problem for each output of the function; the outputs share their evaluations."""
    measured = measured_rounding(function, theta, value, gradient, seed)
    if len(value) == 1:
        loss = lambda point: function.perturbed(point)[0]  # noqa: E731
        return [_problem(function, theta, loss, gradient[0], measured[0])]
    cache: dict[bytes, Array] = {}

    def output(k: int) -> Callable[[Array], Array]:
        def loss(point: Array) -> Array:
            key = point.tobytes()
            if key not in cache:
                if len(cache) >= CACHED:
                    cache.clear()
                cache[key] = function.perturbed(point)
            return cache[key][k]

        return loss

    # one choice of steps for all outputs, so that they share the points
    sizes = np.abs(value).astype(np.float64)
    relative = [DEVIATIONS * r.loss / s for r, s in zip(measured, sizes, strict=True) if s > DEVIATIONS * r.loss]
    common = float(np.median(relative)) if relative else 1.0
    posed = [_problem(function, theta, output(k), gradient[k], measured[k]) for k in range(len(value))]
    return [replace(p, relative_noise=common) for p in posed]


def _problem(
    function: Function, theta: Array, loss: Callable[[Array], Array], gradient: Array, rounding: Rounding
) -> Problem:
    return Problem(
        layout=function.parameters.layout,
        theta=theta,
        loss=loss,
        perturbed=lambda point: (loss(point), 0.0),
        analytic=gradient,
        correct=None,
        rounding=rounding,
        kinked=True,
        opaque=True,
        low=function.low,
        high=function.high,
    )
