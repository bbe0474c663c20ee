"""``python -m gradcheck.report RUN_DIR``: a run as one HTML page, and its charts as files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gradcheck.printable import printable
from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck report",
        description="One self-contained HTML page of runs: charts, tables that sort and filter, provenance.",
        epilog="Needs pip install 'gradcheck[charts]'.  The page loads nothing from anywhere: open it by double click.",
    )
    made.add_argument("runs", metavar="RUN_DIR", nargs="+", help="a run folder, or latest; several make one page")
    made.add_argument("--out", metavar="FILE", help="where the page goes (default: report.html in the first RUN_DIR)")
    made.add_argument("--figures", metavar="DIR", help="write each chart as SVG and PNG into this folder as well")
    made.add_argument(
        "--paper",
        metavar="DIR",
        help="write figures for a paper into this folder: SVG, PNG, captions, their numbers as CSV, a BibTeX entry",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 for what is no run or cannot be written."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _report(typed))


def _report(typed: argparse.Namespace) -> int:
    from gradcheck.views import reported

    written = reported.write(typed.runs, typed.out, typed.figures, typed.paper)
    print(*(f"saved  {printable(path)}" for path in written), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
