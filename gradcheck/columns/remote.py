"""A path on a filesystem of ``pyarrow.fs``, such as an object store, with the methods of ``pathlib.Path`` that runs need."""

from __future__ import annotations

import fnmatch
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from gradcheck.errors import BadInput, cause

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

# A file of these is there when all of it is; of the others it could be seen half written.
OBJECT_STORES = ("s3", "gcs", "abfs")


class Held(Protocol):
    """A lock on the run that a path lies in."""

    def require(self) -> None:
        """Raise OSError unless it is still held."""


class Remote:
    """A path on a filesystem of ``pyarrow.fs``, with the methods of ``pathlib.Path`` that the package uses.

    Reading raises BadInput with one line, writing raises OSError.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str, shown: tuple[str, str], lock: Held | None = None) -> None:
        """shown : the URI without credentials, and its query.   lock : must be held whenever a file is written."""
        self._fs, self._path, self._shown, self._lock = filesystem, path, shown, lock

    def __truediv__(self, name: str) -> Remote:
        return Remote(self._fs, f"{self._path}/{name}", (f"{self._shown[0]}/{name}", self._shown[1]), self._lock)

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
    def filesystem(self) -> fs.FileSystem:
        return self._fs

    def held(self, lock: Held) -> Remote:
        """The same path, where nothing is written once the lock is lost."""
        return Remote(self._fs, self._path, self._shown, lock)

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
        """The files of this folder whose names fit the pattern."""
        from pyarrow import fs

        with self._reading():
            found = self._fs.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        for info in found:
            if info.type.name == "File" and fnmatch.fnmatchcase(info.base_name, pattern):
                yield self / info.base_name

    def open(self) -> pa.NativeFile:
        """The file, for reading at any position."""
        with self._reading():
            return self._fs.open_input_file(self._path)

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Make the folder.  Object stores have none; there the bucket is made where the URI allows it."""
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
        except OSError:  # some credentials allow a prefix only, not a question about the bucket
            return False

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._fs.delete_file(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def write(self, content: bytes | pa.Buffer) -> None:
        """Replace the file by one with this content.  Raises OSError."""
        if self._lock is not None:
            self._lock.require()
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
            raise BadInput(f"{self}: cannot be read: {cause(error)}") from error
