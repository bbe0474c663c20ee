"""A run of which planned cells are not stored: whatever is told of it says so."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from constructed import planned, rows

from gradcheck import diff, show
from gradcheck.columns import store
from gradcheck.experiment.grid.record import write_plan
from gradcheck.experiment.results.plan import Plan
from gradcheck.experiment.results.stored import Stored
from gradcheck.experiment.results.unfinished import unfinished
from gradcheck.experiment.results.writer import Writer
from gradcheck.views.recorded import Recorded


def made(folder: Path, numbers: list[int], of: int) -> Path:
    """A run that planned the cells below `of` and stored some."""
    plan = Plan()
    for i in range(of):
        plan.add(planned(i))
    with Writer(folder, {}) as writer:
        for i in numbers:
            writer.add(rows(i))
    write_plan(folder, plan, [])
    return folder


def told(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, int, list[str]]:
    """What is told of a run: the note of its tables, the errors that JUnit counts, the annotations of GitHub."""
    report = folder.parent / "out.xml"
    assert show.main([str(folder), "--junit", str(report)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("UNFINISHED")]
    suite = ElementTree.parse(report).getroot()[0]
    assert int(suite.attrib["tests"]) == len(suite)
    errors = suite.findall("testcase/error")
    assert int(suite.attrib["errors"]) == len(errors)
    assert show.main([str(folder), "--github"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::error")]
    return "".join(notes), len(errors), lines


@pytest.mark.parametrize("seed", range(6))
def test_what_is_not_stored_is_told_and_nothing_else(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(seed)
    of = draw.randint(1, 9)
    stored = draw.sample(range(of), draw.choice([of, draw.randint(0, of)]))
    run = made(tmp_path / "run", stored, of)
    note, errors, lines = told(run, capsys)
    command = f"python -m gradcheck.run resume={run}"
    if len(stored) == of:
        assert (note, errors, lines) == ("", 0, [])
    else:
        assert note == f"UNFINISHED  {len(stored)} of {of} planned cells are stored; {command} finishes it"
        assert errors == len(lines) == 1
        assert f"{of - len(stored)} of {of} planned cells are not stored" in lines[0]
        assert lines[0].endswith(command)
    # the comparison with a run that lacks nothing says which one does
    whole = made(tmp_path / "whole", list(range(of)), of)
    assert diff.main([str(run), str(whole)]) == 0
    out = capsys.readouterr().out
    assert (f"{run}: UNFINISHED" in out) == bool(note)
    assert f"{whole}: UNFINISHED" not in out


def test_a_cell_that_stands_twice_counts_once(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [0, 1], 3)
    part = max((run / "cells").glob("*.parquet"), key=lambda path: len(pq.read_table(path)))
    shutil.copy(part, part.with_name("part-00009.parquet"))
    found = unfinished(Stored(run))
    assert found is not None
    assert (found.stored, found.planned) == (2, 3)


@pytest.mark.parametrize("plan", ["none", "damaged", "a folder", "outside"])
def test_a_plan_that_cannot_be_read_says_nothing(plan: str, tmp_path: Path) -> None:
    run = made(tmp_path / "run", [0], 3)
    path = run / "plan.parquet"
    if plan == "outside":
        shutil.move(path, tmp_path / "other.parquet")
        path.symlink_to(tmp_path / "other.parquet")
    else:
        path.unlink()
    if plan == "damaged":
        path.write_bytes(b"PAR1 no PAR1")
    if plan == "a folder":
        path.mkdir()
    assert Recorded(run).unfinished is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    replaced: list[object] = []
    replace = os.replace

    def only_here(old: Path, new: Path) -> None:
        """Folders of tests may be in memory, below /dev themselves."""
        if new.is_relative_to(tmp_path):
            replace(old, new)
        else:
            replaced.append(new)

    monkeypatch.setattr(os, "replace", only_here)
    for target in (pipe, Path("/dev/null"), Path("/dev/stdout"), Path("/dev/stderr"), Path("/dev/fd/1")):
        with pytest.raises(OSError, match="is a device or a pipe; name a file"), store.whole(target):
            raise AssertionError("must not be filled")
    assert pipe.is_fifo()
    with store.whole(link) as file:  # a link of a folder that may be a stranger's is replaced, never followed
        file.write(b"x")
    assert link.read_bytes() == b"x"
    assert not link.is_symlink()
    assert replaced == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]
