"""Records as a stranger would send them, each with something planted, and what a command does with them.

What a command may do is watched from three sides: Python's audit events (processes, connections, imports, unpickling,
files opened or changed), the kernel's notes of whatever is opened in a folder outside (inotify: libraries in C are seen
too), and canaries that a payload would leave behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ESCAPES = (
    "\x1b]0;owned\x07\x1b[2J\x1b]8;;http://owned.example\x07\u202e[bold]x[/bold]\r\n\x9b31m<script>owned()</script>"
)
SECRET = "the secret of somebody else"
SECONDS = 600


# -------------------------------------------------------------------------------------------------------- the records


def _edit(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Other rows in a part, without the checksums that would keep them from being read."""
    table = change(pq.ParquetFile(path).read())
    path.unlink()
    pq.write_table(table, path.with_name(re.sub("-[0-9a-f]{16}", "", path.name)))


def _column(table: pa.Table, name: str, values: list[Any], kind: Any = None) -> pa.Table:
    made = pa.array(values, kind or table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), name, made)


def _parts(run: Path, folder: str) -> list[Path]:
    return sorted((run / folder).glob("*.parquet"))


def config(**changes: Any) -> Callable[[Path, Path], None]:
    """Change recorded configs, of cells and of the plan; a section is merged, anything else replaced."""

    def change(run: Path, outside: Path) -> None:
        def edited(text: str) -> str:
            form = json.loads(text)
            for key, value in changes.items():
                given = json.loads(json.dumps(value).replace("OUTSIDE", str(outside)).replace("RUN", str(run)))
                form[key] = {**given} if isinstance(given, dict) else given
            return json.dumps(form)

        _texts(run, edited)

    return change


def text_of_config(text: str) -> Callable[[Path, Path], None]:
    return lambda run, outside: _texts(run, lambda _: text)


def _texts(run: Path, edited: Callable[[str], str]) -> None:
    # computed cells are not computed again: the plan has one more
    for path in [*_parts(run, "cells"), run / "plan.parquet"]:
        _edit(path, lambda t: _column(t, "config", [edited(v) for v in t["config"].to_pylist()]))


def column(name: str, value: Any, folder: str = "cells") -> Callable[[Path, Path], None]:
    def change(run: Path, outside: Path) -> None:
        for path in _parts(run, folder):
            _edit(path, lambda t: _column(t, name, [value] * t.num_rows))

    return change


def planned(name: str, value: Any, kind: Any = None) -> Callable[[Path, Path], None]:
    return lambda run, outside: _edit(
        run / "plan.parquet", lambda t: _column(t, name, [value] * t.num_rows, kind or pa.string())
    )


def metadata(key: bytes, value: bytes) -> Callable[[Path, Path], None]:
    def change(run: Path, outside: Path) -> None:
        for path in [*_parts(run, "cells"), *_parts(run, "errors"), run / "plan.parquet"]:
            _edit(path, lambda t: t.replace_schema_metadata({**(t.schema.metadata or {}), key: value}))

    return change


def extension_type(run: Path, outside: Path) -> None:
    """A type whose metadata is a pickle, which old pyarrow loaded."""
    payload = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload()),
    }
    for path in _parts(run, "cells"):
        table = pq.ParquetFile(path).read()
        fields = [f.with_metadata(payload) if f.name == "config" else f for f in table.schema]
        pq.write_table(table.cast(pa.schema(fields, table.schema.metadata)), path)


