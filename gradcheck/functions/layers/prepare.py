"""What a layer is found to be before it is checked: how it is called, what it keeps, where its parameters are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.contract import THREADS
from gradcheck.functions.layers.autograd import Followed
from gradcheck.functions.layers.calling import Calling
from gradcheck.functions.layers.held import method
from gradcheck.functions.layers.layer import INPUT, Layer
from gradcheck.functions.layers.leaves import branches, is_nested, leaves, real_array, require_usable
from gradcheck.functions.layers.places import Place
from gradcheck.functions.layers.slots import Handed
from gradcheck.functions.layers.state import State
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray
# What a caller names as parameters: arrays by name, names of attributes, or the arrays behind the input in order.
Params = Mapping[str, object] | Sequence[object]

WAYS_OUT = (
    "give it a seed (a generator that it holds as an attribute), let it use the mask that it drew first,"
    " or check it in evaluation mode"
)


def calling_of(layer: object, args: tuple[object, ...], kwargs: Mapping[str, object] | None) -> Calling:
    """How an object with forward and backward, or a pair of functions, is called.  ContractError for anything else."""
    if isinstance(layer, (tuple, list)):
        if len(layer) != 2 or not all(callable(f) for f in layer):
            raise ContractError(f"layer={_short(layer)}: a pair must be two functions, (forward, backward)")
        forward, backward = layer
        mine = getattr(forward, "__self__", None)
        owner = mine if mine is not None and mine is getattr(backward, "__self__", None) else None
        return Calling(_name(forward), forward, backward, owner, args, kwargs)
    if isinstance(layer, type) and (method(layer, "forward") is None or _takes_self(layer)):
        raise ContractError(f"layer={layer.__name__}: this is a class: hand an object of it, {layer.__name__}(…)")
    forward = method(layer, "forward", "__call__")
    backward = method(layer, "backward")
    if callable(forward) and callable(backward):
        if isinstance(layer, type):
            return Calling(layer.__name__, forward, backward, None, args, kwargs)
        return Calling(label(layer), forward, backward, layer, args, kwargs)
    lacks = "backward" if callable(forward) else "forward"
    what = _short(layer)
    raise ContractError(
        f"layer={what} has no {lacks}: it must have forward and backward, or be a pair (forward, backward)"
    )


def prepare(
    layer: object,
    x: object,
    params: Params | None,
    args: tuple[object, ...],
    kwargs: Mapping[str, object] | None,
) -> Layer:
    """A layer that can be called at x again and again, in the same way each time; its parameters are not known yet.

    Raises ContractError where it cannot be called, or does not give the same output each time.
    """
    calling = calling_of(layer, args, kwargs)
    state = State(layer.module if isinstance(layer, Followed) else layer, args, dict(kwargs or {}))
    if isinstance(layer, (tuple, list)) and isinstance(params, Mapping):
        arrays = [value for value in params.values() if isinstance(value, np.ndarray)]
        if not any(state.owns(array) for array in arrays):
            calling = replace(calling, owner=None)
    if is_nested(x):
        if not list(branches(x, "")):
            raise ContractError(f"x={_short(x)}: must have at least one array")
    elif not isinstance(x, np.ndarray) and real_array(x) is None:
        x = _array(x)
    for leaf in leaves(x, INPUT):
        require_usable(leaf)
    made = Layer(calling, x, state)
    if calling.owner is None:
        made.params = _named(calling, params)
        made.places = [
            Place(name, Handed(np.array(array)), ())
            for name, value in made.params.items()
            if (array := real_array(value)) is not None
        ]
    return made


def require_repeated(layer: Layer) -> None:
    """Raise ContractError where two calls forward from the same state differ, or give what is not finite."""
    point = layer.point()
    returned, _ = layer.forward(point)
    first = [np.array(a) for a in layer.outputs(returned)]
    returned, _ = layer.forward(point)
    second = layer.outputs(returned)
    require_same_shapes(layer.name, first, second)
    for a, b in zip(first, second, strict=True):
        if not np.isfinite(a).all():
            raise ContractError(f"{layer.name}: forward returns {a[~np.isfinite(a)][0]}: it must be finite at x")
        with np.errstate(all="ignore"):
            apart = np.abs(a - b).max(initial=0.0)
        if apart > THREADS * unit_roundoff(a.dtype) * np.abs(a).max(initial=0.0):
            raise ContractError(
                f"{layer.name}: forward is not deterministic: two calls with the same input, state and random state differ by"
                f" {apart:.2g}; if it draws (dropout), {WAYS_OUT}"
            )


def require_same_shapes(name: str, first: Sequence[Array], second: Sequence[Array]) -> None:
    """Raise ContractError where an output changes its shape."""
    if [a.shape for a in first] != [a.shape for a in second]:
        raise ContractError(f"{name}: forward changes the shape of its output between two calls with the same input")


def _named(calling: Calling, params: Params | None) -> dict[str, object]:
    """The parameters of a pair of functions by name; those of a sequence are called as forward calls them."""
    if params is None:
        return {}
    if isinstance(params, Mapping):
        return {str(key): value for key, value in params.items()}
    if isinstance(params, (str, bytes)) or not isinstance(params, Sequence):
        raise ContractError(f"params={_short(params)}: must be a dict of arrays by name")
    names = calling.first_names()[1:]
    return {names[i] if i < len(names) else f"params[{i}]": value for i, value in enumerate(params)}


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def label(layer: object) -> str:
    """What a layer is called: the class of an object, or the name of a pair's forward function."""
    if isinstance(layer, (tuple, list)):
        return _name(layer[0]) if layer else "()"
    return type(layer.module if isinstance(layer, Followed) else layer).__name__


def _name(forward: Callable[..., object]) -> str:
    name = getattr(forward, "__name__", type(forward).__name__)
    return name.removesuffix("_forward").removesuffix("_fwd") if name != "<lambda>" else "functions"


def _takes_self(layer: type) -> bool:
    return not isinstance(layer.__dict__.get("forward"), (staticmethod, classmethod))


def _array(x: object) -> Array:
    try:
        found = np.asarray(x)
    except ValueError:
        raise ContractError("x is ragged: its rows have different lengths") from None
    if found.dtype.kind not in "iubf":
        raise ContractError(f"x={_short(x)}: must be an array of numbers, or a structure of arrays")
    return found
