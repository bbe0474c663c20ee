"""What ``show`` answers of a grid, against counts made cell by cell; and that ``run`` says the same."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, shown
from constructed import rows as cell_of

from gradcheck.columns.weights import CellRows
from gradcheck.experiment.results.writer import Writer
from gradcheck.experiment.truth import Truth, truth
from gradcheck.run import main
from gradcheck.views import words
from gradcheck.views.frames import records
from gradcheck.views.matrix import matrix
from gradcheck.views.record import Record
from gradcheck.views.tallied import tallied
from gradcheck.views.tally import TALLY_COLUMNS, Tally

VERDICTS = ("match", "mismatch", "inconclusive", "nondifferentiable")


def drawn(draw: random.Random, i: int, **fixed: Any) -> CellRows:
    """A cell of a grid of schemes, dtypes and sizes with any verdict."""
    bug, verdict = draw.choice(["none", "scale", "sign_flip"]), draw.choice(VERDICTS)
    made = cell_of(i, verdict, bug)
    missed = draw.randint(0, 2) if verdict == "match" and bug != "none" else 0
    n, model = draw.choice([10, 20]), draw.choice(["logistic", "function"])
    settings = {
        "scheme": draw.choice(["central", "forward"]),
        "dtype": draw.choice(["float32", "float64"]),
        "model": model,
        "data_n": n,
        "data_d": n // 10,  # follows from the size: no axis
        "bug_magnitude": {"none": None, "scale": 2.0, "sign_flip": 1.0}[bug],
        "max_resolution": draw.choice([1e-8, 1e-3, float("inf")]),
        "accept": draw.choice([0.0, 1e-3]),
        "n_missed": missed,
    }
    return made._replace(cell=made.cell | settings | fixed)


def grid(folder: Path, seed: int, cells: int = 60, **fixed: Any) -> tuple[Path, list[dict[str, Any]]]:
    """A run of drawn cells, and its rows."""
    draw = random.Random(seed)
    made = [drawn(draw, i, **fixed) for i in range(cells)]
    with Writer(folder, {}) as writer:
        for row in made:
            writer.add(row)
    return folder, [row.cell for row in made]


@pytest.mark.parametrize("seed", range(8))
def test_each_square_counts_its_cells(seed: int, tmp_path: Path) -> None:
    run, stored = grid(tmp_path / "run", seed, accept=0.0)
    found = matrix(Record(run).cells)
    assert set(found.axes.facets) == {"scheme", "dtype", "model", "data_n"}
    assert (found.axes.rows, found.axes.column) == (("bug",), "eps")
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for row in stored:
        facet = f"{row['dtype']}, {row['scheme']}, {row['model']}, data.n={row['data_n']}"
        counts[facet, words.setting("bug", row["bug"]), words.setting("eps", row["eps"]), str(truth(row))] += 1
    squares = {
        (facet.name, name, step, told): count
        for facet in found.facets
        for (name, _), row in facet.rows.items()
        for step, square in zip(found.columns, row, strict=True)
        if square is not None
        for told, count in square.told.items()
    }
    assert squares == counts


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_is_tallied_as_its_rows_are(seed: int, tmp_path: Path) -> None:
    run, _ = grid(tmp_path / "run", seed)
    cells = Record(run).cells
    at_once, one_by_one = tallied(cells), Tally(records(cells[list(TALLY_COLUMNS)]))
    for name in (
        "status",
        "correct",
        "swept",
        "problems",
        "sizes",
        "widths",
        "weights",
        "planted",
        "planted_mismatch",
        "checked",
        "failing",
    ):
        assert getattr(at_once, name) == getattr(one_by_one, name), name
    assert (at_once.worst is None) == (one_by_one.worst is None)
    if at_once.worst is not None and one_by_one.worst is not None:
        assert at_once.worst["max_rel_err"] == one_by_one.worst["max_rel_err"]


def test_shares_are_percentages_and_what_was_missed_stands_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Writer(tmp_path / "run", {}) as writer:
        for seed in range(4):  # cells of four seeds with one step
            verdict, missed = [("mismatch", 0), ("match", 3), ("match", 0), ("inconclusive", 0)][seed]
            made = cell_of(4 * seed, verdict, "scale")
            writer.add(made._replace(cell=made.cell | {"n_missed": missed}))
            writer.add(cell_of(4 * seed + 1, "mismatch", "scale"))
            writer.add(cell_of(4 * seed, "mismatch" if seed == 0 else "match"))
    lines = [line.split() for line in shown(capsys, tmp_path / "run").splitlines()]
    assert ["1e-04", "1e-05"] in lines
    assert ["no", "bug", "25", "-"] in lines
    assert ["scale", "25!25", "100"] in lines


def test_of_correct_gradients_a_square_says_how_many_were_not_judged_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Writer(tmp_path / "run", {}) as writer:
        for seed in range(4):
            for step, verdict in ((0, ("inconclusive", "match")[seed % 2]), (1, "match")):
                made = cell_of(4 * seed + step, verdict)
                writer.add(made._replace(cell=made.cell | {"ok": verdict == "match"}))
    text = shown(capsys, tmp_path / "run")
    assert ["no", "bug", "0?50", "0"] in [line.split() for line in text.splitlines()]
    assert "?n: n % not judged enough, 2 of 8 in all" in " ".join(text.split())


def test_who_was_accused_wrongly_comes_before_all_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, stored = grid(tmp_path / "run", 3, model="logistic")
    text = shown(capsys, run)
    accused = {row["cell"] for row in stored if truth(row) is Truth.FALSE_ALARM}
    assert len(accused) > 2
    head = text.partition("worst rel_err  visible from")[0]
    assert f"cells without a planted bug that are a mismatch: {len(accused)} false alarms" in head
    assert set(re.findall(r"(?m)^ ([0-9a-f]{16})  ", head)) == accused


@pytest.mark.parametrize("seed", range(4))
def test_mismatches_are_counted_by_diagnosis(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)
    kinds: Counter[str] = Counter()
    with Writer(tmp_path / "run", {}) as writer:
        for i in range(40):
            made = drawn(draw, i)
            kind = draw.choice(["transposed", "bias", "l2"]) if made.cell["verdict"] == "mismatch" else None
            kinds.update([kind] if kind else [])
            writer.add(made._replace(cell=made.cell | {"diagnosis_kind": kind}))
    text = shown(capsys, tmp_path / "run")
    told = re.findall(r"(?m)^ (transposed|bias|l2): (\d+) cells?; ", text)
    assert {kind: int(n) for kind, n in told} == kinds
    assert [int(n) for _, n in told] == sorted(kinds.values(), reverse=True)


def test_the_worst_weight_has_its_place_in_its_parameter(tmp_path: Path) -> None:
    run, stored = grid(tmp_path / "run", 5)
    record = Record(run)
    chosen = record.cells[record.cells["verdict"] == "mismatch"]
    places = {row["cell"]: row["worst_flat_index"] for row in stored}
    names = {cell: worst.name for cell, worst in record.worst_weights(chosen).items()}
    assert names == {cell: "b[0]" if places[cell] == 5 else f"W[{places[cell]},0]" for cell in chosen["cell"]}
    # the row of one weight is gone: then only its place in theta is known
    others = record.cells[record.cells["verdict"].isin(["match", "inconclusive"])]
    gone = record.worst_weights(others.assign(worst_flat_index=99))
    assert gone
    assert {worst.name for worst in gone.values()} <= {"W #99", "b #99"}


def body(text: str) -> list[str]:
    """The lines that ``run`` and ``show`` have in common: the headline, the table, the verdicts."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if re.match(r"\d+ cells? x ", line))
    end = next((i for i, line in enumerate(lines) if line.startswith(("saved", "by bug", "which rule"))), len(lines))
    return sorted(line for line in lines[start:end] if line)


