"""Small multiples of bug by step: which share of the planted bugs was caught, and which correct gradients were accused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.experiment.truth import Truth
from gradcheck.views.charts.cell_data import ACCUSED, SHARES, Square
from gradcheck.views.charts.pieces import colour_scale, data, empty, in_panels
from gradcheck.views.charts.theme import SHARE_COLOURS
from gradcheck.views.words import NOT_ACCUSED, NOT_ENOUGH

if TYPE_CHECKING:
    from altair.typing import ChartType

WIDTH = 640  # of all panels of a row together
# How a share is drawn beside its colour, as the legend shows it.
SIGNS = {
    str(Truth.CANNOT_BE_TOLD): "≡ cannot be told",
    str(Truth.MISSED): "✕ missed",
    str(Truth.FALSE_ALARM): "╲ false alarm",
    str(Truth.UNKNOWN): f"╱ {ACCUSED}",
    NOT_ENOUGH: f"∥ {NOT_ENOUGH}",
}
# The same as the swatch of a legend: what is left of a square of side 2 around 0 between the lines of each sign.
_ENDS = ((-1, -0.6), (-0.4, -0.1), (0.1, 0.4), (0.6, 1))
_CORNERS = {
    "top": ((-0.8, -1), (0.8, -1)),
    "right": ((1, -0.8), (1, 0.8)),
    "bottom": ((0.8, 1), (-0.8, 1)),
    "left": ((-1, 0.8), (-1, -0.8)),
}
_SWATCHES: dict[str, list[list[tuple[float, float]]]] = {
    "≡": [[(-1, low), (1, low), (1, high), (-1, high)] for low, high in _ENDS],
    "∥": [[(low, -1), (high, -1), (high, 1), (low, 1)] for low, high in _ENDS],
    "✕": [
        [one, other, (0.2 * (one[0] + other[0]) / 2, 0.2 * (one[1] + other[1]) / 2)] for one, other in _CORNERS.values()
    ],
    "╲": [[(-0.8, -1), (1, -1), (1, 0.8)], [(-1, -0.8), (0.8, 1), (-1, 1)]],
    "╱": [[(-1, -1), (0.8, -1), (-1, 0.8)], [(1, -0.8), (1, 1), (-0.8, 1)]],
}
_GAP = 0.06  # between two squares
_LETTER = 6.6  # pixels of a letter of a label


def detection(rows: Sequence[Square]) -> ChartType:
    """Panels of squares from the rows of `cell_data.squares`: the shares of a square stand beside each other in it."""
    if not rows:
        return empty("No cell was computed.")
    steps = list(dict.fromkeys(row["eps"] for row in sorted(rows, key=lambda row: row["eps_order"])))
    bugs = list(dict.fromkeys(row["bug"] for row in sorted(rows, key=lambda row: row["bug_order"])))
    columns = len({row["column"] for row in rows})
    placed = [
        {**row, "x": row["eps_order"] + _GAP + (1 - 2 * _GAP) * row["start"],
         "x2": row["eps_order"] + _GAP + (1 - 2 * _GAP) * row["end"]} for row in rows
    ]  # fmt: skip
    width = max(110, min(40 * len(steps), WIDTH // columns))
    base = alt.Chart(data(placed)).encode(
        x=alt.X("x:Q", scale=alt.Scale(domain=[0, len(steps)], nice=False), title="eps", axis=steps_axis(steps, width)),
        x2="x2:Q",
        tooltip=["bug:N", "eps:N", "says:N"],
    )
    shown = [str(what) for what in SHARES if any(row["what"] == what for row in rows)]
    blank = [NOT_ACCUSED] if any(row["what"] == NOT_ACCUSED for row in rows) else []
    layers = [_bars(base, bugs, [*shown, *blank]), *(layer for what in shown for layer in _signs(base, bugs, what))]
    layered = alt.layer(*layers).properties(width=width, height=20 * len(bugs))
    assert isinstance(layered, alt.LayerChart)  # as layers of one panel are
    # names of steps at the ends of two panels have room beside each other
    spacing = max(12, math.ceil(_wide(steps) - width / len(steps)))
    return in_panels(layered, rows, spacing).resolve_scale(color="shared")


def _wide(steps: Sequence[str]) -> float:
    """The pixels of the longest name, and of the room beside it."""
    return max(map(len, steps)) * _LETTER + 4


def steps_axis(steps: Sequence[str], width: int) -> alt.Axis:
    """The names of the steps in the middle of their squares, upright, in two lines by turns where they need them.

    Where two lines have no room for all of them, it names some.
    """
    wide, each = _wide(steps), width / len(steps)
    lines = min(2, math.ceil(wide / each))
    every = math.ceil(wide / (lines * each))
    # counted from the last one, so that `auto` is always named
    last = len(steps) - 1
    shown = [
        [""] * ((last - i) // every % lines) + [name] if (last - i) % every == 0 else [""]
        for i, name in enumerate(steps)
    ]
    return alt.Axis(
        values=[i + 0.5 for i in range(len(steps))],
        tickCount=len(steps),  # Vega leaves out every second value otherwise
        labelExpr=f"{json.dumps(shown)}[floor(datum.value)]",  # ours: numbers and auto
        labelAngle=0,
        grid=False,
        labelOverlap=False,
    )


def _y(bugs: Sequence[str], at: float | None = None) -> alt.Y:
    scale = alt.Scale(domain=list(bugs), paddingInner=0.1, paddingOuter=0.05)
    return alt.Y("bug:N", scale=scale, title=None, bandPosition=alt.Undefined if at is None else at)


def _bars(base: alt.Chart, bugs: Sequence[str], shown: Sequence[str]) -> alt.Chart:
    labels = {name: sign.removeprefix(f"{sign[0]} ") if sign[0] in _SWATCHES else sign for name, sign in SIGNS.items()}
    swatches = {name: _path(_SWATCHES[sign[0]]) for name, sign in SIGNS.items() if sign[0] in _SWATCHES}
    scale = colour_scale(SHARE_COLOURS, shown)
    legend = alt.Legend(
        orient="top",
        title=None,
        labelExpr=f"{json.dumps(labels)}[datum.label] || datum.label",
        symbolType=alt.ExprRef(f"{json.dumps(swatches)}[datum.label] || 'square'"),
        symbolStrokeWidth=0.7,
    )
    return base.mark_bar(stroke="#6b7480", strokeWidth=0.7, height={"band": 1}).encode(
        y=_y(bugs), color=alt.Color("what:N", scale=scale, legend=legend)
    )


def _path(parts: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Polygons as a path of SVG, each with its first point at its end: Vega closes the last one alone."""
    return "".join(f"M{'L'.join(f'{x:g},{y:g}' for x, y in (*part, part[0]))}Z" for part in parts)


