"""Points at which somebody's function is evaluated, without a whole theta for each before it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

Array = np.ndarray


class Points(Protocol):
    """Some thetas.  ``at(j)`` makes a new one; what is made of it belongs to the caller."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def size(self) -> int:
        """Entries of each."""

    @property
    def dtype(self) -> np.dtype[np.inexact]:
        """The dtype of each; complex at complex points."""

    @property
    def at(self) -> Callable[[int], Array]:
        """The point j (size,)."""

    def some(self, which: Array | slice) -> Self:
        """The points ``which`` alone."""

    def stack(self) -> Array:
        """All of them as new rows (count, size)."""

    def inside(self, low: Array, high: Array) -> Array:
        """Which points lie within the limits; bool (count,)."""


@dataclass(frozen=True, eq=False)
class Entries:
    """theta with one entry replaced: entry ``index[j]`` by ``values[j]``."""

    theta: Array
    index: Array
    values: Array

    @property
    def count(self) -> int:
        return len(self.index)

    @property
    def size(self) -> int:
        return self.theta.size

    @property
    def dtype(self) -> np.dtype[np.inexact]:
        return np.result_type(self.theta, self.values)

    @property
    def at(self) -> Callable[[int], Array]:
        base = self.theta.astype(self.dtype)
        index, values = self.index.tolist(), self.values

        def made(j: int) -> Array:
            point = base.copy()
            point[index[j]] = values[j]
            return point

        return made

    def stack(self) -> Array:
        found = np.repeat(self.theta.astype(self.dtype)[None], self.count, axis=0)
        found[np.arange(self.count), self.index] = self.values
        return found

    def some(self, which: Array | slice) -> Entries:
        return Entries(self.theta, self.index[which], self.values[which])

    def inside(self, low: Array, high: Array) -> Array:
        values = self.values.real
        return np.asarray((values >= low[self.index]) & (values <= high[self.index]))


@dataclass(frozen=True, eq=False)
class Line:
    """theta + t v, where v moves a part of theta."""

    theta: Array
    where: slice
    v: Array
    t: Array

    @property
    def count(self) -> int:
        return len(self.t)

    @property
    def size(self) -> int:
        return self.theta.size

    @property
    def dtype(self) -> np.dtype[np.inexact]:
        return np.result_type(self.theta, self.t)

    @property
    def at(self) -> Callable[[int], Array]:
        base = self.theta.astype(self.dtype)

        def made(j: int) -> Array:
            point = base.copy()
            point[self.where] += self.t[j] * self.v
            return point

        return made

    def stack(self) -> Array:
        found = np.repeat(self.theta.astype(self.dtype)[None], self.count, axis=0)
        found[:, self.where] += self.t[:, None] * self.v
        return found

    def some(self, which: Array | slice) -> Line:
        return Line(self.theta, self.where, self.v, self.t[which])

    def inside(self, low: Array, high: Array) -> Array:
        # as `at` computes them, so that no rounding leads outside
        moved = (self.theta[self.where] + t * self.v for t in self.t.real)
        low, high = low[self.where], high[self.where]
        return np.array([bool(((p >= low) & (p <= high)).all()) for p in moved], dtype=bool)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of an array (count, size)."""

    thetas: Array

    @property
    def count(self) -> int:
        return len(self.thetas)

    @property
    def size(self) -> int:
        return int(self.thetas.shape[1])

    @property
    def dtype(self) -> np.dtype[np.inexact]:
        return self.thetas.dtype

    @property
    def at(self) -> Callable[[int], Array]:
        return lambda j: self.thetas[j].copy()

    def stack(self) -> Array:
        return self.thetas.copy()

    def some(self, which: Array | slice) -> Rows:
        return Rows(self.thetas[which])

    def inside(self, low: Array, high: Array) -> Array:
        points = self.thetas.real
        return np.asarray(((points >= low) & (points <= high)).all(axis=1))


def one(theta: Array) -> Rows:
    """A single point."""
    return Rows(theta[None])
