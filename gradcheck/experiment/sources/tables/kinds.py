"""What kind of file a path names, by its first bytes, and of which files a folder of parts consists."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from gradcheck.experiment.sources.tables.wanted import Wanted

Kind: TypeAlias = Literal["parquet", "arrow", "text"]
SUFFIXES: dict[str, Kind] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
MAX_FILES = 100_000  # of a folder
# What can be told by its first bytes and cannot be read, and what to do.
OTHERS = {
    b"PK\x03\x04": "is a zip archive or an Excel workbook; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook; save the table as CSV",
    b"FEA1": "is Feather of version 1; write it anew with pandas.DataFrame.to_feather",
    b"\xff\xff\xff\xff": "is an Arrow stream; write it as an Arrow file, with pyarrow.ipc.new_file",
    b"\x89HDF": "is HDF5; save the table as CSV or Parquet",
    b"\x93NUMPY": "is an array of NumPy; save it with numpy.savetxt, or give its values with data=values",
    b"\xfd7zXZ": "is compressed with xz; unpack it with: unxz -k",
    b"SQLite format 3": "is an SQLite database; save the table as CSV or Parquet",
    b"\x80\x04\x95": "is a pickle, which is never loaded; save the table as CSV or Parquet",
    b"RDX": "is saved by R; write it with write.csv",
}


def kind_of(path: Path) -> Kind:
    """The kind of a file: by its first bytes, by its suffix where these are of no kind."""
    begin = beginning(path)
    if begin.startswith(b"PAR1"):
        return "parquet"
    if begin.startswith(b"ARROW1"):
        return "arrow"
    return SUFFIXES.get(path.suffix.lower(), "text")


def refuse_others(path: Path, wanted: Wanted) -> None:
    """Raise ValueError for a file that is known and is no table."""
    begin = beginning(path)
    for first, what in OTHERS.items():
        if begin.startswith(first):
            raise wanted.refusal(f"cannot be read: {what}")


def compression_of(path: Path) -> str | None:
    """How a text file is compressed."""
    begin = beginning(path)
    return next((name for first, name in COMPRESSIONS.items() if begin.startswith(first)), None)


def beginning(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(16)


def lying(path: Path) -> list[Path]:
    """Where a path and its parts lie when links are followed.  Raises ValueError for a folder of too many."""
    return [place.resolve() for place in (path, *parts_of(path))]


def parts_of(path: Path) -> list[Path]:
    """The files of a table: the file itself, or the Parquet and Arrow files of a folder, by their names.

    Files and folders whose name begins with ``_`` or ``.`` are no parts.  Raises ValueError for a folder of too many.
    """
    if not path.is_dir():
        return [path]
    found = []
    for count, file in enumerate(path.rglob("*")):
        if count == MAX_FILES:
            raise ValueError(f"data.path={path}: holds more than {MAX_FILES} files, must be a folder of parts alone")
        inside = file.relative_to(path).parts
        hidden = any(name.startswith(("_", ".")) for name in inside)
        if file.suffix.lower() in SUFFIXES and not hidden and file.is_file():
            found.append(file)
    return sorted(found, key=lambda file: file.relative_to(path).parts)
