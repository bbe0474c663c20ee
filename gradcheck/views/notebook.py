"""Loaded runs as a notebook and an interpreter show them: what was found, what was varied, what to ask next."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from gradcheck.experiment.truth import Truth, truths
from gradcheck.views import facets, words
from gradcheck.views.axes import BASE
from gradcheck.views.charts.cell_data import bug_order
from gradcheck.views.frames import plain_value
from gradcheck.views.numbers import counted
from gradcheck.views.sentence import answer

if TYPE_CHECKING:
    import pandas as pd

NEXT = "cells (DataFrame), errors (one row a weight), weights(cell), plot.detection(), plot.rules(), plot.v_curve()"
_MOST_VALUES = 6  # of a key
_MOST_ROWS, _MOST_COLUMNS = 40, 12  # of the table


def text(cells: pd.DataFrame) -> str:
    """Runs in a few lines."""
    return "\n".join([_heading(cells), answer(cells), *_varied(cells), f"has    {NEXT}"])


def as_html(cells: pd.DataFrame) -> str:
    """Runs as HTML: the same lines, and how many cells of each bug were caught in each panel.  Nothing in it acts."""
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
    """A line for each key that was swept, with its values; seeds last."""
    lines = []
    for name in (*BASE, *facets.swept(cells), *facets.seeds(cells)):
        values = [facets.value_label(name, value) for value in facets.values_of(cells[name], name)]
        if len(values) > 1:
            more = f", … ({len(values)} values)" if len(values) > _MOST_VALUES else ""
            lines.append(f"varied {words.column(name)}: {', '.join(values[:_MOST_VALUES])}{more}")
    return lines


def _table(cells: pd.DataFrame) -> str:
    """For each bug and panel how many of the planted bugs were caught, or of the correct gradients accused."""
    done = cells[cells["status"] == "ok"]
    if done.empty:
        return ""
    rows, columns = facets.panels(done)
    frame = facets.with_panels(done, [], [*columns, *rows]).assign(told=truths(done))
    panels = [str(name) for name in frame["column"].cat.categories][:_MOST_COLUMNS]
    names = {bug: facets.value_label("bug", plain_value(bug)) for bug in frame["bug"].unique()}
    bugs = sorted(names, key=lambda bug: bug_order(names[bug]))[:_MOST_ROWS]
    counts = frame.groupby(["bug", "column", "told"], observed=True, dropna=False).size().to_dict()
    head = "".join(f"<th>{html.escape(panel or 'all cells')}</th>" for panel in panels)
    body = "".join(
        f"<tr><th>{html.escape(names[bug])}</th>"
        + "".join(f"<td>{_cell({str(t): counts.get((bug, panel, t), 0) for t in Truth})}</td>" for panel in panels)
        + "</tr>"
        for bug in bugs
    )
    return f"<table><thead><tr><th>bug</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(counts: dict[str, int]) -> str:
    planted = sum(counts[truth] for truth in Truth if truth.planted)
    correct = counts[Truth.RIGHT] + counts[Truth.FALSE_ALARM]
    said = [f"{counts[Truth.CAUGHT]:,}/{planted:,} {Truth.CAUGHT}"] if planted else []
    said += [counted(counts[Truth.FALSE_ALARM], "false alarm") + f" in {correct:,}"] if correct else []
    said += [counted(counts[Truth.UNKNOWN], "cell")] if counts[Truth.UNKNOWN] else []
    return ", ".join(said)
