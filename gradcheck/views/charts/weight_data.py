"""The figures of charts that are made from the weights, in one pass over ``errors`` and bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from gradcheck.experiment.truth import UNKNOWN_MODELS
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.charts.cell_data import InPanel
from gradcheck.views.facets import label, with_panels
from gradcheck.views.frames import records, weight_name
from gradcheck.views.numbers import finite

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DRAWN_WEIGHTS = 100  # in one chart
DRAWN_COLUMNS = ("cell", "param", "position", "flat_index", "analytic", "numeric", "abs_err", "bound", "verdict")
ERROR_COLUMNS = ("model", "bug", "rel_err", "verdict")
KINDS = ("correct", "planted", "unknown")  # what is known of a gradient
_BINS = 2  # in a decade
_FAR = 1000  # bins, further from 1 than any double


class OfKind(TypedDict):
    """A row of a chart that has a panel for each kind of gradient: planted, correct, unknown."""

    kind: str


class Bin(OfKind):
    """The weights of a verdict with a relative error from ``low`` to ``high``, stacked from ``start`` to ``end``."""

    verdict: str
    weights: int
    low: float
    high: float
    start: int
    end: int


class Weight(InPanel):
    """A weight as it is drawn; a number that is unknown or not finite is None."""

    weight: str
    order: int
    analytic: float | None
    numeric: float | None
    abs_err: float | None
    bound: float | None
    verdict: str


class ErrorCounts:
    """Relative errors counted in bins of half a decade, by verdict and what is known of the gradient (KINDS)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int, int], int] = {}
        self.apart = {"zero": 0, "not_a_number": 0}

    def add(self, table: pa.Table) -> None:
        """Count the weights of a piece of ``errors`` with the columns ERROR_COLUMNS."""
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
        # kind, verdict and bin as one number: sorting takes a tenth of the time; a double has 633 decades at most
        which = (kind[drawn] * len(VERDICTS) + verdict[drawn].astype(np.int64)) * 2 * _FAR + place + _FAR
        keys, counts = np.unique(which, return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            square, low = divmod(key, 2 * _FAR)
            bin_ = (*divmod(square, len(VERDICTS)), low - _FAR)
            self._counts[bin_] = self._counts.get(bin_, 0) + count

    def rows(self) -> list[Bin]:
        """One row for each bin and verdict."""
        rows: list[Bin] = []
        height: dict[tuple[int, int], int] = {}
        for kind, verdict, place in sorted(self._counts):
            count, start = self._counts[kind, verdict, place], height.get((kind, place), 0)
            height[kind, place] = start + count
            low, high = 10 ** (place / _BINS), 10 ** ((place + 1) / _BINS)
            rows.append(
                {
                    "kind": KINDS[kind],
                    "verdict": VERDICTS[verdict],
                    "weights": count,
                    "low": low,
                    "high": high,
                    "start": start,
                    "end": start + count,
                }
            )
        return rows


class Chosen:
    """The weights of some cells, of each no more than DRAWN_WEIGHTS: those furthest beyond their bound."""

    def __init__(self, cells: Iterable[str]) -> None:
        self._kept: dict[str, pd.DataFrame] = {}
        self.counts = dict.fromkeys(cells, 0)

    def add(self, table: pa.Table) -> None:
        """Take the weights of the cells from a piece of ``errors`` with the columns DRAWN_COLUMNS."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = table.filter(pc.is_in(table["cell"], value_set=pa.array(list(self.counts), pa.string())))
        if not wanted.num_rows:  # so it is with most pieces of a long record
            return
        for cell, frame in wanted.to_pandas().groupby("cell", sort=False):
            self.counts[cell] += len(frame)
            kept = pd.concat([self._kept[cell], frame]) if cell in self._kept else frame
            self._kept[cell] = furthest(kept)

    def rows(self, cell: str) -> list[Weight]:
        """The weights of a cell as they are drawn; none where it has none."""
        return drawn_weights(self._kept[cell]) if cell in self._kept else []


def furthest(frame: pd.DataFrame) -> pd.DataFrame:
    """At most DRAWN_WEIGHTS weights: those whose error is the largest share of the bound; NaN comes first."""
    if len(frame) <= DRAWN_WEIGHTS:
        return frame
    with np.errstate(all="ignore"):
        share = frame["abs_err"].to_numpy(float) / frame["bound"].to_numpy(float)
    share = np.where(np.isnan(share), np.where(frame["abs_err"].to_numpy(float) == 0, 0.0, np.inf), share)
    return frame.iloc[np.argsort(-share, kind="stable")[:DRAWN_WEIGHTS]]


def drawn_weights(frame: pd.DataFrame, row: Sequence[str] = (), column: Sequence[str] = ()) -> list[Weight]:
    """The weights of a cell as they are drawn, in the order of `flat_index`; numbers that are not finite are None.

    row, column : the columns of ``errors`` whose values make panels.
    """
    rows: list[Weight] = []
    kept = furthest(frame).drop_duplicates("flat_index").sort_values("flat_index")
    for one in records(with_panels(kept, row, column)):
        rows.append(
            {
                "row": one["row"],
                "column": one["column"],
                "weight": label(weight_name(one["param"], one["position"])),
                "order": one["flat_index"],
                "analytic": finite(one["analytic"]),
                "numeric": finite(one["numeric"]),
                "abs_err": finite(one["abs_err"]),
                "bound": finite(one["bound"]),
                "verdict": label(one["verdict"]),
            }
        )
    return rows
