"""The cells of two runs side by side: which are in both, under which id, and which are in one of them alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradcheck.columns.weights import SCHEMA_VERSION
from gradcheck.experiment.config import form
from gradcheck.experiment.config.canonical import canonical_json, section_of
from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.experiment.config.identity import UNHASHED, has_sources
from gradcheck.experiment.results.stored import Stored

Values = NDArray[np.object_]
Places = NDArray[np.int64]

# Columns of ``cells`` that are numbers and follow from those of the weights, and others that are compared.
FIGURES = ("loss", "max_rel_err", "median_rel_err", "norm_difference", "max_resolution", "median_resolution")
COUNTS = ("worst_flat_index", "n_evals")
WORDS = ("diagnosis_kind", "worst_param")
AXES = ("model", *FUNCTIONS, "data", "bug", "scheme", "dtype", "eps")
COLUMNS = ("cell", "status", "verdict", "n_weights", "seconds", *AXES, *FIGURES, *COUNTS, *WORDS)


class Cells:
    """Columns of ``cells`` of one run; a cell is known by its place."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self._table = stored.read_cells(list(COLUMNS)).combine_chunks()
        self.version = min((part.version for part in stored.cells), default=SCHEMA_VERSION)
        self.ids: list[str] = self._table["cell"].to_pylist()

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, column: str, places: Places) -> Values:
        """A column of text of some cells; None where it is not known."""
        found: Values = self._table[column].take(places).to_numpy()
        return found

    def numbers(self, column: str, places: Places) -> NDArray[np.float64]:
        """A column of numbers of some cells; NaN where one is not known."""
        return np.asarray(self._table[column].take(places).to_numpy(), dtype=np.float64)

    def axes(self, place: int) -> dict[str, object]:
        """The axes of a cell."""
        found: dict[str, object] = self._table.select(list(AXES)).slice(place, 1).to_pylist()[0]
        return found

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each cell is."""
        return {cell: i for i, cell in enumerate(self.ids)}

    def outcomes(self, places: Places) -> Values:
        """The verdict of some cells; the status of one that has none."""
        status = self.texts("status", places)
        return np.where(status == "ok", self.texts("verdict", places), status)


@dataclass(frozen=True)
class Pairs:
    """The cells of two runs by their places.

    both : rows (first, second) of the cells that are in both, in the order of the first.
    renamed : how many of these have another id in the second run, since the content of a file or a source is another.
    only : the cells that only the first has, and those that only the second has.
    """

    both: Places
    renamed: int = 0
    only: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))


def pair(first: Cells, second: Cells) -> Pairs:
    """Pair the cells of two runs: by id, and what is left by its settings.

    The id of a cell covers the content of its files and the source of its functions.  Where these changed between two runs
    the ids differ and the settings are equal: such cells are a pair, first with the names of files, then without.  Settings
    that several cells of a run share pair none of them.
    """
    found = {i: second.places[cell] for i, cell in enumerate(first.ids) if cell in second.places}
    same = len(found)
    taken = set(found.values())
    left = {i for i in range(len(first)) if i not in found}, {j for j in range(len(second)) if j not in taken}
    if all(left):
        forms = _with_sources(first, left[0]), _with_sources(second, left[1])
        for settings in (_settings, _without_names):
            known = [_single((place, settings(one)) for place, one in side.items()) for side in forms]
            for text in known[0].keys() & known[1].keys():
                i, j = known[0][text], known[1][text]
                found[i] = j
                del forms[0][i], forms[1][j]
                left[0].remove(i)
                left[1].remove(j)
    return Pairs(
        np.array(sorted(found.items()), dtype=np.int64).reshape(-1, 2),
        len(found) - same,
        ([first.ids[i] for i in sorted(left[0])], [second.ids[j] for j in sorted(left[1])]),
    )


def _with_sources(cells: Cells, wanted: set[int]) -> dict[int, Mapping[str, object]]:
    """The canonical configs of some cells whose id depends on the content of files or functions."""
    found: dict[int, Mapping[str, object]] = {}
    for row in cells.stored.cell_rows(["cell", "config"]):
        place = cells.places[str(row["cell"])]
        if place in wanted and (one := _canonical(row["config"])) is not None and has_sources(one):
            found[place] = one
    return found


def _canonical(config: object) -> Mapping[str, object] | None:
    """A recorded config in canonical form; None for what is no config."""
    try:
        return form.canonical(json.loads(str(config)))
    except (ValueError, AttributeError, TypeError, OSError, RecursionError):
        return None


def _settings(config: Mapping[str, object]) -> str:
    return canonical_json(config)


def _without_names(config: Mapping[str, object]) -> str:
    """The settings without the names of files, which are no part of an id."""
    named = {
        key: {k: v for k, v in section_of(config, key).items() if k not in UNHASHED}
        if key in ("data", "init")
        else part
        for key, part in config.items()
    }
    return canonical_json(named)


def _single(texts: Iterable[tuple[int, str]]) -> dict[str, int]:
    """The place of each text that stands once."""
    found: dict[str, int] = {}
    again: set[str] = set()
    for place, text in texts:
        if text in found:
            again.add(text)
        found[text] = place
    return {text: place for text, place in found.items() if text not in again}


def batches(cells: Cells, places: Places, most: int) -> Iterator[tuple[Places, int, int | None]]:
    """Indices into `places`, in pieces of about `most` weights, and the range of ``flat_index`` of each piece.

    A cell that has more weights is a piece by itself, window by window.
    """
    stored = sum(part.n_rows for part in cells.stored.errors)  # a row may say that there are more
    weights = np.clip(np.nan_to_num(cells.numbers("n_weights", places)), 0, stored)
    start, total = 0, 0.0
    for i, n in enumerate(weights):
        if start < i and total + n > most:
            yield np.arange(start, i), 0, None
            start, total = i, 0.0
        if n > most:
            for low in range(0, int(n), most):
                yield np.array([i]), low, low + most if low + most < n else None
            start, total = i + 1, 0.0
        else:
            total += n
    if start < len(weights):
        yield np.arange(start, len(weights)), 0, None
