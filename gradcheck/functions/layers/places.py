"""Where the parameters of a layer are, and where their gradients are after ``backward``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.layers.calling import SPELLINGS
from gradcheck.functions.layers.held import attributes, held, method, one
from gradcheck.functions.layers.leaves import real_array
from gradcheck.functions.layers.slots import Slot, in_container

Array = np.ndarray
# What reads a gradient, or the buffer that waits for one; None where there is none now.
Read = Callable[[], object]

PARAMS, GRADS = ("params", "parameters"), ("grads", "gradients")
VALUES = ("data", "value")


@dataclass(frozen=True)
class Place:
    """A parameter: its name, where its numbers lie, and where its gradient may be found after backward.

    gradients : in the order in which they are looked at.
    now : reads the value that an attribute has now; None for what is certain to be a parameter.  An attribute is one only if
    it has a gradient.   tied : further places of the same array, whose gradients are added.
    """

    name: str
    slot: Slot
    gradients: tuple[Read, ...]
    now: Read | None = None
    tied: tuple[Place, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether this is a parameter, whether or not it has a gradient."""
        return self.now is None

    def gradient(self) -> object:
        """The gradient that the object holds now; None for none."""
        found = next((value for read in self.gradients if (value := read()) is not None), None)
        others = {
            id(value): value for place in self.tied if (value := place.gradient()) is not None and value is not found
        }
        if found is None or not others:
            return found
        return sum((np.asarray(value) for value in others.values()), np.asarray(found))


@dataclass(frozen=True)
class Found:
    """The places of an object's parameters: of ``params``, of attributes, of ``parameters()``, and of the layers in it."""

    contained: list[Place]
    attributes: list[Place]
    listed: list[Place]
    inner: list[Found]

    def chosen(self) -> list[Place]:
        """The parameters, after a backward pass: the first that are found of dicts, attributes and ``parameters()``."""
        own = self.contained
        if not own and any(place.gradient() is not None for place in self.attributes):
            own = self.attributes
        found = _once(own or self.listed or self.attributes)
        known = {memory(place) for place in found}
        return found + [p for part in self.inner for p in part.chosen() if memory(p) not in known]

    def without(self, state: set[int]) -> Found:
        """The same without some attributes, which are a state.   state : the ids of their places."""
        kept = [place for place in self.attributes if id(place) not in state]
        return Found(self.contained, kept, self.listed, [part.without(state) for part in self.inner])

    def is_inner(self, place: Place) -> bool:
        """Whether a place is that of a layer inside the object."""
        return any(place.name == other.name for part in self.inner for other in part.every())

    def every(self) -> list[Place]:
        """All places, whether they are parameters or not."""
        return [*self.contained, *self.attributes, *self.listed, *(p for part in self.inner for p in part.every())]


def find(owner: object, prefix: str = "", above: tuple[object, ...] = ()) -> Found:
    """The places of all parameters that an object may have: its own, and those of the layers that it holds.

    above : the objects that hold it, which it may know in its turn.
    """
    above = (*above, owner)
    inner = [(where, part) for where, part in sublayers(owner, prefix) if all(part is not one for one in above)]
    return Found(
        _in_containers(owner, prefix),
        [*_in_attributes(owner, prefix), *_in_other_containers(owner, prefix)],
        _torch_style(owner, prefix),
        [find(part, where, above) for where, part in inner],
    )


def _once(found: list[Place]) -> list[Place]:
    """Each array once: one that stands in several places has the name of the first, and the sum of all gradients."""
    known: dict[object, list[Place]] = {}
    for place in found:
        known.setdefault(memory(place), []).append(place)
    return [first if not tied else replace(first, tied=tuple(tied)) for first, *tied in known.values()]


def sublayers(owner: object, prefix: str) -> Iterator[tuple[str, object]]:
    """The layers that an object holds as attributes, or in lists and dicts of them, with their names."""
    for name, value in held(owner).items():
        yield from _layers_in(value, f"{prefix}{name}")


