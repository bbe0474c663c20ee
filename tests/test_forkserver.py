"""A command that the fork server starts is what a new process would be; what a fork cannot be, it does not start."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forkserver
import pytest
from commands import QUICK, ROOT, command, rows, started
from waiting import PATIENCE, until

from gradcheck.run import main

pytestmark = pytest.mark.skipif(forkserver.ordinary(), reason="commands are new processes here")

# What a program may ask about the process that it runs in, when it has imported the libraries.
ASKED = """
import LIBRARIES
import gc, json, locale, logging, os, signal, stat, sys, threading, warnings
from omegaconf.basecontainer import BaseContainer
print(json.dumps({
    "name": __name__, "arguments": sys.argv, "typed": sys.orig_argv, "path": sys.path, "flags": list(sys.flags),
    "file": globals().get("__file__"), "main": sys.modules["__main__"].__dict__ is globals(),
    "executable": sys.executable, "folder": os.getcwd(), "environment": dict(os.environ),
    "mask": os.umask(0), "group": os.getpgrp(), "session": os.getsid(0), "files": sorted(os.listdir("/proc/self/fd")),
    "limits": open("/proc/self/limits").read(), "warnings": list(map(str, warnings.filters)),
    "signals": {n: str(signal.getsignal(n)) for n in signal.valid_signals()},
    "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "hooks": [str(sys.excepthook)[:30], str(threading.excepthook)[:30]],
    "threads": [thread.name for thread in threading.enumerate()], "garbage": [gc.isenabled(), gc.get_threshold()],
    "streams": [[s.name, s.encoding, s.errors, s.line_buffering, s.write_through] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "locale": locale.setlocale(locale.LC_ALL), "recursion": sys.getrecursionlimit(),
    "log": [logging.root.level, len(logging.root.handlers), logging.raiseExceptions],
    "resolvers": sorted(BaseContainer._resolvers), "ours": [name for name in sys.modules if name.startswith("gradcheck")],
}))
""".replace("LIBRARIES", ", ".join(forkserver.LIBRARIES))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ended(python: list[str], *arguments: str, **options: Any) -> tuple[int, str, str]:
    done = subprocess.run(
        [*python, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )
    return done.returncode, done.stdout, done.stderr


def forked(python: list[str], *arguments: str, **options: Any) -> bool:
    """Whether it is a fork of the server that prints who its parent is."""
    status, out, err = ended(python, *(arguments or ("-c", "import os; print(os.getppid())")), **options)
    assert status == 0, err
    assert int(out) in (os.getpid(), forkserver.running().process.pid)
    return int(out) != os.getpid()


@pytest.mark.parametrize("kind", ["-c", "-m"])
def test_a_fork_finds_itself_where_a_new_process_would(kind: str, tmp_path: Path) -> None:
    Path("asking.py").write_text(ASKED)
    what = ASKED if kind == "-c" else "asking"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{tmp_path}:{ROOT / 'tests'}",
        "HERE": "there",
        "PWD": "elsewhere",
    }
    del environment["PATH"]  # which the server has
    found = []
    for python in ([sys.executable], forkserver.python()):
        status, out, err = ended(python, kind, what, "a", "-m", "b c", env=environment, umask=0o027)
        assert (status, err) == (0, "")
        found.append(json.loads(out))
    new, fork = found
    assert fork["ours"] == []
    assert {key: (value, fork[key]) for key, value in new.items() if value != fork[key]} == {}


def masked(text: str) -> str:
    """Output without what differs between any two runs."""
    return re.sub(r"\d{4}-\d\d-\d\d[T /]\d\d.\d\d.\d\d[.\d-]*|\b\d+(\.\d+)? ?(s|ms)\b", "…", text)


TYPED = {
    "a run": "gradcheck.run model=mlp hydra.run.dir=made",
    "a sweep": "gradcheck.run bug=none,scale eps=1e-4,auto -m hydra.sweep.dir=made fail_on=never",
    "with workers": "gradcheck.run init.seed=1,2 -m engine=loky engine.n_jobs=2 progress=none hydra.sweep.dir=made",
    "a failed cell": "gradcheck.run model=one_d model.curve=exp init=values init.values={theta:1000} hydra.run.dir=made",
    "bad input": "gradcheck.run eps=x",
    "a name that is none": "gradcheck dance",
    "help": "gradcheck.run --help",
    "a config": "gradcheck.run --cfg job",
    "tables": "gradcheck.show RUN --all",
    "once more": "gradcheck.reproduce RUN",
    "differences": "gradcheck.diff RUN RUN",
    "no such run": "gradcheck.show nowhere",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forked") / "run"
    assert main(["bug=none,scale", "-m", *QUICK, "fail_on=never", f"hydra.sweep.dir={folder}"]) == 0
    return folder


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_a_forked_command_ends_prints_and_stores_as_a_new_process(typed: str, run: Path) -> None:
    arguments = [str(run) if word == "RUN" else word for word in shlex.split(typed)]
    arguments += QUICK if arguments[0] == "gradcheck.run" and "--" not in typed and "engine" not in typed else ()
    found: list[Any] = []
    for new in (True, False):
        here = Path(str(new))
        here.mkdir()
        status, out, err = command(*arguments, new=new, cwd=here)
        files = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
        names = [re.sub(r"-[0-9a-f]{16}", "", str(path)) for path in files]
        stored = rows(here / "made") if (here / "made/cells").exists() else None
        found.append((status, masked(out), masked(err), names, stored))
    assert found[0] == found[1]


ENDS = {
    "a status": "import sys; sys.exit(7)",
    "words": "import sys; sys.exit('words')",
    "at once": "import os; os._exit(3)",
    "an error": "1 / 0",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "no mercy": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "an interrupt": "raise KeyboardInterrupt",
    "at its end": "import atexit, threading; atexit.register(print, 'last'); threading.Timer(.05, print, ['late']).start()",
    "a hook": "import sys; sys.excepthook = lambda *_: print('mine'); 1 / 0",
    "its input": "import sys; print(sys.stdin.read().upper())",
    "what is open": "import tempfile, warnings; warnings.simplefilter('always'); f = open('x', 'w'); del f",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_a_fork_ends_as_a_new_process(code: str) -> None:
    new, fork = (ended(python, "-c", code, input="given") for python in ([sys.executable], forkserver.python()))
    for status, out, err in (new, fork):
        assert (status, out) == new[:2]
        assert err.splitlines()[-1:] == new[2].splitlines()[-1:]


def test_what_cannot_be_written_at_the_end_is_said_in_the_same_way() -> None:
    found = []
    with open("/dev/full", "w") as full:
        for python in ([sys.executable], forkserver.python()):
            done = subprocess.run(
                [*python, "-c", "print('x')"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
            found.append((done.returncode, done.stderr.splitlines()[-1:]))
    assert found[0] == found[1]
    assert found[0][0] in (1, 120)  # where Python is told to write without a buffer it is an error like others


# ------------------------------------------------------------------------------------------------------------ signals


WAITS = """
import os, pathlib, time
pathlib.Path('new').write_text(str(os.getpid()))
os.rename('new', 'up')
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_fork(number: int) -> None:
    handler = f"import signal\nsignal.signal({int(number)}, lambda *_: exit(9))\n"
    with subprocess.Popen([*forkserver.python(), "-c", handler + WAITS]) as process:
        until(Path("up").exists)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 9


def test_a_command_is_interrupted_and_says_so() -> None:
    waits = "import time\ndef fun(x):\n    open('within', 'w').close()\n    time.sleep(600)\n"
    Path("slow.py").write_text(waits)
    typed = ("model=function", "model.fun=slow:fun", "model.jac=slow:fun", "model.x0=[1.0]", "hydra.run.dir=here")
    running = started("gradcheck.run", *typed, *QUICK)
    until(Path("within").exists)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, err
    assert "resume=here" in out


def test_a_fork_ends_with_its_relay() -> None:
    with subprocess.Popen([*forkserver.python(), "-c", WAITS]) as process:
        until(Path("up").exists)
        fork = int(Path("up").read_text())
        process.kill()
    assert fork != process.pid
    until(lambda: not Path(f"/proc/{fork}").exists())


# --------------------------------------------------------------------------------------------- what a fork cannot be


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, 10**9))


