"""The columns and rows of a table that are wanted, as arrays, or why they cannot be had."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import one_line
from gradcheck.experiment.sources.tables import columns
from gradcheck.experiment.sources.tables.columns import MISSING, NO_LABEL
from gradcheck.experiment.sources.tables.dialect import COMMENTS, looks_like_data, not_utf8
from gradcheck.experiment.sources.tables.wanted import Read, Wanted, bare, places

LEAVE_OUT = "; data.na=NA leaves out the rows that lack a value"
_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?(\.\d+)?")


@dataclass(frozen=True)
class Chosen:
    """The columns of a table that are targets and features, and the rows that are taken.

    targets, features : their places in the file.
    kept : the rows that are taken, of those that were read; None for all.
    left_out : how many rows before the last that is taken lack a value.
    """

    wanted: Wanted
    read: Read
    targets: tuple[int, ...]
    features: tuple[int, ...]
    index: tuple[str, ...]
    kept: NDArray[np.intp] | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return self.read.rows if self.kept is None else len(self.kept)

    @property
    def said(self) -> str:
        return self.read.said

    def lacking(self, words: str) -> str:
        """Some words where rows were left out."""
        return words if self.left_out else ""

    def numbers(self) -> NDArray[np.float64]:
        """The features, float64 (n, d).  Raises ValueError that names all columns that cannot be used."""
        X = np.empty((len(self), len(self.features)))
        faults: dict[int, str] = {}
        for j, place in enumerate(self.features):
            found = columns.numbers(self.read.columns[place])
            values = None if found is None else found.values
            if values is not None and self.kept is not None:
                X[:, j] = values[self.kept]
                fault = columns.Numbers(X[:, j], None).fault(str(self.wanted.path))
            else:
                fault = self._word_fault(place) if found is None else found.fault(str(self.wanted.path))
                if values is not None:
                    X[:, j] = values
            if fault is not None:
                faults[place] = fault
        if faults:
            raise self._refusal(faults)
        return X

    def target_numbers(self) -> NDArray[np.float64]:
        """The targets, float64 (n, k).  Raises ValueError."""
        return np.stack([self._numbers(place, "data.target") for place in self.targets], axis=1)

    def labels(self, key: str) -> NDArray[np.float64] | list[str]:
        """The one target: float64 (n,) where it is numeric, text where it is text.

        Raises ValueError for what stands for a missing label: an empty one would be a class.
        """
        place = self.targets[0]
        found = columns.labels(self.read.columns[place])
        if found is None:
            return self._numbers(place, key, "a label")
        words, codes = found
        name = self.read.names[place]
        if self.kept is None:
            if (codes < 0).any():
                row = int(np.argmin(codes)) + 1
                raise ValueError(
                    f"{key}={name}: the field in row {row} of {self.wanted.path} is missing or NaN, must be a label{LEAVE_OUT}"
                )
            absent = np.array([word.strip() in NO_LABEL for word in words])[codes]
            if absent.any():
                row = int(np.argmax(absent))
                word = words[codes[row]]
                shown = repr(word) if word.strip() else "empty"
                raise ValueError(
                    f"{key}={name}: the label in row {row + 1} of {self.wanted.path} is {shown}, which stands for a missing"
                    f" one; drop the row or name the class otherwise; \"data.na=['{word.strip()}']\" leaves such rows out"
                )
        else:
            codes = codes[self.kept]
        return [words[code] for code in codes.tolist()]

    def _numbers(self, place: int, key: str, wanted: str = "a number") -> NDArray[np.float64]:
        found = columns.numbers(self.read.columns[place])
        name = self.read.names[place]
        if found is None:
            advice = self._advice(place) or "name a column of numbers, or a model that takes labels"
            raise ValueError(f"{key}={name}: {self._word_fault(place)}{_or(advice)}")
        if self.kept is not None:
            found = columns.Numbers(found.values[self.kept], None)
        if (fault := found.fault(str(self.wanted.path), wanted)) is not None:
            raise ValueError(f"{key}={name}: {fault}{LEAVE_OUT if 'is missing' in fault else ''}")
        return found.values

    def _word_fault(self, place: int) -> str:
        if columns.is_bytes(self.read.columns[place]):
            raise not_utf8(self.wanted)
        found = columns.words_of(self.read.columns[place])
        where = f"{found.word!r} in row {found.row}" if found.row else found.word
        return f"holds {where}, must hold numbers only"

    def _advice(self, place: int) -> str:
        return columns.words_of(self.read.columns[place]).advice()

    def _refusal(self, faults: dict[int, str]) -> ValueError:
        """The error that some features cannot be used: the first one, the others by name, and what to do."""
        names = self.read.names
        first, *others = faults
        text = f"data.features={names[first]}: {faults[first]}"
        if others:
            text += f"; nor can {_some([names[i] for i in others])} be used"
        cures = []
        if columns.numbers(self.read.columns[first]) is None:
            cures.append(self._advice(first))
        elif "is missing" in faults[first]:
            cures.append("data.na=NA leaves out the rows that lack a value")
        good = [names[i] for i in self.features if i not in faults]
        if good and self.wanted.features is None:
            cures.append(f"{as_override('data.features', good)} takes the others")
        if not any(cures):
            cures.append("name the columns to use with data.features=")
        return ValueError(one_line(text + _or(*cures)))


def choose(wanted: Wanted, read: Read) -> Chosen:
    """The columns and rows that are wanted.  Raises ValueError that begins with the key that is wrong."""
    targets = tuple(_place(read, name, "data.target", wanted) for name in wanted.target)
    named = {read.names[i] for i in targets}
    index = () if wanted.features is not None else tuple(name for name in read.index if name not in named)
    features = _features(wanted, read, targets, index)
    chosen = Chosen(wanted, read, targets, features, index)
    if wanted.na is None:
        return chosen
    whole = np.flatnonzero(~_lacking(chosen, wanted.na))
    if len(whole) == read.rows:
        return chosen
    if not len(whole) and read.complete:
        raise ValueError(f"data.na: every row of {wanted.path} lacks a value in a column that is used")
    kept = whole if wanted.n is None else whole[: wanted.n]
    looked_at = read.rows if wanted.n is None or len(whole) < wanted.n else int(kept[-1]) + 1
    return Chosen(wanted, read, targets, features, index, kept, looked_at - len(kept))


def _lacking(chosen: Chosen, words: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows lack a value in a column that is used, (rows,) bool."""
    lacking = np.zeros(chosen.read.rows, dtype=np.bool_)
    missing = MISSING | {word.strip() for word in words}
    for place in (*chosen.targets, *chosen.features):
        column = chosen.read.columns[place]
        if (found := columns.numbers(column)) is not None:
            lacking |= found.missing(words)
        elif (text := columns.labels(column)) is not None:
            absent = np.array([*(word.strip() in missing for word in text[0]), True])
            lacking |= absent[text[1]]  # -1 is the last
    return lacking


