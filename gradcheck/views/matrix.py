"""The shares of planted bugs that were caught, by bug and step, for each point of the other axes of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from gradcheck.experiment.truth import COLUMNS, Truth, truths
from gradcheck.views import naming
from gradcheck.views.axes import BASE, Axes, axes, is_seed, settings_varied
from gradcheck.views.frames import plain_value
from gradcheck.views.tally import in_order
from gradcheck.views.words import Names, column, setting

if TYPE_CHECKING:
    import pandas as pd


class Places(NamedTuple):
    """Where the axes of a grid stand.

    rows : the bug and its own settings.   column : of the squares of a row; None where there is one square.   facets : others.
    """

    rows: tuple[str, ...]
    column: str | None
    facets: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All of them, the facets first."""
        return [*self.facets, *self.rows, *([self.column] if self.column else [])]


@dataclass(frozen=True)
class Square:
    """The cells of a row with one value of the column, counted by their `Truth`.

    wrong : of the cells of which nobody knows the right gradient, those that are a mismatch.
    little : of correct gradients, those that were not accused, but not judged enough to be ok either.
    """

    told: dict[str, int]
    wrong: int = 0
    little: int = 0

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return sum(self.told.values())


@dataclass(frozen=True)
class Facet:
    """A matrix: for each row (its words, and whether a bug was planted) its squares, None where no cell was computed."""

    name: str
    rows: dict[tuple[str, bool], list[Square | None]]


@dataclass(frozen=True)
class Matrix:
    """The matrices of a grid; they have the same columns.

    paired : keys that were varied together with an axis, and that axis.
    """

    axes: Places
    columns: list[str]
    facets: list[Facet]
    paired: tuple[tuple[str, str], ...] = ()

    @property
    def squares(self) -> list[Square]:
        """All squares that have a cell."""
        return [square for facet in self.facets for row in facet.rows.values() for square in row if square is not None]


def places(done: pd.DataFrame, found: Axes) -> Places:
    """Where the axes of computed cells stand: of the columns eps, or the key with the most values where it is the same."""
    along = "eps" if _many(done["eps"]) > 1 else max(found.others, key=lambda name: _many(done[name]), default=None)
    return Places(("bug", *found.of_bug), along, tuple(name for name in found.others if name != along))


def _many(column: pd.Series) -> int:
    return int(column.nunique(dropna=False))


def matrix(cells: pd.DataFrame) -> Matrix:
    """The matrices of some rows of ``cells``: of the cells that were computed."""
    names = [*settings_varied(cells), *BASE, *COLUMNS]  # of a million cells all columns would take a gigabyte
    names += [name for name in ("run", "ok") if name in cells]
    done = cells.loc[cells["status"] == "ok", list(dict.fromkeys(names))]
    of_grid = axes(done)
    found = places(done, of_grid)
    keys = [*found.facets, *found.rows, *([found.column] if found.column else [])]
    told = truths(done)
    wrong = (told == Truth.UNKNOWN) & (done["verdict"] == "mismatch")
    little = told == Truth.RIGHT
    # a run of version 1 does not say which cells are ok
    little &= ~done["ok"].fillna(True).astype(bool) if "ok" in done else False
    frame = done[keys].assign(
        _told=told,
        _planted=done["bug_injected"].fillna(False).astype(bool),
        _wrong=wrong.astype(int),
        _little=little.astype(int),
    )
    counted = frame.groupby([*keys, "_planted", "_told"], dropna=False, sort=False).agg(
        size=("_wrong", "size"), wrong=("_wrong", "sum"), little=("_little", "sum")
    )
    squares: dict[tuple[Any, ...], Square] = {}
    for key, size, accused, few in zip(counted.index, *(counted[name] for name in counted), strict=True):
        *place, truth = (plain_value(value) for value in key)
        square = squares.get(tuple(place), Square({}))
        squares[tuple(place)] = Square(
            square.told | {str(truth): int(size)}, square.wrong + int(accused), square.little + int(few)
        )
    paired = tuple(one for one in of_grid.paired if not is_seed(one[0]))  # seeds are taken together
    return replace(_arranged(found, squares, naming.named(cells)), paired=paired)


def _arranged(found: Places, squares: dict[tuple[Any, ...], Square], names: Names) -> Matrix:
    n, m = len(found.facets), len(found.facets) + len(found.rows)

    def ordered(names: Sequence[str], values: set[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return sorted(
            values, key=lambda some: [in_order(name, value) for name, value in zip(names, some, strict=False)]
        )

    along = ordered([found.column or ""], {key[m : m + 1] for key in squares}) if found.column else [()]
    rows_of: dict[tuple[Any, ...], set[tuple[Any, ...]]] = {}
    for key in squares:
        rows_of.setdefault(key[:n], set()).add((*key[n:m], key[-1]))
    facets = []
    for facet in ordered(found.facets, set(rows_of)):
        own = ordered(found.rows, rows_of[facet])
        rows = {
            (_row(found.rows, row, names), row[-1]): [
                squares.get((*facet, *row[:-1], *value, row[-1])) for value in along
            ]
            for row in own
        }
        facets.append(Facet(named(found.facets, facet, names), rows))
    columns = [setting(found.column, value[0], names) for value in along] if found.column else ["all"]
    return Matrix(found, columns, facets)


def named(keys: Sequence[str], values: Sequence[object], names: Names) -> str:
    """Settings in words: ``central, float32, data.n=100``."""
    words = []
    for name, value in zip(keys, values, strict=True):
        said = setting(name, value, names)
        plain = isinstance(value, str) and name in ("run", "model", "scheme", "dtype", "bug", "init")
        words.append(said if plain or (name, value) == ("data", "none") else f"{column(name)}={said}")
    return ", ".join(words)


def _row(keys: Sequence[str], values: Sequence[object], names: Names) -> str:
    """A bug, with the settings of its own that differ."""
    own = [
        f"{column(name).partition('.')[2]}={setting(name, value)}"
        for name, value in zip(keys[1:], values[1:-1], strict=True)
        if plain_value(value) is not None
    ]
    return " ".join([setting("bug", values[0], names), *own])
