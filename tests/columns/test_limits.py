"""Small files that unpack to more than there is are refused before they are read, by every command, in one line."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import QUICK
from hypothesis import given
from hypothesis import strategies as st

import gradcheck
from gradcheck import reproduce
from gradcheck.columns import limits, parquet
from gradcheck.errors import BadInput
from gradcheck.experiment.replay import replay
from gradcheck.report import main as report
from gradcheck.run import main
from gradcheck.show import main as show
from gradcheck.views import reported, tables
from gradcheck.views.commands import printed, resume


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("record") / "run"
    assert main(["data.n=5", "data.d=1", f"hydra.run.dir={run}", *QUICK]) == 0
    return run


def rows(table: pa.Table, path: Path) -> None:
    """Millions of rows in some kilobytes."""
    million = [pa.repeat(c[0], 10**6) if c[0].is_valid else pa.nulls(10**6, c.type) for c in table.columns]
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(2):
            writer.write_table(pa.table(million, schema=table.schema))


def column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def text(table: pa.Table, path: Path) -> None:
    name = "config" if path.name == "plan.parquet" else "message"
    pq.write_table(column(table, name, pa.array(["x" * 50_000_000] * table.num_rows)), path, compression="zstd")


def dictionary(table: pa.Table, path: Path) -> None:
    """A text that is there once and referred to many times."""
    name = "skip" if path.name == "plan.parquet" else "message"
    many = pa.table(
        [pa.repeat(c[0], 900) if c[0].is_valid else pa.nulls(900, c.type) for c in table.columns], table.schema
    )
    pq.write_table(column(many, name, pa.array(["x" * 9_000] * 900)), path, compression="zstd", use_dictionary=[name])


def columns(table: pa.Table, path: Path) -> None:
    more = {f"c{k}": pa.array([k] * table.num_rows) for k in range(3_000)}
    arrays = [*table.columns, *more.values()]
    schema = pa.schema([*table.schema, *(pa.field(k, pa.int64()) for k in more)], table.schema.metadata)
    pq.write_table(pa.table(arrays, schema=schema), path)


def footer(table: pa.Table, path: Path) -> None:
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), "x": "y" * 20_000_000}), path)


BOMBS = {"rows": rows, "text": text, "dictionary": dictionary, "columns": columns, "footer": footer}
COMMANDS: dict[str, Callable[[str], int]] = {
    "show": lambda run: show([run]),
    "show --json": lambda run: show([run, "--json"]),
    "report": lambda run: report([run]),
    "reproduce": lambda run: reproduce.main([run]),
    "resume": lambda run: main([f"resume={run}", *QUICK]),
}


@pytest.fixture(scope="module")
def planted(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    made: dict[tuple[str, str], Path] = {}
    # what a command imports is no memory that a record takes, and tracing it takes a multiple of importing it
    assert show([str(original)]) == 0

    def plant(bomb: str, where: str) -> Path:
        if (bomb, where) not in made:
            run = made[bomb, where] = tmp_path_factory.mktemp("bomb") / "run"
            shutil.copytree(original, run)
            path = max((run / where).glob("*.parquet")) if where != "plan" else run / "plan.parquet"
            table = pq.ParquetFile(path).read()
            if where != "plan":  # under a name that promises nothing
                path = path.rename(path.with_name("part-00001.parquet"))
            BOMBS[bomb](table, path)
        return made[bomb, where]

    return plant


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_record_that_unpacks_to_more_is_refused_in_one_line(
    planted: Any, bomb: str, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = planted(bomb, "plan" if command == "resume" else "cells")
    capfd.readouterr()
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    status = COMMANDS[command](str(run))
    taken = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    out, err = capfd.readouterr()
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1
    assert ".parquet: " in err
    # the footer of many columns itself, and nothing of what the file claims
    assert taken < 150e6


@pytest.mark.parametrize("bomb", BOMBS)
def test_load_refuses_it_too(planted: Any, bomb: str) -> None:
    with pytest.raises(BadInput, match=r"must hold at most|must have at most|different ids"):
        gradcheck.load(planted(bomb, "cells"))


@pytest.mark.parametrize("folder", ["cells", "errors"])
def test_what_a_run_stores_is_no_bomb(original: Path, folder: str) -> None:
    for path in (original / folder).glob("*.parquet"):
        parquet.opened(path, ids=folder == "cells")
    parquet.opened(original / "plan.parquet", ids=True)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.integers(0, 3000), min_size=4, max_size=4),
    st.integers(1, 200_000),
)
def test_the_text_of_a_dictionary_is_counted_as_it_is_written_out(
    places: list[int], lengths: list[int], most: int
) -> None:
    whole = pa.array(["x" * lengths[i] for i in places])
    batch = pa.record_batch([whole.dictionary_encode()], ["message"])
    size = sum(lengths[i] for i in places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_most", lambda column, rows: most)
        if size > most:
            with pytest.raises(BadInput, match=f"holds {size} bytes"):
                limits.require_short("part", batch)
        else:
            limits.require_short("part", batch)


# ------------------------------------------------------------------------------------------------ memory that is short


def greedy(*given: Any, **more: Any) -> Any:
    raise MemoryError("cannot allocate 10 TB")


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("show", tables, "overview"),
        ("show --json", printed, "as_json"),
        ("report", reported, "Record"),
        ("reproduce", replay, "reproduce"),
        ("resume", resume, "read_plan"),
    ],
)
def test_memory_that_is_short_is_one_line(
    original: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    module: Any,
    name: str,
) -> None:
    monkeypatch.setattr(module, name, greedy)
    assert COMMANDS[command](str(original)) == 1
    assert capfd.readouterr().err == "gradcheck: this takes more memory than there is; what is stored is intact\n"


def test_memory_that_is_short_while_a_file_is_read_names_the_file(
    original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "require_short", greedy)
    with pytest.raises(BadInput, match=r"part-0.*\.parquet: takes more memory than there is"):
        gradcheck.load(original)
