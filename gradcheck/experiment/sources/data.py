"""Where examples come from: seeded generators, files, the data sets of scikit-learn, values in the config.

Every source is a dataclass of settings, a ``DataSource``; ``DATA`` finds it by name.
"""

import math
import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.errors import Meaningless
from gradcheck.experiment.sources import tables
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.target import DEFAULT_CLASSES, Classes, NoTarget, Target
from gradcheck.numerics.streams import stream, validate_seed


@dataclass
class Gaussian(DataSource):
    """Generated examples: correlated normal features and targets that depend on them.

    Rows of X are normal with mean 0, standard deviation `scale` and correlation `correlation` between any two features.
    Scores are S = X w* + noise e with w* ~ N(0, 1/d), e ~ N(0, 1), one column an output, and the target is

    - real: y = S;
    - binary: y ~ Bernoulli(sigmoid(S / scale)), both values in each column whenever n >= 2;
    - classes: y = argmax of the row of scores, every class present whenever n >= number of classes.

    Labels are made from X / scale, so that `scale` moves X and leaves the labels. w*, X, e and the draws of the labels
    have streams of their own, filled row by row: a larger n keeps the first rows, another `noise` keeps X. (Two
    exceptions: rows relabelled because a class was missing, and `standardize`, which depends on all rows.)

    n, d : number of examples and of features.
    outputs : columns of y, where the model takes any number.
    """

    n: int = 100
    d: int = 5
    seed: int = 0
    noise: float = 0.1
    scale: float = 1.0
    correlation: float = 0.0
    outputs: int = 1
    standardize: bool = False

    def validate(self) -> None:
        for key, value in (("n", self.n), ("d", self.d), ("outputs", self.outputs)):
            _validate_count(f"data.{key}", value)
        validate_seed("data.seed", self.seed)
        _validate_number("data.noise", self.noise, low=0.0)
        _validate_number("data.scale", self.scale, low=0.0, strict=True)
        # the equicorrelation matrix is positive semidefinite exactly on this interval
        _validate_number("data.correlation", self.correlation, low=-1 / max(self.d - 1, 1), high=1.0)
        _validate_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        return self.n, self.d, self._columns(target)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        columns = self._columns(target)
        weights_rng, X_rng, noise_rng, label_rng = stream(self.seed, "data").spawn(4)
        # one row of normals per output, so that another output keeps the weights of the first ones
        weights = weights_rng.standard_normal((columns, self.d)).T / math.sqrt(self.d)
        X = _equicorrelated(X_rng.standard_normal((self.n, self.d)), self.correlation)
        noise = self.noise * noise_rng.standard_normal((self.n, columns))
        if target.follows_scale:
            X *= self.scale
        y = target.draw(_product(X, weights) + noise, label_rng)
        if not target.follows_scale:
            X *= self.scale
        return _batch(X, y, self.standardize, dtype)

    def _columns(self, target: Target) -> int:
        if target.columns and self.outputs not in (1, target.columns):
            whose = "class labels (see model.n_classes)" if isinstance(target, Classes) else "this model"
            raise Meaningless(f"data.outputs={self.outputs}: must be {target.columns} for {whose}")
        return target.outputs(self.outputs)


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
        _validate_text("data.path", self.path, "the path of a CSV or Parquet file")
        targets = self._targets()
        if not targets or len(set(targets)) != len(targets):
            given = "null" if self.target is None else self.target
            raise ValueError(f"data.target={given}: must be the name of a column, or a list of different names")
        if self.features is not None:
            _validate_list("data.features", self.features, "column names")
            names = [str(name) for name in self.features]
            if len(set(names)) != len(names):
                raise ValueError(f"data.features={names}: a name appears twice")
            if both := [name for name in names if name in targets]:
                raise ValueError(f"data.features={names}: {both[0]} is the target")
        if self.n is not None:
            _validate_count("data.n", self.n)
        _validate_flag("data.standardize", self.standardize)
        _validate_count("data.max_bytes", self.max_bytes)

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
        return _batch(X, y, self.standardize, dtype)

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

    def _y(self, path: Path, targets: list[str], target: Target) -> NDArray[Any]:
        key = f"data.target={', '.join(targets)}"
        if target.columns and len(targets) != target.columns:
            raise ValueError(f"{key}: must be {target.columns} column(s) for this model")
        if target.labels and len(targets) == 1:
            return target.from_column(tables.label_column(path, targets[0], "data.target", self.max_bytes), key)
        columns = [tables.numeric_column(path, name, "data.target", self.max_bytes) for name in targets]
        return target.from_numbers(np.stack(columns, axis=1), key)


