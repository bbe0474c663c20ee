"""Random command lines over the grammar of overrides, the keys of the config and values that fit and that do not.

Whatever is typed ends with status 0, 1 or 2; with 2 in one line on standard error that begins with the program's name,
and never in a traceback or a hang.
"""

# ruff: noqa: SIM905  (words of a list, not code)
from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from .clusters import TESTS
from .kills import Failure

SECONDS = 600
GROUPS = {
    "model": ["one_d", "linear", "logistic", "mlp", "softmax", "function", "perceptron"],
    "data": ["gaussian", "file", "sklearn", "values", "none", "cloud"],
    "init": ["normal", "zeros", "values", "file", "optimum", "ones"],
    "bug": [
        "none",
        "scale",
        "sign_flip",
        "missing_mean",
        "transposed",
        "label_flip",
        "downcast",
        "course_pair",
        "typo",
    ],
    "engine": ["serial", "auto", "gpu"],
}
KEYS = {
    "model": "l2 bias reduction layers activation loss n_classes curve x fun jac x0 args name",
    "data": "n d seed noise scale correlation outputs path target features name X y standardize source max_bytes",
    "init": "seed scale values path name",
    "bug": "param index magnitude fraction seed name",
    "engine": "n_jobs address name",
    "": "eps scheme dtype match_at fail_on fail_fast cell_timeout progress dry_run max_cells allow store nonsense",
    "hydra": "mode verbose job.name sweeper.params output_subdir",
}
NAMES = [f"{section}.{key}".strip(".") for section, keys in KEYS.items() for key in keys.split()]
WORDS = (
    "0 1 2 3 -1 0.5 1e-4 1e-6 1e300 1e-320 nan inf -inf 1.5 10 true false null auto central forward backward five_point"
    " seven_point richardson complex_step midpoint float32 float64 longdouble float16 relu tanh sigmoid softplus sum half_sum"
    " mean cubic abs exp iris diabetes W b W1 theta mismatch never none a.csv missing.csv ../x.csv /dev/null w.npz math.exp"
    " os.system:x é ☃ '' \"\" 'a_b' \"a,b\" \\, a=b a:b x.y.z ${eps} ${nope} ${logspace:-6,-2,3} ${oc.env:HOME} ${"
    " ${now:%Y} ${hydra:job.num} 999999999999999999999999 0x10 1_000 .5 5. +1 --1 _target_ __class__ RUN MULTIRUN"
).split()
CALLS = ["range", "choice", "interval", "glob", "sort", "int", "str", "tag", "shuffle"]
ODD = [*"[]{}(),='\"\\$@~+* \n\t\x1b\x00", "\udcff"]
FLAGS = "-m --multirun --help --cfg --cfg=job --resolve --info --version -h --frobnicate -c -p".split()
ACTING = {"Cc", "Cf", "Zl", "Zp"}  # what is private or unassigned shows a box and acts on nothing
# what a run may cost: small data, few cells, where nothing else is said
ALWAYS = ("data.n=8", "data.d=2", "progress=none", "max_cells=12", "cell_timeout=20", "engine=serial")


def _values() -> st.SearchStrategy[str]:
    word = st.sampled_from(WORDS)
    number = st.one_of(st.integers(-5, 40), st.floats(allow_nan=True, width=64)).map(str)
    text = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=[])), max_size=6)
    simple = st.one_of(word, word, number, text)
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
            st.lists(st.tuples(word, inner), max_size=2).map(lambda items: f"{{{','.join(map(':'.join, items))}}}"),
            st.lists(inner, min_size=2, max_size=3).map(",".join),
            st.tuples(st.sampled_from(CALLS), inner).map(lambda call: f"{call[0]}({call[1]})"),
        ),
        max_leaves=4,
    )  # fmt: skip


def _group() -> st.SearchStrategy[str]:
    def choice(name: str) -> st.SearchStrategy[str]:
        one = st.sampled_from(GROUPS[name])
        return st.one_of(one, one, st.lists(one, min_size=2, max_size=3).map(",".join)).map(lambda v: f"{name}={v}")

    return st.sampled_from(sorted(GROUPS)).flatmap(choice)


def _setting() -> st.SearchStrategy[str]:
    prefix = st.sampled_from(["", "", "", "", "", "", "+", "++", "~"])
    return st.tuples(prefix, st.sampled_from(NAMES), _values()).map(lambda t: f"{t[0]}{t[1]}={t[2]}")


def command_lines() -> st.SearchStrategy[list[str]]:
    """Overrides and options in any order."""
    one = st.one_of(_group(), _setting(), _setting(), st.sampled_from(FLAGS), st.just("-m"), _values())
    return st.lists(one, min_size=1, max_size=5)


def _safe(typed: list[str]) -> list[str]:
    """Without what would make the trial itself slow, or write where it should not."""
    kept = [
        t for t in typed if "\0" not in t and not t.lstrip("+~").startswith(("engine.address", "engine=auto", "resume"))
    ]
    return [*ALWAYS, *kept]  # what comes later wins


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
    acting = next((c for c in err + out if c not in "\n\t" and unicodedata.category(c) in ACTING), None)
    if acting is not None:
        at = (err + out).index(acting)
        return f"{typed}: a character that acts on a terminal: {(err + out)[max(0, at - 200) : at + 100]!a}"
    return None


def once(typed: list[str], folder: Path) -> tuple[int, str | None]:
    """One command line in this process: its status and what is wrong with it."""
    from gradcheck.run import main

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
        return -1, f"{typed}: not done after {SECONDS} s"
    except BaseException as error:
        return -1, f"{typed}: {type(error).__name__}: {str(error)[:300]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        os.chdir(before)
    return status, judge(typed, status, out.getvalue(), err.getvalue())


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


def trial(folder: Path, sets: int, processes: int, number: int = 0) -> str:
    """So many command lines here, and some of them as commands.  Raises Failure."""
    wrong: list[str] = []
    counts: dict[int, int] = {}
    seen: list[list[str]] = []
    room = folder / "room"

    @seed(number)
    @settings(
        max_examples=sets, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(command_lines())
    def run(typed: list[str]) -> None:
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        put_files(room)
        line = _safe(typed)
        seen.append(line)
        status, found = once(line, room)
        counts[status] = counts.get(status, 0) + 1
        if found is not None:
            wrong.append(found)

    run()
    for line in random.Random(number).sample(seen, min(processes, len(seen))):
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        put_files(room)
        if (found := in_process(line, room)) is not None:
            wrong.append(f"as a command: {found}")
    if wrong:
        raise Failure(f"{len(wrong)} of {len(seen)}: " + " ;; ".join(wrong[:8]))
    statuses = ", ".join(f"{n} x {status}" for status, n in sorted(counts.items()))
    return f"{len(seen)} sets in one process (exit status {statuses}), {min(processes, len(seen))} of them as commands"
