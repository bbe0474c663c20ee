"""What a continuous-integration system is told of each cell: passed, wrong, broken or skipped, and where to look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from gradcheck.experiment.config.columns import FUNCTIONS
from gradcheck.experiment.config.schema import FAIL_ON
from gradcheck.experiment.results.unfinished import Unfinished
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.views.frames import records
from gradcheck.views.group import CellRow
from gradcheck.views.layout import short
from gradcheck.views.numbers import or_zero
from gradcheck.views.record import Record
from gradcheck.views.tally import fails
from gradcheck.views.varied import varied
from gradcheck.views.words import error
from gradcheck.views.worst import Worst

_PIECE = 10_000  # cells whose rows are Python values at the same time
_NAMED = ("cell", "status", "message", "model", "data", "bug", "eps", "verdict", "ok", "bug_injected", "diagnosis")
_WORST = ("max_rel_err", "worst_param", "worst_flat_index", "n_weights", "n_judged")


class Kind(StrEnum):
    """What became of a cell."""

    PASSED = "passed"
    DOUBTFUL = "doubtful"  # a gradient without a planted bug of which too little was judged; the run does not fail
    WRONG = "wrong"  # one with which the run fails
    BROKEN = "broken"  # no result
    SKIPPED = "skipped"


class Told(NamedTuple):
    """A cell and what became of it, or a run that lacks cells (then `cell` is empty, and `name` that of the run).

    name : its settings in which the cells of the run differ.   verdict : in one word.   words : why.
    look : the command that shows its weights.   function : the gradient of ``model=function``, else None.
    """

    cell: str
    model: str
    name: str
    kind: Kind
    verdict: str
    words: str
    seconds: float
    look: str
    function: str | None


def told(record: Record) -> Iterator[Told]:
    """Each cell of a record, sorted by its settings; then each run that lacks cells."""
    fail_on = {run.name: _fail_on(run.provenance.get("overrides")) for run in record.runs}
    keys = sorted(varied(record), key=lambda key: key not in FUNCTIONS) or ["model", "data", "bug", "eps"]
    cells = record.cells[
        [name for name in dict.fromkeys([*_NAMED, *_WORST, *FUNCTIONS, *keys, "run"]) if name in record.cells]
    ]
    seconds = _seconds(record)
    for start in range(0, len(cells), _PIECE):
        piece = cells.iloc[start : start + _PIECE]
        worst = record.worst_weights(piece[piece["verdict"] == "mismatch"])
        for row in records(piece):
            run = row.get("run", record.name)
            yield _told(row, keys, fail_on[run], seconds.get(row["cell"], 0.0), run, worst.get(row["cell"]))
    for one in record.runs:
        if one.unfinished is not None:
            yield _lacking(one.name, one.unfinished)


def _told(row: Mapping[str, Any], keys: list[str], fail_on: str, seconds: float, run: str, worst: Worst | None) -> Told:
    settings = {key: eps_text(from_stored(row[key])) if key == "eps" else row[key] for key in keys}
    name = ", ".join(f"{key}={short(value)}" for key, value in settings.items() if value is not None)
    kind = _kind(row, fail_on)
    function = row.get("model_fun") if row.get("model_jac") in ("true", "True") else row.get("model_jac")
    return Told(
        cell=str(row["cell"]),
        model=str(row["model"]),
        name=name,
        kind=kind,
        verdict=str(row["verdict"] if row["status"] == "ok" else row["status"]),
        words=_words(row, worst) if row["status"] == "ok" else str(row["message"] or ""),
        seconds=seconds,
        look=f"python -m gradcheck.show {shlex.quote(str(run))} --cell {shlex.quote(str(row['cell']))}",
        function=None if function is None else str(function),
    )


def _lacking(run: str, found: Unfinished) -> Told:
    """A run of which planned cells are not stored: that none of the others is wrong must not pass for the whole."""
    words = f"{found.planned - found.stored} of {found.planned} planned cells are not stored"
    return Told("", "run", run, Kind.BROKEN, "unfinished", words, 0.0, found.resume, None)


def _kind(row: Mapping[str, Any], fail_on: str) -> Kind:
    if row["status"] != "ok":
        return Kind.SKIPPED if row["status"] == "skipped" else Kind.BROKEN
    if row["bug_injected"]:
        return Kind.PASSED
    # a run of version 1 does not say which cells are ok
    ok = row["verdict"] != "mismatch" if row["ok"] is None else bool(row["ok"])
    if fails(CellRow(model=row["model"], verdict=row["verdict"], ok=ok), fail_on):
        return Kind.WRONG
    return Kind.PASSED if ok else Kind.DOUBTFUL


def _words(row: Mapping[str, Any], weight: Worst | None) -> str:
    """What is known of a computed cell in a sentence or two."""
    if row["verdict"] == "mismatch" and weight is not None:
        worst = f"worst {weight.name}, rel_err {error(weight.rel_err)}"
        return f"{row['diagnosis']} {worst[0].upper()}{worst[1:]}." if row["diagnosis"] else worst
    known = row["n_judged"] is not None and row["n_weights"]
    judged = f"{row['n_judged']} of {row['n_weights']} weights could be judged" if known else ""
    return ". ".join(text for text in (row["diagnosis"], judged) if text)


def _seconds(record: Record) -> dict[str, float]:
    """How long each cell took."""
    found: dict[str, float] = {}
    for table in record.cell_tables(("cell", "seconds")):
        for cell, seconds in zip(table["cell"].to_pylist(), table["seconds"].to_pylist(), strict=True):
            found.setdefault(cell, or_zero(seconds))
    return found


def _fail_on(overrides: object) -> str:
    """The setting ``fail_on`` with which a run was started, as far as its command line tells."""
    typed = [str(text) for text in overrides] if isinstance(overrides, list) else []
    given = [text.partition("=")[2] for text in typed if text.partition("=")[0] == "fail_on"]
    return given[-1] if given and given[-1] in FAIL_ON else "auto"