def _layers_in(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        parts = [(f"{name}.{key}", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{name}[{i}]", part) for i, part in enumerate(value)]
    elif is_layer(value):
        yield f"{name}.", value
        return
    else:
        return
    for where, part in parts:
        if is_layer(part):
            yield f"{where}.", part


def is_layer(value: object) -> bool:
    """Whether this is an object with a backward pass."""
    return (
        not isinstance(value, (type, np.ndarray))
        and attributes(value) is not None
        and method(value, "backward") is not None
    )


def memory(place: Place) -> object:
    """What two places have in common if, and only if, they are of the same array."""
    array = place.slot.array
    if not (array.size and array.ndim):
        return id(place.slot)
    return array.__array_interface__["data"][0], array.shape, array.strides


# ----------------------------------------------------------------------------------------------- params and grads


def container(owner: object, names: Sequence[str]) -> object:
    """The first dict or list of these names that an object holds, as an attribute or a property."""
    for name in names:
        try:
            value = one(owner, name)
            if value is None and isinstance(getattr(type(owner), name, None), property):
                value = getattr(owner, name)
        except Exception as error:  # a property of somebody's may raise anything
            raise ContractError(f"{type(owner).__name__}.{name} raises {type(error).__name__}: {error}") from None
        if isinstance(value, (Mapping, list, tuple)) and len(value):
            return value
    return None


def _in_containers(owner: object, prefix: str) -> list[Place]:
    params = container(owner, PARAMS)
    found: list[Place] = []
    for path, value, put, read in _entries(params, ()):
        words = _dotted(path)
        name = f"{prefix}{words if isinstance(params, Mapping) else f'params{words}'}"
        slot = in_container(name, value, put, read)
        if slot is not None:
            reads = [functools.partial(_in_grads, owner, path, spelling) for spelling in SPELLINGS]
            last = str(path[-1])
            reads += [functools.partial(_attribute, owner, s.format(last)) for s in SPELLINGS[1:]]
            found.append(Place(name, slot, tuple(reads)))
    return found


def _entries(
    held_in: object, path: tuple[object, ...]
) -> Iterator[tuple[tuple[object, ...], object, Callable[[object], None], Read]]:
    """The entries of nested dicts and lists: path, value, and what replaces and reads it."""
    if isinstance(held_in, Mapping):
        items: list[tuple[object, object]] = list(held_in.items())
    elif isinstance(held_in, (list, tuple)):
        items = list(enumerate(held_in))
    else:
        return
    for key, value in items:
        if isinstance(value, (Mapping, list, tuple)):
            yield from _entries(value, (*path, key))
        else:
            put = functools.partial(held_in.__setitem__, key) if hasattr(held_in, "__setitem__") else _fixed
            yield (*path, key), value, put, functools.partial(held_in.__getitem__, key)


def _fixed(_: object) -> None:
    raise ContractError("a parameter is a number in a tuple, which cannot be changed: hold it in an array")


def _dotted(path: tuple[object, ...]) -> str:
    words = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return words.removeprefix(".")


def _in_grads(owner: object, path: tuple[object, ...], spelling: str) -> object:
    """The entry of the object's gradients that has the path of a parameter, its last key spelled so."""
    return entry(container(owner, GRADS), path, spelling)


def by_name(owner: object, name: str, spelling: str) -> object:
    """The gradient that an object keeps for a name, in its gradients or as an attribute; None for none."""
    found = _in_grads(owner, (name,), spelling)
    return found if found is not None or spelling == "{}" else _attribute(owner, spelling.format(name))


def entry(grads: object, path: tuple[object, ...], spelling: str = "{}") -> object:
    """The entry of nested containers at a path, its last key spelled so; None where there is none."""
    keys = [*path[:-1], spelling.format(path[-1]) if isinstance(path[-1], str) else path[-1]]
    for key in keys:
        if isinstance(grads, Mapping):
            grads = grads.get(key)
        elif isinstance(grads, (list, tuple)) and isinstance(key, int) and key < len(grads):
            grads = grads[key]
        else:
            return None
    return grads


# ------------------------------------------------------------------------------------------------------ attributes


def _in_attributes(owner: object, prefix: str) -> list[Place]:
    """Every attribute that may be a parameter: an array or a number that is not called like the gradient of another."""
    own = held(owner)
    gradients = {spelled for name in own for spelled in spelled_gradients(name)}
    found = []
    for name, value in own.items():
        if name in gradients:
            continue
        slot = in_container(
            f"{prefix}{name}",
            value if not isinstance(value, np.ndarray) or value.flags.writeable else None,
            functools.partial(setattr, owner, name),
            functools.partial(getattr, owner, name),
        )
        if slot is not None:
            reads = tuple(functools.partial(_attribute, owner, spelled) for spelled in spelled_gradients(name))
            found.append(Place(f"{prefix}{name}", slot, reads, functools.partial(_attribute, owner, name)))
    return found


def _in_other_containers(owner: object, prefix: str) -> list[Place]:
    """Arrays in dicts and lists of other names, such as ``weights`` beside ``dweights``: each may be a parameter."""
    found = []
    for attribute, value in held(owner).items():
        if attribute in (*PARAMS, *GRADS) or not isinstance(value, (dict, list)):
            continue
        for path, array, put, read in _entries(value, ()):
            if not isinstance(array, np.ndarray) or not array.flags.writeable:
                continue
            words = _dotted(path)
            name = f"{prefix}{attribute}{words if words.startswith('[') else f'.{words}'}"
            slot = in_container(name, array, put, read)
            if slot is not None:
                reads = [functools.partial(_in_grads, owner, path, spelling) for spelling in SPELLINGS]
                reads += [
                    functools.partial(_entry_of, owner, spelled, path) for spelled in spelled_gradients(attribute)
                ]
                found.append(Place(name, slot, tuple(reads), functools.partial(_entry_of, owner, attribute, path)))
    return found


def _entry_of(owner: object, attribute: str, path: tuple[object, ...]) -> object:
    return entry(one(owner, attribute), path)


def spelled_gradients(name: str) -> list[str]:
    """How the gradient of an attribute is called: ``dW``, ``grad_W``; the gradient of ``_W`` may be ``_dW`` too."""
    bare = name.lstrip("_")
    lead = name[: len(name) - len(bare)]
    plain = [spelling.format(name) for spelling in SPELLINGS[1:]]
    return plain + ([lead + spelling.format(bare) for spelling in SPELLINGS[1:]] if lead and bare else [])


def _attribute(owner: object, name: str) -> object:
    found = one(owner, name)
    return None if callable(found) else found


# ----------------------------------------------------------------------------------------- parameters() with .grad


def _torch_style(owner: object, prefix: str) -> list[Place]:
    listed = method(owner, "named_parameters") or method(owner, "parameters")
    if listed is None or not callable(listed):
        return []
    try:
        given = listed()
        if isinstance(given, Mapping):
            named = list(given.items())
        else:
            named = [p if _is_named(p) else (f"parameters[{i}]", p) for i, p in enumerate(given)]
    except Exception as error:  # somebody's method may raise anything
        raise ContractError(f"{type(owner).__name__}.parameters() raises {type(error).__name__}: {error}") from None
    found = []
    for i, (name, parameter) in enumerate(named):
        slot = _slot_of(f"{prefix}{name}", parameter)
        if slot is not None:
            own = functools.partial(getattr, parameter, "grad", None)
            found.append(Place(f"{prefix}{name}", slot, (own, functools.partial(_of_method, owner, name, i))))
    return found


def _of_method(owner: object, name: str, number: int) -> object:
    """The gradient of a parameter in what the object's method ``gradients()`` returns, by name or in the same order."""
    listed = method(owner, *GRADS)
    given = listed() if callable(listed) else None
    if isinstance(given, Mapping):
        return given.get(name)
    return given[number] if isinstance(given, (list, tuple)) and number < len(given) else None


def _is_named(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)


def _slot_of(name: str, parameter: object) -> Slot | None:
    """The slot of a parameter object, which holds its numbers as ``data`` or ``value``, or is an array itself."""
    if isinstance(parameter, np.ndarray) or real_array(parameter) is not None:
        return in_container(name, parameter, _fixed, lambda: parameter)
    own = held(parameter)
    for attribute in VALUES:
        if attribute in own:
            put = functools.partial(setattr, parameter, attribute)
            return in_container(name, own[attribute], put, functools.partial(getattr, parameter, attribute))
    raise ContractError(
        f"{name} is a {type(parameter).__name__} without data or value: its numbers must be in one of them"
    )
