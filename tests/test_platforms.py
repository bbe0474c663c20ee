"""What is known to differ where the tests are not run (macOS, Windows, other processors), each by imitation."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import QUICK, ROOT, rows
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from jobs import outcomes
from test_package import shipped
from waiting import PATIENCE

from gradcheck.columns import lock, places, store
from gradcheck.errors import BadInput
from gradcheck.experiment.engines.base import TimedOut
from gradcheck.experiment.patches import kill
from gradcheck.numerics import threads
from gradcheck.run import main

# -------------------------------------------------------------------------------------------------------------- locks


class Locking(types.ModuleType):
    """``msvcrt`` as far as it is used: one byte of a file, where the file is, is locked for one open file at a time."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, number: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        status, place = os.fstat(number), os.lseek(number, 0, os.SEEK_CUR)
        assert place >= 20, "what is locked cannot be read by others, and they read who holds it"
        holder = self.held.get((status.st_ino, place))
        if holder not in (None, number) and _open(holder, status.st_ino):
            raise PermissionError(13, "Permission denied")
        self.held[status.st_ino, place] = number


def _open(number: int | None, inode: int) -> bool:
    """Closing a file frees its locks; its number may be given to another."""
    try:
        return number is not None and os.fstat(number).st_ino == inode
    except OSError:
        return False


@pytest.fixture
def windows_locks(monkeypatch: pytest.MonkeyPatch) -> Locking:
    made = Locking()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", made)
    return made


def test_without_flock_a_run_is_still_held_by_one(tmp_path: Path, windows_locks: Locking) -> None:
    for _ in range(3):  # the file is there and has a content the second time
        with lock.locked(tmp_path):
            with pytest.raises(BadInput, match=f"process {os.getpid()} is writing there"), lock.locked(tmp_path):
                pass
            (tmp_path / store.ASIDE / "keeps the folder").touch()
    assert windows_locks.held


def test_a_run_and_its_resumption_work_without_flock(
    tmp_path: Path, windows_locks: Locking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["hydra.run.dir=here", *QUICK]) == 0
    assert main(["resume=here", *QUICK]) == 0
    assert windows_locks.held


# ------------------------------------------------------------------------------------------------------------ signals


def test_without_alarms_a_cell_is_still_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.delattr(signal, "SIGALRM")
    found = outcomes([1, "spins", 2], "serial", timeout=0.3)
    assert isinstance(found["spins"], TimedOut)
    assert (found[1], found[2]) == (1, 4)


def test_without_masks_of_signals_processes_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # processes that joblib starts once, with masks where the platform has them
    for tracker in (resource_tracker, loky_tracker):
        tracker.ensure_running()
    monkeypatch.delattr(signal, "pthread_sigmask")
    assert outcomes([*range(5)], "loky") == {i: i * i for i in range(5)}


def test_without_the_signal_that_kills_another_ends_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGKILL")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        kill(process)
        assert process.wait(PATIENCE) == -signal.SIGTERM


# ---------------------------------------------------------------------------------------------------------- processes


def test_a_script_that_starts_processes_is_not_run_again_in_them(tmp_path: Path) -> None:
    """Where nothing is forked, a new process may import the script; without a guard it would start all over."""
    script = tmp_path / "script.py"
    typed = ["eps=1e-4,1e-6", "-m", "engine=loky", "engine.n_jobs=2", "progress=none", "hydra.sweep.dir=here"]
    script.write_text(f"from gradcheck.run import main\nprint('once', flush=True)\nassert main({typed}) == 0\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("once") == 1
    assert [row["status"] for row in rows(tmp_path / "here")[0]] == ["ok", "ok"]


def test_where_a_process_cannot_be_bound_to_cores_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert threads.count() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.count() == 1


# --------------------------------------------------------------------------------------------------------- longdouble


def test_where_longdouble_is_float64_such_cells_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = np.finfo
    short: Any = lambda kind: limits(np.float64 if np.dtype(kind) == np.longdouble else kind)  # noqa: E731
    monkeypatch.setattr(np, "finfo", short)
    sweep = ["dtype=float64,longdouble", "-m", f"hydra.sweep.dir={tmp_path}/run", *QUICK]
    assert main(sweep) == 0
    cells, errors = rows(tmp_path / "run")
    assert {row["dtype"]: row["status"] for row in cells} == {"float64": "ok", "longdouble": "skipped"}
    assert {row["dtype"] for row in errors} == {"float64"}
    (skipped,) = (row["message"] for row in cells if row["status"] == "skipped")
    assert skipped == "dtype=longdouble: is float64 on this machine; choose float32 or float64"
    capfd.readouterr()
    assert main(["dtype=longdouble", f"hydra.run.dir={tmp_path}/one", *QUICK]) == 2
    assert capfd.readouterr().err == f"gradcheck: {skipped}\n"


# -------------------------------------------------------------------------------------------------------------- paths

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")


def portable(path: Path) -> bool:
    """Whether Windows can have files of these names."""
    return not any(re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', part) or RESERVED.match(part) for part in path.parts)


@pytest.mark.parametrize("name", ["a:b", "x/nul", "what?", "a\\b", "end.", "com1.txt", "a|b"])
def test_a_name_that_cannot_be_is_seen(name: str) -> None:
    assert not portable(Path(name))


def test_every_name_that_is_shipped_or_written_can_be_one_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [path for path in shipped() if not portable(path.relative_to(ROOT))] == []
    monkeypatch.chdir(tmp_path)
    assert main(["eps=1e-4,1e-6", "bug=none,scale", "-m", *QUICK]) == 0
    assert main([*QUICK]) == 0
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*")]
    assert len(written) > 10
    assert [path for path in written if not portable(path)] == []


@pytest.mark.parametrize("text", [r"C:\runs\here", "C:/runs/here", r"\\server\share\run", r"runs\here"])
def test_a_folder_of_windows_is_no_address(text: str) -> None:
    assert places.at(text) == Path(text)
