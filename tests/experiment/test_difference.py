"""What differs between two runs: as pandas finds it, in pieces of any size, and as a person is told."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from constructed import part, planned, result, rewrite, rows
from trials import differences

from gradcheck import diff
from gradcheck.columns.weights import CellRows
from gradcheck.experiment.replay.difference import difference
from gradcheck.experiment.replay.intervals import DERIVED, NUMBERS
from gradcheck.experiment.results.rows import cell_row
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main as run


def command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = diff.main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def write(folder: Path, cells: list[CellRows]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    with Writer(folder, {}) as writer:
        for one in cells:
            writer.add(one)
    return folder


# --------------------------------------------------------------------------------------------------- beside pandas


def test_it_is_what_a_merge_of_pandas_says(tmp_path: Path) -> None:
    """A short form of ``python -m tests.trials differences``."""
    assert [line for seed in range(12) for line in differences.compared(tmp_path, seed)] == []


@pytest.mark.parametrize("change", ["both", "n_weights", "alone", "seconds", "numeric", "distance", "furthest"])
def test_another_difference_than_that_of_pandas_is_seen(tmp_path: Path, change: str) -> None:
    runs = differences.two_runs(np.random.default_rng(3))
    first, second = (differences.in_parts(tmp_path / name, cells) for name, cells in zip("ab", runs, strict=True))
    found = difference(first, second)
    assert differences.wrong((first, second), found) == []
    column = next(c for n, c in found.numbers.items() if n in ("analytic", "numeric", "correct") and c.distance > 0)
    match change:
        case "both" | "n_weights":
            setattr(found, change, getattr(found, change) + 1)
        case "alone":
            found.alone[1] += 1
        case "seconds":
            found.seconds.second *= 1.001
        case "numeric":
            found.numbers["numeric"].identical -= 1
        case "distance":
            column.distance *= 1.001
        case "furthest":
            assert column.furthest is not None
            column.furthest = column.furthest._replace(flat_index=column.furthest.flat_index + 100)
    assert len(differences.wrong((first, second), found)) == 1


# ------------------------------------------------------------------------------------------------ what is planted


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write(tmp_path / "original", [rows(i, n_weights=5 + i % 3) for i in range(9)])


def test_a_run_and_itself_differ_in_nothing(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, original, original) == (0, "", "")
    status, out, err = command(capsys, original, original, "--json")
    found = json.loads(out)
    assert (status, err, found["changed"]) == (0, "", False)
    assert all(column["differ"] == 0 and column["values"] for column in found["numbers"])
    assert found["seconds"]["ratio"] == 1


@pytest.mark.parametrize("name", NUMBERS)
def test_one_number_that_changed_is_found(
    original: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last bit: the smallest change that a number can have."""
    copy = shutil.copytree(original, tmp_path / "copy")
    table = pq.read_table(part(copy, "errors"))
    values = table[name].to_numpy().copy()
    values[23] = np.nextafter(values[23], math.inf)
    rewrite(part(copy, "errors"), table.set_column(table.schema.get_field_index(name), name, [values]))
    status, out, _ = command(capsys, original, copy, "--json")
    (row,) = [column for column in json.loads(out)["numbers"] if column["differ"]]
    weight = table.slice(23, 1).to_pylist()[0]
    assert (status, row["in"], row["column"], row["differ"]) == (0, "errors", name, 1)
    assert (row["cell"], row["flat_index"], row["position"]) == (
        weight["cell"],
        weight["flat_index"],
        weight["position"],
    )
    assert row["furthest"] > 0 or name in DERIVED  # which follows from others but for its rounding
    assert name in command(capsys, original, copy)[1]


