"""Disks that fill, folders that become read-only, interrupts at bad moments: what was stored stays, the rest goes on."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, command, rows, started
from waiting import PATIENCE, until

from gradcheck.columns import parquet, store
from gradcheck.experiment.results.writer import Writer
from gradcheck.run import main

SWEEP = ("init.seed=range(100)", "eps=1e-4,1e-5", "-m", *QUICK)
FEW = ("init.seed=range(25)", "eps=1e-4,1e-5", "-m", *QUICK)  # ten small parts
SMALL_PARTS = "from gradcheck.experiment.results.writer import Writer\nWriter.__init__.__kwdefaults__['part_cells'] = 5"


Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def done(command: list[str], words: str) -> None:
    """Run a command of the operating system; skips where it needs rights that the tests have not, or does not exist."""
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(words)
    except OSError:
        pytest.skip(f"there is no {command[0]} here")


@contextmanager
def disk(where: Path, size: str) -> Iterator[None]:
    """A filesystem of its own in memory; skips where that needs rights that the tests have not."""
    where.mkdir()
    done(["mount", "-t", "tmpfs", "-o", f"size={size}", "gradcheck-test", str(where)], "mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def remount(where: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(where)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of the undisturbed sweep."""
    folder = tmp_path_factory.mktemp("whole")
    assert main([*SWEEP, f"hydra.sweep.dir={folder}/here"]) == 0
    return rows(folder / "here")


@pytest.fixture(scope="module")
def few(whole: Rows) -> Rows:
    """Those of the small one, which is a part of it."""
    seeds = {row["cell"] for row in whole[0] if row["init_seed"] < 25}
    cells, errors = ([row for row in table if row["cell"] in seeds] for table in whole)
    assert len(cells) == 50
    return cells, errors


def intact(run_dir: Path, whole: Rows, least: int = 1) -> int:
    """Every visible cell is as it should be and has its weights; how many there are."""
    cells, errors = rows(run_dir)
    known = {row["cell"]: row for row in whole[0]}
    assert len({row["cell"] for row in cells}) == len(cells) >= least
    assert all(row == known[row["cell"]] for row in cells)
    assert {row["cell"] for row in cells} <= {row["cell"] for row in errors}
    return len(cells)


