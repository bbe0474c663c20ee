"""Charts of a calibration: the bound and the true error against the step, and which bugs are seen at which step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.calibration.export import Export
from gradcheck.errors import BadInput
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.views.charts import drawing
from gradcheck.views.charts.pieces import data, decades, empty
from gradcheck.views.charts.theme import BLUE, OCHRE

if TYPE_CHECKING:
    from altair.typing import ChartType

SCHEMES_SHOWN = ("central", "forward", "five_point", "richardson")
DETECTED_BY = "central"


def write_charts(figures: Export, path: Path) -> None:
    """Write both charts as one SVG file.  Raises BadInput where the file is to be of another kind."""
    if path.suffix.lower() != ".svg":
        raise BadInput(f"--plot={path}: must end in .svg")
    chart = alt.vconcat(_against_step(figures), _seen(figures))
    path.write_text(drawing.svg(chart), encoding="utf-8")


def _against_step(figures: Export) -> alt.HConcatChart:
    """Medians of the bound and of the true error over the gradient, a panel for each scheme."""
    names = ["bound", "true error"]
    rows = [
        {"scheme": row["scheme"], "eps": row["eps"], "what": name, "value": value}
        for row in figures["bounds"]
        if row["scheme"] in SCHEMES_SHOWN and row["eps"] is not None
        for name, value in zip(names, (row["bound"], row["error"]), strict=True)
        if value
    ]
    panels = []
    for scheme in SCHEMES_SHOWN:
        panels.append(
            alt.Chart(data([row for row in rows if row["scheme"] == scheme]), title=scheme, width=165, height=180)
            .mark_line(point={"size": 18})
            .encode(
                x=alt.X("eps:Q", scale=alt.Scale(type="log"), axis=decades(4), title="eps"),
                y=alt.Y(
                    "value:Q",
                    scale=alt.Scale(type="log", domain=[1e-14, 1e4], clamp=True),
                    axis=decades(7),
                    title="relative to the gradient" if scheme == SCHEMES_SHOWN[0] else None,
                ),
                color=alt.Color(
                    "what:N",
                    scale=alt.Scale(domain=names, range=[OCHRE, BLUE]),
                    title=None,
                ),
            )
        )
    title = "Error bound and true error of the numeric gradient, medians over float64 weights at random"
    return alt.hconcat(*panels, title=title)


def _seen(figures: Export) -> ChartType:
    """Share of wrong weights judged a mismatch, by the bug's relative size and the step; central, float64."""
    rows = [
        {
            "eps": eps_text(from_stored(row["eps"])),
            "order": 1e9 if row["eps"] is None else row["eps"],
            "magnitude": f"{row['magnitude']:.0e}",
            "size": -row["magnitude"],
            "share": row["caught"] / row["weights"],
            "percent": f"{100 * row['caught'] / row['weights']:.0f}",
        }
        for row in figures["detected"]
        if row["scheme"] == DETECTED_BY and row["weights"]
    ]
    if not rows:
        return empty("No bug was injected.")
    base = alt.Chart(
        data(rows),
        title="Share of wrong weights judged mismatch, in %: gradient too large by a factor (central, float64)",
        width=700,
        height=220,
    ).encode(
        x=alt.X("eps:N", sort=alt.EncodingSortField("order"), axis=alt.Axis(labelAngle=0)),
        y=alt.Y("magnitude:N", sort=alt.EncodingSortField("size"), title="relative size of the bug"),
    )
    colour = alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=None)
    ink = alt.condition("datum.share > 0.5", alt.value("white"), alt.value("black"))
    return base.mark_rect().encode(color=colour) + base.mark_text(fontSize=10).encode(text="percent:N", color=ink)
