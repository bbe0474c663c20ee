"""Commands of the package in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import forkserver
import pyarrow.parquet as pq
import pytest
from waiting import PATIENCE

from gradcheck import show
from gradcheck.experiment.results.stored import Stored
from gradcheck.views.commands import compute

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("engine=serial", "progress=none")


def started(*arguments: str, prelude: str = "", **options: Any) -> subprocess.Popen[str]:
    """``python -m ARGUMENTS`` in the current folder; `prelude` is run first, in the same process.

    It is a fork of a process that has imported the libraries, behind a relay (`forkserver.py`).  With ``new=True`` it is a
    new process, for what kills it or asks for its number.
    """
    command = ["-m", *arguments]
    if prelude:
        module, *rest = arguments
        module_run = f"sys.argv = {['x', *rest]!r}\nrunpy.run_module({module!r}, run_name='__main__')"
        command = ["-c", f"import runpy, sys\n{prelude}\n{module_run}"]
    return _python(*command, **options)


def _python(*arguments: str, new: bool = False, **options: Any) -> subprocess.Popen[str]:
    python = [sys.executable] if new else forkserver.python()
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([*python, *arguments], env={**os.environ, "PYTHONPATH": path}, text=True, **options)


def command(*arguments: str, timeout: float = PATIENCE, **options: Any) -> tuple[int, str, str]:
    """Exit status, output and what stands on standard error; no traceback."""
    process = started(*arguments, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert "Traceback" not in (err or ""), err
    return process.returncode, out, err


# What it prints for each folder, command and what is typed there: status, output, standard error, seconds of computing.
ONE_BY_ONE = """
import contextlib, io, json, os, sys, time
from importlib import import_module
for folder, command, typed in json.load(sys.stdin):
    os.chdir(folder)
    main = import_module(command).main
    out, err, start = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(typed)
    print(json.dumps([status, out.getvalue(), err.getvalue(), time.process_time() - start]), flush=True)
"""


def one_by_one(
    lines: list[tuple[Path, list[str]]],
    commands: Sequence[str] | None = None,
    timeout: float = PATIENCE,
    **options: Any,
) -> list[tuple[int, str, str, float]]:
    """Each line in its folder, all in one process of their own, until one of them ends it.

    commands : that of each line; without them all are ``gradcheck.run``.
    """
    named = ["gradcheck.run"] * len(lines) if commands is None else commands
    given = [(str(folder), name, typed) for name, (folder, typed) in zip(named, lines, strict=True)]
    process = _python("-c", ONE_BY_ONE, stdin=subprocess.PIPE, **options)
    try:
        out, _ = process.communicate(json.dumps(given), timeout=timeout)
    finally:
        process.kill()
    return [tuple(json.loads(line)) for line in out.splitlines()]


def rows(run_dir: Path, read: Callable[[str], Any] | None = None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(cells, errors) in one order, without what differs between two runs."""
    read = read or (lambda folder: pq.read_table(run_dir / folder))
    cells = sorted(read("cells").drop_columns(["seconds"]).to_pylist(), key=lambda row: row["cell"])
    errors = sorted(read("errors").to_pylist(), key=lambda row: (row["cell"], row["flat_index"]))
    return cells, errors


def finished(run_dir: Path) -> set[str]:
    """Ids of the cells that are stored."""
    return {cell for cell, _ in Stored(run_dir).statuses()}


def shown(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    """What ``show`` prints for these arguments: its output, or its one line on standard error."""
    assert show.main([str(one) for one in arguments]) == status
    captured = capsys.readouterr()
    if status:
        assert captured.out == ""
        assert captured.err.startswith("gradcheck: ")
        assert captured.err.count("\n") == 1
        return captured.err
    assert captured.err == ""
    return captured.out


@contextmanager
def interrupted_after(n: int) -> Iterator[None]:
    """Runs within this block are interrupted, as by Ctrl-C, when so many cells are computed."""
    outcomes = compute.outcomes

    def interrupted(jobs: Any, chosen: Any) -> Any:
        for k, outcome in enumerate(outcomes(jobs, chosen)):
            if k == n:
                raise KeyboardInterrupt
            yield outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compute, "outcomes", interrupted)
        yield
