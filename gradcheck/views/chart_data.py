"""The figures behind the charts: from rows of ``cells``, and in one pass over the weights, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.experiment.truth import COLUMNS, UNKNOWN_MODELS, Truth, truths
from gradcheck.numerics.steps import AUTO, eps_text
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.printable import printable
from gradcheck.views.frames import accusations, plain_value, records
from gradcheck.views.terminal import cut

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]

MAX_EPS = 40  # more steps than that are taken together by decade
MAX_NAMES = 60  # bugs in one heat map
MAX_WEIGHTS = 100  # in one chart
NAME = 60  # characters
WEIGHT_COLUMNS = ("cell", "param", "position", "flat_index", "analytic", "numeric", "abs_err", "bound", "verdict")
HISTOGRAM_COLUMNS = ("model", "bug", "rel_err", "verdict")
KINDS = ("correct", "planted", "unknown")  # what is known of a gradient
_BINS = 2  # of a histogram, in a decade
_FAR = 1000  # bins, further from 1 than any double


def _done(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of the cells that were computed, and `run`: all columns of a million cells would take a gigabyte."""
    done = cells.loc[cells["status"] == "ok", [name for name in cells.columns if name in (*columns, "run")]]
    return done if "run" in done else done.assign(run=None)


def name(text: Any) -> str:
    """Text from a run as it is shown: on one line, nothing in it acts, not too long."""
    return "-" if text is None else cut(printable(text), NAME)


def _run(folder: str | None) -> str | None:
    """The end of a folder's name, where runs differ."""
    text = None if folder is None else printable(folder)
    return text if text is None or len(text) <= NAME else "…" + text[1 - NAME :]


def v_curve(cells: pd.DataFrame) -> Rows:
    """Error and bound against the step, relative to the gradient: medians over the cells without a planted bug.

    One row for each run, scheme, dtype, eps (None: auto) and `what`: ``observed error``, the median of
    `median_rel_err`, and ``bound``, the median of ``median_resolution / 2``, which is bound / max(|analytic|,
    |numeric|) and never below the `rel_err` that it allows.  Where every cell has a planted bug, bounds alone.
    """
    keys = ["run", "scheme", "dtype", "eps"]
    done = _done(cells, [*keys, "bug_injected", "median_rel_err", "median_resolution"])
    correct = done[~done["bug_injected"].fillna(False).astype(bool)]
    measured = {"observed error": correct["median_rel_err"], "bound": correct["median_resolution"] / 2}
    if correct.empty:
        correct, measured = done, {"bound": done["median_resolution"] / 2}
    rows = []
    for what, values in measured.items():
        groups = correct[keys].assign(value=values).groupby(keys, dropna=False, sort=True)["value"]
        for row in records(groups.agg(["median", "size"]).reset_index()):
            value = row["median"]
            if value is not None and math.isfinite(value) and value > 0:  # there is no 0 on a log axis
                shown = {key: name(row[key]) for key in ("scheme", "dtype")}
                rows.append(
                    {
                        "run": _run(row["run"]),
                        **shown,
                        "eps": row["eps"],
                        "what": what,
                        "value": value,
                        "cells": row["size"],
                    }
                )
    return rows


def eps_labels(cells: pd.DataFrame) -> dict[float | None, str]:
    """How the steps of some cells are named: by size, auto last, with as many digits as tell them apart; many of them
    are taken together by decade.
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


# What a square of `detection` says of its cells, by what is known of their gradients.
SHARES = {
    "planted": (Truth.CAUGHT, Truth.MISSED, Truth.CANNOT_BE_TOLD),
    "correct": (Truth.FALSE_ALARM,),
    "unknown": (Truth.UNKNOWN,),
}


def detection(cells: pd.DataFrame) -> Rows:
    """By bug and step the shares of the cells: planted bugs that were caught, missed, or cannot be told; correct gradients that
    were accused; and where nobody knows the gradient those judged a mismatch.

    One row for each square and share (`what`); ``kind`` is planted, correct or unknown.
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
    rows: Rows = []
    for key, group in frame.groupby(["run", "bug", "eps", "kind"], dropna=False, sort=True):
        run, bug, eps, kind = (plain_value(value) for value in key)
        counts, n = group["told"].value_counts(), len(group)
        shared = {"run": _run(run), "bug": name(bug), "eps": eps, "kind": kind, "cells": n, "order": order[eps]}
        found = {str(what): int(counts.get(what, 0)) for what in SHARES[kind]}
        words = {str(Truth.FALSE_ALARM): "accused", str(Truth.UNKNOWN): "judged mismatch"}
        shared["says"] = ", ".join(f"{count} {words.get(what, what)}" for what, count in found.items())
        rows += [
            {**shared, "what": what, "count": count, "share": count / n, "percent": _percent(count / n)}
            for what, count in found.items()
        ]
    shown = sorted({row["bug"] for row in rows})[:MAX_NAMES]
    return [row for row in rows if row["bug"] in shown]


def _percent(share: float) -> str:
    """Never 0 or 100 unless it is none or all."""
    return f"{min(99, max(1, round(100 * share))) if 0 < share < 1 else round(100 * share)}"


