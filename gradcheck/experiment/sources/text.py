"""Windows of a text, each to be followed by its next token."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradcheck.columns.places import local
from gradcheck.experiment.sources.batches import as_batch, columns_of
from gradcheck.experiment.sources.settings import require_count, require_text
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers.embedding import PADDING
from gradcheck.models.step_target import PerStep
from gradcheck.models.target import Classes, NoTarget, Target
from gradcheck.numerics.streams import stream, validate_seed

SHIPPED = Path(__file__).parent / "texts" / "harbour.txt"
UNITS = ("characters", "words")
OTHER = 1  # the token of all that is too rare for one of its own


@dataclass
class Text(DataSource):
    """Windows of a text as sequences of tokens; the target is the next token, behind the window or behind each of its steps.

    A window lies within a line: where the line ends, token 0 fills it up. Token 1 stands for all that is too rare, 2, 3, ...
    for the most frequent ones. Where the model has fewer classes than there are tokens, the last class stands for all other
    tokens. A model of numbers, or of 0 and 1, gets one column for each of the first ``outputs`` tokens from token 1 on: 1 in
    that of the next token.

    path : a text file in UTF-8; null is a small text that comes with the package.
    unit : what a token is: ``characters`` or ``words``, between blanks.
    n, length : number of windows, and of their steps.   vocabulary : number of tokens, padding and token 1 included.
    seed : draws where the windows begin.
    """

    path: str | None = None
    unit: str = "characters"
    n: int = 6
    length: int = 5
    vocabulary: int = 8
    seed: int = 0
    outputs: int = 1
    max_bytes: int = 2**26

    def validate(self) -> None:
        if self.path is not None:
            require_text("data.path", self.path, "the path of a text file, or null for the one of the package")
        if self.unit not in UNITS:
            raise ValueError(f"data.unit={self.unit}: must be one of {', '.join(UNITS)}")
        for key, value in (("n", self.n), ("length", self.length), ("vocabulary", self.vocabulary)):
            require_count(f"data.{key}", value)
        if self.vocabulary < 3:
            raise ValueError(f"data.vocabulary={self.vocabulary}: must be >= 3: padding, other tokens and one token")
        require_count("data.outputs", self.outputs)
        require_count("data.max_bytes", self.max_bytes)
        validate_seed("data.seed", self.seed)

    def sources(self) -> list[Path]:
        return [self._path]

    def size(self, target: Target) -> tuple[int, int, int]:
        return self.n, self.length, self._columns(target)

    def batch(self, target: Target, dtype: DTypeLike) -> Batch:
        if isinstance(target, NoTarget):
            return NO_BATCH
        columns = self._columns(target)
        tokens, following = self._windows()
        real = tokens != PADDING
        if isinstance(target, PerStep):
            y = target.filled(self._targets(following[real], target, columns), real)
        else:
            behind = following[np.arange(self.n), real.sum(axis=1) - 1]
            y = self._targets(behind, target, columns)
        return as_batch(tokens.astype(np.float64), y, False, dtype)

    def notes(self, target: Target) -> list[str]:
        if isinstance(target, NoTarget):
            return []
        shown = ", ".join(f"{self._numbers.get(token, OTHER)} is {token!r}" for token in list(self._numbers)[:10])
        return [f"data.vocabulary={self.vocabulary}: token 0 is padding, 1 all others, {shown}"]

    @property
    def _path(self) -> Path:
        return SHIPPED if self.path is None else local(self.path)

    @property
    def _lines(self) -> tuple[tuple[str, ...], ...]:
        try:
            size, changed = self._path.stat().st_size, self._path.stat().st_mtime_ns
            if size > self.max_bytes:
                raise ValueError(
                    f"data.path={self.path}: has {size} bytes, more than data.max_bytes={self.max_bytes}; "
                    f"raise it with data.max_bytes={size}"
                )
            return _read(self._path, changed, self.unit)
        except UnicodeDecodeError:
            raise ValueError(f"data.path={self.path}: is no text in UTF-8") from None
        except OSError as error:
            raise ValueError(f"data.path={self.path}: {error.strerror or error}") from None

    @property
    def _numbers(self) -> dict[str, int]:
        """The tokens that have a number of their own, the most frequent first; equally frequent ones in sorted order."""
        counts = Counter(token for line in self._lines for token in line)
        ordered = sorted(counts, key=lambda token: (-counts[token], token))
        return {token: k for k, token in enumerate(ordered[: self.vocabulary - 2], start=OTHER + 1)}

    def _windows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The tokens of each window and those that follow each of its steps, both (n, length)."""
        numbers = self._numbers
        lines = [line for line in self._lines if len(line) >= 2]
        if not lines:
            raise ValueError(f"data.path={self.path}: has no line of two {self.unit} or more, must have one")
        ends = list(accumulate(len(line) - 1 for line in lines))
        tokens, following = np.zeros((2, self.n, self.length), dtype=np.intp)
        for i, place in enumerate(stream(self.seed, "data").integers(ends[-1], size=self.n)):
            k = int(np.searchsorted(ends, place, side="right"))
            start = int(place) - (ends[k - 1] if k else 0)
            window = [numbers.get(token, OTHER) for token in lines[k][start : start + self.length + 1]]
            tokens[i, : len(window) - 1], following[i, : len(window) - 1] = window[:-1], window[1:]
        return tokens, following

    @staticmethod
    def _targets(following: NDArray[np.intp], target: Target, columns: int) -> np.ndarray:
        """The targets of a list of next tokens, a row each."""
        if isinstance(target.each, Classes):
            return np.minimum(following, columns - 1)
        return (following[:, None] == np.arange(OTHER, OTHER + columns)).astype(np.float64)

    def _columns(self, target: Target) -> int:
        if isinstance(target.each, Classes):
            return target.each.size or self.vocabulary
        return columns_of(self.outputs, target)


@lru_cache(maxsize=8)  # a sweep asks for the same text for every cell; ``changed`` is the time of its last change
def _read(path: Path, changed: int, unit: str) -> tuple[tuple[str, ...], ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.strip() if unit == "characters" else line.split()) for line in lines)
