"""Which rule catches the mistakes of layers, and at which step: the table of ``gradcheck/bugs/README.md``.

As a script, ``python tests/bugs/layer_table.py RUN ...`` counts the cells of these runs, with mistakes and without, into
``runs/figures/layers.json`` and writes the table.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TypeAlias

import pandas as pd

import gradcheck
from gradcheck.numerics.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
COUNTS, PAGE = ROOT / "runs" / "figures" / "layers.json", ROOT / "gradcheck" / "bugs" / "README.md"
BEGIN, END = "<!-- rules of layers: made by tests/bugs/layer_table.py -->\n", "<!-- end -->\n"
OURS = "gradcheck"
Counts: TypeAlias = dict[
    str, dict[str, dict[str, list[int]]]
]  # rule, bug ("none": correct), step: accused and all cells


def counts(cells: pd.DataFrame) -> Counts:
    """How many cells each rule accuses, by bug and step, of those in float64 that were computed."""
    done = cells[(cells["status"] == "ok") & (cells["dtype"] == "float64")]
    step = done["eps"].map(lambda eps: "auto" if pd.isna(eps) else f"{eps:.0e}")
    accused = {OURS: done["verdict"] == "mismatch"} | {rule: done[f"rule_{rule}"].astype(bool) for rule in RULES}
    found: Counts = {}
    for rule, said in accused.items():
        for (bug, eps), own in said.groupby([done["bug"], step]):
            found.setdefault(rule, {}).setdefault(str(bug), {})[str(eps)] = [int(own.sum()), len(own)]
    return found


def steps(found: Counts) -> list[str]:
    """The steps, auto first, then the largest."""
    return sorted(found[OURS]["none"], key=lambda eps: (eps != "auto", -float(eps) if eps != "auto" else 0.0))


def table(found: Counts, bugs: list[str]) -> str:
    """The mistakes that each rule catches at each step, and the correct gradients that it accuses; then what it misses."""
    lines = [f"| rule | {' | '.join(steps(found))} |", f"| --- |{' --- |' * len(steps(found))}"]
    missed = []
    for rule, own in found.items():
        cells = []
        for eps in steps(found):
            caught = [bug for bug in bugs if own[bug][eps][0] == own[bug][eps][1]]
            accused, correct = own["none"][eps]
            cells.append(f"{len(caught)} of {len(bugs)}, {accused} of {correct}")
            if len(caught) < len(bugs):
                missed.append(f"- `{rule}` at {eps}: {', '.join(f'`{bug}`' for bug in bugs if bug not in caught)}")
        lines.append(f"| `{rule}` | {' | '.join(cells)} |")
    return "\n".join([*lines, *(["", "Not caught:", "", *missed] if missed else [])]) + "\n"


def shown(page: str) -> str:
    """The table that a page has between its two marks."""
    match = re.search(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", page, re.DOTALL)
    if match is None:
        raise ValueError(f"the page has no table between {BEGIN!r} and {END!r}")
    return match[1]


def listed(found: Counts) -> list[str]:
    """The mistakes of the counts, by name."""
    return sorted(set(found[OURS]) - {"none"})


if __name__ == "__main__":
    found = counts(pd.concat([gradcheck.load(run).cells for run in sys.argv[1:]]))
    COUNTS.write_text(json.dumps(found) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        page.replace(f"{BEGIN}{shown(page)}{END}", f"{BEGIN}{table(found, listed(found))}{END}"), encoding="utf-8"
    )
