"""What charts are composed of: data, logarithmic axes, colours, a panel for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import altair as alt

from gradcheck.views.charts.cell_data import OfKind, OfRun
from gradcheck.views.charts.theme import GREY

if TYPE_CHECKING:
    from altair.typing import ChartType

RunRow = TypeVar("RunRow", bound=OfRun)
KindRow = TypeVar("KindRow", bound=OfKind)


def data(rows: Sequence[Mapping[str, object]]) -> alt.Data:
    """Rows as the data of a chart."""
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]


def decades(ticks: int) -> alt.Axis:
    """An axis of powers of ten, with lines at whole ones."""
    whole = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-9"
    grid = alt.condition(whole, alt.value(0.45), alt.value(0))
    return alt.Axis(format="~e", gridOpacity=grid, labelOverlap="parity", labelSeparation=6, tickCount=ticks)


def empty(words: str) -> alt.Chart:
    """In place of a chart that has nothing to show."""
    return alt.Chart(data([{"words": words}]), width=420, height=36).mark_text(align="left", x=8).encode(text="words:N")


def colour_scale(colours: Mapping[str, str], names: Sequence[str]) -> alt.Scale:
    """The colours of some names; grey for a name that has none."""
    return alt.Scale(domain=list(names), range=[colours.get(name, GREY) for name in names])


def by_run(rows: Sequence[RunRow], panel: Callable[[list[RunRow]], ChartType]) -> ChartType:
    """A panel for each run, where there are several."""
    panels = []
    for run in dict.fromkeys(row["run"] for row in rows):
        made = panel([row for row in rows if row["run"] == run])
        panels.append(made.properties(**({} if run is None else {"title": run})))
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels)


def by_kind(rows: Sequence[KindRow], titles: Mapping[str, str]) -> Iterator[tuple[str, str, list[KindRow]]]:
    """The rows of each kind that has any: kind, its title, its rows."""
    for kind, title in titles.items():
        own = [row for row in rows if row["kind"] == kind]
        if own:
            yield kind, title, own
