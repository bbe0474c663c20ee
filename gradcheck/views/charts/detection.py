"""Heat maps of what was caught, by bug and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.views.charts.cell_data import Square
from gradcheck.views.charts.pieces import by_run, data, empty

if TYPE_CHECKING:
    from altair.typing import ChartType

TITLES = {
    "caught": "planted bugs that were caught, in %",
    "missed": "planted bugs that were missed, in %",
    "cannot be told": "planted bugs that no number shows: cannot be told, in %",
    "false alarm": "correct gradients that were accused, in %",
    "unknown": "gradients that nobody knows, judged mismatch, in %",
}


def detection(rows: Sequence[Square]) -> ChartType:
    """Heat maps bug by eps from the rows of `cell_data.squares`: what was caught, and what was accused wrongly."""
    if not rows:
        return empty("No cell was computed.")
    return by_run(rows, _heat_maps)


def _heat_maps(rows: Sequence[Square]) -> ChartType:
    """A map for each share that any cell has."""
    steps = list(dict.fromkeys(row["eps"] for row in sorted(rows, key=lambda row: row["order"])))
    panels = []
    for what, title in TITLES.items():
        own = [row for row in rows if row["what"] == what]
        # a share that is 0 everywhere needs no map; the tooltips of the other maps say it
        if own and (what not in ("missed", "cannot be told") or any(row["count"] for row in own)):
            panels.append(_heat_map(own, title, steps, good=what == "caught"))
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels).resolve_scale(color="independent", x="shared")


def _heat_map(rows: Sequence[Square], title: str, steps: Sequence[str], good: bool) -> alt.LayerChart:
    """One map.  ``good``: a large share is what is wished for."""
    x = alt.X("eps:N", sort=steps, scale=alt.Scale(domain=steps), title="eps", axis=alt.Axis(labelAngle=-40))
    base = alt.Chart(data(rows), title=title).encode(
        x=x,
        y=alt.Y("bug:N", title=None),
        tooltip=["bug:N", "eps:N", "says:N", "cells:Q"],
    )
    # the palette made for colour-blind people; what should be looked at is bright in the one and dark in the other
    squares = base.mark_rect(cursor="pointer").encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="cividis", domain=[0, 1], reverse=not good), legend=None)
    )
    pale = "datum.share > 0.55" if good else "datum.share < 0.45"
    text = base.mark_text(fontSize=11).encode(
        text="percent:N", color=alt.condition(pale, alt.value("#111"), alt.value("#fff"))
    )
    step = 36 if len(steps) <= 30 else 26
    return (squares + text).properties(width=alt.Step(step), height=alt.Step(22))
