"""Series and data frames of pandas as leaves, whose labels are kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gradcheck.errors import ContractError
from gradcheck.functions.trees.foreign import numbers as numbers_of
from gradcheck.functions.trees.kinds import Labels, Read
from gradcheck.functions.trees.live import Alone

Array = np.ndarray


@dataclass(frozen=True)
class Series:
    """A series with the index and the name of the caller's."""

    index: pd.Index
    name: object
    stacks: bool = False

    @property
    def labels(self) -> Labels:
        return (Words(self.index),)

    def make(self, numbers: Array) -> object:
        return pd.Series(numbers, index=self.index, name=self.name, copy=False)

    def numbers(self, value: object) -> object:
        if not isinstance(value, pd.Series):
            return numbers_of(value)
        return _in_order(value, self.index, "index").to_numpy()


@dataclass(frozen=True)
class Frame:
    """A data frame with the index and the columns of the caller's."""

    index: pd.Index
    columns: pd.Index
    stacks: bool = False

    @property
    def labels(self) -> Labels:
        return (Words(self.index), Words(self.columns))

    def make(self, numbers: Array) -> object:
        return pd.DataFrame(numbers, index=self.index, columns=self.columns, copy=False)

    def numbers(self, value: object) -> object:
        if not isinstance(value, pd.DataFrame):
            return numbers_of(value)
        return _in_order(_in_order(value, self.index, "index"), self.columns, "columns").to_numpy()


class LiveFrame(Alone):
    """The values of a series or a data frame."""

    def __init__(self, frame: pd.Series | pd.DataFrame) -> None:
        self._frame, self._saved = frame, frame.copy(deep=True)

    def require_writable(self) -> None:
        if {kind.kind for kind in _dtypes(self._frame)} != {"f"}:
            raise ValueError("has columns that are not of floating type: pass it with astype(float)")

    def write(self, numbers: Array) -> None:
        if self._frame.ndim == 1:
            self._frame.iloc[:] = numbers
        else:
            self._frame.iloc[:, :] = numbers

    def read(self) -> Array:
        return self._frame.to_numpy()

    def memory(self) -> Array | None:
        return self._frame.to_numpy() if self._frame.ndim == 1 else None

    def restore(self) -> None:
        self.write(self._saved.to_numpy())


def read(value: object, what: str) -> Read | None:
    """A series or a data frame as a leaf; None for another object of pandas, and for one of text or bool."""
    if not isinstance(value, (pd.Series, pd.DataFrame)):
        return None
    dtypes = _dtypes(value)
    if all(kind.kind in "bOUS" for kind in dtypes):
        return None
    if any(kind.kind not in "iufc" for kind in dtypes):
        raise ContractError(f"{what} has columns that are no numbers: pass those that are")
    array = value.to_numpy(np.result_type(*dtypes))
    kind = Series(value.index, value.name) if isinstance(value, pd.Series) else Frame(value.index, value.columns)
    return Read(kind, array, partial(LiveFrame, value))


def numbers(value: object) -> object:
    """The values in their order."""
    return value.to_numpy() if isinstance(value, (pd.Series, pd.DataFrame)) else value


def name(value: object) -> str | None:
    """The name that a series has."""
    return value.name if isinstance(value, pd.Series) and isinstance(value.name, str) and value.name else None


def _dtypes(value: pd.Series | pd.DataFrame) -> list[np.dtype[np.generic]]:
    kinds = [value.dtype] if isinstance(value, pd.Series) else list(value.dtypes)
    # a nullable type knows that of NumPy which holds its values
    return [kind if isinstance(kind, np.dtype) else np.dtype(getattr(kind, "numpy_dtype", object)) for kind in kinds]


@dataclass(frozen=True)
class Words(Sequence[str]):
    """The labels of an index as text."""

    index: pd.Index

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, k: Any) -> Any:
        label = self.index[k]
        return ",".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _in_order(value: pd.Series | pd.DataFrame, wanted: pd.Index, axis: str) -> pd.Series | pd.DataFrame:
    """``value`` with its labels along an axis in the order that is wanted.  Raises ValueError where they are others."""
    given = getattr(value, axis)
    if given.equals(wanted):
        return value
    if len(given) != len(wanted) or not given.is_unique or not wanted.is_unique or set(given) != set(wanted):
        here, there = (
            ", ".join([*itertools.islice(Words(one), 6)]) + (", …" if len(one) > 6 else "") for one in (given, wanted)
        )
        raise ValueError(f"has the labels {here}, but x0 has {there}")
    return value.reindex(wanted, axis=0 if axis == "index" else 1)
