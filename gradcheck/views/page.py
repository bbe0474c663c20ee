"""One HTML file of a run that needs nothing else: charts, tables, provenance.

Nothing of a record acts in the page.  The record's texts stand in a block of JSON that no browser executes, and become
text nodes.  The page's own policy lets two scripts run, whose hashes it names, and lets nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.experiment.config import harmless
from gradcheck.experiment.truth import COLUMNS, PLANTED, UNKNOWN_MODELS, Truth, truths
from gradcheck.numerics.steps import from_stored
from gradcheck.printable import printable
from gradcheck.views.charts import cell_data, drawing, weight_data
from gradcheck.views.charts.theme import THEMES
from gradcheck.views.frames import records
from gradcheck.views.layout import cut
from gradcheck.views.numbers import in_json
from gradcheck.views.record import Record
from gradcheck.views.recorded import Recorded

if TYPE_CHECKING:
    import pandas as pd
    from altair.typing import ChartType

SHOWN_CELLS = 5000  # rows in the table of cells
MAX_ROWS = 2000  # in the tables of rules and of cells without a result
MAX_DRAWN = 300  # cells whose weights can be drawn
TEXT = 300  # characters of a text in a table
# Always in the table of cells; the others where they differ within the run.
_ALWAYS = ("cell", "model", "bug", "eps")
_NEVER = ("status", "message", "verdict", "diagnosis", "diagnosis_kind", "bug_injected", "worst_flat_index", "config")


class PageTable(TypedDict):
    """A table of the page; ``of`` is how many rows there are in all."""

    columns: list[str]
    rows: list[list[object]]
    of: int


class CellTable(PageTable):
    """The table of cells."""

    square: list[tuple[str, str | None]]  # bug and step in the heat map
    ok: list[bool]  # whether the cell was computed


class Tile(TypedDict):
    """A figure of the run."""

    what: str
    value: str
    bad: NotRequired[bool]


class Page:
    """The page of a run: its charts, its tables, and both as one HTML file."""

    def __init__(self, record: Record) -> None:
        self._record = record
        cells, places = record.cells, cell_data.interesting(record.cells)
        self._cells = cells.iloc[places[:SHOWN_CELLS]]
        drawn = places[(cells["status"] == "ok").to_numpy(bool)[places]][:MAX_DRAWN]
        drawable = cells["cell"].iloc[drawn]
        self._errors, self._chosen = weight_data.ErrorCounts(), weight_data.Chosen(drawable)
        columns = dict.fromkeys([*weight_data.ERROR_COLUMNS, *weight_data.DRAWN_COLUMNS])
        for table in record.tables(list(columns)):
            self._errors.add(table)
            self._chosen.add(table)
        self._drawn = {cell: rows for cell in self._chosen.counts if (rows := self._chosen.rows(cell))}

    @cached_property
    def charts(self) -> dict[str, ChartType]:
        """Altair charts by name; the weights are those of the cell that deserves a look first."""
        from gradcheck.views.charts.detection import detection
        from gradcheck.views.charts.histogram import histogram
        from gradcheck.views.charts.pieces import empty
        from gradcheck.views.charts.rules import rules
        from gradcheck.views.charts.v_curve import v_curve
        from gradcheck.views.charts.weights import weights

        cells = self._record.cells
        first = next(iter(self._drawn.values()), [])
        return {
            "detection": detection(cell_data.squares(cells)),
            "v_curve": v_curve(cell_data.v_points(cells)),
            "rules": rules(cell_data.rule_bars(cells)),
            "histogram": histogram(self._errors.rows()),
            "weights": weights(first) if first else empty("No weights here."),
        }

    def html(self) -> str:
        """The page."""
        folder = resources.files("gradcheck.views") / "assets"
        asset = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
        library, script = _script(drawing.bundle()), _script(asset["page.js"])
        policy = {
            "default-src": "'none'",
            "script-src": f"{_hash(library)} {_hash(script)}",
            "style-src": "'unsafe-inline'",  # the charts' tooltips and sizes
            "img-src": "data: blob:",
            "base-uri": "'none'",
            "form-action": "'none'",
        }
        parts = {
            "policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
            "title": html.escape(f"gradcheck: {_names(self._record)}"),
            "style": asset["page.css"],
            "content": as_data(self.content()),
            "library": library,
            "script": script,
        }
        return re.sub(
            r"\{\{(\w+)\}\}", lambda match: parts[match[1]], asset["page.html"]
        )  # once: no part is read again

    def content(self) -> dict[str, object]:
        """All that the script of the page is given, as JSON can hold it."""
        return {
            "name": _names(self._record),
            "heading": self._record.heading.removeprefix(f"{printable(self._record.name)}: ").splitlines(),
            "tiles": _tiles(self._record.cells),
            "charts": {name: drawing.specification(chart) for name, chart in self.charts.items()},
            "themes": {name: THEMES[name] for name in ("light", "dark")},
            "cells": self._cell_table(),
            "weights": {
                "cells": {cell: _columns(rows) for cell, rows in self._drawn.items()},
                "counts": self._chosen.counts,
            },
            "apart": self._errors.apart,
            "verdicts": _table(self._record.verdicts(self._record.groups)),
            "rules": _table(self._record.rule_table(), MAX_ROWS),
            "problems": _table(self._record.problems(), MAX_ROWS),
            "limits": {"weights": weight_data.DRAWN_WEIGHTS},
            "commands": commands(self._record),
            "warning": warning(self._record),
            "provenance": list(_flat(self._record.provenance)),
        }

    def _cell_table(self) -> CellTable:
        cells, everything = self._cells, self._record.cells
        done = cell_data.eps_labels(everything.loc[everything["status"] == "ok", ["eps"]])
        own = [
            name
            for name in cells.columns
            if name in _ALWAYS
            or (
                not (name in _NEVER or name.startswith(("rule_", "n_", "max_", "median_", "norm_", "worst_", "loss")))
                and everything[name].nunique() > 1
            )
        ]
        figures = ["n_weights", "max_rel_err", "median_resolution"]
        outcome = cells["verdict"].where(cells["status"] == "ok", cells["status"])
        words = cells["diagnosis"].where(cells["diagnosis"].notna(), cells["message"])
        frame = cells[own].assign(**{name: cells[name] for name in figures}, diagnosis=words)
        frame.insert(1, "outcome", outcome)
        table = _table(frame)
        square = [(cell_data.label(row["bug"]), done.get(row["eps"])) for row in records(cells[["bug", "eps"]])]
        ok = (cells["status"] == "ok").tolist()
        return {"columns": table["columns"], "rows": table["rows"], "of": len(everything), "square": square, "ok": ok}


def write_page(text: str, out: Path) -> None:
    """Write the page; the file is never half-written.  Raises BadInput where it cannot be written."""
    try:
        with store.whole(out) as file:
            file.write(text.encode())
    except (OSError, ValueError) as error:
        raise BadInput(f"--out={out}: {getattr(error, 'strerror', None) or error}") from error


def as_data(value: object) -> str:
    """JSON that can stand in an HTML page: no character of it ends the block, opens a comment or breaks a line."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII alone
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def commands(record: Record) -> list[str]:
    """The commands that make each run again, as far as they are harmless, and that compare the numbers."""
    return [line for run in record.runs for line in _commands(run)]


