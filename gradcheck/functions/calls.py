"""Somebody else's function and gradient: called with care, and held to their contract at every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradcheck.errors import ContractError, one_line
from gradcheck.functions.arguments import Arguments
from gradcheck.functions.parameters import Parameters, Tree

Array = np.ndarray


@dataclass
class Calls:
    """Calls of ``fun`` and ``jac`` at a flat theta.

    jac : None where ``fun`` returns value and gradient.
    upstream : dout of a vector-Jacobian product, flat.   output : shape of ``fun``'s value, None before the first call.
    precision : the coarsest floating type of a value.   nfev, njev : calls so far.
    low, high : limits (size,) outside which nothing is evaluated.   raised : what ``fun`` raised at perturbed points.
    """

    fun: Callable[..., object]
    jac: Callable[..., object] | None
    args: Arguments
    parameters: Parameters
    upstream: Array | None = None
    output: tuple[int, ...] | None = None
    precision: np.dtype[np.floating] | None = None
    nfev: int = 0
    njev: int = 0
    low: Array | None = None
    high: Array | None = None
    raised: list[str] = field(default_factory=list)

    def call(self, theta: Array) -> tuple[object, object]:
        """Value and gradient at theta, None for the gradient unless ``fun`` returns both.

        Raises ContractError where ``fun`` changes its argument.
        """
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
        """The numbers that are differentiated: the outputs (k,), or their product with the upstream gradient (1,)."""
        value = self.outputs(theta)
        return value if self.upstream is None else (self.upstream * value).sum(keepdims=True)

    def perturbed(self, theta: Array) -> Array:
        """``scalars`` near x0; NaN outside the limits, and where ``fun`` raises, as it may beyond the edge of its domain."""
        missing = np.full(1 if self.upstream is not None else _count(self.output or ()), np.nan, theta.dtype)
        if self.low is not None and ((theta.real < self.low) | (theta.real > self.high)).any():
            return missing
        try:
            return self.scalars(theta)
        except ContractError:
            raise
        except Exception as error:  # the caller's function may raise anything
            self.raised.append(f"{type(error).__name__}: {one_line(error)[:200]}")
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

    def _entry(self, name: str, shape: tuple[int, ...], entry: object, theta: Array) -> Array:
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

    def _number(self, value: object, theta: Array) -> Array:
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
        # at a complex step a real value stays real: `require_complex_safe` finds that it has no imaginary part
        return array.astype(np.result_type(array.dtype, theta.dtype) if array.dtype.kind == "c" else theta.dtype)

    def _unchanged(self, which: str, x: Tree, theta: Array) -> None:
        before = self.parameters.layout.split(theta)
        for name, now in zip(self.parameters.layout.names, self.parameters.leaves(x), strict=True):
            if now is None or not np.array_equal(now, before[name]):
                raise ContractError(f"{which} changes its argument {name} in place: let it work on a copy")


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
