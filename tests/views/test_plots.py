"""Charts of runs, their figures, the command that writes them, and what is said of runs that cannot be read."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructed import failures_only, hostile_run, nothing, one_cell, planned, result, rewrite, rows, skipped_only
from visits import many_axes

import gradcheck
from gradcheck import report, show
from gradcheck.errors import BadInput
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import Truth, truths
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.views import again, citation, facets, page, paper, words
from gradcheck.views.charts import cell_data, drawing, weight_data
from gradcheck.views.charts.theme import scheme_colours
from gradcheck.views.record import Record
from gradcheck.views.runs import load

pytest.importorskip("altair", reason="needs Altair: pip install 'gradcheck[charts]'")
CHARTS = ("detection", "v_curve", "rules", "histogram", "weights")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    with Writer(folder, {"gradcheck": "9.9", "overrides": ["bug=none,scale", "data.n=3"]}) as writer:
        for i in range(12):
            writer.add(rows(i))
            writer.add(rows(i, "mismatch" if i % 3 else "match", "scale"))
    return folder


# ------------------------------------------------------------------------------------------------------------- figures


def test_the_v_curve_is_the_median_over_correct_gradients(run: Path) -> None:
    found = cell_data.v_points(load(run).cells)
    assert {row["eps"] for row in found} == {1e-4, 1e-5, 1e-6, None}
    errors = [result(i).summary["median_rel_err"] for i in (1, 5, 9)]
    bounds = [result(i).summary["median_resolution"] / 2 for i in (1, 5, 9)]
    value = {row["what"]: row["value"] for row in found if row["eps"] == 1e-5}
    assert value == {"observed error": np.median(errors), "bound": np.median(bounds)}


def test_an_error_within_the_bound_lies_below_it_on_the_chart() -> None:
    """rel_err <= bound / max(|a|, |n|) = resolution / 2 whenever abs_err <= bound: |a| + |n| >= max(|a|, |n|)."""
    rng = np.random.default_rng(0)
    a, n = rng.normal(size=(2, 1000))
    bound = np.abs(a - n) * rng.uniform(1, 3, 1000)
    rel_err, resolution = np.abs(a - n) / (np.abs(a) + np.abs(n)), 2 * bound / np.maximum(np.abs(a), np.abs(n))
    assert np.all(rel_err <= resolution / 2)


def test_detection_counts_what_was_caught_by_bug_and_step(run: Path) -> None:
    found = {(row["bug"], row["eps"], row["what"]): row for row in cell_data.squares(load(run).cells)}
    steps = ("1e-04", "1e-05", "1e-06", "auto")
    for what, count in (("caught", 2), ("cannot be told", 1)):
        assert {key: (row["count"], row["cells"]) for key, row in found.items() if key[2] == what} == {
            ("scale", eps, what): (count, 3) for eps in steps
        }
    assert [(key[1], row["count"], row["end"]) for key, row in found.items() if key[0] == "no bug"] == [
        (eps, 0, 1.0) for eps in steps
    ]
    assert found["scale", "auto", "caught"]["end"] == found["scale", "auto", "cannot be told"]["start"] == 2 / 3
    assert found["scale", "auto", "caught"]["says"] == "3 cells: 2 caught, 1 cannot be told, 0 missed"


def test_panels_and_filters_are_those_of_the_cells(tmp_path: Path) -> None:
    many_axes(tmp_path, seed=5)
    cells = load(tmp_path).cells
    for row, column, where in (
        ([], ["dtype"], {}),
        (["scheme"], ["dtype"], {"model": "mlp"}),
        (["data_n", "scheme"], [], {}),
    ):
        kept = facets.chosen(cells, where, "plot")
        assert len(kept) == (len(cells) if not where else (cells["model"] == "mlp").sum())
        expected = paper.squares(kept, [*row, *column])
        found = cell_data.squares(kept, row, column)
        counts: dict[Any, int] = {}
        for one in found:
            counts[one["what"]] = counts.get(one["what"], 0) + one["count"]
        for what, name in (("caught", "caught"), ("missed", "missed"), ("false alarm", "false_alarms")):
            assert counts.get(what, 0) == expected[name].sum()
        panels = kept.loc[kept["status"] == "ok", [*row, *column]].drop_duplicates()
        assert len({(one["row"], one["column"]) for one in found}) == len(panels)
        assert len({(one["row"], one["column"], one["bug"], one["eps"]) for one in found}) == len(expected)


def test_what_follows_from_another_key_and_seeds_make_no_panels(tmp_path: Path) -> None:
    with Writer(tmp_path, {}) as writer:
        for i, (scheme, bug) in enumerate(itertools.product(["central", "forward"], ["none", "scale", "sign_flip"])):
            cell = planned(i, bug)
            cell.config |= {"scheme": scheme, "accept": 0.1 * (scheme == "forward")}
            cell.config["data"] |= {"seed": i}
            writer.add(cell_row(cell, result(i, bug=bug), 0.0))
    cells = load(tmp_path).cells
    assert cells["bug_magnitude"].nunique(dropna=False) > 1  # it follows from the bug
    assert facets.swept(cells) == ["scheme"]
    assert facets.panels(cells) == ([], ["scheme"])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda plot: plot.detection(row="shceme"), "plot.detection: row='shceme': no such column; try scheme"),
        (lambda plot: plot.rules(dtype="float16"), "plot.rules: no cell has dtype='float16'; there are float64"),
        (lambda plot: plot.v_curve(epps=1), "plot.v_curve='epps': no such column; try eps"),
        (lambda plot: plot.histogram(column="dtype"), "plot.histogram: no column here: its panels are what is known"),
        (
            lambda plot: plot.histogram(dtype="float16"),
            "plot.histogram: no cell has dtype='float16'; there are float64",
        ),
        (lambda plot: plot.histogram(run="a"), "plot.histogram: 'run' is no filter here: load one run"),
        (lambda plot: plot.weights(planned(3).cell, param="Q"), "plot.weights: no cell has param='Q'; there are W, b"),
    ],
)
def test_a_wrong_panel_or_filter_is_said_in_a_line(run: Path, call: Any, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        call(gradcheck.load(run).plot)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_key_is_taken_by_each_of_its_two_names(tmp_path: Path) -> None:
    large_grid(tmp_path)
    plot = gradcheck.load(tmp_path).plot
    for kept, column in ((7, "data_d"), (8, "init_seed")):
        typed = plot.detection(column=words.column(column), **{"data.seed": kept})
        assert drawing.svg(typed) == drawing.svg(plot.detection(column=column, data_seed=kept))
    with pytest.raises(BadInput, match=r"'data\.sed': no such column"):
        plot.detection(**{"data.sed": 1})


def test_a_filter_leaves_the_weights_of_its_cells_in_the_histogram(run: Path) -> None:
    plot = gradcheck.load(run).plot

    def weights(**where: object) -> int:
        return sum(one["weights"] for one in plot.histogram(**where).to_dict()["data"]["values"])

    each = [weights(bug=bug) for bug in ("none", "scale")]
    assert min(each) > 0
    assert sum(each) == weights()
    assert weights(verdict="mismatch") + weights(verdict="match") == weights()


def test_numbers_of_a_paper_have_the_words_of_its_legends_and_infinite_bounds(tmp_path: Path) -> None:
    one = result(0, verdict="inconclusive")
    bounds = one.weights["bound"]
    one.weights |= {"bound": [np.inf, *list(bounds)[1:]]}
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), one, 0.0))
    record, counted = Record(tmp_path), weight_data.ErrorCounts()
    for table in record.tables(weight_data.ERROR_COLUMNS):
        counted.add(table)
    made = paper.figures(record, counted.rows(), planned(0).cell)
    for name in ("histogram", "weights"):
        assert set(made[name].numbers["verdict"]) == {words.NOT_JUDGED}
    written = made["weights"].numbers["bound"].to_numpy(float)
    assert written[0] == np.inf
    assert np.array_equal(written[1:], np.asarray(bounds, dtype=float)[1:])
    assert ",inf," in paper.as_csv(made["weights"].numbers)


def large_grid(folder: Path) -> None:
    with Writer(folder, {}) as writer:
        grid = itertools.product(("none", "scale"), ("central", "forward"), (1, 2), range(2), range(4))
        for k, (bug, scheme, d, seed, i) in enumerate(grid):
            made = rows(i, "mismatch" if bug != "none" else "match", bug)
            changed = {"scheme": scheme, "data_n": 10 * d, "data_d": d, "init_seed": seed, "data_seed": 7 + seed}
            writer.add(made._replace(cell=made.cell | changed | {"cell": f"{k:016x}"}))


def test_runs_say_what_they_are(run: Path, tmp_path: Path) -> None:
    runs = gradcheck.load(run)
    text = repr(runs)
    assert text.splitlines()[:2] == [
        "Runs: 24 cells (24 computed)",
        "No false alarm. 8 of 12 planted bugs caught, 4 could not be told, 0 missed.",
    ]
    assert "varied bug: no bug, scale" in text
    expected = []  # in each square what was caught, and of correct gradients what was accused and what is not ok
    for (bug, _), some in runs.cells.fillna({"eps": 0}).sort_values("eps", ascending=False).groupby(["bug", "eps"]):
        wrong, lacking = (some["verdict"] == "mismatch").mean(), (~some["ok"].astype(bool)).mean()
        few = f"?{100 * lacking:.0f}" if bug == "none" and lacking else ""
        expected.append(f"{100 * wrong:.0f}{few}")
    assert sorted(re.findall(r"<td>([^<]*)</td>", runs._repr_html_())) == sorted(expected)
    hostile_run(tmp_path / "hostile")
    tags = Scripts(gradcheck.load(tmp_path / "hostile")._repr_html_()).tags
    assert set(tags) <= {"div", "p", "strong", "br", "table", "thead", "tbody", "tr", "th", "td"}
    large_grid(tmp_path / "grid")
    for shown in (repr(gradcheck.load(tmp_path / "grid")), gradcheck.load(tmp_path / "grid")._repr_html_()):
        for line in (
            "varied eps: 1e-04, 1e-05, 1e-06, auto",
            "varied scheme: central, forward",
            "varied data.n: 10, 20",
            "varied init.seed: 0, 1",
            "varied data.seed: 7, 8",  # with init.seed
            "varied data.d: 1, 2",  # with data.n
        ):
            assert line in shown
    cells = re.findall(r"<t[hd]>([^<]*)</t[hd]>", shown)
    assert {"eps 1e-04", "eps auto", "central, data.n=10", "forward, data.n=20", "no bug", "scale"} <= {*cells}
    nothing(tmp_path / "nothing")
    assert "No cell was computed." in repr(gradcheck.load(tmp_path / "nothing"))
    assert "No cell was computed." in gradcheck.load(tmp_path / "nothing")._repr_html_()


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ([1e-6, 1e-4], ["1e-04", "1e-06"]),
        ([10**-5.5, 1e-5], ["1e-05", "3e-06"]),
        ([1.01e-5, 1.04e-5], ["1.04e-05", "1.01e-05"]),
        (list(10 ** np.linspace(-3, -1, 50)), ["1e-01 …", "1e-02 …", "1e-03 …"]),
    ],
)
def test_steps_are_named_shortly_but_apart(steps: list[float], labels: list[str]) -> None:
    found = cell_data.eps_labels(pd.DataFrame({"eps": [*steps, None]}), words.names(steps, ()))
    assert list(dict.fromkeys(found.values())) == [*labels, "auto"]


def test_the_histogram_holds_every_weight_once(run: Path) -> None:
    runs = load(run)
    table = runs.errors.to_table().to_pandas()
    counted = weight_data.ErrorCounts()
    for piece in runs.tables(weight_data.ERROR_COLUMNS):
        counted.add(piece.slice(0, 7))
        counted.add(piece.slice(7))
    found = pd.DataFrame(counted.rows())
    assert found["weights"].sum() + counted.apart["zero"] == len(table)
    for row in found.itertuples():
        inside = (table["rel_err"] >= row.low) & (table["rel_err"] < row.high) & (table["verdict"] == row.verdict)
        assert row.weights == (inside & ((table["bug"] != "none") == (row.kind == "planted"))).sum()
        assert row.end - row.start == row.weights


def test_odd_numbers_are_counted_apart(tmp_path: Path) -> None:
    odd = result(0)
    odd.weights["rel_err"][:3] = float("nan"), 0.0, float("inf")
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), odd, 0.0))
    counted = weight_data.ErrorCounts()
    for piece in load(tmp_path).tables(weight_data.ERROR_COLUMNS):
        counted.add(piece)
    assert counted.apart == {"zero": 1, "not_a_number": 1}
    assert sum(row["weights"] for row in counted.rows()) == 3


def test_of_many_weights_those_furthest_beyond_their_bound_are_kept(tmp_path: Path) -> None:
    many = result(0, n_weights=300)
    many.weights["abs_err"][[17, 250]] = 1.0, 2.0
    with Writer(tmp_path, {}) as writer:
        writer.add(cell_row(planned(0), many, 0.0))
        writer.add(rows(1))
    chosen = weight_data.Chosen([planned(0).cell])
    for piece in Record(tmp_path).tables(weight_data.DRAWN_COLUMNS):
        for start in range(0, piece.num_rows, 50):
            chosen.add(piece.slice(start, 50))
    drawn = chosen.frame()
    assert chosen.counts.tolist() == [300]
    assert len(drawn) == weight_data.DRAWN_WEIGHTS
    assert {17, 250} <= set(drawn["flat_index"])
    share = many.weights["abs_err"] / many.weights["bound"]
    assert set(drawn["flat_index"]) == set(np.argsort(-share)[: weight_data.DRAWN_WEIGHTS].tolist())


def test_what_went_wrong_deserves_the_first_look(run: Path) -> None:
    cells = load(run).cells
    ordered = cells.iloc[cell_data.interesting(cells, truths(cells))]
    assert len(ordered) == 24
    squares = ordered.head(8)[["bug", "eps"]].drop_duplicates()
    assert len(squares) == 8  # one from each square before a second from any
    caught = ordered.head(4)
    assert set(caught["bug"]) == {"scale"}
    assert set(caught["verdict"]) == {"mismatch"}
    assert set(ordered.iloc[4:8]["verdict"]) == {"match"}
    groups = np.arange(24) % 5
    first = cell_data.interesting(cells, truths(cells), groups)[:5]
    assert sorted(groups[first]) == [0, 1, 2, 3, 4]  # one of each group before a second of any


# -------------------------------------------------------------------------------------------------------------- charts


def test_charts_of_a_loaded_run_are_altair_charts(run: Path) -> None:
    import altair as alt

    plot = gradcheck.load(run).plot
    made = [plot.v_curve(), plot.detection(), plot.rules(), plot.histogram(), plot.weights(planned(3).cell)]
    assert all(isinstance(chart, alt.TopLevelMixin) for chart in made)
    for chart in made:
        assert drawing.svg(chart).startswith("<svg")
    with pytest.raises(ValueError, match="no weights of a cell 'zz'"):
        plot.weights("zz")


def test_a_scheme_has_its_colour_whatever_other_runs_hold(tmp_path: Path) -> None:
    for name, schemes in (("a", ["central"]), ("b", ["forward", "richardson", "central"])):
        with Writer(tmp_path / name, {}) as writer:
            for i, scheme in enumerate(schemes):
                cell = planned(i)
                cell.config["scheme"] = scheme
                writer.add(cell_row(cell, result(i), 0.0))
    chart = drawing.svg(gradcheck.load([tmp_path / "a", tmp_path / "b"]).plot.v_curve())
    marks = re.findall(r'fill="(#\w{6})"', chart)
    colours = scheme_colours()
    assert len(set(colours.values())) == len(SCHEMES)
    assert {colours[scheme] for scheme in ("central", "forward", "richardson")} <= set(marks)


def test_the_legend_of_squares_shows_each_sign_as_the_squares_have_it(tmp_path: Path) -> None:
    verdicts = {"scale": ["mismatch", "match", "inconclusive"], "none": ["mismatch", "match", "inconclusive"]}
    with Writer(tmp_path / "run", {}) as writer:
        for bug, own in verdicts.items():
            for i, verdict in enumerate(own):
                writer.add(cell_row(planned(4 * i, bug), result(4 * i, verdict=verdict, bug=bug), 0.0))
    drawn = drawing.svg(gradcheck.load(tmp_path / "run").plot.detection())
    symbols = re.findall(r'role-legend-symbol".*?<path [^>]*d="([^"]*)".*?role-legend-label".*?>([^<>]+)</text>', drawn)
    shapes = {label: path for path, label in symbols}
    assert {"caught", "cannot be told", "false alarm"} <= set(shapes)
    assert [shapes["caught"].count("M"), shapes["cannot be told"].count("M"), shapes["false alarm"].count("M")] == [
        1,
        4,
        2,
    ]


def test_several_runs_stand_under_each_other(run: Path, tmp_path: Path) -> None:
    one_cell(tmp_path / "other")
    runs = gradcheck.load([run, tmp_path / "other"])
    assert set(runs.cells["run"]) == {str(run), str(tmp_path / "other")}
    for chart in (runs.plot.v_curve(), runs.plot.detection()):
        shown = {facets.value_label("run", str(one)) for one in (run, tmp_path / "other")}
        named = chart.to_dict()["facet"]["row"]["header"]["labelExpr"].removesuffix("[datum.value]")
        assert set(json.loads(named)) == shown
    assert len(runs.weights(planned(0).cell)) == 12  # of both
    assert len(weight_data.drawn_weights(runs.weights(planned(0).cell))) == 6


def test_loaded_columns_have_tidy_types(run: Path) -> None:
    cells = gradcheck.load(run).cells
    assert str(cells["n_weights"].dtype) == "Int64"
    assert str(cells["bug_injected"].dtype) == str(cells["rule_scipy"].dtype) == "boolean"
    assert str(cells["eps"].dtype) == str(cells["max_rel_err"].dtype) == "float64"
    assert pd.api.types.is_string_dtype(cells["verdict"]) or cells["verdict"].dtype == object
    weights = gradcheck.load(run).weights(planned(3).cell)
    assert str(weights["flat_index"].dtype) == "Int64"
    assert weights["flat_index"].tolist() == list(range(6))
    empty = gradcheck.load(run).cells.iloc[:0]
    assert (empty.dtypes == cells.dtypes).all()


def test_altair_is_imported_only_when_a_chart_is_made(run: Path) -> None:
    code = (
        "import sys, gradcheck; runs = gradcheck.load(sys.argv[1]); plot = runs.plot; print('altair' in sys.modules);"
        "plot.v_curve(); print('altair' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_without_altair_a_line_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    assert report.main([str(run)]) == 2
    assert capsys.readouterr().err == "gradcheck: charts need Altair and vl-convert: pip install 'gradcheck[charts]'\n"
    with pytest.raises(ValueError, match=re.escape("pip install 'gradcheck[charts]'")):
        gradcheck.load(run).plot.v_curve()


# ------------------------------------------------------------------------------------------------------------- command


def test_the_report_and_its_figures_are_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "paper" / "figures"
    assert report.main([str(run), "--out", str(tmp_path / "page.html"), "--figures", str(figures)]) == 0
    assert {path.name for path in figures.iterdir()} == {f"{name}.{kind}" for name in CHARTS for kind in ("svg", "png")}
    for name in CHARTS:
        svg = (figures / f"{name}.svg").read_text(encoding="utf-8")
        assert 'fill="#ffffff"' in svg
        picture = (figures / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        width = float(re.search(r'width="([\d.]+)"', svg)[1])  # type: ignore[index]
        assert int.from_bytes(picture[16:20], "big") == pytest.approx(width * 300 / 72, abs=2)  # 300 dots an inch
    assert len(capsys.readouterr().out.splitlines()) == 11
    assert report.main([str(run)]) == 0
    assert (run / "report.html").read_bytes() == (tmp_path / "page.html").read_bytes()
    assert sorted(path.name for path in run.iterdir()) == ["cells", "errors", "report.html"]


def test_a_paper_has_figures_captions_numbers_and_a_citation(tmp_path: Path) -> None:
    many_axes(tmp_path / "run", seed=7)
    folder = tmp_path / "paper"
    assert report.main([str(tmp_path / "run"), "--paper", str(folder)]) == 0
    kinds = ("svg", "png", "txt", "csv")
    assert {path.name for path in folder.iterdir()} == {"gradcheck.bib"} | {f"{n}.{k}" for n in CHARTS for k in kinds}
    cells = load(tmp_path / "run").cells
    done = cells[cells["status"] == "ok"]
    squares = pd.read_csv(folder / "detection.csv")
    assert squares["cells"].sum() == len(done)
    assert squares["caught"].sum() == (truths(done) == Truth.CAUGHT).sum()
    shares = [
        "caught",
        "cannot_be_told",
        "missed",
        "false_alarms",
        "mismatch_truth_unknown",
        "not_judged_enough",
        "not_accused",
    ]
    assert (squares[shares].sum(axis=1) == squares["cells"]).all()
    assert set(squares["bug"]) == {"no bug", *done["bug"]} - {"none"}
    one = squares.iloc[-1]
    own = done[(done["bug"] == one["bug"]) & (done["scheme"] == one["scheme"]) & (done["dtype"] == one["dtype"])]
    own = own[(own["model"] == one["model"]) & (own["data_n"] == one["data.n"])]
    own = own[own["eps"].isna() if one["eps"] == "auto" else own["eps"] == float(one["eps"])]
    assert len(own) == one["cells"]
    rules = pd.read_csv(folder / "rules.csv").set_index("rule")
    assert rules.loc["gradcheck", "caught"] == squares["caught"].sum()
    caption = (folder / "detection.txt").read_text(encoding="utf-8")
    assert f"{len(done)} cells of" in caption
    assert f"{squares['caught'].sum()} of" in caption
    assert citation.bibtex().strip() in (Path(gradcheck.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert (folder / "gradcheck.bib").read_text(encoding="utf-8") == citation.bibtex()


def test_numbers_of_a_paper_hold_no_formula() -> None:
    frame = pd.DataFrame({"bug": ["=1+1", "-x", "scale"], "n": [-1.0, 2.0, None]})
    assert paper.as_csv(frame) == "bug,n\n'=1+1,-1.0\n'-x,2.0\nscale,\n"


def test_where_nothing_can_be_written_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert report.main([str(run), "--out", str(tmp_path / "none" / "page.html")]) == 2
    assert report.main([str(run), "--out", str(run)]) == 2
    assert report.main([str(run), "--out", "."]) == 2
    assert report.main([str(run), "--figures", str(tmp_path / "file")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(("gradcheck: --out=", "gradcheck: --figures=")) for line in lines)


def test_links_that_somebody_has_planted_are_not_followed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "svg", lambda chart: "drawn")
    monkeypatch.setattr(drawing, "png", lambda chart: b"drawn")
    outside = tmp_path / "outside"
    outside.write_text("mine")
    names = [*(f"{name}.{kind}" for name in CHARTS for kind in ("svg", "png"))]
    for folder, planted in ((run, "report.html"), (run, f".report.html.{os.getpid()}.tmp"), *((run, n) for n in names)):
        (folder / planted).unlink(missing_ok=True)
        (folder / planted).symlink_to(outside)
    assert report.main([str(run), "--figures", str(run)]) == 0
    assert outside.read_text() == "mine"
    for name in ("report.html", *names):
        assert not (run / name).is_symlink()
        assert name == "report.html" or (run / name).read_text() == "drawn"
    assert (run / "report.html").stat().st_mode & 0o777 == 0o666 & ~umask()  # as any other file

    # even where the name of the unfinished file is known beforehand
    monkeypatch.setattr("secrets.token_hex", lambda n: "guessed")
    (run / ".guessed.tmp").symlink_to(outside)
    with pytest.raises(BadInput, match="File exists"):
        page.write_page("text", run / "report.html")
    assert outside.read_text() == "mine"


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_the_page_carries_the_command_that_makes_the_run_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    assert again.commands(Record(run)) == [
        "python -m gradcheck.run bug=none,scale data.n=3 -m",
        "python -m gradcheck.reproduce run",
    ]


class Scripts(HTMLParser):
    """The scripts of a page, and how often each tag occurs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.found.append(dict(attrs))


