"""The gradient that a layer claims for one array, held to its shape and its dtype."""

from __future__ import annotations

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.tensors import array_of, is_tensor

Array = np.ndarray


def claim(name: str, gradient: object, value: Array, coarsest: np.dtype[np.floating]) -> Array:
    """The gradient of an array as a new array of its dtype.

    coarsest : the floating type of fewest digits that a gradient may have.
    Raises ContractError for another shape, for what is no array of real numbers, and for too few digits.
    """
    what, shape = f"the gradient of {name}", value.shape
    try:
        array = array_of(gradient) if is_tensor(gradient) else np.asarray(gradient)
    except Exception:  # ragged, or something that is no array at all
        raise ContractError(f"{what} is no array of numbers: it must have the shape {shape}") from None
    if array.dtype.kind not in "iuf":
        raise ContractError(f"{what} has dtype {array.dtype}: it must be real numbers, {value.dtype}")
    if array.dtype.kind == "f" and np.finfo(array.dtype).eps > np.finfo(coarsest).eps:
        raise ContractError(f"{what} has dtype {array.dtype}, but the layer's numbers are {coarsest}")
    if shape == () and array.size == 1:
        array = array.reshape(())
    if array.shape != shape:
        hint = ""
        if array.ndim >= 2 and array.T.shape == shape:
            hint = ": it is the transpose"
        elif array.size == value.size:
            hint = ": the same number of entries in another shape"
        raise ContractError(f"{what} has the shape {array.shape}, but must have {shape}{hint}")
    return array.astype(value.dtype)
