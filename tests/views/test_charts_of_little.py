"""Charts of runs that hold little: one step, one error, no planted bug, nothing that could be judged."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import shown
from constructed import one_cell, planned, result, rows
from visits import Visit

import gradcheck
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import truths
from gradcheck.views import page, paper, words
from gradcheck.views.record import Record

pytest.importorskip("altair", reason="needs Altair: pip install 'gradcheck[charts]'")

from gradcheck.views.charts import captions, cell_data, drawing, pieces, v_curve, weight_data, weights
from gradcheck.views.charts.detection import detection, steps_axis


def points(values: tuple[float, ...], steps: tuple[float, ...] = (1e-8,)) -> list[cell_data.VPoint]:
    return [
        {
            "row": "", "column": f"panel {k}", "scheme": "central", "eps": eps, "step": f"{eps:.0e}",
            "what": v_curve.ERROR, "value": value, "beyond": "", "cells": 1,
        }
        for k, value in enumerate(values) for eps in steps
    ]  # fmt: skip


@pytest.mark.parametrize("values", [(1.0,), (3e-7,), (1.0, 1.0), (1.0, 1e-9), (1e-17,), (2.0,)])
@pytest.mark.parametrize("steps", [(1e-8,), (1e-8, 1e-2)])
def test_an_axis_of_errors_names_powers_of_ten_on_both_sides(
    values: tuple[float, ...], steps: tuple[float, ...]
) -> None:
    """Where all errors are one number, a logarithmic axis of the data alone would have all the decades of doubles."""
    svg = drawing.svg(v_curve.v_curve(points(values, steps)))
    steps_at = svg.index("relative to the gradient")
    named = [float(one) for one in re.findall(r">(\d[^<]*)</text>", svg[:steps_at])]
    assert len(named) >= 2
    assert named[0] <= min(values)
    assert max(values) <= named[-1]
    assert named[-1] / named[0] <= 1e3 * max(values) / min(values)


# ------------------------------------------------------------------------------------------- what could not be judged


def unjudged(folder: Path) -> None:
    """One cell of which nothing could be judged."""
    with Writer(folder, {}) as writer:
        writer.add(rows(1, "inconclusive"))


def half(folder: Path) -> None:
    """Correct gradients, of half of which too little was judged, and planted bugs of which a third is caught at best."""
    with Writer(folder, {}) as writer:
        for i in range(12):
            writer.add(rows(i, "match" if i % 2 else "inconclusive"))
            writer.add(rows(i, "mismatch" if i in (4, 9) else "inconclusive", "scale"))


def own(folder: Path) -> None:
    """A gradient of somebody's own function that is wrong."""
    with Writer(folder, {}) as writer:
        writer.add(cell_row(planned(1, "none", "function"), result(1, 3, "mismatch"), 0.01))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (unjudged, "Nothing could be judged."),
        (one_cell, "The gradient is ok."),
        (half, "No false alarm, but 6 of 12 correct gradients not judged enough. 2 of 12 planted bugs caught"),
        (own, "1 of 1 gradients wrong, 0 right"),
    ],
)
def test_a_title_says_no_more_than_was_judged(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path)
    assert str(page.Page(Record(tmp_path)).content()["answer"]).startswith(said)


def test_an_answer_of_random_counts_names_what_was_not_judged() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        right, planted = int(rng.integers(1, 6)), int(rng.integers(0, 2))
        little = int(rng.integers(0, right + 1))
        nothing = int(rng.integers(0, little + 1))
        told = {"right": right, "caught": planted, "false alarm": int(rng.integers(0, 2))}
        said = words.answer(told, {}, little, nothing)
        assert (words.NOT_ENOUGH in said or said.startswith("Nothing could be judged")) == (little > 0), told
        assert ("No false alarm" in said) <= (not told["false alarm"] and planted > 0 and nothing < right)


def test_what_was_not_judged_enough_has_its_share_of_a_square(tmp_path: Path) -> None:
    half(tmp_path)
    cells = Record(tmp_path).cells
    found = cell_data.squares(cells)
    open_ = ~cells["ok"].astype(bool) & (cells["bug"] == "none")
    assert sum(row["count"] for row in found if row["what"] == words.NOT_ENOUGH) == open_.sum() == 6
    for row in found:
        here = open_ & (cells["eps"].isna() if row["eps"] == "auto" else np.isclose(cells["eps"], float(row["eps"])))
        if row["what"] == words.NOT_ENOUGH:
            assert row["count"] == here.sum()
            assert f"{here.sum()} {words.NOT_ENOUGH}" in row["says"]
    svg = drawing.svg(detection(found))
    assert f">{words.NOT_ENOUGH}</text>" in svg
    assert f">{words.NOT_ENOUGH}</text>" not in drawing.svg(
        detection([r for r in found if r["what"] != words.NOT_ENOUGH])
    )


