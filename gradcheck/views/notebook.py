"""Loaded runs as a notebook and an interpreter show them: what was found, what was varied, what to ask next."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from gradcheck.views import facets, naming, words
from gradcheck.views.axes import BASE, axes
from gradcheck.views.matrix import matrix
from gradcheck.views.numbers import counted
from gradcheck.views.sentence import answer
from gradcheck.views.squares import legend, share

if TYPE_CHECKING:
    import pandas as pd

NEXT = (
    "cells (DataFrame), errors (one row a weight), weights(cell),"
    " plot.detection(), plot.rules(), plot.v_curve(), plot.histogram(), plot.weights(cell)"
)
_MOST_VALUES = 6  # of a key
_MOST_ROWS, _MOST_COLUMNS = 40, 12  # of the table


def text(cells: pd.DataFrame) -> str:
    """Runs in a few lines."""
    return "\n".join([_heading(cells), answer(cells), *_varied(cells), f"has    {NEXT}"])


def as_html(cells: pd.DataFrame) -> str:
    """Runs as HTML: the same lines, and the share of each bug that was caught in each panel.  Nothing in it acts."""
    lines = [html.escape(line) for line in (_heading(cells), *_varied(cells))]
    return (
        f"<div><p><strong>{html.escape(answer(cells))}</strong><br>{'<br>'.join(lines)}</p>{_table(cells)}"
        f"<p>has {html.escape(NEXT)}</p></div>"
    )


def _heading(cells: pd.DataFrame) -> str:
    counts = cells["status"].value_counts()
    status = ", ".join(f"{n:,} {facets.label(words.status(str(name)))}" for name, n in counts.items())
    runs = f" of {counted(cells['run'].nunique(), 'run')}" if "run" in cells else ""
    return f"Runs: {counted(len(cells), 'cell')}{runs}{f' ({status})' if status else ''}"


def _varied(cells: pd.DataFrame) -> list[str]:
    """A line for each key that was swept, with its values; then those of the seeds and of keys paired with another one."""
    of_grid = axes(cells[cells["status"] == "ok"])
    names = naming.named(cells)
    lines = []
    for name in (*BASE, *of_grid.names, *of_grid.seeds, *(paired for paired, _ in of_grid.paired)):
        found = facets.values_of(cells[name], name)
        values = [facets.value_label(name, v, names) for v in found]
        if len(values) > 1:
            more = f", … ({len(values):,} values)" if len(values) > _MOST_VALUES else ""
            lines.append(f"varied {words.column(name)}: {', '.join(values[:_MOST_VALUES])}{more}")
    return lines


def _table(cells: pd.DataFrame) -> str:
    """The matrices that ``show`` prints as one table: a row for each bug in each panel, a column for each step."""
    if not (cells["status"] == "ok").any():
        return ""
    found = matrix(cells)
    panels = len(found.facets) > 1
    rows = [(facet.name, *row) for facet in found.facets for row in facet.rows.items()]
    columns = found.columns[:_MOST_COLUMNS]
    said = words.column(found.axes.column) if found.axes.column else ""
    head = [*(["panel"] if panels else []), "bug", *(" ".join(filter(None, (said, name))) for name in columns)]
    body = []
    for panel, (bug, planted), squares in rows[:_MOST_ROWS]:
        names = [*([panel] if panels else []), bug]
        counts = [
            html.escape(share(square, planted).text) if square is not None else "" for square in squares[:_MOST_COLUMNS]
        ]
        body.append("".join([*(f"<th>{html.escape(n)}</th>" for n in names), *(f"<td>{n}</td>" for n in counts)]))
    lacking = [
        f"{of - most:,} more {what}"
        for of, most, what in ((len(rows), _MOST_ROWS, "rows"), (len(found.columns), _MOST_COLUMNS, "columns"))
        if of > most
    ]
    return (
        f"<p>{html.escape(legend(found))}</p>"
        f"<table><thead><tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>"
        + (f"<p>… {' and '.join(lacking)}: python -m gradcheck.show</p>" if lacking else "")
    )
