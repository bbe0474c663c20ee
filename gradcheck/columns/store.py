"""The files of a run: whatever is written is there whole or not at all, and what is said where it cannot be written."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from gradcheck.columns.places import Place
from gradcheck.columns.remote import Remote
from gradcheck.errors import BadInput, WriteError, cause

ASIDE = ".tmp"  # the folder of unfinished files, which would break readers if they lay beside the parts
LOCK = "lock"  # the file in that folder that a running process holds
PLAN = "plan.parquet"  # the cells of the whole run: with it a run can be resumed


class Sink(Protocol):
    """What takes bytes: an open file, or a buffer of pyarrow."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take some bytes."""

    def flush(self) -> object:
        """Pass on what was taken."""


def write(run_dir: Place, folder: str | None, name: str, fill: Callable[[Sink], str | None]) -> Place:
    """Write a file of a run, or replace one; readers see it when it is complete, and not before.

    fill : writes the content to the open file that it is given, and returns what replaces ``{}`` in the name.

    Returns where the file is.  From then on the file survives a loss of power.  Raises OSError.
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
            os.fsync(file.fileno())  # else a loss of power may leave the new name with an empty file
        path = home / name.format(found)
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(home / plain)  # the error of a full disk names no file
        raise
    sync(home)
    return path


def make(run_dir: Place, folders: Sequence[str]) -> None:
    """Make the folders of a run.  From then on they, and the folders above them, survive a loss of power."""
    for folder in folders:
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    if isinstance(run_dir, Path):
        # Hydra makes some of the folders above, so any of them may be new
        for above in (run_dir, *run_dir.absolute().parents):
            sync(above)


def sync(folder: Path) -> None:
    """Have the disk keep the names in a folder.  Does nothing where a folder cannot be opened (Windows) or synced."""
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
    """A file to fill: it replaces `target` when the block ends well; when the block raises, `target` stays as it was.

    The file is a new one in the same folder, under a name that nobody can guess, so that no link is followed, and a
    link at `target` is replaced.  What is no file (a device, a pipe, a name in ``/dev``) is never replaced: that would take
    it away from every program.  Raises OSError.
    """
    _refuse_special(target)
    aside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    with aside.open("xb") as file:
        try:
            yield file
            file.close()
            os.replace(aside, target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def _refuse_special(target: Path) -> None:
    """Raise OSError where a file cannot take the place of what is at `target`."""
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    # /dev/stdout is a link, and others than we write to it
    system = stat.S_ISLNK(mode) and target.parent.resolve() in (Path("/dev"), Path(os.path.realpath("/dev/fd")))
    if system or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "is a device or a pipe; name a file")


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


# Errors of the disk, not of what was typed: full, over quota, file too large, broken.
_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def is_fault(error: BaseException | None) -> bool:
    """Whether the disk caused an error, not what was typed."""
    return isinstance(error, OSError) and error.errno in _FAULTS


def refused(run_dir: Place, error: Exception) -> Exception:
    """The error that ends a run which cannot write its first file."""
    if is_fault(error):
        return not_stored(run_dir, error)
    return BadInput(f"{run_dir}: results cannot be written there: {cause(error)}")


def not_stored(run_dir: Place, error: Exception) -> WriteError:
    """The error that ends a run in which a write failed; it says how to resume where a plan is stored."""
    file = error.filename if isinstance(error, OSError) else None
    named = f"{os.path.relpath(file, run_dir)}: " if isinstance(run_dir, Path) and isinstance(file, str) else ""
    begun = False
    with suppress(OSError, ValueError):
        begun = (run_dir / PLAN).exists()
    resumed = shlex.quote(f"resume={run_dir}")
    way_on = f"and {resumed} goes on" if begun else "but there is no plan to go on with; start anew where there is room"
    return WriteError(
        f"{run_dir}: results could not be stored: {named}{cause(error)}; what was stored before is intact, {way_on}"
    )
