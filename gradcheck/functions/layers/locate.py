"""Which arrays of a layer are its parameters, and which gradient is whose: found by one forward and one backward pass."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.layer import INPUT, Layer, in_kind
from gradcheck.functions.layers.leaves import real_array, rebuilt
from gradcheck.functions.layers.places import Found, Place, by_name, find, memory
from gradcheck.functions.layers.prepare import Params
from gradcheck.functions.layers.returned import Wanted, parts, spelled
from gradcheck.functions.layers.slots import InPlace
from gradcheck.functions.layers.ties import beside

Array = np.ndarray

# By how much an attribute is moved to see whether the output depends on it, in units of max(|a|, 1).
MOVED = 1e-3


def let_build(layer: Layer) -> str:
    """Let an object make the parameters that it makes in its first call, and begin all calls after that.

    What is made is there after a first call, has the same numbers whatever the input is, and is the same object after a second
    call; a cache is not.  Returns what is to be said of it; nothing where nothing is made.
    """
    owner = layer.calling.owner
    if owner is None:
        return ""
    layer.state.restore()
    there = {place.name for place in find(owner).every()}
    point = layer.point()
    other = beside(point, list(point), 0)
    layer.forward(other)
    elsewhere = _numbers(owner)
    layer.forward(point)
    first, where = _numbers(owner), {place.name: memory(place) for place in find(owner).every()}
    made = [name for name in first if name not in there and elsewhere.get(name) == first[name]]
    if made:
        x = rebuilt(layer.x, iter([point[leaf.name] for leaf in layer.inputs]), in_kind)
        layer.calling.run(x, layer.arguments())
        second = {place.name: memory(place) for place in find(owner).every()}
        made = [name for name in made if second.get(name) == where[name]]
    layer.state.restore()
    if not made:
        return ""
    layer.forward(point)
    layer.origin, layer.state = layer.state, layer.state.again()
    return f"the layer makes {', '.join(made)} in its first call: every call began after one"


def _numbers(owner: object) -> dict[str, bytes]:
    return {place.name: place.slot.array.tobytes() for place in find(owner).every()}


def locate(layer: Layer, params: Params | None, upstream: Sequence[Array]) -> None:
    """Find the parameters of an object and the places of their gradients.

    An attribute is a parameter if ``backward`` gives it a gradient.  One that the output depends on, that ``forward`` leaves
    as it is, and that has no gradient is one whose gradient was forgotten.

    Raises ContractError for a parameter without gradient.
    """
    owner = layer.calling.owner
    if owner is None:
        return
    layer.state.restore()
    found = find(owner)
    if params is not None:
        layer.places = _asked(layer, owner, found, params)
    before = {memory(p): np.array(p.slot.array) for p in found.every()}
    returned, x = layer.forward(layer.point())
    state = {id(p) for p in found.every() if not p.certain and not _is_left(p, before)}
    layer.zero()
    raw = layer.back(returned, x, upstream)
    chosen = found.without(state).chosen() if params is None else layer.places
    for place in chosen:
        left = np.array_equal(place.slot.array, before[memory(place)], equal_nan=True)
        if params is None and not (left and (place.certain or _is_left(place, before))):
            raise ContractError(
                f"{layer.name}: backward changes its parameter {place.name}: does it take a step of descent? Let it leave that"
                " to another method"
            )
    argument = next(iter(layer.calling.first_names()), INPUT)
    given = parts(raw, Wanted(layer.name, layer.x, argument))
    with_gradient = [p for p in chosen if p.gradient() is not None or spelled(given.params, p.name) is not None]
    # a layer that is held but not called, such as the next one, has nothing to do with the output
    lacking = [
        p
        for p in chosen
        if not any(p is q for q in with_gradient)
        and (_is_own(p, found) or (isinstance(p.slot, InPlace) and _moves(layer, p)))
    ]
    layer.places = [p for p in chosen if any(p is q for q in (*with_gradient, *lacking))]
    for places in (lacking, layer.places):
        if given.others and len(given.others) == len(places):
            layer.extra = tuple(p.name for p in places)
            return
    if lacking:
        raise ContractError(_without_gradient(layer, lacking))


def _is_own(place: Place, found: Found) -> bool:
    """Whether this is a parameter of the object itself, with or without gradient."""
    return place.certain and not found.is_inner(place)


def _is_left(place: Place, before: Mapping[object, Array]) -> bool:
    """Whether an attribute is the same object with the same numbers as before."""
    now = None if place.now is None else place.now()
    same = now is place.slot.array if isinstance(place.slot, InPlace) else real_array(now) is not None
    return same and np.array_equal(np.asarray(now), before[memory(place)], equal_nan=True)


def _moves(layer: Layer, place: Place) -> bool:
    """Whether the output depends on an array."""
    kept, layer.places = layer.places, [place]
    try:
        point = layer.point()
        first = [np.array(a) for a in layer.outputs(layer.forward(point)[0])]
        moved = dict(point)
        step = MOVED * np.maximum(np.abs(point[place.name]), 1)
        moved[place.name] = (point[place.name] + step).astype(point[place.name].dtype)
        second = layer.outputs(layer.forward(moved)[0])
        return any(
            a.shape != b.shape or not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)
        )
    except ContractError:  # it cannot be called so: whatever it holds there is no number to be changed
        return False
    finally:
        layer.state.restore()
        layer.places = kept


def _without_gradient(layer: Layer, lacking: Sequence[Place]) -> str:
    names = ", ".join(p.name for p in lacking)
    first = lacking[0].name
    have, it = ("have", "they are constants") if len(lacking) > 1 else ("has", "it is a constant")
    if all(p.certain for p in lacking):
        return (
            f"{layer.name}: {names} {have} no gradient after backward: it must be in grads under the same name, or an attribute"
            f" d{first.rpartition('.')[2]}, or what backward returns behind the gradient of its input"
        )
    change = "change" if len(lacking) > 1 else "changes"
    return (
        f"{layer.name}: {names} {change} the output and {have} no gradient after backward (no d{first}, no grad_{first}): if"
        f" {it}, say which the parameters are, params=[names], or make the array read-only ({first}.flags.writeable = False)"
    )


# ------------------------------------------------------------------------------------------- what the caller names


def _asked(layer: Layer, owner: object, found: Found, params: Params) -> list[Place]:
    """The places of the parameters that the caller names.  ContractError for what is not the layer's."""
    every = found.every()
    if isinstance(params, (str, bytes)) or not isinstance(params, (Mapping, Sequence)):
        raise ContractError(f"params={params!r}: must be a dict of the layer's arrays by name, or a list of names")
    if not isinstance(params, Mapping):
        places = []
        for i, item in enumerate(params):
            if isinstance(item, str):
                places.append(_called(layer, every, item))
            else:
                places.append(_of_array(layer, owner, every, f"params[{i}]", item, renamed=False))
        return places
    return [
        _of_array(layer, owner, every, str(name), value, renamed=True)
        for name, value in params.items()
        if real_array(value) is not None
    ]