def link(name: str, target: str) -> Callable[[Path, Path], None]:
    """Put a link in the place of a file or folder of the record."""

    def change(run: Path, outside: Path) -> None:
        place = run / name
        if target == "OUTSIDE/cells" and place.is_dir():
            shutil.copytree(place, outside / "cells", dirs_exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(target.replace("OUTSIDE", str(outside)), target_is_directory=True)

    return change


def link_part(run: Path, outside: Path) -> None:
    part = _parts(run, "cells")[0]
    shutil.move(part, outside / "part.parquet")
    part.symlink_to(outside / "part.parquet")


def link_plan(run: Path, outside: Path) -> None:
    shutil.move(run / "plan.parquet", outside / "plan.parquet")
    (run / "plan.parquet").symlink_to(outside / "plan.parquet")


def link_to_data(run: Path, outside: Path) -> None:
    (run / "data.csv").symlink_to(outside / "secret.csv")
    config(data={"source": "file", "path": "RUN/data.csv", "target": "y"})(run, outside)


def content(name: str, made: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    def change(run: Path, outside: Path) -> None:
        for path in [*_parts(run, name)] if (run / name).is_dir() else [run / name]:
            path.write_bytes(made(path.read_bytes()))

    return change


def file(name: str, data: bytes) -> Callable[[Path, Path], None]:
    def change(run: Path, outside: Path) -> None:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(data)

    return change


def pipe(name: str) -> Callable[[Path, Path], None]:
    return lambda run, outside: os.mkfifo(run / name)


def swept(run: Path, outside: Path) -> None:
    """A column that no grid of ours makes."""
    for path in _parts(run, "cells"):
        _edit(path, lambda t: t.append_column(ESCAPES, pa.array([ESCAPES] * t.num_rows)))


def wrong_type(run: Path, outside: Path) -> None:
    for path in _parts(run, "cells"):
        _edit(path, lambda t: _column(t, "config", [7] * t.num_rows, pa.int64()))
    planned("config", 7, pa.int64())(run, outside)


class Payload:
    """Unpickled, it leaves a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


PICKLE = pickle.dumps(Payload())
YAML = b"""!!python/object/apply:os.system ['touch owned']
"""
DEEP = "[" * 100_000
PANDAS = {"index_columns": [{"kind": "range", "name": ESCAPES, "start": 0, "stop": -5, "step": 0}], "columns": 7}
FUNCTION = {"name": "function", "fun": "owned.fun", "jac": "owned.fun", "x0": [1.0]}

RECORDS: dict[str, Callable[[Path, Path], None]] = {
    "_target_ in a section": config(model={"name": "logistic", "_target_": "os.system", "_args_": ["touch owned"]}),
    "_target_ beside the sections": config(_target_="owned.fun", _recursive_=True),
    "a section that is a call": config(data={"_target_": "builtins.exec", "_args_": ["open('owned', 'w')"]}),
    "an interpolation": config(scheme="${oc.env:HOME}"),
    "an interpolation in a path": config(data={"source": "file", "path": "${oc.env:HOME}/x.csv", "target": "y"}),
    "a resolver that creates": config(eps="${oc.create:{_target_: owned.fun}}"),
    "a module of this folder": config(model=FUNCTION, data={"source": "none"}, init={"name": "normal"}),
    "a module of the system": config(
        model={"name": "function", "fun": "os:system", "jac": "os:system", "x0": [1.0], "args": ["touch owned"]},
        data={"source": "none"},
    ),
    "a file elsewhere": config(data={"source": "file", "path": "OUTSIDE/secret.csv", "target": "y"}),
    "a file above": config(data={"source": "file", "path": "../outside/secret.csv", "target": "y"}),
    "a link to a file elsewhere": link_to_data,
    "weights elsewhere": config(init={"name": "file", "path": "OUTSIDE/secret.npz"}),
    "weights that are a pickle": config(init={"name": "file", "path": "pickled.npz"}),
    "a pipe elsewhere": config(data={"source": "file", "path": "OUTSIDE/pipe.csv", "target": "y"}),
    "a device": config(data={"source": "file", "path": "/dev/zero", "target": "y"}),
    "an address": config(data={"source": "file", "path": "http://127.0.0.1:9/x.csv", "target": "y"}),
    "a data set that is a path": config(data={"source": "sklearn", "name": "../../outside/secret"}),
    "deep nesting": text_of_config(DEEP),
    "numbers without end": config(eps=10**400, match_at=-(10**400)),
    "not a number": text_of_config('{"eps": NaN, "model": Infinity}'),
    "more memory than there is": config(data={"source": "gaussian", "n": 10**13, "d": 10**6}),
    "layers without end": config(model={"name": "mlp", "layers": [10**9, 10**9]}),
    "escape sequences in names": column("bug", ESCAPES),
    "escape sequences in messages": column("message", ESCAPES),
    "escape sequences in a config": config(scheme=ESCAPES, bug={"name": ESCAPES}),
    "escape sequences in parameters": column("param", ESCAPES, "errors"),
    "a status of their own": column("status", ESCAPES),
    "a cell that is a path": column("cell", "../../outside/owned"),
    "a column of their own": swept,
    "skipped with escapes": planned("skip", ESCAPES),
    "swept that is no mapping": planned("swept", json.dumps([{"_target_": "owned.fun"}])),
    "swept with a foreign key": planned("swept", json.dumps({"__class__": ESCAPES, "../../owned": 1})),
    "cells elsewhere": link("cells", "OUTSIDE/cells"),
    "a part elsewhere": link_part,
    "a plan elsewhere": link_plan,
    "unfinished files elsewhere": link(".tmp", "OUTSIDE"),
    "weights' folder elsewhere": link("errors", "OUTSIDE"),
    "a log elsewhere": link("gradcheck.log", "OUTSIDE/secret.csv"),
    "a page elsewhere": link("report.html", "OUTSIDE/secret.csv"),
    "a lock elsewhere": link("lock", "OUTSIDE/secret.csv"),
    "a pipe among the parts": pipe("errors/part-00009.parquet"),
    "a pipe for a plan": lambda run, outside: ((run / "plan.parquet").unlink(), pipe("plan.parquet")(run, outside)),
    "a part with an odd name": lambda run, outside: shutil.copy(_parts(run, "cells")[0], run / "cells/part-x.parquet"),
    "a part with an endless number": lambda run, outside: shutil.copy(
        _parts(run, "cells")[0], run / f"cells/part-{'9' * 200}.parquet"
    ),
    "pickles for parts": content("cells", lambda _: PICKLE),
    "a pickle for a plan": content("plan.parquet", lambda _: PICKLE),
    "parts cut short": content("cells", lambda data: data[: len(data) // 2]),
    "parts with a byte changed": content("errors", lambda data: data[:40] + bytes([data[40] ^ 255]) + data[41:]),
    "an empty plan": content("plan.parquet", lambda _: b""),
    "configs that are numbers": wrong_type,
    "a type that is a pickle": extension_type,
    "YAML that calls": lambda run, outside: (
        file("multirun.yaml", YAML)(run, outside),
        file(".hydra/config.yaml", YAML)(run, outside),
        file(".hydra/hydra.yaml", YAML)(run, outside),
        file("config.pickle", PICKLE)(run, outside),
    ),
    "provenance with escapes": metadata(
        b"gradcheck.provenance", json.dumps({"schema_version": 1, "gradcheck": ESCAPES, "git": ESCAPES}).encode()
    ),
    "provenance without end": metadata(b"gradcheck.provenance", DEEP.encode()),
    "pandas' own metadata": metadata(b"pandas", json.dumps(PANDAS).encode()),
    "overrides with escapes": metadata(b"gradcheck.overrides", json.dumps([ESCAPES, "hydra.run.dir=/"]).encode()),
    "overrides that are no list": metadata(b"gradcheck.overrides", b'{"_target_": "owned.fun"}'),
}


# --------------------------------------------------------------------------------------------------------- the watch


@dataclass
class Watch:
    """What happened that must not."""

    allowed: tuple[Path, ...] = ()  # where files may be changed
    outside: Path = Path("/nonexistent")
    seen: list[str] = field(default_factory=list)
    on: bool = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        self.on = False  # what is done here is not watched
        try:
            self._judge(event, arguments)
        finally:
            self.on = True

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NEVER or event.startswith(("os.exec", "os.spawn", "ftplib.", "urllib.", "http.", "smtplib.")):
            self.seen.append(f"{event} {str(arguments)[:100]}")
        elif event == "subprocess.Popen":
            if Path(os.fsdecode(arguments[0])).name != "git":  # which commit this is
                self.seen.append(f"process {arguments[0]} {str(arguments[1])[:100]}")
        elif event == "import":
            if arguments[0].partition(".")[0] == "owned":
                self.seen.append(f"import {arguments[0]}")
        elif event == "open":
            path, mode, flags = arguments
            writes = bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or any(
                c in (mode or "") for c in "wa+x"
            )
            if isinstance(path, (str, bytes, os.PathLike)):
                self._file(path, writes)
        elif event in _CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(path, (str, bytes, os.PathLike)):
                    name = Path(os.path.abspath(os.fsdecode(path)))
                    self._judge_file(
                        Path(os.path.realpath(name.parent)) / name.name, True
                    )  # a link itself is what changes

    def _file(self, path: Any, writes: bool) -> None:
        self._judge_file(Path(os.path.realpath(os.fsdecode(path))), writes)

    def _judge_file(self, real: Path, writes: bool) -> None:
        if real.is_relative_to(self.outside):
            self.seen.append(f"{'changes' if writes else 'reads'} {real}")
        elif writes and real != Path(os.devnull) and not any(real.is_relative_to(one) for one in self.allowed):
            self.seen.append(f"writes {real}")


_NEVER = {"os.system", "os.posix_spawn", "pty.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo", "os.fork"}
_NEVER |= {"pickle.find_class", "marshal.loads_from_record", "ctypes.dlopen_from_record"}
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_CHANGES |= {"shutil.rmtree", "shutil.move", "os.chown", "os.utime"}
WATCH = Watch()


@cache
def _hooked() -> None:
    """Python calls a hook at every event from then on, for good.  Even one that does nothing slows all the rest down."""
    sys.addaudithook(WATCH.hook)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Whatever Python does in here is judged."""
    _hooked()
    # else Python stores what it compiles of the package itself
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    WATCH.on = True
    try:
        yield
    finally:
        WATCH.on = False
        sys.dont_write_bytecode = written


@contextlib.contextmanager
def kernel_notes(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Names of the files of a folder that anybody opened or changed, as the kernel tells."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(handle, os.fsencode(folder), 0x00000020 | 0x00000002 | 0x00000100 | 0x00000200 | 0x000000C0)

    def told() -> list[str]:
        names = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(handle, 65536):
                while data:
                    mask, length = int.from_bytes(data[4:8], sys.byteorder), int.from_bytes(data[12:16], sys.byteorder)
                    name = os.fsdecode(data[16 : 16 + length].rstrip(b"\0"))
                    if name and not mask & 0x40000000:  # of a folder: it was listed
                        names.append(name)
                    data = data[16 + length :]
        return names

    try:
        yield told
    finally:
        os.close(handle)


# -------------------------------------------------------------------------------------------------------- the commands


def _load(run: Path) -> int:
    import gradcheck
    from gradcheck.errors import BadInput

    try:
        runs = gradcheck.load(run)
        len(runs.cells)
        with contextlib.suppress(OSError, pa.ArrowException):  # from here on it is pyarrow that the caller asks
            runs.errors.to_table()
    except BadInput as error:
        from gradcheck.printable import printable

        print(f"gradcheck: {printable(error)}", file=sys.stderr)
        return 2
    return 0


def _command(name: str, *before: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        module = importlib.import_module(f"gradcheck.{name}")
        return int(module.main([*before, str(folder)]) or 0)

    return run


def _resume(folder: Path) -> int:
    from gradcheck.run import main

    return main([f"resume={folder}", "engine=serial", "progress=none"])


def _diff(folder: Path) -> int:
    return int(importlib.import_module("gradcheck.diff").main([str(folder), str(folder)]))


COMMANDS: dict[str, Callable[[Path], int]] = {
    "show": _command("show"),
    "diff": _diff,
    "reproduce": _command("reproduce"),
    "resume": _resume,
    "load": _load,
}
if importlib.util.find_spec("gradcheck.report") is not None:
    COMMANDS["report"] = _command("report")


@dataclass
class Scene:
    """A folder to work in, somebody else's folder, and a record."""

    here: Path
    outside: Path
    run: Path


def original(folder: Path) -> Path:
    """A run of two cells of which one is not stored yet, so that `resume` has something to do."""
    from gradcheck.run import main

    run = folder / "original"
    with contextlib.redirect_stdout(io.StringIO()):
        typed = ["data.n=20", "data.d=2", "bug=none,scale", "bug.seed=0", "-m", "engine=serial", "progress=none"]
        assert main([*typed, f"hydra.sweep.dir={run}"]) == 0
    first = next(cell for path in _parts(run, "cells") for cell in pq.read_table(path)["cell"].to_pylist())
    for path in [*_parts(run, "cells"), *_parts(run, "errors")]:
        _edit(path, lambda t: t.filter(pa.array([cell == first for cell in t["cell"].to_pylist()], pa.bool_())))
    return run


def scene(folder: Path, record: Path, name: str) -> Scene:
    """A copy of the record with its payload, beside what it is after."""
    made = Scene(folder / "here", folder / "outside", folder / "here/run")
    made.here.mkdir(parents=True)
    made.outside.mkdir()
    shutil.copytree(record, made.run)
    (made.here / "owned.py").write_text("import pathlib\npathlib.Path('owned').touch()\ndef fun(*a): return 0.0\n")
    np.savez(made.here / "pickled.npz", W=np.array([Payload()], dtype=object), allow_pickle=True)
    rows = "\n".join(f"{i},{i % 3},{i % 2}" for i in range(20))
    (made.outside / "secret.csv").write_text(f"a,{SECRET},y\n{rows}\n")
    np.savez(made.outside / "secret.npz", W=np.ones((2, 1)), b=np.ones(1))
    os.mkfifo(made.outside / "pipe.csv")
    RECORDS[name](made.run, made.outside)
    return made


class _TooLong(BaseException):
    """The alarm has rung."""


def attempt(made: Scene, command: str) -> tuple[int, list[str]]:
    """Run one command on a scene; returns its status and what was wrong."""

    def ring(number: int, frame: Any) -> None:
        raise _TooLong

    before = _tree(made.outside)
    out, err, status = io.StringIO(), io.StringIO(), -1
    wrong: list[str] = []
    where, path = Path.cwd(), list(sys.path)
    handler = signal.signal(signal.SIGALRM, ring)
    with kernel_notes(made.outside) as told:
        os.chdir(made.here)
        sys.path.insert(0, str(made.here))
        WATCH.seen, WATCH.outside = [], made.outside.resolve()
        # Python's own cache of compiled modules lies where its modules do
        WATCH.allowed = (made.run.resolve(), *(Path(p).resolve() for p in path if p))
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), watching():
                status = COMMANDS[command](made.run)
        except _TooLong:
            wrong.append(f"not done after {SECONDS} s")
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException as error:
            wrong.append(f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, handler)
            os.chdir(where)
            sys.path[:] = path
        wrong += WATCH.seen + [f"{name} outside was opened or changed" for name in told()]
    if (made.here / "owned").exists() or sys.modules.pop("owned", None) is not None:
        wrong.append("a payload was executed")
    if _tree(made.outside) != before:
        wrong.append("the folder outside was changed")
    wrong += [f"a page with the payload as markup: {p.name}" for p in made.run.glob("*.html") if _acts(p.read_text())]
    text, line = out.getvalue(), err.getvalue()
    if SECRET in text + line:
        wrong.append("the secret is shown")
    if not wrong or status >= 0:
        wrong += _words(command, status, text, line)
    return status, wrong


def _words(command: str, status: int, text: str, line: str) -> list[str]:
    wrong = []
    if status not in (0, 1, 2):
        wrong.append(f"exit status {status}")
    if status == 2 and not (line.startswith("gradcheck: ") and line.count("\n") == 1 and not text):
        wrong.append(f"not one line: {text[:100]!r} {line[:300]!r}")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text + line):
        wrong.append("characters that act on a terminal")
    if "Traceback" in text + line:
        wrong.append("a traceback")
    return wrong


def _acts(page: str) -> bool:
    return "<script>owned()" in page


def _tree(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def trial(folder: Path, names: list[str] | None = None) -> tuple[int, dict[str, int], list[str]]:
    """Every record with every command: (attempts, statuses, what was wrong)."""
    record = original(folder)
    statuses: dict[str, int] = {}
    wrong: list[str] = []
    attempts = 0
    for name in names or RECORDS:
        for command in COMMANDS:
            made = scene(folder / f"scene-{attempts}", record, name)
            status, found = attempt(made, command)
            attempts += 1
            statuses[str(status)] = statuses.get(str(status), 0) + 1
            wrong += [f"{command} on {name}: {one}" for one in found]
            shutil.rmtree(made.here.parent, ignore_errors=True)
    return attempts, statuses, wrong
