"""The kinds of leaves: how the numbers of each are read, and how a leaf of the same kind is made of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import adaptor, numbers
from gradcheck.functions.trees.live import Live, LiveArray, LiveList

Array = np.ndarray
Labels = tuple[Sequence[str], ...]

# Smaller floating types have too few digits for a difference to mean anything.
DTYPES = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.longdouble))
COMPLEX = tuple(np.dtype(kind) for kind in (np.complex64, np.complex128, np.clongdouble))


class Kind(Protocol):
    """The kind of a leaf."""

    @property
    def labels(self) -> Labels:
        """Names of the entries along the last axes; () where they have none."""

    @property
    def stacks(self) -> bool:
        """Whether a leaf may have one more axis in front."""

    def make(self, numbers: Array) -> object:
        """A leaf around these numbers, which shares their memory where its library allows it."""

    def numbers(self, value: object) -> object:
        """What ``value``, a leaf or a gradient of this or another kind, has for this leaf, as ``numpy.asarray`` takes it.

        Raises ValueError where its labels are others.
        """


class Read(NamedTuple):
    """A leaf as it was read.

    fixed : whether its library does not mix floating types.   alive : makes what changes it; None where it cannot be changed.
    weak : whether a number of Python's, which takes the floating type of the arrays beside it.
    """

    kind: Kind
    numbers: Array
    alive: Callable[[], Live] | None = None
    fixed: bool = False
    weak: bool = False


@dataclass(frozen=True)
class Plain:
    """An array of NumPy."""

    labels: Labels = ()
    stacks: bool = True

    def make(self, numbers: Array) -> object:
        return numbers

    def numbers(self, value: object) -> object:
        return numbers(value)


@dataclass(frozen=True)
class Number(Plain):
    """A number.  The functions get one of NumPy, which cannot be changed in place either."""

    def make(self, numbers: Array) -> object:
        return numbers[()]


def read(value: object, what: str, inner: bool = False) -> Read | None:
    """The leaf ``value``; None for what has no gradient: None, bool, text.

    what : its name in messages.   inner : whether it stands in a structure.
    Raises ContractError for what is no leaf at all.
    """
    if value is None or isinstance(value, (bool, np.bool_, str, bytes)):
        return None
    if isinstance(value, (int, float, complex, np.number)):
        return Read(Number(), np.asarray(value), weak=not isinstance(value, np.number))
    if isinstance(value, np.ndarray):
        return None if value.dtype.kind in "bUS" else Read(Plain(), np.asarray(value), partial(LiveArray, value))
    known = adaptor(value)
    found: Read | None = known.read(value, what) if known is not None else None
    if found is not None:
        return found
    if isinstance(value, list):
        return Read(Plain(), np.asarray(value), partial(LiveList, value))
    if isinstance(value, tuple) or hasattr(value, "__array__") or _is_buffer(value):
        return Read(Plain(), np.asarray(value))
    raise ContractError(f"{what} is {_described(value, inner)}")


def require_numbers(array: Array, what: str) -> Array:
    """The array with integers as float64.  Raises ContractError where it has numbers that cannot be checked."""
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype == object:
        raise ContractError(f"{what} is an array of objects: pass a list of arrays, or an array of floating type")
    if array.dtype not in DTYPES and array.dtype not in COMPLEX:
        raise ContractError(f"{what} has dtype {array.dtype}: must be float32, float64 or longdouble")
    if not np.isfinite(array).all():
        raise ContractError(f"{what} has an entry that is not finite")
    return array


def _may_be_leaf(value: object) -> bool:
    """Whether an attribute looks like a parameter: an array, or a list of such."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_may_be_leaf, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fc"
    return isinstance(value, float) or hasattr(value, "__array__") or adaptor(value) is not None


def _is_buffer(value: object) -> bool:
    try:
        memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _described(value: object, inner: bool) -> str:
    """What is no leaf, and what to do."""
    name = type(value).__name__
    if callable(getattr(value, "named_parameters", None)):
        return f"a module of the class {name}: pass dict(module.named_parameters()), and inplace=True if fun calls the module"
    if isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        return f"a {name}: pass a list or a dict of arrays" + (
            ", such as list(x0)" if hasattr(value, "__next__") else ""
        )
    if callable(value):
        what = f"a function ({value.__name__})" if hasattr(value, "__name__") else f"a {name}, which can be called"
        return f"{what}: pass the parameters alone, such as {{'W': net.W, 'b': net.b}}"
    if hasattr(value, "__dict__"):
        own = [key for key, held in vars(value).items() if not key.startswith("grad") and _may_be_leaf(held)][:2] or [
            "W",
            "b",
        ]
        such = ", ".join(f"{key!r}: obj.{key}" for key in own)
        return f"an object of the class {name}: pass vars(obj), or a dict of its arrays such as {{{such}}}"
    remedy = "leave it out of x0, or let fun take it from args" if inner else "pass an array, or a structure of arrays"
    return f"a {name}, which is no array: {remedy}"
