"""``python -m gradcheck.show RUN_DIR``: what a run found, in tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.printable import printable
from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck show",
        description="Verdicts by model, bug and eps, the worst weights, which rule catches which bug, what failed.",
    )
    made.add_argument("run", metavar="RUN_DIR", help="a run folder, or latest")
    made.add_argument("--cell", metavar="ID", help="one cell weight by weight (the first digits of its id are enough)")
    made.add_argument(
        "--by", metavar="COLUMNS", help="columns to count by (default: model,bug,eps, or fewer where rows are many)"
    )
    made.add_argument("--all", action="store_true", help="every row, not one screen")
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything as JSON")
    form.add_argument(
        "--github", action="store_true", help="what is wrong as annotations of a GitHub workflow (::error ...)"
    )
    made.add_argument(
        "--junit", metavar="FILE", help="write a report in JUnit's XML as well: a test case for each cell"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 for what is no run."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _show(typed))


def _show(typed: argparse.Namespace) -> int:
    from gradcheck.views import tables, terminal
    from gradcheck.views.record import Record

    by = None if typed.by is None else tuple(typed.by.split(","))
    record = Record(typed.run)
    _refuse(typed)
    if typed.junit is not None:
        from gradcheck.views import junit

        junit.write(record, Path(typed.junit))
    if typed.github:
        from gradcheck.views import github

        print(record.heading)
        for line in github.lines(record):
            print(line)
        return 0
    if typed.json:
        print(tables.as_json(record, typed.cell, by))
        return 0
    lines = None if typed.all else terminal.size(sys.stdout)[1] - 1
    if typed.cell is None:
        terminal.show(tables.overview(record, lines, by))
    else:
        terminal.show(tables.cell_view(record, typed.cell, lines))
    if typed.junit is not None:
        print(f"saved  {printable(typed.junit)}")
    return 0


def _refuse(typed: argparse.Namespace) -> None:
    """Raise BadInput for options that do not go together."""
    for option, given in (("--junit", typed.junit is not None), ("--github", typed.github)):
        if given and typed.cell is not None:
            raise BadInput(
                f"--cell={typed.cell}: shows one cell, and {option} tells all of them; leave one of the two out"
            )
    if typed.junit is not None and uris.is_uri(typed.junit):
        raise BadInput(f"--junit={uris.shown(typed.junit)}: must be a place on this machine")


if __name__ == "__main__":
    sys.exit(main())
