"""``python -m gradcheck.calibration``: how far verdicts can be trusted, from runs of the grids for it or on the zoo."""

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
    made.add_argument("runs", metavar="RUN_DIR", nargs="*", help="run folders of +experiment=calibration and the like")
    made.add_argument("--json", metavar="FILE", help="write all figures")
    made.add_argument("--plot", metavar="FILE", help="write the charts (SVG); needs pip install 'gradcheck[charts]'")
    zoo = made.add_argument_group("functions of many fields instead of runs; needs pip install 'gradcheck[zoo]'")
    zoo.add_argument("--functions", action="store_true", help="ask about the functions of the zoo")
    zoo.add_argument("--n", type=int, default=20_000, metavar="N", help="derivatives (default: 20000)")
    zoo.add_argument("--seed", type=int, default=0, metavar="S", help="seed of all that is drawn (default: 0)")
    zoo.add_argument(
        "--others", action="store_true", help="how far other tools' estimates of their own error hold on it"
    )
    zoo.add_argument("--families", default="", metavar="A,B", help="these families only")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 where a requirement does not hold, 2 for what is no run."""
    typed = parser().parse_args(arguments)
    return status_of(lambda: _functions(typed) if typed.functions or typed.others else _calibration(typed))


def _calibration(typed: argparse.Namespace) -> int:
    from gradcheck.calibration.export import export
    from gradcheck.calibration.measure import measure
    from gradcheck.calibration.requirements import requirements
    from gradcheck.calibration.tables import tables
    from gradcheck.views import terminal

    if not typed.runs:
        raise BadInput("RUN_DIR: no run folder is given, and neither is --functions")
    figures = measure(typed.runs)
    rows = requirements(figures)
    terminal.show(tables(figures, rows))
    if typed.json:
        _write(typed.json, export(figures))
    try:
        if typed.plot:
            from gradcheck.views.charts.drawing import require_altair

            require_altair()
            from gradcheck.calibration.charts import write_charts

            write_charts(export(figures), Path(typed.plot))
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error
    return 1 if any(row.holds is False for row in rows) else 0


def _functions(typed: argparse.Namespace) -> int:
    if typed.runs or typed.plot:
        raise BadInput("--functions: takes no run folders, and draws no charts")
    if typed.n < 1 or typed.seed < 0:
        raise BadInput(f"--n={typed.n} --seed={typed.seed}: N must be at least 1, S at least 0")
    try:
        from gradcheck.calibration.zoo import figures
        from gradcheck.calibration.zoo.exam import exam, known
    except ModuleNotFoundError as error:
        raise BadInput(f"the zoo needs {error.name}: pip install 'gradcheck[zoo]'") from None
    from gradcheck.views import terminal

    chosen = known([name for name in typed.families.split(",") if name])
    if typed.others:
        from gradcheck.calibration.zoo import others

        others.require_tools()
        terminal.show(others.tables(others.compared(typed.n, typed.seed, chosen)))
        return 0
    tally = exam(typed.n, typed.seed, chosen)
    rows = figures.requirements(tally)
    terminal.show([*figures.tables(tally, rows), figures.biased(tally)])
    if typed.json:
        _write(typed.json, figures.export(tally, rows))
    return 1 if any(row.holds is False for row in rows) else 0


def _write(path: str, figures: object) -> None:
    try:
        Path(path).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
