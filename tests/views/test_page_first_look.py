"""What somebody sees who opens the page for the first time: one order, one outline, one way to write a number, nothing cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from constructed import planned, result
from visits import Visit, many_axes

import gradcheck
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.verdict import OF_MANY
from gradcheck.views import cube, facets
from gradcheck.views.charts import cell_data
from gradcheck.views.matrix import matrix

WIDER = "(one) => { const at = document.querySelector(one); return at.scrollWidth > at.clientWidth + 1; }"
EXPONENT = re.compile(r"\b\d(?:\.\d+)?e[+-]\d+")


def axes(folder: Path) -> None:
    many_axes(folder, seed=5, functions=True)


def checked(folder: Path) -> None:
    """A grid that was really computed: steps over many decades, two dtypes, two schemes, two seeds."""
    grid = ["bug=none,scale,sign_flip", "scheme=central,forward", "dtype=float32,float64", "eps=1e-2,1e-4,1e-6,1e-8"]
    where = [f"hydra.sweep.dir={folder}", "engine=serial", "fail_on=never"]
    gradcheck.run_experiment([*grid, "data.seed=0,1", *where], multirun=True)


def many_seeds(folder: Path) -> None:
    """More seeds of the data than a drop-down holds, a few of the weights, and verdicts of every kind."""
    with Writer(folder, {}) as writer:
        for i in range(4 * (facets.MOST_CHOICES + 5)):
            bug = ["none", "scale"][i % 2]
            cell = planned(i, bug)
            cell.config["init"] |= {"seed": i % 3}
            writer.add(cell_row(cell, result(i, 3, ["match", "mismatch", "inconclusive"][i % 3], bug), 0.01))


# ---------------------------------------------------------------------------------------------------------- one order


@pytest.mark.parametrize("seed", range(10))
def test_cells_stand_in_the_order_in_which_they_deserve_a_look(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    cells = pd.DataFrame(
        {
            "bug": rng.choice(["none", "scale"], n),
            "eps": rng.choice([1e-2, 1e-4, np.nan], n),
            "model": rng.choice(["mlp", "function"], n, p=[0.8, 0.2]),
            "verdict": rng.choice(OF_MANY, n),
            "status": rng.choice(["ok", "failed", "skipped"], n, p=[0.8, 0.1, 0.1]),
            "max_rel_err": rng.random(n),
            "n_missed": rng.integers(0, 2, n),
            "diagnosis_kind": rng.choice(["sign_flip", "unknown", None], n),
            "n_match": rng.integers(0, 4, n),
            "n_mismatch": rng.integers(0, 4, n),
            "n_weights": 6,
        }
    ).assign(bug_injected=lambda frame: frame["bug"] != "none")
    told = truths(cells)
    ordered = cells.assign(told=told).iloc[cell_data.looked_at(cells, told)]
    assert sorted(ordered.index) == list(range(n))

    def group(row: Any) -> int:
        if row.status != "ok":
            return 8 if row.status == "failed" else 9
        if row.told in (Truth.FALSE_ALARM, Truth.MISSED, Truth.CAUGHT):
            return {Truth.FALSE_ALARM: 0, Truth.MISSED: 2, Truth.CAUGHT: 3}[Truth(row.told)]
        if row.verdict == "mismatch":  # of somebody's own function
            return 3 if row.bug_injected else 1
        return {"partial": 4, "inconclusive": 5, "nondifferentiable": 5, "match": 6}[row.verdict]

    found = [group(row) for row in ordered.itertuples()]
    assert found == sorted(found)
    # a mistake with a name comes first, if there is one; of these the cell most of whose weights were judged
    wrong = ordered[(ordered["verdict"] == "mismatch") & (ordered["status"] == "ok")]
    for _, some in wrong.groupby([group(row) for row in wrong.itertuples()]):
        how = [(row.diagnosis_kind == "sign_flip", row.n_match + row.n_mismatch) for row in some.itertuples()]
        assert some["told"].iloc[0] == Truth.MISSED or how[0] == max(how)  # other verdicts are among the missed


def test_the_first_cell_of_the_table_is_the_one_that_is_shown(visit: Callable[..., Visit]) -> None:
    seen, rng = visit(axes), np.random.default_rng(2)
    record = seen.record
    keys = [key for key in cube.combinations(record.cells, truths(record.cells)).keys if key["swept"]]
    rank = {
        "mismatch": 0,
        "partial": 1,
        "inconclusive": 2,
        "nondifferentiable": 2,
        "match": 3,
        "failed": 4,
        "skipped": 5,
    }
    for choice in [None, ("bug", 0), *((keys[int(rng.integers(len(keys)))]["name"], 1) for _ in range(2))]:
        if choice:
            key = next(one for one in keys if one["name"] == choice[0])
            seen.choose(key["title"], key["values"][choice[1]])
        cells, outcomes = seen.column("cells", "cell"), seen.column("cells", "outcome")
        lost = (record.cells["bug"] != "none") & (record.cells["n_missed"].fillna(0) > 0)
        missed = set(record.cells["cell"][lost])
        own = [rank[outcome] for cell, outcome in zip(cells, outcomes, strict=True) if cell not in missed]
        assert own == sorted(own)
        assert seen.page.inner_text("#find-cell") == cells[0]
        with seen.answered():
            seen.page.click("#filters button") if choice else seen.page.evaluate("location.hash = 'at.bug=none'")


# -------------------------------------------------------------------------------------------------- one outline, status


def test_the_square_of_the_cell_that_is_shown_is_outlined(visit: Callable[..., Visit]) -> None:
    seen = visit(axes)
    for row in (None, 3, 17):
        if row is not None:
            seen.page.locator("#cells tbody tr").nth(row).click()
        assert seen.page.locator("#chart-detection .shown").count() == 1
        told, note = seen.page.inner_text("#at"), seen.page.inner_text("#weights-note")
        bug, eps = told.removeprefix("Outlined, of the cell below: ").split(", ")[:2]
        assert f": {bug}, {eps.split(':')[0]}, " in note
        seen.page.evaluate("document.querySelector('#chart-detection .shown').scrollIntoView({ block: 'center' })")
        box = seen.page.locator("#chart-detection .shown").bounding_box()
        assert box
        seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert seen.page.inner_text("#tip") == told.removeprefix("Outlined, of the cell below: ")
    again = visit(axes, address=seen.page.evaluate("location.hash"))
    assert again.page.inner_text("#at") == told  # what was said is said after a reload


def test_a_chosen_cell_comes_into_view_and_has_the_focus(visit: Callable[..., Visit]) -> None:
    top = "document.querySelector('#weights-heading').getBoundingClientRect().top"
    for motion in ("reduce", "no-preference"):
        seen = visit(axes, reduced_motion=motion)
        seen.page.evaluate("scrollTo(0, 0)")
        seen.page.locator("#cells tbody tr").nth(2).focus()
        seen.page.keyboard.press("Enter")
        if motion == "reduce":  # at once
            assert 0 <= seen.page.evaluate(top) < 300
        seen.page.wait_for_function(f"() => {top} >= 0 && {top} < 300")
        assert seen.page.evaluate("document.activeElement.id") == "weights-heading"
    other = visit(axes, address=seen.page.evaluate("location.hash"))
    other.page.wait_for_function(f"() => {top} >= 0 && {top} < 300 && document.activeElement.id === 'weights-heading'")
    assert visit(axes, address="#dtype=float32").page.evaluate("scrollY") == 0


def test_an_address_is_understood_in_the_words_of_a_run(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    for typed, shown in {
        "bug=none": {"bug": "no bug"},
        "eps=1e-4&dtype=float32": {"eps": "1e-04", "dtype": "float32"},
        "eps=0.0001": {"eps": "1e-04"},
        "data.seed=1": {"data.seed": "1"},
        "data_seed=0&eps=1e-08": {"data.seed": "0", "eps": "1e-08"},
    }.items():
        with seen.answered():
            seen.page.evaluate("(hash) => { location.hash = hash; }", typed)
        assert "Not understood" not in seen.page.inner_text("#chosen"), typed
        assert {key: set(seen.column("cells", key)) for key in shown} == {key: {one} for key, one in shown.items()}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("bug=nonsense&eps=7", "bug=nonsense (there are 'none', 'scale', 'sign_flip'); eps=7 (there are '1e-02',"),
        ("dtyp=float32", "dtyp=float32 (no such key; there are 'bug', 'eps',"),
        ("model=mlp", "model=mlp (there is 'logistic')"),
        ("cell=12", "cell=12 (no such cell on this page)"),
        ("eps=1e-4&eps=1e-2", "eps=1e-4 (eps is given again: the last one holds)"),
        ("at.bug=x", "at.bug=x (there are 'none'"),
        ("x" * 200, f"{'x' * 59}… (no such key"),
    ],
)
def test_what_was_not_understood_of_an_address_is_said(visit: Callable[..., Visit], typed: str, told: str) -> None:
    seen = visit(checked)
    with seen.answered():
        seen.page.evaluate("(hash) => { location.hash = `dtype=float64&${hash}`; }", quote(typed, safe="=&"))
    said = seen.page.inner_text("#chosen")
    assert f"Not understood in the address: {told}" in said
    assert said.startswith(
        "float64, eps 1e-02: 12 cells." if "eps=1e-2" in typed else "float64: 48 cells."
    )  # what was understood holds
    seen.choose("scheme", "central")
    assert "Not understood" not in seen.page.inner_text("#chosen")


def test_a_cell_of_the_address_that_is_not_among_the_chosen_ones_is_said(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    cells = seen.record.cells
    for dtype in ("float32", "float64"):
        for cell in cells.loc[cells["dtype"] == "float32", "cell"].head(2):
            with seen.answered():
                seen.page.evaluate("(hash) => { location.hash = hash; }", f"dtype={dtype}&cell={cell}")
            said = f"cell={cell} (this cell has other values than those chosen)" in seen.page.inner_text("#chosen")
            assert said == (dtype == "float64")
            assert (seen.page.inner_text("#find-cell") == cell) == (dtype == "float32")


# ---------------------------------------------------------------------------------------------------------- the numbers


def test_steps_stand_in_the_order_of_a_terminal_and_are_written_in_one_way(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    record = seen.record
    assert seen.page.evaluate("cube.detection(cube.chosen({})).stepNames") == matrix(record.cells).columns
    told = seen.page.inner_text("main") + " ".join(seen.page.locator("svg text").all_text_contents())
    commands = seen.page.inner_text("#commands") + seen.page.inner_text("#provenance")  # these are as they were typed
    told = told.replace(seen.page.inner_text("#commands"), "").replace(seen.page.inner_text("#provenance table"), "")
    found = EXPONENT.findall(told)
    assert len(found) > 50
    assert [text for text in found if not re.search(r"e[+-]\d\d", text)] == []
    assert [text for text in EXPONENT.findall(commands) if not re.search(r"e[+-]\d\d", text)] != []


def test_an_axis_of_decades_names_whole_ones_evenly(visit: Callable[..., Visit]) -> None:
    seen, rng = visit(checked), np.random.default_rng(0)
    n = seen.page.locator("#cells tbody tr").count()
    ticks = """() => [...document.querySelectorAll('#chart-weights svg, #chart-v_curve svg')].flatMap((svg) =>
        [...svg.querySelectorAll('.role-axis-label')].map((axis) => [...axis.querySelectorAll('text')].filter(
            (one) => one.style.opacity !== '0' && one.getAttribute('opacity') !== '0').map((one) => one.textContent)))"""
    for row in rng.choice(n, 6, replace=False):
        seen.page.locator("#cells tbody tr").nth(int(row)).click()
        cell = seen.page.inner_text("#find-cell")
        seen.page.wait_for_function("(cell) => location.hash.includes(cell)", arg=cell)
        logs = [
            axis for axis in seen.page.evaluate(ticks) if axis and all(re.fullmatch(r"1e[+-]\d\d", one) for one in axis)
        ]
        assert len(logs) >= 3
        for axis in logs:
            assert len(axis) >= 2
            powers = sorted(int(one[2:]) for one in axis)
            assert len({b - a for a, b in itertools.pairwise(powers)}) == 1, axis


def test_no_mark_of_a_weight_sits_on_the_frame(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    inside = """() => {
        const svg = document.querySelector('#chart-weights svg');
        const frame = svg.querySelector('.role-scope > g > .background').getBoundingClientRect();
        const marks = [...svg.querySelectorAll('.mark-symbol.role-mark path')].map((one) => one.getBoundingClientRect());
        return marks.filter((one) => one.top < frame.bottom && one.bottom > frame.top)
            .map((one) => Math.min(one.top - frame.top, frame.bottom - one.bottom)); }"""
    for row in range(0, 40, 9):
        seen.page.locator("#cells tbody tr").nth(row).click()
        gaps = seen.page.evaluate(inside)
        assert len(gaps) >= 6
        assert min(gaps) >= 1


def test_squares_of_correct_gradients_have_a_legend_with_the_numbers_of_the_run(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    cells = seen.record.cells
    own = cells[(cells["bug"] == "none") & (cells["verdict"] != "mismatch")]
    not_ok = int((~own["ok"].astype(bool)).sum())
    assert not_ok
    legend = seen.page.locator("#chart-detection svg text").all_text_contents()
    assert {f"{len(own) - not_ok} not accused", f"{not_ok} not judged enough"} <= set(legend)
    assert seen.page.locator("#chart-detection svg path.share-5").count() >= 1
    assert f"{len(cells)} computed" in seen.page.inner_text("#heading")
    assert " ok (" not in seen.page.inner_text("#heading")
    assert sum(map(int, seen.column("verdicts", "not ok"))) == not_ok
    assert not [text for text in legend if text.startswith("0 ")]  # nothing that is not there


# ------------------------------------------------------------------------------------------------------ filters, widths


def test_every_seed_that_was_swept_has_a_filter_or_is_said_to_have_none(visit: Callable[..., Visit]) -> None:
    seen = visit(checked)
    said = "Each square takes all values of data.seed together."
    assert said in seen.page.inner_text("#detection-figure figcaption")
    seen.choose("data.seed", "1")
    assert set(seen.column("cells", "data.seed")) == {"1"}
    cells = seen.record.cells
    told = seen.page.inner_text("#chosen")
    assert f"data.seed 1: {int((cells['data_seed'] == 1).sum())} cells." in told
    assert said not in seen.page.inner_text("#detection-figure figcaption")
    assert "varied data.seed: 0, 1" in repr(gradcheck.load(str(Path(seen.requests[0].removeprefix("file://")).parent)))
    many = visit(many_seeds)
    drop = many.page.locator("#filters select").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert "init.seed" in drop
    assert "data.seed" not in drop
    assert "data.seed has 55 values, too many for a drop-down" in many.page.inner_text("#together")


def test_what_a_filter_leaves_takes_the_whole_width_and_legends_name_nothing_else(visit: Callable[..., Visit]) -> None:
    seen = visit(checked, viewport={"width": 1400, "height": 900})
    right = """(id) => Math.max(...[...document.querySelectorAll(`#${id} svg path`)].map(
        (one) => one.getBoundingClientRect().right))"""
    for key, value in (("dtype", "float64"), ("scheme", "central"), ("bug", "no bug"), ("eps", "1e-04")):
        seen.choose(key, value)
        width = seen.page.evaluate("document.querySelector('main').getBoundingClientRect().right")
        for name in ("detection", "v_curve", "histogram"):
            assert seen.page.evaluate(right, f"chart-{name}") > width - 60, (name, key)
    assert seen.page.locator("#chart-v_curve .role-legend-label text").all_text_contents() == [
        *("central", "observed error", "bound")
    ]
    verdicts = set(seen.column("verdicts", "bug"))
    assert verdicts == {"no bug"}
    named = set(seen.page.locator("#chart-histogram .role-legend-label text").all_text_contents())
    drawn = "cube.histogram(cube.chosen({bug: 0, dtype: 1, scheme: 0, eps: 1})).map((one) => one.verdict)"
    assert named == set(seen.page.evaluate(drawn))


def test_what_is_the_same_in_every_cell_is_said_once(visit: Callable[..., Visit]) -> None:
    seen = visit(checked, viewport={"width": 1400, "height": 900})
    heads = seen.page.locator("#cells th").all_inner_texts()
    assert "model" not in heads
    assert "n weights" not in heads
    assert seen.page.inner_text("#same") == "The same in every cell: model logistic, n weights 6."
    assert "logistic" in seen.page.inner_text("#weights-note")
    assert seen.page.evaluate(WIDER, "#cells .scroll") is False
    assert "model" not in seen.page.locator("#verdicts th").all_inner_texts()


def test_what_is_wider_than_a_small_screen_says_so_and_scrolls_by_keyboard(visit: Callable[..., Visit]) -> None:
    seen = visit(checked, viewport={"width": 390, "height": 844})
    found = seen.page.evaluate(
        """() => [...document.querySelectorAll('.table')].filter((one) => one.checkVisibility()).map((one) => {
            const scroll = one.querySelector('.scroll'), hint = Boolean(one.querySelector('.hint').offsetParent);
            const marked = one.querySelector('.around').classList.contains('wider');
            const role = scroll.getAttribute('role');
            return [one.id, scroll.scrollWidth > scroll.clientWidth + 1, scroll.tabIndex, role, hint, marked]; })"""
    )
    wider = [one for one in found if one[1]]
    assert {one[0] for one in wider} >= {"cells", "weights", "verdicts"}
    for name, _, stop, role, hinted, marked in wider:
        assert (stop, role, hinted, marked) == (0, "region", True, True), name
    seen.page.focus("#weights .scroll")
    for _ in range(40):
        seen.page.keyboard.press("ArrowRight")
    seen.page.wait_for_function("() => document.querySelector('#weights .scroll').scrollLeft > 0")
    seen.page.evaluate("document.querySelector('#weights .scroll').scrollLeft = 10000")
    seen.page.wait_for_function("() => !document.querySelector('#weights .around').classList.contains('wider')")
    assert seen.page.evaluate(WIDER, "#commands") is False