def _signs(base: alt.Chart, bugs: Sequence[str], what: str) -> list[alt.Chart]:
    """Lines over the bars of a share, so that it is known without its colour."""
    own = base.transform_filter(alt.datum.what == what)
    if what == Truth.CANNOT_BE_TOLD:
        return [own.mark_rule(color="#ffffff").encode(y=_y(bugs, at)) for at in (0.25, 0.5, 0.75)]
    if what == NOT_ENOUGH:
        upright = own.mark_rule(color="#ffffff").encode(
            x="at:Q", x2="at:Q", y=_y(bugs, 0), y2=alt.Y2("bug:N", bandPosition=1)
        )
        return [upright.transform_calculate(at=f"datum.x + {k} * (datum.x2 - datum.x)") for k in (0.25, 0.5, 0.75)]
    ends = {
        str(Truth.MISSED): ((0.1, 0.9), (0.9, 0.1)),
        str(Truth.FALSE_ALARM): ((0.1, 0.9),),
        str(Truth.UNKNOWN): ((0.9, 0.1),),
    }
    return [
        own.mark_rule(color="#ffffff", strokeWidth=1.2).encode(y=_y(bugs, at), y2=alt.Y2("bug:N", bandPosition=to))
        for at, to in ends.get(what, ())
    ]
