"""``python -m tests.benchmarks [--only NAME ...]``: every figure as a row of a table; exit status 1 where one is missed.

``--beside OLD`` compares the speed of this checkout with that of another one.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

from tests.benchmarks import _beside
from tests.benchmarks.frame import HEAD, benchmarks, by_processor, line, machine


def main() -> int:
    """Measure and print; returns the exit status."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known), metavar="NAME")
    parser.epilog = f"NAME: {', '.join(known)}"
    parser.add_argument(
        "--beside", type=Path, metavar="OLD", help="the folder of another checkout; nothing else is run"
    )
    parser.add_argument(
        "--processor",
        action="store_true",
        help="time of the processor instead of the clock, for a machine that others use; set OPENBLAS_NUM_THREADS=1,"
        " since threads that wait take time too.  Not for what other processes do",
    )
    typed = parser.parse_args()
    if typed.processor:
        by_processor()
    print(machine(), "", HEAD, sep="\n", flush=True)
    here = Path(__file__).resolve().parents[2]
    works = [_beside.rows(typed.beside.resolve(), here)] if typed.beside else [known[name]() for name in typed.only]
    good = True
    for row in itertools.chain.from_iterable(works):
        print(line(row), flush=True)
        good &= row.ok
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
