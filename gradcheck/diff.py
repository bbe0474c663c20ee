"""``python -m gradcheck.diff RUN RUN``: what differs between two runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck diff",
        description="Cells in one run or in both, verdicts that changed, numbers in units of the bound, seconds.",
        epilog="Exit status: 0 no verdict changed, 1 a verdict of a cell or a weight changed, 2 one of them is no run.",
    )
    made.add_argument("first", metavar="RUN_DIR", help="a run folder, or latest: the run before")
    made.add_argument("second", metavar="RUN_DIR", help="the run after")
    made.add_argument("--all", action="store_true", help="every row, not the first ones")
    made.add_argument("--json", action="store_true", help="everything as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _diff(typed))


def _diff(typed: argparse.Namespace) -> int:
    from gradcheck.experiment.replay.difference import difference
    from gradcheck.experiment.results.part import locate
    from gradcheck.views import difference as view
    from gradcheck.views import terminal
    from gradcheck.views.runs import name_of

    runs = locate(typed.first), locate(typed.second)
    names = name_of(typed.first, runs[0]), name_of(typed.second, runs[1])
    found = difference(*runs)
    if typed.json:
        print(view.as_json(found, names))
    else:
        terminal.show(view.report(found, names, all_rows=typed.all))
    return 1 if found.changed else 0


if __name__ == "__main__":
    sys.exit(main())
