"""The figures of charts that are made from rows of ``cells``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcheck.experiment.truth import COLUMNS, PLANTED, Truth, truths
from gradcheck.numerics.steps import AUTO
from gradcheck.views import words
from gradcheck.views.axes import BASE, settings_varied
from gradcheck.views.facets import label, value_label, with_panels
from gradcheck.views.frames import plain_value, records, rule_counts
from gradcheck.views.naming import named
from gradcheck.views.numbers import counted
from gradcheck.views.tally import order
from gradcheck.views.words import NOT_ACCUSED, NOT_ENOUGH

if TYPE_CHECKING:
    import pandas as pd

MAX_EPS = 40  # more steps than that are taken together by decade
MAX_NAMES = 60  # bugs in one chart
INFINITE, ZERO = "∞", "0"  # medians for which a logarithmic axis has no place
_OF_CURVES = ("status", "scheme", "bug_injected", "median_rel_err", "median_resolution")
ACCUSED = "mismatch, truth unknown"  # the share of the gradients that nobody knows which were accused
# The shares of a square, in the order in which they are drawn.
SHARES = (Truth.CAUGHT, Truth.CANNOT_BE_TOLD, Truth.MISSED, Truth.FALSE_ALARM, Truth.UNKNOWN, NOT_ENOUGH)


class InPanel(TypedDict):
    """A row of a chart that has panels."""

    row: str  # "" where there is one row of panels
    column: str


class VPoint(InPanel):
    """A median over the cells of a scheme and step."""

    scheme: str
    eps: float | None  # None: auto
    step: str  # its name
    what: str  # observed error, bound
    value: float | None  # None where a logarithmic axis has no place for it
    beyond: str  # INFINITE or ZERO there, else ""
    cells: int


class Share(TypedDict):
    """A share of a square; it starts where the share before it ends."""

    what: str  # one of SHARES, or NOT_ACCUSED
    count: int
    start: float
    end: float


class Square(InPanel, Share):
    """A share of the cells with a bug and a step."""

    bug: str
    eps: str
    bug_order: int
    eps_order: int
    cells: int
    says: str  # all shares of the square in words


class RulePoint(InPanel):
    """What a rule says of the cells: its shares are None where there is no such cell."""

    rule: str
    false_alarms: int
    correct: int
    caught: int
    missed: int
    cannot_be_told: int
    planted: int
    alarms: float | None  # false_alarms / correct
    found: float | None  # caught / planted


def of_curves(cells: pd.DataFrame) -> pd.DataFrame:
    """The computed cells without a planted bug; where each has one, all that were computed."""
    done = cells["status"] == "ok"
    correct = done & ~cells["bug_injected"].fillna(False).astype(bool)
    names = dict.fromkeys([*settings_varied(cells), *BASE, "model", *_OF_CURVES, *(["run"] if "run" in cells else [])])
    return cells.loc[correct if correct.any() else done, list(names)]


def v_points(cells: pd.DataFrame, row: Sequence[str] = (), column: Sequence[str] = ()) -> list[VPoint]:
    """Error and bound against the step, relative to the gradient: medians over the cells without a planted bug.

    One row for each panel, scheme, eps and `what`: ``observed error``, the median of `median_rel_err`, and
    ``bound``, the median of ``median_resolution / 2``.  The latter is bound / max(|analytic|, |numeric|), and never below
    the `rel_err` that it allows.  Where every cell has a planted bug there are bounds alone.
    """
    names = named(cells)
    own = of_curves(cells)
    own = with_panels(own.assign(**{name: cells.loc[own.index, name] for name in (*row, *column)}), row, column)
    rows: list[VPoint] = []
    for group in records(medians(own, ["row", "column"])):
        value = group["value"]
        beyond = INFINITE if math.isinf(value) else "" if value else ZERO
        rows.append(
            {
                "row": group["row"],
                "column": group["column"],
                "scheme": label(group["scheme"]),
                "eps": group["eps"],
                "step": words.setting("eps", group["eps"], names),
                "what": group["what"],
                "value": None if beyond else value,
                "beyond": beyond,
                "cells": group["cells"],
            }
        )
    return rows


def medians(own: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The medians of the error and of the bound of the cells of a V curve (`of_curves`), by some keys, scheme and step."""
    import pandas as pd

    keys = [*by, "scheme", "eps"]
    measured = {"bound": own["median_resolution"] / 2}
    if not own["bug_injected"].fillna(False).any():
        measured = {"observed error": own["median_rel_err"], **measured}
    found = []
    for what, values in measured.items():
        groups = own[keys].assign(value=values).groupby(keys, dropna=False, sort=True, observed=True)["value"]
        found.append(groups.agg(value="median", cells="size").reset_index().assign(what=what))
    return pd.concat(found, ignore_index=True).dropna(subset="value")[[*keys, "what", "value", "cells"]]


