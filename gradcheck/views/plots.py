"""Charts of a run: the same for the page, for figures in a paper and for notebooks.  Altair is imported when one is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views import chart_data
from gradcheck.views.chart_data import Rows

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; their yellow and black are left out:
# the one cannot be seen on white, the other not on black.
BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c8c"
# and of Paul Tol's muted ones those that are told apart from all of these
INDIGO, OLIVE, WINE = "#332288", "#999933", "#882255"
OF_SCHEMES = (BLUE, ORANGE, PINK, GREEN, INDIGO, RED, SKY, OLIVE, WINE)
VERDICT_COLOURS = dict(zip(VERDICTS, (BLUE, RED, GREY, ORANGE), strict=True))


def _config(ink: str, faint: str, font_size: int, background: str | None) -> dict[str, Any]:
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": font_size, "titleFontSize": font_size}
    return {
        "background": background,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif",
        "view": {"stroke": faint},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "domainColor": faint,
            "tickColor": faint,
            "gridColor": faint,
            "gridOpacity": 0.45,
            "labelLimit": 220,
        },
        "legend": {**text, "titleFontWeight": "normal", "symbolStrokeWidth": 2, "labelLimit": 220},
        "header": text,
        "title": {"frame": "group", "color": ink, "fontSize": font_size + 1, "fontWeight": "normal", "anchor": "start"},
        "text": {"color": ink, "fontSize": font_size - 1},
        "concat": {"spacing": 14},
    }


THEMES = {
    "light": _config("#22272e", "#c4c9d0", 12, None),
    "dark": _config("#e3e6ea", "#4a515b", 12, None),
    "paper": _config("#000000", "#b0b0b0", 12, "#ffffff"),
}


class Source(Protocol):
    """What charts are made from: `runs.Runs`, `analysis.Record`."""

    @property
    def cells(self) -> pd.DataFrame: ...
    def tables(self, columns: Sequence[str]) -> Iterator[Any]: ...
    def weights(self, cell: str) -> pd.DataFrame: ...


class Plots:
    """Charts of one or several runs, as Altair charts."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def v_curve(self) -> Any:
        """Observed error and bound against eps, a line for each scheme and dtype (`chart_data.v_curve`)."""
        return v_curve(chart_data.v_curve(self._source.cells))

    def detection(self) -> Any:
        """Bug by eps: the shares of planted bugs caught, missed, not to be told, and of correct gradients accused."""
        return detection(chart_data.detection(self._source.cells))

    def rules(self) -> Any:
        """Each rule's false alarms, and its shares of planted bugs caught, missed, not to be told."""
        return rules(chart_data.rules(self._source.cells))

    def histogram(self) -> Any:
        """Relative errors of all weights by verdict; reads ``errors`` once, in bounded memory."""
        counted = chart_data.Histogram()
        for table in self._source.tables(chart_data.HISTOGRAM_COLUMNS):
            counted.add(table)
        return histogram(counted.rows())

    def weights(self, cell: str) -> Any:
        """One cell: analytic against numeric gradient with the band of the bound, and the error against the bound.

        Of more than 100 weights, the 100 furthest beyond their bound.  Raises BadInput (a ValueError) where the cell
        has no weights.
        """
        rows = chart_data.weights(self._source.weights(cell))
        if not rows:
            raise BadInput(f"plot.weights: no weights of a cell {cell!r} here")
        return weights(rows)


def library() -> Any:
    """Altair.  Raises BadInput where it is missing."""
    try:
        import altair
        import vl_convert  # noqa: F401  draws what Altair describes
    except ImportError:
        raise BadInput("charts need Altair and vl-convert: pip install 'gradcheck[charts]'") from None
    return altair


def specification(chart: Any) -> dict[str, Any]:
    """The chart as a Vega-Lite specification, its data in it."""
    alt = library()
    with alt.data_transformers.enable(consolidate_datasets=False):
        return dict(chart.to_dict())


