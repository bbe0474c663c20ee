"""Observed error and bound against eps, large steps first as in all views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.numerics.schemes import SCHEMES
from gradcheck.views.charts.cell_data import INFINITE, ZERO, VPoint
from gradcheck.views.charts.pieces import colour_scale, data, decades, empty, exponential, in_panels
from gradcheck.views.charts.theme import scheme_colours

if TYPE_CHECKING:
    from altair.typing import ChartType

ERROR, BOUND = "observed error", "bound"
WIDTH = 960  # of all panels of a row together
_LABEL = 40.0  # pixels that the name of a step takes
_ASIDE = 8.0  # which part of the least step is the place of eps=auto


def v_curve(rows: Sequence[VPoint]) -> ChartType:
    """Observed error and bound against eps, from the rows of `cell_data.v_points`; a colour and a shape for each scheme.

    Large steps stand left.  The cells with eps=auto stand right of the least step: each weight has a step of its own there.
    """
    if not rows:
        return empty("No cell was computed.")
    steps = [row["eps"] for row in rows if row["eps"]]
    auto = place_of_auto(steps) if any(row["eps"] is None for row in rows) else None
    present = {row["scheme"] for row in rows}
    schemes = [name for name in SCHEMES if name in present] + sorted(present - set(SCHEMES))
    columns = len({row["column"] for row in rows})
    width = 520 if columns == 1 else max(150, min(300, WIDTH // columns))
    placed = [{**row, "x": auto if row["eps"] is None else row["eps"]} for row in rows]
    return in_panels(curves(data(placed), schemes, domain(steps, auto), auto, width), rows)


def place_of_auto(steps: Sequence[float]) -> float:
    """Where eps=auto stands on the axis of the steps."""
    return min(steps, default=_ASIDE) / _ASIDE


def domain(steps: Sequence[float], auto: float | None) -> tuple[float, float]:
    """The ends of the axis of the steps."""
    places = [*steps, *([] if auto is None else [auto])] or [1.0]
    return min(places) / 2, max(places) * 2


def _ticks(span: tuple[float, float], auto: float | None, width: int) -> list[float]:
    """What the axis of the steps names, with room for each name: the place of auto, and powers of ten from it on."""
    apart = _LABEL / width * math.log10(span[1] / span[0])
    powers = [float(f"1e{k}") for k in range(math.floor(math.log10(span[0])), math.ceil(math.log10(span[1])) + 1)]
    shown = [] if auto is None else [auto]
    for power in (one for one in powers if span[0] <= one <= span[1] and (auto is None or one > auto * 2)):
        if not shown or math.log10(power / shown[-1]) >= apart:
            shown.append(power)
    # a logarithmic axis would name nothing by itself
    return shown or [2 * span[0]]


def curves(
    source: alt.Data,
    schemes: Sequence[str],
    span: tuple[float, float],
    auto: float | None,
    width: int,
    height: int = 300,
) -> alt.LayerChart:
    """The curves of one panel.

    span : the ends of the axis of the steps.   auto : where eps=auto stands on it.
    """
    names = exponential("datum.value", "~e")
    ticks = _ticks(span, auto, width)
    axis = alt.Axis(
        values=ticks,
        tickCount=len(ticks),  # Vega leaves out every second value otherwise
        labelExpr=names if auto is None else f"datum.value < {auto * 2!r} ? 'auto' : {names}",
        labelOverlap=False,
    )
    scale = alt.Scale(type="log", domain=list(span), nice=False, reverse=True)
    # without a colour: the same sign for all schemes, in the colour of text
    plain = (
        alt.Chart(source)
        .transform_calculate(shown=exponential("datum.value", ".2e"))
        .encode(
            x=alt.X("x:Q", scale=scale, axis=axis, title="eps"),
            y=alt.Y(
                "value:Q", scale=alt.Scale(type="log", nice=True), axis=decades(7), title="relative to the gradient"
            ),
            tooltip=[
                "scheme:N",
                alt.Tooltip("step:N", title="eps"),
                "what:N",
                alt.Tooltip("shown:N", title="value"),
                "cells:Q",
            ],
        )
    )
    base = plain.encode(color=alt.Color("scheme:N", scale=colour_scale(scheme_colours(), schemes), title="scheme"))
    dash = alt.StrokeDash("what:N", scale=alt.Scale(domain=[ERROR, BOUND], range=[[1, 0], [5, 4]]), title=None)
    shape = alt.Shape("scheme:N", scale=alt.Scale(domain=list(schemes)), title="scheme")
    lines = (
        base.transform_filter("isValid(datum.eps) && isValid(datum.value)")
        .mark_line(strokeWidth=1.6)
        .encode(strokeDash=dash)
    )
    points = (
        base.transform_filter(f"datum.what == '{ERROR}'")
        .mark_point(filled=True, size=38, opacity=1)
        .encode(shape=shape)
    )
    at_auto = f"datum.what == '{BOUND}' && !isValid(datum.eps)"
    ticks_of_auto = base.transform_filter(at_auto).mark_tick(thickness=2, size=14, orient="horizontal", opacity=1)
    return (lines + points + ticks_of_auto + _beyond(plain, height) + _room(base)).properties(
        width=width, height=height
    )


def _beyond(plain: alt.Chart, height: int) -> alt.LayerChart:
    """A sign at the edge of the panel for each median that the axis has no place for: why a line ends."""
    signs = [
        plain.transform_filter(f"datum.beyond === '{sign}'")
        .mark_text(fontSize=13)
        .encode(text="beyond:N", y=alt.value(at))
        for sign, at in ((INFINITE, 8), (ZERO, height - 7))
    ]
    layered = alt.layer(*signs)
    assert isinstance(layered, alt.LayerChart)  # as layers of one panel are
    return layered


def _room(base: alt.Chart) -> alt.Chart:
    """Whole powers of ten below and above all values, drawn by nothing: a logarithmic axis needs two ends that differ."""
    power = "pow(10, max(-300, min(300, {})))"
    return (
        base.transform_joinaggregate(least="min(value)", most="max(value)", groupby=["row", "column"])
        .transform_calculate(
            foot=power.format("floor(log((datum.least || 1) / 2) / LN10)"),
            top=power.format("ceil(log(2 * (datum.most || 1)) / LN10)"),
        )
        .mark_rule(opacity=0)
        .encode(y=alt.Y("foot:Q"), y2="top:Q")
    )
