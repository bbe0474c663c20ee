"""The weights of a cell on the page: all that is stored of them, the wrong ones first, and why some were not judged."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from constructed import VERDICTS, planned, result
from visits import Visit

import gradcheck
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.numerics.verdict import EXEMPT
from gradcheck.views import cube
from gradcheck.views.cell_view import cell_view
from gradcheck.views.charts import drawing
from gradcheck.views.layout import Table
from gradcheck.views.page import Page
from gradcheck.views.record import Record

REASONS = ("noise", "truncation", "step_vanished", EXEMPT)
NUMBERS = ("analytic", "numeric", "abs_err", "bound", "rel_err", "step")


def mixed(folder: Path) -> None:
    """Cells whose weights have every verdict and reason, in random places."""
    rng = np.random.default_rng(4)
    with Writer(folder, {}) as writer:
        for i in range(6):
            one = result(i, 12, "mismatch" if i % 2 else "match")
            verdicts = rng.choice(["match", "inconclusive", "nondifferentiable", *["mismatch"] * (i % 2)], 12).tolist()
            open_ = [verdict in ("inconclusive", "nondifferentiable") for verdict in verdicts]
            reasons = [str(rng.choice(REASONS)) if yes else None for yes in open_]
            bound = np.where(np.array(reasons) == "noise", math.inf, one.weights["bound"])
            sizes = np.maximum(np.abs(one.weights["analytic"]), np.abs(one.weights["numeric"]))
            one.weights |= {"verdict": verdicts, "reason": reasons, "bound": bound, "resolution": 2 * bound / sizes}
            one.summary |= {f"n_{name}": verdicts.count(name) for name in ("match", "mismatch", "inconclusive")}
            one.summary |= {"n_nondifferentiable": verdicts.count("nondifferentiable")}
            one.summary |= {"n_exempt": reasons.count(EXEMPT), "diagnosis": None}
            one.summary |= {"verdict": "mismatch" if "mismatch" in verdicts else "partial", "ok": False}
            cell = planned(i)
            cell.config["accept"] = 1e-3 if i % 3 else 0.0
            writer.add(cell_row(cell, one, 0.01))


def saved(seen: Visit, table: str) -> list[dict[str, str]]:
    with seen.page.expect_download() as download:
        seen.page.click(f"#{table} button:text-is('CSV')")
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))


def test_the_page_holds_of_each_weight_what_is_stored_with_the_wrong_ones_first(visit: Callable[..., Visit]) -> None:
    seen = visit(mixed)
    record = seen.record
    for i in range(6):
        seen.page.fill("#cells input", planned(i).cell)
        seen.page.click("#cells tbody tr")
        stored = record.weights(planned(i).cell)
        wrong = stored[stored["verdict"] == "mismatch"].sort_values("abs_err", ascending=False)
        order = [*wrong["flat_index"], *stored.loc[stored["verdict"] != "mismatch", "flat_index"]]
        mine, found = stored.set_index("flat_index").loc[order], saved(seen, "weights")
        accept = 1e-3 if i % 3 else 0.0
        assert [row["verdict"] for row in found] == mine["verdict"].tolist()
        assert [row["reason"] for row in found] == mine["reason"].fillna("").tolist()
        columns = {**{name: mine[name] for name in NUMBERS}, "value": mine["weight"]}
        columns["visible_from"] = mine["resolution"] + accept
        for name, expected in columns.items():
            # the page holds them in single precision
            np.testing.assert_allclose([float(row[name]) for row in found], expected, rtol=2e-6, err_msg=name)
        counts = Counter(one for one in mine["reason"].dropna() if one != EXEMPT)
        words = seen.page.inner_text("#says-weights")
        for reason, count in counts.items():
            assert f"{reason} {count}" in words
            assert f"{reason} {count}" in seen.page.inner_text("#weights-note")
        assert f"{counts.total()} weight{'s'[: counts.total() != 1]} not judged" in words
        shown = seen.column("weights", "visible from")
        assert [text == "never" for text in shown] == (mine["resolution"] + accept > 2).tolist()
        of_show = next(one for one in cell_view(record, planned(i).cell) if isinstance(one, Table))
        for k, name in enumerate(of_show.header):
            # a terminal writes each number as the page does; single precision may part in the last of six digits
            told, own = seen.column("weights", name), [str(row[k]) for row in of_show.rows]
            forms = [[re.sub("[0-9]", "0", text) for text in texts] for texts in (told, own)]
            assert forms[0] == forms[1], name
            if name in NUMBERS:
                np.testing.assert_allclose(np.array(told, float), np.array(own, float), rtol=2e-5, err_msg=name)


def test_the_table_of_cells_is_saved_with_numbers_alone_where_errors_are_visible(visit: Callable[..., Visit]) -> None:
    seen = visit(mixed)
    cells = seen.record.cells.set_index("cell")
    for row in saved(seen, "cells"):
        own = cells.loc[row["cell"]]
        for name, column in (("visible_from", "max_resolution"), ("half_visible_from", "median_resolution")):
            assert float(row[name]) == pytest.approx(own[column] + own["accept"], rel=1e-12)


def test_legends_of_verdicts_say_which_are_not_judged(tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="needs Altair: pip install 'gradcheck[charts]'")
    with Writer(tmp_path / "run", {}) as writer:
        for i, verdict in enumerate(VERDICTS):
            writer.add(cell_row(planned(i), result(i, verdict=verdict), 0.01))
    plot = gradcheck.load(tmp_path / "run").plot
    charts = (plot.histogram(), plot.weights(planned(2).cell))
    assert all(">not judged<" in drawing.svg(chart) for chart in charts)
    assert not any(">inconclusive<" in drawing.svg(chart) for chart in charts)
    assert ">not judged: kink<" in drawing.svg(plot.histogram())


def test_the_reasons_of_a_cell_are_those_of_all_its_weights_though_few_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reasons = [str(one) for one in rng.choice(REASONS, 300)]
    one = result(0, 300, "inconclusive")
    one.weights["reason"] = reasons
    one.summary["n_exempt"] = reasons.count(EXEMPT)
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), one, 0.01))
    table = Page(Record(tmp_path))._cell_table()
    told = str(table["rows"][0][table["columns"].index("diagnosis")])
    assert told.startswith(f"{300 - reasons.count(EXEMPT)} weights not judged (")
    assert all(f"{reason} {reasons.count(reason)}" in told for reason in REASONS[:3])
    assert EXEMPT not in told


@pytest.mark.parametrize("different", [3, 400])
def test_numbers_of_which_many_are_the_same_take_less_room(different: int) -> None:
    rng = np.random.default_rng(different)
    values = rng.choice(rng.normal(size=different), 1000)
    text = cube.coded(values)
    assert sum(map(len, text)) <= sum(map(len, cube.packed(values)))
    assert (len(text) == 4) == (different == 3)
