"""The id of a cell: a digest of its canonical config and of the content of the files and functions that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gradcheck.experiment.config.canonical import canonical_json, section_of
from gradcheck.experiment.config.form import is_function
from gradcheck.experiment.config.schema import ID_VERSION, TABLES, Run, build_section, class_of, settings
from gradcheck.experiment.sources.file import File
from gradcheck.functions.model import Function

UNHASHED = ("path", "max_bytes")  # where a file lies and how large it may be change no number; its content does


def cell_id(form: Mapping[str, object], allow: Sequence[str] = ()) -> str:
    """First 16 hex digits of the sha256 of a canonical config, the version of ids and the content of its files.

    Paths are no part of it.  Of a ``model=function`` the source of its functions is a part: they are imported for it.

    allow : the modules that this may import.

    Raises ValueError, naming the key, for a file that cannot be read, a function that cannot or must not be imported.
    """
    texts = {
        key: section_text(key, section_of(form, key), allow) if key in TABLES else value_text(key, part)
        for key, part in form.items()
    }
    return identity(texts)


class Text(NamedTuple):
    """A part of a canonical config as canonical JSON.

    whole : without the names of files.
    own : ``whole`` without the keys that came after the first version of ids and have their default; empty where
        nothing is left.
    files : the content of its files, empty for none.
    """

    whole: str
    own: str
    files: str = ""


def section_text(section: str, part: Mapping[str, object], allow: Sequence[str] = ()) -> Text:
    """The text of a canonical section.  Raises ValueError as ``cell_id`` does."""
    files: object = None
    if section == "model" and part["name"] == Function.name:
        files = dict(digests(str(part["fun"]), str(part["jac"]), tuple(allow)))
    known = settings(class_of(section, part))
    if section != "bug" and "path" in part:
        built = build_section(section, part)
        contents: list[object] = [_content(section, path, built.max_bytes) for path in built.sources()]
        contents += built.facts()
        if isinstance(built, File):  # version 1 took the index for features
            contents += [{"left_out": name} for name in _left_out(built)]
        files = contents
        part = {key: value for key, value in part.items() if key not in UNHASHED}
    whole = canonical_json(part)
    kept = {key: value for key, value in part.items() if key not in known or not known[key].left_out(value)}
    own = whole if len(kept) == len(part) else canonical_json(kept)
    return Text(whole, own, "" if files is None else canonical_json(files))


def _left_out(source: File) -> list[str]:
    try:
        return source.left_out()
    except ValueError:  # a file that cannot be read is refused where its examples are needed
        return []


def value_text(key: str, value: object) -> Text:
    """The text of a canonical value that is no section."""
    whole = canonical_json(value)
    return Text(whole, "" if settings(Run)[key].left_out(value) else whole)


def identity(texts: Mapping[str, Text]) -> str:
    """The id of a canonical config from the texts of its parts."""
    in_order = sorted(texts.items())
    own = [own_text(key, text) for key, text in in_order]
    return of_texts(own, [f'"{key}":{text.files}' for key, text in in_order if text.files])


def own_text(key: str, text: Text) -> str:
    """What a part of a canonical config adds to its id, files apart; empty where that is nothing."""
    return f'"{key}":{text.own}' if text.own else ""


def of_texts(parts: Iterable[str], contents: Iterable[str] = ()) -> str:
    """The id of a canonical config from what its parts and their files add to it, in the order of their keys."""
    own, files = ",".join(filter(None, parts)), ",".join(contents)
    whole = f'{{"config":{{{own}}},"files":{{{files}}},"schema":{ID_VERSION}}}'
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def has_sources(form: Mapping[str, object]) -> bool:
    """Whether the id of a canonical config depends on the content of files, beside the config itself."""
    return is_function(form) or any("path" in section_of(form, section) for section in ("data", "init"))


def sources(form: Mapping[str, object]) -> str:
    """The keys of a canonical config that name files and functions, with their values."""
    model = section_of(form, "model")
    keys = {"model.fun": model.get("fun"), "model.jac": model.get("jac")}
    keys |= {f"{section}.path": section_of(form, section).get("path") for section in ("data", "init")}
    return ", ".join(f"{key}={value}" for key, value in keys.items() if value is not None)


def require_sources(form: Mapping[str, object], cell: str, allow: Sequence[str] = ()) -> None:
    """Raise ValueError, naming the keys, unless the files and functions of a canonical config have the content from which
    the id of the cell was made.
    """
    if has_sources(form) and cell_id(form, allow) != cell:
        raise ValueError(
            f"{sources(form)}: the content where this cell was computed is not that with which the run was planned"
        )


@lru_cache(maxsize=1024)  # all cells of a sweep have the same functions
def digests(fun: str, jac: str, allow: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The sha256 of the source of the functions of a ``model=function``, by their keys."""
    model = Function(fun=fun, jac=jac)
    model.permit(allow)
    return tuple(model.digests().items())


def _content(section: str, path: Path, max_bytes: int) -> str:
    key = f"{section}.path={path}"
    try:
        status = path.stat()
        if not path.is_file():
            raise ValueError(f"{key}: is not a file")
        if status.st_size > max_bytes:
            raise ValueError(f"{key}: has {status.st_size} bytes, must have at most {max_bytes} ({section}.max_bytes)")
        return _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ValueError(f"{key}: {error.strerror or error}") from None


@lru_cache(maxsize=1024)  # a sweep asks for the same file for every cell
def _sha256(path: Path, _mtime: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
