"""The weights of one cell: analytic and numeric gradient, and their difference against the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt

from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.charts.cell_data import INFINITE
from gradcheck.views.charts.pieces import colour_scale, data, decades, in_panels, verdict_legend
from gradcheck.views.charts.theme import BLUE, GREY, RED, VERDICT_COLOURS
from gradcheck.views.charts.weight_data import Weight

if TYPE_CHECKING:
    from altair.typing import ChartType

HEIGHT = 190  # of a panel
EXTENT = 52  # pixels for the names of an axis: panels above each other begin at one place


def weights(rows: Sequence[Weight]) -> ChartType:
    """Analytic against numeric with the band of the bound, and error against bound, from `weight_data.drawn_weights`.

    The chart is the same for every cell but for its data.
    """
    many = max(len({row["row"] for row in rows}), len({row["column"] for row in rows}))
    shown = [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)]
    charts = parts(data(rows), 640 if many <= 1 else 380, shown)
    # ranges are those of all panels, since their axes are the same
    found = [ranged(in_panels(one, rows)) for one in charts]
    if many > 1:
        found = [one.resolve_scale(x="independent") for one in found]
    return alt.vconcat(*found).resolve_scale(color="independent", shape="independent")


def pair(source: alt.Data, width: int, verdicts: Sequence[str]) -> list[ChartType]:
    """The two charts of a cell in one panel, the gradients, and their difference."""
    return [ranged(one) for one in parts(source, width, verdicts)]


def ranged(chart: ChartType) -> ChartType:
    """A chart that knows the ranges of the gradients, and of the errors and bounds that are positive."""
    found: ChartType = chart.transform_calculate(
        seen="datum.abs_err > 0 ? datum.abs_err : null", allowed="datum.bound > 0 ? datum.bound : null"
    ).transform_joinaggregate(
        a0="min(analytic)",
        a1="max(analytic)",
        n0="min(numeric)",
        n1="max(numeric)",
        seen0="min(seen)",
        seen1="max(seen)",
        allowed0="min(allowed)",
        allowed1="max(allowed)",
    )
    return found


def parts(source: alt.Data, width: int, verdicts: Sequence[str]) -> tuple[alt.LayerChart, alt.LayerChart]:
    """The charts of a panel, without what `ranged` computes."""
    axis = alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=5, labelLimit=110)
    x = alt.X("weight:N", sort=alt.EncodingSortField("order"), title=None, axis=axis)
    figures = [alt.Tooltip(f"{key}:Q", format=".6g") for key in ("analytic", "numeric", "abs_err", "bound")]
    base = alt.Chart(source, width=width, height=HEIGHT).encode(x=x, tooltip=["weight:N", *figures, "verdict:N"])
    return _gradients(base), _differences(base, verdicts)


def _band(chart: alt.Chart) -> alt.Chart:
    # its edge is seen however narrow it is
    return chart.mark_bar(
        color=GREY, fillOpacity=0.35, stroke=GREY, strokeWidth=1.2, strokeOpacity=1, width={"band": 0.8}
    )


def _open(base: alt.Chart) -> alt.LayerChart:
    """The band of each weight without a bound: it has no edge, reaches through the whole panel, and has a sign at its top."""
    unlimited = base.transform_filter("!isValid(datum.bound)")
    band = unlimited.mark_rect(color=GREY, fillOpacity=0.35, stroke=None, width={"band": 0.8}).encode(
        y=alt.value(0), y2=alt.value(HEIGHT)
    )
    layered = alt.layer(band, unlimited.mark_text(fontSize=13, text=INFINITE).encode(y=alt.value(8)))
    assert isinstance(layered, alt.LayerChart)  # as layers of one panel are
    return layered


def _gradients(base: alt.Chart) -> alt.LayerChart:
    """Both gradients and the band numeric ± bound, which is cut where it leaves the gradients' range."""
    names = ["analytic", "numeric"]
    limited = (
        base.transform_calculate(bottom="min(datum.a0, datum.n0)", top="max(datum.a1, datum.n1)")
        .transform_filter("isValid(datum.bound)")
        .transform_calculate(pad="0.05 * (datum.top - datum.bottom)")
        .transform_calculate(
            low="max(datum.numeric - datum.bound, datum.bottom - datum.pad)",
            high="min(datum.numeric + datum.bound, datum.top + datum.pad)",
        )
    )
    # padding: room for the largest mark and for the sign of an open band, so that none sits on the frame
    y = alt.Y(
        "low:Q",
        title="gradient",
        scale=alt.Scale(zero=False, nice=False, padding=22),
        axis=alt.Axis(tickCount=5, minExtent=EXTENT),
    )
    values = (
        base.transform_fold(["analytic", "numeric"], as_=["kind", "value"])
        .mark_point(opacity=1, strokeWidth=1.8)
        .encode(
            y=alt.Y("value:Q"),
            color=alt.Color("kind:N", scale=alt.Scale(domain=names, range=[RED, BLUE]), title=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]), title=None),
            size=alt.condition("datum.kind == 'analytic'", alt.value(150), alt.value(22)),
        )
    )
    return (_open(base) + _band(limited).encode(y=y, y2="high:Q") + values).properties(
        title="analytic and numeric gradient; band: numeric ± bound"
    )


def _differences(base: alt.Chart, verdicts: Sequence[str]) -> alt.LayerChart:
    """Errors and bounds on a logarithmic axis.

    It has no 0 and no infinity: an error of 0 stands at its foot, and the band of a weight without a bound is open.
    """
    placed = base.transform_calculate(
        # whole powers of ten, so that the axis names both of its ends
        foot="pow(10, floor(log(min(datum.seen0 || 1, datum.allowed0 || 1) / 2) / LN10))",
        top="pow(10, ceil(log(2 * (max(datum.seen1, datum.allowed1) || 1)) / LN10))",
    ).transform_calculate(
        limit="isValid(datum.bound) ? max(datum.bound, datum.foot) : null",
        error="isValid(datum.abs_err) ? max(datum.abs_err, datum.foot) : null",
    )
    y = alt.Y("foot:Q", scale=alt.Scale(type="log", nice=True), axis=decades(6, EXTENT), title="|analytic - numeric|")
    errors = placed.mark_point(filled=True, size=40, opacity=1).encode(
        y=alt.Y("error:Q"),
        color=alt.Color("verdict:N", scale=colour_scale(VERDICT_COLOURS, verdicts), legend=verdict_legend()),
    )
    # the scale reaches to a whole power of ten above all of them
    room = placed.mark_rule(opacity=0).encode(y=alt.Y("foot:Q"), y2="top:Q")
    limited = placed.transform_filter("isValid(datum.limit)")
    return (_open(base) + _band(limited).encode(y=y, y2="limit:Q") + errors + room).properties(
        title="their difference; band: what a correct gradient can show"
    )
