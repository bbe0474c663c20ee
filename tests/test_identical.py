"""Comparing two checkouts: the same are the same, and a number that is off by its last bit is found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trials import identical

from gradcheck.run import main

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ("model=one_d", "model.curve=cubic", "engine=serial", "progress=none")
LINES = [("model=linear,mlp", "bug=none,scale,missing_mean", "data.n=6", "data.d=2", "-m"), ("eps=1e-4,auto", "-m")]

# A main that stores the largest numeric derivative one unit in the last place off, in the cells with a bug.
PLANTED = """

def _planted(real):
    def main(arguments):
        import pathlib
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq
        status = real(arguments)
        folder = pathlib.Path(arguments[-1].partition("=")[2].strip("'"))
        for path in folder.glob("errors/*.parquet"):
            table = pq.read_table(path)
            if not table.num_rows:
                continue
            values = table["numeric"].to_numpy().copy()
            k = np.nanargmax(np.where(np.array(table["bug"]) == "scale", values, -np.inf))
            values[k] = np.nextafter(values[k], np.inf)
            if table["bug"][k].as_py() == "scale":
                at = table.schema.get_field_index("numeric")
                pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values)), path)
        return status
    return main

main = _planted(main)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose stored numbers are wrong in one bit."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "gradcheck", checkout / "gradcheck")
    os.symlink(ROOT / "conf", checkout / "conf")
    with (checkout / "gradcheck/run.py").open("a") as file:
        file.write(PLANTED)
    return checkout


def test_a_checkout_is_identical_to_itself_and_a_planted_bit_is_found(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    same = identical.trial(ROOT, ROOT, tmp_path / "same", LINES)
    # missing_mean has a meaning for both models, so that no cell is without weights
    assert (same.cells, same.weights) == (8, 3 * 3 + 3 * 37 + 2 * 6)
    assert same.same(words=False)
    assert len(same.columns) > 60
    (tmp_path / "other").mkdir()
    other = identical.trial(ROOT, planted, tmp_path / "other", LINES)
    assert not other.same(words=True)
    assert other.differences.keys() == {"errors.numeric"}
    assert other.differences["errors.numeric"].rows == 1
    assert list(identical.said(other, words=True))[-1] == "DIFFERENT"


def test_the_recorded_lines_are_those_of_the_reference_and_the_samples() -> None:
    lines = identical.recorded(ROOT)
    assert len(lines) >= 2
    assert ("bug=none,scale", "eps=[1e-4,1e-6]", "dtype=float32,float64", "-m") in lines


@pytest.mark.parametrize("seed", [0, 1])
def test_cells_are_drawn_from_every_experiment(seed: int) -> None:
    grids = identical.experiments(ROOT)
    lines = identical.drawn(grids, 800, seed)
    assert lines == identical.drawn(grids, 800, seed)
    assert {line[0] for line in lines} == {f"+experiment={p.stem}" for p in (ROOT / "conf/experiment").glob("*.yaml")}
    assert lines != identical.drawn(grids, 800, seed + 1)
    counts = {f"+experiment={grid.name}": grid.times for grid in grids}
    total = sum(counts[line[0]] * np.prod([text.count(",") + 1 for text in line[1:]], dtype=int) for line in lines)
    assert total >= 800


# ----------------------------------------------------------------------------------------------- differences are seen


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "run"
    assert main([*SETTINGS, "bug=none,scale", "-m", f"hydra.sweep.dir={folder}"]) == 0
    return folder


def full(folder: Path) -> list[Path]:
    """Its files but those without a row, of which every run has one."""
    return [path for path in folder.glob("*.parquet") if pq.read_metadata(path).num_rows]


def changed(run: Path, copy: Path, name: str, column: str, change: Callable[[list[Any]], list[Any]]) -> Path:
    shutil.copytree(run, copy)
    for path in full(copy / name):
        table = pq.read_table(path)
        at = table.schema.get_field_index(column)
        values = pa.array(change(table[column].to_pylist()), table.schema.field(at).type)
        pq.write_table(table.set_column(at, table.schema.field(at), values), path)
    return copy


def compared(old: Path, new: Path) -> identical.Comparison:
    found = identical.Comparison()
    identical.compare(found, old, new, ("line",))
    return found


FAULTS: dict[str, tuple[str, str, Callable[[list[Any]], list[Any]]]] = {
    "one bit": ("errors", "bound", lambda v: [float(np.nextafter(v[0], 1)), *v[1:]]),
    "the sign of 0": ("errors", "analytic", lambda v: [0.0, -0.0]),
    "null": ("errors", "correct", lambda v: [None, *v[1:]]),
    "a count": ("cells", "n_evals", lambda v: [v[0] + 1, *v[1:]]),
    "an accusation": ("cells", "rule_jax", lambda v: [not v[0], *v[1:]]),
    "a parameter": ("errors", "param", lambda v: ["W", *v[1:]]),
    "an id": ("cells", "cell", lambda v: ["0" * 16, *v[1:]]),
    "a status": ("cells", "status", lambda v: ["skipped", *v[1:]]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stored_value_that_is_another_is_seen(fault: str, stored: Path, tmp_path: Path) -> None:
    name, column, change = FAULTS[fault]
    start = stored if fault != "the sign of 0" else changed(stored, tmp_path / "0", name, column, lambda v: [0.0, 0.0])
    other = changed(start, tmp_path / "copy", name, column, change)
    assert compared(start, start).same(words=False)
    found = compared(start, other)
    assert found.differences.keys() == {f"{name}.{column}"}
    assert not found.same(words=True)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [("errors", "verdict", "inconclusive"), ("cells", "n_match", 7), ("errors", "reason", "exempt")],
)
def test_words_may_be_let_differ(name: str, column: str, value: Any, stored: Path, tmp_path: Path) -> None:
    found = compared(stored, changed(stored, tmp_path / "copy", name, column, lambda v: [value] * len(v)))
    assert found.differences.keys() == {f"{name}.{column}"}
    assert not found.same(words=False)
    assert found.same(words=True)


def test_cells_that_overflowed_are_excepted_and_named(stored: Path, tmp_path: Path) -> None:
    message = "(34, 'Numerical result out of range')"
    failed = changed(stored, tmp_path / "a", "cells", "status", lambda v: ["failed", *v[1:]])
    old = changed(failed, tmp_path / "b", "cells", "message", lambda v: [message, *v[1:]])
    found = compared(old, stored)
    assert found.same(words=False)
    assert (found.cells, len(found.excepted)) == (1, 1)
    # any other failure counts
    assert not compared(failed, stored).same(words=True)


def test_a_line_that_only_one_side_runs_is_a_difference(stored: Path, tmp_path: Path) -> None:
    assert not compared(stored, tmp_path / "nothing").same(words=True)
    assert compared(tmp_path / "nothing", tmp_path / "nothing").refused == 1


def test_columns_of_one_side_alone_are_listed(stored: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stored, copy)
    for path in full(copy / "cells"):
        pq.write_table(pq.read_table(path).append_column("a_later_one", pa.array([0.0, 0.0])), path)
    found = compared(stored, copy)
    assert found.same(words=False)
    assert found.only == {"OLD": set(), "NEW": {"cells.a_later_one"}}


def test_another_package_than_that_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    with pytest.raises(identical.Failure, match="gradcheck is imported from"):
        identical.trial(tmp_path / "empty", ROOT, tmp_path / "out", [])