@dataclass
class Sklearn(DataSource):
    """A real data set that scikit-learn ships (nothing is downloaded).

    breast_cancer (569 x 30, two classes), diabetes (442 x 10, regression), iris (150 x 4, three classes), wine (178 x
    13, three classes), digits (1797 x 64, ten classes). A regression model takes class numbers as numbers; a model with
    any number of 0/1 outputs takes three or more classes one-hot.

    n : take n rows, spread evenly over the set (iris and wine are sorted by class).
    standardize : features have very different units, so this is the default here.
    """

    name: str = "???"
    n: int | None = None
    standardize: bool = True

    def validate(self) -> None:
        if self.name not in _SKLEARN:
            raise ValueError(f"data.name={self.name}: must be one of {', '.join(_SKLEARN)}")
        if self.n is not None:
            _validate_count("data.n", self.n)
        _validate_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        n, d = _load_sklearn(self.name)[0].shape
        return self.n or n, d, target.outputs(DEFAULT_CLASSES)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        key = f"data.name={self.name}"
        X, labels = _load_sklearn(self.name)
        if self.name in _REGRESSION and target.labels:
            raise Meaningless(f"{key}: has a real target, this model needs classes")
        y = target.from_labels(labels, key)
        if self.n is not None:
            if self.n > len(X):
                raise ValueError(f"data.n={self.n}: {self.name} has {len(X)} rows")
            rows = np.arange(self.n) * len(X) // self.n
            X, y = X[rows], y[rows]
        return _batch(X, y, self.standardize, dtype)


@dataclass
class Values(DataSource):
    """Examples written in the config itself.

    X : n rows of d numbers.
    y : n numbers, or n rows of k numbers; class labels are integers 0 .. K-1, one a row.
    """

    X: Any = None
    y: Any = None
    standardize: bool = False

    def validate(self) -> None:
        X = _finite("data.X", self.X)
        y = _finite("data.y", self.y)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"data.X: has the shape {X.shape}, must be a list of rows of equal length (n, d)")
        if y.ndim not in (1, 2) or 0 in y.shape:
            raise ValueError(f"data.y: has the shape {y.shape}, must be a list of n numbers or of n rows")
        if len(X) != len(y):
            raise ValueError(f"data.y: has {len(y)} rows, data.X has {len(X)}: must be equally many")
        _validate_flag("data.standardize", self.standardize)

    def size(self, target: Target) -> tuple[int, int, int]:
        n, d = _finite("data.X", self.X).shape
        return n, d, target.outputs(DEFAULT_CLASSES)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        self.validate()
        X, y = _finite("data.X", self.X), _finite("data.y", self.y)
        return _batch(X, target.from_numbers(y.reshape(len(y), -1), "data.y"), self.standardize, dtype)


@dataclass
class NoData(DataSource):
    """No examples, for a model that is a function of its parameters alone."""

    def validate(self) -> None:
        pass

    def size(self, target: Target) -> tuple[int, int, int]:
        return 0, 0, 0

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if not isinstance(target, NoTarget):
            raise Meaningless("data=none: this model needs data, such as data=gaussian")
        return NO_BATCH


DATA: dict[str, type[DataSource]] = {
    "gaussian": Gaussian,
    "file": File,
    "sklearn": Sklearn,
    "values": Values,
    "none": NoData,
}

_SKLEARN = ("breast_cancer", "diabetes", "iris", "wine", "digits")
_REGRESSION = ("diabetes",)


