"""Somebody's function at many points: called as it wants to be called, its argument watched, its values taken with care.

An evaluation costs a few microseconds beside the function itself.  What is seen once is not looked for at every call: the
thorough comparison of an argument is made at the first call, and later where its bytes have changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.parameters import Parameters
from gradcheck.functions.points import Points, one
from gradcheck.functions.trees.emitted import Emitted
from gradcheck.functions.trees.foreign import numbers

Array = np.ndarray

# An argument of up to so many bytes is compared after every call, a larger one after each of the first few and then every 64th.
WATCHED = 2**15
FIRST, EVERY = 2, 64
# Points that a vectorized function gets at once: more bring nothing, and its intermediate results take memory.  Stacks of more
# bytes than NEAR are made of FEW points: larger arrays go back to the system whenever they are freed, and are cleared anew.
STACKED, FEW = 128, 64
NEAR, STACKED_BYTES = 2**18, 2**25


class Batch(NamedTuple):
    """What became of some points.

    values : (count, k), NaN where ``fun`` raised.   calls : how many points ``fun`` was given.   raised : what it raised.
    precision : the coarsest floating type of a value, None for none.
    """

    values: Array
    calls: int
    raised: list[str]
    precision: np.dtype[np.floating] | None


@dataclass
class Evaluation:
    """How ``fun`` is evaluated.  A process that evaluates needs this and the points.

    kwargs : further arguments that ``fun`` gets by name.
    pair : whether ``fun`` returns (value, gradient).   stacked : whether it takes points with a leading axis.
    emitted : how a value that is a structure becomes one array, None where a value must be an array.
    upstream : dout of a vector-Jacobian product, flat.   output : shape of a value, None before the first call.
    precision : the coarsest floating type of a value.
    """

    fun: Callable[..., object]
    args: tuple[object, ...]
    parameters: Parameters
    kwargs: dict[str, object] = field(default_factory=dict)
    pair: bool = False
    stacked: bool = False
    emitted: Emitted | None = None
    upstream: Array | None = None
    output: tuple[int, ...] | None = None
    precision: np.dtype[np.floating] | None = None
    seen: int = 0
    # the type of the last value that was looked at with care, and whether its like may be taken as it is
    _plain: type | None = field(default=None, repr=False)

    # ------------------------------------------------------------------------------------------------- one point

    def call(self, theta: Array) -> tuple[object, object]:
        """Value and gradient at theta, None for the gradient unless ``fun`` returns both.  ContractError."""
        x = self.parameters.views(theta[None].copy() if self.stacked else theta.copy())
        out = self.fun(x, *self.args, **self.kwargs)
        self.require_unchanged("fun", x, theta)
        self.seen += 1
        return self._parted(out)

    def outputs(self, theta: Array) -> Array:
        """The value of ``fun``, flat (k,), in theta's dtype (complex for a complex theta)."""
        return self._outputs(self.call(theta)[0], theta.dtype)

    def scalars(self, theta: Array) -> Array:
        """The numbers that are differentiated: the outputs (k,), or their product with the upstream gradient (1,)."""
        value = self.outputs(theta)
        return value if self.upstream is None else (self.upstream * value).sum(keepdims=True)

    @property
    def width(self) -> int:
        """How many numbers are differentiated."""
        return 1 if self.upstream is not None else count(self.output or ())

    def require_unchanged(self, which: str, x: object, theta: Array) -> None:
        """Raise ContractError where the function ``which`` changed its argument x, made of theta."""
        name = self.parameters.changed(x, theta)
        if name is not None:
            raise ContractError(f"{which} changes its argument {name} in place: let it work on a copy")

    # ---------------------------------------------------------------------------------------------- many points

    def many(self, points: Points) -> Batch:
        """The numbers that are differentiated, at all points; NaN where ``fun`` raises, as it may beyond its domain."""
        values = np.full((points.count, self.width), np.nan, points.dtype)
        raised: list[str] = []
        # somebody's function may change NumPy's error handling
        with np.errstate():
            calls = self._stacks(points, values, raised) if self.stacked else self._singly(points, values, raised)
        return Batch(values, calls, raised, self.precision)

    def _singly(self, points: Points, values: Array, raised: list[str]) -> int:
        fun, args, views, at = self.fun, self.args, self.parameters.views, points.at
        shares = self.parameters.shares
        if self.kwargs:
            fun = partial(fun, **self.kwargs)
        small = points.size * values.itemsize <= WATCHED
        real = values.dtype == np.float64 and self.output == () and self.upstream is None and not self.pair
        column = values[:, 0] if values.shape[1] == 1 else values
        for j in range(len(column)):
            point = at(j)
            watched = small or self.seen < FIRST or self.seen % EVERY == 0
            before = point.tobytes() if watched else b""
            x = views(point)
            try:
                out = fun(x, *args)
            except Exception as error:  # the caller's function may raise anything
                if isinstance(error, ContractError):
                    raise
                raised.append(told(error))
                continue
            self.seen += 1
            if watched and (not shares or point.tobytes() != before):
                self.require_unchanged("fun", x, at(j))
            if real and type(out) is self._plain:
                column[j] = out
            else:
                column[j] = self._scalar_or_row(out, values.dtype)
        return len(column)

    def _scalar_or_row(self, out: object, dtype: np.dtype[np.inexact]) -> Array | np.inexact:
        value = self._outputs(self._parted(out)[0], dtype)
        # the values of these two types are float64 numbers of no shape, whatever they are
        self._plain = type(out) if type(out) in (float, np.float64) else None
        if self.upstream is not None:
            value = (self.upstream * value).sum(keepdims=True)
        return value if len(value) > 1 else value[0]

    def _stacks(self, points: Points, values: Array, raised: list[str]) -> int:
        """Fill in the values at stacks of points; where ``fun`` raises, at one point after the other."""
        calls = 0
        length = _together(points.size * values.itemsize)
        for start in range(0, points.count, length):
            stack = points.some(slice(start, start + length)).stack()
            calls += len(stack)
            try:
                values[start : start + len(stack)] = self._stack(stack)
            except ContractError:
                raise
            except Exception as error:
                if len(stack) == 1:
                    raised.append(told(error))
                    continue
                at = points.at
                for j in range(start, start + len(stack)):
                    calls += self._stacks(one(at(j)), values[j : j + 1], raised)
        return calls

    def _stack(self, stack: Array) -> Array:
        """The numbers that are differentiated, at the rows of a stack that may be given away; (count, width)."""
        watched = self.seen < FIRST or self.seen % EVERY == 0 or stack.nbytes <= WATCHED
        before = stack.tobytes() if watched else b""
        x = self.parameters.views(stack)
        out = self.fun(x, *self.args, **self.kwargs)
        self.seen += 1
        if watched and stack.tobytes() != before:
            self._require_stack_unchanged(stack, np.frombuffer(before, stack.dtype).reshape(stack.shape))
        array = self._array(out, stack.dtype)
        shape = (len(stack), *(self.output or ()))
        if array.shape != shape:
            raise ContractError(
                f"vectorized=True means that fun returns the shape {shape} for {len(stack)} stacked points, but it returns "
                f"{array.shape}"
            )
        flat = array.reshape(len(stack), -1)
        return flat if self.upstream is None else (self.upstream * flat).sum(axis=1, keepdims=True)

    def _require_stack_unchanged(self, stack: Array, before: Array) -> None:
        """Raise ContractError where ``fun`` changed the numbers of a stack; a NaN may have other bits."""
        if not np.array_equal(stack, before, equal_nan=True):
            name = next(n for n, part in self.parameters.layout.split(stack != before).items() if part.any())
            raise ContractError(f"fun changes its argument {name} in place: let it work on a copy")

    # -------------------------------------------------------------------------------------------------- a value

    def _parted(self, out: object) -> tuple[object, object]:
        if not self.pair:
            return out, None
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            what = f"{len(out)} things" if isinstance(out, (tuple, list)) else f"one {type(out).__name__}"
            raise ContractError(f"jac=True means that fun returns (value, gradient), but it returns {what}")
        return out[0], out[1]

    def _outputs(self, value: object, dtype: np.dtype[np.inexact]) -> Array:
        array = self._array(value, dtype)
        if self.stacked:
            if array.ndim < 1 or len(array) != 1:
                raise ContractError(
                    f"vectorized=True means that fun returns the shape (1,) for one stacked point, but it returns {array.shape}"
                )
            array = array[0]
        if self.output is None:
            self.output = array.shape
        elif array.shape != self.output:
            raise ContractError(f"fun returns the shape {array.shape} at a perturbed x, but {self.output} at x0")
        return array.reshape(-1)

    def _array(self, value: object, dtype: np.dtype[np.inexact]) -> Array:
        if type(value) is np.ndarray and value.dtype == dtype == self.precision and value.size:
            return value.copy()
        if value is None:
            raise ContractError("fun returns None: it must return a number or an array")
        if self.emitted is not None and not isinstance(value, (np.ndarray, np.number, float)):
            value = self.emitted.flat(value)
            if self.stacked and not self.emitted.stacks:
                raise ContractError(
                    "vectorized=True with vjp=True: fun must return one array, not a structure of arrays"
                )
        pair = isinstance(value, (tuple, list)) and len(value) == 2 and np.ndim(value[0]) == 0 and not self.pair
        try:
            array = np.asarray(numbers(value))
        except Exception:  # ragged, or something that is no array at all
            hint = "if it is (value, gradient), say jac=True" if pair else "it must return a number or an array"
            raise ContractError(f"fun returns a {type(value).__name__} that is no array: {hint}") from None
        if array.dtype.kind not in ("iufc" if dtype.kind == "c" else "iuf"):
            raise ContractError(f"fun returns {array.dtype}: it must return real numbers")
        if array.size == 0:
            raise ContractError("fun returns an empty array: it must return at least one number")
        if array.dtype.kind == "f" and dtype.kind != "c":
            coarsest = self.precision or cast("np.dtype[np.floating]", dtype)
            self.precision = array.dtype if np.finfo(array.dtype).eps > np.finfo(coarsest).eps else coarsest
        # at a complex step a real value stays real: `require_complex_safe` finds that it has no imaginary part
        return array.astype(np.result_type(array.dtype, dtype) if array.dtype.kind == "c" else dtype)


def _together(size: int) -> int:
    """How many points of so many bytes are stacked."""
    size = max(1, size)
    return max(1, min(STACKED, max(FEW, NEAR // size), STACKED_BYTES // size))


def told(error: BaseException) -> str:
    """An exception of somebody's function in a line."""
    return f"{type(error).__name__}: {one_line(error)[:200]}"


def count(shape: tuple[int, ...]) -> int:
    """Entries of an array of this shape."""
    return math.prod(shape)
