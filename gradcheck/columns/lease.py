"""A lock for filesystems that have none: a file that its holder renews."""

from __future__ import annotations

import threading
import time
import uuid

from gradcheck.columns.remote import Remote
from gradcheck.errors import BadInput

# Seconds.  A holder renews its lease every BEAT.  A lease that was not renewed for DEAD is taken over.  A new holder waits
# SETTLE before it reads its lease back.
BEAT, DEAD, SETTLE = 5.0, 20.0, 1.0


def being_written(place: str, holder: str) -> BadInput:
    """The error of a process that finds another one writing to a run."""
    return BadInput(f"{place}: {holder} is writing there; wait until it is done, or end it")


class Lease:
    """A lock for filesystems that have none: a file that its holder rewrites every few seconds.

    A process that finds a lease watches it.  If the file changes, its holder lives.  If it does not change for DEAD
    seconds, the process takes it over.  No clocks are compared.  Two processes that take over the same lease at the same
    moment both write theirs, wait SETTLE seconds and read whose is there.  A holder that was suspended for DEAD seconds
    finds another's lease, and stops.
    """

    def __init__(self, file: Remote) -> None:
        self._file, self._owner, self._count = file, uuid.uuid4().hex, 0
        self._written = -DEAD
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, place: str) -> None:
        """Get the lease.  Raises BadInput where another process holds it, OSError where it cannot be written."""
        found, start = self._read(), time.monotonic()
        while found is not None and time.monotonic() - start < DEAD:
            time.sleep(SETTLE)
            again = self._read()
            if again is not None and again != found:
                raise being_written(place, "another process")
            found = again
        self._write()
        time.sleep(SETTLE)
        if not self._mine(self._read()):
            raise being_written(place, "another process")
        self._thread = threading.Thread(target=self._renew, name="gradcheck-lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raise OSError unless the lease is still held."""
        with self._turn:
            if (
                time.monotonic() - self._written > 2 * BEAT
            ):  # not renewed in time: another process may have taken it over
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
                pass  # `require` raises it before the next file is written

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
