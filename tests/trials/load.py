"""The tests on a machine that is busy with something else: what waits must wait for what happens, not for a time."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gradcheck.numerics import threads

from .clusters import TESTS
from .kills import Failure

# Ends with the process that started it, also where that one was killed.
SPIN = "import os, sys\nparent = int(sys.argv[1])\nwhile os.getppid() == parent:\n    sum(range(100_000))"


@contextmanager
def busy(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes compute without a pause until the block ends."""
    command = [sys.executable, "-c", SPIN, str(os.getpid())]
    started = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(processes)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def trial(folder: Path, runs: int, load: int, tests: Sequence[str]) -> str:
    """So many runs of the tests, with `load` busy processes a core beside them.  Returns the figures.  Raises Failure.

    tests : what pytest is given; nothing is the whole suite.   What pytest prints goes to standard error.
    """
    outcomes, wrong = [], []
    for number in range(1, runs + 1):
        found = folder / f"{number}.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", f"--junitxml={found}", *tests]
        with busy(load * threads.count()) as beside:
            done = subprocess.run(command, cwd=TESTS.parent, stdin=subprocess.DEVNULL, stdout=sys.stderr)
            if any(process.poll() is not None for process in beside):
                raise Failure("a busy process ended before the tests did")
        counts, failed, seconds = read(found)
        outcomes.append(f"{counts} tests in {seconds:.0f} s")
        wrong += [f"run {number}: {name}" for name in failed]
        if done.returncode and not failed:
            wrong.append(f"run {number}: pytest ended with status {done.returncode}")
    if wrong:
        raise Failure("; ".join(wrong))
    return f"{load} busy processes a core, {runs} runs: no failure ({', '.join(outcomes)})"


def read(report: Path) -> tuple[int, list[str], float]:
    """(tests, those that failed, seconds) of a report in JUnit's format."""
    if not report.exists():
        return 0, [], 0.0
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return int(suite.get("tests", 0)), failed, float(suite.get("time", 0.0))