def _commands(run: Recorded) -> list[str]:
    typed, _ = harmless.sorted_out(run.provenance.get("overrides"))
    again = " ".join(["python -m gradcheck.run", *map(shlex.quote, typed)])
    sweep = any("," in text and "[" not in text for text in typed) and "experiment=" not in again
    return [again + (" -m" if sweep else ""), f"python -m gradcheck.reproduce {shlex.quote(_name(run))}"]


def warning(record: Record) -> str:
    """What to know before these commands are pasted."""
    left_out = [text for run in record.runs for text in harmless.sorted_out(run.provenance.get("overrides"))[1]]
    words = "They are made of what the record says, which may be somebody else's: read them before you run them."
    if left_out:
        names = dict.fromkeys(cut(printable(text.partition("=")[0]), 40) for text in left_out)
        shown = ", ".join(list(names)[:10]) + (", …" if len(names) > 10 else "")
        words += f" Left out, since they may name code or files: {shown}."
    return words


def _names(record: Record) -> str:
    return ", ".join(map(_name, record.runs))


def _name(run: Recorded) -> str:
    """The run's folder, without the part of its path that says nothing but whose machine it was."""
    path = str(run.folder)
    if os.path.isabs(path):
        here = os.path.relpath(path)
        path = here if not here.startswith("..") else os.path.join(*Path(path).parts[-2:])
    return printable(path)


