"""Which library an object belongs to, and its numbers; a library is imported only where an object of its own was given."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# The libraries whose objects may be leaves, and the module here that knows each.
ADAPTORS = {
    "torch": "gradcheck.functions.trees.tensors",
    "jax": "gradcheck.functions.trees.jax_arrays",
    "jaxlib": "gradcheck.functions.trees.jax_arrays",
    "pandas": "gradcheck.functions.trees.frames",
    "scipy": "gradcheck.functions.trees.sparse",
}


# The library of each class that was seen.
_KNOWN: dict[type, str] = {}


def _library(kind: type) -> str:
    if kind not in _KNOWN:
        roots = (base.__module__.partition(".")[0] for base in kind.__mro__)
        _KNOWN[kind] = next((root for root in roots if root in ADAPTORS), "")
    return _KNOWN[kind]


def adaptor(value: object) -> ModuleType | None:
    """The module that knows objects of this library; None for NumPy's and Python's own."""
    library = _library(type(value))
    return import_module(ADAPTORS[library]) if library else None


def numbers(value: object) -> object:
    """Somebody's array as ``numpy.asarray`` takes it; what belongs to no library as it is."""
    known = adaptor(value)
    return value if known is None else known.numbers(value)
