"""One HTML file of a run that needs nothing else: the answer, charts, tables, provenance.

Nothing of a record acts in the page.  The record's texts stand in a block of JSON that no browser executes, and become
text nodes.  The page's own policy lets two scripts run, whose hashes it names, and lets nothing be loaded.

The page holds counts by combination of the swept keys (`cube`), not charts: its script adds up those that a reader chooses.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.experiment.truth import truths
from gradcheck.numerics.steps import from_stored
from gradcheck.numerics.verdict import VERDICTS
from gradcheck.printable import printable
from gradcheck.views import again, cube, facets, words
from gradcheck.views.charts import captions, cell_data, drawing, weight_data
from gradcheck.views.charts.theme import DARK, SHARE_COLOURS, THEMES
from gradcheck.views.frames import records, weight_name
from gradcheck.views.layout import cut
from gradcheck.views.numbers import in_json
from gradcheck.views.reasons import REASON_COLUMNS, Reasons
from gradcheck.views.record import Record
from gradcheck.views.sentence import answer
from gradcheck.views.worst import WORST_COLUMNS, WorstWeights

if TYPE_CHECKING:
    import pandas as pd

SHOWN_CELLS = 5000  # rows in the table of cells
SHOWN_ROWS = 1_300_000  # characters of the table of cells
MAX_ROWS = 2000  # in the table of cells without a result
MAX_WEIGHTS = 60_000  # that can be drawn, of all cells
SCRIPTS = (
    "cube.js",
    "matrix.js",
    "table.js",
    "labels.js",
    "charts.js",
    "says.js",
    "captions.js",
    "address.js",
    "page.js",
)
_FIRST = ("cell", "outcome", "diagnosis")
_RESOLUTIONS = ("max_resolution", "median_resolution")


class PageTable(TypedDict):
    """A table of the page; ``of`` is how many rows there are in all, ``combination`` that of each row."""

    columns: list[str]
    titles: list[str]
    rows: list[list[object]]
    of: int
    combination: cube.Packed
    constant: list[list[object]]  # column, title and value of what is the same in every row


class PageWeights(TypedDict):
    """The weights that can be drawn, cell after cell: the number of each cell's, and of all it has."""

    cells: list[str]
    drawn: cube.Packed
    of: cube.Packed
    names: list[str]
    name: cube.Packed
    numbers: dict[str, cube.Packed]
    accept: cube.Packed  # of each cell
    verdict: cube.Packed
    reasons: list[str]
    reason: cube.Packed  # 0: none; 1: the first of `reasons`


