"""The figures of charts that are made from rows of ``cells``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcheck.experiment.truth import COLUMNS, Truth, truths
from gradcheck.numerics.steps import AUTO, eps_text
from gradcheck.printable import printable
from gradcheck.views.frames import plain_value, records, rule_counts
from gradcheck.views.layout import cut

if TYPE_CHECKING:
    import pandas as pd

MAX_EPS = 40  # more steps than that are taken together by decade
MAX_NAMES = 60  # bugs in one heat map
NAME = 60  # characters


class OfRun(TypedDict):
    """A row of a chart that has a panel for each run."""

    run: str | None  # None where there is one run


class OfKind(TypedDict):
    """A row of a chart that has a panel for each kind of gradient: planted, correct, unknown."""

    kind: str


class VPoint(OfRun):
    """A median over the cells of a scheme, dtype and step."""

    scheme: str
    dtype: str
    eps: float | None  # None: auto
    what: str  # observed error, bound
    value: float
    cells: int


class Square(OfRun, OfKind):
    """A share of the cells with a bug and a step."""

    bug: str
    eps: str
    cells: int
    order: int  # of the step
    says: str  # all shares of the square in words
    what: str  # a Truth
    count: int
    share: float
    percent: str


class Bar(OfKind):
    """A share of the cells that a rule judged; it starts where the share before it ends."""

    rule: str
    what: str
    count: int
    cells: int
    start: float
    end: float
    text: str


def v_points(cells: pd.DataFrame) -> list[VPoint]:
    """Error and bound against the step, relative to the gradient: medians over the cells without a planted bug.

    One row for each run, scheme, dtype, eps and `what`: ``observed error``, the median of `median_rel_err`, and
    ``bound``, the median of ``median_resolution / 2``.  The latter is bound / max(|analytic|, |numeric|), and never below
    the `rel_err` that it allows.  Where every cell has a planted bug there are bounds alone.
    """
    keys = ["run", "scheme", "dtype", "eps"]
    done = _done(cells, [*keys, "bug_injected", "median_rel_err", "median_resolution"])
    correct = done[~done["bug_injected"].fillna(False).astype(bool)]
    measured = {"observed error": correct["median_rel_err"], "bound": correct["median_resolution"] / 2}
    if correct.empty:
        correct, measured = done, {"bound": done["median_resolution"] / 2}
    rows: list[VPoint] = []
    for what, values in measured.items():
        groups = correct[keys].assign(value=values).groupby(keys, dropna=False, sort=True)["value"]
        for row in records(groups.agg(["median", "size"]).reset_index()):
            value = row["median"]
            if value is not None and math.isfinite(value) and value > 0:  # there is no 0 on a log axis
                rows.append(
                    {
                        "run": _run(row["run"]),
                        "scheme": label(row["scheme"]),
                        "dtype": label(row["dtype"]),
                        "eps": row["eps"],
                        "what": what,
                        "value": value,
                        "cells": row["size"],
                    }
                )
    return rows


def eps_labels(cells: pd.DataFrame) -> dict[float | None, str]:
    """The names of the steps of some cells, by size, auto last.

    A name has as many digits as tell the steps apart; more than MAX_EPS steps are taken together by decade.
    """
    known = sorted({float(value) for value in cells["eps"].dropna()})
    labels: dict[float | None, str] = {value: eps_text(value) for value in known}
    for digits in range(6):
        few: dict[float | None, str] = {value: eps_text(float(f"{value:.{digits}e}")) for value in known}
        if len(set(few.values())) == len(known):
            labels = few
            break
    if len(known) > MAX_EPS:
        labels = {value: f"1e{math.floor(math.log10(value)):+03d} …" if value > 0 else "0" for value in known}
    if cells["eps"].isna().any():
        labels[None] = AUTO
    return labels


# The shares of a square of `squares`, by what is known of its gradients.
SHARES = {
    "planted": (Truth.CAUGHT, Truth.MISSED, Truth.CANNOT_BE_TOLD),
    "correct": (Truth.FALSE_ALARM,),
    "unknown": (Truth.UNKNOWN,),
}


def squares(cells: pd.DataFrame) -> list[Square]:
    """By bug and step the shares of the cells; one row for each square and share (`what`).

    Planted bugs were caught, missed, or cannot be told.  Correct gradients were accused or not.  Where nobody knows the
    gradient, the share is of the cells judged a mismatch.
    """
    done = _done(cells, ["bug", "eps", *COLUMNS])
    labels = eps_labels(done)
    order = {label: i for i, label in enumerate(dict.fromkeys(labels.values()))}
    told, accused = truths(done), done["verdict"] == "mismatch"
    kind_of = {str(truth): "planted" if truth.planted else "correct" for truth in Truth} | {
        str(Truth.UNKNOWN): "unknown"
    }
    frame = done[["run", "bug"]].assign(
        eps=[labels[None if math.isnan(value) else value] for value in done["eps"].astype(float)],
        kind=told.map(kind_of),
        told=told.where((told != Truth.UNKNOWN) | accused, "other"),
    )
    rows: list[Square] = []
    for key, group in frame.groupby(["run", "bug", "eps", "kind"], dropna=False, sort=True):
        run, bug, eps, kind = (plain_value(value) for value in key)
        counts, n = group["told"].value_counts(), len(group)
        found = {str(what): int(counts.get(what, 0)) for what in SHARES[kind]}
        words = {str(Truth.FALSE_ALARM): "accused", str(Truth.UNKNOWN): "judged mismatch"}
        says = ", ".join(f"{count} {words.get(what, what)}" for what, count in found.items())
        for what, count in found.items():
            rows.append(
                {
                    "run": _run(run),
                    "bug": label(bug),
                    "eps": eps,
                    "kind": kind,
                    "cells": n,
                    "order": order[eps],
                    "says": says,
                    "what": what,
                    "count": count,
                    "share": count / n,
                    "percent": _percent(count / n),
                }
            )
    bugs = sorted({row["bug"] for row in rows})[:MAX_NAMES]
    return [row for row in rows if row["bug"] in bugs]


def _percent(share: float) -> str:
    """A share in %; 0 is none and 100 is all."""
    return f"{min(99, max(1, round(100 * share))) if 0 < share < 1 else round(100 * share)}"


def rule_bars(cells: pd.DataFrame) -> list[Bar]:
    """For each rule its shares of the planted bugs (``caught``, ``missed``, ``cannot be told``), of the correct gradients
    (``false alarm``), and of those that nobody knows (``unknown``).
    """
    frame = rule_counts(cells)
    columns = {
        "planted": {"caught": "caught", "missed": "missed", "cannot be told": "cannot_be_told"},
        "correct": {"false alarm": "false_alarms"},
        "unknown": {"unknown": "accused"},
    }
    known = frame["caught"].notna() | frame["false_alarms"].notna()
    of = {"planted": frame["caught"].notna(), "correct": frame["false_alarms"].notna(), "unknown": ~known}
    rows: list[Bar] = []
    for kind, shares in columns.items():
        for rule, group in frame[of[kind]].groupby("rule", sort=False):
            n, start = int(group["cells"].sum()), 0.0
            for what, column in shares.items() if n else ():
                count = int(group[column].sum())
                end = start + count / n
                rows.append(
                    {
                        "rule": label(rule),
                        "kind": kind,
                        "what": what,
                        "count": count,
                        "cells": n,
                        "start": start,
                        "end": end,
                        "text": f"{count}/{n}",
                    }
                )
                start = end
    return rows


def interesting(cells: pd.DataFrame) -> NDArray[np.intp]:
    """The places of the cells in the order in which they deserve a look, taken in turn from each square of bug and step.

    The order within a square: correct gradients that were accused and bugs that were missed; mismatches of gradients that
    nobody knows; failures; bugs that no number shows; the others.  Among equals the worst error comes first.
    """
    told, computed = truths(cells), cells["status"] == "ok"
    look = {Truth.FALSE_ALARM: 4, Truth.MISSED: 4, Truth.CANNOT_BE_TOLD: 1}
    wrong = told.map({str(truth): look.get(truth, 0) for truth in Truth}).astype(int)
    wrong = wrong.mask((told == Truth.UNKNOWN) & (cells["verdict"] == "mismatch"), 3)
    wrong = wrong.where(computed, 2 * (cells["status"] == "failed").astype(int))
    keys = cells[["bug", "eps", "max_rel_err"]].assign(_wrong=wrong).reset_index(drop=True)
    ordered = keys.sort_values(["_wrong", "max_rel_err"], ascending=False, na_position="last", kind="stable")
    turn = ordered.groupby(["bug", "eps"], dropna=False, sort=False).cumcount()
    first = ordered.assign(_turn=turn).sort_values(["_turn", "_wrong"], ascending=[True, False], kind="stable")
    return np.asarray(first.index, dtype=np.intp)


def _done(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of the cells that were computed, and `run`.

    All columns of a million cells would take a gigabyte.
    """
    done = cells.loc[cells["status"] == "ok", [name for name in cells.columns if name in (*columns, "run")]]
    return done if "run" in done else done.assign(run=None)


def label(text: object) -> str:
    """Text from a run as a chart shows it: on one line, at most NAME characters, nothing in it acts."""
    return "-" if text is None else cut(printable(text), NAME)


def _run(folder: str | None) -> str | None:
    """A folder as it is shown; of a long name the end, where runs differ."""
    text = None if folder is None else printable(folder)
    return text if text is None or len(text) <= NAME else "…" + text[1 - NAME :]
