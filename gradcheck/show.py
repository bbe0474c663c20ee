"""``python -m gradcheck.show RUN_DIR``: what a run found, in tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck show",
        description="Who was accused wrongly, which bug is caught where, what the mistakes look like, which rule catches"
        " which bug, what failed.",
    )
    made.add_argument(
        "runs", metavar="RUN_DIR", nargs="+", help="a run folder, or latest; several are counted together"
    )
    made.add_argument(
        "--cell",
        metavar="ID",
        help="one cell weight by weight, the wrong ones first (the first digits of its id are enough)",
    )
    made.add_argument(
        "--by", metavar="COLUMNS", help="columns to count the cells by, such as bug,scheme, in place of the matrices"
    )
    made.add_argument("--all", action="store_true", help="every mismatch cell by cell, and on a terminal every row")
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
    from gradcheck.views.commands.printed import show

    return show(typed)


if __name__ == "__main__":
    sys.exit(main())