def version() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert names it."""
    return ".".join(str(library().SCHEMA_VERSION).lstrip("v").split(".")[:2])


@cache
def bundle() -> str:
    """The JavaScript that draws in a browser: Vega, Vega-Lite, Vega-Embed."""
    library()
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version()))


def svg(chart: Any) -> str:
    """The chart as it stands in a paper."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(_for_paper(chart), vl_version=version()))


def png(chart: Any) -> bytes:
    """The same as an image, 300 dots an inch."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(_for_paper(chart), vl_version=version(), ppi=300))


def _for_paper(chart: Any) -> dict[str, Any]:
    # the words of tooltips would be written into the SVG with every point
    return {**specification(chart), "config": {**THEMES["paper"], "aria": False}}


def write(charts: Mapping[str, Any], folder: Path) -> list[Path]:
    """Each chart as SVG and PNG, each whole or not at all.  Raises BadInput where the folder cannot be written."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, chart in charts.items():
            for path, content in ((folder / f"{name}.svg", svg(chart).encode()), (folder / f"{name}.png", png(chart))):
                with store.whole(path) as file:
                    file.write(content)
                written.append(path)
    except OSError as error:
        raise BadInput(f"--figures={folder}: {error.strerror or error}") from error
    return written


# ------------------------------------------------------------------------------------------------------------- pieces


def data(rows: Rows) -> Any:
    return library().Data(values=rows)


def decades(**settings: Any) -> Any:
    """Axis of powers of ten."""
    alt = library()
    whole = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-9"
    grid = alt.condition(whole, alt.value(0.45), alt.value(0))
    return alt.Axis(format="~e", gridOpacity=grid, labelOverlap="parity", labelSeparation=6, **settings)


def log_scale(**settings: Any) -> Any:
    return library().Scale(type="log", **settings)


def empty(words: str) -> Any:
    """In place of a chart that has nothing to show."""
    alt = library()
    return alt.Chart(data([{"words": words}]), width=420, height=36).mark_text(align="left", x=8).encode(text="words:N")


def _parts(rows: Rows, key: str) -> Iterator[tuple[Any, Rows]]:
    for value in dict.fromkeys(row[key] for row in rows):
        yield value, [row for row in rows if row[key] == value]


def _colours(alt: Any, colours: Mapping[str, str], names: Sequence[str]) -> Any:
    spare = [GREY] * len(names)
    return alt.Scale(domain=list(names), range=[colours.get(name, spare[0]) for name in names])


def _by_run(alt: Any, rows: Rows, panel: Any) -> Any:
    """A panel for each run, where there are several."""
    panels = [panel(own).properties(**({} if run is None else {"title": run})) for run, own in _parts(rows, "run")]
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)


# ------------------------------------------------------------------------------------------------------------- charts


def v_curve(rows: Rows) -> Any:
    """Observed error and bound against eps, from the rows of `chart_data.v_curve`."""
    alt = library()
    if not rows:
        return empty("No cell was computed.")
    pick = alt.selection_point(fields=["scheme"], bind="legend", name="scheme")
    present = {row["scheme"] for row in rows}
    schemes = [name for name in SCHEMES if name in present] + sorted(present - set(SCHEMES))

    def panels(own: Rows) -> Any:
        found = _v_panels(alt, own, schemes, pick)
        if own[0] is rows[0]:  # once: all panels share the choice
            found[0] = found[0].add_params(pick)
        return alt.hconcat(*found).resolve_scale(y="shared")

    return _by_run(alt, rows, panels)


def scheme_colours() -> dict[str, str]:
    """The colour of each scheme; beyond nine of them colours return, and the shapes of the points tell them apart."""
    return {name: OF_SCHEMES[i % len(OF_SCHEMES)] for i, name in enumerate(SCHEMES)}


