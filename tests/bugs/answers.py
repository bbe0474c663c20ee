"""What the check answers to each public report, and the page that says so.

As a script, ``python tests/bugs/answers.py`` runs every report of ``conf/report`` at its first seed, and writes
``runs/figures/reports.json`` and ``conf/report/README.md``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kinds import Wrong, accepted
from reports import ANSWERS, PAGE, page, reports

from gradcheck.experiment.cell import check_cell, pose
from gradcheck.experiment.config import compose
from gradcheck.experiment.config.build import build


def forms(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The scientific config of some reports, as Hydra composes it."""
    with compose.opened() as hydra:
        return {name: dict(compose.science(compose.compose(hydra, [f"+report={name}"]))) for name in names}


def answer(form: Mapping[str, Any]) -> dict[str, str]:
    """What the check says of one report: verdict, kind, words, and whether the kind is right."""
    cell = build(form)
    summary, problem = check_cell(cell).summary, pose(cell)
    assert problem.correct is not None
    right = accepted(cell.bug.name, Wrong(problem.layout, problem.theta, problem.correct, problem.analytic))
    kind = str(summary["diagnosis_kind"])
    return {
        "bug": cell.bug.name,
        "model": cell.model.name,
        "verdict": str(summary["verdict"]),
        "kind": kind,
        "right": "yes" if kind in right else "no",
        "words": str(summary["diagnosis"]),
    }


if __name__ == "__main__":
    composed = forms(one.name for one in reports())
    with ProcessPoolExecutor() as pool:
        found = dict(zip(composed, pool.map(answer, composed.values()), strict=True))
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(reports(), found), encoding="utf-8")