def _features(wanted: Wanted, read: Read, targets: tuple[int, ...], index: tuple[str, ...]) -> tuple[int, ...]:
    if wanted.features is not None:
        found = tuple(_place(read, name, "data.features", wanted) for name in wanted.features)
        if both := [name for name, i in zip(wanted.features, found, strict=True) if i in targets]:
            raise ValueError(f"data.features={both[0]}: is the target")
        return found
    places_left = [i for i, name in enumerate(read.names) if i not in targets and name not in index]
    without = [i for i in places_left if not read.names[i].strip() or _UNNAMED.fullmatch(read.names[i].strip())]
    if without:
        named = [read.names[i] for i in places_left if i not in without]
        use = f"give it one, or say which to use with {as_override('data.features', named)}" if named else "give it one"
        raise wanted.refusal(f"column {read.names[without[0]]!r} has no name (pandas saves an index like this); {use}")
    if not places_left:
        beside = f"the target {', '.join(wanted.target)}" + (f" and the index {', '.join(index)}" if index else "")
        raise ValueError(f"data.features: {wanted.path} has no column beside {beside}")
    return tuple(_place(read, read.names[i], "data.features", wanted) for i in places_left)


def _place(read: Read, name: str, key: str, wanted: Wanted) -> int:
    found = places(read.names, name)
    if not found:
        data = f"; if its first line is data, its columns are f0 … f{len(read.names) - 1}, as in {key}=f0"
        hint = data if looks_like_data(read.names) else ""
        for sign in COMMENTS:
            if any(sign in one and bare(one.partition(sign)[0]) == bare(name) for one in read.names):
                hint = f"; if {sign} begins a comment, say \"data.comment='{sign}'\""
        hint = hint or _unsplit(read.names, name)
        raise ValueError(one_line(f"{key}={name}: no such column in {wanted.path}; it has {_some(read.names)}{hint}"))
    if len(found) > 1:
        cure = "give each its own, or say which to use with data.features="
        raise ValueError(one_line(f"{key}={name}: {len(found)} columns of {wanted.path} have this name; {cure}"))
    return found[0]


def _unsplit(names: Sequence[str], name: str) -> str:
    """What to type where a line of names was not split, or is none."""
    if any(one.strip().lower() in ("sep", "sep=") or one.strip().lower().startswith("sep=") for one in names):
        return "; take out the first line (sep=...), which is for Excel alone"
    if len(names) == 1:
        for sign in sorted({sign for sign in names[0] if not sign.isalnum() and not sign.isspace()}):
            if bare(name) in [bare(part) for part in names[0].split(sign)]:
                return f"; if {sign} separates the columns, say \"data.sep='{sign}'\""
    return ""


def _or(*cures: str) -> str:
    given = [cure for cure in cures if cure]
    return "; " + ", or ".join(given) if given else ""


def _some(names: Sequence[str], limit: int = 10) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, … ({len(names)} columns)"


def as_override(key: str, names: Sequence[str], limit: int = 1000) -> str:
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
