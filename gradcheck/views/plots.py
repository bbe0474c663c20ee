"""Charts of a run: the same for the page, for figures in a paper and for notebooks.  Altair is imported when one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from gradcheck.errors import BadInput
from gradcheck.views import facets
from gradcheck.views.charts import cell_data, weight_data
from gradcheck.views.charts.drawing import require_altair

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from altair.typing import ChartType

Auto = Literal["auto"]
AUTO: Final[Auto] = "auto"
Keys = str | Sequence[str] | None  # whose values make panels


class Source(Protocol):
    """What charts are made from: `runs.Runs`, `record.Record`."""

    @property
    def cells(self) -> pd.DataFrame: ...
    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]: ...
    def weights(self, cell: str) -> pd.DataFrame: ...


class Plots:
    """Charts of one or several runs, as Altair charts.

    ``row`` and ``column`` name the columns of ``cells`` whose values make the panels, one or a list; None makes one panel,
    ``"auto"`` takes the keys that were swept.  Every other keyword is a filter on a column, a value or a list of them.

    Examples
    --------
    >>> import gradcheck
    >>> plot = gradcheck.load("runs/reference").plot
    >>> chart = plot.detection(row="scheme", column="dtype", bug=["none", "scale"])
    >>> curves = plot.v_curve(column="model", dtype="float64")
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def detection(self, *, row: Keys = AUTO, column: Keys = AUTO, **where: object) -> ChartType:
        """Bug by eps: the shares of planted bugs caught, not to be told, missed, and of correct gradients accused.

        The title says which keys a square takes together.
        """
        require_altair()
        from gradcheck.views.charts.detection import detection

        cells, rows, columns = self._panels("plot.detection", row, column, where)
        return _titled(detection(cell_data.squares(cells, rows, columns)), cells, ["bug", "eps", *rows, *columns])

    def rules(self, *, row: Keys = None, column: Keys = None, **where: object) -> ChartType:
        """The rules as a plane: correct gradients accused across, planted bugs caught up."""
        require_altair()
        from gradcheck.views.charts.rules import rules

        return rules(cell_data.rule_points(*self._panels("plot.rules", row, column, where)))

    def v_curve(self, *, row: Keys = AUTO, column: Keys = AUTO, **where: object) -> ChartType:
        """Observed error and bound against eps, a line for each scheme (`cell_data.v_points`).

        ``"auto"`` makes panels of all other keys that were swept; a median takes together what is left, such as seeds.  The
        title says which keys.
        """
        require_altair()
        from gradcheck.views.charts.captions import curve_panels
        from gradcheck.views.charts.v_curve import v_curve

        cells, rows, columns = self._panels("plot.v_curve", row, column, where, curve_panels)
        drawn = cell_data.of_curves(cells)
        return _titled(v_curve(cell_data.v_points(cells, rows, columns)), drawn, ["scheme", "eps", *rows, *columns])

    def histogram(self, *, row: Keys = None, column: Keys = None, **where: object) -> ChartType:
        """Relative errors of all weights by verdict; reads ``errors`` once, in bounded memory.

        Filters are columns of ``cells``.  There are no panels but for what is known of a gradient.  Several runs may have the
        same cells: which run is meant is said to `gradcheck.load`.
        """
        require_altair()
        import pandas as pd

        from gradcheck.views.charts.histogram import histogram

        for place, typed in (("row", row), ("column", column)):
            if typed not in (None, []):
                raise BadInput(
                    f"plot.histogram: no {place} here: its panels are what is known of a gradient; take a filter"
                )
        if "run" in where:
            raise BadInput("plot.histogram: 'run' is no filter here: load one run")
        counted, columns = weight_data.ErrorCounts(), list(weight_data.ERROR_COLUMNS)
        if where:
            kept = pd.Index(facets.chosen(self._source.cells, where, "plot.histogram")["cell"].unique(), dtype=object)
            counted, columns = weight_data.ErrorCounts(kept, np.zeros(len(kept), dtype=np.int64)), ["cell", *columns]
        for table in self._source.tables(columns):
            counted.add(table)
        return histogram(counted.rows())

    def weights(self, cell: str, *, row: Keys = None, column: Keys = None, **where: object) -> ChartType:
        """One cell: analytic against numeric gradient with the band of the bound, and the error against the bound.

        Of more than 100 weights, the 100 furthest beyond their bound.  Panels and filters are columns of ``errors``:
        ``plot.weights(cell, column="param", verdict="mismatch")``.  Raises BadInput (a ValueError) where the cell has no
        weights.
        """
        require_altair()
        from gradcheck.views.charts.weights import weights

        found = self._source.weights(cell)
        if found.empty:
            raise BadInput(f"plot.weights: no weights of a cell {cell!r} here")
        kept = facets.chosen(found, where, "plot.weights")
        names = [
            facets.checked(typed, kept, f"plot.weights: {place}") for place, typed in (("row", row), ("column", column))
        ]
        return weights(weight_data.drawn_weights(kept, *names))

    def _panels(
        self,
        call: str,
        row: Keys,
        column: Keys,
        where: dict[str, object],
        panels: Callable[[pd.DataFrame], tuple[list[str], list[str]]] = facets.panels,
    ) -> tuple[pd.DataFrame, list[str], list[str]]:
        """The cells that are chosen, and the keys of their panels.  panels : those of ``"auto"``."""
        cells = facets.chosen(self._source.cells, where, call)
        rows, columns = panels(cells)
        both = [*columns, *rows]
        if row != AUTO:
            rows = facets.checked(row, cells, f"{call}: row")
            columns = [name for name in both if name not in rows]
        if column != AUTO:
            columns = facets.checked(column, cells, f"{call}: column")
            rows = rows if row != AUTO else [name for name in both if name not in columns]
        return cells, rows, columns


def _titled(chart: ChartType, cells: pd.DataFrame, apart: Sequence[str]) -> ChartType:
    """The chart, with a title that names the keys that it does not tell apart, if there are any."""
    from altair import TitleParams

    from gradcheck.views.charts.captions import listed

    names = facets.together(cells, apart)
    if not names:
        return chart
    title = TitleParams(f"all values of {listed(names)} together", anchor="start", fontSize=11, fontWeight="normal")
    return chart.properties(title=title)
