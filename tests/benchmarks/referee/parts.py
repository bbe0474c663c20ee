"""The folder of a run: the corpus as it was planned, and a part for each tool's module and chunk of the corpus.

A part appears whole or not at all, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.referee.entry import Entry

# Cases of one part.
CHUNK = 40
_PLAN = "corpus.json"


def store_plan(folder: Path, entries: list[Entry]) -> None:
    """Write the corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    _whole(folder / _PLAN, json.dumps([asdict(entry) for entry in entries], indent=1).encode())


def plan(folder: Path) -> list[Entry] | None:
    """The corpus that was written; None where there is none."""
    path = folder / _PLAN
    return [Entry(**values) for values in json.loads(path.read_bytes())] if path.exists() else None


def chunks(folder: Path) -> list[list[Entry]]:
    """The corpus in pieces."""
    entries = plan(folder) or []
    return [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]


def path(folder: Path, module: str, number: int) -> Path:
    """The file of a part."""
    return folder / f"{module}-{number:04}.parquet"


def write(folder: Path, module: str, number: int, rows: pa.Table) -> None:
    """Write a part."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    _whole(path(folder, module, number), sink.getvalue().to_pybytes())


def read(folder: Path, module: str, numbers: range) -> pa.Table | None:
    """All parts of a module; None where one is missing."""
    files = [path(folder, module, number) for number in numbers]
    if not all(file.exists() for file in files):
        return None
    return pa.concat_tables([pq.read_table(file) for file in files])


def _whole(target: Path, content: bytes) -> None:
    unfinished = target.with_suffix(".tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, target)