def standardized(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of X (n, d) with mean 0 and standard deviation 1: ``(x - mean) / std``, std with divisor n.

    A constant column has no deviation to divide by and becomes 0.
    """
    columns = np.ascontiguousarray(X.T)  # a sum along the contiguous axis is pairwise
    constant = columns.min(axis=1) == columns.max(axis=1)
    centred = columns - columns.mean(axis=1, keepdims=True)
    centred[constant] = 0.0
    # squares of the centred column over its largest entry neither overflow nor vanish
    peak = np.abs(centred).max(axis=1, keepdims=True)
    peak[peak == 0.0] = 1.0
    centred /= peak
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    deviation[deviation == 0.0] = 1.0
    return np.ascontiguousarray((centred / deviation).T)


def _batch(X: NDArray[Any], y: NDArray[Any], standardize: bool, dtype: DTypeLike) -> Batch:
    if standardize:
        X = standardized(X)
    return Batch(_cast(X, dtype), y if y.dtype.kind == "i" else _cast(y, dtype))


def _cast(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    with np.errstate(over="ignore", under="ignore"):
        cast = np.array(values, dtype=dtype, order="C")
    if not np.isfinite(cast).all():
        worst = np.abs(values).max()
        raise ValueError(f"data: holds numbers up to {worst:g}, which dtype={np.dtype(dtype).name} cannot represent")
    return cast


def _equicorrelated(Z: NDArray[np.float64], correlation: float) -> NDArray[np.float64]:
    """Rows with covariance R = (1 - c) I + c 11^T from standard normal rows Z (n, d): Z R^(1/2).

    The root is a I + b 11^T with a = sqrt(1 - c) and a + d b = sqrt(1 + (d - 1) c); for c = 0 it is the identity.
    """
    d = Z.shape[1]
    if d == 1:
        return Z
    a = math.sqrt(1 - correlation)
    b = (math.sqrt(max(0.0, 1 + (d - 1) * correlation)) - a) / d
    mixed: NDArray[np.float64] = a * Z + b * Z.sum(axis=1, keepdims=True)
    return mixed


def _product(X: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """X @ weights by NumPy's own loops: BLAS kernels differ between machines and with the number of rows."""
    product: NDArray[np.float64] = np.einsum("nd,dk->nk", X, weights)
    return product


@lru_cache(maxsize=5)  # a sweep asks for the same set for every cell
def _load_sklearn(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError:
        raise ValueError(
            f"data.name={name}: needs scikit-learn, which is not installed: pip install 'gradcheck[sklearn]'"
        ) from None
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X, y = np.array(X, dtype=np.float64), np.array(y, dtype=np.float64)
    X.flags.writeable = y.flags.writeable = False  # shared between calls
    return X, y


def _finite(key: str, values: Any) -> NDArray[np.float64]:
    if values is None:
        raise ValueError(f"{key}: must be given, a list of numbers")
    try:
        raw = np.asarray(values)
    except ValueError:
        raise ValueError(f"{key}: its rows have different lengths, must be rectangular") from None
    if raw.size and raw.dtype.kind not in "biuf":
        raise ValueError(f"{key}: must hold numbers only")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{key}: holds {array[~np.isfinite(array)][0]}, must hold finite numbers only")
    return array


def _as_override(key: str, names: list[str], limit: int = 300) -> str:
    """A list of names as it is typed for Hydra and the shell; of a long one the beginning."""
    quoted = []
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name.lower() in ("true", "false", "null", "nan", "inf"):
            # Hydra takes backslashes before a quote in pairs, and an interpolation must not be one
            name = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + (found[2] and '\\"'), name)
            name = '"' + name.replace("${", "\\${") + '"'
        quoted.append(name)
    text = shlex.quote(f"{key}=[{','.join(quoted)}]")
    return text if len(text) <= limit else f"{key}=[{quoted[0][:limit]},...] (of {len(names)} columns)"


def _validate_count(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{key}={value}: must be an integer >= 1")


def _validate_text(key: str, value: object, allowed: str) -> None:
    if not isinstance(value, str) or value in ("", "???"):  # ??? is OmegaConf's mark of a missing value
        raise ValueError(f"{key}={value}: must be {allowed}")


def _validate_list(key: str, value: object, content: str) -> None:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{key}={value}: must be a list of {content}")


def _validate_flag(key: str, value: object) -> None:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{key}={value}: must be true or false")


def _validate_number(key: str, value: object, low: float, high: float = math.inf, strict: bool = False) -> None:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high or (strict and value == low):  # type: ignore[arg-type, operator]
        limits = f"> {low:g}" if strict else f">= {low:g}"
        raise ValueError(
            f"{key}={value}: must be a finite number {limits}" + (f" and <= {high:g}" if high < math.inf else "")
        )
