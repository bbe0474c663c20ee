"""How a run was made, for the page: the commands that make it again, and what is recorded of it."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from gradcheck.experiment.config import harmless
from gradcheck.printable import printable
from gradcheck.views.layout import cut
from gradcheck.views.record import Record
from gradcheck.views.recorded import Recorded

TEXT = 300  # characters of a text


def commands(record: Record) -> list[str]:
    """The commands that make each run again, as far as they are harmless, and that compare the numbers."""
    return [line for run in record.runs for line in _commands(run)]


def _commands(run: Recorded) -> list[str]:
    typed, _ = harmless.sorted_out(run.provenance.get("overrides"))
    again = " ".join(["python -m gradcheck.run", *map(shlex.quote, typed)])
    sweep = any("," in text and "[" not in text for text in typed) and "experiment=" not in again
    return [again + (" -m" if sweep else ""), f"python -m gradcheck.reproduce {shlex.quote(_name(run))}"]


def warning(record: Record) -> str:
    """What to know before these commands are pasted."""
    left_out = [text for run in record.runs for text in harmless.sorted_out(run.provenance.get("overrides"))[1]]
    words = "They are made of what the record says, which may be somebody else's: read them before you run them."
    if left_out:
        names = dict.fromkeys(cut(printable(text.partition("=")[0]), 40) for text in left_out)
        shown = ", ".join(list(names)[:10]) + (", …" if len(names) > 10 else "")
        words += f" Left out, since they may name code or files: {shown}."
    return words


def names(record: Record) -> str:
    return ", ".join(map(_name, record.runs))


def _name(run: Recorded) -> str:
    """The run's folder, without the part of its path that says nothing but whose machine it was."""
    path = str(run.folder)
    if os.path.isabs(path):
        here = os.path.relpath(path)
        path = here if not here.startswith("..") else os.path.join(*Path(path).parts[-2:])
    return printable(path)


def flat(value: object, prefix: str = "") -> list[dict[str, str]]:
    """A nested mapping as rows, each key with the keys above it."""
    if isinstance(value, dict) and value:
        return [row for key, item in value.items() for row in flat(item, f"{prefix}.{key}" if prefix else str(key))]
    shown = value if isinstance(value, str) else json.dumps(value)
    return [{"key": cut(printable(prefix), TEXT), "value": cut(printable(shown), TEXT)}]