def _tiles(cells: pd.DataFrame) -> list[Tile]:
    """The run in a few figures."""
    done = cells.loc[cells["status"] == "ok", ["ok", *COLUMNS]]
    told = truths(done).value_counts()
    counts = {truth: int(told.get(truth, 0)) for truth in Truth}
    tiles: list[Tile] = [{"what": "cells computed", "value": f"{len(done)} of {len(cells)}"}]
    wrong = counts[Truth.FALSE_ALARM]
    if correct := wrong + counts[Truth.RIGHT]:
        tiles.append({"what": "correct gradients accused", "value": f"{wrong} of {correct}", "bad": wrong > 0})
    if planted := sum(counts[truth] for truth in PLANTED):
        for truth in PLANTED:
            bad = truth is Truth.MISSED and counts[truth] > 0
            words = "planted bugs that no number shows" if truth is Truth.CANNOT_BE_TOLD else f"planted bugs {truth}"
            tiles.append({"what": words, "value": f"{counts[truth]} of {planted}", "bad": bad})
    own = done[done["model"].isin(UNKNOWN_MODELS) & ~done["bug_injected"].fillna(False).astype(bool)]
    if len(own):
        wrong = int((own["verdict"] == "mismatch").sum())
        tiles.append({"what": "gradients of functions wrong", "value": f"{wrong} of {len(own)}", "bad": wrong > 0})
        few = int((~own["ok"].fillna(True).astype(bool)).sum()) - wrong
        if few > 0:
            tiles.append({"what": "of which too little was judged", "value": f"{few} of {len(own)}", "bad": True})
    for status in ("failed", "skipped"):
        if count := int((cells["status"] == status).sum()):
            tiles.append({"what": status, "value": str(count), "bad": status == "failed"})
    return tiles


def _table(frame: pd.DataFrame, most: int | None = None) -> PageTable:
    """Columns and at most `most` rows; numbers stay numbers, an infinite one is a string, text is made harmless and cut."""
    found = records(frame.head(most))
    if "eps" in frame:
        found = [row | {"eps": from_stored(row["eps"])} for row in found]
    rows = [[_value(value) for value in row.values()] for row in found]
    return {"columns": [printable(name) for name in frame.columns], "rows": rows, "of": len(frame)}


def _value(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return in_json(value)
    return cut(printable(value), TEXT)


def _columns(rows: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Rows as columns, which take a third of the room."""
    return {key: [row[key] for row in rows] for key in rows[0]}


def _flat(value: object, prefix: str = "") -> list[dict[str, str]]:
    """A nested mapping as rows, each key with the keys above it."""
    if isinstance(value, dict) and value:
        return [row for key, item in value.items() for row in _flat(item, f"{prefix}.{key}" if prefix else str(key))]
    shown = value if isinstance(value, str) else json.dumps(value)
    return [{"key": cut(printable(prefix), TEXT), "value": cut(printable(shown), TEXT)}]


def _script(text: str) -> str:
    """JavaScript as it may stand within <script>: nothing in it ends the element (both are the same in a string)."""
    text = text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"\n{text}\n"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
