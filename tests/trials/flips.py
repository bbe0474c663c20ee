"""Single bits of the parts of a run are flipped: `gradcheck.load` reads the same numbers, or refuses."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .damages import run
from .kills import Failure


def read(folder: Path) -> tuple[Any, Any]:
    """All that a run holds, through the reader under test."""
    import gradcheck

    runs = gradcheck.load(folder)
    return runs.cells, runs.errors.to_table()


def original(folder: Path) -> Path:
    status, said = run(
        "bug=none,scale", "eps=1e-4,auto", "-m", "engine=serial", "progress=none", f"hydra.sweep.dir={folder / 'run'}"
    )
    if status:
        raise Failure(said)
    return folder / "run"


def flip(chance: random.Random, parts: dict[Path, bytes], whole: Path, want: tuple[Any, Any]) -> str:
    """Flip one bit, read, put it back: what came of it."""
    path = chance.choices(list(parts), weights=[len(content) for content in parts.values()])[0]
    content = bytearray(parts[path])
    content[place := chance.randrange(len(content))] ^= 1 << (bit := chance.randrange(8))
    path.write_bytes(content)
    try:
        cells, errors = read(whole)
    except (ValueError, OSError):
        return "refused"
    finally:
        path.write_bytes(parts[path])
    if cells.equals(want[0]) and errors.equals(want[1]):
        return "same"
    raise Failure(f"{path.name}: bit {bit} of byte {place}: other numbers without a word")


def trial(folder: Path, n: int, seed: int = 0) -> str:
    """So many flips.  Raises Failure."""
    whole = original(folder)
    parts = {path: path.read_bytes() for path in sorted(whole.glob("*/part-*")) if pq.read_metadata(path).num_rows}
    want, chance = read(whole), random.Random(seed)
    found = Counter(flip(chance, parts, whole, want) for _ in range(n))
    return f"{n} flips: {found['refused']} refused, {found['same']} read as before, 0 as other numbers"
