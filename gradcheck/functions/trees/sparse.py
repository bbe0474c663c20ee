"""Sparse matrices and arrays of SciPy as leaves: the entries that are stored are the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers as numbers_of
from gradcheck.functions.trees.kinds import Labels, Read
from gradcheck.functions.trees.live import LiveArray

Array = np.ndarray
FORMATS = ("csr", "csc", "coo")


@dataclass(frozen=True)
class Places(Sequence[str]):
    """The names ``2,5`` of places in a matrix."""

    rows: Array
    columns: Array

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, k: Any) -> Any:
        return f"{self.rows[k]},{self.columns[k]}"


@dataclass(frozen=True)
class Sparse:
    """A matrix with the stored places of the caller's.

    like : the matrix around no numbers of its own.   rows, columns : where each of its numbers stands.
    """

    like: scipy.sparse.sparray
    rows: Array
    columns: Array
    stacks: bool = False

    @property
    def labels(self) -> Labels:
        return (Places(self.rows, self.columns),)

    def make(self, numbers: Array) -> object:
        kind, like = type(self.like), self.like
        if like.format == "coo":
            return kind((numbers, (self.rows, self.columns)), shape=like.shape, copy=False)
        return kind((numbers, like.indices, like.indptr), shape=like.shape, copy=False)

    def numbers(self, value: scipy.sparse.sparray) -> object:
        if scipy.sparse.issparse(value) and value.shape == self.like.shape:
            return np.asarray(value.tocsr()[self.rows, self.columns]).reshape(-1)
        found = numbers_of(value)
        if isinstance(found, np.ndarray) and found.shape == self.like.shape:
            return np.asarray(found)[self.rows, self.columns]
        return found


def read(value: scipy.sparse.sparray, what: str) -> Read | None:
    """A sparse matrix as a leaf; None for another object of SciPy."""
    if not scipy.sparse.issparse(value):
        return None
    if value.format not in FORMATS or value.ndim != 2:
        raise ContractError(
            f"{what} is a sparse {value.format} array of {value.ndim} axes: pass a matrix in csr, W.tocsr()"
        )
    places = value.tocoo(copy=False)
    flat = places.row.astype(np.int64) * value.shape[1] + places.col
    if np.unique(flat).size < flat.size:
        raise ContractError(f"{what} stores an entry twice: call W.sum_duplicates() first")
    return Read(Sparse(value, places.row, places.col), value.data, partial(LiveArray, value.data))


def numbers(value: scipy.sparse.sparray) -> object:
    """As NumPy takes it."""
    return value.toarray() if scipy.sparse.issparse(value) else value
