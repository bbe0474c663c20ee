"""Where runs lie: folders of this machine, and every filesystem that ``pyarrow.fs`` opens by a URI, as one kind of path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gradcheck import uris
from gradcheck.columns import s3
from gradcheck.columns.remote import Remote
from gradcheck.errors import BadInput, cause

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")

Place: TypeAlias = Path | Remote


def local(path: str | os.PathLike[str]) -> Path:
    """A path of this machine, with the home folder in the place of a ``~`` at its beginning."""
    return Path(os.path.expanduser(os.fspath(path)))


def to_write(option: str, typed: str) -> Path:
    """The place of this machine that an option names.  Raises BadInput for a URI."""
    if uris.is_uri(typed):
        raise BadInput(f"{option}={uris.shown(typed)}: must be a place on this machine")
    return local(typed)


def at(place: str | os.PathLike[str] | Remote) -> Place:
    """The place that a folder or a URI names.  Nothing is read there.  Raises BadInput for a URI that is none."""
    if isinstance(place, Remote):
        return place
    text = os.fspath(place)
    if not uris.is_uri(text):
        if half := re.match(rf"\s*({'|'.join(SCHEMES)}):", text, re.IGNORECASE):
            raise BadInput(f"{half[1]}: a URI must begin with {half[1]}://, a folder of this name with ./{half[1]}:")
        return local(text)
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
        system, path = filesystem(uri, shown)
    except BadInput:
        raise
    except (OSError, ValueError, NotImplementedError, ImportError) as error:
        raise BadInput(f"{shown}: cannot be opened: {cause(ValueError(uri.hide(str(error))))}") from None
    base, _, options = shown.partition("?")
    path = path.strip("/") if uri.scheme != "hdfs" else path.rstrip("/")
    if not path:
        raise BadInput(f"{shown}: must name a bucket and a prefix, {uri.scheme}://bucket/prefix")
    return Remote(system, path, (base.rstrip("/"), options))


def filesystem(uri: uris.Uri, shown: str) -> tuple[fs.FileSystem, str]:
    """The filesystem of a URI and the path there."""
    from pyarrow import fs

    if uri.scheme == "s3":
        return s3.opened(uri, shown)
    system, path = fs.FileSystem.from_uri(uri.text)
    return system, path


def source(place: Place) -> Path | pa.NativeFile:
    """What pyarrow reads a file from: its path, or the open file."""
    return place.open() if isinstance(place, Remote) else place


def inside(root: Place, path: Place) -> bool:
    """Whether a path lies within a run when links are followed; a remote filesystem has no links."""
    return not (isinstance(path, Path) and isinstance(root, Path)) or path.resolve().is_relative_to(root.resolve())
