"""The counts of cells that stand in a frame, made of its columns at once: `Tally`, cell by cell, is the definition."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.truth import UNKNOWN_MODELS, Truth, truths
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.frames import plain_value, records
from gradcheck.views.numbers import larger
from gradcheck.views.tally import GROUP_BY, TALLY_COLUMNS, Axes, CellRow, Group, Tally

if TYPE_CHECKING:
    import pandas as pd

_SUMS = (*(f"n_{verdict}" for verdict in VERDICTS), "n_exempt")
_LARGEST = ("max_rel_err", "_every", "_half", "accept")


def tallied(cells: pd.DataFrame) -> Tally:
    """The counts of some rows of ``cells``.  The reasons of single weights are not known from these."""
    tally = Tally()
    tally.status |= {str(name): int(n) for name, n in cells["status"].value_counts().items()}
    for status in ("skipped", "failed"):
        if tally.status[status]:
            tally.problems[status] = str(_first(cells[cells["status"] == status])["message"])
    done = cells if tally.status["ok"] == len(cells) else cells.loc[cells["status"] == "ok", list(TALLY_COLUMNS)]
    if len(done):
        injected = done["bug_injected"].fillna(False).astype(bool)
        _add_groups(tally, done, injected)
        _add_sizes(tally, done)
        _add_truths(tally, done, injected)
        _add_failing(tally, done.loc[~injected, list(TALLY_COLUMNS)])
    return tally


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
    return cast("CellRow", records(cells.loc[[cells["cell"].idxmin()], list(TALLY_COLUMNS)])[0])


def _add_groups(tally: Tally, done: pd.DataFrame, injected: pd.Series) -> None:
    seen = visible(done)
    keys = [*GROUP_BY, "_injected"]
    frame = done[list(dict.fromkeys([*GROUP_BY, *_SUMS, "max_rel_err", "accept"]))].assign(
        _injected=injected, _every=seen["every"], _half=seen["half"]
    )
    grouped = frame.groupby(keys, dropna=False, sort=False)
    sums, most = grouped[list(_SUMS)].sum(), grouped[list(_LARGEST)].max()
    for key, counts, (worst, every, half, accept) in zip(
        sums.index, sums.to_numpy(int).tolist(), most.to_numpy(float, na_value=float("nan")).tolist(), strict=True
    ):
        *axes, planted = (plain_value(value) for value in key)
        group = Group(dict(zip(VERDICTS, counts, strict=False)), exempt=counts[-1])
        group.worst, group.visible, group.half = larger(worst, None), every, half
        group.accept = larger(accept, None) or 0.0
        tally.groups[cast("Axes", tuple(axes)), bool(planted)] = group


def _add_sizes(tally: Tally, done: pd.DataFrame) -> None:
    sizes = records(done[["data_n", "data_d"]].drop_duplicates().head(2))
    tally.sizes = {(row["data_n"], row["data_d"]) for row in sizes}
    widths = done["n_weights"].fillna(0)
    tally.weights, tally.widths = int(widths.sum()), (int(widths.min()), int(widths.max()))


def _add_truths(tally: Tally, done: pd.DataFrame, injected: pd.Series) -> None:
    told = truths(done)
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
