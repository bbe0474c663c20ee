"""The figures of charts that are made from the weights, in one pass over ``errors`` and bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

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
DRAWN_COLUMNS = (
    *("cell", "param", "position", "flat_index", "analytic", "numeric", "abs_err", "bound", "verdict"),
    *("reason", "weight", "step"),
)
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
    """Relative errors counted in bins of half a decade, by verdict and what is known of the gradient (KINDS).

    cells, groups : ids of cells and a number for each, by which the weights are counted as well (`grouped`).
    """

    def __init__(self, cells: pd.Index | None = None, groups: NDArray[np.int64] | None = None) -> None:
        self._counts: dict[tuple[int, int, int, int], int] = {}
        self._cells, self._groups = cells, groups
        self.apart = {"zero": 0, "not_a_number": 0}

    def add(self, table: pa.Table) -> None:
        """Count the weights of a piece of ``errors`` with the columns ERROR_COLUMNS, and ``cell`` where there are groups."""
        import pyarrow as pa
        import pyarrow.compute as pc

        value = table["rel_err"].to_numpy()
        planted = pc.fill_null(pc.not_equal(table["bug"], "none"), False).to_numpy().astype(np.int64)
        unknown = pc.is_in(table["model"], value_set=pa.array(UNKNOWN_MODELS)).to_numpy()
        kind = np.where(unknown, KINDS.index("unknown"), planted)
        verdict = pc.fill_null(pc.index_in(table["verdict"], value_set=pa.array(VERDICTS)), len(VERDICTS)).to_numpy()
        group = self._group(table)
        self.apart["zero"] += int((value == 0).sum())
        self.apart["not_a_number"] += int(np.isnan(value).sum())
        drawn = np.isfinite(value) & (value > 0) & (verdict < len(VERDICTS)) & (group >= 0)
        place = np.floor(_BINS * np.log10(value[drawn])).astype(np.int64)
        # group, kind, verdict and bin as one number: sorting takes a tenth of the time; a double has 633 decades at most
        which = (group[drawn] * len(KINDS) + kind[drawn]) * len(VERDICTS) + verdict[drawn].astype(np.int64)
        keys, counts = np.unique(which * 2 * _FAR + place + _FAR, return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            square, low = divmod(key, 2 * _FAR)
            rest, of_verdict = divmod(square, len(VERDICTS))
            bin_ = (*divmod(rest, len(KINDS)), of_verdict, low - _FAR)
            self._counts[bin_] = self._counts.get(bin_, 0) + count

    def _group(self, table: pa.Table) -> NDArray[np.int64]:
        """The group of each weight; -1 of a cell that has none."""
        if self._cells is None or self._groups is None:
            return np.zeros(table.num_rows, dtype=np.int64)
        ids = table["cell"].combine_chunks().dictionary_encode()  # few cells in many rows
        if hasattr(ids, "combine_chunks"):
            ids = ids.combine_chunks()
        at = self._cells.get_indexer(ids.dictionary.to_pylist())
        groups = np.where(at < 0, -1, self._groups[at]) if len(self._groups) else np.full(len(at), -1)
        found: NDArray[np.int64] = groups.astype(np.int64)[ids.indices.to_numpy(zero_copy_only=False)]
        return found

    def grouped(self) -> list[tuple[int, int, int, int]]:
        """Group, verdict, bin and number of weights; a group has one kind."""
        return [(group, verdict, place, n) for (group, _, verdict, place), n in sorted(self._counts.items())]

    def rows(self) -> list[Bin]:
        """One row for each bin and verdict."""
        rows: list[Bin] = []
        height: dict[tuple[int, int], int] = {}
        whole: dict[tuple[int, int, int], int] = {}
        for (_, *bin_), count in self._counts.items():
            key = (bin_[0], bin_[1], bin_[2])
            whole[key] = whole.get(key, 0) + count
        for kind, verdict, place in sorted(whole):
            count, start = whole[kind, verdict, place], height.get((kind, place), 0)
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

    def __init__(self, cells: Sequence[str]) -> None:
        import pandas as pd

        self.cells = list(dict.fromkeys(cells))
        self._index = pd.Index(self.cells, dtype=object)
        self._kept: list[pd.DataFrame] = []
        self._rows = 0
        self.counts = np.zeros(len(self.cells), dtype=np.int64)

    def add(self, table: pa.Table) -> None:
        """Take the weights of the cells from a piece of ``errors`` with the columns DRAWN_COLUMNS."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = table.filter(pc.is_in(table["cell"], value_set=pa.array(self.cells, pa.string())))
        if not wanted.num_rows:  # so it is with most pieces of a long record
            return
        frame = wanted.select(list(DRAWN_COLUMNS)).to_pandas()
        frame["cell"] = self._index.get_indexer(frame["cell"])
        self.counts += np.bincount(frame["cell"], minlength=len(self.cells))
        self._kept.append(furthest(frame))
        self._rows += len(self._kept[-1])
        if self._rows > 4 * DRAWN_WEIGHTS * len(self.cells):
            self._kept = [self.frame()]
            self._rows = len(self._kept[0])

    def frame(self) -> pd.DataFrame:
        """The weights, by cell (its place in `cells`) and `flat_index`."""
        import pandas as pd

        whole = pd.concat(self._kept) if self._kept else pd.DataFrame(columns=list(DRAWN_COLUMNS))
        kept = furthest(whole).drop_duplicates(["cell", "flat_index"])
        return kept.sort_values(["cell", "flat_index"], ignore_index=True)


def furthest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each cell at most DRAWN_WEIGHTS weights: those whose error is the largest share of the bound; NaN comes first."""
    error, bound = frame["abs_err"].to_numpy(float), frame["bound"].to_numpy(float)
    with np.errstate(all="ignore"):
        share = error / bound
    share = np.where(np.isnan(share), np.where(error == 0, 0.0, np.inf), share)
    cell = frame["cell"].factorize()[0]
    by_cell = np.lexsort((-share, cell))
    own = cell[by_cell]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    return frame.iloc[np.sort(by_cell[rank < DRAWN_WEIGHTS])]


def drawn_weights(frame: pd.DataFrame, row: Sequence[str] = (), column: Sequence[str] = ()) -> list[Weight]:
    """The weights of a cell as they are drawn, in the order of `flat_index`; numbers that are not finite are None.

    row, column : the columns of ``errors`` whose values make panels.
    """
    rows: list[Weight] = []
    kept = furthest(frame.assign(cell=0)).drop_duplicates("flat_index").sort_values("flat_index")
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