# ---------------------------------------------------------------------------------------------- captions and sentences


@pytest.mark.parametrize(
    ("make", "planted", "correct", "unknown", "minimum"),
    [
        (one_cell, False, True, False, False),
        (half, True, True, False, True),
        (own, False, False, True, False),
    ],
)
def test_a_caption_speaks_of_what_is_there(
    tmp_path: Path, make: Callable[[Path], None], planted: bool, correct: bool, unknown: bool, minimum: bool
) -> None:
    make(tmp_path)
    cells = Record(tmp_path).cells
    said = captions.describing("detection", captions.shown("detection", cells, truths(cells)))
    assert [text in said for text in ("planted bug, the share", "false alarms", "nobody knows")] == [
        planted,
        correct,
        unknown,
    ]
    assert "white" not in said  # it is black on a dark page
    assert ("minimum" in captions.shown("v_curve", cells, truths(cells)).sentences) == minimum
    assert {row["bug"] for row in cell_data.squares(cells)} == (
        {words.OWN} if unknown else {words.NO_BUG, *(["scale"] * planted)}
    )


def test_a_page_of_little_says_what_it_shows(visit: Callable[..., Visit], capsys: pytest.CaptureFixture[str]) -> None:
    seen = visit(unjudged)
    assert seen.page.inner_text("h1") == "Nothing could be judged."
    assert seen.page.inner_text("#detection-heading") == "What was found"
    assert seen.page.inner_text("#says-detection") == "The gradient without a planted bug was not judged enough."
    assert "1 not judged enough" in seen.page.locator("#chart-detection svg text").all_text_contents()
    assert seen.page.evaluate("cube.answer(cube.chosen({}))") == "Nothing could be judged."
    other = visit(half)
    assert other.page.inner_text("#detection-heading") == "Which bug is caught at which step"
    told = other.page.inner_text("#says-detection")
    assert told.startswith("The largest share, 1 of 3 each, is caught at eps 1e-04, 1e-05.")
    assert "most is caught" not in told
    assert "Of 12 gradients without a planted bug none is a mismatch, 6 were not judged enough." in told
    with other.answered():
        other.choose("bug", "no bug")
    assert other.page.inner_text("#says-detection") == (
        "Of 12 gradients without a planted bug none is a mismatch, 6 were not judged enough."
    )
    assert "6 of 12 correct gradients ok, 6 not judged enough." in other.page.inner_text("#chosen")
    mine = visit(own)
    assert "your gradient" in mine.page.locator("#chart-detection svg text").all_text_contents()
    assert "no bug" not in str(mine.page.text_content("body main")) + mine.page.inner_text("header")
    run = Path(mine.requests[0].removeprefix("file://").partition("#")[0]).parent
    assert "your gradient" in shown(capsys, run)
    assert "no bug" not in shown(capsys, run, "--all")


def placed(svg: str) -> dict[str, tuple[float, float]]:
    """Where each text of a chart stands."""
    found: dict[str, tuple[float, float]] = {}

    def walk(node: ElementTree.Element, x: float, y: float) -> None:
        for a, b in re.findall(r"translate\(([-\d.e]+),([-\d.e]+)\)", node.get("transform", "")):
            x, y = x + float(a), y + float(b)
        if node.tag.endswith("}text"):
            found["".join(node.itertext())] = (x, y)
        for child in node:
            walk(child, x, y)

    walk(ElementTree.fromstring(svg), 0.0, 0.0)
    return found


@pytest.mark.parametrize("missing", [None, ("z", "f64"), ("a", "b"), ('m "q"', "f32")])
def test_each_panel_stands_in_its_row_and_column_where_one_has_no_cell(missing: tuple[str, str] | None) -> None:
    """Vega draws a panel for a missing combination too, and put it first: what others show stood under a wrong name."""
    import altair as alt

    pairs = [(row, column) for row in ("z", "a", 'm "q"') for column in ("f64", "b", "f32")]
    rows = [
        {"row": row, "column": column, "said": f"{row}/{column}"} for row, column in pairs if missing != (row, column)
    ]
    chart = alt.Chart(pieces.data(rows), width=60, height=30).mark_text().encode(text="said:N")
    at = placed(drawing.svg(pieces.in_panels(chart, rows)))
    rows_, columns = ([*dict.fromkeys(row[name] for row in rows)] for name in ("row", "column"))
    assert sorted(columns, key=lambda name: at[name][0]) == columns
    assert sorted(rows_, key=lambda name: at[name][1]) == rows_
    for row in rows:
        x, y = at[row["said"]]
        assert min(columns, key=lambda name: abs(at[name][0] - x)) == row["column"]
        assert min(rows_, key=lambda name: abs(at[name][1] - y)) == row["row"]


