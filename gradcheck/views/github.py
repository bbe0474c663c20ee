"""A run as annotations of a GitHub workflow: ``::error`` for each cell with which the run fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from gradcheck.functions.imports import require_name
from gradcheck.printable import printable
from gradcheck.views.outcomes import Kind, Told, told
from gradcheck.views.record import Record

_LEVELS = {Kind.WRONG: "error", Kind.BROKEN: "error", Kind.DOUBTFUL: "warning"}
_MAX_BYTES = 10_000_000  # of a source file in which a function is looked for


def lines(record: Record) -> Iterator[str]:
    """A line for each cell that is wrong or has no result, and for each of which too little was judged."""
    for one in told(record):
        if level := _LEVELS.get(one.kind):
            yield f"::{level} {_properties(one)}::{_data(f'{one.verdict}: {one.words} ({one.name}); {one.look}')}"


def _properties(one: Told) -> str:
    found: dict[str, object] = {}
    if one.function is not None and (place := place_of(one.function)) is not None:
        found = {"file": place[0].as_posix(), "line": place[1]}
    found["title"] = f"gradcheck: {one.verdict} in {one.function or one.model}"
    return ",".join(f"{name}={_property(value)}" for name, value in found.items())


def _data(text: object) -> str:
    """Text of a message; a line of a workflow's log ends where a message ends."""
    return printable(text).replace("%", "%25")


def _property(text: object) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@lru_cache(maxsize=1024)
def place_of(function: str) -> tuple[Path, int] | None:
    """The source file of a function below the current folder, and its line there (1 where no ``def`` has its name).

    The name may be a stranger's: the file is read, nothing is imported.
    """
    try:
        require_name("model.jac", function)
    except ValueError:
        return None
    module, _, inside = function.partition(":")
    parts = module.split(".")
    for n in range(len(parts) if inside else len(parts) - 1, 0, -1):
        for path in (Path(*parts[:n]).with_suffix(".py"), Path(*parts[:n], "__init__.py")):
            if path.is_file() and path.resolve().is_relative_to(Path.cwd().resolve()):
                return path, _line(path, [*parts[n:], *filter(None, inside.split("."))])
    return None


def _line(path: Path, names: list[str]) -> int:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return 1
        body, line = ast.parse(path.read_bytes()).body, 1
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return 1
    for name in names:
        found = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name
        ]
        if not found:
            break
        body, line = found[-1].body, found[-1].lineno
    return line
