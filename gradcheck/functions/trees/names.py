"""Names that a caller gives: labels of the entries of one array, or names of the entries of a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers
from gradcheck.functions.trees.kinds import Labels
from gradcheck.functions.trees.nodes import is_numbers
from gradcheck.functions.trees.paths import fields_of, is_namedtuple

FOR = "names are labels for the entries of one array of one axis, or names for the entries of a list or tuple"


def names_of(names: object, x0: object) -> list[str] | None:
    """The names of the entries of a list or tuple; None where none are given, or x0 is something else.  ContractError."""
    if names is None or not isinstance(x0, (list, tuple)) or is_namedtuple(x0) or is_numbers(x0, outermost=True):
        return None
    return _words(names, len(x0), "arrays")


def labels_of(names: object, x0: object, arrays: Sequence[np.ndarray], own: bool) -> dict[str, Labels]:
    """The labels of the entries of the array ``x``.  Raises ContractError where x0 is something else.

    own : whether x0 has labels already.
    """
    if isinstance(x0, dict):
        raise ContractError(f"names={_short(names)}: x0 is a dict, whose keys are the names; {FOR}")
    if own or len(arrays) != 1 or arrays[0].ndim != 1 or fields_of(x0):
        raise ContractError(f"names={_short(names)}: x0 is a {type(x0).__name__}{_shape(x0)}; {FOR}")
    return {"x": (tuple(_words(names, arrays[0].size, "entries")),)}


def _words(names: object, count: int, of: str) -> list[str]:
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ContractError(f"names={names!r}: must be a list of {count} names")
    found = [str(name) for name in names]
    if len(found) != count:
        raise ContractError(f"names: {len(found)} names for {count} {of} of x0")
    if len(set(found)) != len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ContractError(f"names: {twice} stands there twice; every name must be another one")
    return found


def _short(names: object) -> str:
    text = repr(names)
    return text if len(text) <= 60 else text[:59] + "…"


def _shape(x0: object) -> str:
    shape = getattr(numbers(x0), "shape", None)
    return "" if shape is None else f" of shape {tuple(shape)}"