def _v_panels(alt: Any, rows: Rows, schemes: Sequence[str], pick: Any) -> list[Any]:
    """A panel for each dtype, error against step, and one for the steps that each weight chose."""
    floor, top = min(row["value"] for row in rows), max(row["value"] for row in rows)
    y = alt.Y(
        "value:Q",
        scale=log_scale(domain=[floor / 2, top * 2], nice=False),
        axis=decades(tickCount=7),
        title="relative to the gradient",
    )
    shared = {
        "color": alt.Color("scheme:N", scale=_colours(alt, scheme_colours(), schemes), title="scheme"),
        "opacity": alt.condition(pick, alt.value(1.0), alt.value(0.12)),
        "tooltip": ["scheme:N", "dtype:N", "eps:N", "what:N", alt.Tooltip("value:Q", format=".2e"), "cells:Q"],
    }
    shape = alt.Shape("scheme:N", scale=alt.Scale(domain=schemes), title="scheme")
    panels = _against_eps(alt, [row for row in rows if row["eps"] is not None], y, shape, shared)
    automatic = [row for row in rows if row["eps"] is None]
    if automatic:
        panels.append(_at_own_steps(alt, automatic, y.title(None) if panels else y, shape, shared))
    return panels


def _against_eps(alt: Any, fixed: Rows, y: Any, shape: Any, shared: Mapping[str, Any]) -> list[Any]:
    """Lines of error and bound against the step, a panel for each dtype."""
    dash = alt.StrokeDash(
        "what:N", scale=alt.Scale(domain=["observed error", "bound"], range=[[1, 0], [5, 4]]), title=None
    )
    dtypes = sorted({row["dtype"] for row in fixed})
    low, high = (min(row["eps"] for row in fixed), max(row["eps"] for row in fixed)) if fixed else (1.0, 1.0)
    panels = []
    for dtype in dtypes:
        x = alt.X(
            "eps:Q", scale=log_scale(domain=[low / 2, high * 2], nice=False), axis=decades(tickCount=6), title="eps"
        )
        base = alt.Chart(data([row for row in fixed if row["dtype"] == dtype])).encode(
            x=x, y=y if dtype == dtypes[0] else y.title(None), **shared
        )
        lines = base.mark_line(strokeWidth=1.6).encode(strokeDash=dash)
        points = _errors(base.mark_point(filled=True, size=26), shape)
        width = 520 if len(dtypes) == 1 else 300
        panels.append((lines + points).properties(title=dtype, width=width, height=300))
    return panels


def _at_own_steps(alt: Any, automatic: Rows, y: Any, shape: Any, shared: Mapping[str, Any]) -> Any:
    """Points of error and ticks of bound at the steps of eps=auto."""
    x = alt.X("dtype:N", title=None, axis=alt.Axis(labelAngle=-40))
    base = alt.Chart(data(automatic)).encode(x=x, y=y, xOffset="scheme:N", **shared)
    points = _errors(base.mark_point(filled=True, size=40), shape)
    ticks = base.mark_tick(thickness=2, size=12).transform_filter("datum.what == 'bound'")
    return (ticks + points).properties(title="eps=auto: ● error, – bound", width=alt.Step(13), height=300)


def _errors(points: Any, shape: Any) -> Any:
    """The observed errors of a chart of points, in the shape of their scheme."""
    return points.encode(shape=shape).transform_filter("datum.what == 'observed error'")


def detection(rows: Rows) -> Any:
    """Heat maps bug by eps from the rows of `chart_data.detection`: what was caught, and what was accused wrongly."""
    alt = library()
    if not rows:
        return empty("No cell was computed.")
    return _by_run(alt, rows, lambda own: _heat_maps(alt, own))


def _heat_maps(alt: Any, rows: Rows) -> Any:
    order = [row["eps"] for row in sorted(rows, key=lambda row: row["order"])]
    steps = list(dict.fromkeys(order))
    panels = []
    titles = {
        "caught": "planted bugs that were caught, in %",
        "missed": "planted bugs that were missed, in %",
        "cannot be told": "planted bugs that no number shows: cannot be told, in %",
        "false alarm": "correct gradients that were accused, in %",
        "unknown": "gradients that nobody knows, judged mismatch, in %",
    }
    for what, title in titles.items():
        own = [row for row in rows if row["what"] == what]
        # what no cell is needs no map of its own; the words are in the others'
        if not own or (what in ("missed", "cannot be told") and not any(row["count"] for row in own)):
            continue
        x = alt.X("eps:N", sort=steps, scale=alt.Scale(domain=steps), title="eps", axis=alt.Axis(labelAngle=-40))
        base = alt.Chart(data(own), title=title).encode(
            x=x,
            y=alt.Y("bug:N", title=None),
            tooltip=["bug:N", "eps:N", "says:N", "cells:Q"],
        )
        # the palette made for colour-blind people; what should be looked at is bright in the one and dark in the other
        good = what == "caught"
        squares = base.mark_rect(cursor="pointer").encode(
            color=alt.Color("share:Q", scale=alt.Scale(scheme="cividis", domain=[0, 1], reverse=not good), legend=None)
        )
        pale = "datum.share > 0.55" if good else "datum.share < 0.45"
        text = base.mark_text(fontSize=11).encode(
            text="percent:N", color=alt.condition(pale, alt.value("#111"), alt.value("#fff"))
        )
        step = 36 if len(steps) <= 30 else 26
        panels.append((squares + text).properties(width=alt.Step(step), height=alt.Step(22)))
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels).resolve_scale(color="independent", x="shared")


