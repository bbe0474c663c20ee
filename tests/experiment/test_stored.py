"""What a run holds: every cell once, whatever stands twice; what is missing is said; what is damaged is refused."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from commands import QUICK, rows
from constructed import part, planned
from constructed import rows as made
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck import report, reproduce, show
from gradcheck.columns import parquet, store
from gradcheck.columns.parquet import digest_in
from gradcheck.errors import BadInput, Damaged
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main
from gradcheck.views.runs import load


def run_of(folder: Path, n: int = 12, part_cells: int = 3) -> Path:
    with Writer(folder, {"overrides": []}, part_cells=part_cells) as writer:
        for i in range(n):
            writer.add(made(i, n_weights=1 + i % 5))
    return folder


def held(run: Path) -> tuple[dict[str, int | None], Counter[str]]:
    """Weights that each cell should have, and rows that there are of each."""
    stored = Stored(run)
    cells = stored.read_cells(["cell", "n_weights"]).to_pylist()
    assert len({row["cell"] for row in cells}) == len(cells)
    return {row["cell"]: row["n_weights"] for row in cells}, Counter(
        cell for table in stored.weight_tables(["cell"]) for cell in table["cell"].to_pylist()
    )


# ---------------------------------------------------------------------------------------------------------- protection


def test_the_name_of_a_part_is_the_digest_of_its_footer_and_the_footer_that_of_its_pages(tmp_path: Path) -> None:
    import hashlib
    import zlib

    for path in run_of(tmp_path).rglob("part-*"):
        content = path.read_bytes()
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        assert digest_in(path.name) == hashlib.sha256(content[start:]).hexdigest()[:16]
        pages = pq.read_metadata(path).metadata[b"gradcheck.pages"].decode()
        assert pages == f"{start} {zlib.crc32(content[:start]):08x}"
        assert Stored(tmp_path).protected


def test_page_checksums_are_those_of_the_format(tmp_path: Path) -> None:
    """Any reader may verify them, and they see what they can see."""
    path = part(run_of(tmp_path, 40, 40), "errors")
    pq.ParquetFile(path, page_checksum_verification=True).read()
    place = pq.read_metadata(path).row_group(0).column(5).data_page_offset
    content = bytearray(path.read_bytes())
    content[place + 80] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


def test_what_has_no_checksums_is_read_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run")
    show.main([str(run)])
    assert "not protected" not in capsys.readouterr().out
    want = held(run)
    for folder in ("cells", "errors"):  # as another tool would make one file of them
        table = pq.read_table(run / folder)
        for path in (run / folder).iterdir():
            path.unlink()
        pq.write_table(table, run / folder / "all.parquet")
    assert held(run) == want
    assert not Stored(run).protected
    assert show.main([str(run)]) == 0
    assert "not protected by checksums" in capsys.readouterr().out


def test_a_damaged_page_is_refused_by_the_dataset_when_it_is_read(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path = part(run, "errors")
    content = bytearray(path.read_bytes())
    content[60] ^= 4
    path.write_bytes(content)
    errors = load(run).errors
    for _ in range(2):
        with pytest.raises(Damaged, match=path.name):
            errors.to_table()
    with pytest.raises(Damaged):
        pickle.loads(pickle.dumps(errors)).to_table()


def test_a_damaged_footer_is_refused_before_there_is_a_dataset(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path = part(run, "errors")
    content = bytearray(path.read_bytes())
    content[-200] ^= 4
    path.write_bytes(content)
    with pytest.raises(Damaged, match=path.name):
        load(run)


def test_a_dataset_can_be_asked_pickled_and_filtered(tmp_path: Path) -> None:
    errors = load(run_of(tmp_path)).errors
    again = pickle.loads(pickle.dumps(errors))
    some = ds.field("cell") == planned(3).cell
    assert again.to_table().equals(errors.to_table())
    assert again.to_table(filter=some).num_rows == errors.count_rows(filter=some) == 4
    with pytest.raises(NotImplementedError):
        errors.filesystem.delete_file(errors.files[0])


# -------------------------------------------------------------------------------------------------- copies and losses

COPIES = st.lists(
    st.tuples(
        st.sampled_from(["cells", "errors", "both"]), st.integers(1, 4), st.sampled_from(["copy", "part-00050", "a"])
    ),
    max_size=4,
)


@settings(max_examples=10)
@given(COPIES, st.randoms(use_true_random=False))
def test_a_cell_counts_once_however_often_its_parts_stand_there(
    tmp_path_factory: pytest.TempPathFactory, copies: list[tuple[str, int, str]], chance: random.Random
) -> None:
    run = tmp_path_factory.mktemp("run") / "run"
    run_of(run)
    want = held(run)
    for k, (which, number, name) in enumerate(copies):
        for folder in ("cells", "errors") if which == "both" else (which,):
            path = part(run, folder, number)
            new = f"{name}-{k}.parquet" if chance.random() < 0.5 else path.name.replace(f"0{number}-", f"{60 + k}-")
            shutil.copy(path, run / folder / new)
    assert held(run) == want
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        runs = load(run)
    assert Counter(runs.errors.to_table()["cell"].to_pylist()) == want[1]
    assert len(runs.cells) == len(want[0])
    assert ["TWICE" in str(one.message) for one in heard] == [True] * bool(copies)


def test_rows_that_stand_in_two_parts_of_other_cells_too_count_once(tmp_path: Path) -> None:
    """Parts that overlap, as no copy does."""
    run = run_of(tmp_path)
    want = held(run)
    for folder in ("cells", "errors"):
        tables = [pq.read_table(part(run, folder, k), partitioning=None) for k in (1, 2)]
        half = pa.concat_tables([tables[0], tables[1].slice(tables[1].num_rows // 2)])
        pq.write_table(half, run / folder / "part-00077.parquet")
    assert held(run) == want
    with pytest.warns(UserWarning, match="TWICE"):
        errors = load(run).errors
    assert Counter(errors.to_table()["cell"].to_pylist()) == want[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(["bug=none,scale", "eps=1e-4", "-m", f"hydra.sweep.dir={folder}", *QUICK]) == 0
    return folder


@pytest.mark.parametrize("command", ["show", "load", "report", "reproduce", "resume"])
def test_every_reader_says_what_is_missing(
    command: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    gone = part(run, "errors")
    gone.unlink()
    said = "MISSING  12 of 12 rows in errors, of 2 cells"
    if command == "load":
        with pytest.warns(UserWarning, match=said):
            assert load(run).errors.count_rows() == 0
        return
    if command == "resume":
        assert main([f"resume={run}", *QUICK]) == 0
        said = f"repair  errors/{gone.name}: 12 rows of 2 cells are missing"
        assert rows(run) == rows(finished)
    elif command == "report":
        pytest.importorskip("altair")
        assert report.main([str(run)]) == 0
        assert said in (run / "report.html").read_text(encoding="utf-8")
        return
    else:
        status = {"show": show.main, "reproduce": reproduce.main}[command]([str(run)])
        assert status == (1 if command == "reproduce" else 0)
    out = capsys.readouterr().out
    assert said in out
    assert gone.name in out


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all"])
@pytest.mark.parametrize("folder", ["cells", "errors"])
def test_an_unreadable_part_is_named_with_the_way_out_which_helps(
    content: bytes, folder: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = part(run, folder)
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load(run)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(f"; resume={run} repairs it")
    assert main([f"resume={run}", *QUICK]) == 0
    assert f"repair  {path}: damaged" in capsys.readouterr().out
    assert rows(run) == rows(finished)


# ------------------------------------------------------------------------------------------------------ loss of power


def test_every_new_name_is_synced_before_saved_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    waiting: set[Path] = set()
    said, opened = [], {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "mkdir")}

    def sees(name: str, note: Any) -> None:
        def call(*arguments: Any, **options: Any) -> Any:
            found = real[name](*arguments, **options)
            note(found, *arguments)
            return found

        monkeypatch.setattr(os, name, call)

    def renamed(_: Any, source: Any, target: Any) -> None:
        # weights and plan are there for good before what builds on them has a name
        if Path(target).parent.name == "cells":
            assert not {folder for folder in waiting if folder.name == "errors"}
        waiting.add(Path(target).absolute().parent)

    sees("open", lambda number, path, *_: opened.__setitem__(number, Path(os.fsdecode(path)).absolute()))
    sees("fsync", lambda _, number: waiting.discard(opened.get(number, Path())))
    sees("replace", renamed)
    sees("mkdir", lambda _, path, *__: waiting.add(Path(path).absolute().parent))
    monkeypatch.setattr("builtins.print", lambda *text, **_: said.append((str(text), set(waiting))))
    assert main(["bug=none,scale", "-m", "hydra.sweep.dir=new/day/run", *QUICK]) == 0
    (unsynced,) = (left for text, left in said if "saved" in text)
    assert not {folder for folder in unsynced if folder.name != ".tmp"}
    with monkeypatch.context() as patch:  # it would be seen
        patch.setattr(store, "sync", lambda folder: None)
        with pytest.raises(AssertionError):
            main(["bug=none,scale", "-m", "hydra.sweep.dir=other", *QUICK])


def test_folders_that_cannot_be_opened_are_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    real = os.open

    def refusing(path: Any, *arguments: Any, **options: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    assert held(run_of(tmp_path))[1].total() > 0


def test_a_file_of_another_tool_keeps_no_checksum_of_ours(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path, other = part(run, "errors"), tmp_path / "other.parquet"
    table = pq.read_table(path).replace_schema_metadata(pq.read_metadata(path).metadata)
    pq.write_table(table.slice(1), other)
    assert parquet.PAGES in pq.read_metadata(other).metadata
    known = pq.read_metadata(other).metadata
    assert parquet.Pages.of(parquet.Footer(other), known) is None
