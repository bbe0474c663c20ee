"""The answers as rows of Parquet: the columns of a run's ``cells``, and what is known of a tool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gradcheck.columns.weights import COUNT, FLAG, REAL, TEXT, CellRows
from gradcheck.experiment.config import columns
from gradcheck.experiment.results.rows import CELLS, axes, cells_table
from gradcheck.numerics.rules import Gradients, accusations
from tests.benchmarks.referee.case import Answer, Case, Tool
from tests.benchmarks.referee.entry import Entry

# What of a tool's words is kept.
LONGEST = 400
ANSWERS = pa.schema(
    [
        *CELLS,
        ("tool", TEXT),
        ("tool_version", TEXT),
        ("tool_rule", TEXT),
        ("accused", FLAG),
        ("said", TEXT),
        ("calls", COUNT),
        ("score", REAL),
        ("names_entry", FLAG),  # it names an entry that is really wrong
        ("names_size", FLAG),
        ("names_cause", FLAG),  # it names a kind of mistake that is right
        ("has_name", FLAG),  # the mistake is of a kind that has a name, beside where it is
        ("source", TEXT),
        ("family", TEXT),
        ("point", TEXT),
        ("noise", TEXT),
        ("scale", TEXT),
        ("mistake_size", REAL),
    ]
)
assert len(set(ANSWERS.names)) == len(ANSWERS.names)


@dataclass(frozen=True)
class Asked:
    """One case as it was put to one tool.

    answer : None where the tool raised an error that is no accusation, or took too long; ``error`` says so.
    """

    tool: Tool
    version: str
    entry: Entry
    case: Case
    answer: Answer | None
    error: str
    calls: int
    seconds: float


def row(asked: Asked) -> dict[str, Any]:
    """One row of the answers."""
    case, answer = asked.case, asked.answer
    found: dict[str, Any] = {
        "cell": asked.entry.id,
        "status": "failed" if answer is None else "ok",
        "message": asked.error or None,
        "bug": case.mistake or "none",
        "bug_injected": bool(case.mistake),
        "dtype": case.dtype,
        "n_weights": case.x.size,
        "loss": float(case.fun(case.x)),
        "n_evals": asked.calls,
        "seconds": asked.seconds,
        "config": asked.entry.text,
        "tool": asked.tool.name,
        "tool_version": asked.version,
        "tool_rule": asked.tool.rule,
        "calls": asked.calls,
        "source": case.source,
        "family": case.family,
        "point": case.point,
        "noise": case.noise,
        "scale": case.scale,
        "mistake_size": case.size,
        "has_name": case.named,
    }
    if asked.entry.form:
        config = json.loads(asked.entry.form)
        found = columns.values(config) | _of_config(config) | found
    else:
        found["model"] = "function"
    return found if answer is None else found | _said(asked.tool, case, answer)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; NaN becomes null."""
    return cells_table([CellRows(row, None) for row in rows], ANSWERS)


def _of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The axes of a net; scheme and step are the tool's own."""
    return axes(config) | {"scheme": None, "eps": None}


def _said(tool: Tool, case: Case, answer: Answer) -> dict[str, Any]:
    wrong = bool(case.mistake)
    found: dict[str, Any] = {
        "accused": answer.accused,
        "said": answer.said.strip()[:LONGEST],
        "score": _score(answer),
        "names_entry": _names_entry(case, answer) if wrong and answer.accused else None,
        "names_size": answer.size if wrong and answer.accused else None,
        "names_cause": answer.cause in case.kinds if wrong and answer.accused else None,
        "verdict": answer.verdict,
        "max_resolution": answer.resolution,
        "n_missed": answer.missed,
        "diagnosis_kind": answer.cause,
    }
    if tool.own and answer.numeric is not None:
        rules = accusations(Gradients(case.claim, np.asarray(answer.numeric), case.dtype))
        found |= {f"rule_{name}": bool(accused) for name, accused in rules.items()}
    return found


def _score(answer: Answer) -> float | None:
    """NaN of a tool that accuses is beyond every limit."""
    undefined = answer.score is not None and np.isnan(answer.score)
    return np.inf if undefined and answer.accused else answer.score


def _names_entry(case: Case, answer: Answer) -> bool:
    """Whether the named entry differs from the right gradient by more than the rounding of either."""
    if answer.entry is None:
        return False
    i = answer.entry
    rounding = 4 * float(np.finfo(case.x.dtype).eps) * max(abs(float(case.claim[i])), abs(float(case.correct[i])))
    return bool(case.off[i] > rounding)
