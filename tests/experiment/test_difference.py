"""What differs between two runs: as pandas finds it, in pieces of any size, and as a person is told."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from constructed import VERDICTS, part, planned, result, rewrite, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradcheck import diff
from gradcheck.columns.weights import CellRows, errors_table
from gradcheck.experiment.replay.difference import AT_A_TIME, difference
from gradcheck.experiment.replay.intervals import DERIVED, NUMBERS
from gradcheck.experiment.results.rows import cell_row, cells_table
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main as run

TOLERANCE = 1e-7  # an end, value ± bound, is rounded to a spacing of the value: 1e-16 beside bounds of 1e-8


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


def in_parts(folder: Path, cells: list[CellRows], size: int = 5) -> Path:
    """The same in parts of some cells each, without the care of a writer, which takes its time."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, made in (("cells", cells_table), ("errors", errors_table)):
        (folder / name).mkdir(parents=True)
        for start in range(0, max(len(cells), 1), size):
            pq.write_table(made(cells[start : start + size]), folder / name / f"part-{start:05d}.parquet")
    return folder


# --------------------------------------------------------------------------------------------------- beside pandas


@st.composite
def two_runs(draw: st.DrawFn) -> tuple[list[CellRows], list[CellRows]]:
    """Two runs that share some cells, of which the second may have other numbers, verdicts, weights, seconds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found: tuple[list[CellRows], list[CellRows]] = ([], [])
    for i in range(draw(st.integers(1, 12))):
        sides = draw(st.sampled_from([(0,), (1,), (0, 1), (0, 1), (0, 1)]))
        n, verdict = int(rng.integers(1, 9)), str(rng.choice(VERDICTS))
        for side in sides:
            one = result(i, n + (int(rng.integers(0, 3)) if side and rng.random() < 0.2 else 0), verdict)
            if side and rng.random() < 0.6:
                k, column = int(rng.integers(n)), str(rng.choice(["analytic", "numeric", "correct"]))
                one.weights[column][k] += one.weights["bound"][k] * float(rng.choice([1e-3, 0.5, 2.0, 1e6]))
            if side and rng.random() < 0.3:
                one.weights["verdict"][int(rng.integers(n))] = str(rng.choice(VERDICTS))
                one.summary["verdict"] = str(rng.choice(VERDICTS))
            if side and rng.random() < 0.1:
                found[side].append(cell_row(planned(i), ValueError("the loss is nan"), 0.5))
            else:
                found[side].append(cell_row(planned(i), one, float(rng.random())))
    order = rng.permutation(len(found[1]))
    return found[0], [found[1][k] for k in order]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=two_runs(), at_a_time=st.sampled_from([1, 3, 7, 20, AT_A_TIME]))
def test_it_is_what_a_merge_of_pandas_says(tmp_path: Path, runs: Any, at_a_time: int) -> None:
    folders = [in_parts(tmp_path / name, cells) for name, cells in zip("ab", runs, strict=True)]
    found = difference(folders[0], folders[1], at_a_time)
    cells = [pd.read_parquet(folder / "cells").set_index("cell") for folder in folders]
    common = cells[0].index.intersection(cells[1].index)
    assert found.both == len(common)
    assert [set(ids) for ids in found.only] == [set(a.index) - set(common) for a in cells]
    outcomes = [frame["verdict"].where(frame["status"] == "ok", frame["status"])[common] for frame in cells]
    expected = {(c, a, b) for c, a, b in zip(common, *outcomes, strict=True) if a != b}
    assert {(row.cell, row.first, row.second) for row in found.cells} == expected
    done = common[(cells[0]["status"][common] == "ok") & (cells[1]["status"][common] == "ok")]
    taken = found.seconds
    assert (taken.cells, taken.first, taken.second) == pytest.approx(
        (len(done), *(frame["seconds"][done].sum() for frame in cells))
    )
    # weights
    errors = [pd.read_parquet(folder / "errors") for folder in folders]
    kept = [frame[frame["cell"].isin(common)] for frame in errors]
    merged = kept[0].merge(kept[1], on=["cell", "flat_index"], suffixes=("", "_2"))
    assert found.alone == [len(frame) - len(merged) for frame in kept]
    turned = merged[merged["verdict"] != merged["verdict_2"]]
    assert found.n_weights == len(turned)
    assert {(w.cell, w.where.flat_index, w.first, w.second) for w in found.weights if w.where} == set(
        turned[["cell", "flat_index", "verdict", "verdict_2"]].itertuples(index=False, name=None)
    )
    assert found.changed == bool(expected or len(turned))
    for name in NUMBERS:
        differs = (merged[name] != merged[f"{name}_2"]) & ~(merged[name].isna() & merged[f"{name}_2"].isna())
        column = found.numbers[name]
        assert (column.compared, column.compared - column.identical) == (len(merged), differs.sum()), name
        if name in ("analytic", "numeric", "correct"):
            apart = ((merged[name] - merged[f"{name}_2"]).abs() / merged["bound_2"])[differs]
            assert column.distance == pytest.approx(apart.max() if len(apart) else 0.0, rel=TOLERANCE)
            assert set(column.beyond) == set(merged["cell"][apart[apart > 1].index])
            if len(apart):
                assert column.furthest is not None
                assert apart[
                    (merged["cell"] == column.furthest.cell) & (merged["flat_index"] == column.furthest.flat_index)
                ].tolist() == [pytest.approx(column.distance, rel=TOLERANCE)]


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


def test_a_run_of_version_1_is_compared_in_its_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reference = Path(__file__).resolve().parents[2] / "runs" / "reference"
    grid = ["bug=none,scale", "eps=[1e-4,1e-6]", "dtype=float32,float64"]
    now = computed(tmp_path / "now", *grid)
    capsys.readouterr()
    for pair in ((reference, now), (now, reference)):
        status, out, _ = command(capsys, *pair)
        assert status == 0
        assert "is of version 1" in out
        assert "SAME VERDICTS  every number lies within its bound" in out
