"""Runs with different axes are read together by readers of Parquet, without an option of theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from commands import QUICK

import gradcheck
from gradcheck.columns.weights import ERRORS
from gradcheck.experiment.results.rows import CELLS
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main

# grids whose axes have nothing in common, a failed cell, skipped cells, a run without an axis
GRIDS = {
    "a": (
        "model=function",
        "model.fun=math.sin,math.cos",
        "model.jac=math.cos,math.sin",
        "model.x0=1.0",
        "zip=[model.fun,model.jac]",
    ),
    "b": ("bug=scale,sign_flip,dropped_bias", "bug.magnitude=0.5,2", "data.n=6,9", "data.d=2,3", "zip=[data.n,data.d]"),
    "c": ("model=mlp", "model.layers=[3],[2,2]", "model.activation=relu,tanh", "data.n=7"),
    "d": (
        "model=one_d",
        "model.curve=exp,cubic",
        "init=values",
        "init.values={theta: 1000},{theta: 1}",
        "zip=[model.curve,init.values]",
    ),
    "e": ("data=values", "data.X=[[1,2],[3,5]],[[2,1],[0,4]]", "data.y=[0,1]", "init.scale=1,2"),
    "f": ("eps=1e-4",),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers")
    for name, typed in GRIDS.items():
        assert main([*typed, "-m", f"hydra.sweep.dir={folder / name}", *QUICK]) < 2
    with Writer(folder / "g", {}):
        pass  # a run that has just begun
    return folder


def by_pandas(runs: Path, table: str) -> tuple[int, list[str]]:
    import pandas as pd

    found = pd.read_parquet([str(path) for path in sorted(runs.glob(f"*/{table}/*.parquet"))])
    return len(found), list(found.columns)


def by_pyarrow(runs: Path, table: str) -> tuple[int, list[str]]:
    found = ds.dataset([str(path) for path in sorted(runs.glob(f"*/{table}/*.parquet"))]).to_table()
    return found.num_rows, found.column_names


def by_concatenation(runs: Path, table: str) -> tuple[int, list[str]]:
    found = pa.concat_tables([ds.dataset(folder).to_table() for folder in sorted(runs.glob(f"*/{table}"))])
    return found.num_rows, found.column_names


def by_polars(runs: Path, table: str) -> tuple[int, list[str]]:
    polars = pytest.importorskip("polars")
    found = polars.read_parquet(str(runs / f"*/{table}/*.parquet"))
    return len(found), found.columns


def by_polars_lazily(runs: Path, table: str) -> tuple[int, list[str]]:
    polars = pytest.importorskip("polars")
    found = polars.scan_parquet(str(runs / f"*/{table}/*.parquet")).collect()
    return len(found), found.columns


def by_duckdb(runs: Path, table: str) -> tuple[int, list[str]]:
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"SELECT * FROM '{runs}/*/{table}/*.parquet'")
    return len(found.fetchall()), found.columns


READERS: list[Callable[[Path, str], tuple[int, list[str]]]] = [
    by_pandas,
    by_pyarrow,
    by_concatenation,
    by_polars,
    by_polars_lazily,
    by_duckdb,
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_every_reader_reads_runs_with_other_axes_together(
    runs: Path, read: Callable[[Path, str], tuple[int, list[str]]]
) -> None:
    assert read(runs, "cells") == (2 + 12 + 4 + 2 + 4 + 1, CELLS.names)
    n_weights = gradcheck.load(sorted(runs.iterdir())).cells["n_weights"].sum()
    assert read(runs, "errors") == (n_weights, ERRORS.names)


def test_every_file_has_the_same_columns_of_the_same_types(runs: Path) -> None:
    for table, schema in (("cells", CELLS), ("errors", ERRORS)):
        paths = sorted(runs.glob(f"*/{table}/*.parquet"))
        assert len(paths) > len(GRIDS)
        for path in paths:
            assert ds.dataset(path).schema.equals(schema)


def test_what_was_swept_stands_in_columns_of_all_runs_together(runs: Path) -> None:
    cells = gradcheck.load(sorted(runs.iterdir())).cells
    assert set(cells["model_fun"].dropna()) == {"math.sin", "math.cos"}
    assert set(cells["bug_magnitude"].dropna()) >= {0.5, 2.0}
    assert set(cells["model_layers"].dropna()) == {"[3]", "[2, 2]"}
    assert set(cells["model_curve"].dropna()) == {"exp", "cubic"}
    assert set(cells["init_scale"].dropna()) == {1.0, 2.0}


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_run_whose_axis_is_a_column_of_its_own_is_seen(
    runs: Path, tmp_path: Path, read: Callable[[Path, str], tuple[int, list[str]]]
) -> None:
    """The check can fail: a part with one column more."""
    from pyarrow import parquet as pq

    (tmp_path / "z/cells").mkdir(parents=True)
    (tmp_path / "a").symlink_to(runs / "a")
    (path,) = (p for p in (runs / "f/cells").glob("*.parquet") if pq.read_metadata(p).num_rows)
    table = pq.read_table(path)
    pq.write_table(table.append_column("model_extra", pa.array([1.5])), tmp_path / "z/cells/part-00001.parquet")
    try:
        _, columns = read(tmp_path, "cells")
    except Exception:
        return
    assert columns != [*CELLS.names, "model_extra"]  # left out in silence
