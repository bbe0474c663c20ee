"""The axes of a grid: the keys in which its cells differ, without those that follow from another one.

Tables, page and charts tell the same cells apart, since all of them ask here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck.columns.weights import AXES
from gradcheck.experiment.results.rows import CELLS, SETTINGS

if TYPE_CHECKING:
    import pandas as pd

BASE = ("bug", "eps")  # the axes of the picture of what was caught
SHOWN_FIRST = ("run", "dtype", "scheme", "model")  # what tells most about a check, in the order in which it is shown
# Of two keys that follow from each other the one that says more stays.  A size may follow from anything.
_KEPT_FIRST = ("run", "model", "scheme", "dtype")
_KEPT_LAST = ("data_n", "data_d")
_SECTIONS = ("model_", "data_", "init_", "bug_")
_SETTINGS = (*AXES.names, *SETTINGS.names)
Codes = NDArray[np.int64]  # of each cell the place of its value among all values of a key


class Axes(NamedTuple):
    """The axes of a grid besides bug and step.

    others : keys of the check, what tells most first.   of_bug : settings of the bug that its name does not tell.
    seeds : those that differ, which are taken together unless one is chosen.
    """

    others: tuple[str, ...]
    of_bug: tuple[str, ...]
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
    codes, model = {"bug": _codes(done["bug"])}, _codes(done["model"])
    for name in _names(done):
        own = _codes(done[name])
        if int(own.max(initial=0)) and not _follows(name, own, codes, model):
            codes[name] = own
    # what was tried later may tell what was tried before
    rest = {name: {axis: one for axis, one in codes.items() if axis != name} for name in codes if name not in BASE}
    kept = [name for name in rest if not _follows(name, codes[name], rest[name], model)]
    shown = {name: i for i, name in enumerate((*SHOWN_FIRST, *(name for name in kept if name not in SHOWN_FIRST)))}
    others = sorted((name for name in kept if not name.startswith("bug_")), key=shown.__getitem__)
    return Axes(tuple(others), tuple(name for name in kept if name.startswith("bug_")), _seeds(done, codes, model))


def _seeds(done: pd.DataFrame, known: Mapping[str, Codes], model: Codes) -> tuple[str, ...]:
    """The seeds that differ, without those that follow from an axis or from another seed."""
    found: dict[str, Codes] = {}
    for name in done.columns:
        if not name.endswith("_seed"):
            continue
        own = _codes(done[name])
        if int(own.max(initial=0)) and not _follows(name, own, {**known, **found}, model):
            found[name] = own
    return tuple(found)


def _names(done: pd.DataFrame) -> Iterator[str]:
    """The keys that may be axes, in the order in which they are tried."""
    known = [name for name in dict.fromkeys(("run", *_SETTINGS)) if name in done]
    later = [name for name in done if name.startswith(_SECTIONS) and name not in CELLS.names]  # of a later version
    names = [name for name in (*known, *later) if name not in BASE and not name.endswith("_seed")]
    of_bug = [name for name in names if name.startswith("bug_")]
    last = [*(name for name in _KEPT_LAST if name in names), *of_bug]
    first = [name for name in _KEPT_FIRST if name in names]
    yield from (*first, *(name for name in names if name not in (*first, *last)), *last)


def _codes(column: pd.Series) -> Codes:
    try:
        return column.factorize(use_na_sentinel=False)[0].astype(np.int64)
    except TypeError:  # lists, in a column of somebody else's
        return np.zeros(len(column), dtype=np.int64)


def _follows(name: str, own: Codes, known: Mapping[str, Codes], model: Codes) -> bool:
    """Whether the values of a key follow from those of one axis, or those of a bug's setting from bug and model."""
    axes = list(known.values())
    if name.startswith("bug_"):
        axes.append(_paired(known["bug"], model))
    return any(_distinct(_paired(axis, own)) == _distinct(axis) for axis in axes)


def _paired(first: Codes, second: Codes) -> Codes:
    return first * (int(second.max(initial=0)) + 1) + second


def _distinct(codes: Codes) -> int:
    """How many values there are; of codes that are small numbers nothing is sorted."""
    if int(codes.max(initial=0)) <= 4 * len(codes):
        return int(np.count_nonzero(np.bincount(codes)))
    return len(np.unique(codes))
