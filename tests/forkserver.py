"""A fork server: commands start from a process that has imported the libraries, instead of importing them each.

Half a second of a small command is the import of NumPy, Hydra, pyarrow and pandas.  `python` is the beginning of a command
line that stands for ``python``.  What follows, ``-m MODULE ...`` or ``-c CODE ...``, is run by a fork of the server:

- The server has imported libraries, which the garbage collector skips from then on, and nothing of gradcheck; it has run
  nothing.  Each fork imports gradcheck itself, from where a new process would.
- A second server has imported gradcheck too, which takes as long as the rest of a small command.  It forks what is asked
  for with ``-m gradcheck...`` where a new process would import gradcheck from the same files.
- Files, folder, environment, arguments, umask, process group and ``sys.path`` are those of the process that asked
  (`relay.py`).  It gets the signals, hands them on, and ends as the fork ends.  When it is killed, so is the fork.
- The server refuses what a fork cannot be: another process group or session, other limits, a terminal, variables that are
  read when a library is loaded, a module beside the command that hides one of the libraries, any option of Python.  Then
  the relay becomes an ordinary Python.

`ordinary` turns it off: with GRADCHECK_TESTS_FORK=0 every command is a new process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import marshal
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

RELAY = Path(__file__).resolve().with_name("relay.py")
# What ``run``, ``show``, ``report`` and ``reproduce`` import of others.
LIBRARIES = ("hydra.main", "hydra._internal.hydra", "hydra.core.plugins", "omegaconf", "pandas", "pyarrow.dataset")
LIBRARIES += ("pyarrow.parquet", "numpy", "yaml", "json", "logging.config", "importlib.metadata")
# The package, and what its commands import of it when they are run; the modules of the commands themselves are run, not
# imported.
OURS = "gradcheck"
COMMANDS = (
    "views.commands.launch",
    "views.commands.resume",
    "views.commands.printed",
    "views.reported",
    "views.difference",
)
COMMANDS += (
    "views.reproduction",
    "experiment.replay.record",
    "experiment.replay.replay",
    "experiment.replay.difference",
)
# Variables that Python and the libraries read once, when they start or are loaded.
READ_ONCE = (
    "PYTHON",
    "NPY_",
    "OPENBLAS",
    "OMP_",
    "MKL_",
    "BLIS_",
    "KMP_",
    "ARROW_",
    "LD_",
    "MALLOC_",
    "LC_",
    "LANG",
    "TZ",
)
# Modules that want to be there before the libraries are: pytest rewrites what it imports.
REWRITES = ("pytest",)
# What `gradcheck.experiment.config.compose` sets before it imports pyarrow, where nobody else has set it.
POOL = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
# The same of threadpoolctl and joblib, which a test may import after the server has begun.
SET_ON_IMPORT = POOL | {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}


# ------------------------------------------------------------------------------------------------------------ to use it


@cache
def can_fork() -> bool:
    """Whether there is what the server asks the system for: Linux has it, but for some containers."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return Path("/proc/self/limits").exists()


def ordinary() -> bool:
    """Whether commands are new processes: where that was asked for, and where the server cannot be."""
    return os.environ.get("GRADCHECK_TESTS_FORK") == "0" or not can_fork()


def python() -> list[str]:
    """The beginning of a command line that stands for ``python``."""
    return [sys.executable] if ordinary() else [sys.executable, "-I", "-S", str(RELAY), running().address]


@dataclass(frozen=True)
class Server:
    """The process that forks, and where it listens."""

    process: subprocess.Popen[bytes]
    address: str
    owner: int

    def end(self) -> None:
        """It ends when its input does."""
        if os.getpid() != self.owner:  # a fork of ours ends
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(Path(self.address).parent, ignore_errors=True)


@cache
def running() -> Server:
    """The server of this process."""
    # the address of a socket is at most 107 bytes long
    place = next((short for short in ("/dev/shm", "/tmp") if os.access(short, os.W_OK)), None)
    address = str(Path(tempfile.mkdtemp(prefix="fork-", dir=place)) / "s")  # and that of the second one, see `relay.py`
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, __file__, address],
        cwd="/",
        env=SET_ON_IMPORT | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,  # as the streams of most commands are
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    server = Server(process, address, os.getpid())
    atexit.register(server.end)
    return server


