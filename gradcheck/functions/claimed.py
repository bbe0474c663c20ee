"""The gradient that a caller claims, as an array: held to its shape and its dtype."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.evaluation import count
from gradcheck.functions.parameters import Leaf, Parameters
from gradcheck.functions.trees.paths import Key

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
    outer, parameters = wanted.outer, wanted.parameters
    k = count(outer)
    found = np.empty((k, parameters.layout.size), wanted.dtype)
    places = list(parameters.layout.slices.values())
    for leaf, claims in parameters.entries(value, "the gradient", outer):
        total = _entry(leaf, claims[0], wanted)
        for claim in claims[1:]:
            # an array that stands in several places is one parameter: its gradients add up
            total = total + _entry(leaf, claim, wanted)
        for slot, part in zip(leaf.slots, _parts(total, leaf, parameters), strict=True):
            where = places[slot]
            found[:, where] = part.reshape(k, where.stop - where.start)
    return found


def _parts(gradient: Array, leaf: Leaf, parameters: Parameters) -> tuple[Array, ...]:
    """df/dx, and df/dy where the parameter is x + iy."""
    if not leaf.is_complex:
        return (gradient,)
    return gradient.real, gradient.imag if parameters.convention == "conjugate" else -gradient.imag


def _entry(leaf: Leaf, entry: object, wanted: Wanted) -> Array:
    what = "the gradient" if wanted.parameters.single else f"the gradient of {leaf.name}"
    shape = wanted.outer + leaf.shape
    if entry is None:
        unless = "" if wanted.parameters.single else f"; if {leaf.name} is no parameter, leave it out of x0"
        raise ContractError(f"{what} is None: it must be an array of shape {shape}{unless}")
    array = _array(leaf, entry, what, shape)
    if array.dtype.kind not in ("iufc" if leaf.is_complex else "iuf"):
        part = "; return its real part" if array.dtype.kind == "c" else ""
        raise ContractError(f"{what} has dtype {array.dtype}: it must be real numbers, {wanted.dtype}{part}")
    if array.dtype.kind in "fc" and np.finfo(array.dtype).eps > np.finfo(wanted.least).eps:
        raise ContractError(
            f"{what} has dtype {array.dtype}, but x0 and the value of fun have {wanted.least}: compute it in {wanted.least}"
        )
    output = wanted.output
    if output and not wanted.product and count(output) == 1 and array.shape == output + shape:
        array = array.reshape(shape)
    if array.shape != shape:
        hint = _why(array.shape, leaf, wanted)
        raise ContractError(f"{what} has the shape {array.shape}, but must have {shape}{hint}")
    return array


def _why(shape: tuple[int, ...], leaf: Leaf, wanted: Wanted) -> str:
    """What a gradient of this shape may be instead of that of a leaf, and what to do."""
    due = wanted.outer + leaf.shape
    if len(shape) >= 2 and shape[::-1] == due:
        return ": it is the transpose"
    if count(shape) == count(due):
        return ": the same number of entries in another shape; return it as an array, reshaped"
    if wanted.outer and shape == leaf.shape:
        return (
            f": fun has outputs of shape {wanted.outer}, so jac must return their Jacobian (np.diag(derivative) of a function"
            " entry by entry), or with vjp=True its product with an upstream gradient"
        )
    if not leaf.paths[0] or isinstance(leaf.paths[0][0], Key):
        return ""
    others = [each.name for each in wanted.parameters.arrays if wanted.outer + each.shape == shape]
    return f": it is that of {others[0]}; do the gradients stand in the order of x0?" if len(others) == 1 else ""


def _array(leaf: Leaf, entry: object, what: str, shape: tuple[int, ...]) -> Array:
    try:
        found = leaf.kind.numbers(entry)
    except ValueError as error:  # labels that are not those of x0
        raise ContractError(f"{what} {error}") from None
    try:
        return np.asarray(found)
    except Exception:  # ragged, or something that is no array at all
        raise ContractError(f"{what} is no array of numbers: it must have the shape {shape}") from None
