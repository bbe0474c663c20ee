"""The axes of a grid: the keys in which its cells differ, without those that follow from another one.

Tables, page and charts tell the same cells apart, since all of them ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck.columns.weights import AXES
from gradcheck.experiment.results.rows import CELLS, SETTINGS

if TYPE_CHECKING:
    import pandas as pd

BASE = ("bug", "eps")  # the axes of the picture of what was caught
SHOWN_FIRST = ("run", "dtype", "scheme", "model")  # what tells most about a check, in the order in which it is shown
BUG_AND_MODEL = "bug, model"  # both together tell the settings that a bug has unless others are given
SECTIONS = ("model", "data", "init", "bug")
# Of two keys that follow from each other the one that says more stays.  A size may follow from anything.
_KEPT_FIRST = ("run", "model", "scheme", "dtype")
_KEPT_LAST = ("data_n", "data_d")
SETTING_NAMES = (*AXES.names, *SETTINGS.names)  # the columns of what can be set
_OF_EVERY_RUN = frozenset(CELLS.names) - {*SETTING_NAMES}
Codes = NDArray[np.int64]  # of each cell the place of its value among all values of a key
Follows = Callable[[str, str], bool]  # of an axis (or BUG_AND_MODEL) and a key: whether the axis tells the key's value


class Axes(NamedTuple):
    """The axes of a grid besides bug and step.

    others : keys of the check, what tells most first.   of_bug : settings of the bug that its name does not tell.
    paired : keys that were varied together with an axis, and that axis.   seeds : those that differ, which are taken together
    unless one is chosen.
    """

    others: tuple[str, ...]
    of_bug: tuple[str, ...]
    paired: tuple[tuple[str, str], ...] = ()
    seeds: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """All of them but seeds."""
        return [*self.others, *self.of_bug]


def axes(done: pd.DataFrame) -> Axes:
    """The axes of a grid by the cells that were computed.

    Seeds stand apart.  A key is left out where another axis alone tells its value.  A setting of the bug is left out
    where bug and model tell it.  The step tells no other key: who pairs steps with schemes wants to see both.
    """
    differ = [name for name in in_order(done) if differs(done[name])]
    codes = {name: _codes(done[name]) for name in dict.fromkeys(("bug", "model", *differ))}

    def follows(axis: str, name: str) -> bool:
        told_by = _paired(codes["bug"], codes["model"]) if axis == BUG_AND_MODEL else codes[axis]
        return _distinct(_paired(told_by, codes[name])) == _distinct(told_by)

    found = chosen(differ, follows)
    seeds: list[str] = []
    paired = [*found.paired]
    for name in [str(name) for name in done if is_seed(str(name)) and differs(done[name])]:
        codes[name] = _codes(done[name])
        if (teller := _teller(name, [*seeds, *found.names, "bug"], follows)) is None:
            seeds.append(name)
        elif not _own(name, differ, follows):
            paired.append((name, teller))
    return found._replace(seeds=tuple(seeds), paired=tuple(paired))


def in_order(columns: Iterable[str]) -> Iterator[str]:
    """The keys that may be axes, in the order in which they are tried."""
    there = list(columns)
    known = [name for name in dict.fromkeys(("run", *SETTING_NAMES)) if name in there]
    later = [n for n in there if n.startswith(tuple(f"{one}_" for one in SECTIONS)) and n not in CELLS.names]
    names = [name for name in (*known, *later) if name not in BASE and not is_seed(name)]
    of_bug = [name for name in names if name.startswith("bug_")]
    last = [*(name for name in _KEPT_LAST if name in names), *of_bug]
    first = [name for name in _KEPT_FIRST if name in names]
    yield from (*first, *(name for name in names if name not in (*first, *last)), *last)


def is_seed(name: str) -> bool:
    """Whether a column holds seeds."""
    return name.endswith("_seed")


def chosen(differ: Sequence[str], follows: Follows) -> Axes:
    """The axes among the keys that differ, which stand in the order of `in_order`; seeds apart."""
    kept = ["bug"]
    for name in differ:
        if _teller(name, kept, follows) is None:
            kept.append(name)
    # what was tried later may tell what was tried before
    kept = [n for n in kept[1:] if _teller(n, [other for other in kept if other != n], follows) is None]
    shown = {name: i for i, name in enumerate((*SHOWN_FIRST, *(name for name in kept if name not in SHOWN_FIRST)))}
    others = sorted((name for name in kept if not name.startswith("bug_")), key=shown.__getitem__)
    paired = []
    for name in differ:
        teller = (
            None if name in kept or _own(name, differ, follows) else _teller(name, [*others, *kept, "bug"], follows)
        )
        if teller is not None:
            paired.append((name, teller))
    return Axes(tuple(others), tuple(name for name in kept if name.startswith("bug_")), tuple(paired))


def _own(name: str, differ: Sequence[str], follows: Follows) -> bool:
    """Whether a setting follows from what has it: that of a model from the model, that of a bug from the bug."""
    section = name.partition("_")[0]
    if section == "bug":
        return follows(BUG_AND_MODEL, name)
    return section in differ and name != section and follows(section, name)


def _teller(name: str, known: Iterable[str], follows: Follows) -> str | None:
    """What tells the value of a key: one of the known axes, or of a bug's setting bug and model."""
    if name.startswith("bug_") and follows(BUG_AND_MODEL, name):
        return BUG_AND_MODEL
    return next((axis for axis in known if follows(axis, name)), None)


def differs(column: pd.Series) -> bool:
    """Whether a column has several values, null among them; most columns of a run have one, which is quickly seen."""
    if len(column) < 2:
        return False
    null = column.isna()
    if not null.any():
        try:
            return bool((column != column.iloc[0]).any())
        except (TypeError, ValueError):  # lists, in a column of somebody else's
            return False
    return not null.all()


def settings_varied(cells: pd.DataFrame) -> list[str]:
    """The columns of settings that have more than one value, null among them, in the order of the columns."""
    names = [name for name in cells.columns if name not in _OF_EVERY_RUN and name != "run"]
    return [name for name in names if differs(cells[name])]


def _codes(column: pd.Series) -> Codes:
    try:
        return column.factorize(use_na_sentinel=False)[0].astype(np.int64, copy=False)
    except TypeError:  # lists, in a column of somebody else's
        return np.zeros(len(column), dtype=np.int64)


def _paired(first: Codes, second: Codes) -> Codes:
    return first * (int(second.max(initial=0)) + 1) + second


def _distinct(codes: Codes) -> int:
    """How many values there are; of codes that are small numbers nothing is sorted."""
    if int(codes.max(initial=0)) <= 4 * len(codes):
        return int(np.count_nonzero(np.bincount(codes)))
    return len(np.unique(codes))