# ----------------------------------------------------------------------------------------------------------- the server


@dataclass(frozen=True)
class Asked:
    """What a relay asks for: to be run with these files, the last of which is the folder."""

    arguments: Sequence[str]
    environment: dict[bytes, bytes]
    mask: int
    group: int
    session: int
    user: int
    limits: bytes
    files: Sequence[int]

    def refused(self, ours: Ours | None) -> bool:
        """Whether a fork of this process would not be what a new process is; `ours` is the gradcheck that it has."""
        with open("/proc/self/limits", "rb") as file:
            limits = file.read()
        here = (os.getpgrp(), os.getsid(0), os.geteuid(), limits)
        return (
            self.arguments[:1] not in (["-m"], ["-c"])
            or len(self.arguments) < 2
            or self.arguments[1] in REWRITES
            or (self.group, self.session, self.user, self.limits) != here
            or read_once(self.environment) != read_once(os.environb)
            or not all(map(os.path.isabs, self.path()))
            or self._hides(ours)
        )

    def _hides(self, ours: Ours | None) -> bool:
        """Whether a module that lies beside the command would be imported in place of one that is there already."""
        there = {name.partition(".")[0] for name in sys.modules} - {OURS}
        folders: list[int | str] = [self.files[-1], *self.path()]
        try:
            names = {folder: {name.partition(".")[0] for name in importable(folder)} for folder in folders}
            if ours is not None and not ours.is_first([folder for folder in folders if OURS in names[folder]]):
                return True
            return any(there & found for found in names.values())
        except OSError:  # no folder
            return True

    def path(self) -> list[str]:
        """The folders of PYTHONPATH."""
        return list(filter(None, os.fsdecode(self.environment.get(b"PYTHONPATH", b"")).split(os.pathsep)))


@dataclass(frozen=True)
class Ours:
    """The gradcheck that the second server has imported, and whether a new process finds it without being told where."""

    file: str
    found: bool
    variables: Mapping[str, str]

    def is_first(self, folders: Sequence[int | str]) -> bool:
        """Whether it is what a new process imports, where these folders hold one, in this order."""
        if not folders:
            return self.found
        first = folders[0]
        there = os.open(first, os.O_RDONLY) if isinstance(first, str) else os.dup(first)
        try:
            return os.path.samestat(os.stat(f"{OURS}/__init__.py", dir_fd=there), os.stat(self.file))
        finally:
            os.close(there)


def importable(folder: int | str) -> list[str]:
    """What in a folder can be imported."""
    return [name for name in os.listdir(folder) if "." not in name or name.endswith((".py", ".so", ".pyc"))]


def read_once(environment: Mapping[bytes, bytes]) -> dict[str, str]:
    """The variables that a fork must have from the server; those that make ``sys.path`` are none of them."""
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    return {
        name: value
        for name, value in (SET_ON_IMPORT | found).items()
        if name.startswith(READ_ONCE) and name != "PYTHONPATH"
    }


