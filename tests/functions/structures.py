"""Random structures of arrays, and what is made of their leaves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray


class Pair(NamedTuple):
    W: Any
    b: Any


@dataclass
class Layer:
    W: Any
    b: Any


@dataclass(frozen=True)
class Fixed:
    W: Any
    b: Any


def mapped(f: Callable[[Any], Any], x: Any) -> Any:
    """f of every leaf of a structure, in the same structure."""
    if isinstance(x, Mapping):
        return {key: mapped(f, value) for key, value in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_make"):
        return x._make(mapped(f, value) for value in x)
    if isinstance(x, (list, tuple)):
        return type(x)(mapped(f, value) for value in x)
    if is_dataclass(x):
        return type(x)(**{field.name: mapped(f, getattr(x, field.name)) for field in fields(x)})
    return f(x)


def leaves(x: Any) -> list[Any]:
    found: list[Any] = []
    mapped(found.append, x)
    return found


def arrays_of(x: Any) -> list[Array]:
    return [leaf for leaf in leaves(x) if isinstance(leaf, np.ndarray)]


KEYS = st.sampled_from(["W", "b", "enc", "out", "layer 1", "ein.aus", 0, 7])
FROZEN = st.sampled_from([None, True, "relu"])


@st.composite
def array(draw: st.DrawFn) -> Array:
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0, 2), (2, 1, 2)]))
    made = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
    how = draw(st.sampled_from(["own", "strided", "fortran"]))
    if how == "strided":
        return np.stack([made, made], axis=-1)[..., 0]
    return np.array(made, order="F" if how == "fortran" else "C")


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structures of leaves, up to a few levels."""
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.dictionaries(KEYS, inner, min_size=1, max_size=3),
            st.dictionaries(KEYS, inner, min_size=1, max_size=2).map(OrderedDict),
            st.lists(inner, min_size=1, max_size=3),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
            *(st.builds(kind, inner, inner) for kind in (Pair, Layer, Fixed)),
        ),
        max_leaves=6,
    )


def trees() -> st.SearchStrategy[Any]:
    """Structures that hold an array, and other things that have no gradient."""
    return nested(st.one_of(array(), array(), FROZEN)).filter(lambda x: bool(arrays_of(x)))
