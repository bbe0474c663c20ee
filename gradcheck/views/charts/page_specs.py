"""The charts of the page as specifications without figures: its script fills in those of the chosen cells."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.views.charts import drawing, histogram, rules, v_curve, weights

FIGURES = "figures"  # the name of the data in each specification
DEFAULT_BINS = (1e-16, 1.0)


def specifications(
    schemes: Sequence[str], steps: Sequence[float | None], bins: tuple[float, float] | None
) -> dict[str, object]:
    """A Vega-Lite specification for each chart whose figures change with the filters.

    schemes, steps : those of the run, which keep their colours and places whatever is chosen.
    bins : the least and the largest relative error.
    """
    source = alt.NamedData(FIGURES)
    known = [step for step in steps if step]
    auto = v_curve.place_of_auto(known) if None in steps else None
    named = [name for name in SCHEMES if name in schemes] + sorted(set(schemes) - set(SCHEMES))
    curves = v_curve.curves(source, named, v_curve.domain(known, auto), auto, 300)
    charts = {
        "rules": rules.plane(source, 560, 340),
        "v_curve": curves.facet(alt.Facet("column:N", sort=None, title=None), columns=2, spacing=12),
        "histogram": histogram.by_title(
            histogram.bars(source, VERDICTS, bins or DEFAULT_BINS, 620), list(histogram.TITLES.values())
        ),
        "weights": alt.vconcat(*weights.pair(source, 640, VERDICTS)).resolve_scale(
            color="independent", shape="independent"
        ),
    }
    return {name: drawing.specification(chart) for name, chart in charts.items()}