def listening(address: str) -> socket.socket:
    """Relays that come before the server waits for them wait for it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(100)
    return listener


def import_ours() -> Ours:
    """Import the gradcheck beside these tests; what that sets in the environment, each fork sets in its own."""
    before, root = dict(os.environ), str(Path(__file__).resolve().parent.parent)
    spec = importlib.util.find_spec(OURS)
    there = spec.origin if spec is not None else None
    sys.path.insert(0, root)
    sys.path_importer_cache.clear()
    for name in COMMANDS:
        importlib.import_module(f"{OURS}.{name}")
    sys.path.remove(root)
    file = str(sys.modules[OURS].__file__)
    found = there is not None and os.path.samefile(there, file)
    return Ours(file, found, {name: value for name, value in os.environ.items() if before.get(name) != value} | POOL)


def serve(listener: socket.socket, ours: Ours | None) -> Asked | None:
    """Wait for relays; returns in each fork with what it has to run, and in the server when its input ends."""
    poll = selectors.DefaultSelector()
    poll.register(0, selectors.EVENT_READ)
    poll.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in poll.select():
            if key.fileobj == 0:
                return None
            if key.fileobj is listener:
                connection, _ = listener.accept()
                asked = received(connection)
                pid = -1 if asked is None or asked.refused(ours) else fork()
                if pid == 0:
                    connection.close()
                    close(poll)
                    return asked
                if asked is not None:
                    for file in asked.files:
                        os.close(file)
                if pid < 0:
                    with suppress(OSError):
                        connection.sendall(b"no\n")
                    connection.close()
                    continue
                ended = os.pidfd_open(pid)
                poll.register(ended, selectors.EVENT_READ, (pid, connection))
                poll.register(connection, selectors.EVENT_READ, (pid, ended))
            elif isinstance(key.fileobj, socket.socket):
                hand_on(key.fileobj, *key.data, poll)
            else:
                tell(key.fd, *key.data, poll)


def received(connection: socket.socket) -> Asked | None:
    """What a relay asks for; None where it has gone away amid it."""
    try:
        head, files, _, _ = socket.recv_fds(connection, 8, 4)
        message = b""
        while len(message) < int.from_bytes(head, "big") and (more := connection.recv(1 << 20)):
            message += more
        return Asked(*marshal.loads(message), files)
    except (OSError, EOFError, ValueError, TypeError):
        return None


def fork() -> int:
    with warnings.catch_warnings():  # the threads that there are belong to libraries that know of forks
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def hand_on(connection: socket.socket, pid: int, ended: int, poll: selectors.BaseSelector) -> None:
    """A signal for a fork, or the end of the relay, which is that of its fork."""
    if connection.fileno() < 0:  # the fork has ended meanwhile
        return
    numbers = b""
    with suppress(OSError):
        numbers = connection.recv(100)
    for number in numbers or [signal.SIGKILL]:
        with suppress(ProcessLookupError):
            os.kill(pid, number)  # it is there until we have waited for it
    if not numbers:
        poll.unregister(connection)


def tell(ended: int, pid: int, connection: socket.socket, poll: selectors.BaseSelector) -> None:
    """How a fork has ended, to its relay."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    poll.unregister(ended)
    os.close(ended)
    with suppress(KeyError):
        poll.unregister(connection)
    with suppress(OSError):
        connection.sendall(f"{status}\n".encode())
    connection.close()


def close(poll: selectors.BaseSelector) -> None:
    """Nothing of the server is open in a fork."""
    for key in list(poll.get_map().values()):
        if isinstance(key.fileobj, socket.socket):
            key.fileobj.close()
        elif key.fd > 2:
            os.close(key.fd)
    poll.close()


# ------------------------------------------------------------------------------------------------------------- the fork


def become(asked: Asked, ours: Ours | None) -> None:
    """Take the place of the relay."""
    os.fchdir(asked.files[-1])
    for number, file in enumerate(asked.files[:-1]):
        os.dup2(file, number)
    for file in asked.files:
        os.close(file)
    os.umask(asked.mask)
    os.environb.clear()
    os.environb.update(asked.environment)
    if ours is not None:
        os.environ.update(ours.variables)
    first = "" if asked.arguments[0] == "-c" else os.getcwd()
    sys.path[:] = [first, *dict.fromkeys([*asked.path(), *sys.path])]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.argv = [asked.arguments[0], *asked.arguments[2:]]
    sys.orig_argv = [sys.executable, *asked.arguments]
    import numpy as np

    np.random.seed()  # Python's own generators are seeded anew at a fork


def run(arguments: Sequence[str]) -> None:
    """As Python does with these arguments."""
    kind, what = arguments[:2]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), main.__dict__)


def settled() -> None:
    """A fork looks for garbage in what is its own; looking through the libraries is half of ending one."""
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    for library in LIBRARIES:
        importlib.import_module(library)
    settled()
    plain, second = (listening(sys.argv[1] + end) for end in ("", "+"))
    package = None
    if fork() == 0:
        plain, second = second, plain
        package = import_ours()
        settled()
    else:
        os.write(1, b"ready\n")
    second.close()
    wanted = serve(plain, package)
    if wanted is not None:
        become(wanted, package)
        run(wanted.arguments)
