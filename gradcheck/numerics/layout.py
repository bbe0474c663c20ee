"""Where each parameter of a model lies in the flat vector theta."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = np.ndarray

# A cell with more weights is examined in blocks of so many, which take some 200 MB.
BLOCK_WEIGHTS = 2**16
# All cells of a sweep ask for the same names and positions.  They are kept for a theta of at most so many weights.
REMEMBERED = 4096


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the parameters, in the order in which they stand in theta (row-major each).

    names : parameter names, all different.
    shapes : one shape a name; ``()`` is a scalar parameter and takes one entry.
    labels : of a parameter whose entries have names of their own, the labels along each of its last axes.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    labels: Mapping[str, tuple[Sequence[str], ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shapes):
            raise ValueError(f"{len(self.names)} names but {len(self.shapes)} shapes")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"a parameter name appears twice: {', '.join(self.names)}")

    @cached_property
    def _offsets(self) -> tuple[int, ...]:
        return tuple(accumulate((math.prod(shape) for shape in self.shapes), initial=0))

    @property
    def size(self) -> int:
        """Number of weights, biases included."""
        return self._offsets[-1]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """The part of theta that each parameter takes."""
        offsets = self._offsets
        return {name: slice(offsets[i], offsets[i + 1]) for i, name in enumerate(self.names)}

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter."""
        return self.shapes[self.names.index(name)]

    def split(self, theta: Array) -> dict[str, Array]:
        """Views into theta (size,), one for each parameter, in its shape: writing to a view writes to theta.

        A stack of thetas (B, size) gives views (B, *shape).
        """
        offsets = self._offsets
        return {
            name: theta[..., offsets[i] : offsets[i + 1]].reshape(theta.shape[:-1] + shape)
            for i, (name, shape) in enumerate(zip(self.names, self.shapes, strict=True))
        }

    def join(self, values: Mapping[str, ArrayLike], dtype: DTypeLike | None = None) -> Array:
        """A new flat theta (size,) from an array or nested list for each parameter.

        dtype : the dtype of the result; by default the common dtype of the values.
        Raises ValueError where a parameter is missing, unknown, of the wrong shape or not numeric.
        """
        missing = [name for name in self.names if name not in values]
        unknown = [str(name) for name in values if name not in self.slices]
        if missing or unknown:
            raise ValueError(
                "; ".join(
                    [f"parameter {name} is missing" for name in missing]
                    + [f"there is no parameter {name}" for name in unknown]
                )
                + f" (the model has {', '.join(f'{n} {s}' for n, s in zip(self.names, self.shapes, strict=True))})"
            )
        parts = []
        for name, shape in zip(self.names, self.shapes, strict=True):
            array = _numeric(name, values[name])
            if array.shape != shape:
                raise ValueError(f"{name} has the shape {array.shape}: must be {shape}")
            parts.append(array.reshape(-1))
        common = np.result_type(*parts) if parts else np.dtype(np.float64)
        theta = np.empty(self.size, dtype=common if dtype is None else dtype)
        for part, where in zip(parts, self.slices.values(), strict=True):
            theta[where] = part
        return theta

    def place(self, name: str, position: Sequence[int]) -> str:
        """Where an entry stands in its parameter, as a person writes it: ``[0,1]``, ``[age]``; nothing for a scalar."""
        words = [str(i) for i in position]
        labels = self.labels.get(name, ())
        for axis, labelled in enumerate(labels, start=len(words) - len(labels)):
            words[axis] = labelled[position[axis]]
        return f"[{','.join(words)}]" if words else ""

    def locate(self, flat_index: int) -> tuple[str, tuple[int, ...]]:
        """Name of the parameter that holds entry `flat_index` of theta, and the index inside the parameter."""
        if not 0 <= flat_index < self.size:
            raise IndexError(f"flat index {flat_index} is outside 0 .. {self.size - 1}")
        names, positions = self.columns(np.array([flat_index]))
        return names[0], tuple(positions[0])

    def columns(self, index: NDArray[np.integer]) -> tuple[list[str], list[list[int]]]:
        """`locate` for many flat indices at once: parameter names and positions, two lists as long as `index`."""
        if len(index) == self.size <= REMEMBERED and np.array_equal(index, np.arange(self.size)):
            names, positions = self._all_columns
            return names.copy(), positions.copy()
        return self._columns(np.asarray(index, dtype=np.int64))

    @cached_property
    def _all_columns(self) -> tuple[list[str], list[list[int]]]:
        sizes = [math.prod(shape) for shape in self.shapes]
        names = [name for name, size in zip(self.names, sizes, strict=True) for _ in range(size)]
        axes = [np.indices(shape).reshape(len(shape), size) for shape, size in zip(self.shapes, sizes, strict=True)]
        return names, [position for of in axes for position in of.T.tolist()]

    def _columns(self, index: NDArray[np.int64]) -> tuple[list[str], list[list[int]]]:
        ends = np.array(self._offsets[1:], dtype=np.int64)
        owner = np.searchsorted(ends, index, side="right")  # "right" also skips parameters without entries
        owners = owner.tolist()
        names = [self.names[i] for i in owners]
        positions: list[list[int]] = [[] for _ in names]
        for i in set(owners):
            shape = self.shapes[i]
            if not shape:
                continue
            here = np.flatnonzero(owner == i)
            inside = np.stack(np.unravel_index(index[here] - self._offsets[i], shape), axis=1).tolist()
            for row, position in zip(here.tolist(), inside, strict=True):
                positions[row] = position
        return names, positions


def _numeric(name: str, value: ArrayLike) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} is ragged: its rows have different lengths") from None
    if array.size and array.dtype.kind not in "iufc":
        raise ValueError(f"{name} must hold numbers, not {array.dtype}")
    return array
