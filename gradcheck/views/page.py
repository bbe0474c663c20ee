"""One HTML file of a run that needs nothing else: charts, tables, provenance.

Nothing of a record acts in it: its texts stand in a block of JSON that no browser executes, become text nodes, and the
page's own policy lets only the two scripts run whose hashes it names, and nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
import shlex
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.experiment.config import harmless
from gradcheck.experiment.truth import COLUMNS, PLANTED, UNKNOWN_MODELS, Truth, truths
from gradcheck.numerics.steps import from_stored
from gradcheck.printable import printable
from gradcheck.views import chart_data, plots
from gradcheck.views.analysis import Record
from gradcheck.views.chart_data import Rows
from gradcheck.views.frames import records
from gradcheck.views.terminal import cut

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 5000  # rows in the table of cells
MAX_ROWS = 2000  # in any other table
MAX_DRAWN = 300  # cells whose weights can be drawn
TEXT = 300  # characters of a text in a table
# Always in the table of cells; the others where they differ within the run.
_ALWAYS = ("cell", "model", "bug", "eps")
_NEVER = ("status", "message", "verdict", "diagnosis", "diagnosis_kind", "bug_injected", "worst_flat_index", "config")


class Page:
    """What stands on the page of a run: its charts, its tables, and both as one HTML file."""

    def __init__(self, record: Record) -> None:
        self._record = record
        cells, places = record.cells, chart_data.interesting(record.cells)
        self._cells = cells.iloc[places[:MAX_CELLS]]
        drawn = places[(cells["status"] == "ok").to_numpy(bool)[places]][:MAX_DRAWN]
        drawable = cells["cell"].iloc[drawn]
        self._histogram, self._chosen = chart_data.Histogram(), chart_data.Chosen(drawable)
        columns = dict.fromkeys([*chart_data.HISTOGRAM_COLUMNS, *chart_data.WEIGHT_COLUMNS])
        for table in record.tables(list(columns)):
            self._histogram.add(table)
            self._chosen.add(table)
        self._drawn = {cell: rows for cell in self._chosen.counts if (rows := self._chosen.rows(cell))}

    @cached_property
    def charts(self) -> dict[str, Any]:
        """Altair charts by name; the weights are those of the cell that deserves a look first."""
        cells = self._record.cells
        first = next(iter(self._drawn.values()), [])
        return {
            "detection": plots.detection(chart_data.detection(cells)),
            "v_curve": plots.v_curve(chart_data.v_curve(cells)),
            "rules": plots.rules(chart_data.rules(cells)),
            "histogram": plots.histogram(self._histogram.rows()),
            "weights": plots.weights(first) if first else plots.empty("No weights here."),
        }

    def html(self) -> str:
        """The page."""
        folder = resources.files("gradcheck.views") / "assets"
        asset = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")}
        library, script = _script(plots.bundle()), _script(asset["page.js"])
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
            "title": html.escape(f"gradcheck: {_name(self._record)}"),
            "style": asset["page.css"],
            "content": as_data(self.content()),
            "library": library,
            "script": script,
        }
        return re.sub(
            r"\{\{(\w+)\}\}", lambda match: parts[match[1]], asset["page.html"]
        )  # once: no part is read again

    def content(self) -> dict[str, Any]:
        """All that the script of the page is given, JSON-able."""
        return {
            "name": _name(self._record),
            "heading": self._record.heading.removeprefix(f"{printable(self._record.name)}: ").splitlines(),
            "tiles": _tiles(self._record.cells),
            "charts": {name: plots.specification(chart) for name, chart in self.charts.items()},
            "themes": {name: plots.THEMES[name] for name in ("light", "dark")},
            "cells": self._cell_table(),
            "weights": {
                "cells": {cell: _columns(rows) for cell, rows in self._drawn.items()},
                "counts": self._chosen.counts,
            },
            "apart": self._histogram.apart,
            "verdicts": _table(self._record.verdicts(), eps="eps"),
            "rules": _table(self._record.rule_table()),
            "problems": _table(self._record.problems()),
            "limits": {"weights": chart_data.MAX_WEIGHTS},
            "commands": commands(self._record),
            "warning": warning(self._record),
            "provenance": list(_flat(self._record.provenance)),
        }

    def _cell_table(self) -> dict[str, Any]:
        cells, everything = self._cells, self._record.cells
        done = chart_data.eps_labels(everything.loc[everything["status"] == "ok", ["eps"]])
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
        table = _table(frame, eps="eps")
        table["square"] = [
            [chart_data.name(row["bug"]), done.get(row["eps"])] for row in records(cells[["bug", "eps"]])
        ]
        table["ok"] = (cells["status"] == "ok").tolist()
        table["of"] = len(everything)
        return table


def write(text: str, out: Path) -> None:
    """Write the page; it is there whole or not at all.  Raises BadInput where it cannot be written."""
    try:
        with store.whole(out) as file:
            file.write(text.encode())
    except (OSError, ValueError) as error:
        raise BadInput(f"--out={out}: {getattr(error, 'strerror', None) or error}") from error


def as_data(value: Any) -> str:
    """JSON that can stand in an HTML page: no character of it ends the block, opens a comment or breaks a line."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII alone
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def commands(record: Record) -> list[str]:
    """The commands that make the run again, as far as they are harmless, and that compare the numbers."""
    typed, _ = harmless.sorted_out(record.provenance.get("overrides"))
    again = " ".join(["python -m gradcheck.run", *map(shlex.quote, typed)])
    sweep = any("," in text and "[" not in text for text in typed) and "experiment=" not in again
    return [again + (" -m" if sweep else ""), f"python -m gradcheck.reproduce {shlex.quote(_name(record))}"]


def warning(record: Record) -> str:
    """What to know before these commands are pasted."""
    _, left_out = harmless.sorted_out(record.provenance.get("overrides"))
    words = "They are made of what the record says, which may be somebody else's: read them before you run them."
    if left_out:
        names = dict.fromkeys(cut(printable(text.partition("=")[0]), 40) for text in left_out)
        shown = ", ".join(list(names)[:10]) + (", …" if len(names) > 10 else "")
        words += f" Left out, since they may name code or files: {shown}."
    return words


def _name(record: Record) -> str:
    """The run's folder, without the part of its path that only says whose machine it was."""
    path = str(record.folder)
    if os.path.isabs(path):
        here = os.path.relpath(path)
        path = here if not here.startswith("..") else os.path.join(*Path(path).parts[-2:])
    return printable(path)


def _tiles(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The run in a few figures."""
    done = cells.loc[cells["status"] == "ok", ["ok", *COLUMNS]]
    told = truths(done).value_counts()
    counts = {truth: int(told.get(truth, 0)) for truth in Truth}
    tiles: Rows = [{"what": "cells computed", "value": f"{len(done)} of {len(cells)}"}]
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


def _table(frame: pd.DataFrame, eps: str | None = None) -> dict[str, Any]:
    """Columns and rows; numbers stay numbers, an infinite one is a string, text is made harmless and cut."""
    rows = [[_value(value) for value in row.values()] for row in records(frame.head(MAX_ROWS if eps is None else None))]
    names = [printable(name) for name in frame.columns]
    if eps in names:
        place = names.index(eps)
        for row in rows:
            row[place] = from_stored(row[place])
    return {"columns": names, "rows": rows, "of": len(frame)}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return cut(printable(value), TEXT)


def _columns(rows: Rows) -> dict[str, list[Any]]:
    """Rows as columns, which takes a third of the room."""
    return {key: [row[key] for row in rows] for key in rows[0]}


def _flat(value: Any, prefix: str = "") -> Rows:
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