def rules(cells: pd.DataFrame) -> Rows:
    """For each rule its shares of the planted bugs (``caught``, ``missed``, ``cannot be told``), of the correct gradients
    (``false alarm``), and of those that nobody knows (``unknown``); ``start`` is where the shares of the same cells before end.
    """
    frame = accusations(cells)
    columns = {
        "planted": {"caught": "caught", "missed": "missed", "cannot be told": "cannot_be_told"},
        "correct": {"false alarm": "false_alarms"},
        "unknown": {"unknown": "accused"},
    }
    known = frame["caught"].notna() | frame["false_alarms"].notna()
    of = {"planted": frame["caught"].notna(), "correct": frame["false_alarms"].notna(), "unknown": ~known}
    rows: Rows = []
    for kind, shares in columns.items():
        for rule, group in frame[of[kind]].groupby("rule", sort=False):
            n, start = int(group["cells"].sum()), 0.0
            for what, column in shares.items() if n else ():
                count = int(group[column].sum())
                own = {"rule": name(rule), "kind": kind, "what": what, "count": count, "cells": n}
                rows.append(own | {"start": start, "end": start + count / n, "text": f"{count}/{n}"})
                start += count / n
    return rows


class Histogram:
    """Relative errors counted in bins of half a decade, by verdict and what is known of the gradient (KINDS)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int, int], int] = {}
        self.apart = {"zero": 0, "not_a_number": 0}

    def add(self, table: Any) -> None:
        """Count the weights of a piece of ``errors`` (a pyarrow table with HISTOGRAM_COLUMNS)."""
        import pyarrow as pa
        import pyarrow.compute as pc

        value = table["rel_err"].to_numpy()
        planted = pc.fill_null(pc.not_equal(table["bug"], "none"), False).to_numpy().astype(np.int64)
        unknown = pc.is_in(table["model"], value_set=pa.array(UNKNOWN_MODELS)).to_numpy()
        kind = np.where(unknown, KINDS.index("unknown"), planted)
        verdict = pc.fill_null(pc.index_in(table["verdict"], value_set=pa.array(VERDICTS)), len(VERDICTS)).to_numpy()
        self.apart["zero"] += int((value == 0).sum())
        self.apart["not_a_number"] += int(np.isnan(value).sum())
        drawn = np.isfinite(value) & (value > 0) & (verdict < len(VERDICTS))
        place = np.floor(_BINS * np.log10(value[drawn])).astype(np.int64)
        # one number for the three, of which sorting takes a tenth of the time; a double has 633 decades at most
        which = (kind[drawn] * len(VERDICTS) + verdict[drawn].astype(np.int64)) * 2 * _FAR + place + _FAR
        keys, counts = np.unique(which, return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            square, low = divmod(key, 2 * _FAR)
            bin_ = (*divmod(square, len(VERDICTS)), low - _FAR)
            self._counts[bin_] = self._counts.get(bin_, 0) + count

    def rows(self) -> Rows:
        """One row for each bin, ``low`` to ``high``, and verdict, stacked ``start`` to ``end``."""
        rows: Rows = []
        height: dict[tuple[int, int], int] = {}
        for kind, verdict, place in sorted(self._counts):
            count, start = self._counts[kind, verdict, place], height.get((kind, place), 0)
            height[kind, place] = start + count
            low, high = 10 ** (place / _BINS), 10 ** ((place + 1) / _BINS)
            own = {"kind": KINDS[kind], "verdict": VERDICTS[verdict], "weights": count}
            rows.append({**own, "low": low, "high": high, "start": start, "end": start + count})
        return rows


class Chosen:
    """The weights of some cells, of each no more than MAX_WEIGHTS: those furthest beyond their bound."""

    def __init__(self, cells: Iterable[str]) -> None:
        self._kept: dict[str, pd.DataFrame] = {}
        self.counts = dict.fromkeys(cells, 0)

    def add(self, table: Any) -> None:
        """Take what belongs to the cells from a piece of ``errors`` (a pyarrow table with WEIGHT_COLUMNS)."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = table.filter(pc.is_in(table["cell"], value_set=pa.array(list(self.counts), pa.string())))
        if not wanted.num_rows:  # as in most pieces of a long record
            return
        for cell, frame in wanted.to_pandas().groupby("cell", sort=False):
            self.counts[cell] += len(frame)
            kept = pd.concat([self._kept[cell], frame]) if cell in self._kept else frame
            self._kept[cell] = furthest(kept)

    def rows(self, cell: str) -> Rows:
        return weights(self._kept[cell]) if cell in self._kept else []


def furthest(frame: pd.DataFrame) -> pd.DataFrame:
    """At most MAX_WEIGHTS weights: those whose error is the largest share of the bound, not a number first."""
    if len(frame) <= MAX_WEIGHTS:
        return frame
    with np.errstate(all="ignore"):
        share = frame["abs_err"].to_numpy(float) / frame["bound"].to_numpy(float)
    share = np.where(np.isnan(share), np.where(frame["abs_err"].to_numpy(float) == 0, 0.0, np.inf), share)
    return frame.iloc[np.argsort(-share, kind="stable")[:MAX_WEIGHTS]]


def weights(frame: pd.DataFrame) -> Rows:
    """The weights of a cell as they are drawn, in the order of `flat_index`; what is not finite is None."""
    rows = []
    for row in records(furthest(frame).drop_duplicates("flat_index").sort_values("flat_index")):
        real = {key: _finite(row[key]) for key in ("analytic", "numeric", "abs_err", "bound")}
        rows.append({"weight": weight_name(row), "order": row["flat_index"], **real, "verdict": name(row["verdict"])})
    return rows


def weight_name(row: Mapping[str, Any]) -> str:
    """``W1[0,3]``"""
    place: Sequence[Any] = row["position"] or []
    return name(f"{row['param']}[{','.join(map(str, place))}]" if place else row["param"])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def interesting(cells: pd.DataFrame) -> NDArray[np.intp]:
    """The places of cells in the order in which they deserve a look, taken in turn from each square of bug and step.

    Within a square: correct gradients that were accused and bugs that were missed, mismatches of gradients that nobody knows,
    failures, bugs that no number shows, then by worst error.
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
