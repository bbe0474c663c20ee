"""What ``show`` prints of one run or several: tables, JSON or annotations of a GitHub workflow; and the report beside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gradcheck import uris
from gradcheck.errors import BadInput
from gradcheck.experiment.config.columns import column_name
from gradcheck.printable import printable
from gradcheck.views import github, junit, tables, terminal
from gradcheck.views.record import Record


def show(typed: argparse.Namespace) -> int:
    """Print what was asked for; returns the exit status.  Raises BadInput."""
    _refuse(typed)
    by = None if typed.by is None else tuple(map(column_name, typed.by.split(",")))
    record = Record(*typed.runs)
    if typed.junit is not None:
        junit.write(record, Path(typed.junit))
    if typed.github:
        print(record.heading)
        for line in github.lines(record):
            print(line)
    elif typed.json:
        print(tables.as_json(record, typed.cell, by))
    else:
        lines = None if typed.all else terminal.size(sys.stdout)[1] - 1
        some = tables.overview(record, lines, by) if typed.cell is None else tables.cell_view(record, typed.cell, lines)
        terminal.show(some)
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
