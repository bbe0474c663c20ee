"""What differs between two recorded runs: cells, verdicts, numbers in units of their bounds, seconds.

The numbers are compared as those of a run that is computed again (`comparison`), the second run in place of the new
computation.  The weights of both runs are read in pieces, so that memory does not grow with the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from gradcheck.columns.weights import ERRORS
from gradcheck.experiment.replay import intervals
from gradcheck.experiment.replay.comparison import Apart, Column, same_bits
from gradcheck.experiment.replay.intervals import Array, Flags
from gradcheck.experiment.replay.pairs import (
    COLUMNS,
    COUNTS,
    FIGURES,
    WORDS,
    Cells,
    Pairs,
    Places,
    Values,
    batches,
    pair,
)
from gradcheck.experiment.results import provenance
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.unfinished import unfinished

if TYPE_CHECKING:
    from gradcheck.columns.places import Place

AT_A_TIME = 2**18  # weights of each run in memory
MOST_LISTED = 10_000  # weights with another verdict; all are counted
_NAMES = ("param", "position")
_WORDS = ("verdict", "reason", "step_rule")


class Where(NamedTuple):
    """A weight of both runs: its cell in the first, and its name."""

    cell: str
    flat_index: int
    param: str | None
    position: Sequence[int] | None


@dataclass
class Number(Column):
    """A column that both runs have.   furthest : the weight, or the cell, that is furthest apart."""

    furthest: Where | None = None


class Changed(NamedTuple):
    """A cell or a weight whose verdict is another in the second run."""

    cell: str
    second_cell: str
    first: str | None
    second: str | None
    axes: Mapping[str, object]
    where: Where | None = None


@dataclass
class Seconds:
    """What the cells took that both runs computed."""

    cells: int
    first: float
    second: float

    @property
    def ratio(self) -> float | None:
        """The second run's seconds over the first's."""
        return self.second / self.first if self.first > 0 else None


@dataclass
class Difference:
    """What differs between two runs.

    only : the cells of one run alone.   renamed : cells of both whose id changed with a file or a source.
    cells, weights : those with another verdict, of which `n_weights` counts all.
    alone : weights of cells in both that one run alone has.
    """

    n_cells: tuple[int, int]
    both: int
    renamed: int
    only: tuple[list[str], list[str]]
    seconds: Seconds
    cells: list[Changed] = field(default_factory=list)
    weights: list[Changed] = field(default_factory=list)
    n_weights: int = 0
    alone: list[int] = field(default_factory=lambda: [0, 0])
    numbers: dict[str, Number] = field(default_factory=dict)
    figures: dict[str, Number] = field(default_factory=dict)
    provenance: list[tuple[str, object, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether a verdict changed."""
        return bool(self.cells or self.n_weights)

    @property
    def nothing(self) -> bool:
        """Whether the runs hold the same, seconds included."""
        columns = [*self.numbers.values(), *self.figures.values()]
        return not (
            self.changed
            or self.renamed
            or any(self.only)
            or any(self.alone)
            or any(column.identical < column.compared for column in columns)
            or self.seconds.first != self.seconds.second
            or self.provenance
            or self.notes
        )


def difference(first: Place, second: Place, at_a_time: int = AT_A_TIME) -> Difference:
    """What differs between two runs.

    at_a_time : how many weights of each run are in memory.

    Raises BadInput where one of them is no run.
    """
    stored = Stored(first, ahead=COLUMNS.__contains__), Stored(second, ahead=COLUMNS.__contains__)
    sides = Cells(stored[0]), Cells(stored[1])
    pairs = pair(*sides)
    found = Difference(
        (len(sides[0]), len(sides[1])), len(pairs.both), pairs.renamed, pairs.only, _seconds(sides, pairs)
    )
    found.provenance = provenance.differences(stored[0].provenance, stored[1].provenance)
    found.notes = [
        f"{folder}: {note}"
        for folder, one in zip((first, second), stored, strict=True)
        for note in (*filter(None, [unfinished(one)]), *one.notes)
    ]
    words: tuple[str, ...] = _WORDS
    if _other_words(*sides):
        old = (first, second)[sides[0].version > sides[1].version]
        found.notes.append(
            f"{old}: is of version 1, which has no verdict partial and other reasons: partial is taken as match, reasons"
            " are not compared"
        )
        words = ("verdict", "step_rule")
    _compare_cells(found, sides, pairs)
    found.numbers = {name: Number(name) for name in (*intervals.NUMBERS, *words[1:])}
    for rows, low, high in batches(sides[0], pairs.both[:, 0], at_a_time):
        _compare_weights(found, sides, pairs.both[rows], (low, high), words)
    return found


def _seconds(sides: tuple[Cells, Cells], pairs: Pairs) -> Seconds:
    taken = []
    done = np.ones(len(pairs.both), dtype=bool)
    for side, places in zip(sides, pairs.both.T, strict=True):
        taken.append(side.numbers("seconds", places))
        done &= (side.texts("status", places) == "ok") & ~np.isnan(taken[-1])
    return Seconds(int(done.sum()), *(float(one[done].sum()) for one in taken))


# ------------------------------------------------------------------------------------------------------------- of cells


def _other_words(first: Cells, second: Cells) -> bool:
    """Whether one of the runs alone has the words of version 1."""
    return (first.version < 2) != (second.version < 2)


