"""The gradient that a caller claims, as an array: held to its shape and its dtype."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.evaluation import count
from gradcheck.functions.parameters import Parameters

Array = np.ndarray


class Wanted(NamedTuple):
    """What a gradient must be like.

    output : shape of the function's value.   product : whether the gradient is that of a product with an upstream one.
    dtype : of x0.   least : the coarsest floating type that is allowed.
    """

    parameters: Parameters
    output: tuple[int, ...]
    product: bool
    dtype: np.dtype[np.floating]
    least: np.dtype[np.floating]

    @property
    def outer(self) -> tuple[int, ...]:
        """Shape of several outputs, which stands in front of the parameters' own in a Jacobian; () for one output."""
        return () if self.product or count(self.output) == 1 else self.output


def rows(value: object, wanted: Wanted) -> Array:
    """The gradient ``value``, flat, in the dtype of x0: (k, size), one row for each output.  ContractError."""
    outer, layout = wanted.outer, wanted.parameters.layout
    k = count(outer)
    found = np.empty((k, layout.size), wanted.dtype)
    named = wanted.parameters.parts(value, "the gradient", outer)
    for (name, shape, entry), where in zip(named, layout.slices.values(), strict=True):
        found[:, where] = _entry(name, outer + shape, entry, wanted).reshape(k, where.stop - where.start)
    return found


def _entry(name: str, shape: tuple[int, ...], entry: object, wanted: Wanted) -> Array:
    what = "the gradient" if wanted.parameters.kind == "array" else f"the gradient of {name}"
    if entry is None:
        raise ContractError(f"{what} is None: it must be an array of shape {shape}")
    try:
        array = np.asarray(entry.toarray() if hasattr(entry, "toarray") else entry)
    except Exception:  # ragged, or something that is no array at all
        raise ContractError(f"{what} is no array of numbers: it must have the shape {shape}") from None
    if array.dtype.kind not in "iuf":
        raise ContractError(f"{what} has dtype {array.dtype}: it must be real numbers, {wanted.dtype}")
    if array.dtype.kind == "f" and np.finfo(array.dtype).eps > np.finfo(wanted.least).eps:
        raise ContractError(f"{what} has dtype {array.dtype}, but x0 and the value of fun have {wanted.least}")
    output = wanted.output
    if output and not wanted.product and count(output) == 1 and array.shape == output + shape:
        array = array.reshape(shape)
    if array.shape != shape:
        hint = ""
        if array.ndim >= 2 and array.T.shape == shape:
            hint = ": it is the transpose"
        elif array.size == count(shape):
            hint = ": the same number of entries in another shape"
        raise ContractError(f"{what} has the shape {array.shape}, but must have {shape}{hint}")
    return array
