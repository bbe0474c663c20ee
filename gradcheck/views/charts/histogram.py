"""Relative errors of all weights, stacked by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.charts.pieces import colour_scale, data, decades, empty, exponential, verdict_legend
from gradcheck.views.charts.theme import VERDICT_COLOURS
from gradcheck.views.charts.weight_data import Bin

if TYPE_CHECKING:
    from altair.typing import ChartType

TITLES = {
    "correct": "correct gradients",
    "planted": "gradients with a planted bug",
    "unknown": "gradients that nobody knows",
}


def histogram(rows: Sequence[Bin]) -> ChartType:
    """Stacked bars from the rows of `weight_data.ErrorCounts`, a panel for each kind of gradient."""
    if not rows:
        return empty("No weight has a relative error other than 0.")
    domain = (min(row["low"] for row in rows), max(row["high"] for row in rows))
    shown = [name for name in VERDICTS if any(row["verdict"] == name for row in rows)]
    titles = [title for kind, title in TITLES.items() if any(row["kind"] == kind for row in rows)]
    placed = [{**row, "title": TITLES[row["kind"]]} for row in rows]
    return by_title(bars(data(placed), shown, domain, 620), titles)


def by_title(chart: alt.Chart, titles: Sequence[str]) -> alt.FacetChart:
    """A panel for each title, one below the other, each with its own count."""
    header = alt.Header(labelOrient="top", labelAnchor="start", labelFontWeight="normal")
    facet = alt.Facet("title:N", sort=list(titles), title=None, header=header)
    return chart.facet(facet, columns=1, spacing=12).resolve_scale(y="independent")


def bars(source: alt.Data, verdicts: Sequence[str], domain: tuple[float, float], width: int) -> alt.Chart:
    """The bars of one panel."""
    x = alt.X("low:Q", scale=alt.Scale(type="log", domain=list(domain), nice=False), axis=decades(8), title="rel_err")
    return (
        alt.Chart(source, width=width, height=150)
        .transform_calculate(**{"from": exponential("datum.low", ".1e"), "to": exponential("datum.high", ".1e")})
        .mark_rect(stroke=None)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("start:Q", title="weights", axis=alt.Axis(tickCount=5)),
            y2="end:Q",
            color=alt.Color("verdict:N", scale=colour_scale(VERDICT_COLOURS, verdicts), legend=verdict_legend()),
            tooltip=["verdict:N", "weights:Q", alt.Tooltip("from:N", title="low"), alt.Tooltip("to:N", title="high")],
        )
    )
