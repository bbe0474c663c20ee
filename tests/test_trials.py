"""The slow trials in a short form, and that each of them can fail.  In full: ``python -m tests.trials``."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import finished
from trials import configs, crash, damages, flips, fuzz, interpolations, kills, load, overrides
from waiting import start_seconds

from gradcheck.columns import limits, parquet, store
from gradcheck.experiment.config import repository, words
from gradcheck.experiment.results import repair, writer
from gradcheck.experiment.results.stored import Stored
from gradcheck.run import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.mark.parametrize(("engine", "times"), [("serial", 2), ("loky", 1)])
def test_a_killed_sweep_is_resumed_to_the_same_rows(engine: str, times: int, shared: Path) -> None:
    written = max(1.0, 4 * start_seconds("pyarrow.parquet"))  # a second on an idle machine, of a part's five
    found = kills.trial(engine, times, shared, cells=120, longest=2.0, lost=writer.PART_SECONDS + written)
    assert found["kills"] >= times


def test_random_overrides_end_with_a_status_and_a_line_or_run_as_typed(tmp_path: Path) -> None:
    assert overrides.trial(tmp_path, 15, 1).startswith("15 lines")


def test_damaged_configs_are_refused_with_their_line_or_run_as_written(tmp_path: Path) -> None:
    assert configs.trial(tmp_path, 10).startswith("10 files")


def test_random_interpolations_give_what_hydra_composes(tmp_path: Path) -> None:
    counts, wrong = interpolations.run(tmp_path, 40, 1)
    assert not wrong
    assert counts["points"] > 5


def test_what_reads_records_survives_whatever_they_hold() -> None:
    chance = random.Random(0)
    for data in fuzz.seeds():
        fuzz.target(data)
        changed = bytearray(data)
        for _ in range(3):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
            fuzz.target(bytes(changed))


def test_single_flipped_bits_never_read_as_other_numbers(tmp_path: Path) -> None:
    assert flips.trial(tmp_path, 30, seed=1).startswith("30 flips")


def test_damaged_parts_are_named_and_mended(tmp_path: Path) -> None:
    whole, other = damages.originals(tmp_path)
    chance = random.Random(1)
    for damage in (damages.lost, damages.exchanged, damages.rewritten):
        damages.attempt(chance, whole, other, tmp_path / damage.__name__, damage)


def test_what_was_saved_survives_a_loss_of_power(tmp_path: Path) -> None:
    try:
        assert crash.crash(tmp_path, crash.TYPED[1], 0)
    except OSError as error:
        pytest.skip(f"no disk can be made here: {error}")


# --------------------------------------------------------------------------------------------------- they can fail


def test_a_folder_that_is_not_synced_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "sync", lambda folder: None)
    try:
        with pytest.raises(kills.Failure, match="gone"):
            crash.crash(tmp_path, crash.TYPED[0], 0)
    except OSError as error:
        pytest.skip(f"no disk can be made here: {error}")


def test_numbers_without_checksums_are_seen_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet.Pages, "verify", lambda self, file: None)
    monkeypatch.setattr(parquet, "digest_in", lambda name: None)
    monkeypatch.setattr(limits, "require_modest", lambda *_: [])  # pyarrow ends the process over some wrong footers
    monkeypatch.setattr(parquet, "AT_ONCE", 0)
    opened = pq.ParquetFile
    monkeypatch.setattr(
        pq, "ParquetFile", lambda *file, **how: opened(*file, **how | {"page_checksum_verification": False})
    )
    monkeypatch.setattr("pyarrow.dataset.ParquetFragmentScanOptions", lambda **_: None)
    with pytest.raises(kills.Failure, match="other numbers without a word"):
        flips.trial(tmp_path, 200)


def test_a_damage_that_is_not_mended_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, other = damages.originals(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(repair, "findings", lambda stored, jobs: iter(()))
        with pytest.raises(kills.Failure, match="is not named"):
            damages.attempt(random.Random(1), whole, other, tmp_path / "silent", damages.cut)
    monkeypatch.setattr(repair, "tidy", lambda *_: True)
    with pytest.raises(kills.Failure, match=r"rows differ|after the repair"):
        damages.attempt(random.Random(1), whole, other, tmp_path / "untidy", damages.doubled)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    assert main(["bug=none,scale", "-m", "engine=serial", "progress=none", f"hydra.sweep.dir={tmp_path}/run"]) == 0
    return tmp_path / "run"


def look(run: Path) -> list[str]:
    reader = kills.Reader(run)
    reader._look()
    return reader.wrong


def test_the_reader_sees_a_file_that_is_not_whole(run: Path) -> None:
    assert look(run) == []
    part = max((run / "cells").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-50])
    assert look(run)


def test_the_reader_sees_a_cell_without_its_weights(run: Path) -> None:
    part = max((run / "errors").glob("*.parquet"))
    pq.write_table(pq.read_table(part).slice(1), part)
    assert look(run)


def test_the_reader_sees_a_file_that_vanished(run: Path) -> None:
    reader = kills.Reader(run)
    reader._look()
    max((run / "cells").glob("*.parquet")).unlink()
    reader._look()
    assert reader.wrong


def test_other_rows_are_not_the_same(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other")
    assert kills.same(run, tmp_path / "other")
    part = max((tmp_path / "other/errors").glob("*.parquet"))
    table = pq.read_table(part)
    changed = pa.array([value + 1e-15 for value in table["numeric"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("numeric"), "numeric", changed), part)
    assert not kills.same(run, tmp_path / "other")


def test_work_that_is_not_stored_has_an_age(run: Path) -> None:
    stored = next(iter(finished(run)))
    now = time.time()
    assert kills._age_of_loss(run, {stored: now - 9.0}, now) == 0.0
    assert kills._age_of_loss(run, {stored: now - 9.0, "other": now - 7.0}, now) == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("status", "out", "err"),
    [
        (3, "", ""),
        (2, "", "Traceback (most recent call last):\n"),
        (2, "", "gradcheck: one\ngradcheck: two\n"),
        (2, "", "words\n"),
        (2, "", "usage: gradcheck show RUN_DIR\ngradcheck show: error: unrecognized arguments\n"),
        (2, "", "gradcheck: \x1b[2J\n"),
        (2, "", "gradcheck: \x9b2J\n"),
        (2, "", "gradcheck: eps=0\r\n"),
        (2, "", "gradcheck: \u202eeps=0\n"),
        (0, "saved \x1b[2J\n", ""),
        (0, "Traceback", ""),
        (1, "MATCH  all 12 checks agree\n", ""),
        (0, "", "warning\n"),
    ],
)
def test_a_command_line_that_ends_badly_is_seen(status: int, out: str, err: str) -> None:
    assert overrides.judge(["x"], status, out, err)
    assert overrides.judge(["x"], 2, "", "gradcheck: eps=0: must be > 0\n") is None


def test_a_run_of_something_else_is_seen(tmp_path: Path, run: Path) -> None:
    typed = ["bug=none,scale", "engine=serial", "progress=none"]
    assert overrides.ran(typed, tmp_path) is None
    assert "stored" in str(overrides.ran([*typed, "eps=1e-4"], tmp_path))
    assert "Hydra says" in str(overrides.ran([*typed, "eps=${nope}"], tmp_path))


@pytest.mark.parametrize(
    "err", ["gradcheck: eps=0: must be", f"gradcheck: {configs.NAME}, line 9: odd", "gradcheck: x, line 1: y"]
)
def test_a_refusal_without_a_line_of_the_file_is_seen(err: str) -> None:
    assert configs.judge(b"eps: 0\n", err)
    assert configs.judge(b"eps: 0\n", f"gradcheck: {configs.NAME}, line 1: eps=0: must be") is None


def test_a_library_error_that_is_not_caught_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (words, repository):
        monkeypatch.setattr(module, "is_theirs", lambda error: False)
    with pytest.raises(kills.Failure):
        configs.trial(tmp_path, 7)


def test_a_reader_that_raises_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stored, "cell_rows", lambda self, columns: {}["x"])
    with pytest.raises(KeyError):
        fuzz.target(bytes([fuzz.TARGETS.index(fuzz.damaged), 0]))  # a file with no byte changed


@pytest.mark.parametrize(("fault", "named"), [("assert False", "test_b"), ("import os; os._exit(3)", "run 1")])
def test_a_test_that_fails_under_load_is_named(fault: str, named: str, tmp_path: Path) -> None:
    tests = tmp_path / "test_planted.py"
    tests.write_text(f"def test_a():\n    pass\n\n\ndef test_b():\n    {fault}\n", encoding="utf-8")
    with pytest.raises(kills.Failure, match=named):
        load.trial(tmp_path, 1, 0, ["-n", "0", str(tests)])


def test_the_load_lasts_as_long_as_its_block_and_no_longer_than_its_process() -> None:
    with load.busy(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert None not in [process.poll() for process in processes]
    # of a process that was killed, its busy process closes the pipe when it ends
    code = "import os\nfrom trials import load\nwith load.busy(1):\n    os._exit(9)"
    done = subprocess.run([sys.executable, "-c", code], cwd=load.TESTS, stdout=subprocess.PIPE, timeout=300)
    assert done.returncode == 9
