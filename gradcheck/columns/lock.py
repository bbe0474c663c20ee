"""The lock of a run: one process at a time writes there."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO

from gradcheck.columns.lease import Lease, being_written
from gradcheck.columns.places import Place, inside
from gradcheck.columns.remote import Remote
from gradcheck.columns.store import ASIDE, LOCK, refused
from gradcheck.errors import BadInput

log = logging.getLogger(__name__)

LOCKED_BYTE = 2**20  # the byte of the lock's file that is locked on Windows


@contextmanager
def locked(run_dir: Place) -> Iterator[Place]:
    """Hold a run for this process alone; yields the place to write to.

    The operating system locks a folder, and frees it whatever ends the process.  A remote place is locked by a lease.

    Raises BadInput where another process holds it, where nothing can be written, or where a link would lead what is
    written or removed out of the folder.
    """
    if isinstance(run_dir, Path):
        written = [run_dir / name for name in (ASIDE, "cells", "errors")]
        with suppress(FileNotFoundError):  # its last holder has just removed the folder
            written += [run_dir / ASIDE / name for name in os.listdir(run_dir / ASIDE)]
        for path in written:
            if not inside(run_dir, path):
                raise BadInput(f"{path}: leads out of the run folder")
    try:
        if isinstance(run_dir, Remote):
            run_dir.mkdir()
            lease = Lease(run_dir / ASIDE / LOCK)
            lease.take(str(run_dir))
            held: Place = run_dir.held(lease)
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
    try:  # before the file is closed, which frees the lock
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
            raise being_written(str(run_dir), f"process {holder}" if holder.isdigit() else "another process") from None
        except BaseException:
            file.close()
            raise


def _lock(file: IO[bytes]) -> None:
    """Lock the file.  Raises BlockingIOError where another process has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows
        msvcrt = import_module("msvcrt")
        try:
            # msvcrt locks from the current position, and others cannot read a locked byte: one beyond the content
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
    """Whether the locked file is still the one that other processes would lock."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False