def _called(layer: Layer, every: Sequence[Place], name: str) -> Place:
    for place in every:
        if place.name == name:
            return Place(place.name, place.slot, place.gradients)
    known = ", ".join(p.name for p in every) or "none"
    raise ContractError(f"params: {layer.name} has no array of real numbers {name!r}; it has {known}")


def _of_array(layer: Layer, owner: object, every: Sequence[Place], name: str, value: object, renamed: bool) -> Place:
    array = real_array(value)
    if array is None:
        raise ContractError(f"params: {name} is a {type(value).__name__}: it must be an array of the layer")
    slot = InPlace(array)
    reads = tuple(functools.partial(by_name, owner, name, spelling) for spelling in ("{}", "d{}", "grad_{}"))
    same = next((p for p in every if memory(p) == memory(Place(name, slot, ()))), None)
    if same is not None:
        return Place(name if renamed else same.name, same.slot, (*same.gradients, *reads))
    if not layer.state.owns(array):
        raise ContractError(
            f"params: {name} is no array of {layer.name}, but another one (a copy?): hand the very array that forward uses,"
            f" or only its name, params=[{name!r}]"
        )
    if not array.flags.writeable:
        raise ContractError(f"{name} is a read-only array: the check must be able to change its entries")
    return Place(name, slot, reads)
