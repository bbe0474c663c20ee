"""Runs that begin in the same moment, or on a disk that is full: each has a folder of its own, and a line says why not."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, started
from omegaconf import OmegaConf

from gradcheck.columns import store
from gradcheck.columns.store import PLAN
from gradcheck.run import main

TINY = ("data.n=5", "data.d=1", *QUICK)
# every process takes the time from here, and waits for the others before it asks
FROZEN = """
import pathlib, time, datetime
class frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 27, 12, 0, 0, 123456)
import hydra.core.utils
hydra.core.utils.datetime = frozen
from gradcheck.views.commands import launch
own = launch.own_folder
def together(*given):
    pathlib.Path(f"ready-{time.monotonic_ns()}").touch()
    while len(list(pathlib.Path().glob("ready-*"))) < PROCESSES:
        time.sleep(0.002)
    return own(*given)
launch.own_folder = together
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def at_once(typed: list[tuple[str, ...]]) -> list[tuple[int, str, str]]:
    """Runs that ask for their folder in the same moment, by clocks that stand still."""
    prelude = FROZEN.replace("PROCESSES", str(len(typed)))
    processes: list[subprocess.Popen[str]] = [started("gradcheck.run", *one, prelude=prelude) for one in typed]
    said = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said, strict=True)]


@pytest.mark.parametrize("more", [(), ("eps=1e-4,1e-5", "-m")], ids=["single", "sweep"])
def test_runs_of_the_same_microsecond_have_a_folder_each(more: tuple[str, ...]) -> None:
    typed = [(f"data.seed={seed}", *more, *TINY) for seed in range(4)]
    assert [(status, err) for status, _, err in at_once(typed)] == [(0, "")] * 4
    folders = sorted(Path("runs/2026-11-27").iterdir())
    assert [path.name for path in folders] == ["12-00-00-123456", *(f"12-00-00-123456-{n:03d}" for n in range(1, 4))]
    import pyarrow.parquet as pq

    seeds = []
    for folder in folders:
        (seed,) = {row["data_seed"] for row in pq.read_table(folder / "cells").to_pylist()}
        record = folder / ("multirun.yaml" if more else ".hydra/overrides.yaml")
        assert f"data.seed={seed}" in record.read_text()  # what Hydra writes is of the same run
        assert (folder / "gradcheck.log").exists()
        seeds.append(seed)
    assert sorted(seeds) == list(range(4))


def test_a_folder_that_was_typed_is_not_given_another_name(capfd: pytest.CaptureFixture[str]) -> None:
    typed = ["hydra.run.dir='there-${now:%Y}'", *TINY]
    assert main(typed) == 0
    assert main(typed) == 2
    assert "holds a run already" in capfd.readouterr().err
    assert len(list(Path().iterdir())) == 1


def test_an_empty_folder_that_was_typed_is_taken() -> None:
    Path("here").mkdir()
    assert main(["hydra.run.dir=here", *TINY]) == 0
    assert OmegaConf.load("here/.hydra/hydra.yaml").hydra.run.dir == "here"


# ------------------------------------------------------------------------------------------------------ a full disk


class Full:
    """Fails the n-th time that something is opened, made or written below a folder, as a disk that is full."""

    def __init__(self, n: int, number: int, named: bool) -> None:
        self.n, self.number, self.named, self.calls = n, number, named, 0

    def refuse(self, path: Any) -> None:
        if "here" not in str(path):
            return
        self.calls += 1
        if self.calls > self.n:
            raise OSError(self.number, os.strerror(self.number), *([str(path)] if self.named else []))


def install(full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open, real_mkdir, real_write = open, os.mkdir, Path.open

    def opened(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            full.refuse(path)
        return real_open(path, mode, *rest, **more)

    def made(path: Any, *rest: Any, **more: Any) -> Any:
        full.refuse(path)
        return real_mkdir(path, *rest, **more)

    def written(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            full.refuse(self)
        return real_write(self, mode, *rest, **more)

    monkeypatch.setattr("builtins.open", opened)
    monkeypatch.setattr(os, "mkdir", made)
    monkeypatch.setattr(Path, "open", written)


@pytest.mark.parametrize(
    ("number", "named", "more"),
    [(errno.ENOSPC, False, ()), (errno.EDQUOT, True, ("eps=1e-4,1e-5", "-m"))],
    ids=["single", "sweep"],
)
def test_a_disk_that_fills_at_any_moment_of_the_start_is_named_in_one_line(
    number: int, named: bool, more: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "hydra.sweep.dir" if more else "hydra.run.dir"
    endings = set()
    for n in range(40):
        folder = f"here-{n}"
        full = Full(n, number, named)
        with monkeypatch.context() as patch:
            install(full, patch)
            status = main([f"{key}={folder}/run", *more, *TINY])
        out, err = capfd.readouterr()
        if full.calls <= n:
            assert status == 0
            break
        planned = (Path(folder) / "run" / PLAN).exists()
        if status == 0:  # a log that cannot be written is no reason
            continue
        assert (status, out) == (1, ""), err
        assert err.startswith("gradcheck: ")
        assert f"{folder}/run: results could not be stored: " in err
        assert err.count("\n") == 1
        assert os.strerror(number) in err
        assert ("resume=" in err) == planned
        endings.add(planned)
    assert main([f"resume={folder}/run", *QUICK]) == 0
    assert endings == {True, False}
    assert full.calls <= n


def test_where_there_is_no_plan_nothing_is_advised(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "full", str(tmp_path / "cells/part-00000.parquet"))
    words = str(store.not_stored(tmp_path, full))
    assert words.startswith(f"{tmp_path}: results could not be stored: cells/part-00000.parquet: full; what was stored")
    assert words.endswith("but there is no plan to go on with; start anew where there is room")
    (tmp_path / PLAN).touch()
    assert f"resume={tmp_path}" in str(store.not_stored(tmp_path, full))
