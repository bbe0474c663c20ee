"""What `gradcheck.load` gives is what a plain and slow reading of the parts gives: columns, types, order and values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from constructed import rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.columns import parquet
from gradcheck.columns.chunks import Chunks
from gradcheck.columns.parquet import PROVENANCE
from gradcheck.columns.weights import AXES, ERRORS, SCHEMA_VERSION
from gradcheck.errors import Damaged
from gradcheck.experiment.results.part import Part
from gradcheck.experiment.results.rows import CELLS, lacking
from gradcheck.experiment.results.writer import Writer, write_pair
from gradcheck.views import runs
from gradcheck.views.record import Record

# Every way of filling a column: unknown, one value (of two, so that parts differ), or a value a row.
FILLS = ("null", "one", "other", "many", "some")
VALUES: dict[Any, tuple[Any, Any, Callable[[int], Any]]] = {
    pa.string(): ("W", "wörter ☃", lambda i: f"text {i}"),
    pa.float64(): (0.5, float("inf"), lambda i: 0.1 * i - 1),
    pa.int64(): (7, -(2**53) - 1, lambda i: 3 * i),
    pa.bool_(): (True, False, lambda i: i % 3 == 0),
}
SETTLED = (
    "cell",
    "status",
    "n_weights",
    "bug_injected",
    "model",
    "n_missed",
    "verdict",
)  # what loading looks at itself
MIXED = [field for field in CELLS if field.name not in SETTLED]


def filled(field: pa.Field, fill: str, n: int) -> pa.Array:
    one, other, many = VALUES[field.type]
    made = {
        "null": [None] * n,
        "one": [one] * n,
        "other": [other] * n,
        "many": [many(i) for i in range(n)],
        "some": [many(i) if i % 2 else None for i in range(n)],
    }
    return pa.array(made[fill], field.type)


def cells(k: int, n: int, fills: dict[str, str]) -> pa.Table:
    """Rows of ``cells`` without weights, as of failures."""
    known = {"cell": pa.array([f"{k:08x}{i:08x}" for i in range(n)]), "status": pa.array(["failed"] * n)}
    arrays = [
        known[f.name] if f.name in known else filled(f, "null" if f.name in SETTLED else fills.get(f.name, "null"), n)
        for f in CELLS
    ]
    return pa.table(arrays, schema=CELLS)


def ours(folder: Path, k: int, table: pa.Table) -> None:
    stamp = {PROVENANCE: b'{"schema_version": %d}' % SCHEMA_VERSION}
    write_pair(folder, k, [ERRORS.empty_table()], [table], stamp)


def first_version(folder: Path, k: int, table: pa.Table) -> None:
    """Without checksums and without the columns that came later."""
    later = {*lacking(CELLS, [], 2)} - {*lacking(CELLS, [], 1)}
    table = table.drop_columns(sorted(later)).replace_schema_metadata({PROVENANCE: b'{"schema_version": 1}'})
    pq.write_table(table, folder / "cells" / f"part-{k:05d}.parquet", compression="zstd")


def copied(folder: Path, k: int, table: pa.Table) -> None:
    """By another tool: other types, several row groups, a column more, another order of columns."""
    schema = pa.schema([(f.name, pa.large_string() if f.type == pa.string() else f.type) for f in table.schema])
    table = table.cast(schema).append_column("note", pa.array([f"note {k}"] * table.num_rows))
    table = table.select([*reversed(table.schema.names)]).replace_schema_metadata(
        {PROVENANCE: b'{"schema_version": 2}'}
    )
    pq.write_table(table, folder / "cells" / f"part-{k:05d}.parquet", row_group_size=4)


def lying(folder: Path, k: int, table: pa.Table) -> None:
    """As ours, with checksums that hold and statistics that say of each column that all of it is null."""
    ours(folder, k, table)
    (path,) = (folder / "cells").glob(f"part-{k:05d}*")
    lie(path)


def lie(path: Path) -> Path:
    """The null counts of whole columns in a footer turned into as many as there are rows, and its digest made anew."""
    content, n = path.read_bytes(), pq.read_metadata(path).num_rows
    assert 0 < n < 64  # one byte in Thrift's notation
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:].replace(b"\x16\x00\x28", b"\x16" + bytes([2 * n]) + b"\x28")
    path.unlink()
    named = path.with_name(re.sub("-[0-9a-f]{16}", f"-{hashlib.sha256(footer).hexdigest()[:16]}", path.name))
    named.write_bytes(content[:start] + footer)
    return named


WRITERS = (ours, first_version, copied, lying)


def plain(folder: Path) -> pd.DataFrame:
    """File by file, row by row."""
    names: dict[str, None] = {}
    found: list[dict[str, Any]] = []
    for path in sorted((folder / "cells").glob("*.parquet")):
        table = pq.ParquetFile(path).read()
        if table.num_rows:
            later = [name for name in CELLS.names if name not in table.schema.names]
            names |= dict.fromkeys([*table.schema.names, *later])
        found += table.to_pylist()
    kinds = {field.name: field.type for field in CELLS}
    arrays = {name: pa.array([row.get(name) for row in found], kinds.get(name, pa.string())) for name in names}
    return pa.table(arrays).to_pandas(types_mapper=MAPPER.get)


def require_the_same(folder: Path) -> None:
    got, want = gradcheck.load(folder).cells, plain(folder)
    pd.testing.assert_frame_equal(got, want, check_exact=True, check_column_type=True)
    assert [str(dtype) for dtype in got.dtypes] == [str(dtype) for dtype in want.dtypes]
    record = Record(folder).cells
    pd.testing.assert_frame_equal(record, want[list(record.columns)], check_exact=True)
    assert set(want.columns) - set(record.columns) == {"config", "seconds"}


part = st.tuples(
    st.sampled_from(WRITERS),
    st.integers(1, 12),
    st.dictionaries(st.sampled_from([f.name for f in MIXED]), st.sampled_from(FILLS), max_size=len(MIXED)),
    st.sampled_from(FILLS),
)


def mixture(folder: Path, parts: list[Any]) -> Path:
    (folder / "cells").mkdir(parents=True)
    (folder / "errors").mkdir()
    ours(folder, 0, CELLS.empty_table())
    for k, (write, n, fills, rest) in enumerate(parts, 1):
        write(folder, k, cells(k, n, dict.fromkeys((f.name for f in MIXED), rest) | fills))
    return folder


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(part, min_size=1, max_size=4))
def test_parts_of_every_kind_are_read_as_a_plain_reading_reads_them(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Any]
) -> None:
    require_the_same(mixture(tmp_path_factory.mktemp("mixture") / "run", parts))


MAPPER = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
KINDS = [*CELLS, *ERRORS, *AXES]  # the texts of the last as a dictionary


@given(data=st.data(), lengths=st.lists(st.integers(0, 3), max_size=4))
def test_pandas_takes_column_by_column_what_it_takes_of_a_table(data: st.DataObject, lengths: list[int]) -> None:
    places = data.draw(st.lists(st.integers(0, len(KINDS) - 1), max_size=8, unique=True))
    values = {**{kind: one[:2] for kind, one in VALUES.items()}, pa.list_(pa.int32()): ([], [1, 2])}
    columns, fields = [], []
    for i in places:
        kind = KINDS[i].type
        drawn = [data.draw(st.lists(st.sampled_from([None, *values[kind]]), min_size=n, max_size=n)) for n in lengths]
        column = pa.chunked_array([pa.array(some, kind) for some in drawn], kind)
        columns.append(column.dictionary_encode() if i >= len(CELLS) + len(ERRORS) and kind == pa.string() else column)
        fields.append(pa.field(f"{KINDS[i].name}_{i}", columns[-1].type))
    table = pa.table(columns, schema=pa.schema(fields))
    want = table.to_pandas(types_mapper=MAPPER.get)
    pd.testing.assert_frame_equal(runs.frame_of(table), want, check_exact=True, check_column_type=True)


SAME = [(ours, 9, {"model_l2": fill}, "one") for fill in ("one", "other", "null", "one")]


def test_the_values_of_a_column_come_from_the_bytes_of_its_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, keys = mixture(tmp_path / "run", SAME), Chunks.keys
    require_the_same(run)
    monkeypatch.setattr(
        Chunks, "keys", lambda *given: {n: key[:-1] if n == "model_l2" else key for n, key in keys(*given).items()}
    )
    with pytest.raises(AssertionError, match="model_l2"):
        require_the_same(run)


def test_equal_chunks_of_other_types_are_other_columns(tmp_path: Path) -> None:
    known, found = Chunks(), []
    for k, array in enumerate([pa.array([5] * 9), pa.array(np.array([5] * 9).view(np.float64))]):
        pq.write_table(pa.table({"x": array}), tmp_path / "x.parquet", use_dictionary=False, write_statistics=False)
        with parquet.File(tmp_path / "x.parquet", whole=True) as file:
            found.append(file.chunks(known, ["x"])["x"])
            known.put(found[k], array)
    assert found[0][-1] == found[1][-1]
    assert found[0] != found[1]


@pytest.mark.parametrize("named", [True, False])
def test_statistics_that_lie_change_no_value(tmp_path: Path, named: bool) -> None:
    parts = [(ours, 9, {}, "null"), (ours, 9, {}, "one"), (lying, 9, {}, "one"), (lying, 9, {}, "many")]
    run = mixture(tmp_path / "run", parts)
    for k in (3, 4):
        (path,) = (run / "cells").glob(f"part-{k:05d}*")
        group = pq.read_metadata(path).row_group(0)
        claimed = [group.column(c).statistics for c in range(group.num_columns)]
        assert sum(s is not None and s.null_count == 9 for s in claimed) > 40
        if not named:
            path.rename(path.with_name(f"part-{k:05d}.parquet"))
    require_the_same(run)
    values = gradcheck.load(run).cells["model_l2"]
    assert values[9:18].tolist() == values[18:27].tolist() == [0.5] * 9
    assert values[27:].notna().all()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_part_is_decoded_from_the_bytes_that_were_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """Between the checksum and the decoding nobody can put other bytes in, as far as a part is read at once."""
    ours(mixture(tmp_path / "run", []), 1, cells(1, 9, {"loss": "many"}))
    (path,) = (tmp_path / "run" / "cells").glob("part-00001*")
    want, verify, content = plain(tmp_path / "run"), parquet.Pages.verify, path.read_bytes()
    size = pq.read_metadata(path).serialized_size + 8

    def then_overwritten(pages: Any, file: Any) -> None:
        verify(pages, file)
        path.write_bytes(bytes(len(content) - size) + content[-size:])

    monkeypatch.setattr(parquet.Pages, "verify", then_overwritten)
    if at_once:
        part = Part(path, CELLS, lambda name: True)
        pd.testing.assert_frame_equal(runs.frame_of(pa.concat_tables(part.read)), want)
        with pytest.raises(Damaged, match="checksum"):  # nor is it believed the next time
            list(part.tables())
    else:
        monkeypatch.setattr(parquet, "AT_ONCE", 0)
        with pytest.raises(Damaged):
            Part(path, CELLS, lambda name: True)


def test_each_part_of_cells_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(tmp_path / "run", {}) as writer:
        for i in range(3):
            writer.add(rows(i))
    opened: list[str] = []
    make = parquet.File.__init__

    def counted(self: Any, path: Any, *given: Any, **more: Any) -> None:
        opened.append(path.parent.name)
        make(self, path, *given, **more)

    monkeypatch.setattr(parquet.File, "__init__", counted)
    stored = len(list((tmp_path / "run" / "cells").glob("*.parquet")))
    gradcheck.load(tmp_path / "run")
    assert opened.count("cells") == stored + 1  # that without rows once more
