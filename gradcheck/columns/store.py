"""Where runs lie: folders of this machine, and every filesystem that ``pyarrow.fs`` opens by a URI, as one kind of path.

Whatever is written is there whole or not at all, and one process at a time writes to a run.
"""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import re
import secrets
import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import parse_qsl

from gradcheck import uris
from gradcheck.errors import BadInput, WriteError

log = logging.getLogger(__name__)

ASIDE = ".tmp"  # unfinished files; beside the parts they would break readers
LOCK = "lock"
LOCKED_BYTE = 2**20  # of that file, on Windows
PLAN = "plan.parquet"  # of the whole run: with it, it can be taken up again
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
# A file of these is there when all of it is; of the others it could be seen half written.
OBJECT_STORES = ("s3", "gcs", "abfs")
S3_OPTIONS = {
    "region": str,
    "scheme": str,
    "endpoint_override": str,
    "anonymous": bool,
    "allow_bucket_creation": bool,
    "allow_bucket_deletion": bool,
    "force_virtual_addressing": bool,
    "role_arn": str,
    "tls_ca_file_path": str,
}
# Seconds: three attempts, so that an address at which nobody answers is given up after half a minute.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
# Seconds: a holder of a lease renews it every BEAT; one that has not for DEAD is gone.
BEAT, DEAD, SETTLE = 5.0, 20.0, 1.0


