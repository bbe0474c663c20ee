"""The Hessian that a caller claims, as an array (n, n): held to its shape and its type, in words of the Hessian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers
from gradcheck.numerics.layout import Layout

Array = np.ndarray


@runtime_checkable
class Sparse(Protocol):
    """A sparse matrix of SciPy, and whatever else becomes an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def toarray(self) -> Array:
        """The same as an array."""

    def __matmul__(self, v: Array) -> Array:
        """Its product with a matrix."""


@runtime_checkable
class Operator(Protocol):
    """SciPy's LinearOperator, which its minimizers take as a Hessian."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def matmat(self, v: Array) -> Array:
        """Its product with a matrix."""

    def __matmul__(self, v: Array) -> Array:
        """The same."""


class HessianError(ContractError):
    """A ContractError that speaks of the Hessian already."""


@runtime_checkable
class Labelled(Protocol):
    """A DataFrame of pandas."""

    @property
    def index(self) -> Iterable[object]:
        """Labels of the rows."""

    @property
    def columns(self) -> Iterable[object]:
        """Labels of the columns."""


@dataclass(frozen=True)
class Shape:
    """What a Hessian by these parameters must be like.

    layout : names and shapes of the arrays of x0, of n entries in all.   single : whether x0 is one array.
    """

    layout: Layout
    single: bool

    @property
    def n(self) -> int:
        """Rows and columns."""
        return self.layout.size

    @property
    def twice(self) -> tuple[int, ...] | None:
        """The shape of x in front of itself, where x0 is one array; None where it is several."""
        return self.layout.shapes[0] + self.layout.shapes[0] if self.single else None

    def matrix(self, value: object, what: str = "the Hessian") -> Array:
        """The Hessian ``value`` as an array (n, n): a matrix over the flat order, or a dict of dicts of blocks.

        what : its name in messages.   Raises HessianError.
        """
        if value is None:
            raise HessianError(f"{what} is None: hess must return an array of shape {(self.n, self.n)}")
        if isinstance(value, Mapping):
            return self._blocks(value, what)
        if isinstance(value, Labelled):
            self._require_order(value, what)
        array = _real(value, what, (self.n, self.n))
        square = (self.n, self.n)
        if array.shape == square or (self.twice is not None and array.shape == self.twice):
            return array.reshape(square)
        if self.n == 1 and array.size == 1:
            return array.reshape(square)
        raise HessianError(f"{what} has the shape {array.shape}, but must have {self._wanted()}{self._hint(array)}")

    def times(self, value: object, v: Array) -> Array:
        """The product of the Hessian ``value`` with V (n, k).  A sparse one is not made dense.  Raises HessianError."""
        square = (self.n, self.n)
        if isinstance(value, Sparse | Operator) and value.shape == square:
            return _real(value @ v, "the Hessian", v.shape)
        return self.matrix(value) @ v

    def _require_order(self, value: Labelled, what: str) -> None:
        """Raise HessianError where labels that x0 has too stand in another order."""
        own = self.layout.labels.get(self.layout.names[0], ())
        for axis, found in (("columns", value.columns), ("rows", value.index)):
            labels = [str(label) for label in found]
            if own and sorted(labels) == sorted(own[-1]) and labels != list(own[-1]):
                raise HessianError(
                    f"the {axis} of {what} are in another order than x0, which has {', '.join(own[-1][:4])} …"
                )

    def _blocks(self, value: Mapping[object, object], what: str) -> Array:
        layout = self.layout
        if self.single:
            raise HessianError(f"{what} is a dict, but x0 is not: return an array of shape {(self.n, self.n)}")
        found = np.empty((self.n, self.n))
        places = list(zip(layout.names, layout.shapes, layout.slices.values(), strict=True))
        rows = {str(key): inner for key, inner in value.items()}
        for name, outer, i in places:
            inner = rows.get(name)
            if not isinstance(inner, Mapping):
                raise HessianError(
                    f"{what} has no dict for {name}: it must be an array {(self.n, self.n)} or a dict of dicts"
                )
            blocks = {str(key): block for key, block in inner.items()}
            for other, shape, j in places:
                if other not in blocks:
                    raise HessianError(f"{what} has no block [{name}][{other}]: give zeros where there is no such term")
                block = _real(blocks[other], f"block [{name}][{other}] of {what}", outer + shape)
                size = (i.stop - i.start, j.stop - j.start)
                if block.shape not in (outer + shape, size):
                    hint = ": it is the transpose" if block.T.shape == outer + shape else ""
                    raise HessianError(
                        f"block [{name}][{other}] of {what} has the shape {block.shape}, but must have {outer + shape}{hint}"
                    )
                found[i, j] = block.reshape(size)
        return found

    def _wanted(self) -> str:
        square = (self.n, self.n)
        both = self.twice is not None and self.twice != square
        return f"{square} or {self.twice}" if both else f"{square}"

    def _hint(self, array: Array) -> str:
        n = self.n
        if array.shape == (n,):
            return ": it is like a gradient; where only the diagonal is known, np.diag makes a matrix of it"
        if array.shape == (n * (n + 1) // 2,):
            return ": it is a packed triangle; fill in both"
        if array.size == n * n:
            return ": the same number of entries in another shape"
        if array.ndim == 2 and array.shape[0] == array.shape[1]:
            return f": x0 has {n} entries"
        return ""


def _real(value: object, what: str, shape: tuple[int, ...]) -> Array:
    """A matrix of any kind as an array of real numbers."""
    try:
        if isinstance(value, Sparse):
            value = value.toarray()
        elif isinstance(value, Operator) and len(shape) == 2:
            value = value.matmat(np.eye(shape[1]))
        array = np.asarray(numbers(value))
    except Exception:  # ragged, or something that is no array at all
        raise HessianError(f"{what} is no array of numbers: it must have the shape {shape}") from None
    if array.dtype.kind not in "iuf":
        raise HessianError(f"{what} has dtype {array.dtype}: it must be real numbers")
    return array
