"""What is asked of a file, and what is read of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Wanted:
    """What is asked of a file.

    target, features : names of columns; features None for all others.
    sep, decimal, comment : how a text file is written; None where that is to be found.
    na : words that stand for a missing value; None where rows with one are refused.
    n : the first n rows are enough; None for all.
    """

    path: Path
    target: tuple[str, ...]
    features: tuple[str, ...] | None = None
    sep: str | None = None
    decimal: str | None = None
    comment: str | None = None
    na: tuple[str, ...] | None = None
    n: int | None = None
    max_bytes: int = 2**30

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are named."""
        return (*self.target, *(self.features or ()))

    def refusal(self, words: str) -> ValueError:
        """The error that the file cannot be used."""
        return ValueError(f"data.path={self.path}: {words}")

    def used(self, names: tuple[str, ...]) -> list[int]:
        """The places of the columns to read, of all that the file has.  Names that it does not have are left out."""
        if self.features is None:
            return list(range(len(names)))
        return sorted({place for name in self.names for place in places(names, name)})


def places(names: tuple[str, ...], name: str) -> list[int]:
    """Where a column stands: those of exactly this name or, where there are none, of this name without what surrounds
    it: blanks and quotes.
    """
    exact = [i for i, one in enumerate(names) if one == name]
    return exact or [i for i, one in enumerate(names) if bare(one) == bare(name)]


def bare(name: str) -> str:
    """A name without the blanks and quotes that surround it."""
    name = name.strip()
    return name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name


@dataclass(frozen=True)
class Read:
    """What was read of a file.

    names : of all columns of the file, as they stand there.
    columns : those that are used, by their place in the file.
    index : the columns in which pandas has saved the index.
    said : what was found out about how the file is written; empty where nothing is worth a word.
    complete : whether these are all rows.
    """

    names: tuple[str, ...]
    columns: dict[int, pa.ChunkedArray]
    rows: int
    index: tuple[str, ...] = ()
    said: str = ""
    complete: bool = True