def test_a_verdict_that_changed_is_named_and_makes_the_exit_status(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = [rows(i, n_weights=5 + i % 3) for i in range(9)]
    one = result(4, 6)
    one.weights["verdict"][3] = "mismatch"
    changed[4] = cell_row(planned(4), one, 0.01)
    status, out, _ = command(capsys, original, write(tmp_path / "weight", changed))
    assert status == 1
    assert f" {planned(4).cell}  W[3,0]" in out
    assert "CHANGED  the verdicts of 0 cells and 1 weight are others" in out
    one.summary["verdict"] = "partial"
    changed[4] = cell_row(planned(4), one, 0.01)
    status, out, _ = command(capsys, original, write(tmp_path / "cell", changed))
    assert status == 1
    assert "cells with another verdict" in out
    assert "CHANGED  the verdicts of 1 cell and 1 weight are others" in out


def test_long_tables_are_cut_and_say_so(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(tmp_path / "other", [rows(i, "mismatch", n_weights=5 + i % 3) for i in range(9)])
    out = command(capsys, original, other)[1]
    assert "cells with another verdict  (first 8 of 9; --all shows every one)" in out
    everything = command(capsys, original, other, "--all")[1]
    assert all(planned(i).cell in everything for i in range(9))
    assert "first 8" not in everything


def test_it_needs_two_runs(original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in ((original, tmp_path / "none"), (tmp_path / "none", original)):
        status, out, err = command(capsys, *typed)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "no such run folder" in err
    with pytest.raises(SystemExit) as end:
        diff.main([str(original)])
    assert end.value.code == 2


# ------------------------------------------------------------------------------------------ before and after a change


def computed(folder: Path, *typed: str) -> Path:
    assert run([*typed, f"hydra.sweep.dir={folder}", "engine=serial", "progress=none", "-m"]) in (0, 1)
    return folder


def sheet(path: Path, factor: float) -> Path:
    x = np.arange(40.0).reshape(20, 2) % 7
    pd.DataFrame({"a": x[:, 0] * factor, "b": x[:, 1], "y": (np.arange(20) % 2)}).to_csv(path, index=False)
    return path


def test_cells_whose_data_changed_are_pairs_by_their_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = ["data=file", "data.path=one.csv,two.csv", "data.target=y", "eps=1e-4,1e-6"]
    sheet(Path("one.csv"), 1.0)
    sheet(Path("two.csv"), 3.0)
    before = computed(tmp_path / "before", *grid)
    sheet(Path("one.csv"), 2.0)
    after = computed(tmp_path / "after", *grid)
    capsys.readouterr()
    status, out, _ = command(capsys, before, after)
    assert status == 0
    assert "cells   4 in both, 0 in the first alone, 0 in the second alone" in out
    assert "2 of those in both by their settings" in out
    # both files moved: the settings without their names are those of two cells, so that nobody knows which is which
    shutil.move("one.csv", "three.csv")
    moved = computed(tmp_path / "moved", *grid[:1], "data.path=three.csv", *grid[2:])
    capsys.readouterr()
    found = json.loads(command(capsys, after, moved, "--json")[1])["cells"]
    assert (found["both"], found["renamed"], len(found["first_only"])) == (2, 0, 2)
    sheet(Path("three.csv"), 5.0)
    again = computed(tmp_path / "again", *grid[:1], "data.path=three.csv", *grid[2:])
    single = computed(tmp_path / "single", *grid[:1], "data.path=two.csv", *grid[2:])
    capsys.readouterr()
    found = json.loads(command(capsys, single, again, "--json")[1])["cells"]
    assert (found["both"], found["renamed"]) == (2, 2)  # another name and another content


def test_a_function_that_was_mended_is_compared_with_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["model=function", "model.x0=[1.0,2.0]", "eps=1e-5,auto"]
    for name, factor in (("bowl_before", 3), ("bowl_after", 2)):
        source = f"def f(x):\n    return float(x @ x)\n\n\ndef g(x):\n    return {factor} * x\n"
        Path(f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        computed(tmp_path / name, *typed, f"model.fun={name}:f", f"model.jac={name}:g")
    # the same name with another source: what the record of the first says after the module was renamed
    for path in sorted((tmp_path / "bowl_before").glob("cells/*.parquet")):
        table = pq.read_table(path)
        texts = [text.replace("bowl_before", "bowl_after") for text in table["config"].to_pylist()]
        rewrite(path, table.set_column(table.schema.get_field_index("config"), "config", [texts]))
    capsys.readouterr()
    status, out, _ = command(capsys, "bowl_before", "bowl_after")
    assert status == 1
    assert "2 of those in both by their settings" in out
    assert "CHANGED  the verdicts of 2 cells and 4 weights are others" in out
    # the rows name the function, not its id alone
    table = out.partition("cells with another verdict\n")[2].splitlines()
    assert table[0].split()[1:4] == ["model", "model_fun", "model_jac"]
    assert {tuple(row.split()[1:4]) for row in table[1:3]} == {("function", "bowl_after:f", "bowl_after:g")}
    found = json.loads(command(capsys, "bowl_before", "bowl_after", "--json")[1])["verdicts"]
    assert {row["model_jac"] for row in (*found["cells"], *found["weights"])} == {"bowl_after:g"}


def test_a_run_of_version_1_is_compared_in_its_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reference = Path(__file__).resolve().parents[2] / "runs" / "reference"
    grid = ["bug=none,scale", "eps=[1e-4,1e-6]", "dtype=float32,float64"]
    now = computed(tmp_path / "now", *grid)
    capsys.readouterr()
    for pair in ((reference, now), (now, reference)):
        status, out, _ = command(capsys, *pair)
        assert status == 0
        assert "is of version 1" in out
        # to the bit where the processor adds as that of the reference did
        assert re.search(r"SAME VERDICTS  every number (lies within its bound|is the same to the bit)\n", out)
