"""Bars of what each rule accuses, our own verdict on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.views.charts.cell_data import Bar
from gradcheck.views.charts.pieces import by_kind, colour_scale, data, empty
from gradcheck.views.charts.theme import BLUE, GREY, ORANGE, RED

if TYPE_CHECKING:
    from altair.typing import ChartType

COLOURS = {"caught": BLUE, "missed": RED, "cannot be told": GREY, "false alarm": RED, "unknown": ORANGE}
TITLES = {
    "planted": "planted bugs: caught, missed, cannot be told",
    "correct": "correct gradients accused (false alarms)",
    "unknown": "gradients that nobody knows, accused",
}


def rules(rows: Sequence[Bar]) -> ChartType:
    """Bars from the rows of `cell_data.rule_bars`: each rule's shares of planted bugs, its false alarms, and what it says of
    gradients that nobody knows.
    """
    if not rows:
        return empty("No cell was computed.")
    caught = {row["rule"]: row["end"] for row in rows if row["what"] == "caught"}
    order = sorted({row["rule"] for row in rows}, key=lambda rule: (rule != "gradcheck", -caught.get(rule, 0), rule))
    panels: list[alt.LayerChart] = []
    for kind, title, own in by_kind(rows, TITLES):
        # the names of the rules stand beside the first panel
        y = alt.Y("rule:N", sort=order, scale=alt.Scale(domain=order), title=None, axis=None if panels else alt.Axis())
        legend = alt.Legend(orient="bottom", title=None) if kind == "planted" else None
        panels.append(_bars(own, title, y, legend))
    return panels[0] if len(panels) == 1 else alt.hconcat(*panels).resolve_scale(color="independent")


def _bars(rows: Sequence[Bar], title: str, y: alt.Y, legend: alt.Legend | None) -> alt.LayerChart:
    """A bar for each rule, and the figure of its first share behind it."""
    whats = list(dict.fromkeys(row["what"] for row in rows))
    base = alt.Chart(data(rows), title=title).encode(
        x=alt.X(
            "start:Q",
            scale=alt.Scale(domain=[0, 1.12], nice=False),
            title=None,
            axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        x2="end:Q",
        y=y,
        tooltip=["rule:N", "what:N", "count:Q", "cells:Q"],
    )
    bars = base.mark_bar().encode(color=alt.Color("what:N", scale=colour_scale(COLOURS, whats), legend=legend))
    # the figure of the first share stands behind the whole bar: the others are told by the tooltip
    first = [{**row, "behind": row["end"] if len(whats) == 1 else 1.0} for row in rows if row["what"] == whats[0]]
    texts = alt.Chart(data(first)).mark_text(align="left", dx=4).encode(x="behind:Q", y=y, text="text:N")
    return (bars + texts).properties(width=300, height=alt.Step(19))
