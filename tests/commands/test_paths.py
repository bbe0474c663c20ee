"""Paths: where a command reads, and that what it prints can be typed where it was typed."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from gradcheck import load, report, reproduce, show
from gradcheck.experiment.config.command_line import with_home
from gradcheck.run import main

QUICK = ("progress=none", "engine=serial")
DATA = ("data=file", "data.target=y", "init=file", "data.path=d/t.csv", "init.path=d/w.npz")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home / "d", here / "d"):
        folder.mkdir(parents=True)
        (folder / "t.csv").write_text("a,y\n1,0\n2.5,1\n3,0\n")
        np.savez(folder / "w.npz", W=[[0.5]], b=[0.25])
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)


def numbers(run: str) -> Any:
    return load(run).errors.to_table(columns=["param", "analytic", "numeric"]).to_pydict()


@pytest.mark.parametrize("more", [("hydra.run.dir=a",), ("eps=1e-4,1e-5", "hydra.sweep.dir=a", "-m")])
def test_the_working_folder_of_a_job_moves_no_path(more: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    before = Path.cwd()
    assert main([*DATA, *more, *QUICK, "hydra.job.chdir=true"]) == 0
    assert Path.cwd() == before
    out = capfd.readouterr().out
    (look,) = (line for line in out.splitlines() if line.startswith("look"))
    typed = shlex.split(look)
    assert typed[1:4] == ["python", "-m", "gradcheck.show"]
    assert show.main([typed[4]]) == 0
    chosen = numbers("a")
    again = [text.replace("dir=a", "dir=b") for text in more]
    assert main([*DATA, *again, *QUICK]) == 0
    assert numbers("b") == chosen
    assert reproduce.main(["a"]) == 0


def test_jobs_of_hydras_own_multirun_read_where_the_command_was_typed() -> None:
    typed = [*DATA, "eps=1e-4,1e-5", "hydra.sweep.dir=a", "hydra/launcher=basic", "hydra.job.chdir=true", "-m", *QUICK]
    assert main(typed) == 0
    assert sorted(path.name for path in Path("a").iterdir() if path.is_dir()) == ["0", "1"]
    assert len(load("a/0").cells) == len(load("a/1").cells) == 1


def test_the_home_folder_is_meant_wherever_a_path_is_a_value(tmp_path: Path) -> None:
    shutil.rmtree("d")
    (tmp_path / "home" / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "home" / "conf" / "experiment" / "own.yaml").write_text("# @package _global_\neps: 1e-3\n")
    typed = ["data=file", "data.target=y", "init=file", "data.path=~/d/t.csv", "init.path=~/d/w.npz", *QUICK]
    assert main([*typed, "hydra.run.dir=~/one", "--config-dir=~/conf", "+experiment=own"]) == 0
    assert main([*typed, "data.path=~/d/t.csv,~/d/t.csv", "hydra.sweep.dir=~/two", "-m"]) == 0
    assert main([*typed, "store=~/three"]) == 0
    assert not Path("~").exists()
    assert load("~/one").cells["eps"].tolist() == [1e-3]
    for run in ("~/one", "~/two", "~/three"):
        assert show.main([run]) == 0
        assert reproduce.main([run, "--allow-path", "~/d"]) == 0
        assert reproduce.main([run, "--data-root", "~"]) == 0
    assert report.main(["~/one", "--out", "~/page.html"]) == 0
    assert (tmp_path / "home" / "page.html").is_file()
    os.chdir(tmp_path / "home")
    assert main(["resume=~/two", *QUICK]) == 0


@given(st.text("~/ab c.,[](){}'\"\\=$:é", max_size=12), st.sampled_from(["data.path", "+x.y", "a@b"]))
def test_a_value_with_a_tilde_is_the_text_that_was_typed(value: str, key: str) -> None:
    parser = OverridesParser.create()
    if "~" not in value:
        assert with_home(f"{key}={value}") == f"{key}={value}"
        return
    try:
        before = parser.parse_override(f"{key}={value}").value()
    except Exception:
        before = None
    if before is not None:  # what Hydra takes stays as it is
        assert parser.parse_override(with_home(f"{key}={value}")).value() == before
    plain = value.replace("~", "")
    if set(plain) <= set("/abé."):
        assert parser.parse_override(with_home(f"{key}=~{plain}")).value() == f"~{plain}"
    assert with_home(f"~{key}") == f"~{key}"


def test_files_that_have_moved_are_found_below_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*DATA, "hydra.run.dir=a", *QUICK]) == 0
    recorded = os.getcwd()
    (tmp_path / "other" / "deep").mkdir(parents=True)
    shutil.move("d", tmp_path / "other" / "deep" / "d")
    run = str(Path("a").absolute())
    os.chdir(tmp_path / "other")

    def said(*more: str) -> str:
        capfd.readouterr()
        assert reproduce.main([run, *more]) == 2
        err = capfd.readouterr().err
        assert err.count("\n") == 1
        return err

    words = said()
    assert "data.path=d/t.csv: no such file here" in words
    assert f"recorded in {recorded}" in words
    assert "--data-root DIR" in words
    assert "holds neither it nor t.csv" in said("--data-root", ".")
    assert "--data-root=nowhere: no such folder" in said("--data-root", "nowhere")
    assert reproduce.main([run, "--data-root", "deep"]) == 0
    assert "every column is the same to the bit" in capfd.readouterr().out
    assert reproduce.main([run, "--data-root", "deep/d"]) == 0
    Path("deep/d/t.csv").write_text("a,y\n1,0\n2.5,1\n4,0\n")
    assert reproduce.main([run, "--data-root", "deep"]) == 1
    assert "cell" in capfd.readouterr().out


def test_a_record_leads_out_of_no_data_root(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*DATA, "hydra.run.dir=a", *QUICK]) == 0
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t.csv").symlink_to(Path("d/t.csv").absolute())
    run = str(Path("a").absolute())
    os.chdir(tmp_path / "home")
    assert reproduce.main([run, "--data-root", str(tmp_path / "root")]) == 2
    assert "lies outside" in capfd.readouterr().err


def test_a_part_leads_out_of_no_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("parts").mkdir()
    pq.write_table(pa.table({"a": [1.0, 2.5, 3.0], "y": [0, 1, 0]}), "parts/p.parquet")
    typed = ["data=file", "data.target=y", "data.path=parts", "hydra.sweep.dir=a", "init.seed=1,2", "-m", *QUICK]
    assert main(typed) == 0
    assert reproduce.main(["a"]) == 0
    shutil.move("parts/p.parquet", tmp_path / "p.parquet")
    Path("parts/p.parquet").symlink_to(tmp_path / "p.parquet")
    capfd.readouterr()
    for command in (reproduce.main, lambda runs: main([f"resume={runs[0]}", *QUICK])):
        assert command(["a"]) == 2
        assert "outside the current folder" in capfd.readouterr().err
    assert reproduce.main(["a", "--allow-path", str(tmp_path)]) == 0