class Remote:
    """A path on a filesystem of ``pyarrow.fs``, with what of ``pathlib.Path`` the package uses.

    What cannot be read is BadInput in one line; what cannot be written an OSError.
    """

    def __init__(self, filesystem: Any, path: str, shown: tuple[str, str], lease: Lease | None = None) -> None:
        self._fs, self._path, self._shown, self._lease = filesystem, path, shown, lease

    def __truediv__(self, name: str) -> Remote:
        return Remote(self._fs, f"{self._path}/{name}", (f"{self._shown[0]}/{name}", self._shown[1]), self._lease)

    def __str__(self) -> str:
        """As it would be typed, without credentials."""
        return "?".join(filter(None, self._shown))

    def __lt__(self, other: Remote) -> bool:
        return self._path < other._path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and (self._path, self._shown) == (other._path, other._shown)

    def __hash__(self) -> int:
        return hash(self._path)

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    @property
    def filesystem(self) -> Any:
        return self._fs

    @property
    def key(self) -> str:
        """The path as the filesystem knows it."""
        return self._path

    def exists(self) -> bool:
        return self._kind() != "NotFound"

    def is_file(self) -> bool:
        return self._kind() == "File"

    def is_dir(self) -> bool:
        return self._kind() == "Directory"

    def glob(self, pattern: str) -> Iterator[Remote]:
        """The files of this folder whose name fits."""
        from pyarrow import fs

        with self._reading():
            found = self._fs.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        for info in found:
            if info.type.name == "File" and fnmatch.fnmatchcase(info.base_name, pattern):
                yield self / info.base_name

    def open(self) -> Any:
        """For reading at any position."""
        with self._reading():
            return self._fs.open_input_file(self._path)

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Object stores have no folders; a bucket is made where the URI allows it."""
        if self._fs.type_name not in OBJECT_STORES:
            self._fs.create_dir(self._path)
        elif self._may_make_bucket and self._bucket_is_missing():
            self._fs.create_dir(self._bucket, recursive=False)

    def require_bucket(self) -> None:
        """Raise BadInput where the bucket is missing and must not be made."""
        if self._fs.type_name in OBJECT_STORES and not self._may_make_bucket and self._bucket_is_missing():
            advice = "; make it, or add allow_bucket_creation=true" if self._fs.type_name == "s3" else ""
            raise BadInput(f"{self}: there is no bucket {self._bucket}{advice}")

    @property
    def _bucket(self) -> str:
        return self._path.partition("/")[0]

    @property
    def _may_make_bucket(self) -> bool:
        return "allow_bucket_creation=true" in self._shown[1].lower()

    def _bucket_is_missing(self) -> bool:
        try:
            return bool(self._fs.get_file_info(self._bucket).type.name == "NotFound")
        except OSError:  # who may use a prefix only may not ask for the bucket
            return False

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._fs.delete_file(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def write(self, content: Any) -> None:
        """Replace the file by one with this content, at once.  Raises OSError."""
        if self._lease is not None:
            self._lease.require()
        whole = self._fs.type_name in OBJECT_STORES
        first = self._path if whole else f"{self._path}.{uuid.uuid4().hex[:8]}.tmp"
        with self._fs.open_output_stream(first) as file:
            file.write(content)
        if not whole:
            if self.exists():
                self._fs.delete_file(self._path)
            self._fs.move(first, self._path)

    def _kind(self) -> str:
        with self._reading():
            return str(self._fs.get_file_info(self._path).type.name)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise BadInput(f"{self}: no such file") from None
        except (OSError, ValueError) as error:
            raise BadInput(f"{self}: cannot be read: {one_line(error)}") from error


Place: TypeAlias = Path | Remote


def at(place: str | os.PathLike[str] | Remote) -> Place:
    """The place that a folder or a URI names.  Nothing is read there.  Raises BadInput for a URI that is none."""
    if isinstance(place, Remote):
        return place
    text = os.fspath(place)
    if not uris.is_uri(text):
        if half := re.match(rf"\s*({'|'.join(SCHEMES)}):", text, re.IGNORECASE):
            raise BadInput(f"{half[1]}: a URI must begin with {half[1]}://, a folder of this name with ./{half[1]}:")
        return Path(text)
    shown = uris.shown(text)
    try:
        uri = uris.parsed(text)
    except ValueError as error:
        raise BadInput(f"{shown.partition('://')[0]}://{uris.HIDDEN}: {error}") from None
    if uri.scheme == "file":
        if uri.query:
            raise BadInput(f"{shown}: must be file:// and a folder, without a query")
        return Path(text.strip().partition("://")[2].removeprefix("localhost/"))
    if uri.scheme not in SCHEMES:
        raise BadInput(f"{shown}: must be a folder or begin with one of {', '.join(f'{s}://' for s in SCHEMES)}")
    try:
        filesystem, path = _filesystem(uri, shown)
    except BadInput:
        raise
    except (OSError, ValueError, NotImplementedError, ImportError) as error:
        raise BadInput(f"{shown}: cannot be opened: {one_line(ValueError(uri.hide(str(error))))}") from None
    base, _, options = shown.partition("?")
    path = path.strip("/") if uri.scheme != "hdfs" else path.rstrip("/")
    if not path:
        raise BadInput(f"{shown}: must name a bucket and a prefix, {uri.scheme}://bucket/prefix")
    return Remote(filesystem, path, (base.rstrip("/"), options))


def _filesystem(uri: uris.Uri, shown: str) -> tuple[Any, str]:
    from pyarrow import fs

    opened: tuple[Any, str] = _s3(uri, shown) if uri.scheme == "s3" else fs.FileSystem.from_uri(uri.text)
    return opened


def _s3(uri: uris.Uri, shown: str) -> tuple[Any, str]:
    """As ``pyarrow.fs.FileSystem.from_uri``, with a limit to the waiting."""
    from pyarrow import fs

    options: dict[str, Any] = {}
    for key, value in parse_qsl("&".join(f"{key}={value}" for key, value in uri.query), keep_blank_values=True):
        if key not in S3_OPTIONS:
            # what stands where a key should may be a secret
            named = key if value and re.fullmatch("[a-z_]{1,40}", key) else "what stands after the ?"
            raise BadInput(f"{shown}: {named} is no option; allowed: {', '.join(S3_OPTIONS)}")
        if S3_OPTIONS[key] is bool and value.lower() not in ("true", "false"):
            raise BadInput(f"{shown}: {key}={value if value.isalnum() else ''}: must be true or false")
        options[key] = value.lower() == "true" if S3_OPTIONS[key] is bool else value
    if uri.user or uri.password:
        options |= {"access_key": uri.user, "secret_key": uri.password}
    if not uri.host:
        raise BadInput(f"{shown}: must name a bucket and a prefix, s3://bucket/prefix")
    filesystem = fs.S3FileSystem(connect_timeout=CONNECT_SECONDS, request_timeout=ANSWER_SECONDS, **options)
    return filesystem, f"{uri.host}/{uri.path.strip('/')}".rstrip("/")


def source(place: Place) -> Any:
    """What pyarrow reads a file from."""
    return place.open() if isinstance(place, Remote) else place


def inside(root: Place, path: Place) -> bool:
    """Whether a path lies within a run, links followed; object stores have none."""
    return not (isinstance(path, Path) and isinstance(root, Path)) or path.resolve().is_relative_to(root.resolve())


def write(run_dir: Place, folder: str | None, name: str, fill: Callable[[Any], str | None]) -> Place:
    """Write a file of a run, new or in place of another; it is visible when it is complete, and not before.

    fill : writes the content to the open file that it is given; what it returns stands for ``{}`` in the name.

    Returns where the file is.  When it does, the file survives a loss of power.  Raises OSError.
    """
    home = run_dir / folder if folder else run_dir
    if isinstance(home, Remote):
        import pyarrow as pa

        buffer = pa.BufferOutputStream()
        target = home / name.format(fill(buffer))
        target.write(buffer.getvalue())
        return target
    assert isinstance(run_dir, Path)
    assert isinstance(home, Path)
    plain = name.replace("-{}", "")
    aside = run_dir / ASIDE / (f"{folder}-{plain}" if folder else plain)
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        with aside.open("wb") as file:
            found = fill(file)
            file.flush()
            os.fsync(file.fileno())  # else a machine that stops may leave the new name with nothing behind it
        path = home / name.format(found)
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(home / plain)  # a disk that is full names none
        raise
    sync(home)
    return path


def make(run_dir: Place, folders: Sequence[str]) -> None:
    """Make the folders of a run; when it returns, they survive a loss of power, and so does the way to them."""
    for folder in folders:
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    if isinstance(run_dir, Path):
        # which of those above are new is not known: Hydra makes some
        for above in (run_dir, *run_dir.absolute().parents):
            sync(above)


def sync(folder: Path) -> None:
    """Have the disk keep the names in a folder.  Where folders cannot be opened (Windows) or synced there is no way to."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EROFS, errno.EACCES):
            raise
    finally:
        os.close(number)


