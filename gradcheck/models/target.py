"""What a model learns from: the kinds of target y, and how each is drawn, read from a source, checked and mislabelled.

A kind is a subclass of ``Target``; models name one, data sources ask it.  Other kinds, such as counts, can be added from
outside: what a kind does not say of itself (text as labels, wrong labels) is refused, never taken for another kind's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.errors import Meaningless

Array = np.ndarray

DEFAULT_CLASSES = 3  # of generated data, where the model leaves it open


@dataclass(frozen=True)
class Target(ABC):
    """A kind of target y (n, k), one row an example.

    size : columns of y, or the number of classes; 0 takes what the data have.
    labels : whether y says to which class an example belongs, so that a source may name classes by text.
    follows_scale : whether generated targets grow with ``scale`` as X does; labels stay what they are.
    cannot_flip : why there are no wrong labels of this kind, to follow the model's name; None where there are.
    """

    size: int = 0

    labels: ClassVar[bool] = False
    follows_scale: ClassVar[bool] = False
    cannot_flip: ClassVar[str | None] = "has targets that are no labels, which cannot be flipped"

    @property
    def columns(self) -> int:
        """How many columns y must have; 0 for any number."""
        return self.size

    @property
    def each(self) -> Target:
        """The kind of one row: another where an example has several rows, as a sequence with a target at each step."""
        return self

    def outputs(self, columns: int) -> int:
        """Number of outputs of a model for a y of so many columns."""
        return self.size or columns

    def example(self, outputs: int) -> Array:
        """y of one example of a model with so many outputs, (1, outputs), which takes no memory however many these are."""
        return np.broadcast_to(np.zeros(1), (1, outputs))

    @abstractmethod
    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        """y of generated examples, float64 or intp, from scores (n, outputs) whose scale is about 1."""

    @abstractmethod
    def check(self, y: Array, whose: str) -> None:
        """Raise ValueError, ``data.y=value: whose needs …``, unless y is of this kind and size."""

    def from_numbers(self, y: Array, key: str) -> Array:
        """y from columns of numbers (n, k) that a source holds.  Raises ValueError that begins with ``key``."""
        if self.size and y.shape[1] != self.size:
            raise ValueError(f"{key}: has {y.shape[1]} columns, must have {self.size} for this model")
        return y

    def from_labels(self, labels: Array | list[str], key: str) -> Array:
        """y from the classes (n,) of a data set, as whole numbers or text: here the numbers as they are.

        Raises ValueError or Meaningless that begins with ``key``.
        """
        if isinstance(labels, list):
            raise ValueError(f"{key}: holds {labels[0]!r}, must hold numbers only for this model")
        if self.size > 1:
            raise Meaningless(f"{key}: has one target, this model needs {self.size}")
        return labels[:, None]

    def numbering(self, column: Array | list[str]) -> list[str] | None:
        """The labels of a column (n,) of a table in the order in which they are numbered; None where they stand as they
        are.
        """
        return None

    def from_column(self, column: Array | list[str], key: str) -> Array:
        """y from one column (n,) of a table: text names classes, numbers are targets as they stand."""
        return self.from_labels(column, key) if isinstance(column, list) else self.from_numbers(column[:, None], key)

    def encoded(self, y: Array, outputs: int, dtype: DTypeLike) -> Array:
        """The outputs (n, outputs) of a model that is right about every example."""
        return y

    def flip(self, y: Array, hit: Array, outputs: int, rng: np.random.Generator) -> Array:
        """A copy of y with wrong labels at the flat indices ``hit``.  Raises Meaningless where they cannot be flipped."""
        raise Meaningless(f"bug=label_flip: the model {self.cannot_flip}")

    def without_other(self, y: Array) -> Array:
        """Those entries of y for which there is no other label."""
        return y[:0]


@dataclass(frozen=True)
class NoTarget(Target):
    """A model without examples, such as a function of theta alone."""

    def outputs(self, columns: int) -> int:
        return 0

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        raise Meaningless("this model takes no data, must have data=none")

    def check(self, y: Array, whose: str) -> None:
        """There are no data to check."""


def require_columns(y: Array, size: int, whose: str) -> None:
    """Raise ValueError unless y is (n, size) floating numbers, (n, k) for size 0."""
    if y.ndim != 2 or y.dtype.kind != "f" or y.shape[1] < 1 or y.shape[1] != (size or y.shape[1]):
        wanted = "(n, k) with k >= 1 target columns" if not size else f"{size} target columns, (n, {size})"
        wanted = "one target column, (n, 1)" if size == 1 else wanted
        raise ValueError(f"data.y of shape {y.shape}: {whose} needs {wanted}")


@dataclass(frozen=True)
class Real(Target):
    """Numbers of any size, (n, size)."""

    follows_scale = True
    cannot_flip = "has real targets, which cannot be flipped"

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        return scores

    def check(self, y: Array, whose: str) -> None:
        require_columns(y, self.size, whose)


@dataclass(frozen=True)
class Binary(Target):
    """0 and 1, (n, size).

    allowed : what else y may hold: nothing, ``probabilities`` between 0 and 1, or any ``numbers``.
    """

    allowed: Literal["labels", "probabilities", "numbers"] = "labels"

    labels = True
    cannot_flip = None

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        return _bernoulli(scores, rng)

    def check(self, y: Array, whose: str) -> None:
        require_columns(y, self.size, whose)
        wrong, words = y[:0], ""
        if self.allowed == "labels":
            wrong, words = y[(y != 0) & (y != 1)], "targets 0 or 1"
        elif self.allowed == "probabilities":
            wrong, words = y[(y < 0) | (y > 1)], "0 <= y <= 1"
        if wrong.size:
            raise ValueError(f"data.y={float(wrong.flat[0]):g}: {whose} needs {words}")

    def numbering(self, column: Array | list[str]) -> list[str] | None:
        """Words, and two numbers that are no targets as they stand, in sorted order."""
        if isinstance(column, list):
            return sorted(set(column))
        distinct = np.unique(column)
        as_they_are = self.allowed == "numbers" or np.isin(distinct, (0, 1)).all()
        if as_they_are or (self.allowed == "probabilities" and distinct[0] >= 0 and distinct[-1] <= 1):
            return None
        return [f"{value:g}" for value in distinct] if len(distinct) == 2 else None

    def from_column(self, column: Array | list[str], key: str) -> Array:
        """As `numbering` says; other numbers as they stand."""
        if isinstance(column, list) or self.numbering(column) is None:
            return super().from_column(column, key)
        return np.asarray(column[:, None] == column.max(), dtype=np.float64)

    def from_labels(self, labels: Array | list[str], key: str) -> Array:
        """Two classes as one column of 0 and 1; K > 2 classes as K one-hot columns."""
        if isinstance(labels, list):
            _refuse_doubles(set(labels), key)
        classes = _class_numbers(labels, 0, key)
        n_classes = int(classes.max()) + 1
        columns = 1 if n_classes == 2 else n_classes
        if self.size not in (0, columns):
            named = ", ".join(map(repr, sorted(set(labels))[:4])) if isinstance(labels, list) else ""
            advice = (
                f": {named}{', …' * (n_classes > 4)}; model=softmax takes them, a word for a missing one goes into data.na=,"
                " the sign of a comment into data.comment="
            )
            raise Meaningless(
                f"{key}: has {n_classes} classes, this model needs {self.size} column(s) of 0 and 1{advice * bool(named)}"
            )
        positive = classes[:, None] == (1 if columns == 1 else np.arange(n_classes))
        return np.asarray(positive, dtype=np.float64)

    def flip(self, y: Array, hit: Array, outputs: int, rng: np.random.Generator) -> Array:
        wrong = y.copy()
        wrong.flat[hit] = 1 - wrong.flat[hit]
        return wrong

    def without_other(self, y: Array) -> Array:
        return y[(y != 0) & (y != 1)]


@dataclass(frozen=True)
class Classes(Target):
    """Class labels 0 .. size - 1, (n,) intp."""

    labels = True
    cannot_flip = None

    @property
    def columns(self) -> int:
        return 1

    def outputs(self, columns: int) -> int:
        return self.size or DEFAULT_CLASSES

    def example(self, outputs: int) -> Array:
        return np.array([outputs - 1])

    def draw(self, scores: Array, rng: np.random.Generator) -> Array:
        return _all_classes(scores)

    def check(self, y: Array, whose: str) -> None:
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise ValueError(f"data.y of shape {y.shape}: {whose} needs one column of class labels 0, 1, 2, ...")
        wrong = y[(y < 0) | (y >= (self.size or np.inf))]
        if wrong.size:
            below = f"0, 1, ... below model.n_classes={self.size}" if self.size else "0, 1, 2, ..."
            raise ValueError(f"data.y={int(wrong[0])}: {whose} needs class labels {below}")

    def from_numbers(self, y: Array, key: str) -> Array:
        if y.shape[1] != 1:
            raise ValueError(f"{key}: has {y.shape[1]} columns, must be one class label a row for this model")
        y = y.reshape(-1)
        outside = y[(y != np.round(y)) | (y < 0) | (y >= (self.size or np.inf))]
        if outside.size:
            highest = self.size - 1 if self.size else "K-1"
            raise ValueError(f"{key}: holds {outside[0]:g}, must hold class labels 0 .. {highest} for this model")
        return y.astype(np.intp)

    def numbering(self, column: Array | list[str]) -> list[str] | None:
        """Words, and numbers that are not 0, 1, 2, ... as they stand, in sorted order."""
        if isinstance(column, list):
            return sorted(set(column))
        distinct = np.unique(column)
        fit = distinct[0] >= 0 and distinct[-1] < (self.size or len(distinct))
        return None if fit else [f"{value:g}" for value in distinct]

    def from_labels(self, labels: Array | list[str], key: str) -> Array:
        return _class_numbers(labels, self.size, key)

    def from_column(self, column: Array | list[str], key: str) -> Array:
        return self.from_labels(column, key)

    def encoded(self, y: Array, outputs: int, dtype: DTypeLike) -> Array:
        """One-hot."""
        return np.asarray(np.eye(outputs, dtype=dtype)[y])

    def flip(self, y: Array, hit: Array, outputs: int, rng: np.random.Generator) -> Array:
        wrong = y.copy()
        wrong[hit] = (wrong[hit] + rng.integers(1, outputs, size=hit.size)) % outputs
        return wrong


def _bernoulli(scores: Array, rng: np.random.Generator) -> Array:
    """y (n, k) of 0 and 1 with P(y = 1) = sigmoid(score); both values in each column of two rows or more."""
    # a logistic variate L has P(L < s) = sigmoid(s), which needs no overflow-safe sigmoid
    margins = scores - rng.logistic(size=scores.shape)
    y = (margins > 0).astype(np.float64)
    if len(y) >= 2:
        for column, margin in zip(y.T, margins.T, strict=True):
            if column.min() == column.max():  # the row that came nearest to the other label takes it
                row = np.argmin(np.abs(margin))
                column[row] = 1.0 - column[row]
    return y


def _all_classes(scores: Array) -> NDArray[np.intp]:
    """argmax of each row of scores (n, K); a class that nobody has goes to the row with the highest score for it."""
    labels: NDArray[np.intp] = np.argmax(scores, axis=1)
    classes = scores.shape[1]
    if len(labels) >= classes:
        for missing in range(classes):
            counts = np.bincount(labels, minlength=classes)
            if counts[missing] == 0:
                spare = np.flatnonzero(counts[labels] > 1)
                labels[spare[np.argmax(scores[spare, missing])]] = missing
    return labels


def _class_numbers(labels: Array | list[str], size: int, key: str) -> NDArray[np.intp]:
    """Labels as 0 .. K-1: integers in 0 .. size-1 as they are, anything else by its rank among the sorted labels."""
    if not isinstance(labels, list):
        broken = labels[labels != np.round(labels)]
        if broken.size:
            raise ValueError(f"{key}: holds {broken[0]:g}, must hold class labels (integers or text) for this model")
        if size and labels.min() >= 0 and labels.max() < size:
            return labels.astype(np.intp)
        distinct, ranks = np.unique(np.asarray(labels), return_inverse=True)
        ordered: list[object] = list(distinct)
    else:
        ordered = [*sorted(set(labels))]
        rank = {label: i for i, label in enumerate(ordered)}
        ranks = np.fromiter((rank[label] for label in labels), dtype=np.intp, count=len(labels))
        _refuse_doubles(set(labels), key, capitals=0 < size < len(ordered))
    if len(ordered) < 2:
        raise ValueError(f"{key}: all labels are {ordered[0]}, must have two classes or more")
    if size and len(ordered) > size:
        raise ValueError(f"{key}: has {len(ordered)} classes, model.n_classes={size}")
    return ranks.reshape(-1).astype(np.intp)


def _refuse_doubles(labels: set[str], key: str, capitals: bool = True) -> None:
    """Raise ValueError for labels that differ in blanks or, where these count, in capitals only."""
    alike: dict[str, list[str]] = {}
    for label in sorted(labels):
        bare = " ".join(label.split())
        alike.setdefault(bare.casefold() if capitals else bare, []).append(label)
    for doubles in alike.values():
        if len(doubles) > 1:
            shown = ", ".join(map(repr, doubles[:5]))
            raise ValueError(f"{key}: the labels {shown} differ in capitals or blanks only; write them alike")