def eps_labels(cells: pd.DataFrame, names: words.Names) -> dict[float | None, str]:
    """The names of the steps of some cells, in the order of all views: large steps first, auto last.

    More than MAX_EPS steps are taken together by decade.

    names : those of the run.
    """
    known = sorted({float(value) for value in cells["eps"].dropna()}, key=partial(order, "eps"))
    labels: dict[float | None, str] = {value: words.setting("eps", value, names) for value in known}
    if len(known) > MAX_EPS:
        labels = {value: f"1e{math.floor(math.log10(value)):+03d} …" if value > 0 else "0" for value in known}
    if cells["eps"].isna().any():
        labels[None] = AUTO
    return labels


def squares(cells: pd.DataFrame, row: Sequence[str] = (), column: Sequence[str] = ()) -> list[Square]:
    """By bug and step the shares of the cells: a row for each share (`what`) that any cell of a square has.

    Planted bugs were caught, cannot be told, or were missed.  Correct gradients were accused, or too little of them was
    judged.  Where nobody knows the gradient, the share is of the cells judged a mismatch, and of those of which too little
    was judged.  A square without a share has one row, whose count is 0.
    """
    done = with_panels(_done(cells, ["bug", "eps", "ok", *row, *column, *COLUMNS]), row, column)
    run = named(cells)
    labels = eps_labels(done, run)
    names = {bug: value_label("bug", plain_value(bug), run) for bug in done["bug"].unique()}
    frame = done[["row", "column"]].assign(
        bug=[names[bug] for bug in done["bug"]],
        eps=[labels[None if math.isnan(value) else value] for value in done["eps"].astype(float)],
        told=became(done),
    )
    counts: dict[tuple[str, str, str, str], dict[str, int]] = {}
    for key, n in frame.groupby(["row", "column", "bug", "eps", "told"], observed=True).size().items():
        counts.setdefault(key[:4], {})[key[4]] = int(n)
    bugs = {name: i for i, name in enumerate(sorted(set(frame["bug"]), key=bug_order)[:MAX_NAMES])}
    steps = {name: i for i, name in enumerate(dict.fromkeys(labels.values()))}
    rows: list[Square] = []
    for (row_, column_, bug, eps), found in counts.items():
        for share in _shares(found) if bug in bugs else ():
            rows.append(
                {
                    "row": row_,
                    "column": column_,
                    "bug": bug,
                    "eps": eps,
                    "bug_order": bugs[bug],
                    "eps_order": steps[eps],
                    "cells": sum(found.values()),
                    "says": says(found),
                    **share,
                }
            )
    return rows


def became(done: pd.DataFrame) -> pd.Series:
    """What became of each of some computed cells, in the words of the picture: one of SHARES, or NOT_ACCUSED."""
    told = truths(done)
    harmless = (told == Truth.RIGHT) | ((told == Truth.UNKNOWN) & (done["verdict"] != "mismatch"))
    return told.where(~harmless, NOT_ACCUSED).where(~(harmless & not_enough(done)), NOT_ENOUGH)


def bug_order(name: str) -> tuple[bool, str]:
    """A key to sort the names of bugs by: no bug first."""
    return name not in (words.NO_BUG, words.OWN), name


def not_enough(cells: pd.DataFrame) -> pd.Series:
    """Of which cells without a planted bug too little was judged for them to be ok, so that they are no mismatch either.

    A run of version 1 does not say which cells are ok: it has none.
    """
    open_ = ~cells["ok"].fillna(True).astype(bool) & (cells["verdict"] != "mismatch")
    return open_ & ~cells["bug_injected"].fillna(False).astype(bool)


def says(counts: Mapping[str, int]) -> str:
    """The shares of a square in words."""
    n = sum(counts.values())
    planted = any(counts.get(what, 0) for what in PLANTED)
    named = [str(what) for what in SHARES if counts.get(what, 0) or (planted and what in PLANTED)]
    text = ", ".join(f"{counts.get(what, 0)} {ACCUSED if what == Truth.UNKNOWN else what}" for what in named)
    if left := counts.get(NOT_ACCUSED, 0):
        text = ", ".join([*filter(None, [text]), f"{left:,} {NOT_ACCUSED}"])
    return f"{counted(n, 'cell')}: {text}"


def _shares(counts: Mapping[str, int]) -> Iterator[Share]:
    """The shares of a square, one after the other; where there is none, one of 0 cells."""
    n, start, none = sum(counts.values()), 0, True
    for what in SHARES:
        if count := counts.get(what, 0):
            yield {"what": str(what), "count": count, "start": start / n, "end": (start + count) / n}
            start, none = start + count, False
    if none:
        yield {"what": NOT_ACCUSED, "count": 0, "start": 0.0, "end": 1.0}


