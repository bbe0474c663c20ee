"""Tables in columns: Feather and Arrow files, folders of parts, and values in the names of folders."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

from gradcheck.experiment.config.form import canonical
from gradcheck.experiment.config.identity import cell_id
from gradcheck.experiment.sources.file import File
from gradcheck.models.target import Binary, Real

REAL, BINARY = Real(1), Binary(1)
F64 = np.dtype(np.float64)


def table(n: int = 7, start: int = 0) -> pa.Table:
    rows = np.arange(start, start + n)
    return pa.table({"a": rows / 3, "b": rows * 2, "y": rows % 2})


def arrow_file(what: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), what.schema) as writer:
        writer.write_table(what, max_chunksize=3)


WRITERS: dict[str, Callable[[pa.Table, Path], Any]] = {
    "feather, lz4": lambda what, path: feather.write_feather(what, str(path), compression="lz4"),
    "feather, zstd": lambda what, path: feather.write_feather(what, str(path), compression="zstd"),
    "feather, plain": lambda what, path: feather.write_feather(what, str(path), compression="uncompressed"),
    "feather of pandas": lambda what, path: what.to_pandas().to_feather(path),
    "arrow": arrow_file,
    "parquet, groups of two": lambda what, path: parquet.write_table(what, path, row_group_size=2),
    "parquet of DuckDB": lambda what, path: duckdb.sql("FROM what").write_parquet(str(path)),
}


@pytest.mark.parametrize("name", ["t.feather", "t.arrow", "t.parquet", "t"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_table_in_columns_is_known_by_its_content(writer: str, name: str, tmp_path: Path) -> None:
    WRITERS[writer](table(), tmp_path / name)
    batch = File(str(tmp_path / name), "y").batch(BINARY, F64)
    assert batch.X.tolist() == [[i / 3, 2 * i] for i in range(7)]
    assert batch.y[:, 0].tolist() == [i % 2 for i in range(7)]
    assert File(str(tmp_path / name), "y", ["b"], n=4).batch(BINARY, F64).X.tolist() == [[0], [2], [4], [6]]
    assert File(str(tmp_path / name), "y", n=4).size(BINARY) == (4, 2, 1)


def test_rows_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    many = pa.table({"a": np.random.default_rng(0).random(400_000), "y": np.zeros(400_000)})
    parquet.write_table(many, path, row_group_size=100_000, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    group = parquet.read_metadata(path).row_group(3).column(0)
    at = group.data_page_offset
    content[at : at + 64] = bytes(64)
    path.write_bytes(content)
    assert File(str(path), "y", n=5).batch(REAL, F64).X.shape == (5, 1)
    with pytest.raises(ValueError, match=r"^data\.path=.*: cannot be read"):
        File(str(path), "y").batch(REAL, F64)


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from([pa.int32(), pa.int64(), pa.float64()]), min_size=4, max_size=4),
    n=st.one_of(st.none(), st.integers(1, 4)),
)
def test_parts_are_one_table_in_the_order_of_their_names(sizes: list[int], kinds: list[Any], n: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows, root = 0, Path(folder) / "parts"
        (root / "more").mkdir(parents=True)
        (root / "_SUCCESS").write_text("")
        (root / ".part-9.parquet.crc").write_text("?")
        for i, size in enumerate(sizes):
            part = table(size, rows)
            part = part.set_column(1, "b", part["b"].cast(kinds[i]))
            parquet.write_table(part, root / f"part-{i}.parquet")
            rows += size
        n = n if n is not None and n <= rows else None
        found = File(str(root), "y", n=n).batch(REAL, F64).X
        assert found.tolist() == [[i / 3, 2 * i] for i in range(n or rows)]


def test_values_in_the_names_of_folders_are_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"a": np.arange(8) / 4, "year": [2019, 2020] * 4, "k": list("uvwx") * 2, "y": np.arange(8) % 3}
    )
    ds.write_dataset(
        pa.Table.from_pandas(frame, preserve_index=False),
        tmp_path / "t",
        format="parquet",
        partitioning=["year", "k"],
        partitioning_flavor="hive",
    )
    path = str(tmp_path / "t")
    found = File(path, "y", ["a", "year"]).batch(REAL, F64)
    sql = f"SELECT a, year, y FROM read_parquet('{path}/**/*.parquet', hive_partitioning=true) ORDER BY a"
    expected = duckdb.sql(sql).fetchnumpy()
    order = np.argsort(found.X[:, 0])
    assert np.array_equal(found.X[order], np.stack([expected["a"], expected["year"]], axis=1))
    assert np.array_equal(found.y[order, 0], expected["y"])
    with pytest.raises(ValueError, match=r"data\.features=k: holds 'u'.*'data\.features=\[a,year\]'"):
        File(path, "y").batch(REAL, F64)
    assert File(path, "year", ["a"]).batch(BINARY, F64).y.sum() == 4
    assert File(path, "year", ["a"]).notes(BINARY) == ["data.target=year: 2019 is 0, 2020 is 1"]


def test_parts_with_other_columns_are_refused(tmp_path: Path) -> None:
    parquet.write_table(table(), tmp_path / "a.parquet")
    parquet.write_table(table().drop_columns(["b"]), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"^data\.path=.*: b\.parquet has other columns than a\.parquet"):
        File(str(tmp_path), "y").batch(REAL, F64)


def test_parts_count_together_for_what_may_be_read(tmp_path: Path) -> None:
    for i in range(3):
        parquet.write_table(table(1000), tmp_path / f"{i}.parquet")
    size = (tmp_path / "0.parquet").stat().st_size
    with pytest.raises(ValueError, match=r"more than data\.max_bytes="):
        File(str(tmp_path), "y", max_bytes=2 * size).batch(REAL, F64)


OTHERS: dict[str, tuple[bytes, str]] = {
    "a workbook": (b"PK\x03\x04", "Excel"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "NumPy": (b"\x93NUMPY\x01\x00", "numpy.savetxt"),
    "a pickle": (b"\x80\x04\x95\x00", "pickle"),
    "SQLite": (b"SQLite format 3\x00", "SQLite"),
    "Feather of version 1": (b"FEA1\x00\x00", "to_feather"),
    "an Arrow stream": (b"\xff\xff\xff\xff\x00", "new_file"),
    "xz": (b"\xfd7zXZ\x00", "unxz"),
    "bytes": (b"\x01\x00\x02\x00\x03", "no table"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("suffix", [".csv", ".feather", ""])
def test_other_files_are_refused_by_name(kind: str, suffix: str, tmp_path: Path) -> None:
    content, said = OTHERS[kind]
    path = tmp_path / f"t{suffix}"
    path.write_bytes(content + bytes(20))
    with pytest.raises(ValueError, match=r"^data\.path=.*cannot be read") as refused:
        File(str(path), "y").batch(REAL, F64)
    assert said in str(refused.value) or (kind == "bytes" and suffix == ".feather")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,0\n" * 100_000))
    with pytest.raises(ValueError, match=r"unpacks to more than data\.max_bytes=9999"):
        File(str(tmp_path / "t.csv.gz"), "y", max_bytes=9999).batch(REAL, F64)
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,0\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"^data\.path=.*: cannot be read"):
        File(str(tmp_path / "u.csv.gz"), "y").batch(REAL, F64)


def test_an_id_follows_what_is_read_and_not_where_it_lies(tmp_path: Path) -> None:
    def id_of(path: Path, **settings: Any) -> str:
        data = {"source": "file", "path": str(path), "target": "y", **settings}
        model = {"name": "linear"}
        init, bug = {"name": "zeros"}, {"name": "none"}
        rest = {"eps": 1e-4, "scheme": "central", "dtype": "float64", "match_at": 1e-2}
        return cell_id(canonical({"model": model, "data": data, "init": init, "bug": bug, **rest}))

    root = tmp_path / "t"
    (root / "k=1").mkdir(parents=True)
    parquet.write_table(table(), root / "k=1" / "p.parquet")
    first = id_of(root)
    shutil.copytree(root, tmp_path / "copy")
    assert id_of(tmp_path / "copy") == first
    (tmp_path / "copy" / "k=1").rename(tmp_path / "copy" / "k=2")
    assert id_of(tmp_path / "copy") != first
    (tmp_path / "t.csv").write_text("a,y\n1,0\n")
    plain = id_of(tmp_path / "t.csv")
    for key in ("sep", "decimal", "comment", "na"):
        assert id_of(tmp_path / "t.csv", **{key: None}) == plain
        assert id_of(tmp_path / "t.csv", **{key: {"decimal": "."}.get(key, "#")}) != plain