OTHERWISE: dict[str, dict[str, Any]] = {
    "limits": {"preexec_fn": limited},
    "a group": {"process_group": 0},
    "a session": {"start_new_session": True},
    "no such folder": {"env": {"PYTHONPATH": "/nowhere"}},
    "a folder from here": {"env": {"PYTHONPATH": "."}},
    **{
        name: {"env": {name: "1"}}
        for name in (
            *(
                "NPY_DISABLE_CPU_FEATURES",
                "OMP_NUM_THREADS",
                "OPENBLAS_CORETYPE",
                "LC_ALL",
                "ARROW_DEFAULT_MEMORY_POOL",
            ),
            *("PYTHONHASHSEED", "PYTHONOPTIMIZE"),
        )
    },
}


@pytest.mark.parametrize("options", OTHERWISE.values(), ids=OTHERWISE)
def test_what_a_fork_cannot_be_is_a_new_process(options: dict[str, Any]) -> None:
    assert forked(forkserver.python())
    assert not forked(forkserver.python(), **options | {"env": os.environ | options.get("env", {})})


@pytest.mark.parametrize("name", ["numpy.py", "pandas/__init__.py", "random.py", "yaml.so"])
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "in PYTHONPATH"])
def test_a_module_that_hides_a_library_is_not_hidden_itself(name: str, beside: bool, tmp_path: Path) -> None:
    folder = tmp_path if beside else tmp_path / "there"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    assert not forked(forkserver.python(), env={**os.environ, "PYTHONPATH": "" if beside else str(folder)})


