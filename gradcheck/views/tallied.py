"""The counts of cells that stand in a frame, made of its columns at once: `Tally`, cell by cell, is the definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.truth import PLANTED, UNKNOWN_MODELS, Truth, truths
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views import points, words
from gradcheck.views.axes import Axes, axes, differs, in_order, is_seed
from gradcheck.views.frames import plain_value, records
from gradcheck.views.group import CellRow, Group
from gradcheck.views.numbers import larger
from gradcheck.views.points import Swept, by_value, keys_of
from gradcheck.views.tally import Tally
from gradcheck.views.values import ByPoint, ByValue, Value, spans

if TYPE_CHECKING:
    import pandas as pd

_SUMS = (*(f"n_{verdict}" for verdict in VERDICTS), "n_exempt", "_planted", "_caught")
_LARGEST = ("max_rel_err", "_every", "_half", "accept")
_NEEDED = (
    *("cell", "status", "message", "model", "bug", "eps", "data_n", "data_d", "n_weights", "max_rel_err", "accept"),
    *("max_resolution", "median_resolution", "worst_param", "worst_flat_index", "verdict", "ok", "diagnosis"),
    *(f"n_{verdict}" for verdict in VERDICTS),
    *("n_exempt", "n_missed", "bug_injected"),
)


_NAMED = ("model", "data", "init", "bug", "scheme", "dtype", "eps")  # in the heading of a run


def tallied(cells: pd.DataFrame) -> Tally:
    """The counts of some rows of ``cells``.  The reasons of single weights are not known from these."""
    tally = Tally()
    tally.status |= {str(name): int(n) for name, n in cells["status"].value_counts().items()}
    for status in ("skipped", "failed"):
        if tally.status[status]:
            tally.problems[status] = str(_first(cells[cells["status"] == status])["message"])
    steps = cells["eps"].unique()
    tally.steps = {plain_value(step) for step in steps[: words.MOST_STEPS + 1]}
    tally.unplanted = {*cells.loc[cells["bug"] == "none", "model"].unique()}
    # of a million cells all columns would take a gigabyte
    done = cells if tally.status["ok"] == len(cells) else cells.loc[cells["status"] == "ok", _columns(cells)]
    if len(done):
        injected = done["bug_injected"].fillna(False).astype(bool)
        told = truths(done)
        tally.points = _Points(done, injected, told)
        _add_sizes(tally, done)
        _add_truths(tally, done, injected, told)
        _add_failing(tally, done.loc[~injected, list(_NEEDED)])
    return tally


def _columns(cells: pd.DataFrame) -> list[str]:
    """The columns that are counted, and those of the settings that differ."""
    settings = [*in_order(cells), *(name for name in cells if is_seed(str(name)))]
    named = [name for name in _NAMED if name in cells]
    return list(dict.fromkeys([*_NEEDED, *named, *(name for name in settings if differs(cells[name]))]))


def visible(cells: pd.DataFrame) -> pd.DataFrame:
    """What would have been seen in every weight of a cell (``every``) and in half of them (``half``): the resolutions, with
    what is accepted beside them.
    """
    accept = cells["accept"].fillna(0.0).astype(float)
    return cells[[]].assign(
        every=cells["max_resolution"].fillna(0.0) + accept, half=cells["median_resolution"].fillna(0.0) + accept
    )


def _first(cells: pd.DataFrame) -> CellRow:
    """The row with the smallest id: cells are stored in any order."""
    return cast("CellRow", records(cells.loc[[cells["cell"].idxmin()], list(_NEEDED)])[0])


class _Points:
    """Counts of computed cells by the settings that were swept (`points.Points`).

    Nothing of the frame is held: of a million cells, the columns that are counted take as much memory as all others.
    """

    def __init__(self, done: pd.DataFrame, injected: pd.Series, told: pd.Series) -> None:
        found = axes(done)
        # all seeds are counted, whichever follows from another
        found = found._replace(seeds=(), paired=tuple(one for one in found.paired if not is_seed(one[0])))
        seeds = [str(name) for name in done if is_seed(str(name)) and done[name].nunique() > 1]
        seeds.sort(key=lambda name: (*points.SEEDS, *seeds).index(name))
        keys = keys_of(found, [name for name in ("bug", "eps", *found.names) if differs(done[name])])
        self._values = {
            name: [plain_value(value) for value in (done[name] if differs(done[name]) else done[name].head(1)).unique()]
            for name in _NAMED
            if name in done
        }
        seen = visible(done)
        self._frame = done[list(dict.fromkeys([*keys, *seeds, *_SUMS[:-2], "max_rel_err", "accept"]))].assign(
            _injected=injected,
            _every=seen["every"],
            _half=seen["half"],
            _planted=told.isin([str(one) for one in PLANTED]),
            _caught=told == Truth.CAUGHT,
        )
        self._swept = self._counted(found, keys, tuple(seeds))
        self._totals = {planted: group for (_, planted), group in self._grouped(()).items()}
        del self._frame

    def values(self, name: str) -> list[Value]:
        return self._values.get(name, [None])

    def total(self, planted: bool) -> Group:
        return self._totals.get(planted, Group())

    def swept(self) -> Swept:
        return self._swept

    def _counted(self, of_grid: Axes, keys: tuple[str, ...], seeds: tuple[str, ...]) -> Swept:
        with_seeds, points_ = self._few((*keys, *seeds)), self._few(keys)
        by_key = {
            name: self._of(name) if points_ is None or name in seeds else by_value(points_, place, {})
            for place, name in enumerate((*keys, *seeds))
        }
        return Swept(of_grid, keys, seeds, points_, with_seeds, by_key)

    def _few(self, keys: Sequence[str]) -> ByPoint | None:
        """The counts by the values of keys, where these are not too many."""
        few = self._frame[[*keys, "_injected"]].drop_duplicates().shape[0] <= points.MOST
        return self._grouped(keys) if few else None

    def _of(self, name: str) -> ByValue:
        """The counts by the values of a key; of very many values neighbours are taken together."""
        code, values = self._frame[name].factorize(use_na_sentinel=False)
        shown = spans([plain_value(value) for value in values], points.MOST)
        kept = list(dict.fromkeys(shown.values()))
        place = {value: i for i, value in enumerate(kept)}
        self._frame["_value"] = np.array([place[one] for one in shown.values()], dtype=np.int64)[code]
        grouped = self._grouped(("_value",))
        return {(kept[cast("int", at)], planted): group for ((at,), planted), group in grouped.items()}

    def _grouped(self, keys: Sequence[str]) -> ByPoint:
        grouped = self._frame.groupby([*keys, "_injected"], dropna=False, sort=False)
        sums, most = grouped[list(_SUMS)].sum(), grouped[list(_LARGEST)].max()
        found: ByPoint = {}
        for key, counts, (worst, every, half, accept) in zip(
            sums.index, sums.to_numpy(int).tolist(), most.to_numpy(float, na_value=float("nan")).tolist(), strict=True
        ):
            *point, planted = (plain_value(value) for value in (key if isinstance(key, tuple) else (key,)))
            *of_weights, exempt, cells, caught = counts
            group = Group(dict(zip(VERDICTS, of_weights, strict=True)), exempt=exempt, planted=cells, caught=caught)
            group.worst, group.visible, group.half = larger(worst, None), every, half
            group.accept = larger(accept, None) or 0.0
            found[tuple(point), bool(planted)] = group
        return found


def _add_sizes(tally: Tally, done: pd.DataFrame) -> None:
    sizes = records(done[["data_n", "data_d"]].drop_duplicates().head(2))
    tally.sizes = {(row["data_n"], row["data_d"]) for row in sizes}
    widths = done["n_weights"].fillna(0)
    tally.weights, tally.widths = int(widths.sum()), (int(widths.min()), int(widths.max()))


def _add_truths(tally: Tally, done: pd.DataFrame, injected: pd.Series, told: pd.Series) -> None:
    for (bug, truth), count in told[injected].groupby([done.loc[injected, "bug"], told[injected]]).size().items():
        tally.planted.setdefault(str(bug), Counter())[Truth(truth)] = int(count)
    wrong = injected & (done["verdict"] == "mismatch") & (told == Truth.UNKNOWN)
    tally.planted_mismatch = int(wrong.sum())


def _add_failing(tally: Tally, correct: pd.DataFrame) -> None:
    """Count which of the cells without an injected bug make a run fail, as `tally.fails` does, and find the worst."""
    wrong = correct["verdict"] == "mismatch"
    # a run of version 1 does not say which cells are ok: none is counted but those that are wrong
    open_ = wrong | ~correct["ok"].fillna(True).astype(bool)
    own = correct["model"].isin(UNKNOWN_MODELS)
    fails = {"mismatch": wrong, "unjudged": open_, "auto": wrong.where(~own, open_)}
    tally.checked = len(correct)
    tally.failing |= {name: int(fails[name].sum()) for name in FAIL_ON if name in fails}
    if wrong.any():
        errors = correct.loc[wrong, "max_rel_err"].fillna(0.0)
        tally.worst = _first(correct.loc[errors.index[errors == errors.max()]])
