"""``python -m tests.benchmarks.referee``: every tool that checks gradients, on the same functions and the same claims."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks.referee import page, run

OUT = run.ROOT / "runs" / "referee"


def main() -> int:
    """Run, count and write; returns the exit status."""
    known = run.known()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.referee", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="MODULE")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--cases", type=int, metavar="N", help="plan the first N cases only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--python", action="append", default=[], metavar="MODULE=PATH", help="run a tool with another interpreter"
    )
    parser.epilog = f"MODULE: {', '.join(known)}.  Remove FOLDER/parts to ask everything anew."
    typed = parser.parse_args()
    folder = typed.out.resolve() / "parts"
    done = run.run(folder, typed.only, dict(word.split("=", 1) for word in typed.python), typed.processes, typed.cases)
    ports = run.ports(folder)
    answers = run.answers(folder, known)
    must = page.write(typed.out.resolve(), answers, ports, {one.module: one.words for one in done if one.words})
    for row in must:
        print(f"{'ok' if row.holds else 'MISSED'}  {row.figure}: {row.found} (required: {row.required})")
    return 0 if all(row.holds for row in must) else 1


if __name__ == "__main__":
    sys.exit(main())
