"""``python -m gradcheck.report RUN_DIR``: a run as one HTML page, and its charts as files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gradcheck.errors import BadInput
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
    from gradcheck.columns.places import to_write
    from gradcheck.views import page, paper
    from gradcheck.views.charts import drawing
    from gradcheck.views.record import Record

    chosen = to_write("--out", typed.out) if typed.out else None
    figures = None if typed.figures is None else to_write("--figures", typed.figures)
    for_paper = None if typed.paper is None else to_write("--paper", typed.paper)
    drawing.require_altair()
    record = Record(*typed.runs)
    out = chosen or (record.folder / "report.html" if isinstance(record.folder, Path) else None)
    if out is None:
        where = f"where the page of {record.runs[0].name} goes"
        raise BadInput(f"--out: must say {where}: the run does not lie on this machine")
    made, written = page.Page(record), [out]
    page.write_page(made.html(), written[0])
    if figures is not None or for_paper is not None:
        drawn = paper.figures(record, made.bins, made.telling)
        if figures is not None:
            written += drawing.write_figures({name: figure.chart for name, figure in drawn.items()}, figures)
        if for_paper is not None:
            written += paper.write(drawn, for_paper)
    print(*(f"saved  {printable(path)}" for path in written), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
