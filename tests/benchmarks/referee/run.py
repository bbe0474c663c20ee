"""All tools, two at a time, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tests.benchmarks.referee import corpus, parts, tools

ROOT = Path(__file__).resolve().parents[3]
# A process that has not ended after so many seconds a chunk hangs outside of Python.
SECONDS_A_CHUNK = 300
MISSING = 3
# One core a tool, whatever it would take.
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")}


class Done(NamedTuple):
    """How a module came out.  ``words`` are empty where all its parts are there."""

    module: str
    words: str
    seconds: float


def run(
    folder: Path, modules: Sequence[str], pythons: Mapping[str, str], processes: int = 2, cases: int | None = None
) -> list[Done]:
    """Ask the tools of these modules about the corpus of the folder; what is there already is not asked again.

    pythons : the interpreter of a module; by default this one.   cases : how many are planned; None for all.
    """
    if parts.plan(folder) is None:
        print("planning the corpus", flush=True)
        parts.store_plan(folder, corpus.planned()[:cases])
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(partial(_module, folder, pythons), modules))


def answers(folder: Path, modules: Sequence[str]) -> pa.Table:
    """The answers of all modules that have every part."""
    numbers = range(len(parts.chunks(folder)))
    found = [table for module in modules if (table := parts.read(folder, module, numbers)) is not None]
    return pa.concat_tables(found)


def ports(folder: Path) -> dict[str, dict[str, object]]:
    """The rules beside the comparisons of their tools, in a process of their own; what is there already is not made again."""
    target = folder / "ports.json"
    if not target.exists():
        command = [sys.executable, "-m", "tests.benchmarks.referee.ports", str(folder)]
        subprocess.run(command, cwd=ROOT, env=os.environ | THREADS | {"PYTHONPATH": str(ROOT)}, check=True)
    found: dict[str, dict[str, object]] = json.loads(target.read_bytes())
    return found


def _module(folder: Path, pythons: Mapping[str, str], module: str) -> Done:
    todo = [n for n in range(len(parts.chunks(folder))) if not parts.path(folder, module, n).exists()]
    if not todo:
        return Done(module, "", 0.0)
    command = [pythons.get(module, sys.executable), "-m", "tests.benchmarks.referee.child", module, str(folder)]
    environment = os.environ | THREADS | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    begin = time.perf_counter()
    try:
        ended = subprocess.run(
            [*command, *map(str, todo)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_A_CHUNK * len(todo),
        )
        words = "" if ended.returncode == 0 else _words(ended)
    except subprocess.TimeoutExpired:
        words = "hangs; what was answered is kept"
    seconds = time.perf_counter() - begin
    print(f"{module}: {words or f'{seconds:.0f} s'}", flush=True)
    return Done(module, words, seconds)


def _words(ended: subprocess.CompletedProcess[str]) -> str:
    last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
    return f"skipped, {last}" if ended.returncode == MISSING else f"failed with {ended.returncode}: {last}"


def known() -> list[str]:
    """The modules of all tools."""
    return tools.modules()
