"""``python -m gradcheck.reproduce RUN_DIR``: run the recorded configs again and compare every number."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gradcheck.errors import BadInput
from gradcheck.experiment.results.part import locate
from gradcheck.experiment.results.stored import Stored
from gradcheck.views.terminal import Parser, status_of


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = Parser(
        prog="gradcheck reproduce",
        description="Runs the recorded configs again and says for every column whether it is the same to the bit.",
        epilog="Exit status: 0 all within the bound, 1 a number beyond it, 2 the record cannot be used.",
    )
    made.add_argument("run", metavar="RUN_DIR", help="a run folder, or latest")
    made.add_argument("--cell", metavar="ID", help="only this cell (the first digits of its id are enough)")
    made.add_argument("--sample", metavar="N", type=int, help="only N cells, always the same ones")
    made.add_argument(
        "--allow", metavar="MODULE", action="append", default=[], help="a module whose functions may be run"
    )
    made.add_argument(
        "--allow-path", metavar="DIR", action="append", default=[], help="a folder whose files may be read"
    )
    made.add_argument("--data-root", metavar="DIR", help="where the data and init files are looked for")
    made.add_argument("--max-memory", metavar="BYTES", type=float, help="what a cell may take (4e9)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _reproduce(typed))


def _reproduce(typed: argparse.Namespace) -> int:
    from gradcheck.experiment.replay import record, replay
    from gradcheck.experiment.results import provenance
    from gradcheck.views import reproduction, terminal

    if typed.cell is not None and typed.sample is not None:
        raise BadInput("--cell and --sample: choose one of them")
    run_dir = locate(typed.run)
    wanted = record.chosen(run_dir, typed.cell, typed.sample)
    found = replay.reproduce(run_dir, wanted, typed.allow, typed.allow_path, typed.max_memory, typed.data_root)
    found.provenance = provenance.differences(Stored(run_dir).provenance, provenance.collect())
    terminal.show(reproduction.report(found))
    return 0 if found.reproduced else 1


if __name__ == "__main__":
    sys.exit(main())
