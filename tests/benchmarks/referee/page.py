"""The page of a run: its answers as Parquet, what they add up to as JSON, a figure, and the tables that people read."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.referee import count, draw
from tests.benchmarks.referee.requirements import OWN, Requirement, requirements

FIGURE, ANSWERS, FIGURES, PAGE = "plane.svg", "answers.parquet", "figures.json", "README.md"
HEAD = """# referee

- **What it is for.** These are the answers of tools that check gradients, asked about the same functions and the same
  claimed gradients, each with its own steps, schemes and limits.
- **The way through it.** `answers.parquet` has one row for each case and tool, `figures.json` what they add up to.
  This page is made of both.
- **How to add to it.** [A tool is a module](../../tests/benchmarks/README.md#referee).

```text
python -m tests.benchmarks.referee
```
"""


def write(
    folder: Path,
    table: pa.Table,
    ports: Mapping[str, Mapping[str, object]],
    absent: Mapping[str, str],
) -> list[Requirement]:
    """Write all files of a run; returns what must hold."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.sort_by([("tool", "ascending"), ("cell", "ascending")]), folder / ANSWERS, compression="zstd")
    answers = table.to_pandas()
    must = requirements(answers, ports)
    figures = {
        "versions": versions(answers),
        "cases": int(answers["cell"].nunique()),
        "requirements": [row._asdict() for row in must],
        "tools": {tool: of_tool(of) for tool, of in answers.groupby("tool", sort=True)},
        "ports": dict(ports),
        "absent": dict(absent),
    }
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draw.write(answers, folder / FIGURE)
    (folder / PAGE).write_text(page(answers, must, ports, absent), encoding="utf-8")
    return must


def of_tool(of: pd.DataFrame) -> dict[str, object]:
    """The figures of one tool, as plain values."""
    loose = count.loosened(of)
    return {
        "sizes": {words: p._asdict() for words, p in count.by_size(of).items()},
        "parts": {words: p._asdict() for words, p in count.where(of).items()},
        "loosened": _values(loose),
        "loosened, float64 without noise": _values(count.loosened(count.undisturbed(of))),
        "words": count.words(of)._asdict(),
        "cost": count.cost(of),
    }


def _values(loose: count.Loosened | None) -> dict[str, float] | None:
    return None if loose is None else {"factor": loose.factor, **loose.plane._asdict()}


def versions(answers: pd.DataFrame) -> dict[str, str]:
    """What was run where."""
    tools = answers.groupby("tool")["tool_version"].first().to_dict()
    here = {"python": platform.python_version(), "numpy": np.__version__, "processor": processor()}
    return {**here, **{str(k): str(v) for k, v in tools.items() if v}}


def processor() -> str:
    """Its name, and how many there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


# ------------------------------------------------------------------------------------------------------------ the page


def page(
    answers: pd.DataFrame,
    must: Sequence[Requirement],
    ports: Mapping[str, Mapping[str, object]],
    absent: Mapping[str, str],
) -> str:
    """All of it in Markdown."""
    of = {str(tool): rows for tool, rows in answers.groupby("tool", sort=True)}
    names = [OWN, *(tool for tool in of if tool != OWN)]
    made = f"{_today()} on {processor()}, Python {platform.python_version()}, NumPy {np.__version__}"
    right = answers.drop_duplicates("cell")["bug_injected"].eq(False).sum()
    told = [
        HEAD,
        f"Made on {made}: {answers['cell'].nunique()} cases, {right} of them with a right gradient.",
        "## What must hold\n\n" + _table(["figure", "required", "found"], [[*row[:3]] for row in must]),
        "## False alarms and catches\n\n"
        "A false alarm is a right gradient that a tool accuses. A catch is a wrong one that it accuses. The size of a mistake"
        " is its largest error over the entry.\n\n"
        f"![False alarms against catches]({FIGURE})\n\n" + _plane(of, names),
        "A tool has no answer where it raises an error that is no accusation.\n\n"
        "## At equal false alarms\n\nThe limits of each tool are multiplied by one factor, the least with which it accuses no"
        " right gradient, as gradcheck does not. A tool whose accusations come without a figure has no such row.\n\n"
        + _loosened(of, names),
        "## By part of the corpus\n\nFalse alarms / catches of mistakes of 1% and more.\n\n" + _parts(of, names),
        "## What they say\n\nOf the mistakes of 1% and more that a tool catches, how often it names an entry that is really"
        " wrong, how large the error is (or both derivatives), and a cause that is right; the last column is of mistakes whose"
        " kind has a name beside where it is.\n\n" + _words(of, names),
        "## What they cost\n\nMedians; seconds are those of the processor.\n\n" + _cost(of, names),
        "## When each accuses\n\n" + _rules(of, names),
        "## The rules of the columns beside their tools\n\n"
        "`rule_<name>` is written from what a tool publishes. Here the tool's own comparison gets the same claim and the same"
        " numeric gradient, made with a small and a large step.\n\n" + _ports(ports),
    ]
    if absent:
        told.append("Not run: " + "; ".join(f"{tool} ({words})" for tool, words in absent.items()) + ".")
    return "\n\n".join(part.strip() for part in told) + "\n"


def _plane(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        sizes = count.by_size(of[name])
        whole = count.plane(of[name])
        alarms = f"{whole.alarms} of {whole.right}"
        version = of[name]["tool_version"].iloc[0]
        rows.append([name, version, alarms, *(_share(p.caught, p.wrong) for p in sizes.values()), whole.silent])
    header = [
        "tool",
        "version",
        "false alarms",
        *(f"caught, {words}" for words in count.by_size(of[names[0]])),
        "no answer",
    ]
    return _table(header, rows)


def _loosened(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        pairs = [count.loosened(rows) for rows in (of[name], count.undisturbed(of[name]))]
        shown = [(f"{one.factor:.2g}", _share(one.plane.caught, one.plane.wrong)) for one in pairs if one is not None]
        if len(shown) == len(pairs):
            rows.append([name, *shown[0], *shown[1]])
    return _table(["tool", "factor", "caught", "factor, float64 without noise", "caught there"], rows)


def _parts(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        large = of[name][~of[name]["bug_injected"].astype(bool) | (of[name]["mistake_size"] >= count.LARGE)]
        found = count.where(large)
        rows.append([name, *(f"{_percent(p.alarmed)} / {_percent(p.catching)}" for p in found.values())])
    return _table(["tool", *count.where(of[names[0]])], rows)


def _words(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        w = count.words(of[name])
        shares = [_share(k, w.caught) for k in (w.entry, w.size, w.cause)]
        rows.append([name, w.caught, *shares, _share(w.named_right, w.named)])
    return _table(
        ["tool", "caught", "names an entry", "names the size", "names the cause", "of kinds with a name"], rows
    )


def _cost(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    rows = [[n, f"{c['calls']:.3g}", f"{c['milliseconds']:.3g}"] for n in names for c in [count.cost(of[n])]]
    return _table(["tool", "calls of the function a weight", "milliseconds a case"], rows)


def _rules(of: Mapping[str, pd.DataFrame], names: Sequence[str]) -> str:
    return _table(["tool", "accuses when"], [[name, of[name]["tool_rule"].iloc[0]] for name in names])


def _ports(ports: Mapping[str, Mapping[str, object]]) -> str:
    rows = [
        [f"`rule_{rule}`", one.get("compared", "-"), one.get("apart", one.get("absent", "-"))]
        for rule, one in ports.items()
    ]
    return _table(["rule", "comparisons", "not agreed"], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _share(part: int, of: int) -> str:
    return f"{part / of:.1%}" if of else "-"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.0%}"


def _today() -> str:
    today = datetime.date.today()
    return f"{today.day} {today:%B %Y}"
