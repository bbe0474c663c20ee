"""What ``show`` prints of one run or several: tables, JSON or annotations of a GitHub workflow; and the report beside."""

from __future__ import annotations

import argparse
import sys

from gradcheck.columns.places import to_write
from gradcheck.errors import BadInput
from gradcheck.experiment.config.columns import column_name
from gradcheck.numerics.layout import BLOCK_WEIGHTS
from gradcheck.printable import printable
from gradcheck.views import github, junit, tables, terminal
from gradcheck.views.as_json import as_json
from gradcheck.views.cell_view import cell_view
from gradcheck.views.record import Record


def show(typed: argparse.Namespace) -> int:
    """Print what was asked for; returns the exit status.  Raises BadInput."""
    _refuse(typed)
    report = None if typed.junit is None else to_write("--junit", typed.junit)
    by = None if typed.by is None else tuple(map(column_name, typed.by.split(",")))
    record = Record(*typed.runs)
    if report is not None:
        junit.write(record, report)
    if typed.github:
        print(record.heading)
        for line in github.lines(record):
            print(line)
    elif typed.json:
        print(as_json(record, typed.cell, by))
    else:
        if typed.cell is None:
            terminal.show(tables.overview(record, by, every=typed.all, short=sys.stdout.isatty()))
        else:
            most = terminal.size(sys.stdout)[1] - 5 if sys.stdout.isatty() else BLOCK_WEIGHTS
            terminal.show(cell_view(record, typed.cell, None if typed.all else most))
        if report is not None:
            print(f"saved  {printable(report)}")
    return 0


def _refuse(typed: argparse.Namespace) -> None:
    """Raise BadInput for options that do not go together."""
    for option, given in (("--junit", typed.junit is not None), ("--github", typed.github)):
        if given and typed.cell is not None:
            raise BadInput(
                f"--cell={typed.cell}: shows one cell, and {option} tells all of them; leave one of the two out"
            )
