"""Examples from a CSV or Parquet file."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gradcheck.experiment.sources import tables
from gradcheck.experiment.sources.batches import as_batch
from gradcheck.experiment.sources.settings import require_count, require_flag, require_list, require_text
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import NoTarget, Target


@dataclass
class File(DataSource):
    """Examples from a CSV file (first line: column names) or a Parquet file.

    Numbers must be finite. For a classification the target may be text: labels are then numbered in sorted order (for
    a 0/1 target: two labels become 0 and 1, K > 2 labels become K columns, one-hot, where the model takes them). Class
    labels that are integers but not 0 .. model.n_classes - 1 are numbered in sorted order as well.

    path : file that ends in .csv, .parquet or .pq.
    target : name of the target column, or a list of names where the model takes several.
    features : names of the feature columns in the order wanted; unless given, all other columns but the index that
        pandas has saved in a Parquet file. A column without a name, as the index has in a CSV file, is refused then.
    n : take the first n rows only.
    max_bytes : larger files are refused.
    """

    path: str = "???"
    target: Any = None
    features: list[str] | None = None
    n: int | None = None
    standardize: bool = False
    max_bytes: int = 2**30

    def validate(self) -> None:
        require_text("data.path", self.path, "the path of a CSV or Parquet file")
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

    def sources(self) -> list[Path]:
        return [Path(self.path)]

    def size(self, target: Target) -> tuple[int, int, int]:
        path, targets = Path(self.path), self._targets()
        d = len(self._features(path, targets))
        return tables.n_rows(path, self.max_bytes), d, target.outputs(len(targets))

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        path, targets = Path(self.path), self._targets()
        y = self._y(path, targets, target)
        features = self._features(path, targets)
        X = np.empty((len(y), len(features)))
        for j, name in enumerate(features):
            X[:, j] = tables.numeric_column(path, str(name), "data.features", self.max_bytes)
        if self.n is not None:
            if self.n > len(X):
                raise ValueError(f"data.n={self.n}: {path} has {len(X)} rows")
            X, y = X[: self.n], y[: self.n]
        return as_batch(X, y, self.standardize, dtype)

    def left_out(self) -> list[str]:
        """The columns of the file that are neither features nor the target because they are its index."""
        if self.features is not None:
            return []
        targets = self._targets()
        return [name for name in tables.index_columns(Path(self.path), self.max_bytes) if name not in targets]

    def _features(self, path: Path, targets: list[str]) -> list[str]:
        if self.features is not None:
            return [str(name) for name in self.features]
        aside = {*targets, *self.left_out()}
        names = [name for name in tables.column_names(path, self.max_bytes) if name not in aside]
        without = set(tables.nameless(names))
        if without:
            named = [name for i, name in enumerate(names) if i not in without]
            use = (
                f"give it one, or say which to use with {_as_override('data.features', named)}"
                if named
                else "give it one"
            )
            raise ValueError(
                f"data.path={path}: column {names[min(without)]!r} has no name (pandas saves an index like this); {use}"
            )
        if not names:
            index = self.left_out()
            beside = f"the target {', '.join(targets)}" + (f" and the index {', '.join(index)}" if index else "")
            raise ValueError(f"data.features: {path} has no column beside {beside}")
        return names

    def _targets(self) -> list[str]:
        if self.target is None or self.target == "":
            return []
        return [str(name) for name in self.target] if isinstance(self.target, list | tuple) else [str(self.target)]

    def _y(self, path: Path, targets: list[str], target: Target) -> np.ndarray:
        key = f"data.target={', '.join(targets)}"
        if target.columns and len(targets) != target.columns:
            raise ValueError(f"{key}: must be {target.columns} column(s) for this model")
        if target.labels and len(targets) == 1:
            return target.from_column(tables.label_column(path, targets[0], "data.target", self.max_bytes), key)
        columns = [tables.numeric_column(path, name, "data.target", self.max_bytes) for name in targets]
        return target.from_numbers(np.stack(columns, axis=1), key)


def _as_override(key: str, names: list[str], limit: int = 300) -> str:
    """A list of names as an override, quoted for Hydra and the shell; a long list is cut off."""
    quoted = []
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name.lower() in ("true", "false", "null", "nan", "inf"):
            # Hydra takes backslashes before a quote in pairs, and an interpolation must not be one
            name = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (found[2] and '\\"'), name)
            name = '"' + name.replace("${", "\\${") + '"'
        quoted.append(name)
    text = shlex.quote(f"{key}=[{','.join(quoted)}]")
    return text if len(text) <= limit else f"{key}=[{quoted[0][:limit]},...] (of {len(names)} columns)"