def test_no_text_of_a_record_becomes_part_of_the_page(tmp_path: Path, run: Path) -> None:
    hostile_run(tmp_path / "hostile")
    text = page.Page(Record(tmp_path / "hostile")).html()
    assert Scripts(text).tags == Scripts(page.Page(Record(run)).html()).tags
    assert [one.get("type") for one in Scripts(text).found] == ["application/json", None, None]
    assert not any("src" in one for one in Scripts(text).found)
    content = text.split('id="content">')[1].split("</script>")[0]
    assert content.isascii()
    assert not set("<>&") & set(content)
    assert json.loads(content)["provenance"]


def test_a_text_that_would_act_is_seen() -> None:
    assert Scripts("<p>" + "</script><script>").tags != Scripts("<p>").tags
    assert page.as_data("</script>\u2028&") == '"\\u003c/script\\u003e\\u2028\\u0026"'


def test_the_policy_names_the_scripts_by_their_hashes(run: Path) -> None:
    text = page.Page(Record(run)).html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    script = next(part for part in policy[1].split("; ") if part.startswith("script-src"))
    assert re.fullmatch(r"script-src 'sha256-[\w+/]{43}=' 'sha256-[\w+/]{43}='", script)


# ----------------------------------------------------------------------------------------------- what cannot be read