RULE_COLOURS = {"caught": BLUE, "missed": RED, "cannot be told": GREY, "false alarm": RED, "unknown": ORANGE}


def rules(rows: Rows) -> Any:
    """Bars from the rows of `chart_data.rules`: each rule's shares of planted bugs, its false alarms, and what it says of
    gradients that nobody knows; our own verdict on top.
    """
    alt = library()
    if not rows:
        return empty("No cell was computed.")
    caught = {row["rule"]: row["end"] for row in rows if row["what"] == "caught"}
    order = sorted({row["rule"] for row in rows}, key=lambda rule: (rule != "gradcheck", -caught.get(rule, 0), rule))
    panels: list[Any] = []
    titles = {
        "planted": "planted bugs: caught, missed, cannot be told",
        "correct": "correct gradients accused (false alarms)",
        "unknown": "gradients that nobody knows, accused",
    }
    for kind, title in titles.items():
        own = [row for row in rows if row["kind"] == kind]
        if not own:
            continue
        whats = list(dict.fromkeys(row["what"] for row in own))
        base = alt.Chart(data(own), title=title).encode(
            x=alt.X(
                "start:Q",
                scale=alt.Scale(domain=[0, 1.12], nice=False),
                title=None,
                axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
            ),
            x2="end:Q",
            y=alt.Y(
                "rule:N", sort=order, scale=alt.Scale(domain=order), title=None, axis=alt.Axis() if not panels else None
            ),
            tooltip=["rule:N", "what:N", "count:Q", "cells:Q"],
        )
        legend = alt.Legend(orient="bottom", title=None) if kind == "planted" else None
        colour = alt.Color("what:N", scale=_colours(alt, RULE_COLOURS, whats), legend=legend)
        bars = base.mark_bar().encode(color=colour)
        # the figure of the first share stands behind the whole bar: the others are told by the tooltip
        first = alt.Chart(
            data([row | {"behind": row["end"] if len(whats) == 1 else 1.0} for row in own if row["what"] == whats[0]])
        )
        texts = first.mark_text(align="left", dx=4).encode(x="behind:Q", y=bars.encoding.y, text="text:N")
        panels.append((bars + texts).properties(width=300, height=alt.Step(19)))
    return panels[0] if len(panels) == 1 else alt.hconcat(*panels).resolve_scale(color="independent")


def histogram(rows: Rows) -> Any:
    """Stacked bars from the rows of `chart_data.Histogram`."""
    alt = library()
    if not rows:
        return empty("No weight has a relative error other than 0.")
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    shown = [name for name in VERDICTS if any(row["verdict"] == name for row in rows)]
    panels = []
    titles = {
        "correct": "correct gradients",
        "planted": "gradients with a planted bug",
        "unknown": "gradients that nobody knows",
    }
    for kind, title in titles.items():
        own = [row for row in rows if row["kind"] == kind]
        if not own:
            continue
        chart = (
            alt.Chart(data(own), title=title, width=620, height=150)
            .mark_rect(stroke=None)
            .encode(
                x=alt.X(
                    "low:Q", scale=log_scale(domain=[low, high], nice=False), axis=decades(tickCount=8), title="rel_err"
                ),
                x2="high:Q",
                y=alt.Y("start:Q", title="weights", axis=alt.Axis(tickCount=5)),
                y2="end:Q",
                color=alt.Color("verdict:N", scale=_colours(alt, VERDICT_COLOURS, shown), title="verdict"),
                tooltip=[
                    "verdict:N",
                    "weights:Q",
                    alt.Tooltip("low:Q", format=".1e"),
                    alt.Tooltip("high:Q", format=".1e"),
                ],
            )
        )
        panels.append(chart)
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)


