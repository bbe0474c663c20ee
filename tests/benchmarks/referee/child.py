"""One tool in a process of its own: ``python -m tests.benchmarks.referee.child MODULE FOLDER NUMBER ...``.

It asks the tools of a module about some chunks of the corpus, and writes a part after each chunk.  It is started by ``run``.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.benchmarks.referee import corpus, parts, tools
from tests.benchmarks.referee.case import Tool, counted
from tests.benchmarks.referee.entry import Entry
from tests.benchmarks.referee.rows import Asked, row, table

# A case that takes more of the processor is given up.
SECONDS = 20


class TooLong(Exception):
    """A case has taken too long."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block after so many seconds of the processor, whatever else the machine does."""

    def ring(number: int, frame: object) -> None:
        raise TooLong(f"more than {seconds:g} seconds of the processor")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def ask(tool: Tool, entry: Entry, seconds: float = SECONDS) -> Asked:
    """What a tool says of a case, whatever it raises."""
    case = corpus.case(entry)
    posed, counts = counted(case)
    answer, error, begin = None, "", time.process_time()
    with redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        try:
            with limited(seconds):
                answer = tool.check(posed)
        except Exception as raised:  # each tool has errors of its own; one that is no accusation is no answer
            error = f"{type(raised).__name__}: {raised}"[:200]
        spent = time.process_time() - begin
        return Asked(tool, _version(tool), entry, case, answer, error, counts.fun, spent)


def _version(tool: Tool) -> str:
    return version(tool.package) if tool.package else tool.version


def main(module: str, folder: Path, numbers: list[int]) -> None:
    """Ask about these chunks."""
    warnings.simplefilter("ignore")
    chosen, chunks = tools.of(module), parts.chunks(folder)
    for number in numbers:
        with np.errstate(all="ignore"):
            rows = [row(ask(tool, entry)) for entry in chunks[number] for tool in chosen]
        parts.write(folder, module, number, table(rows))


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), [int(word) for word in sys.argv[3:]])
    except ImportError as missing:
        print(missing, file=sys.stderr)
        sys.exit(3)
    sys.stdout.flush()
    os._exit(0)  # some tools leave threads behind that never end
