"""x0 taken apart: its leaves as parts of one flat vector, and what puts it together again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.parameters import Convention, Leaf, Parameters, Start, Structure, joined
from gradcheck.functions.trees import nodes
from gradcheck.functions.trees.foreign import adaptor
from gradcheck.functions.trees.kinds import Labels, Plain, Read, read, require_numbers
from gradcheck.functions.trees.names import labels_of, names_of
from gradcheck.functions.trees.paths import Path, fields_of, is_namedtuple, named
from gradcheck.numerics.layout import Layout

Array = np.ndarray

CONVENTIONS = (
    'convention="conjugate" says that jac returns df/dx + i df/dy of x + iy, as torch does, "plain" that it returns'
    " df/dx - i df/dy, as jax.grad does"
)
# How many names a message lists.
LISTED = 8


class Found(NamedTuple):
    """A leaf of x0."""

    name: str
    path: Path
    value: object
    read: Read


@dataclass
class Taken:
    """What was found in x0 so far.  Called with a place and what stands there, it makes the node of that.

    names : those of the entries of a list or tuple.   thawed : leaves of integers that are parameters, None for all.
    """

    what: str
    names: Sequence[str] | None
    thawed: Collection[str] | None
    found: list[Found] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    doubtful: list[tuple[str, Path]] = field(default_factory=list)

    def __call__(self, path: Path, value: object) -> nodes.Node:
        name = named(path, self.names)
        what = f"{self.what} ({name})" if path else self.what
        leaf = read(value, what, inner=bool(path))
        if leaf is None or leaf.numbers.dtype.kind == "b":
            if not path:
                raise ContractError(f"{what} is {_word(value)}: it must be an array of numbers")
            self.frozen.append(name)
            return nodes.Frozen(value)
        if path and leaf.numbers.dtype.kind in "iu" and self.thawed is not None and name not in self.thawed:
            self.frozen.append(name)
            self.doubtful.append((name, path))
            return nodes.Frozen(value.copy() if isinstance(value, np.ndarray) else value)
        leaf = leaf._replace(numbers=require_numbers(leaf.numbers, what))
        self.found.append(Found(name, path, value, leaf))
        return nodes.Leaf(len(self.found) - 1)


class Flat(NamedTuple):
    """x0 as a flat vector, and the leaves of which it was made."""

    parameters: Parameters
    theta: Array
    found: list[Found]


def flatten(x0: Start, what: str = "x0") -> tuple[Parameters, Array]:
    """The structure of ``x0`` and its flat vector; integers become float64.  Raises ContractError.

    One array is the parameter ``x``; the entries of a list or tuple are ``x0``, ``x1``, ...; deeper ones are named by their
    path.   what : the name of x0 in messages.
    """
    taken = taken_apart(x0, what=what)
    return taken.parameters, taken.theta


def taken_apart(
    x0: Start,
    *,
    names: object = None,
    convention: Convention | None = None,
    thawed: Collection[str] | None = None,
    what: str = "x0",
) -> Flat:
    """The same, with labels for the entries of one array, or names for those of a list.

    thawed : names of the leaves of integers that become float64, None for all; the others are frozen.
    Raises ContractError.
    """
    taken = Taken(what, names_of(names, x0), thawed)
    root = nodes.taken_apart(x0, taken)
    labels = {f.name: f.read.kind.labels for f in taken.found if f.read.kind.labels}
    if names is not None and taken.names is None:
        labels |= labels_of(names, x0, [f.read.numbers for f in taken.found], bool(labels))
    single = isinstance(root, nodes.Leaf)
    if single:
        taken.found[0] = taken.found[0]._replace(name=_own_name(x0))
        labels = {_own_name(x0): each for each in labels.values()}
    parts, leaves = _parts(taken.found, convention, what)
    if len(parts) != sum(len(leaf.slots) for leaf in leaves):
        alike = [leaf.name for leaf in leaves]
        raise ContractError(f"{what} has two keys that read alike: {', '.join(alike)}")
    dtype = _dtype(taken.found, what)
    layout = Layout(tuple(parts), tuple(a.shape for a in parts.values()), _of_parts(labels, leaves, tuple(parts)))
    parameters = Parameters(
        layout=layout,
        arrays=tuple(leaves),
        pack=_pack(root, leaves),
        kind=_structure(root, x0),
        words=_described(x0, leaves),
        frozen=tuple(taken.frozen),
        doubtful=tuple(taken.doubtful),
        convention=convention or "conjugate",
        shares=not any(leaf.is_complex for leaf in leaves),
    )
    return Flat(parameters, layout.join(parts, dtype), taken.found)


def _parts(found: Sequence[Found], convention: Convention | None, what: str) -> tuple[dict[str, Array], list[Leaf]]:
    """The arrays of the layout by their names, and the leaves."""
    parts: dict[str, Array] = {}
    leaves = []
    for name, path, _, leaf in found:
        numbers = leaf.numbers
        mine = {name: numbers}
        if numbers.dtype.kind == "c":
            if convention is None:
                where = f"{what} ({name})" if path else what
                raise ContractError(f"{where} has dtype {numbers.dtype}: {CONVENTIONS}")
            mine = {f"{name}.real": numbers.real, f"{name}.imag": numbers.imag}
        slots = tuple(range(len(parts), len(parts) + len(mine)))
        leaves.append(Leaf(name, (path,), leaf.kind, numbers.shape, slots))
        parts |= mine
    return parts, leaves


def _dtype(found: Sequence[Found], what: str) -> np.dtype[np.floating]:
    """The floating type of theta.  Raises ContractError where a library would not mix those of the leaves."""
    kinds = {f.name: np.empty(0, f.read.numbers.dtype).real.dtype for f in found}
    if not kinds:
        return np.dtype(np.float64)
    common = np.result_type(*kinds.values())
    if not any(f.read.fixed for f in found):
        return common
    own = {f.name: kinds[f.name] for f in found if not f.read.weak}
    first, dtype = next(iter(own.items()))
    for name, kind in own.items():
        if kind != dtype:
            raise ContractError(
                f"{what} mixes {dtype} ({first}) and {kind} ({name}): give all leaves one floating type"
            )
    for f in found:
        if f.read.weak and not exact(f.read.numbers, dtype):
            raise ContractError(
                f"{what} ({f.name}) is {f.value!r}, which {dtype} does not hold: make it an array, as the others are"
            )
    return dtype


def exact(numbers: Array, dtype: np.dtype[np.floating]) -> bool:
    """Whether a floating type holds these numbers to the bit."""
    parts = (numbers.real, numbers.imag)
    return all(np.array_equal(part.astype(dtype).astype(part.dtype), part) for part in parts)


def _of_parts(labels: Mapping[str, Labels], leaves: Sequence[Leaf], parts: tuple[str, ...]) -> dict[str, Labels]:
    """Labels of leaves as labels of the parts of the layout."""
    return {parts[slot]: labels[leaf.name] for leaf in leaves if leaf.name in labels for slot in leaf.slots}


# ------------------------------------------------------------------------------------------------ together again


@dataclass(frozen=True)
class Pack:
    """Makes the structure of x0 of the parts of the layout."""

    root: nodes.Node
    leaves: tuple[Leaf, ...]

    def __call__(self, parts: list[Array]) -> object:
        return self.root.build([leaf.kind.make(joined([parts[slot] for slot in leaf.slots])) for leaf in self.leaves])


@dataclass(frozen=True)
class PackDict:
    """The same for a dict of arrays."""

    keys: tuple[object, ...]

    def __call__(self, parts: list[Array]) -> object:
        return dict(zip(self.keys, parts, strict=True))


def _first(parts: list[Array]) -> object:
    return parts[0]


def _pack(root: nodes.Node, leaves: Sequence[Leaf]) -> Callable[[list[Array]], object]:
    """What puts x0 together again, the quick way where x0 is an array of NumPy or a flat structure of such arrays."""
    plain = all(isinstance(leaf.kind, Plain) and not leaf.is_complex for leaf in leaves)
    if plain and isinstance(root, nodes.Leaf):
        return _first
    if plain and isinstance(root, nodes.Row) and all(isinstance(node, nodes.Leaf) for node in root.nodes):
        return root.make
    flat = isinstance(root, nodes.Dict) and all(isinstance(node, nodes.Leaf) for _, node in root.nodes)
    if plain and flat and isinstance(root, nodes.Dict) and type(root.like) is dict:
        return PackDict(tuple(key for key, _ in root.nodes))
    return Pack(root, tuple(leaves))


# ---------------------------------------------------------------------------------------------------- in words


def _structure(root: nodes.Node, x0: object) -> Structure:
    """The structure of x0: a flat one by its kind, any other as a tree."""
    if isinstance(root, nodes.Leaf):
        return "array"
    flat = (
        root.nodes
        if isinstance(root, nodes.Row)
        else [n for _, n in root.nodes]
        if isinstance(root, nodes.Dict)
        else []
    )
    if not all(isinstance(node, nodes.Leaf) for node in flat) or isinstance(root, nodes.Record):
        return "tree"
    return "dict" if isinstance(root, nodes.Dict) else "list" if isinstance(x0, list) else "tuple"


def _described(x0: object, leaves: Sequence[Leaf]) -> str:
    """The structure of x0 for a message."""
    names = ", ".join(leaf.name for leaf in leaves[:LISTED]) + (", …" if len(leaves) > LISTED else "")
    if isinstance(x0, (list, tuple)) and not is_namedtuple(x0):
        return f"a {type(x0).__name__} of {len(leaves)} arrays"
    if isinstance(x0, Mapping) and not is_dataclass(x0):
        return f"a dict of {names}"
    return f"a {type(x0).__name__} of {names}" if fields_of(x0) else "one array"


def _own_name(x0: object) -> str:
    """The name of x0 where it is one array: that of a pandas Series, else ``x``."""
    known = adaptor(x0)
    own: str | None = known.name(x0) if known is not None and hasattr(known, "name") else None
    return own or "x"


def _word(value: object) -> str:
    if isinstance(value, (str, bytes)) or value is None or isinstance(value, (bool, np.bool_)):
        return repr(value)
    return f"a {type(value).__name__} of {getattr(value, 'dtype', 'text')}"
