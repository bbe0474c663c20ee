"""``python -m tests.benchmarks [--only NAME ...]``: every figure as a row of a table; exit status 1 where one is missed."""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks.frame import HEAD, benchmarks, line, machine


def main() -> int:
    """Measure and print; returns the exit status."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(known), default=list(known), metavar="NAME")
    parser.epilog = f"NAME: {', '.join(known)}"
    chosen = parser.parse_args().only
    print(machine(), "", HEAD, sep="\n", flush=True)
    good = True
    for name in chosen:
        for row in known[name]():
            print(line(row), flush=True)
            good &= row.ok
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
