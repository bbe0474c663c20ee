"""Tables and pages of several runs: every cell counts once, and it is said where two runs have the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from constructed import planned, rows

from gradcheck import report, show
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.record import Record

REFERENCE = Path(__file__).resolve().parents[2] / "runs" / "reference"


def write(folder: Path, cells: dict[int, str]) -> Path:
    """A run of some cells with these verdicts."""
    with Writer(folder, {"gradcheck": "9.9"}) as writer:
        for i, verdict in cells.items():
            writer.add(rows(i, verdict, n_weights=3 + i % 4))
    return folder


def shown(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert show.main([str(one) for one in arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs that share the cells 4 and 5, of which 5 has another verdict."""
    monkeypatch.chdir(tmp_path)
    write(Path("a"), dict.fromkeys(range(6), "match"))
    write(Path("b"), {4: "match", 5: "mismatch", 6: "mismatch"})
    return ["a", "b"]


def test_a_cell_of_two_runs_counts_once_and_it_is_said(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *runs, "--by", "run", "--all")
    lines = text.splitlines()
    assert lines[0] == "2 runs: 7 computed"
    assert lines[2:4] == ["run  a: 6 cells  (gradcheck 9.9)", "run  b: 1 cell  (gradcheck 9.9)"]
    assert (
        "TWICE  2 cells of b are in a too, 1 of them with another verdict: each counts once, as in a;"
        " python -m gradcheck.diff a b compares them"
    ) in lines
    counts = [line.split()[:3] for line in lines if line.startswith((" a ", " b "))]
    assert counts == [["b", "0", "1"], ["a", "6", "0"]]  # what deserves a look stands first
    assert f" {planned(6).cell}  b " in text


def test_the_order_says_which_run_counts(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, *reversed(runs), "--by", "run", "--all")
    assert "TWICE  2 cells of a are in b too, 1 of them with another verdict: each counts once, as in b" in text
    cell = shown(capsys, *reversed(runs), "--cell", planned(5).cell)
    assert f"cell {planned(5).cell} of b: " in cell
    assert "MISMATCH" in cell
    assert f"cell {planned(5).cell} of a: " in shown(capsys, *runs, "--cell", planned(5).cell)


def test_one_run_alone_is_shown_as_before(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, runs[0], "--all")
    assert text.startswith("a: 6 computed  (gradcheck 9.9)\n")
    assert "run" not in text.splitlines()[3]
    assert "runs" not in json.loads(shown(capsys, runs[0], "--json"))


def test_as_json(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, *runs, "--json"))
    assert (found["runs"], found["n_cells"]) == (["a", "b"], 7)
    assert [note.split()[0] for note in found["notes"]] == ["TWICE"]
    assert [(row["cell"], row["run"]) for row in found["worst"]] == [(planned(6).cell, "b")]
    assert set(found["provenance"]) == {"a", "b"}


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_is_that_of_the_first_run_that_has_it(seed: int, tmp_path: Path) -> None:
    """As pandas keeps the first of several rows; and so are the weights that the charts count."""
    rng = np.random.default_rng(seed)
    names = [tmp_path / name for name in "abc"]
    for name in names:
        verdicts = rng.choice(["match", "mismatch", "inconclusive"], size=12)
        write(
            name, {int(i): str(v) for i, v in zip(rng.permutation(12)[: rng.integers(0, 12)], verdicts, strict=False)}
        )
    record = Record(*names)
    every = pd.concat([pd.read_parquet(name / "cells").assign(run=str(name)) for name in names])
    first = every.drop_duplicates("cell")
    columns = ["cell", "run", "verdict"]
    assert record.cells[columns].values.tolist() == first[columns].values.tolist()
    weights = sum(table.num_rows for table in record.tables(["cell", "verdict"]))
    assert weights == first["n_weights"].sum()
    repeated = len(every) - len(first)
    assert sum(int(note.split()[1]) for note in record.notes if note.startswith("TWICE")) == repeated


def test_a_run_of_version_1_beside_another(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, runs[0], REFERENCE, "--all")
    assert text.startswith("2 runs: 14 computed\n")


def test_the_page_of_several_runs(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("altair")
    assert report.main(runs) == 0
    assert capsys.readouterr().out == f"saved  {Path('a/report.html')}\n"
    text = Path("a/report.html").read_text(encoding="utf-8")
    assert not Path("b/report.html").exists()
    assert "TWICE  2 cells of b are in a too" in text
    assert "python -m gradcheck.reproduce a" in text
    assert "python -m gradcheck.reproduce b" in text
    assert report.main([*runs, "--out", "page.html"]) == 0
    assert Path("page.html").read_text(encoding="utf-8") == text