@contextmanager
def whole(target: Path) -> Iterator[IO[bytes]]:
    """A file to fill, which is at `target` when the block ends well, and leaves what was there where it does not.

    It is a new one in the same folder, whoever else may write there: no link is followed, neither in its place nor in
    that of `target`.  Raises OSError.
    """
    aside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    with aside.open("xb") as file:
        try:
            yield file
            file.close()
            os.replace(aside, target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def remove_aside(run_dir: Place) -> None:
    """Remove unfinished files, and their folder unless it holds the lock.  Raises OSError."""
    if isinstance(run_dir, Remote):
        return
    for path in (run_dir / ASIDE).glob("*"):
        if path.name != LOCK and (path.is_file() or path.is_symlink()):
            path.unlink(missing_ok=True)
    try:
        (run_dir / ASIDE).rmdir()
    except OSError:
        pass


# ---------------------------------------------------------------------------------------------------------------- lock


@contextmanager
def locked(run_dir: Place) -> Iterator[Place]:
    """Hold a run for this process alone; yields the place to write to.

    A folder is locked by the operating system, which frees it whatever ends the process; an object store by a lease.

    Raises BadInput where another process holds it, where nothing can be written, or where a link would lead what is
    written or removed out of the folder.
    """
    if isinstance(run_dir, Path):
        written = [run_dir / name for name in (ASIDE, "cells", "errors")]
        with suppress(FileNotFoundError):  # who held the lock has just removed the folder
            written += [run_dir / ASIDE / name for name in os.listdir(run_dir / ASIDE)]
        for path in written:
            if not inside(run_dir, path):
                raise BadInput(f"{path}: leads out of the run folder")
    try:
        if isinstance(run_dir, Remote):
            run_dir.mkdir()
            lease = Lease(run_dir / ASIDE / LOCK)
            lease.take(str(run_dir))
            held: Place = Remote(run_dir.filesystem, run_dir.key, run_dir._shown, lease)
            free = lease.end
        else:
            held, free = run_dir, partial(_unlock, run_dir, _flock(run_dir))
    except OSError as error:
        raise refused(run_dir, error) from error
    try:
        yield held
    finally:
        free()


def _unlock(run_dir: Path, file: IO[bytes]) -> None:
    try:  # while it is still ours
        (run_dir / ASIDE / LOCK).unlink(missing_ok=True)
        (run_dir / ASIDE).rmdir()
    except OSError:
        pass
    file.close()


def _flock(run_dir: Path) -> IO[bytes]:
    """The open file whose lock is held: closing it, or the end of the process, frees it.  Raises BadInput, OSError."""
    path = run_dir / ASIDE / LOCK
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "a+b")  # noqa: SIM115
        except FileNotFoundError:  # its last holder has just removed the folder
            continue
        try:
            _lock(file)
            if _same(file, path):
                file.truncate(0)
                file.write(str(os.getpid()).encode())
                file.flush()
                return file
            file.close()
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).decode("ascii", "replace")
            file.close()
            raise _held(str(run_dir), f"process {holder}" if holder.isdigit() else "another process") from None
        except BaseException:
            file.close()
            raise