@pytest.mark.parametrize("option", ["-I", "-O", "-Walways", "-Xdev"])
def test_options_of_python_are_for_a_new_process(option: str) -> None:
    assert not forked(forkserver.python(), option, "-c", "import os; print(os.getppid())")
    Path("script.py").write_text("import os; print(os.getppid())")
    assert not forked(forkserver.python(), "script.py")


def test_a_terminal_is_for_a_new_process() -> None:
    ours, theirs = os.openpty()
    try:
        assert not forked(forkserver.python(), stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_without_a_server_it_is_a_new_process() -> None:
    relay = [*forkserver.python()[:-1], "/nowhere/s"]
    assert not forked(relay)
    assert ended(relay, "-c", "import sys; print(sys.argv)", "x")[1] == "['-c', 'x']\n"


def test_a_system_that_lacks_what_the_server_asks_for_has_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise PermissionError

    forkserver.can_fork.cache_clear()
    monkeypatch.setattr(os, "pidfd_open", refused)
    try:
        assert forkserver.python() == [sys.executable]
    finally:
        forkserver.can_fork.cache_clear()


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forked(forkserver.python())
    monkeypatch.setenv("GRADCHECK_TESTS_FORK", "0")
    assert forkserver.python() == [sys.executable]


# --------------------------------------------------------------------------------- the server that has the package


def parent(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_command_of_the_package_is_a_fork_of_the_second_server() -> None:
    Path("who.py").write_text(
        "import os\ndef fun(x):\n    open('who', 'w').write(str(os.getppid()))\n    return x @ x\n"
    )
    typed = ("model=function", "model.fun=who:fun", "model.jac=who:fun", "model.x0=[1.0]", "hydra.run.dir=here")
    command("gradcheck.run", *typed, *QUICK)
    second = int(Path("who").read_text())
    assert second not in (os.getpid(), forkserver.running().process.pid)
    assert parent(second) == forkserver.running().process.pid


@pytest.mark.parametrize("where", ["beside", "in PYTHONPATH"])
def test_another_package_of_that_name_is_the_one_that_runs(where: str, tmp_path: Path) -> None:
    folder = tmp_path if where == "beside" else tmp_path / "there"
    (folder / "gradcheck").mkdir(parents=True)
    (folder / "gradcheck" / "__init__.py").write_text("")
    (folder / "gradcheck" / "run.py").write_text("print('another')")
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    assert ended(forkserver.python(), "-m", "gradcheck.run", env=environment) == (0, "another\n", "")


def test_the_first_of_several_packages_is_the_one_that_counts(tmp_path: Path) -> None:
    (tmp_path / "gradcheck").mkdir()
    (tmp_path / "gradcheck" / "__init__.py").write_text("")
    for found in (True, False):
        ours = forkserver.Ours(str(ROOT / "gradcheck" / "__init__.py"), found, {})
        assert ours.is_first([]) == found
        assert ours.is_first([str(ROOT), str(tmp_path)])
        assert not ours.is_first([str(tmp_path), str(ROOT)])


# ------------------------------------------------------------------------------------------------------- the server


def of_the_server(look: Callable[[str], Any]) -> Any:
    return look(f"/proc/{forkserver.running().process.pid}")


def test_the_server_has_no_threads_but_those_of_libraries_that_know_of_forks() -> None:
    assert forked(forkserver.python())
    code = "import threading; print(threading.active_count())"
    assert ended(forkserver.python(), "-c", code)[1] == "1\n"
    names = of_the_server(lambda place: [(task / "comm").read_text().strip() for task in Path(place, "task").iterdir()])
    # those of OpenBLAS end before a fork, the one of jemalloc stands still; both begin anew in the fork when they are needed
    assert len(names) <= 1 + (os.cpu_count() or 1) + 1
    assert set(names) <= {"python", Path(sys.executable).name, "jemalloc_bg_thd"}


def test_importing_the_libraries_changes_no_variable() -> None:
    imports = "\n".join(f"import {library}" for library in forkserver.LIBRARIES)
    code = f"import os\nbefore = dict(os.environ)\n{imports}\nprint(before == dict(os.environ))"
    assert ended([sys.executable], "-c", code)[1] == "True\n"


def test_no_two_forks_draw_the_same() -> None:
    code = "import random, tempfile, numpy as np; print(random.random(), np.random.rand(), tempfile.mktemp())"
    said = [ended(forkserver.python(), "-c", code)[1].split() for _ in range(2)]
    assert not set(said[0]) & set(said[1])


def test_many_at_once_are_answered_each() -> None:
    code = "import sys, time; time.sleep(0.05); print(sys.argv[1]); sys.exit(int(sys.argv[1]))"
    running = [
        subprocess.Popen([*forkserver.python(), "-c", code, str(i)], stdout=subprocess.PIPE, text=True)
        for i in range(20)
    ]
    said = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert [(process.returncode, out) for process, out in zip(running, said, strict=True)] == [
        (i, f"{i}\n") for i in range(20)
    ]
    opened = of_the_server(lambda place: len(os.listdir(f"{place}/fd")))
    assert opened < 20  # what a fork had is closed
