"""A caller's parameters, an array or a dict, list or tuple of arrays, as one flat vector and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gradcheck.errors import ContractError
from gradcheck.numerics.layout import Layout

Array = np.ndarray

# What a caller may pass as x0: an array, or a mapping, list or tuple of arrays; the keys may be anything.
Start: TypeAlias = ArrayLike | Mapping[Any, ArrayLike]
# What the caller's functions get, in the same structure.
Tree: TypeAlias = Array | dict[object, Array] | list[Array] | tuple[Array, ...]
# Smaller floating types have too few digits for a difference to mean anything.
DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.longdouble))


Structure = Literal["array", "dict", "list", "tuple"]


class Part(NamedTuple):
    """A parameter, and the caller's entry for it in a structure like that of x0."""

    name: str
    shape: tuple[int, ...]
    entry: object


@dataclass(frozen=True)
class Parameters:
    """How the caller's parameters lie in theta.

    kind : the structure of x0.   layout : a name and a shape for each array.
    keys : the caller's own keys, of a dict.   pack : makes the caller's structure of a list of arrays.
    """

    kind: Structure
    layout: Layout
    keys: tuple[object, ...]
    pack: Callable[[list[Array]], Tree]

    def views(self, theta: Array) -> Tree:
        """The structure of x0 with views into theta (size,); or into a stack of thetas (k, size), with an axis k in front."""
        if theta.ndim == 1:
            return self.pack([theta[a:b].reshape(shape) for a, b, shape in self._places])
        return self.pack([theta[:, a:b].reshape(len(theta), *shape) for a, b, shape in self._places])

    @cached_property
    def _places(self) -> list[tuple[int, int, tuple[int, ...]]]:
        return [
            (where.start, where.stop, shape)
            for where, shape in zip(self.layout.slices.values(), self.layout.shapes, strict=True)
        ]

    def leaves(self, x: Tree) -> list[Array | None]:
        """The arrays of what ``build`` made, in order; None for one that the caller's function has removed."""
        if isinstance(x, dict):
            return [x.get(key) for key in self.keys]
        if isinstance(x, (list, tuple)):
            return [x[i] if i < len(x) else None for i in range(len(self.keys))]
        return [x]

    def parts(self, value: object, what: str, outer: tuple[int, ...] = ()) -> list[Part]:
        """Name, shape and the caller's entry for each parameter of ``value``, which must have the structure of x0.

        what : its name in messages, such as "the gradient".
        outer : shape of several outputs, which precedes the shape of each parameter.
        Raises ContractError where the structure is another.
        """
        names, shapes = self.layout.names, self.layout.shapes
        if value is None:
            raise ContractError(f"{what} is None: it must be like x0")
        if self.kind == "array":
            if isinstance(value, Mapping):
                raise ContractError(f"{what} is a dict, but x0 is one array")
            if isinstance(value, (tuple, list)) and _several(value, outer + shapes[0]):
                kind = type(value).__name__
                raise ContractError(
                    f"{what} is a {kind} of {len(value)} gradients for one input: return that of x0 alone"
                )
            return [Part(names[0], shapes[0], value)]
        if self.kind == "dict":
            if not isinstance(value, Mapping):
                raise ContractError(f"{what} is a {type(value).__name__}, but x0 is a dict of {', '.join(names)}")
            missing = [str(k) for k in self.keys if k not in value]
            unknown = [str(k) for k in value if k not in self.keys]
            if missing:
                raise ContractError(f"{what} has no entry for {', '.join(missing)}")
            if unknown:
                raise ContractError(f"{what} has an entry for {', '.join(unknown)}, which x0 has not")
            return [Part(n, s, value[k]) for n, s, k in zip(names, shapes, self.keys, strict=True)]
        if not isinstance(value, (tuple, list)):
            raise ContractError(f"{what} is a {type(value).__name__}, but x0 is a {self.kind} of {len(names)} arrays")
        if len(value) != len(names):
            raise ContractError(f"{what} has {len(value)} arrays, but x0 has {len(names)}")
        return [Part(n, s, v) for n, s, v in zip(names, shapes, value, strict=True)]


def _several(value: Sequence[object], shape: tuple[int, ...]) -> bool:
    """Whether a list or tuple holds several gradients rather than the rows of one."""
    if not any(isinstance(v, np.ndarray) or v is None for v in value):
        return False
    try:
        return np.asarray(value).shape != shape
    except ValueError:
        return True


def flatten(x0: Start) -> tuple[Parameters, Array]:
    """The structure of ``x0`` and its flat vector; integers become float64.

    One array is the parameter ``x``; the arrays of a list or tuple are ``x0``, ``x1``, ...  Raises ContractError.
    """
    kind: Structure = "array"
    values: list[object] = [x0]
    keys: tuple[object, ...] = ("x",)
    pack: Callable[[list[Array]], Tree] = _first
    if isinstance(x0, Mapping):
        kind, keys, values = "dict", tuple(x0), list(x0.values())
        pack = _Dict(keys)
    elif isinstance(x0, (list, tuple)) and any(isinstance(v, np.ndarray) for v in x0):
        kind = "list" if isinstance(x0, list) else "tuple"
        values = list(x0)
        pack = list if kind == "list" else getattr(type(x0), "_make", tuple)
        keys = getattr(x0, "_fields", tuple(f"x{i}" for i in range(len(x0))))
    names = [str(key) for key in keys]
    if len(set(names)) != len(names):
        raise ContractError(f"x0 has two keys that read alike: {', '.join(names)}")
    arrays = {name: _numbers(name if kind != "array" else "", value) for name, value in zip(names, values, strict=True)}
    layout = Layout(tuple(arrays), tuple(a.shape for a in arrays.values()))
    dtype = np.result_type(*arrays.values()) if arrays else np.dtype(np.float64)
    return Parameters(kind, layout, keys, pack), layout.join(arrays, dtype)


def _numbers(name: str, value: object) -> Array:
    what = f"x0 ({name})" if name else "x0"
    if value is None:
        raise ContractError(f"{what} is None: it must be an array")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ContractError(f"{what} is ragged: its rows have different lengths") from None
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype not in DTYPES:
        raise ContractError(f"{what} has dtype {array.dtype}: must be float32, float64 or longdouble")
    if not np.isfinite(array).all():
        raise ContractError(f"{what} has an entry that is not finite")
    return array


def _first(parts: list[Array]) -> Array:
    return parts[0]


@dataclass(frozen=True)
class _Dict:
    keys: tuple[object, ...]

    def __call__(self, parts: list[Array]) -> dict[object, Array]:
        return dict(zip(self.keys, parts, strict=True))
