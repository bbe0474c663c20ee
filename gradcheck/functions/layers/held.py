"""The attributes that an object holds itself, without asking any property or method of it."""

from __future__ import annotations

from gradcheck.errors import ContractError


def attributes(value: object) -> dict[object, object] | None:
    """The object's own ``__dict__``, not a copy; None where it has none."""
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return held if isinstance(held, dict) else None


def slots(value: object) -> dict[str, object]:
    """What the object holds in ``__slots__``, those that are filled."""
    found = {}
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            place = f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if place in ("__dict__", "__weakref__"):
                continue
            try:
                found[place] = object.__getattribute__(value, place)
            except AttributeError:
                pass
    return found


def held(value: object) -> dict[str, object]:
    """All attributes that the object holds itself, by name."""
    own = attributes(value) or {}
    return {name: part for name, part in own.items() if isinstance(name, str)} | slots(value)


def one(value: object, name: str) -> object:
    """The attribute of this name that the object holds itself; None for none."""
    own = attributes(value)
    if own is not None and name in own:
        return own[name]
    return slots(value).get(name) if own is None or hasattr(type(value), "__slots__") else None


def method(value: object, *names: str) -> object:
    """The first method of these names that the object has; None for none.  ContractError where asking for it fails."""
    for name in names:
        try:
            found = getattr(value, name, None)
        except Exception as error:  # a property of somebody's may raise anything
            raise ContractError(f"{type(value).__name__}.{name} raises {type(error).__name__}: {error}") from None
        if callable(found):
            return found
    return None