@pytest.mark.parametrize("count", [2, 7, 10, 13])
@pytest.mark.parametrize("narrow", [False, True])
def test_the_step_that_each_weight_chooses_is_named_however_many_steps_there_are(count: int, narrow: bool) -> None:
    """Vega leaves out every second value of an axis that it finds too full, the last one too."""
    import altair as alt

    steps = [f"1e-{k:02}" for k in range(1, count)] + ["auto"]
    chart = alt.Chart(pieces.data([{"x": 0.5}])).mark_point()
    axis = steps_axis(steps, 120 if narrow else 400)
    drawn = chart.encode(x=alt.X("x:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=axis))
    assert "auto" in placed(drawing.svg(drawn.properties(width=120 if narrow else 400, height=40)))
    curve = v_curve.curves(
        pieces.data([]),
        ["central"],
        v_curve.domain([0.1, 0.1**count], 0.1**count / 8),
        0.1**count / 8,
        150 if narrow else 300,
    )
    assert "auto" in placed(drawing.svg(curve))


def drawn_weight(name: str, bound: float | None, error: float = 1e-4, panel: str = "") -> weight_data.Weight:
    return {
        "row": "", "column": panel, "weight": name, "order": ord(name), "analytic": 0.1 + error, "numeric": 0.1,
        "abs_err": error, "bound": bound, "verdict": "match" if bound else "inconclusive",
    }  # fmt: skip


@pytest.mark.parametrize("bounds", [(None, 1e-3), (None, None), (1e-3, 1e-2)])
def test_the_band_of_a_weight_without_a_bound_has_no_edge(bounds: tuple[float | None, ...]) -> None:
    svg = drawing.svg(weights.weights([drawn_weight(name, one) for name, one in zip("ab", bounds, strict=True)]))
    bands = re.findall(r'<path [^>]*fill="#\w{6}"[^>]*fill-opacity="0\.35"[^>]*>', svg)
    edged = [one for one in bands if re.search(r'stroke="#', one)]
    without = bounds.count(None)
    assert (len(edged), len(bands)) == (2 * (2 - without), 4)  # in both charts
    assert svg.count(f">{cell_data.INFINITE}<") == 2 * without
    for band in bands:
        high = float(re.findall(r"v(-?[\d.]+)", band)[0])
        assert (abs(high) == weights.HEIGHT) == (band not in edged)


def test_panels_of_weights_have_one_axis_and_stand_below_each_other() -> None:
    """Their gradients differ by a factor of a thousand: each panel alone would have an axis of its own, of other width."""
    own = [
        drawn_weight("a", 1e-3, panel="W"),
        {**drawn_weight("b", 1e-6, panel="b"), "analytic": 1e-4, "numeric": 1e-4},
    ]
    drawn = ElementTree.fromstring(drawing.svg(weights.weights(own)))
    found: dict[str, list[float]] = {}

    def walk(node: ElementTree.Element, x: float) -> None:
        moved = re.match(r"translate\((-?[\d.]+)", node.get("transform", ""))
        x += float(moved[1]) if moved else 0.0
        if node.text and node.tag.endswith("text"):
            found.setdefault(node.text, []).append(round(x, 3))
        for child in node:
            walk(child, x)

    walk(drawn, 0.0)
    assert len(found["gradient"]) == len(found["|analytic - numeric|"]) == 1
    for panel in ("W", "b"):
        upper, lower = found[panel][0], found[panel][-1]
        assert upper == lower


def test_steps_stand_in_one_order_in_all_charts(tmp_path: Path) -> None:
    """Large ones first; what each weight chooses for itself stands last."""
    with Writer(tmp_path, {}) as writer:
        for i, eps in enumerate((1e-13, 1e-11, 1e-12, None)):
            made = rows(i)
            writer.add(made._replace(cell=made.cell | {"eps": eps}))
    plot = gradcheck.load(tmp_path).plot
    for chart in (plot.detection(), plot.v_curve()):
        at = placed(drawing.svg(chart))
        found = [at[name][0] for name in ("1e-11", "1e-12", "1e-13", "auto")]
        assert found == sorted(found)
        assert len(set(found)) == 4


@pytest.mark.parametrize("bugs", [("none",), ("scale",), ("none", "scale")])
def test_the_caption_of_the_rules_describes_dots_where_there_are_some(tmp_path: Path, bugs: tuple[str, ...]) -> None:
    with Writer(tmp_path, {}) as writer:
        for bug in bugs:
            writer.add(rows(0, bug=bug))
    record = Record(tmp_path)
    chart, caption, _ = paper.figures(record, [], None)["rules"]
    drawn = "The plane needs cells" not in drawing.svg(chart)
    assert drawn == (len(bugs) == 2)
    assert (captions.CHARTS["rules"] in caption) == drawn
    assert (captions.SENTENCES["no_plane"] in caption) != drawn