class Page:
    """The page of a run."""

    def __init__(self, record: Record) -> None:
        import pandas as pd

        self._record = record
        cells = record.cells
        self._told = truths(cells)
        self._answer = answer(cells, self._told)
        self._combinations = cube.combinations(cells, self._told)
        taken = cell_data.interesting(cells, self._told, self._combinations.of_cell)[:SHOWN_CELLS]
        ok = taken[(cells["status"] == "ok").to_numpy(bool)[taken]]
        sizes = np.minimum(cells["n_weights"].iloc[ok].fillna(0).to_numpy(np.int64), weight_data.DRAWN_WEIGHTS)
        drawn = ok[np.cumsum(sizes) <= MAX_WEIGHTS]
        in_order = cell_data.looked_at(cells, self._told)
        self._places = in_order[np.isin(in_order, taken)]
        self._chosen = weight_data.Chosen(cells["cell"].iloc[in_order[np.isin(in_order, drawn)]].tolist())
        once = (~cells["cell"].duplicated()).to_numpy(bool)
        self._errors = weight_data.ErrorCounts(
            pd.Index(cells["cell"][once], dtype=object), self._combinations.of_cell[once]
        )
        self._worst = WorstWeights(cells.iloc[self._places])
        self._reasons = Reasons(cells["cell"].iloc[self._places])
        columns = dict.fromkeys(
            [*weight_data.ERROR_COLUMNS, *weight_data.DRAWN_COLUMNS, *WORST_COLUMNS, *REASON_COLUMNS]
        )
        for table in record.tables(list(columns)):
            self._errors.add(table)
            self._chosen.add(table)
            self._worst.add(table)
            self._reasons.add(table)

    @property
    def bins(self) -> list[weight_data.Bin]:
        """The relative errors of all weights."""
        return self._errors.rows()

    @property
    def telling(self) -> str | None:
        """The cell that tells most: the first, in the order of the table, whose weights can be drawn."""
        return self._chosen.cells[0] if self._chosen.cells else None

    def html(self) -> str:
        """The page."""
        folder = resources.files("gradcheck.views") / "assets"
        asset = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
        library, script = _script(drawing.bundle()), _script("".join(asset[name] for name in SCRIPTS))
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
            "title": html.escape(f"{self._answer} {again.names(self._record)}"),
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
        from gradcheck.views.charts.page_specs import specifications

        cells = self._record.cells
        counts = cube.cube(cells, self._told, self._combinations)
        bins = self.bins
        span = (min(row["low"] for row in bins), max(row["high"] for row in bins)) if bins else None
        keys = {key["name"]: key["values"] for key in counts["keys"]}
        return {
            "answer": self._answer,
            "name": again.names(self._record),
            "heading": self._record.heading.removeprefix(f"{printable(self._record.name)}: ").splitlines(),
            "cube": counts,
            "steps": _step_names(self._record.names),
            "bins": cube.bins(self._errors),
            "verdicts": list(VERDICTS),
            "largest": words.LARGEST,
            "panels": {"most": facets.MOST_PANELS},
            "shares": [[str(what), SHARE_COLOURS[str(what)]] for what in cell_data.SHARES],
            "unjudged": words.UNJUDGED,
            "dark": DARK,
            "words": {
                "accused": cell_data.ACCUSED,
                "not accused": words.NOT_ACCUSED,
                "no bug": self._record.names.unplanted,
                "not judged": words.NOT_JUDGED,
                "not judged enough": words.NOT_ENOUGH,
            },
            "charts": specifications(keys["scheme"], counts["medians"]["steps"], span),
            "captions": {
                "charts": captions.CHARTS,
                "sentences": captions.SENTENCES,
                "each": captions.EACH,
                "curve": captions.CURVE,
                "beyond": [cell_data.INFINITE, cell_data.ZERO],
            },
            "tools": self._record.tools,
            "themes": THEMES,
            "cells": self._cell_table(),
            "weights": self._weights(),
            "apart": self._errors.apart,
            "problems": self._problems(),
            "commands": again.commands(self._record),
            "warning": again.warning(self._record),
            "provenance": list(again.flat(self._record.provenance)),
        }

    def _cell_table(self) -> PageTable:
        everything = self._record.cells
        cells = everything.iloc[self._places]
        own = [key["name"] for key in self._combinations.keys]
        # a key with too many values for a drop-down is told in the table
        own += [name for name in self._combinations.swept if name not in own]
        worst, known = self._worst.worst(), cells["worst_param"].notna()
        frame = cells[own].assign(
            cell=cells["cell"],
            outcome=cells["verdict"].where(cells["status"] == "ok", cells["status"]),
            diagnosis=cells["diagnosis"]
            .where(cells["diagnosis"].notna(), cells["message"])
            .where(lambda told: told.notna(), cells["cell"].map(self._reasons.words())),
            worst_weight=cells["cell"].map({cell: one.name for cell, one in worst.items()}).where(known),
            worst_rel_err=cells["cell"].map({cell: one.rel_err for cell, one in worst.items()}),
            visible_from=_visible(cells),
            n_weights=cells["n_weights"],
        )
        settings = [*own, "n_weights"]
        same = [name for name in settings if len(frame) and everything[name].nunique(dropna=False) == 1]
        rest = [name for name in frame.columns if name not in (*_FIRST, *same)]
        names = self._record.names
        table = _table(frame[[*_FIRST, *rest]], len(everything), self._combinations.of_cell[self._places], names)
        table["constant"] = _constant(frame[same], names)
        taken, room = 0, SHOWN_ROWS
        while taken < len(table["rows"]) and room > 0:
            room -= len(json.dumps(table["rows"][taken]))
            taken += 1
        table["rows"] = table["rows"][:taken]
        return table

    def _weights(self) -> PageWeights:
        frame = self._chosen.frame()
        named = [
            facets.label(weight_name(row["param"], row["position"])) for row in records(frame[["param", "position"]])
        ]
        names = {name: i for i, name in enumerate(dict.fromkeys(named))}
        verdicts = {name: i for i, name in enumerate(VERDICTS)}
        numbers = ("analytic", "numeric", "abs_err", "bound")
        code, reasons = frame["reason"].factorize()
        cells = self._record.cells[["cell", "accept"]].drop_duplicates("cell").set_index("cell")
        accept = cells["accept"].reindex(self._chosen.cells).fillna(0.0)
        return {
            "cells": self._chosen.cells,
            "drawn": cube.packed(np.bincount(frame["cell"].astype(np.int64), minlength=len(self._chosen.cells))),
            "of": cube.packed(self._chosen.counts),
            "names": list(names),
            "name": cube.packed(np.array([names[name] for name in named], dtype=np.int64)),
            "numbers": {
                **{name: cube.packed(frame[name].to_numpy(float), exact=True) for name in numbers},
                **{name: cube.coded(frame[name].to_numpy(float)) for name in ("weight", "step")},
            },
            "accept": cube.coded(accept.to_numpy(float)),
            "reasons": [facets.label(name) for name in reasons],
            "reason": cube.packed(code.astype(np.int64) + 1),
            "verdict": cube.packed(
                np.array([verdicts.get(one, len(verdicts)) for one in frame["verdict"]], dtype=np.int64)
            ),
        }

    def _problems(self) -> PageTable:
        """Failed and skipped cells by reason and combination: the page adds up those of the chosen ones."""
        cells = self._record.cells
        open_ = (cells["status"] != "ok").to_numpy(bool)
        frame = cells.loc[open_, ["status", "message", "cell"]].assign(combination=self._combinations.of_cell[open_])
        groups = frame.groupby(["status", "message", "combination"], dropna=False, sort=True)["cell"]
        counted = groups.agg(["size", "min"]).reset_index().head(MAX_ROWS)
        counted.columns = ["status", "message", "combination", "cells", "example"]
        codes = counted.pop("combination").to_numpy(np.int64)
        return _table(counted[["status", "cells", "message", "example"]], len(groups), codes)


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


