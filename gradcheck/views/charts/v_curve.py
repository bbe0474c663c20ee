"""Observed error and bound against eps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import altair as alt

from gradcheck.numerics.schemes import SCHEMES
from gradcheck.views.charts.cell_data import VPoint
from gradcheck.views.charts.pieces import by_run, colour_scale, data, decades, empty
from gradcheck.views.charts.theme import scheme_colours

if TYPE_CHECKING:
    from altair.typing import ChartType


class Look(NamedTuple):
    """How schemes are told apart in all panels."""

    color: alt.Color
    opacity: Mapping[str, object]
    tooltip: list[str | alt.Tooltip]
    shape: alt.Shape


def v_curve(rows: Sequence[VPoint]) -> ChartType:
    """Observed error and bound against eps, from the rows of `cell_data.v_points`."""
    if not rows:
        return empty("No cell was computed.")
    pick = alt.selection_point(fields=["scheme"], bind="legend", name="scheme")
    present = {row["scheme"] for row in rows}
    schemes = [name for name in SCHEMES if name in present] + sorted(present - set(SCHEMES))

    def panels(own: list[VPoint]) -> ChartType:
        found = _panels(own, schemes, pick)
        if own[0] is rows[0]:  # once: all panels share the choice
            found[0] = found[0].add_params(pick)
        return alt.hconcat(*found).resolve_scale(y="shared")

    return by_run(rows, panels)


def _panels(rows: Sequence[VPoint], schemes: Sequence[str], pick: alt.Parameter) -> list[alt.LayerChart]:
    """A panel for each dtype, error against step, and one for the steps that each weight chose."""
    floor, top = min(row["value"] for row in rows), max(row["value"] for row in rows)
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(type="log", domain=[floor / 2, top * 2], nice=False),
        axis=decades(7),
        title="relative to the gradient",
    )
    look = Look(
        color=alt.Color("scheme:N", scale=colour_scale(scheme_colours(), schemes), title="scheme"),
        opacity=alt.condition(pick, alt.value(1.0), alt.value(0.12)),
        tooltip=["scheme:N", "dtype:N", "eps:N", "what:N", alt.Tooltip("value:Q", format=".2e"), "cells:Q"],
        shape=alt.Shape("scheme:N", scale=alt.Scale(domain=schemes), title="scheme"),
    )
    panels = _against_eps([row for row in rows if row["eps"] is not None], y, look)
    automatic = [row for row in rows if row["eps"] is None]
    if automatic:
        panels.append(_at_own_steps(automatic, y.title(None) if panels else y, look))
    return panels


def _against_eps(fixed: Sequence[VPoint], y: alt.Y, look: Look) -> list[alt.LayerChart]:
    """Lines of error and bound against the step, a panel for each dtype."""
    dash = alt.StrokeDash(
        "what:N", scale=alt.Scale(domain=["observed error", "bound"], range=[[1, 0], [5, 4]]), title=None
    )
    dtypes = sorted({row["dtype"] for row in fixed})
    steps = [row["eps"] for row in fixed if row["eps"] is not None] or [1.0]
    scale = alt.Scale(type="log", domain=[min(steps) / 2, max(steps) * 2], nice=False)
    panels = []
    for dtype in dtypes:
        base = alt.Chart(data([row for row in fixed if row["dtype"] == dtype])).encode(
            x=alt.X("eps:Q", scale=scale, axis=decades(6), title="eps"),
            y=y if dtype == dtypes[0] else y.title(None),
            color=look.color,
            opacity=look.opacity,
            tooltip=look.tooltip,
        )
        lines = base.mark_line(strokeWidth=1.6).encode(strokeDash=dash)
        points = _errors(base.mark_point(filled=True, size=26), look.shape)
        width = 520 if len(dtypes) == 1 else 300
        panels.append((lines + points).properties(title=dtype, width=width, height=300))
    return panels


def _at_own_steps(automatic: Sequence[VPoint], y: alt.Y, look: Look) -> alt.LayerChart:
    """Points of error and ticks of bound at the steps of eps=auto."""
    x = alt.X("dtype:N", title=None, axis=alt.Axis(labelAngle=-40))
    base = alt.Chart(data(automatic)).encode(
        x=x, y=y, xOffset="scheme:N", color=look.color, opacity=look.opacity, tooltip=look.tooltip
    )
    points = _errors(base.mark_point(filled=True, size=40), look.shape)
    ticks = base.mark_tick(thickness=2, size=12).transform_filter("datum.what == 'bound'")
    return (ticks + points).properties(title="eps=auto: ● error, – bound", width=alt.Step(13), height=300)


def _errors(points: alt.Chart, shape: alt.Shape) -> alt.Chart:
    """The observed errors of a chart of points, in the shape of their scheme."""
    return points.encode(shape=shape).transform_filter("datum.what == 'observed error'")
