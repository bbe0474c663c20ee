"""Parquet files of a run as one pyarrow dataset, whose files are verified before they are read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import fs

from gradcheck.columns.parquet import Pages
from gradcheck.columns.places import Place
from gradcheck.columns.remote import Remote

if TYPE_CHECKING:
    import pyarrow.dataset as ds


class Verifying(fs.FileSystemHandler):  # type: ignore[misc]
    """A filesystem for reading, which verifies the pages of a file when it first opens it.

    known : what the footer of each file says of its pages, by path.
    """

    def __init__(self, filesystem: fs.FileSystem, known: Mapping[str, Pages]) -> None:
        self._fs, self._known = filesystem, dict(known)

    def __reduce__(self) -> tuple[type[Verifying], tuple[fs.FileSystem, dict[str, Pages]]]:
        return Verifying, (self._fs, self._known)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifying) and (self._fs, self._known) == (other._fs, other._known)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def get_type_name(self) -> str:
        return f"verifying+{self._fs.type_name}"

    def normalize_path(self, path: str) -> str:
        return str(self._fs.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        return self._fs.get_file_info(paths)

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return self._fs.get_file_info(selector)

    def open_input_file(self, path: str) -> pa.NativeFile:
        file = self._fs.open_input_file(path)
        if (pages := self._known.get(path)) is not None:
            pages.verify(file)
            file.seek(0)
            self._known.pop(path, None)  # another thread may have removed it
        return file

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _refuse(self, *_: object, **__: object) -> None:
        raise NotImplementedError("results are read through this, and nothing is written")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


def dataset(root: Place, files: Sequence[tuple[Place, Pages | None]], schema: pa.Schema) -> ds.Dataset:
    """Files of one run as a pyarrow dataset: each file is verified as a whole, and each page as it is read."""
    import pyarrow.dataset as ds

    base = root.filesystem if isinstance(root, Remote) else fs.LocalFileSystem()
    names = [path.key if isinstance(path, Remote) else os.path.abspath(path) for path, _ in files]
    known = {name: pages for name, (_, pages) in zip(names, files, strict=True) if pages is not None}
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = ds.ParquetFileFormat(default_fragment_scan_options=options)
    return ds.dataset(names, schema=schema, format=form, filesystem=fs.PyFileSystem(Verifying(base, known)))