def _visible(cells: pd.DataFrame) -> list[list[float | None] | None]:
    """From where errors are visible, in every weight of a cell and in half of them."""
    rows = records(cells[["status", "max_resolution", "median_resolution", "accept"]])
    return [
        [None if row[name] is None else row[name] + (row["accept"] or 0.0) for name in _RESOLUTIONS]
        if row["status"] == "ok"
        else None
        for row in rows
    ]


def _step_names(names: words.Names) -> list[tuple[float, str]]:
    """The steps whose names have fewer digits than they have."""
    return [(step, name) for step, name in names.steps.items() if step is not None and float(name) != step]


def _table(
    frame: pd.DataFrame, of: int, combination: Sequence[int] | cube.Codes, names: words.Names = words.PLAIN
) -> PageTable:
    """Columns and rows; numbers stay numbers, an infinite one is a string, text is made harmless and cut."""
    found = records(frame)
    if "eps" in frame:
        found = [row | {"eps": from_stored(row["eps"])} for row in found]
    return {
        "columns": [printable(name) for name in frame.columns],
        "titles": [printable(words.column(name)) for name in frame.columns],
        "rows": [[_value(name, value, names) for name, value in row.items()] for row in found],
        "of": of,
        "combination": cube.packed(combination),
        "constant": [],
    }


def _constant(frame: pd.DataFrame, names: words.Names) -> list[list[object]]:
    """Column, title and value of what is the same in every row."""
    one = _table(frame.head(1), 1, [0], names)
    values = one["rows"][0] if one["rows"] else []
    return [list(row) for row in zip(one["columns"], one["titles"], values, strict=True)]


def _value(name: str, value: object, names: words.Names) -> object:
    if value is None or isinstance(value, (bool, int, float, list)):
        return in_json(value)
    return names.unplanted if name == "bug" and value == "none" else cut(printable(value), again.TEXT)


def _script(text: str) -> str:
    """JavaScript as it may stand within <script>: nothing in it ends the element (both are the same in a string)."""
    text = text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"\n{text}\n"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
