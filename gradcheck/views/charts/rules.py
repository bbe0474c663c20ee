"""Rules as a plane: false alarms across, planted bugs caught up, one dot for those that say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.views.charts.cell_data import InPanel, RulePoint
from gradcheck.views.charts.labels import LINE, lines_of, placed
from gradcheck.views.charts.pieces import data, empty, in_panels
from gradcheck.views.charts.theme import BLUE, GREY, OCHRE
from gradcheck.views.numbers import counted

if TYPE_CHECKING:
    from altair.typing import ChartType

OURS = "gradcheck"
LOW, SPAN = -0.04, 1.08  # where both axes begin, and how far they reach, in units of the whole share
HIGH = 1.34  # how far up: rules that catch everything have their names above them too
ROOM = 0.25  # of the width, for a line of names; twice as much for more than so many that agree
MANY = 4
NARROW = 110.0  # pixels that a line of names may always have


class Part(InPanel, total=False):
    """What stands on the plane: the dot of some rules, or a line of their names."""

    part: str  # dot, name
    rules: str
    ours: bool
    alarms: float | None
    found: float | None
    says: str
    x: float
    y: float
    text: str
    left: bool
    far: bool


def rules(rows: Sequence[RulePoint]) -> ChartType:
    """A dot for each rule from the rows of `cell_data.rule_points`, its name beside it; rules that agree share a dot.

    In the upper left corner a rule catches every bug and accuses no correct gradient.
    """
    rows = [row for row in rows if row["alarms"] is not None and row["found"] is not None]
    if not rows:
        return empty("The plane needs cells with a planted bug and cells without one.")
    panels: dict[tuple[str, str], list[RulePoint]] = {}
    for row in rows:
        panels.setdefault((row["row"], row["column"]), []).append(row)
    width, height = (320, 300) if len(panels) > 1 else (560, 340)
    parts = [part for own in panels.values() for part in plane_parts(own, width, height)]
    return in_panels(plane(data(parts), width, height), parts)


def plane_parts(rows: Sequence[RulePoint], width: float, height: float) -> Iterator[Part]:
    """The dots of one panel of so many pixels, and the lines of their names."""
    groups: dict[tuple[float | None, float | None], list[RulePoint]] = {}
    for row in sorted(rows, key=lambda row: (row["rule"] != OURS, row["rule"])):
        groups.setdefault((row["alarms"], row["found"]), []).append(row)
    names = [tuple(row["rule"] for row in group) for group in groups.values()]
    dots = []
    for (alarms, found), own in zip(groups, names, strict=True):
        room = max(NARROW, (2 if len(own) > MANY else 1) * ROOM * width)
        x, y = ((alarms or 0.0) - LOW) / SPAN * width, (LOW + HIGH - (found or 0.0)) / HIGH * height
        dots.append((x, y, lines_of(own, room)))
    for group, own, label in zip(groups.values(), names, placed(dots, width, height), strict=True):
        first, panel = group[0], {"row": group[0]["row"], "column": group[0]["column"]}
        x, y = label.x / width * SPAN + LOW, LOW + HIGH - label.y / height * HIGH
        dot: Part = {
            "row": panel["row"],
            "column": panel["column"],
            "part": "dot",
            "rules": ", ".join(own),
            "ours": OURS in own,
            "alarms": first["alarms"],
            "found": first["found"],
            "says": said(group),
            "x": x,
            "y": y,
            "far": label.far,
        }
        yield dot
        for i, text in enumerate(label.lines):
            down = (i - (len(label.lines) - 1) / 2) * LINE / height * HIGH
            line: Part = {
                "row": panel["row"],
                "column": panel["column"],
                "part": "name",
                "ours": OURS in own,
                "x": x,
                "y": y - down,
                "text": text,
                "left": label.left,
            }
            yield line


def said(group: Sequence[RulePoint]) -> str:
    """What rules that agree say of the cells, in numbers."""
    one = group[0]
    return (
        f"{counted(one['false_alarms'], 'false alarm')} in {one['correct']:,}; of {counted(one['planted'], 'planted bug')}"
        f" {one['caught']:,} caught, {one['cannot_be_told']:,} cannot be told, {one['missed']:,} missed"
    )


def plane(source: alt.Data, width: int, height: int) -> alt.LayerChart:
    """The plane of one panel, from the rows of `plane_parts`."""
    ticks = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    across, up = (alt.Scale(domain=[LOW, LOW + reach], nice=False) for reach in (SPAN, HIGH))
    titles = "correct gradients accused (false alarms)", "planted bugs caught"
    base = alt.Chart(source)
    dots = base.transform_filter("datum.part === 'dot'").encode(
        x=alt.X("alarms:Q", scale=across, axis=ticks, title=titles[0]),
        y=alt.Y("found:Q", scale=up, axis=ticks, title=titles[1]),
        tooltip=["rules:N", "says:N"],
    )
    lines = dots.transform_filter("datum.far").mark_rule(strokeWidth=0.8, color=GREY).encode(x2="x:Q", y2="y:Q")
    marks = dots.mark_point(filled=True, opacity=1).encode(
        color=alt.condition("datum.ours", alt.value(BLUE), alt.value(OCHRE)),
        size=alt.condition("datum.ours", alt.value(150), alt.value(64)),
        shape=alt.condition("datum.ours", alt.value("diamond"), alt.value("circle")),
    )
    names = [
        base.transform_filter(f"datum.part === 'name' && {'' if left else '!'}datum.left")
        .mark_text(align="right" if left else "left", baseline="middle")
        .encode(x=alt.X("x:Q", title=titles[0]), y=alt.Y("y:Q", title=titles[1]), text="text:N")
        for left in (False, True)
    ]
    layered = alt.layer(lines, marks, *names).properties(width=width, height=height)
    assert isinstance(layered, alt.LayerChart)  # as layers of one panel are
    return layered