@pytest.mark.parametrize(
    "typed",
    [
        ["eps=1e-4,1e-6", "bug=none,scale", "dtype=float32,float64", "-m"],
        ["model=mlp", "model.layers=[4]", "model.activation=relu", "init=zeros", "eps=1e-3,1e-5,auto", "-m"],
        ["bug=single_entry", "eps=1e-1"],
        [
            "bug=none,scale",
            "eps=1e-3,3e-4,1e-4",
            "init.scale=1,2,3",
            "model.l2=0,0.1,0.3",
            "zip=[init.scale,model.l2]",
            "-m",
        ],
    ],
    ids=str,
)
def test_run_and_show_say_the_same(
    typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = ["hydra.run.dir=run", "hydra.sweep.dir=run"]
    assert main([*typed, *folder, *QUICK, "data.n=12", "data.d=3"]) == 0
    ran = body(capsys.readouterr().out)
    assert ran == body(shown(capsys, "run"))
    assert any("visible from" in line for line in ran)


def test_a_wrong_function_is_named_by_its_weight_in_run_and_in_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong_here.py").write_text(
        "import numpy as np\ndef f(x):\n    return np.sum(x**2)\ndef g(x):\n    d = 2 * x\n    d[1, 1] += 1\n    return d\n"
    )
    typed = ["model=function", "model.fun=wrong_here:f", "model.jac=wrong_here:g", "model.x0=[[1.0,2.0],[3.0,4.0]]"]
    assert main([*typed, "hydra.run.dir=run", *QUICK]) == 1
    assert "MISMATCH  1 of 4 checks disagree; worst x[1,1], rel_err" in capsys.readouterr().out
    text = shown(capsys, "run")
    assert "MISMATCH  1 of 4 checks disagree; worst x[1,1], rel_err" in text
    assert "cells without a planted bug that are a mismatch: 1 wrong gradient of your own functions" in text


@pytest.mark.parametrize(
    ("every", "half", "text"),
    [
        (3e-8, 1e-8, "3e-08"),
        (float("inf"), 1e-2, "1e-02*"),
        (1e3, 2.5, "never"),
        (None, None, "never"),
        (0.0, 0.0, "0e+00"),
    ],
)
def test_from_where_an_error_is_visible(every: float | None, half: float | None, text: str) -> None:
    assert words.visible_from(every, half) == text


def test_an_answer_in_a_sentence() -> None:
    counts = {"right": 48, "caught": 1226, "cannot be told": 445, "missed": 9}
    assert words.answer(counts) == (
        "No false alarm. 1,226 of 1,680 planted bugs caught, 445 could not be told, 9 missed."
    )
    assert words.answer({"false alarm": 1, "right": 4}) == "1 false alarm in 5."
    assert words.answer({}) == "No cell was computed."