def _lock(file: IO[bytes]) -> None:
    """Raises BlockingIOError where another process has locked the file."""
    try:
        import fcntl
    except ImportError:  # Windows
        msvcrt = import_module("msvcrt")
        try:
            # it counts from where the file is, and keeps others from reading what is locked: beyond the content
            os.lseek(file.fileno(), LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(str(error)) from None
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        log.warning("this filesystem has no locks: nothing keeps two processes from writing to one run")


def _same(file: IO[bytes], path: Path) -> bool:
    """Whether the file that was locked still is the one that others would lock."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _held(place: str, holder: str) -> BadInput:
    return BadInput(f"{place}: {holder} is writing there; wait until it is done, or end it")


class Lease:
    """A lock for stores that know none: a file that its holder rewrites every few seconds.

    Whoever finds one watches it: if it changes, its holder lives; if it does not for DEAD seconds, it is taken over.
    No clocks are compared.  Two processes that find the same dead lease at the same moment both write theirs, wait a
    moment and read which one is there.  A holder that was held up itself for so long finds another's lease and stops.
    """

    def __init__(self, file: Remote) -> None:
        self._file, self._owner, self._count = file, uuid.uuid4().hex, 0
        self._written = -DEAD
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, place: str) -> None:
        """Raises BadInput where another process holds it, OSError where it cannot be written."""
        found, start = self._read(), time.monotonic()
        while found is not None and time.monotonic() - start < DEAD:
            time.sleep(SETTLE)
            again = self._read()
            if again is not None and again != found:
                raise _held(place, "another process")
            found = again
        self._write()
        time.sleep(SETTLE)
        if not self._mine(self._read()):
            raise _held(place, "another process")
        self._thread = threading.Thread(target=self._renew, name="gradcheck-lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises OSError unless the lease is still held."""
        with self._turn:
            if time.monotonic() - self._written > 2 * BEAT:  # held up: somebody may have taken it for dead
                self._beat()

    def end(self) -> None:
        """Give it back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._mine(self._read()):
                self._file.unlink(missing_ok=True)
        except (OSError, BadInput):
            pass

    def _renew(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                with self._turn:
                    self._beat()
            except OSError:
                pass  # `require` says so where it matters

    def _beat(self) -> None:
        try:
            found = self._read()
        except BadInput as error:
            raise OSError(str(error)) from error
        if not self._mine(found):
            raise OSError("another process has taken the run over")
        self._write()

    def _mine(self, content: bytes | None) -> bool:
        return content is not None and content.startswith(self._owner.encode())

    def _write(self) -> None:
        self._count += 1
        self._file.write(f"{self._owner} {self._count}".encode())
        self._written = time.monotonic()

    def _read(self) -> bytes | None:
        try:
            if not self._file.is_file():
                return None
            with self._file.open() as file:
                return bytes(file.read())
        except BadInput as error:
            if isinstance(error.__context__, FileNotFoundError):
                return None
            raise


# Trouble of the disk, not of what was typed.
_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def is_fault(error: BaseException | None) -> bool:
    """Whether the disk is to blame, not what was typed."""
    return isinstance(error, OSError) and error.errno in _FAULTS


def refused(run_dir: Place, error: Exception) -> Exception:
    """What a run ends with that cannot even begin to write."""
    if is_fault(error):
        return not_stored(run_dir, error)
    return BadInput(f"{run_dir}: results cannot be written there: {one_line(error)}")


def not_stored(run_dir: Place, error: Exception) -> WriteError:
    """What a run ends with when a write fails; the way on is named where there is one."""
    file = getattr(error, "filename", None)
    named = f"{os.path.relpath(file, run_dir)}: " if isinstance(run_dir, Path) and isinstance(file, str) else ""
    begun = False
    with suppress(OSError, ValueError):
        begun = (run_dir / PLAN).exists()
    resumed = shlex.quote(f"resume={run_dir}")
    way_on = f"and {resumed} goes on" if begun else "but there is no plan to go on with; start anew where there is room"
    return WriteError(
        f"{run_dir}: results could not be stored: {named}{one_line(error)}; what was stored before is intact, {way_on}"
    )


def one_line(error: BaseException) -> str:
    """What went wrong, without the walls of text of some filesystems."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    text = re.sub(r" ?\(Request ID: [^)]*\)", "", text)
    return text if len(text) <= 300 else text[:297] + "..."
