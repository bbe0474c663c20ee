"""``python -m gradcheck.calibration RUN_DIR ...``: how far verdicts can be trusted, from runs of the grids for it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gradcheck.errors import BadInput
from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck.calibration",
        description="What must hold of the verdicts and what runs say: false alarms, escapes, tightness, cost.",
    )
    made.add_argument("runs", metavar="RUN_DIR", nargs="+", help="run folders of +experiment=calibration and the like")
    made.add_argument("--json", metavar="FILE", help="write all figures")
    made.add_argument("--plot", metavar="FILE", help="write the charts (SVG); needs pip install 'gradcheck[charts]'")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 where a requirement does not hold, 2 for what is no run."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _calibration(typed))


def _calibration(typed: argparse.Namespace) -> int:
    from gradcheck.calibration.export import export
    from gradcheck.calibration.measure import measure
    from gradcheck.calibration.requirements import requirements
    from gradcheck.calibration.tables import tables
    from gradcheck.views import terminal

    figures = measure(typed.runs)
    rows = requirements(figures)
    terminal.show(tables(figures, rows))
    try:
        if typed.json:
            Path(typed.json).write_text(json.dumps(export(figures), indent=1) + "\n", encoding="utf-8")
        if typed.plot:
            from gradcheck.views.charts.drawing import require_altair

            require_altair()
            from gradcheck.calibration.charts import write_charts

            write_charts(export(figures), Path(typed.plot))
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
