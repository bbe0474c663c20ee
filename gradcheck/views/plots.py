"""Charts of a run: the same for the page, for figures in a paper and for notebooks.  Altair is imported when one is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from gradcheck.errors import BadInput
from gradcheck.views.charts import cell_data, weight_data
from gradcheck.views.charts.drawing import require_altair

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from altair.typing import ChartType


class Source(Protocol):
    """What charts are made from: `runs.Runs`, `record.Record`."""

    @property
    def cells(self) -> pd.DataFrame: ...
    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]: ...
    def weights(self, cell: str) -> pd.DataFrame: ...


class Plots:
    """Charts of one or several runs, as Altair charts."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def v_curve(self) -> ChartType:
        """Observed error and bound against eps, a line for each scheme and dtype (`cell_data.v_points`)."""
        require_altair()
        from gradcheck.views.charts.v_curve import v_curve

        return v_curve(cell_data.v_points(self._source.cells))

    def detection(self) -> ChartType:
        """Bug by eps: the shares of planted bugs caught, missed, not to be told, and of correct gradients accused."""
        require_altair()
        from gradcheck.views.charts.detection import detection

        return detection(cell_data.squares(self._source.cells))

    def rules(self) -> ChartType:
        """Each rule's false alarms, and its shares of planted bugs caught, missed, not to be told."""
        require_altair()
        from gradcheck.views.charts.rules import rules

        return rules(cell_data.rule_bars(self._source.cells))

    def histogram(self) -> ChartType:
        """Relative errors of all weights by verdict; reads ``errors`` once, in bounded memory."""
        require_altair()
        from gradcheck.views.charts.histogram import histogram

        counted = weight_data.ErrorCounts()
        for table in self._source.tables(weight_data.ERROR_COLUMNS):
            counted.add(table)
        return histogram(counted.rows())

    def weights(self, cell: str) -> ChartType:
        """One cell: analytic against numeric gradient with the band of the bound, and the error against the bound.

        Of more than 100 weights, the 100 furthest beyond their bound.  Raises BadInput (a ValueError) where the cell
        has no weights.
        """
        require_altair()
        from gradcheck.views.charts.weights import weights

        rows = weight_data.drawn_weights(self._source.weights(cell))
        if not rows:
            raise BadInput(f"plot.weights: no weights of a cell {cell!r} here")
        return weights(rows)