def broken(folder: Path) -> Path:
    one_cell(folder)
    return next((folder / "cells").iterdir())


def no_run(folder: Path) -> None:
    folder.mkdir()


def damaged(folder: Path) -> None:
    path = broken(folder)
    path.write_bytes(path.read_bytes()[:-7])


def damaged_weights(folder: Path) -> None:
    broken(folder)
    path = next((folder / "errors").iterdir())
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)


def newer(folder: Path) -> None:
    path = broken(folder)
    stamp = {"gradcheck.provenance": '{"schema_version": 99}'}
    rewrite(path, pq.read_table(path).replace_schema_metadata(stamp))


def no_parquet(folder: Path) -> None:
    broken(folder).write_text("cells,eps")


def other_columns(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), broken(folder))


UNREADABLE = [no_run, damaged, damaged_weights, newer, no_parquet, other_columns]


@pytest.mark.parametrize("make", UNREADABLE, ids=lambda make: make.__name__)
def test_what_cannot_be_read_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any
) -> None:
    folder = tmp_path / "run"
    make(folder)
    cell = ["--cell", planned(0).cell] if make is damaged_weights else []  # the tables do without weights
    for command, more in ((report, []), (show, cell), (show, ["--json", *cell])):
        assert command.main([str(folder), *more]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("gradcheck: ")
        assert captured.err.count("\n") == 1
    assert not (folder / "report.html").exists()
    with pytest.raises(BadInput) as said:
        gradcheck.load(folder).plot.histogram()
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("make", [nothing, failures_only, skipped_only, one_cell], ids=lambda make: make.__name__)
def test_small_runs_have_tables_types_and_charts(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    runs = gradcheck.load(tmp_path)
    assert len(runs.cells) == (make is not nothing)
    assert str(runs.cells["n_weights"].dtype) == "Int64"
    for chart in (runs.plot.v_curve(), runs.plot.detection(), runs.plot.histogram()):
        words = ("No cell was computed." in drawing.svg(chart)) or ("No weight has" in drawing.svg(chart))
        assert words == (make is not one_cell)
    assert "The plane needs cells with a planted bug" in drawing.svg(runs.plot.rules())