def weights(rows: Rows) -> Any:
    """Analytic against numeric with the band of the bound, and error against bound, from `chart_data.weights`.

    Whatever cell the rows are of, the chart is the same but for its data.
    """
    alt = library()
    axis = alt.Axis(labelAngle=-60, labelOverlap="greedy", labelLimit=110)
    x = alt.X("weight:N", sort=alt.EncodingSortField("order"), title=None, axis=axis)
    figures = [alt.Tooltip(f"{key}:Q", format=".6g") for key in ("analytic", "numeric", "abs_err", "bound")]
    base = alt.Chart(width=640, height=190).encode(x=x, tooltip=["weight:N", *figures, "verdict:N"])
    band = {"color": GREY, "opacity": 0.3, "width": {"band": 0.8}}

    names = ["analytic", "numeric"]
    limited = (
        base.transform_joinaggregate(a0="min(analytic)", a1="max(analytic)", n0="min(numeric)", n1="max(numeric)")
        .transform_calculate(bottom="min(datum.a0, datum.n0)", top="max(datum.a1, datum.n1)")
        .transform_calculate(
            pad="0.05 * (datum.top - datum.bottom)", reach="isValid(datum.bound) ? datum.bound : 1e300"
        )
        .transform_calculate(
            low="max(datum.numeric - datum.reach, datum.bottom - datum.pad)",
            high="min(datum.numeric + datum.reach, datum.top + datum.pad)",
        )
    )
    y = alt.Y("low:Q", title="gradient", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    values = (
        base.transform_fold(names, as_=["kind", "value"])
        .mark_point(opacity=1, strokeWidth=1.8)
        .encode(
            y=alt.Y("value:Q"),
            color=alt.Color("kind:N", scale=alt.Scale(domain=names, range=[RED, BLUE]), title=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]), title=None),
            size=alt.condition("datum.kind == 'analytic'", alt.value(150), alt.value(22)),
        )
    )
    upper = (limited.mark_bar(**band).encode(y=y, y2="high:Q") + values).properties(
        title="analytic and numeric gradient; band: numeric ± bound"
    )

    # a log axis has no 0 and no infinity: what is 0 stands at its foot, what has no bound reaches its top
    placed = (
        base.transform_calculate(
            seen="datum.abs_err > 0 ? datum.abs_err : null", allowed="datum.bound > 0 ? datum.bound : null"
        )
        .transform_joinaggregate(seen0="min(seen)", seen1="max(seen)", allowed0="min(allowed)", allowed1="max(allowed)")
        .transform_calculate(
            foot="min(datum.seen0 || 1, datum.allowed0 || 1) / 4", top="4 * (max(datum.seen1, datum.allowed1) || 1)"
        )
        .transform_calculate(
            limit="isValid(datum.bound) ? max(datum.bound, datum.foot) : datum.top",
            error="isValid(datum.abs_err) ? max(datum.abs_err, datum.foot) : null",
        )
    )
    y = alt.Y("foot:Q", scale=log_scale(nice=False, padding=8), axis=decades(tickCount=6), title="|analytic - numeric|")
    errors = placed.mark_point(filled=True, size=40, opacity=1).encode(
        y=alt.Y("error:Q"),
        color=alt.Color("verdict:N", scale=_colours(alt, VERDICT_COLOURS, VERDICTS), title="verdict"),
    )
    lower = (placed.mark_bar(**band).encode(y=y, y2="limit:Q") + errors).properties(
        title="their difference; band: what a correct gradient can show"
    )
    return alt.vconcat(upper, lower, data=data(rows)).resolve_scale(color="independent", shape="independent")