def rule_points(cells: pd.DataFrame, row: Sequence[str] = (), column: Sequence[str] = ()) -> list[RulePoint]:
    """What each rule says of the cells whose gradient is known, for each panel: false alarms and caught bugs."""
    done = cells[cells["status"] == "ok"]
    rows: list[RulePoint] = []
    panels_ = with_panels(done, row, column) if row or column else done.assign(row="", column="")
    for (row_, column_), group in panels_.groupby(["row", "column"], observed=True, sort=True):
        frame = rule_counts(group)
        for rule, own in frame.groupby("rule", sort=False):
            correct, planted = own[own["false_alarms"].notna()], own[own["caught"].notna()]
            alarms, caught = int(correct["false_alarms"].sum()), int(planted["caught"].sum())
            of_correct, of_planted = int(correct["cells"].sum()), int(planted["cells"].sum())
            if of_correct or of_planted:
                rows.append(
                    {
                        "row": row_,
                        "column": column_,
                        "rule": label(rule),
                        "false_alarms": alarms,
                        "correct": of_correct,
                        "caught": caught,
                        "missed": int(planted["missed"].sum()),
                        "cannot_be_told": int(planted["cannot_be_told"].sum()),
                        "planted": of_planted,
                        "alarms": alarms / of_correct if of_correct else None,
                        "found": caught / of_planted if of_planted else None,
                    }
                )
    return rows


# In which order cells deserve a look: the table of the page and the first cell that it shows have this order.
_LOOK = {Truth.FALSE_ALARM: 7, Truth.MISSED: 5, Truth.CAUGHT: 4}
_OF_VERDICT = {"partial": 3, "inconclusive": 2, "nondifferentiable": 2, "match": 1}


def looks(cells: pd.DataFrame, told: pd.Series) -> NDArray[np.int64]:
    """How soon each cell deserves a look, the larger the sooner.

    Correct gradients that were accused; mismatches of gradients that nobody knows; planted bugs that were missed; those that
    were caught; then what is partial, what is inconclusive, and what matches; last what was not computed.
    """
    look = told.map({str(truth): _LOOK.get(truth, 0) for truth in Truth}).astype(int)
    wrong, planted = (
        (told == Truth.UNKNOWN) & (cells["verdict"] == "mismatch"),
        cells["bug_injected"].fillna(False).astype(bool),
    )
    look = look.mask(wrong & ~planted, 6).mask(wrong & planted, _LOOK[Truth.CAUGHT])
    rest = cells["verdict"].map(_OF_VERDICT).fillna(0).astype(int)
    failed = (cells["status"] == "failed").astype(int) - 1
    return np.asarray(look.where(look > 0, rest).where(cells["status"] == "ok", failed), dtype=np.int64)


def interesting(cells: pd.DataFrame, told: pd.Series, groups: NDArray[np.int64] | None = None) -> NDArray[np.intp]:
    """The places of the cells, taken in turn from each square of bug and step: those of which a page takes the first.

    Within a square they have the order of `looks`.  Among equals the most telling comes first, then the worst error.

    told : the truth of each cell.
    groups : of each cell a number; no cell comes before every group of its square had its turn.
    """
    ordered = _turns(cells, told, groups)
    first = ordered.sort_values(["_turn", "_again", "_look"], ascending=[True, True, False], kind="stable")
    return np.asarray(first.index, dtype=np.intp)


def looked_at(cells: pd.DataFrame, told: pd.Series) -> NDArray[np.intp]:
    """The places of the cells in the order of `looks`; among equals in turn from each square, the most telling first."""
    ordered = _turns(cells, told, None)
    ordered["_again"] = ordered.groupby(["_look", "bug", "eps"], dropna=False, sort=False).cumcount()  # among equals
    first = ordered.sort_values(["_look", "_again"], ascending=[False, True], kind="stable")
    return np.asarray(first.index, dtype=np.intp)


def _turns(cells: pd.DataFrame, told: pd.Series, groups: NDArray[np.int64] | None) -> pd.DataFrame:
    """The cells by `looks`, how telling they are and error, with the number of each in its group, and in its square."""
    group = np.zeros(len(cells), dtype=np.int64) if groups is None else groups
    keys = cells[["bug", "eps", "max_rel_err"]].assign(_look=looks(cells, told), _group=group).reset_index(drop=True)
    keys["_named"], keys["_judged"] = _telling(cells)
    by = ["_look", "_named", "_judged", "max_rel_err"]
    ordered = keys.sort_values(by, ascending=False, na_position="last", kind="stable")
    ordered["_turn"] = ordered.groupby("_group", sort=False).cumcount() if groups is not None else 0
    ordered["_again"] = ordered.groupby(["_turn", "bug", "eps"], dropna=False, sort=False).cumcount()
    return ordered


def _telling(cells: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of each mismatch whether its mistake has a name, and the share of its weights that were judged; of other cells nothing.

    Where bounds are wide most weights are not judged, and many mistakes look like the one that was planted.
    """
    wrong = (cells["verdict"] == "mismatch").to_numpy(bool)
    named = ~cells["diagnosis_kind"].fillna("unknown").isin(["unknown", "none"]).to_numpy(bool)
    judged = cells["n_match"].fillna(0).to_numpy(float) + cells["n_mismatch"].fillna(0).to_numpy(float)
    share = judged / np.maximum(cells["n_weights"].fillna(0).to_numpy(float), 1.0)
    return wrong & named, np.where(wrong, share, 0.0)


def _done(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of the cells that were computed.  All columns of a million cells would take a gigabyte."""
    return cells.loc[cells["status"] == "ok", [name for name in cells.columns if name in columns]]
