"""What charts are composed of: data, logarithmic axes, colours, panels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.views.charts.cell_data import InPanel
from gradcheck.views.charts.theme import GREY
from gradcheck.views.words import VERDICT_WORDS

if TYPE_CHECKING:
    from altair.typing import ChartType


_POWERS = [float(f"1e{power}") for power in range(-323, 309)]  # of the axis only those on its scale are drawn


def data(rows: Sequence[Mapping[str, object]]) -> alt.Data:
    """Rows as the data of a chart."""
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]


def decades(ticks: int, extent: float | None = None) -> alt.Axis:
    """An axis of whole powers of ten, about so many of them, evenly apart.  The scale should end at such powers.

    extent : pixels that its names take at least.
    """
    name, least = exponential("datum.value", "~e"), alt.Undefined if extent is None else extent
    return alt.Axis(values=_POWERS, labelExpr=name, labelOverlap="parity", tickCount=ticks, minExtent=least)


def exponential(number: str, form: str) -> str:
    """An expression of Vega that prints a number as Python does: 1e-08, where JavaScript has 1e-8.

    number : the expression of the number.   form : digits, as ``.1e`` or ``~e``.
    """
    return f"replace(format({number}, '{form}'), regexp('e([+-])(\\\\d)$'), 'e$10$2')"


def empty(words: str) -> alt.Chart:
    """In place of a chart that has nothing to show."""
    return alt.Chart(data([{"words": words}]), width=420, height=36).mark_text(align="left", x=8).encode(text="words:N")


def colour_scale(colours: Mapping[str, str], names: Sequence[str]) -> alt.Scale:
    """The colours of some names; grey for a name that has none."""
    return alt.Scale(domain=list(names), range=[colours.get(name, GREY) for name in names])


def in_panels(chart: alt.Chart | alt.LayerChart, rows: Sequence[InPanel], spacing: int = 12) -> ChartType:
    """A panel for each `row` and `column` of the data of a chart, where there are several, in the order of the rows."""
    rows_, columns = list(dict.fromkeys(row["row"] for row in rows)), list(dict.fromkeys(row["column"] for row in rows))
    if rows_ == [""] and columns == [""]:
        return chart
    across = alt.Column("column_at:O", title=None, header=alt.Header(labelExpr=_named(columns), labelLimit=220))
    named = alt.Header(labelExpr=_named(rows_), labelLimit=220, labelAngle=0, labelAlign="left")
    down = alt.Row("row_at:O", title=None, header=named)
    if columns == [""]:
        faceted = chart.facet(row=down, spacing=spacing)
    elif rows_ == [""]:
        faceted = chart.facet(column=across, spacing=spacing)
    else:
        faceted = chart.facet(row=down, column=across, spacing=spacing)
    # panels are ordered by number: the order of names is not known of a panel without data, which would stand first
    return faceted.transform_calculate(
        row_at=f"indexof({json.dumps(rows_)}, datum.row)", column_at=f"indexof({json.dumps(columns)}, datum.column)"
    )


def _named(names: Sequence[str]) -> str:
    """An expression of Vega: the name of the panels with a number."""
    return f"{json.dumps(names)}[datum.value]"


def verdict_legend() -> alt.Legend:
    """The verdicts; weights that were not judged have the word of sentences and tables."""
    label = f"{json.dumps(VERDICT_WORDS)}[datum.label] || datum.label"
    return alt.Legend(title="verdict", labelExpr=label)
