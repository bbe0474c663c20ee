"""Examples from a table in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.columns.places import local
from gradcheck.experiment.sources.batches import as_batch
from gradcheck.experiment.sources.settings import require_count, require_flag, require_list, require_text
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import NoTarget, Target

if TYPE_CHECKING:
    from gradcheck.experiment.sources.tables import Chosen

# What reads tables is imported where it is needed: most runs draw their data.


@dataclass
class File(DataSource):
    """Examples from a table in text (CSV and its relatives), in a Parquet, Arrow or Feather file, or a folder of these.

    Numbers must be finite. For a classification the target may be any kind of label: text and numbers other than 0, 1,
    ... are numbered in sorted order (for a 0/1 target: two labels become 0 and 1, K > 2 labels become K columns,
    one-hot, where the model takes them).

    path : a file, or a folder of Parquet or Arrow parts; ``key=value`` in the names of its folders are columns.  Text
        may be compressed (gzip, bzip2, zstd, lz4).
    target : name of the target column, or a list of names where the model takes several.
    features : names of the feature columns in the order wanted; unless given, all other columns but the index that
        pandas has saved in a Parquet file. A column without a name, as the index has in a CSV file, is refused then.
    n : take the first n rows only; what follows them is not read.
    max_bytes : larger files are refused, before and after they are unpacked.
    sep : what separates the fields of text: one character, ``tab`` or ``blanks``; found unless given.
    decimal : ``.`` or ``,``; found unless given.
    comment : one character; what follows it on a line of text is left out. Lines of # or % are found unless given.
    na : one word or a list of words that stand for a missing value, beside the usual ones. Rows with a missing value
        in a column that is used are refused unless it is given, and left out where it is.
    """

    path: str = "???"
    target: Any = None
    features: list[str] | None = None
    n: int | None = None
    standardize: bool = False
    max_bytes: int = 2**30
    sep: str | None = field(default=None, metadata={"since": 2})
    decimal: str | None = field(default=None, metadata={"since": 2})
    comment: str | None = field(default=None, metadata={"since": 2})
    na: Any = field(default=None, metadata={"since": 2})

    def validate(self) -> None:
        require_text("data.path", self.path, "the path of a table: a file or a folder of Parquet parts")
        targets = self._targets()
        if not targets or len(set(targets)) != len(targets):
            given = "null" if self.target is None else self.target
            raise ValueError(f"data.target={given}: must be the name of a column, or a list of different names")
        if self.features is not None:
            require_list("data.features", self.features, "column names")
            names = [str(name) for name in self.features]
            if len(set(names)) != len(names):
                raise ValueError(f"data.features={names}: a name appears twice")
            if both := [name for name in names if name in targets]:
                raise ValueError(f"data.features={names}: {both[0]} is the target")
        if self.n is not None:
            require_count("data.n", self.n)
        require_flag("data.standardize", self.standardize)
        require_count("data.max_bytes", self.max_bytes)
        self._validate_text()

    def _validate_text(self) -> None:
        sign = self._separator()
        if sign is not None and (len(sign) != 1 or sign.isalnum() or not sign.isascii() or sign in '"\r\n.+-_\\'):
            raise ValueError(
                f"data.sep={self.sep}: must be one character between fields, such as ';', or tab or blanks"
            )
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"data.decimal={self.decimal}: must be '.' or ','")
        if self.comment is not None and (
            len(self.comment) != 1
            or self.comment.isalnum()
            or not self.comment.isascii()
            or self.comment in '" \t\r\n.+-'
        ):
            raise ValueError(f"data.comment={self.comment}: must be the one character with which comments begin")
        if self.comment is not None and self.comment == sign:
            raise ValueError(f"data.comment={self.comment}: is data.sep, too")
        for word in self.na if isinstance(self.na, list | tuple) else [self.na]:
            if isinstance(word, bool | list | tuple | dict):
                raise ValueError(
                    f"data.na={self.na}: must be a word that stands for a missing value, or a list of them"
                )

    def sources(self) -> list[Path]:
        from gradcheck.experiment.sources import tables

        return tables.parts_of(self._path)

    def facts(self) -> list[object]:
        """What decides the examples beside the content of the files: what the folders of parts are called."""
        from gradcheck.experiment.sources import tables

        found = [tables.partition(part, self._path) for part in self.sources()]
        return [{"partitions": found}] if any(found) else []

    def size(self, target: Target) -> tuple[int, int, int]:
        chosen = self._chosen()
        return len(chosen), len(chosen.features), target.outputs(len(chosen.targets))

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        chosen = self._chosen()
        y = self._y(chosen, target)
        X = chosen.numbers()
        if self.n is not None and self.n > len(X):
            raise ValueError(
                f"data.n={self.n}: {self.path} has {len(X)} rows" + chosen.lacking(" without a missing value")
            )
        return as_batch(X, y, self.standardize, dtype)

    def notes(self, target: Target) -> list[str]:
        if isinstance(target, NoTarget):
            return []
        chosen = self._chosen()
        found = [f"data.path={self.path}: read with {chosen.said}"] if chosen.said else []
        if left := chosen.index:
            found.append(f"data.path={self.path}: the index is no feature: {', '.join(left)} left out")
        if chosen.left_out:
            found.append(f"data.na: {chosen.left_out} row{'s' * (chosen.left_out != 1)} with a missing value left out")
        if target.labels and len(chosen.targets) == 1:
            named = target.numbering(chosen.labels("data.target"))
            shown = [f"{name} is {i}" for i, name in enumerate(named or ())]
            more = [f"… ({len(shown)} classes)"] if len(shown) > 10 else []
            if shown:
                found.append(f"data.target={self.target}: {', '.join(shown[:10] + more)}")
        return found

    def left_out(self) -> list[str]:
        """The columns of the file that are neither features nor the target because they are its index."""
        return [] if self.features is not None else list(self._chosen().index)

    @property
    def _path(self) -> Path:
        return local(self.path)

    def _chosen(self) -> Chosen:
        from gradcheck.experiment.sources import tables

        words = self.na if isinstance(self.na, list | tuple) else [] if self.na is None else [self.na]
        return tables.choose(
            tables.Wanted(
                self._path,
                tuple(self._targets()),
                None if self.features is None else tuple(str(name) for name in self.features),
                self._separator(),
                self.decimal,
                self.comment,
                None if self.na is None else tuple("" if word is None else str(word) for word in words),
                self.n,
                self.max_bytes,
            )
        )

    def _separator(self) -> str | None:
        """The sign between fields, whose name may have been typed."""
        from gradcheck.experiment.sources.tables import BLANKS

        named = {"tab": "\t", "\\t": "\t", "blanks": BLANKS, "\\s+": BLANKS, "comma": ","}
        return None if self.sep is None else named.get(self.sep, self.sep)

    def _targets(self) -> list[str]:
        if self.target is None or self.target == "":
            return []
        return [str(name) for name in self.target] if isinstance(self.target, list | tuple) else [str(self.target)]

    def _y(self, chosen: Chosen, target: Target) -> np.ndarray:
        targets = self._targets()
        key = f"data.target={', '.join(targets)}"
        if target.columns and len(targets) != target.columns:
            raise ValueError(f"{key}: must be {target.columns} column(s) for this model")
        if target.labels and len(targets) == 1:
            return target.from_column(chosen.labels("data.target"), key)
        return target.from_numbers(chosen.target_numbers(), key)
