"""The gradients in what ``backward`` returned: an array, a dict by name, or several in the order input, then parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.calling import SPELLINGS
from gradcheck.functions.layers.leaves import branches, is_nested, real_array
from gradcheck.functions.layers.tensors import is_tensor


@dataclass(frozen=True)
class Wanted:
    """What backward was called for.

    name : of the layer.   x : its input.   argument : what forward calls it.   params : the names of the parameters that
    forward takes as arguments, in order.   frozen : those of them that have no gradient.
    """

    name: str
    x: object
    argument: str
    params: tuple[str, ...] = ()
    frozen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Parts:
    """The gradient of the input, in its structure, that of parameters by name, and further values that have no name."""

    input: object
    params: Mapping[str, object]
    others: tuple[object, ...] = ()


def parts(raw: object, wanted: Wanted) -> Parts:
    """The gradients in what backward returned.  ContractError where their number is another one."""
    if isinstance(raw, Mapping):
        return _by_name(raw, wanted)
    items = _several(raw, wanted.x)
    if items is not None and len(items) > 1 and isinstance(items[-1], Mapping) and not isinstance(wanted.x, Mapping):
        # the gradient of the input, and a dict of the others
        named = {str(key): value for key, value in items[-1].items()}
        return Parts(_in_order(items[:-1], replace(wanted, params=())).input, named)
    if items is None:
        if wanted.params and not _differentiable(wanted.x) and len(wanted.params) - len(wanted.frozen) == 1:
            (name,) = (n for n in wanted.params if n not in wanted.frozen)
            return Parts(None, {name: raw})
        return Parts(_filled(wanted.x, [raw]) if is_nested(wanted.x) else raw, {})
    return _in_order(items, wanted)


def _by_name(raw: Mapping[object, object], wanted: Wanted) -> Parts:
    if isinstance(wanted.x, Mapping) and wanted.x and all(key in raw for key in wanted.x):
        return Parts({key: raw[key] for key in wanted.x}, {str(key): value for key, value in raw.items()})
    named = {str(key): value for key, value in raw.items()}
    for name in (wanted.argument, "input"):
        for spelling in SPELLINGS:
            if spelling.format(name) in named:
                return Parts(named[spelling.format(name)], named)
    return Parts(None, named)


def spelled(named: Mapping[str, object], name: str) -> object:
    """The entry for a name in one of its spellings: ``W``, ``dW``, ``grad_W``; None where there is none."""
    return next((named[s.format(name)] for s in SPELLINGS if named.get(s.format(name)) is not None), None)


def _several(raw: object, x: object) -> list[object] | None:
    """The values of a tuple or list of gradients; None where it is one array."""
    if not isinstance(raw, (list, tuple)):
        return None
    if not is_nested(raw) and not any(isinstance(v, np.ndarray) or is_tensor(v) for v in raw):
        array = real_array(x)
        if array is None or array.ndim or len(raw) == 0:
            # a list of numbers, as one array; of a 0-d input its entries are several numbers
            return None
    array = None if is_nested(x) else real_array(x)
    if isinstance(raw, list) and array is not None and array.ndim and len(raw) == len(array):
        try:
            if np.asarray(raw).shape == array.shape:
                return None
        except ValueError:
            pass
    return list(raw)


def _in_order(items: Sequence[object], wanted: Wanted) -> Parts:
    parts_of_x = [part for _, part in branches(wanted.x, "")] if is_nested(wanted.x) else [wanted.x]
    width = len(parts_of_x)
    moving = [i for i, part in enumerate(parts_of_x) if _differentiable(part)]
    checked = tuple(n for n in wanted.params if n not in wanted.frozen)
    nested = is_nested(wanted.x)
    for names in dict.fromkeys((wanted.params, checked)):
        n = len(items) - len(names)
        if n == width:
            return Parts(_like(wanted.x, items[:n]), dict(zip(names, items[n:], strict=True)))
        if nested and n == 1 and (names or width == 1):
            return Parts(items[0], dict(zip(names, items[1:], strict=True)))
        if n == len(moving) and n < width:
            return Parts(_filled(wanted.x, items[:n]), dict(zip(names, items[n:], strict=True)))
    if not wanted.params:
        # an object's further gradients, in the order of its parameters
        return Parts(_like(wanted.x, items[:width]), {}, tuple(items[width:]))
    inputs = "the input" if width == 1 else f"{width} inputs"
    raise ContractError(
        f"{wanted.name}: backward returns {len(items)} gradients: it must return those of {inputs} and of "
        f"{', '.join(wanted.params)}, in this order, or a dict by name"
    )


def _like(x: object, values: Sequence[object]) -> object:
    """Gradients in the structure of the input."""
    if not is_nested(x):
        return values[0] if values else None
    if isinstance(x, Mapping):
        return dict(zip(x, values, strict=False))
    return list(values)


def _filled(x: object, values: Sequence[object]) -> object:
    """Gradients in the structure of the input, where only its parts of real numbers have one."""
    given = iter(values)
    return _like(x, [next(given, None) if _differentiable(part) else None for _, part in branches(x, "")])


def _differentiable(x: object) -> bool:
    return any(_differentiable(part) for _, part in branches(x, "")) if is_nested(x) else real_array(x) is not None


def matched(x: object, gradient: object, name: str) -> dict[str, object]:
    """The gradient of each real leaf of the input, by the leaf's name; None for one that is not there."""
    if not is_nested(x):
        return {name: gradient} if real_array(x) is not None else {}
    found: dict[str, object] = {}
    for i, (where, part) in enumerate(branches(x, name)):
        value: object = None
        if isinstance(gradient, Mapping) and isinstance(x, Mapping):
            value = gradient.get(list(x)[i])
        elif isinstance(gradient, (list, tuple)) and i < len(gradient):
            value = gradient[i]
        found |= matched(part, value, where)
    return found
