"""The page of a run, opened in a browser: it draws, sorts, filters, answers clicks, loads nothing, runs nothing of a record.

Needs Playwright and Debian's Chromium (apt-get install chromium).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from constructed import (
    EVIL_NAMES,
    failures_only,
    hostile_run,
    large_run,
    nothing,
    one_cell,
    planned,
    rows,
    skipped_only,
)
from visits import CHARTS, Visit

from gradcheck import report
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.charts import theme


def grid(folder: Path) -> None:
    with Writer(folder, {"gradcheck": "9.9", "overrides": ["bug=none,scale"]}) as writer:
        for i in range(40):
            writer.add(rows(i, "mismatch" if i == 39 else "match"))
            writer.add(rows(i, "mismatch" if i % 4 else "match", "scale"))
            writer.add(rows(i, "mismatch", "sign_flip", n_weights=3 + i % 5))


# ------------------------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn(visit: Callable[..., Visit], scheme: str) -> None:
    seen = visit(grid, color_scheme=scheme)
    wanted = {
        # caught, cannot be told, and a false alarm, whose lines are drawn over it
        "detection": [theme.BLUE, theme.SHARE_COLOURS["cannot be told"], theme.MAGENTA],
        "v_curve": [theme.BLUE],
        "rules": [theme.BLUE],
        "histogram": [theme.BLUE, theme.RED],
        "weights": [theme.RED],
    }
    for name in CHARTS:
        colours = seen.colours(f"#chart-{name}")
        for colour in wanted[name]:
            assert colours.get(theme.DARK[colour] if scheme == "dark" else colour, 0) >= 20, (name, colour)
        background = max(colours, key=lambda colour: colours[colour])
        assert (int(background[1:3], 16) > 128) == (scheme == "light")


def test_a_blank_chart_is_seen(visit: Callable[..., Visit]) -> None:
    seen = visit(grid, fresh=True)
    seen.page.evaluate("document.querySelectorAll('#chart-v_curve path').forEach((mark) => mark.style.opacity = 0)")
    assert seen.colours("#chart-v_curve").get(theme.BLUE, 0) < 20


def test_the_button_turns_the_page_dark(visit: Callable[..., Visit]) -> None:
    seen = visit(grid, fresh=True)
    seen.page.click("#theme")
    seen.page.wait_for_selector("#chart-weights[data-drawn=dark]")
    seen.page.wait_for_selector("#chart-detection[data-drawn=dark]")
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    label = seen.page.locator("#chart-v_curve text").first.get_attribute("fill")
    assert label == theme.THEMES["dark"]["axis"]["labelColor"]


def test_tables_sort_by_number_in_both_directions(visit: Callable[..., Visit]) -> None:
    seen = visit(grid)
    for _ in range(2):
        seen.page.click("#cells th button:text-is('worst rel_err')")
        found = [float(text) for text in seen.column("cells", "worst rel_err")]
        assert len(set(found)) > 20
        order = seen.page.get_attribute("#cells th:has(button:text-is('worst rel_err'))", "aria-sort")
        assert found == sorted(found, reverse=order == "descending")
    assert order == "descending"
    seen.page.click("#cells th button:text-is('eps')")
    found = seen.column("cells", "eps")
    numbers = [float(text) for text in found if text != "auto"]
    assert numbers == sorted(numbers)
    assert found[len(numbers) :] == ["auto"] * 30


def test_a_filter_keeps_rows_with_all_its_words(visit: Callable[..., Visit]) -> None:
    seen = visit(grid)
    seen.page.fill("#cells input", "Scale mismatch")
    assert set(seen.column("cells", "bug")) == {"scale"}
    assert seen.column("cells", "outcome") == ["mismatch"] * 30
    assert seen.page.inner_text("#cells .count") == "30 rows"
    seen.page.fill("#cells input", "nowhere to be found")
    assert seen.page.inner_text("#cells .count") == "0 rows"
    assert seen.page.is_visible("#cells button:text-is('clear the filter')")
    seen.page.fill("#cells input", "")
    assert seen.page.inner_text("#cells .count") == "120 rows"


def test_a_click_on_a_square_shows_its_cells(visit: Callable[..., Visit]) -> None:
    seen = visit(grid)
    with seen.answered():
        seen.page.mouse.click(*seen.square("scale", "eps 1e-05"))
    assert seen.column("cells", "bug") == ["scale"] * 10
    assert seen.column("cells", "eps") == ["1e-05"] * 10
    assert "scale, eps 1e-05: 10 cells: 10 caught, 0 cannot be told, 0 missed" in seen.page.inner_text("#square")
    assert seen.page.locator("#chart-detection .chosen").count() == 1
    with seen.answered():
        seen.page.mouse.click(*seen.square("no bug", "eps auto"))
    assert seen.column("cells", "outcome").count("mismatch") == 1
    with seen.answered():
        seen.page.click("button:text-is('all squares')")
    assert seen.page.inner_text("#cells .count") == "120 rows"
    assert seen.page.locator("#chart-detection .chosen").count() == 0
    assert seen.page.locator("#chart-detection .shown").count() == 1


def test_a_click_on_a_cell_draws_its_weights(visit: Callable[..., Visit]) -> None:
    seen = visit(grid)
    assert planned(39).cell in seen.page.inner_text("#weights-note")  # what went wrong is drawn first
    before = seen.page.inner_html("#chart-weights")
    seen.page.fill("#cells input", planned(7, "sign_flip").cell)
    seen.page.click("#cells tbody tr")
    assert planned(7, "sign_flip").cell in seen.page.inner_text("#weights-note")
    assert len(seen.column("weights", "weight")) == 3 + 7 % 5
    seen.page.wait_for_function("before => document.querySelector('#chart-weights').innerHTML !== before", arg=before)


def test_a_narrow_screen_scrolls_within_the_charts_alone(visit: Callable[..., Visit]) -> None:
    seen = visit(grid, fresh=True)
    seen.page.set_viewport_size({"width": 400, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 400


# ---------------------------------------------------------------------------------------------------------- strangers


def test_nothing_in_a_record_acts_on_the_page(visit: Callable[..., Visit]) -> None:
    seen = visit(hostile_run)
    assert seen.page.evaluate("window.owned") is None
    assert seen.page.locator("script").count() == 3
    assert seen.page.locator("img, iframe, main a:not(.vega-actions a)").count() == 0
    text = seen.page.inner_text("body")
    for name in EVIL_NAMES:
        assert name in text or name in seen.page.content()
    assert "<script>window.owned=1</script>" in seen.column("cells", "bug")
    assert "<script>" in seen.page.inner_text("#tip") or seen.square("<script>")
    assert seen.page.evaluate("window.owned") is None


def test_a_complaint_a_request_and_a_foreign_script_are_seen(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<script>window.owned = 1; console.error('no')</script><img src='http://127.0.0.1:9/x.png'>")
    seen = Visit(browser, page)
    seen.page.wait_for_load_state()
    assert seen.page.evaluate("window.owned") == 1
    assert any("no" in text for text in seen.complaints)
    assert len(seen.requests) == 2


def test_the_policy_stops_what_escaping_would_let_through(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    one_cell(folder)
    assert report.main([str(folder)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    page = page.replace("<main>", "<main><script>window.owned = 1</script><img src='http://127.0.0.1:9/x.png'>")
    (folder / "report.html").write_text(page, encoding="utf-8")
    seen = Visit(browser, folder / "report.html").wait()
    assert seen.page.evaluate("window.owned") is None
    assert any("Content Security Policy" in text for text in seen.complaints)
    assert not any(
        url.startswith("http:") and seen.page.evaluate("document.images[0].naturalWidth") for url in seen.requests
    )


# ------------------------------------------------------------------------------------------------------- small, large


def one_eps(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(rows(0))
        writer.add(rows(0, "mismatch", "scale"))


def only_auto(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        writer.add(rows(3))
        writer.add(rows(3, "mismatch", "scale"))


def counted(cells: int) -> str:
    return f"{cells} cell{'s'[: cells != 1]}"


@pytest.mark.parametrize(
    "make", [one_cell, nothing, failures_only, skipped_only, one_eps, only_auto], ids=lambda make: make.__name__
)
def test_small_runs_have_sensible_pages(visit: Callable[..., Visit], make: Callable[[Path], None]) -> None:
    seen = visit(make)
    text = seen.page.inner_text("body")
    assert "NaN" not in text
    assert "undefined" not in text
    computed = 0 if make in (nothing, failures_only, skipped_only) else 1 if make is one_cell else 2
    cells = max(computed, int(make is not nothing))
    assert counted(cells) in text
    assert ("No cell was computed." in text) == (computed == 0)
    assert seen.page.is_visible("#problems-section") == (make in (failures_only, skipped_only))


def test_a_hundred_thousand_cells(browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large_run(tmp_path, 100_000)
    assert report.main([str(tmp_path)]) == 0
    page = tmp_path / "report.html"
    assert page.stat().st_size < 5_000_000
    taken = []
    for _ in range(3):
        seen = Visit(browser, page).wait()
        taken.append(float(seen.page.get_attribute("html", "data-ready")) / 1000)
        assert seen.complaints == []
        assert "5,000 of 100,000 cells are on this page" in seen.page.inner_text("#cells-note")
        seen.page.close()
        if taken[-1] < 8:
            break
    with capsys.disabled():
        print(f"\n100,000 cells: {page.stat().st_size / 1e6:.1f} MB, drawn in {min(taken):.2f} s", end=" ")
    # 1.5 s are what it may take on a quiet machine (`tests/benchmarks/page.py`); here other tests run beside this one
    assert min(taken) < 8
