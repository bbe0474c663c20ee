"""A value of somebody's function that is a structure of arrays: as one array, and the upstream gradient like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees import nodes
from gradcheck.functions.trees.kinds import Kind, read
from gradcheck.functions.trees.paths import MISSING, Path, at, named

Array = np.ndarray

WHAT = "the value of fun"


class Part(NamedTuple):
    """An array in the value."""

    path: Path
    kind: Kind
    shape: tuple[int, ...]


@dataclass
class Emitted:
    """The structure of a function's values, which is that of the first one."""

    root: nodes.Node | None = None
    parts: list[Part] = field(default_factory=list)

    def flat(self, value: object) -> object:
        """A structure as an array (n,); one array, or what is no array at all, as NumPy takes it.  Raises ContractError."""
        if self.root is None:
            self.root = nodes.taken_apart(value, self._take)
            if not self.parts:
                raise ContractError(f"fun returns a {type(value).__name__} without any array: it must return numbers")
        if self.single:
            return self.parts[0].kind.numbers(value)
        return np.concatenate([self._array(value, part).reshape(-1) for part in self.parts])

    @property
    def single(self) -> bool:
        """Whether a value is one array."""
        return isinstance(self.root, nodes.Leaf)

    @property
    def stacks(self) -> bool:
        """Whether values of several points may stand in one array."""
        return self.single and self.parts[0].kind.stacks

    def upstream(self, dout: Array) -> object:
        """The upstream gradient, one array, in the structure of the values."""
        if self.root is None:
            return dout
        if self.single:
            return self.parts[0].kind.make(dout)
        ends = np.cumsum([0, *(int(np.prod(part.shape)) for part in self.parts)])
        pieces = [dout[a:b].reshape(p.shape) for a, b, p in zip(ends[:-1], ends[1:], self.parts, strict=True)]
        return self.root.build([part.kind.make(each) for part, each in zip(self.parts, pieces, strict=True)])

    def _take(self, path: Path, value: object) -> nodes.Node:
        where = f"{WHAT} ({named(path)})" if path else WHAT
        found = read(value, where)
        if found is None:
            return nodes.Frozen(value)
        self.parts.append(Part(path, found.kind, found.numbers.shape))
        return nodes.Leaf(len(self.parts) - 1)

    def _array(self, value: object, part: Part) -> Array:
        here = at(value, part.path)
        if here is None or here is MISSING:
            raise ContractError(f"fun returns nothing at {named(part.path)} at a perturbed x, but an array at x0")
        found = np.asarray(part.kind.numbers(here))
        if found.shape != part.shape:
            raise ContractError(
                f"fun returns the shape {found.shape} at a perturbed x in {named(part.path)}, but {part.shape} at x0"
            )
        return found
