"""Relative errors of all weights, stacked by verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.charts.pieces import by_kind, colour_scale, data, decades, empty
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
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    x = alt.X("low:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=decades(8), title="rel_err")
    shown = [name for name in VERDICTS if any(row["verdict"] == name for row in rows)]
    panels = [
        alt.Chart(data(own), title=title, width=620, height=150)
        .mark_rect(stroke=None)
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("start:Q", title="weights", axis=alt.Axis(tickCount=5)),
            y2="end:Q",
            color=alt.Color("verdict:N", scale=colour_scale(VERDICT_COLOURS, shown), title="verdict"),
            tooltip=[
                "verdict:N",
                "weights:Q",
                alt.Tooltip("low:Q", format=".1e"),
                alt.Tooltip("high:Q", format=".1e"),
            ],
        )
        for _, title, own in by_kind(rows, TITLES)
    ]
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)