def _compare_cells(found: Difference, sides: tuple[Cells, Cells], pairs: Pairs) -> None:
    """Add the cells whose verdict or status changed, and count the figures that differ."""
    first, second = sides
    mine, theirs = pairs.both.T
    before, after = first.outcomes(mine), second.outcomes(theirs)
    if _other_words(first, second):
        before, after = (np.where(one == "partial", "match", one) for one in (before, after))
    for i in np.flatnonzero(before != after):
        ids = first.ids[mine[i]], second.ids[theirs[i]]
        found.cells.append(Changed(*ids, before[i], after[i], second.axes(theirs[i])))
    for name in (*FIGURES, *COUNTS, *WORDS):
        if name == "n_evals" and first.version != second.version:
            continue  # each version spends other evaluations
        if name in WORDS:
            same: Flags = np.asarray(first.texts(name, mine) == second.texts(name, theirs), dtype=bool)
        else:
            same = same_bits(first.numbers(name, mine), second.numbers(name, theirs))
        column = found.figures[name] = Number(name)
        if (place := column.add(same, np.zeros(len(same)), "")) is not None:
            column.furthest = Where(first.ids[mine[place]], 0, None, None)


# ----------------------------------------------------------------------------------------------------------- of weights


class Weights(NamedTuple):
    """Weights of some cells.   pair : the place of each one's cell in the batch; flat : its flat index."""

    pair: Places
    flat: Places
    numbers: dict[str, Array]
    words: dict[str, Values]
    names: pa.Table

    def at(self, rows: Places) -> Weights:
        """Some of them."""
        return Weights(
            self.pair[rows],
            self.flat[rows],
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column[rows] for name, column in self.words.items()},
            self.names.take(rows),
        )

    def where(self, row: int, cell: str) -> Where:
        """The name of one of them."""
        names = self.names.slice(row, 1).to_pylist()[0]
        return Where(cell, int(self.flat[row]), names["param"], names["position"])


def _compare_weights(
    found: Difference,
    sides: tuple[Cells, Cells],
    batch: Places,
    window: tuple[int, int | None],
    words: Sequence[str],
) -> None:
    """Add the comparison of the weights of a batch of cells."""
    ids = [
        np.array([side.ids[place] for place in places], dtype=object)
        for side, places in zip(sides, batch.T, strict=True)
    ]
    every = [_weights(side.stored, own, window, words) for side, own in zip(sides, ids, strict=True)]
    keys = _keys(*every)
    _, mine, theirs = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    for i, key in enumerate(keys):
        found.alone[i] += len(key) - len(mine)
    old, new = every[0].at(mine), every[1].at(theirs)
    dtypes = sides[1].texts("dtype", batch[:, 1])[new.pair]
    for dtype in dict.fromkeys(dtypes.tolist()):
        rows = np.flatnonzero(dtypes == dtype)
        _compare_numbers(found, old.at(rows), new.at(rows), str(dtype), ids[0])
    for name in words[1:]:
        column = found.numbers[name]
        same = np.asarray(old.words[name] == new.words[name], dtype=bool)
        if (place := column.add(same, np.zeros(len(same)), ids[0][new.pair])) is not None:
            column.furthest = new.where(place, ids[0][new.pair[place]])
    turned = np.flatnonzero(old.words["verdict"] != new.words["verdict"])
    found.n_weights += len(turned)
    for i in turned[: MOST_LISTED - len(found.weights)]:
        k = new.pair[i]
        verdicts = old.words["verdict"][i], new.words["verdict"][i]
        axes, where = sides[1].axes(batch[k, 1]), new.where(int(i), ids[0][k])
        found.weights.append(Changed(ids[0][k], ids[1][k], *verdicts, axes, where))


def _compare_numbers(found: Difference, old: Weights, new: Weights, dtype: str, ids: Values) -> None:
    chosen: Flags = np.asarray(new.words["step_rule"] == "auto", dtype=bool)
    apart = Apart(old.numbers, new.numbers, chosen, dtype, None)
    cells = ids[new.pair]
    for name in intervals.NUMBERS:
        column = found.numbers[name]
        if (place := column.add(apart.same[name], apart.distance[name], cells)) is not None:
            column.furthest = new.where(place, cells[place])


def _weights(stored: Stored, ids: Values, window: tuple[int, int | None], words: Sequence[str]) -> Weights:
    """The weights of some cells, those in a range of ``flat_index``."""
    words = list(dict.fromkeys([*words, "step_rule"]))
    columns = ["cell", "flat_index", *intervals.NUMBERS, *words, *_NAMES]
    order = {cell: i for i, cell in enumerate(ids.tolist())}
    low, high = window
    pieces = [ERRORS.empty_table().select(columns)]
    for table in stored.weight_tables(columns, set(order)):
        if low or high is not None:
            flat = table["flat_index"].to_numpy()
            table = table.filter((flat >= low) & (flat < (np.iinfo(np.int64).max if high is None else high)))
        pieces.append(table)
    table = pa.concat_tables(pieces)
    cells = table["cell"].combine_chunks().dictionary_encode()
    known = np.array([order[cell] for cell in cells.dictionary.to_pylist()], dtype=np.int64)
    return Weights(
        known[cells.indices.to_numpy()],
        table["flat_index"].to_numpy(),
        {name: table[name].to_numpy() for name in intervals.NUMBERS},
        {name: table[name].to_numpy() for name in words},
        table.select(list(_NAMES)),
    )


def _keys(first: Weights, second: Weights) -> tuple[Places, Places]:
    """One number for each weight, by which the weights of both runs are told apart."""
    flat, ranks = np.unique(np.concatenate([first.flat, second.flat]), return_inverse=True)
    n = len(first.flat)
    return first.pair * len(flat) + ranks[:n], second.pair * len(flat) + ranks[n:]
