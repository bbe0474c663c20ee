"""A small calibration: what must hold of the verdicts holds, and each requirement is broken by the fault it is there for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructed import rewrite

from gradcheck.calibration import __main__ as calibration
from gradcheck.calibration.charts import write_charts
from gradcheck.calibration.figures import Figures
from gradcheck.calibration.histogram import Histogram
from gradcheck.calibration.measure import measure
from gradcheck.calibration.requirements import Requirement, requirements
from gradcheck.errors import BadInput
from gradcheck.experiment.config import registration
from gradcheck.numerics import auto, bounds, quotients, verdict
from gradcheck.run import main

GRIDS = sorted(path.stem for path in (registration.conf_dir() / "experiment").glob("calibration*.yaml"))
STEPS = "eps=auto,1e-10,1e-7,1e-5,1e-3,1"
SCHEMES = "scheme=central,forward,five_point,complex_step"
# a part of each grid that takes a few seconds
PARTS = {
    "calibration": [STEPS, SCHEMES, "data.scale=0.1,1000", "model=mlp", "model.activation=relu,tanh"],
    "calibration_bugs": ["eps=auto,1e-6,1e-3", "dtype=float64", "scheme=central", "model=linear,mlp"],
    "calibration_linear": [STEPS, "scheme=central,forward", "data.scale=1", "data.d=4", "dtype=float32,float64"],
    "calibration_one_d": [STEPS, "model.x=2", "model.l2=0.1", "dtype=float64", "scheme=central,five_point"],
    "calibration_optimum": [STEPS, "scheme=central", "data.scale=1", "model=mlp", "model.activation=relu"],
}


def run(grid: str, folder: Path, *more: str) -> Path:
    target = folder / grid
    typed = [f"+experiment={grid}", *PARTS[grid], *more, "engine=serial", "progress=none", f"hydra.sweep.dir={target}"]
    assert main([*typed, "fail_on=never"]) == 0
    return target


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("calibration")
    return [run(grid, folder) for grid in GRIDS]


@pytest.fixture(scope="module")
def figures(runs: list[Path]) -> Figures:
    return measure(runs)


def found(figures: Figures) -> dict[str, Requirement]:
    return {row.figure: row for row in requirements(figures)}


def test_every_grid_has_a_small_part() -> None:
    assert list(PARTS) == GRIDS


def test_what_must_hold_holds(figures: Figures) -> None:
    rows = found(figures)
    broken = [row for name, row in rows.items() if row.holds is False]
    assert broken == []
    assert all(row.of > 0 for row in rows.values())
    assert {dtype for _, dtype, _, _ in figures.correct} >= {"float32", "float64"}
    assert {start for *_, start in figures.correct} == {"random", "saturated", "optimum", "zero"}
    assert sum(figures.correct.values()) > 20_000


# --- each requirement can fail ------------------------------------------------------------------------------------------

Columns = dict[str, Any]


def doctored(folder: Path, target: Path, part: str, change: Callable[[Columns], Columns]) -> Path:
    """A copy of a run with other values in some columns."""
    for name in ("cells", "errors"):
        (target / name).mkdir(parents=True)
        for path in sorted((folder / name).glob("*.parquet")):
            table = pq.read_table(path)
            if name == part:
                columns = {c: np.array(table[c].to_pylist(), dtype=object) for c in table.column_names}
                for column, values in change(columns).items():
                    place = table.schema.get_field_index(column)
                    array = pa.array(list(values), table.schema.field(column).type)
                    table = table.set_column(place, table.schema.field(column), array)
            rewrite(path, table, target / name)
    return target


def real(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)


def judged_match(w: Columns) -> Columns:
    return {"verdict": np.where(w["verdict"] == "mismatch", "match", w["verdict"])}


def judged_open(w: Columns) -> Columns:
    return {"verdict": np.where(w["verdict"] == "mismatch", "inconclusive", w["verdict"])}


def accused(w: Columns) -> Columns:
    kinked = np.isin(w["model"], ["mlp"]) & (w["verdict"] == "match") & (np.arange(len(w["model"])) % 7 == 0)
    return {"verdict": np.where(kinked, "mismatch", w["verdict"])}


def loose(w: Columns) -> Columns:
    return {"bound": 20 * real(w["bound"])}


def auto_unsure(w: Columns) -> Columns:
    auto = w["eps"] == None  # noqa: E711
    return {
        "verdict": np.where(auto & (w["verdict"] == "match"), "inconclusive", w["verdict"]),
        "reason": np.where(auto & (w["verdict"] == "match"), "noise", w["reason"]),
    }


def kinks_everywhere(w: Columns) -> Columns:
    return {"verdict": np.where(w["verdict"] == "inconclusive", "nondifferentiable", w["verdict"])}


def auto_loose(w: Columns) -> Columns:
    return {"bound": np.where(w["eps"] == None, 4 * real(w["bound"]), real(w["bound"]))}  # noqa: E711


def dear(cells: Columns) -> Columns:
    return {"n_evals": [None if n is None else 4 * n for n in cells["n_evals"]]}


FAULTS: dict[str, tuple[str, str, Callable[[Columns], Columns]]] = {
    "correct weights judged mismatch": ("calibration", "errors", accused),
    "wrong by more than 3 bounds, not judged mismatch": ("calibration_bugs", "errors", judged_open),
    "bug larger than the resolution, judged match": ("calibration_bugs", "errors", judged_match),
    "bug larger than the resolution, not judged mismatch": ("calibration_bugs", "errors", judged_open),
    "median of least bound over true error, float64": ("calibration", "errors", loose),
    "inconclusive at eps=auto, float64, at random, not flat": ("calibration", "errors", auto_unsure),
    "nondifferentiable on smooth models": ("calibration", "errors", kinks_everywhere),
    "kinks crossed with an effect, judged mismatch": ("calibration", "errors", accused),
    "bound of auto over the sweep's least, median": ("calibration", "errors", auto_loose),
    "bound of auto over the sweep's least, largest": ("calibration", "errors", auto_loose),
    "evaluations over the scheme's, fixed eps": ("calibration", "cells", dear),
    "evaluations over central's, eps=auto": ("calibration", "cells", dear),
}


def test_every_requirement_has_its_fault(figures: Figures) -> None:
    assert set(FAULTS) == {figure for figure, row in found(figures).items() if row.required}


@pytest.mark.parametrize("figure", FAULTS)
def test_a_planted_fault_breaks_its_requirement(figure: str, runs: list[Path], tmp_path: Path) -> None:
    grid, part, change = FAULTS[figure]
    folder = next(run for run in runs if run.name == grid)
    broken = found(measure([doctored(folder, tmp_path / grid, part, change)]))[figure]
    assert broken.holds is False
    assert broken.of > 0


def test_a_bound_without_its_noise_accuses_correct_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (quotients, verdict):
        monkeypatch.setattr(module, "DEVIATIONS", 0.2)
    folder = run("calibration_linear", tmp_path, "scheme=central", "init=normal")
    assert found(measure([folder]))["correct weights judged mismatch"].holds is False


def test_a_bound_without_truncation_accuses_correct_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = quotients.estimate

    def untruncated(*arguments: Any) -> quotients.Estimate:
        step, q, truncation, *rest = arguments
        return estimate(step, q, 0 * truncation, *rest)

    for module in (bounds, auto):
        monkeypatch.setattr(module, "estimate", untruncated)
    folder = run("calibration", tmp_path, "scheme=central", "dtype=float64")
    result = measure([folder])
    assert found(result)["correct weights judged mismatch"].holds is False
    worst = result.examples[0]
    assert worst.times_bound > 1
    assert worst.scheme == "central"


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command_writes_figures_and_charts(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    status = calibration.main([*map(str, runs), "--json", str(page), "--plot", str(chart)])
    shown = capsys.readouterr().out
    stored = json.loads(page.read_text(encoding="utf-8"))
    assert status == (0 if all(row["holds"] is not False for row in stored["requirements"]) else 1)
    assert "correct weights judged mismatch" in shown
    assert {row["figure"] for row in stored["requirements"] if row["required"]} == set(FAULTS)
    assert sum(stored["correct_weights"]["by_dtype"].values()) == sum(stored["correct_weights"]["by_scheme"].values())
    assert {row["rule"] for row in stored["rules"]} >= {"gradcheck", "textbook", "pytorch"}
    assert stored["runs"][0]["overrides"][0] == f"+experiment={GRIDS[0]}"
    assert not any("hydra" in text for made in stored["runs"] for text in made["overrides"])
    svg = chart.read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "five_point" in svg
    assert len(svg) < 300_000


def test_a_cell_of_two_runs_counts_once(runs: list[Path]) -> None:
    once = measure(runs[:1])
    twice = measure([*runs[:1], *runs[:1]])
    assert (once.cells, once.correct) == (twice.cells, twice.correct)


def test_what_is_no_run_or_no_svg_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibration.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(BadInput, match=r"must end in \.svg"):
        write_charts({}, tmp_path / "chart.png")


def test_quantiles_are_those_of_the_numbers() -> None:
    numbers = np.exp(np.random.default_rng(0).normal(size=10_001))
    histogram = Histogram()
    for part in np.array_split(numbers, 7):
        histogram.add(part)
    assert histogram.n == len(numbers)
    for q in (0.1, 0.5, 0.9):
        assert histogram.quantile(q) == pytest.approx(np.quantile(numbers, q), rel=0.01)  # the width of a bin
    histogram.add(np.full(20_002, np.inf))
    assert histogram.quantile(0.5) == np.inf
    assert Histogram().quantile(0.5) is None
