"""The figure: false alarms against catches, a point for each tool."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pandas as pd

from gradcheck.views.charts import drawing
from gradcheck.views.charts.pieces import data
from gradcheck.views.charts.theme import BLUE, GREY
from tests.benchmarks.referee import count
from tests.benchmarks.referee.requirements import OWN


def write(answers: pd.DataFrame, path: Path) -> None:
    """Draw it as SVG."""
    path.write_text(drawing.svg(plane(answers)), encoding="utf-8")


def plane(answers: pd.DataFrame) -> alt.LayerChart:
    """Shares of right gradients that are accused, and of mistakes of 1% and more."""
    rows = []
    for tool, of in answers.groupby("tool", sort=True):
        large = count.by_size(of)["1% and more"]
        rows.append({"tool": str(tool), "alarms": large.alarmed, "catches": large.catching, "own": tool == OWN})
    base = alt.Chart(data(rows), width=460, height=320).encode(
        x=alt.X("alarms:Q", title="right gradients that are accused", axis=alt.Axis(format="%")),
        y=alt.Y(
            "catches:Q",
            title="mistakes of 1% and more that are accused",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(zero=False, padding=14),
        ),
        color=alt.Color("own:N", scale=alt.Scale(domain=[True, False], range=[BLUE, GREY]), legend=None),
    )
    points = base.mark_point(filled=True, size=60, opacity=1)
    labels = base.mark_text(align="left", dx=7, dy=-4, fontSize=10).encode(text="tool:N")
    return points + labels
