"""The filters of the page: they change everything at once, by mouse and by keyboard, and the address keeps them.

What the page adds up in the browser is what the tables and charts of Python say of the same cells.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from constructed import rows
from visits import Visit, many_axes

from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import truths
from gradcheck.views import cube, facets, paper, words
from gradcheck.views.charts import captions, cell_data, weight_data
from gradcheck.views.record import Record
from gradcheck.views.sentence import answer

CHARTS = ("rules", "v_curve", "histogram", "weights")


def axes(folder: Path) -> None:
    many_axes(folder, seed=3, functions=True)


def marks(svg: str) -> str:
    """The shapes of a chart and where they stand, and its words, without the names that are counted up."""
    return "\n".join(re.findall(r' (?:d|transform)="[^"]*"|>[^<>]+<', svg))


def everything(seen: Visit) -> dict[str, str]:
    """All that the page shows of the chosen cells: each chart as it is drawn, each table as it is written."""
    return {
        **{name: marks(seen.page.inner_html(f"#chart-{name}")) for name in ("detection", *CHARTS)},
        **{f"{name} in words": seen.page.inner_text(f"#says-{name}") for name in ("rules", "v_curve", "histogram")},
        **{f"table {name}": seen.page.inner_text(f"#{name}") for name in ("cells", "verdicts", "problems")},
        "table rules": str(seen.page.text_content("#rules")),
    }


def texts(shown: dict[str, str]) -> dict[str, list[str]]:
    """Of what is shown the words and, of the picture of squares, the shapes: axes of Vega keep the room they once took."""
    kept = {name: text.splitlines() for name, text in shown.items()}
    return {
        name: lines
        if name not in CHARTS
        else sorted(line for line in lines if line.startswith(">") and not re.search(r"\d", line))
        for name, lines in kept.items()
    }


def test_a_filter_changes_all_charts_and_tables_at_once(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    before = everything(seen)
    other = (
        "float64" if "float32" in seen.page.inner_text("#weights-note") else "float32"
    )  # than that of the cell shown
    seen.choose("dtype", other)
    after = everything(seen)
    assert [name for name in before if after[name] == before[name]] == []
    assert set(seen.column("cells", "dtype")) == {other}
    with seen.answered():
        seen.page.click("#filters button")
    assert texts(everything(seen)) == texts(before)


def test_an_empty_choice_offers_to_clear_the_filter(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    cells = seen.record.cells
    keys = ["bug", "eps", "dtype", "scheme", "model", "data_n"]
    values = [facets.values_of(cells[key], key) for key in keys]
    done = {tuple(map(str, row)) for row in cells.loc[cells["status"] == "ok", keys].itertuples(index=False)}
    gone = next(
        one for one in itertools.product(*values) if tuple("nan" if v is None else str(v) for v in one) not in done
    )
    for key, value in zip(keys, gone, strict=True):
        seen.choose("data.n" if key == "data_n" else key, facets.value_label(key, value))
    assert seen.page.is_visible("#nothing")
    assert not seen.page.is_visible("#detection-figure")
    with seen.answered():
        seen.page.click("#nothing button")
    assert seen.page.is_visible("#detection-figure")
    assert f"{len(cells)} rows" in seen.page.inner_text("#cells .count")


def test_the_keyboard_alone_reaches_the_weights_of_a_cell(visit: Callable[..., Visit]) -> None:
    seen = visit(axes, fresh=True)
    keys = seen.page.keyboard
    for _ in range(15):
        keys.press("Tab")
        if seen.page.evaluate("document.activeElement.id") == "chart-detection":
            break
    assert seen.page.evaluate("document.activeElement.id") == "chart-detection"
    for key in ("ArrowDown", "ArrowRight", "PageDown", "ArrowDown"):
        keys.press(key)
    for _ in range(60):  # to a square that has cells
        said = seen.page.inner_text("#at")
        if "no cell" not in said:
            break
        keys.press("ArrowRight")
    bug, step = said.split(",")[0], said.split("eps ")[1].split(",")[0].split(":")[0]
    with seen.answered():
        keys.press("Enter")
    assert set(seen.column("cells", "bug")) == {bug}
    assert set(seen.column("cells", "eps")) == {step}
    assert seen.page.evaluate("document.activeElement.tagName") == "TR"
    rows = seen.page.locator("#cells tbody tr").count()
    if rows > 1:
        keys.press("ArrowDown")
    chosen = seen.page.evaluate("document.activeElement.cells[0].textContent")
    keys.press("Enter")
    assert chosen in seen.page.inner_text("#weights-note")
    assert seen.page.locator("#weights tbody tr").count() > 0
    assert seen.page.evaluate("document.activeElement.id") == "weights-heading"
    keys.press("Escape")
    assert seen.page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    assert seen.page.evaluate("document.activeElement.cells[0].textContent") == chosen
    keys.press("Escape")
    assert seen.page.evaluate("document.activeElement.id") == "chart-detection"


def test_few_stops_lead_through_the_page(visit: Callable[..., Visit]) -> None:
    """A table of any length has one stop in its head and one in its rows; arrows lead further."""
    seen = visit(axes)
    stops = "[...document.querySelectorAll('*')].filter((one) => one.tabIndex >= 0 && one.offsetParent).length"
    assert seen.page.evaluate(f"({stops}) - document.querySelectorAll('select').length") < 40
    assert seen.page.evaluate("document.querySelectorAll('#cells tbody tr[tabindex=\"0\"]').length") == 1
    assert seen.page.evaluate("document.querySelectorAll('#cells thead button[tabindex=\"0\"]').length") == 1


def test_the_address_restores_what_was_chosen(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    seen.choose("scheme", "central")
    with seen.answered():
        x, y = seen.square("scale", "cell")
        seen.page.mouse.click(x, y)
    seen.page.click("#cells tbody tr:last-child")
    cell = seen.page.inner_text("#find-cell")
    address = seen.page.evaluate("location.hash")
    assert cell in address
    other = visit(axes, address=address)
    assert other.page.inner_text("#find-cell") == cell
    assert other.page.inner_text("#square-words") == seen.page.inner_text("#square-words")
    assert other.page.inner_text("#cells table") == seen.page.inner_text("#cells table")
    assert texts(everything(other)) == texts(everything(seen))
    with other.answered():
        other.page.evaluate("location.hash = '#dtype=float64'")
    assert set(other.column("cells", "dtype")) == {"float64"}
    with other.answered():
        other.page.evaluate("location.hash = '#dtype=float16&at.bug=none&cell=%3Cscript%3E&%00=1'")
    told = other.page.inner_text("#chosen")
    assert told.startswith(
        "Not understood in the address: dtype=float16 (there are 'float32', 'float64'); cell=<script> (no such"
    )
    assert "at.bug" not in told  # `none` is what a run calls no bug


def test_a_square_of_the_address_that_is_not_drawn_is_none(visit: Callable[..., Visit]) -> None:
    """What is outlined, its words, and the cells below are of the same square, whatever the address says."""
    seen = visit(axes)
    x, y = seen.square("scale", "cell")
    with seen.answered():
        seen.page.mouse.click(x, y)
    address = seen.page.evaluate("location.hash.slice(1)")
    parts = [part for part in address.split("&") if part.startswith("at.")]
    rows = int(seen.page.inner_text("#cells .count").split()[0])
    rng = np.random.default_rng(0)
    for k in range(4):
        kept = [part for part in parts if rng.random() < 0.7]
        other = f"dtype={rng.choice(['float32', 'float64'])}" if rng.random() < 0.5 else ""
        with seen.answered():
            seen.page.evaluate("(hash) => { location.hash = hash; }", "&".join([other, *kept, "&" * k]))
        if seen.page.locator("#chart-detection .chosen").count():
            words = seen.page.inner_text("#square-words")
            assert words.startswith("scale, eps")
            assert f" {int(seen.page.inner_text('#cells .count').split()[0])} cell" in words
            assert "at.bug=scale" in seen.page.evaluate("location.hash")
        else:
            assert seen.page.inner_text("#square-words") == ""
            assert "at." not in seen.page.evaluate("location.hash")
            assert int(seen.page.inner_text("#cells .count").split()[0]) > rows


# --- what the browser adds up ---------------------------------------------------------------------------------------


# the points of the V curve, each with the names of the keys that make panels
CURVES = "cube.vPoints(mask).map((row) => ({ ...row, panels: cube.curveFacets(mask).map(({ key }) => key.title) }))"


def ask(seen: Visit, code: str, chosen: dict[str, int]) -> Any:
    return seen.page.evaluate(f"(chosen) => {{ const mask = cube.chosen(chosen); return {code}; }}", chosen)


def filters(record: Record, rng: np.random.Generator) -> list[dict[str, int]]:
    """No filter, and random ones, as the page has them."""
    keys = [key for key in cube.combinations(record.cells, truths(record.cells)).keys if key["swept"]]
    made: list[dict[str, int]] = [{}]
    for _ in range(4):
        picked = rng.choice(len(keys), size=int(rng.integers(1, 3)), replace=False)
        made.append({keys[k]["name"]: int(rng.integers(len(keys[k]["values"]))) for k in picked})
    return made


def kept(record: Record, chosen: dict[str, int]) -> Any:
    """The cells that a filter of the page leaves, found without its counts."""
    cells = record.cells
    names = {key["name"]: key["values"] for key in cube.combinations(cells, truths(cells)).keys}
    for name, code in chosen.items():
        labels = cells[name].map(
            lambda one, name=name: facets.value_label(name, None if one != one else one), na_action=None
        )
        cells = cells[labels == names[name][code]]
    return cells


def test_the_page_adds_up_to_what_python_says_of_the_same_cells(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    record = seen.record
    for chosen in filters(record, np.random.default_rng(1)):
        cells = kept(record, chosen)
        assert ask(seen, "cube.answer(mask)", chosen) == answer(cells)
        compare_squares(ask(seen, "cube.detection(mask)", chosen), cells)
        mine = {row["rule"]: row for row in cell_data.rule_points(cells)}
        for row in ask(seen, "cube.rulePoints(mask)", chosen):
            if row["correct"] or row["planted"]:
                assert {name: row[name] for name in mine[row["rule"]]} == mine[row["rule"]]
        compare_curves(ask(seen, CURVES, chosen), cells)
        compare_bins(ask(seen, "cube.histogram(mask)", chosen), record, cells)
    wrong = "(cube.truths.caught[cube.truths.caught.findIndex((n) => n)] += BY, cube.answer(mask))"  # the planted fault
    assert ask(seen, wrong.replace("BY", "1"), {}) != answer(record.cells)
    assert ask(seen, wrong.replace("BY", "-1"), {}) == answer(record.cells)


def compare_squares(found: dict[str, Any], cells: Any) -> None:
    """The shares of each bug and step, whatever panels they stand in."""
    keys = [*(name for name in (found["panels"] or [{"values": {}}])[0]["values"]), "bug", "eps"]
    expected = {}
    for row in paper.squares(cells, keys[:-2]).to_dict("records"):
        counts = [row[name] for name in ("caught", "cannot_be_told", "missed", "false_alarms")]
        expected[tuple(facets.value_label(key, row[key]) for key in keys)] = [
            *counts,
            row["cells"],
        ]
    made = {}
    n, parts = len(found["steps"]), found["parts"]
    for panel in found["panels"]:
        counts = list(panel["counts"])
        for b, e in itertools.product(range(len(found["bugs"])), range(n)):
            own = counts[(b * n + e) * parts : (b * n + e + 1) * parts]
            if own[-1]:
                made[panel["title"], found["bugNames"][b], found["stepNames"][e]] = [*map(int, own[:4]), int(own[-1])]
    assert sorted(map(str, made.values())) == sorted(
        str([float(v) if v % 1 else int(v) for v in one]) for one in expected.values()
    )
    by_square: dict[tuple[str, str], list[int]] = {}
    for (_, name, step), own in made.items():
        bug = words.NO_BUG if name == words.OWN else name
        by_square[bug, step] = [a + int(b) for a, b in zip(by_square.get((bug, step), [0] * 5), own, strict=True)]
    whole = paper.squares(cells, [])
    names_ = ["caught", "cannot_be_told", "missed", "false_alarms", "cells"]
    assert by_square == {
        (facets.value_label("bug", row["bug"]), words.setting("eps", row["eps"])): [int(row[name]) for name in names_]
        for row in whole.to_dict("records")
    }


def compare_curves(found: list[dict[str, Any]], cells: Any) -> None:
    keys = [name for name in cells if words.column(name) in found[0]["panels"]] if found else []
    keys.sort(key=lambda name: found[0]["panels"].index(words.column(name)))
    mine = {(row["column"], row["scheme"], row["eps"], row["what"]): row for row in cell_data.v_points(cells, (), keys)}
    computed = cells[cells["status"] == "ok"]
    if (
        computed.empty or computed["bug_injected"].all()
    ):  # the page asks whether every cell of the run has a planted bug
        return
    assert {(row["column"], row["scheme"], row["eps"], row["what"]) for row in found} == set(mine)
    for row in found:
        own = mine[row["column"], row["scheme"], row["eps"], row["what"]]
        # the page holds them in single precision, whose unit roundoff is 6e-8
        assert row["cells"] == own["cells"]
        assert row["beyond"] == own["beyond"]
        assert row["value"] == own["value"] or math.isclose(row["value"], own["value"], rel_tol=1.2e-7)


def compare_bins(found: list[dict[str, Any]], record: Record, cells: Any) -> None:
    counted, ids = weight_data.ErrorCounts(), set(cells["cell"])
    import pyarrow as pa
    import pyarrow.compute as pc

    for piece in record.tables(["cell", *weight_data.ERROR_COLUMNS]):
        counted.add(piece.filter(pc.is_in(piece["cell"], value_set=pa.array(sorted(ids), pa.string()))))
    titles = {
        "correct": "correct gradients",
        "planted": "gradients with a planted bug",
        "unknown": "gradients that nobody knows",
    }
    mine = [
        (titles[row["kind"]], row["verdict"], row["weights"], row["start"], f"{row['low']:.3e}")
        for row in counted.rows()
    ]
    assert sorted(mine) == sorted(
        (row["title"], row["verdict"], row["weights"], row["start"], f"{row['low']:.3e}") for row in found
    )


# --- what is saved --------------------------------------------------------------------------------------------------


def saved(seen: Visit, selector: str) -> bytes:
    with seen.page.expect_download() as waiting:
        seen.page.click(selector)
    return Path(waiting.value.path()).read_bytes()


def test_tables_are_saved_as_csv_and_charts_for_a_paper(visit: Callable[..., Visit]) -> None:
    seen = visit(axes, fresh=True)
    seen.choose("dtype", "float32")
    lines = saved(seen, "#cells button:text-is('CSV')").decode().splitlines()
    assert lines[0].startswith("cell,outcome,diagnosis,")
    assert len(lines) - 1 == int(seen.page.inner_text("#cells .count").split()[0])
    for name in ("detection", *CHARTS):
        svg = saved(seen, f"#{name}-figure button:text-is('SVG')").decode()
        assert svg.startswith("<svg")
        assert "(float32); gradcheck" in svg.split("</desc>")[0]
    # Chromium lets a page save ten files
    assert saved(seen, "#weights-figure button:text-is('caption')").decode().strip() in svg.replace("&#38;", "&")
    assert saved(seen, "#rules-figure button:text-is('PNG')").startswith(b"\x89PNG")


def test_a_caption_of_the_page_is_that_of_a_paper(visit: Callable[..., Visit]) -> None:
    seen = visit(axes, fresh=True)
    record = Record(Path(seen.requests[0].removeprefix("file://").partition("#")[0]).parent)
    texts_ = {
        name: saved(seen, f"#{name}-figure button:text-is('caption')").decode() for name in ("detection", *CHARTS)
    }
    cell = seen.page.inner_text("#find-cell")
    assert texts_ == {name: f"{paper.caption(record, name, cell)}\n" for name in texts_}
    assert "Panels by dtype, model, data.n." in texts_["v_curve"]
    seen.choose("dtype", "float32")
    seen.choose("model", "mlp")
    told = saved(seen, "#v_curve-figure button:text-is('caption')").decode()
    assert "Panels by data.n." in told
    assert "(float32, mlp); gradcheck" in told


def open_bounds(folder: Path) -> None:
    """Two dtypes and two models; in one panel two bounds are infinite, in another an error is 0."""
    with Writer(folder, {}) as writer:
        for i, (dtype, model, eps) in enumerate(
            itertools.product(("float32", "float64"), ("logistic", "mlp"), (1e-2, 1e-4, 1e-6))
        ):
            made = rows(i).cell | {
                "dtype": dtype,
                "model": model,
                "eps": eps,
                "median_rel_err": 1e-7,
                "median_resolution": 1e-5,
            }
            if (dtype, model) == ("float32", "mlp") and eps < 1e-3:
                made["median_resolution"] = math.inf
            if (dtype, model, eps) == ("float64", "logistic", 1e-4):
                made["median_rel_err"] = 0.0
            writer.add(rows(i)._replace(cell=made))


def test_a_line_that_ends_has_a_sign_in_its_own_panel(visit: Callable[..., Visit]) -> None:
    seen = visit(open_bounds)
    points = seen.page.evaluate("cube.vPoints(cube.chosen({})).filter((row) => row.beyond)")
    assert points
    drawn = seen.page.locator("#chart-v_curve svg text").all_text_contents()
    for sign in ("∞", "0"):
        assert drawn.count(sign) == sum(row["beyond"] == sign for row in points), sign
    assert [drawn.count(sign) for sign in ("∞", "0")] == [2, 1]
    told = seen.page.inner_text("#says-v_curve")
    assert "No bound in half of the weights: float32 · mlp, central at eps 1e-04, 1e-06." in told
    cells = Record(Path(seen.requests[0].removeprefix("file://").partition("#")[0]).parent).cells
    sentences = captions.shown("v_curve", cells, truths(cells))
    assert {"∞", "0"} <= {*sentences.sentences}
    numbers = paper.in_words(cell_data.medians(cell_data.of_curves(cells), ["dtype", "model"]), words.PLAIN)
    assert sorted(numbers["value"])[0] == 0
    assert np.isinf(numbers["value"]).sum() == 2


def test_a_filter_that_changes_the_panels_makes_no_new_chart(visit: Callable[..., Visit]) -> None:
    """A new chart takes far longer: panels, their width and the legend follow the figures."""
    seen = visit(axes, fresh=True)
    chart = "(() => { const svg = document.querySelector('#chart-v_curve svg'); return [svg.outerHTML, svg.clientWidth]; })()"
    seen.page.evaluate("window.first = document.querySelector('#chart-v_curve svg')")
    before = seen.page.evaluate(chart)
    for key, value in (("dtype", "float32"), ("scheme", "central")):
        seen.choose(key, value)
    changed = seen.page.evaluate(chart)
    assert seen.page.evaluate("window.first.isConnected")
    opened = Visit(seen.browser, seen.path, seen.page.evaluate("location.hash")).wait()
    anew = opened.page.evaluate(chart)
    opened.page.close()
    words = [sorted(re.findall(">([^<>]+)<", svg)) for svg, _ in (before, changed, anew)]
    assert words[1] == words[2] != words[0]
    assert changed[1] == pytest.approx(anew[1], abs=20)  # axes of Vega keep the room they once took
    with seen.answered():
        seen.page.get_by_role("button", name="clear the filter").first.click()
    assert sorted(re.findall(">([^<>]+)<", seen.page.evaluate(chart)[0])) == words[0]


def test_a_formula_in_a_text_is_no_formula_in_a_spreadsheet(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    values = "[[1, 1e-4, 'scale'], [2, 0.03162277660168379, 'no bug']]"
    settings = seen.page.evaluate(f"csv(['data_seed', 'eps', 'bug'], {values}, ['data.seed', 'eps', 'bug'])")
    assert settings == "data.seed,eps,bug\n1,1e-04,scale\n2,3.162277660168379e-02,no bug\n"
    found = seen.page.evaluate("csv(['a'], [['=1+1'], ['-2e5'], [-2e5], ['-inf'], ['a,\"b'], [null]])")
    assert json.dumps(found) == json.dumps('a\n\'=1+1\n\'-2e5\n-200000\n-inf\n"a,""b"\n\n')


# --- people who cannot see, or have a small screen ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(visit: Callable[..., Visit], scheme: str) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe: pip install 'gradcheck[test]'"
    )
    seen = visit(axes, color_scheme=scheme)
    seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    # each kind of row once: axe looks at every one
    seen.page.fill("#cells input", "sign_flip float32 1e-04")
    assert seen.page.locator("#cells tbody tr").count() > 3
    found = axe.Axe().run(seen.page).response
    assert len(found["passes"]) > 20
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
    seen.page.evaluate("document.getElementById('cells-note').style.color = '#787878'")  # the planted fault
    planted = axe.Axe().run(seen.page, context="#cells-section").response
    assert [one["id"] for one in planted["violations"]] == ["color-contrast"]
    seen.page.evaluate("document.getElementById('cells-note').style.color = ''")


def test_no_chart_is_cut_on_a_small_screen(visit: Callable[..., Visit]) -> None:
    seen = visit(axes, viewport={"width": 390, "height": 844})
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("detection", *CHARTS):
        right = seen.page.evaluate(
            "(id) => Math.max(...[...document.querySelectorAll(`#${id} svg text, #${id} svg path`)]"
            ".map((one) => one.getBoundingClientRect().right))",
            f"chart-{name}",
        )
        assert right <= 390, name
    # no panel has lost a part of its name, and the picture ends where the text does
    assert "…" not in "".join(seen.page.locator("#chart-detection svg text").all_text_contents())
    for width in (390, 1400):
        seen.page.set_viewport_size({"width": width, "height": 844})
        seen.page.wait_for_function(
            "() => { const right = (one) => document.querySelector(one).getBoundingClientRect().right;"
            " return right('#chart-detection svg') <= right('main') + 0.5; }",
            timeout=20_000,
        )


def test_every_chart_says_in_words_what_it_shows(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    for name in ("detection", *CHARTS):
        described = seen.page.get_attribute(f"#chart-{name}", "aria-describedby")
        assert len(seen.page.inner_text(f"#{described}")) > 20, name
    assert all(text.strip() for text in seen.page.locator("caption").all_text_contents())


def test_quantiles_stand_for_all_cells_of_a_combination(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The median of what the page keeps of many cells is that of the cells to within the neighbours that were left out."""
    monkeypatch.setattr(cube, "MOST_MEDIANS", 60)
    rng = np.random.default_rng(0)
    groups = np.repeat([3, 5, 9], [1, 40, 1000])
    places, weights = cube._quantiles(groups)
    assert len(places) <= 60
    for group, n in ((3, 1), (5, 40), (9, 1000)):
        own = groups[places] == group
        assert weights[own].sum() == n
    values = np.sort(rng.normal(size=1000))
    kept = np.repeat(values[places[groups[places] == 9] - 41], weights[groups[places] == 9])
    rank = np.searchsorted(values, np.median(kept)) / 1000
    assert abs(rank - 0.5) <= 1 / 20  # 20 quantiles are kept of each combination
