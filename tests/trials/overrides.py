"""Random command lines: what they end with, and whether what was run is what was typed.

Whatever is typed ends with status 0, 1 or 2; with 2 in one line on standard error that begins with the program's name,
with 1 only where a cell failed or is wrong, and never in a traceback or a hang.  What was stored is what Hydra itself
composes of the same line.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
from hydra.core.hydra_config import HydraConfig

from gradcheck.experiment.config import compose
from gradcheck.experiment.config.canonical import canonical_json
from gradcheck.experiment.config.form import canonical, eps_values
from gradcheck.experiment.config.said import key_of
from gradcheck.experiment.config.schema import SCIENCE
from gradcheck.run import main

from . import grammar, interpolations
from .clusters import TESTS
from .composing import remembering
from .kills import Failure

SECONDS = 600
ACTING = {"Cc", "Cf", "Zl", "Zp"}  # what is private or unassigned shows a box and acts on nothing
# what a run may cost: small data, few cells, where nothing else is said
ALWAYS = ("data.n=8", "data.d=2", "progress=none", "engine=serial")
LIMITS = ("max_cells=12", "max_memory=1e7", "cell_timeout=20")  # these stand last, so that they hold
SLOW = ("engine.address", "engine=auto", "engine=loky", "engine=dask", "resume")


def _safe(typed: list[str]) -> list[str]:
    """Without what would make the trial itself slow, or write where it should not."""
    kept = [t for t in typed if "\0" not in t and not t.lstrip("+~'\"").startswith(SLOW)]
    return [*ALWAYS, *kept, *LIMITS]


def put_files(folder: Path) -> None:
    """The files that the words name."""
    import numpy as np

    (folder / "a.csv").write_text("a,y\n1,0\n2,1\n3,0\n4,1\n")
    np.savez(folder / "w.npz", W=np.ones((2, 1)), b=np.zeros(1))


class _Hang(BaseException):
    pass


def _ring(number: int, frame: Any) -> None:
    raise _Hang


def judge(typed: list[str], status: int, out: str, err: str) -> str | None:
    """What is wrong with how a command line ended."""
    if status not in (0, 1, 2):
        return f"{typed}: exit status {status}: {err[-300:]}"
    if "Traceback" in err + out:
        return f"{typed}: a traceback: {err[-600:]}"
    if status == 2 and not (err.startswith("gradcheck: ") and err.endswith("\n") and err.count("\n") == 1):
        return f"{typed}: not one line: {err[:300]!r}"
    if status == 1 and not any(word in out for word in ("failed", "MISMATCH", "mismatch")):
        return f"{typed}: exit status 1 without a cell that failed or is wrong: {out[-300:]!r} {err[:300]!r}"
    if status == 0 and err:
        return f"{typed}: words on standard error: {err[:300]!r}"
    acting = next((c for c in err + out if c not in "\n\t" and unicodedata.category(c) in ACTING), None)
    if acting is not None:
        at = (err + out).index(acting)
        return f"{typed}: a character that acts on a terminal: {(err + out)[max(0, at - 200) : at + 100]!a}"
    return None


@dataclass(frozen=True)
class Ended:
    """How a command line ended, and what is wrong with that."""

    status: int
    wrong: str | None
    err: str = ""


def once(typed: list[str], folder: Path) -> Ended:
    """One command line in this process."""
    out, err, status = io.StringIO(), io.StringIO(), -1
    before = os.getcwd()
    handler = signal.signal(signal.SIGALRM, _ring)
    os.chdir(folder)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(typed)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 2
    except _Hang:
        return Ended(-1, f"{typed}: not done after {SECONDS} s")
    except BaseException as error:
        return Ended(-1, f"{typed}: {type(error).__name__}: {str(error)[:300]}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        os.chdir(before)
    return Ended(status, judge(typed, status, out.getvalue(), err.getvalue()), err.getvalue())


def in_process(typed: list[str], folder: Path) -> str | None:
    """The same as a command; what an operating system cannot pass on is left out."""
    try:
        [os.fsencode(one) for one in typed]
    except UnicodeEncodeError:
        return None
    path = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gradcheck.run", *typed],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"{typed}: not done after {SECONDS} s"
    return judge(typed, done.returncode, done.stdout, done.stderr)


def ran(typed: Sequence[str], folder: Path, config_dir: str | None = None) -> str | None:
    """In what the cells that a line stored differ from those that Hydra composes of the same line."""
    stored: set[str] = set()
    for part in folder.rglob("cells/*.parquet"):
        stored.update(pq.read_table(part, columns=["config"])["config"].to_pylist())
    if not stored or any("now:" in text or _refers_elsewhere(text) for text in typed):
        return None
    # a grid in a file is none where the file lost the word that makes it a sweep
    swept = [] if config_dir is None or any(folder.rglob("multirun.yaml")) else ["hydra.sweeper.params=null"]
    before = os.getcwd()
    os.chdir(folder)
    try:
        # after store= all is the path as it is, which Hydra would read
        kept = (text for text in typed if not text.startswith(("-", "store=")))
        expected = composed([*kept, *swept], config_dir)
    except interpolations.REFUSED as error:
        return f"{typed}: ran, but Hydra says {type(error).__name__}: {str(error)[:300]}"
    finally:
        os.chdir(before)
    if stored == expected:
        return None
    return f"{typed}: stored {sorted(stored - expected)[:1]} and not {sorted(expected - stored)[:1]}"


def _refers_elsewhere(text: str) -> bool:
    """Whether a key that no run reads refers to another one: Hydra's part in the comparison resolves it."""
    return "${" in text and key_of(text).partition(".")[0] not in SCIENCE


def composed(overrides: Sequence[str], config_dir: str | None = None) -> set[str]:
    """The configs of the cells that Hydra's own jobs would have, each eps a cell of its own."""
    made = interpolations.MADE if config_dir is None else {}
    with compose.opened(config_dir) as hydra, remembering(made):
        HydraConfig.instance().cfg = None
        try:
            points = interpolations.hydras(hydra, overrides)
        except interpolations.REFUSED:  # a value that fits the groups of the points, but not those by default
            points = interpolations.hydras(hydra, overrides, interpolations.masters(hydra, overrides))
    cells = [point | {"eps": eps} for point in points for eps in eps_values(point.get("eps"))]
    return {canonical_json(canonical(cell)) for cell in cells}


def trial(folder: Path, sets: int, processes: int, number: int = 0) -> str:
    """So many command lines here, and some of them as commands.  Raises Failure."""
    wrong: list[str] = []
    counts: Counter[int] = Counter()
    compared, room, random = 0, folder / "room", Random(number)
    lines = [_safe(grammar.command_line(random)) for _ in range(sets)]
    for line in lines:
        _fresh(room)
        ended = once(line, room)
        counts[ended.status] += 1
        found = ended.wrong
        if found is None and ended.status in (0, 1):
            found = ran(line, room)
            compared += any(room.rglob("cells"))
        if found is not None:
            wrong.append(found)
    commands = random.sample(lines, min(processes, len(lines)))
    for line in commands:
        _fresh(room)
        if (found := in_process(line, room)) is not None:
            wrong.append(f"as a command: {found}")
    if wrong:
        raise Failure(f"{len(wrong)} of {len(lines)}: " + " ;; ".join(wrong[:30]))
    statuses = ", ".join(f"{n} x {status}" for status, n in sorted(counts.items()))
    return (
        f"{len(lines)} lines in one process (exit status {statuses}), {len(commands)} of them as commands; {compared}"
        " runs stored the cells that Hydra composes"
    )


def _fresh(room: Path) -> None:
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    put_files(room)
