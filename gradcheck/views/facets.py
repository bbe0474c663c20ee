"""By what the cells of a run are told apart: the keys that were swept, filters on them, and panels of a chart."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.errors import BadInput
from gradcheck.numerics.steps import AUTO, stored
from gradcheck.printable import printable
from gradcheck.views import naming, words
from gradcheck.views.axes import BASE, SHOWN_FIRST, axes, differs
from gradcheck.views.frames import plain_value
from gradcheck.views.layout import cut
from gradcheck.views.tally import order

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 24  # a key with more values than that makes no panels
MOST_CHOICES = 50  # and with more than that no drop-down
MOST_PANELS = 48  # of one chart
ALWAYS = ("bug", "eps", "dtype", "scheme", "model")  # what is said of a cell, whether it was swept or not
NAME = 60  # characters of a name in a chart


def swept(cells: pd.DataFrame) -> list[str]:
    """The keys other than bug and step in which the cells that were computed differ (`axes`), what tells most first."""
    return axes(cells[cells["status"] == "ok"]).names


def values_of(column: pd.Series, name: str) -> list[object]:
    """The values of a key in the order in which they are shown, None among them."""
    found = {plain_value(value) for value in column.unique()}
    return sorted(found, key=lambda value: _in_order(name, value))


def _in_order(name: str, value: object) -> tuple[object, ...]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return (value is None, value != "none", 1, 0.0, str(value))
    return (False, True, 0, order(name, value)[2] if name == "eps" else value, "")


def label(text: object) -> str:
    """Text from a run as a chart shows it: on one line, at most NAME characters, nothing in it acts."""
    return "-" if text is None else cut(printable(text), NAME)


def value_label(name: str, value: object, names: words.Names = words.PLAIN) -> str:
    """The value of a key as a chart shows it; of a long folder the end, where runs differ.

    names : those of the run.
    """
    if name == "run":
        text = printable(value)
        return text if len(text) <= NAME else "…" + text[1 - NAME :]
    return label(words.setting(name, value, names))


def panels(cells: pd.DataFrame, but: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """The keys that make the rows and those that make the columns of a chart, unless others are asked for.

    but : keys that a panel tells apart within itself.
    """
    found, n = [], 1
    for name in swept(cells):
        if name in but:
            continue
        many = cells[name].nunique(dropna=False)
        if many <= MOST_VALUES and n * many <= MOST_PANELS:
            found.append(name)
            n *= many
    columns = found[:1] if found[:1] != ["run"] else []
    return [name for name in found if name not in columns], columns


def together(cells: pd.DataFrame, apart: Collection[str]) -> list[str]:
    """The keys that were swept, seeds too, and that a chart takes together: all but those that it tells apart."""
    done = cells[cells["status"] == "ok"]
    found = axes(done)
    return [name for name in (*BASE, *found.names, *found.seeds) if name not in apart and differs(done[name])]


def with_panels(cells: pd.DataFrame, rows: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The cells with `row` and `column`, the names of their panels, as ordered categories; one panel has no name."""
    import pandas as pd

    made, run = {}, naming.named(cells) if {*BASE} & {*rows, *columns} else words.PLAIN
    for place, names in (("row", rows), ("column", columns)):
        if not names or cells.empty:
            made[place] = pd.Categorical([""] * len(cells), categories=[""])
            continue
        which = cells.groupby(list(names), dropna=False, sort=False).ngroup().to_numpy()
        first = np.unique(which, return_index=True)[1]  # a cell of each combination
        present = cells[list(names)].iloc[first]
        keys = [tuple(map(plain_value, key)) for key in present.itertuples(index=False, name=None)]
        shown = [
            " · ".join(_told(name, value, len(names), run) for name, value in zip(names, key, strict=True))
            for key in keys
        ]
        sort = sorted(
            range(len(keys)), key=lambda i: [_in_order(name, v) for name, v in zip(names, keys[i], strict=True)]
        )
        named = dict.fromkeys(shown[i] for i in sort)  # two values may look the same
        made[place] = pd.Categorical(np.array(shown, dtype=object)[which], categories=list(named))
    return cells.assign(**made)


def told(name: str, value: object, names: words.Names) -> str:
    """A value of a key in a list of settings; with its key where it does not say what it is."""
    text = value_label(name, value, names)
    return text if name in SHOWN_FIRST or name == "bug" else f"{words.column(name)} {text}"


def _told(name: str, value: object, of: int, run: words.Names) -> str:
    """A value in the name of a panel; with its key where it does not say what it is."""
    text = value_label(name, value, run)
    return text if name in SHOWN_FIRST or (isinstance(value, str) and of == 1) else f"{words.column(name)} {text}"


def checked(typed: str | Sequence[str] | None, cells: pd.DataFrame, where: str) -> list[str]:
    """The columns that somebody asks for, as ``data_seed`` or ``data.seed``.  Raises BadInput where one is not there."""
    names = [] if typed is None else [typed] if isinstance(typed, str) else list(typed)
    named = {words.column(name): name for name in cells.columns if "." in words.column(name)}
    names = [name if name in cells.columns else named.get(name, name) for name in names]
    for name in names:
        if name not in cells.columns:
            near = difflib.get_close_matches(str(name), cells.columns, 3) or swept(cells)[:8] or list(BASE)
            raise BadInput(f"{where}={name!r}: no such column; try {', '.join(near)}")
    return names


def chosen(cells: pd.DataFrame, where: Mapping[str, object], call: str) -> pd.DataFrame:
    """The cells with some values: ``{"dtype": "float32", "eps": [1e-4, "auto"]}``.

    Raises BadInput where there is no such column, or where no cell has such a value.
    """
    kept = cells
    for typed, value in where.items():
        (name,) = checked(typed, cells, call)
        wanted = list(value) if isinstance(value, list | tuple | set | frozenset | range | np.ndarray) else [value]
        wanted = [_stored(name, one) for one in wanted]
        mask = kept[name].isin([one for one in wanted if one is not None])
        if None in wanted:
            mask |= kept[name].isna()
        if not mask.any():
            there = ", ".join(value_label(name, one) for one in values_of(kept[name], name)[:12]) or "none"
            raise BadInput(f"{call}: no cell has {name}={_typed(value)}; there are {there}")
        kept = kept[mask]
    return kept


def _stored(name: str, value: object) -> object:
    """A value as it stands in the column."""
    if name == "eps":
        return stored(value) if value == AUTO or isinstance(value, int | float) else value
    if name == "bug" and value == words.NO_BUG:
        return "none"
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value) if isinstance(value, dict) else value


def _typed(value: object) -> str:
    return cut(printable(repr(value)), NAME)
