"""One Parquet file of results, written and read so that no damage to it is taken for numbers.

Each page has a checksum, which any reader of Parquet may verify.  The header of a page and the footer have none in that
format.  So the footer holds the CRC-32 of all that comes before it, and the name of the file ends in the first 16 hex
digits of the SHA-256 of its footer (metadata, length, magic).  A CRC-32 finds every burst of up to 32 wrong bits; of other
damage it misses one in 4 billion, and the checksum of the page is to be missed as well.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import IO, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from gradcheck.columns import limits, places
from gradcheck.columns.chunks import Chunks, Key
from gradcheck.columns.places import Place
from gradcheck.columns.remote import Remote
from gradcheck.columns.store import Sink
from gradcheck.errors import BadInput, Damaged, cause

PROVENANCE = b"gradcheck.provenance"  # key of the footer: what made the file, as JSON
PAGES = b"gradcheck.pages"  # key of the footer: how many bytes come before it, and their CRC-32 in 8 hex digits
DIGEST_OF_ERRORS = (
    b"gradcheck.errors"  # in a part of ``cells``: the digest of the part of ``errors`` that holds its weights
)
Opened: TypeAlias = IO[bytes] | pa.NativeFile
_DIGEST = re.compile(r"part-[0-9]+-([0-9a-f]{16})(?:\.parquet)?")
_CHUNK = 2**20
AT_ONCE = 2**22  # bytes of a file that is read at once


def digest_in(name: str) -> str | None:
    """The digest of the footer that a name ends in; None for a name without."""
    match = _DIGEST.fullmatch(name)
    return match and match[1]


# ------------------------------------------------------------------------------------------------------------- writing


class _Summed:
    """A file to write to, and the checksums of what was written."""

    def __init__(self, file: Sink) -> None:
        self._file = file
        self.size, self.crc, self.sha = 0, 0, hashlib.sha256()
        self.closed = False

    def write(self, data: bytes | pa.Buffer) -> int:
        view = memoryview(data)
        self._file.write(view)
        self.crc = zlib.crc32(view, self.crc)
        self.sha.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def fill(
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    dictionary: Sequence[str],
    footer: Mapping[bytes, bytes] | None = None,
) -> Callable[[Sink], str]:
    """A function that writes tables to an open file, each as row groups of its own, and returns the digest of the footer.

    dictionary : columns of few different values.   footer : more entries of the footer.
    """
    # checksums in a schema that was read from another file do not hold for this one
    kept = {key: value for key, value in (schema.metadata or {}).items() if key not in (PAGES, DIGEST_OF_ERRORS)}
    schema = schema.with_metadata(kept)
    names = [name for name in dictionary if name in schema.names]
    split = {f.name: "BYTE_STREAM_SPLIT" for f in schema if f.type == pa.float64() and f.name not in names}

    def write(file: Sink) -> str:
        sink = _Summed(file)
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=names,
            column_encoding=split | {f.name: "DELTA_BINARY_PACKED" for f in schema if f.name == "flat_index"},
            write_page_checksum=True,
        ) as writer:
            for table in tables:
                # a cast loads pyarrow.compute, which a short run would notice
                writer.write_table(table if table.schema.equals(schema) else table.cast(schema))
            writer.add_key_value_metadata({**(footer or {}), PAGES: f"{sink.size} {sink.crc:08x}".encode()})
            sink.sha = hashlib.sha256()  # from here on the footer is written
        return sink.sha.hexdigest()[:16]

    return write


# ------------------------------------------------------------------------------------------------------------- reading


class Footer:
    """The footer of a file, read once, and its digest.

    file : the file, if it is open already.

    Raises Damaged where there is no footer, or one with another digest than the name says.
    """

    def __init__(self, path: Place, file: Opened | None = None) -> None:
        self.path = path
        self.named = digest_in(path.name)
        with reading(path), nullcontext(file) if file is not None else _opened(path) as file:
            size = self.size = file.seek(0, 2)
            length = 0
            if size >= 12:
                file.seek(size - 8)
                tail = file.read(8)
                length = int.from_bytes(tail[:4], "little") if tail[4:] == b"PAR1" else 0
            if not 0 < length <= size - 12:
                found = "is empty" if not size else f"has {size} bytes and does not end as a Parquet file does"
                raise Damaged(f"{path}: damaged: it {found}")
            limits.require_footer(path, tail)
            self.start = size - 8 - length
            file.seek(self.start)
            self.content = file.read(length + 8)
            self.digest = hashlib.sha256(self.content).hexdigest()[:16]
            if self.named not in (None, self.digest):
                raise Damaged(
                    f"{path}: damaged, or another file under this name: its footer has the digest {self.digest}"
                )


class Pages(NamedTuple):
    """The pages of a file, all bytes before the footer: how many, and their checksum according to the footer."""

    shown: str  # the file
    size: int
    crc: bytes

    @staticmethod
    def of(footer: Footer, known: Mapping[bytes, bytes]) -> Pages | None:
        """From the entries of a footer; None where it has none, or where another tool copied them from another file."""
        size, _, crc = known.get(PAGES, b"").partition(b" ")
        return Pages(str(footer.path), footer.start, crc) if size == str(footer.start).encode() else None

    def verify(self, file: Opened) -> None:
        """Raise Damaged where the open file holds other pages."""
        crc, left = 0, self.size
        with reading(self.shown):
            file.seek(0)
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                crc, left = zlib.crc32(chunk, crc), left - len(chunk)
        if left or f"{crc:08x}".encode() != self.crc:
            raise Damaged(f"{self.shown}: damaged: its pages have not the checksum with which they were stored")

    def verify_at(self, path: Place) -> None:
        """The same of a file that is not open."""
        with reading(path), _opened(path) as file:
            self.verify(file)


@contextmanager
def _opened(path: Place) -> Iterator[Opened]:
    with path.open() if isinstance(path, Remote) else path.open("rb") as file:
        yield file


@contextmanager
def reading(path: str | Place) -> Iterator[None]:
    """Raise Damaged where pyarrow raises an error about a damaged file."""
    try:
        yield
    except BadInput:
        raise
    except MemoryError as error:  # Arrow's own error is a subclass
        raise BadInput(f"{path}: takes more memory than there is") from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Damaged(f"{path}: damaged or no Parquet file: {cause(error)}") from error


class File:
    """A Parquet file whose pages are verified as they are read, and which claims no more than a run can hold.

    ids : whether each row has an id of its own.   whole : whether all of the file will be read; a small one is then read
    into memory first, so that the bytes that are verified are those that are decoded.
    likely : the columns that probably are read as dictionaries; where they are, the file need not be opened twice.

    dictionaries : those that are.   footer, metadata : the end of the file, in bytes and as pyarrow reads it.
    pages : size and checksum of the rest; None where the footer holds none.

    Raises BadInput, and the errors of pyarrow.
    """

    def __init__(self, path: Place, ids: bool = False, whole: bool = False, likely: Sequence[str] = ()) -> None:
        self._path, self._content = path, b""
        with _opened(path) as file:
            if whole and (size := file.seek(0, 2)) <= AT_ONCE:
                file.seek(0)
                self._content = file.read(size)
            self.footer = Footer(path, io.BytesIO(self._content) if self._content else file)
        self._end = self._opened_as(likely if self._content else ())
        self.metadata = self._end.metadata  # its ``schema`` would refer back to it, and keep it in memory
        self.dictionaries = limits.require_modest(path, self.metadata, self.footer.size, ids)
        self._as_likely = bool(self._content) and self.dictionaries == [*likely]
        self.pages = Pages.of(self.footer, self.metadata.metadata or {})

    def _opened_as(self, dictionaries: Sequence[str]) -> pq.ParquetFile:
        """The file, or its end alone, as pyarrow reads it."""
        content = pa.BufferReader(self._content or self.footer.content)
        try:
            return pq.ParquetFile(content, read_dictionary=dictionaries, page_checksum_verification=True)
        except KeyError:  # it lacks one of these columns
            return pq.ParquetFile(pa.BufferReader(self._content or self.footer.content))

    @property
    def at_once(self) -> bool:
        """Whether the whole file is in memory."""
        return bool(self._content)

    def verify(self) -> None:
        """Raise Damaged where the pages have another checksum than the footer says."""
        if self.pages is None:
            return
        if self._content:
            self.pages.verify(io.BytesIO(self._content))
        else:
            self.pages.verify_at(self._path)

    @cached_property
    def parquet(self) -> pq.ParquetFile:
        """The file as pyarrow reads it, columns of repeated texts as dictionaries."""
        if self._as_likely:
            return self._end
        return pq.ParquetFile(
            pa.BufferReader(self._content) if self._content else places.source(self._path),
            metadata=self.metadata,
            read_dictionary=self.dictionaries,
            page_checksum_verification=True,
        )

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns as they are read; as they are stored, where only the end of the file was read."""
        return (self.parquet if self._content else self._end).schema_arrow

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        if "parquet" in vars(self):
            self.parquet.close()

    def chunks(self, known: Chunks, names: Sequence[str]) -> dict[str, Key]:
        """The keys of the short chunks of some columns, by which chunks decoded before are found."""
        return known.keys(self.metadata, self.schema, self._content, names) if self._content else {}


def opened(path: Place, ids: bool = False) -> pq.ParquetFile:
    """A file as pyarrow reads it.  See `File`."""
    return File(path, ids).parquet