def in_one_line(err: str, *words: str) -> None:
    assert err.startswith("gradcheck: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_disk_that_fills_ends_in_one_line_and_the_run_is_finished_when_there_is_room(whole: Any) -> None:
    with disk(Path("small"), "300k"):
        status, out, err = command("gradcheck.run", *SWEEP, "hydra.sweep.dir=small/here", prelude=SMALL_PARTS)
        assert (status, out) == (1, "")
        in_one_line(err, "No space left on device", "what was stored before is intact", "resume=small/here")
        n = intact(Path("small/here"), whole)
        assert n < 200
        status, out, err = command("gradcheck.run", "resume=small/here", *QUICK, prelude=SMALL_PARTS)
        assert status == 1
        in_one_line(err, "No space left on device")
        assert intact(Path("small/here"), whole) >= n
        remount(Path("small"), "size=20m")
        status, out, err = command("gradcheck.run", "resume=small/here", *QUICK)
        assert status == 0, err
        assert rows(Path("small/here")) == whole


@pytest.mark.parametrize("kilobytes", [4, 12, 20, 28])
def test_a_disk_that_is_full_from_the_start_ends_in_one_line(kilobytes: int) -> None:
    with disk(Path("small"), f"{kilobytes}k"):
        status, _, err = command("gradcheck.run", "hydra.run.dir=small/here", *QUICK)
        assert status in (1, 2)
        in_one_line(err, "No space left on device")


# Before the third part is written, wait until the test has done what it wants to do by then.
HELD = """
import pathlib, time
from gradcheck.columns import store
def held(run_dir, folder, name, fill, write=store.write):
    if name.startswith("part-00003") and folder == "errors":
        pathlib.Path("held").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    return write(run_dir, folder, name, fill)
store.write = held
"""


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Nothing can be made in a folder; root, whom permissions do not stop, is stopped by the attribute `immutable`."""
    root = os.geteuid() == 0
    freeze = ["chattr", "+i", str(folder)] if root else ["chmod", "a-w", str(folder)]
    thaw = ["chattr", "-i", str(folder)] if root else ["chmod", "u+w", str(folder)]
    done(freeze, "root is not stopped by permissions, and there are no attributes here")
    try:
        yield
    finally:
        subprocess.run(thaw, check=True)


def test_a_folder_that_becomes_read_only_ends_in_one_line_and_the_run_is_finished_later(whole: Any) -> None:
    process = started("gradcheck.run", *SWEEP, "hydra.sweep.dir=here", prelude=SMALL_PARTS + HELD)
    until(lambda: Path("held").exists() or process.poll() is not None)
    with frozen(Path("here/errors")):
        Path("go").touch()
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (1, "")
        in_one_line(err, "here: results could not be stored:", "what was stored before is intact")
        assert intact(Path("here"), whole) < 200
        assert command("gradcheck.show", "here")[0] == 0
    with frozen(Path("here")):
        status, _, err = command("gradcheck.run", "resume=here", *QUICK)
        assert status == 2
        in_one_line(err, "here: results cannot be written there:")
    assert command("gradcheck.run", "resume=here", *QUICK)[0] == 0
    assert rows(Path("here")) == whole


def test_a_limit_to_the_size_of_files_ends_in_one_line(whole: Any) -> None:
    """What a quota does, for whom mounting is forbidden."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # above the empty parts, 15 kB, and below a part of a single cell, 26 kB: a slow machine stores many small parts
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    status, out, err = command("gradcheck.run", *SWEEP, "hydra.sweep.dir=here", preexec_fn=limit)
    assert (status, out) == (1, "")
    in_one_line(err, "File too large")
    assert command("gradcheck.run", "resume=here", *QUICK)[0] == 0
    assert rows(Path("here")) == whole


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("moment", ["write", "fsync", "rename"])
def test_whatever_fails_while_a_part_is_stored_the_parts_before_it_stay(
    number: int, moment: str, few: Rows, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > (40 if moment == "fsync" else 12):  # the folders above are synced too
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setitem(Writer.__init__.__kwdefaults__, "part_cells", 5)
        if moment == "write":
            patch.setattr(parquet.pq, "ParquetWriter", failing(parquet.pq.ParquetWriter))
        elif moment == "fsync":
            patch.setattr(os, "fsync", failing(os.fsync))
        else:
            patch.setattr(os, "replace", failing(os.replace))
        assert main([*FEW, "hydra.sweep.dir=here"]) == 1
    in_one_line(capfd.readouterr().err, os.strerror(number))
    assert intact(Path("here"), few) < 50
    assert not list(Path("here").rglob("*.tmp"))
    assert main(["resume=here", *QUICK]) == 0
    assert rows(Path("here")) == few


@pytest.mark.parametrize("module", ["run", "show", "reproduce"])
def test_output_that_cannot_be_written_is_told_in_one_line(module: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    arguments = ("hydra.run.dir=there", *QUICK) if module == "run" else ("here",)
    with open("/dev/full", "w") as full:
        status, _, err = command(f"gradcheck.{module}", *arguments, stdout=full)
    assert status == 1
    in_one_line(err, "No space left on device")


# ---------------------------------------------------------------------------------------------------------- interrupts

SLOW = """
import os
import time


def fun(x):
    open("within", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    return float(x @ x)


def jac(x):
    return 2 * x
"""
ONE_CELL = (
    "model=function",
    "model.fun=slow.fun",
    "model.jac=slow.jac",
    "model.x0=[1.0,2.0,3.0]",
    "hydra.run.dir=here",
)


@pytest.mark.parametrize("engine", ["serial", "loky"])
@pytest.mark.parametrize("times", [1, 5])
def test_an_interrupt_within_one_cell_is_status_130_and_the_cell_is_computed_later(engine: str, times: int) -> None:
    Path("slow.py").write_text(SLOW)
    process = started("gradcheck.run", *ONE_CELL, f"engine={engine}", "progress=none", start_new_session=True)
    until(lambda: Path("within").exists() and Path("here/cells").exists())
    for _ in range(times):  # as the terminal does: to all processes of the group
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate(timeout=PATIENCE)
    Path("go").touch()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "resume=here" in out
    assert rows(Path("here"))[0] == []
    assert main(["resume=here", "allow=[slow]", *QUICK]) == 0
    assert [row["status"] for row in rows(Path("here"))[0]] == ["ok"]


@pytest.mark.parametrize("moment", ["errors", "cells", "plan"])
def test_an_interrupt_within_a_write_is_status_130_and_the_run_is_finished_later(
    moment: str, few: Rows, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write, n = store.write, 0

    def slowly(run_dir: Any, folder: Any, name: str, fill: Any) -> Any:
        nonlocal n

        def filled(file: Any) -> Any:
            nonlocal n
            digest = fill(file)
            if (folder or "plan") == moment and n == (0 if moment == "plan" else 3):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.3)  # time to answer it while this is not done
            n += (folder or "plan") == moment
            return digest

        return write(run_dir, folder, name, filled)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", slowly)
        patch.setitem(Writer.__init__.__kwdefaults__, "part_cells", 5)
        # a shell lets what it starts in the background ignore an interrupt
        given = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            assert main([*FEW, "hydra.sweep.dir=here"]) == 130
        finally:
            signal.signal(signal.SIGINT, given)
    assert "Traceback" not in capfd.readouterr().err
    if moment != "plan":
        assert intact(Path("here"), few) < 50
        assert main(["resume=here", *QUICK]) == 0
    else:
        again = ["resume=here", *QUICK] if Path("here/plan.parquet").exists() else [*FEW, "hydra.sweep.dir=here"]
        assert main(again) == 0
    assert rows(Path("here")) == few


# ------------------------------------------------------------------------------------------------- cells that go wrong

HUNGRY = """
import numpy as np


def fun(x):
    if x[0] > 2:
        hoard = [np.empty(2**27) for _ in range(1000)]
    return float(x @ x)


def jac(x):
    return 2 * x
"""
HUNGRY_CELL = ("model=function", "model.fun=hungry.fun", "model.jac=hungry.jac", "init=normal", "model.x0=[1.0]")


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_a_cell_that_eats_memory_has_failed_and_the_others_are_there(engine: str) -> None:
    Path("hungry.py").write_text(HUNGRY)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))

    typed = (*HUNGRY_CELL, "init=values", "init.values={x:[1.0]},{x:[3.0]},{x:[0.5]}", "hydra.sweep.dir=here", "-m")
    status, out, err = command("gradcheck.run", *typed, f"engine={engine}", "progress=none", preexec_fn=limit)
    assert status == 1, err
    cells = rows(Path("here"))[0]
    assert sorted(row["status"] for row in cells) == ["failed", "ok", "ok"]
    (failed,) = (row for row in cells if row["status"] == "failed")
    assert "Memory" in failed["message"] or "memory" in failed["message"]
    assert "FAILED  1 of 3 cells" in out


def test_fail_fast_stops_at_the_first_failure_and_the_rest_is_resumed() -> None:
    typed = ("model=one_d", "model.curve=exp", "init=values", "hydra.sweep.dir=here", "-m")
    values = "init.values={theta: 1},{theta: 1000},{theta: 2},{theta: 3}"
    assert main([*typed, values, "fail_fast=true", *QUICK]) == 1
    assert [row["status"] for row in rows(Path("here"))[0]].count("failed") == 1
    assert len(rows(Path("here"))[0]) == 2
    assert main(["resume=here", "fail_fast=true", *QUICK]) == 1
    assert main(["resume=here", *QUICK]) == 1
    assert sorted(row["status"] for row in rows(Path("here"))[0]) == ["failed", "ok", "ok", "ok"]
