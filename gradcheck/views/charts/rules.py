"""Rules as a plane: false alarms across, planted bugs caught up, one dot a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.views.charts.cell_data import RulePoint
from gradcheck.views.charts.pieces import data, empty, in_panels
from gradcheck.views.charts.theme import BLUE, ORANGE

if TYPE_CHECKING:
    from altair.typing import ChartType

OURS = "gradcheck"
_NAMES = 1.12  # where the names begin, in units of the whole share


def rules(rows: Sequence[RulePoint]) -> ChartType:
    """A dot for each rule from the rows of `cell_data.rule_points`.  Its name stands right of the plane, on a line to it.

    In the upper left corner a rule catches every bug and accuses no correct gradient.
    """
    rows = [row for row in rows if row["alarms"] is not None and row["found"] is not None]
    if not rows:
        return empty("The plane needs cells with a planted bug and cells without one.")
    many = len({(row["row"], row["column"]) for row in rows}) > 1
    return in_panels(plane(data(rows), max_rules(rows), 2.1 if many else 1.75, 300 if many else 520), rows)


def max_rules(rows: Sequence[RulePoint]) -> int:
    """The largest number of rules in a panel."""
    panels = [(row["row"], row["column"]) for row in rows]
    return max((panels.count(panel) for panel in set(panels)), default=1)


def plane(source: alt.Data, most: int, right: float | alt.ExprRef, width: int) -> alt.LayerChart:
    """The plane of one panel; names are spread over its height in the order of the dots.

    most : the largest number of rules in a panel.   right : the right end of the axis, where the names have room.
    """
    # of dots at one height the rightmost has its name on top, so that no lines cross
    sort: list[alt.SortField | dict[str, str]] = [
        alt.SortField("found", "descending"),
        alt.SortField("alarms", "descending"),
        alt.SortField("rule"),
    ]
    base = (
        alt.Chart(source)
        .transform_window(sort=sort, frame=[None, None], groupby=["row", "column"], place="row_number()", of="count()")
        .transform_calculate(name_y="1.03 - 1.06 * (datum.place - 0.5) / datum.of", name_x=str(_NAMES))
        .transform_calculate(ours=f"datum.rule === '{OURS}'")
        .encode(
            tooltip=[
                "rule:N",
                alt.Tooltip("false_alarms:Q", title="false alarms"),
                alt.Tooltip("correct:Q", title="of correct gradients"),
                "caught:Q",
                alt.Tooltip("planted:Q", title="of planted bugs"),
                "missed:Q",
                alt.Tooltip("cannot_be_told:Q", title="cannot be told"),
            ]
        )
    )
    ticks = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    x = alt.X("alarms:Q", scale=alt.Scale(domainMin=-0.03, domainMax=right, nice=False), axis=ticks,
              title="correct gradients accused (false alarms)")  # fmt: skip
    y = alt.Y("found:Q", scale=alt.Scale(domain=[-0.04, 1.04], nice=False), axis=ticks, title="planted bugs caught")
    colour = alt.condition("datum.ours", alt.value(BLUE), alt.value(ORANGE))
    lines = base.mark_rule(opacity=0.55, strokeWidth=0.7, color="#8c8c8c").encode(
        x=x, y=y, x2="name_x:Q", y2="name_y:Q"
    )
    dots = base.mark_point(filled=True, opacity=1, stroke="#5c6570", strokeWidth=0.6).encode(
        x=x,
        y=y,
        color=colour,
        size=alt.condition("datum.ours", alt.value(150), alt.value(60)),
        shape=alt.condition("datum.ours", alt.value("diamond"), alt.value("circle")),
    )
    names = base.mark_text(align="left", dx=3, baseline="middle").encode(
        x=alt.X("name_x:Q"), y=alt.Y("name_y:Q"), text="rule:N"
    )
    return (lines + dots + names).properties(width=width, height=max(220, 15 * most))
