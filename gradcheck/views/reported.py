"""What the command ``report`` writes: the page of runs, their charts, the figures of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcheck.columns.places import to_write
from gradcheck.errors import BadInput
from gradcheck.views import page, paper
from gradcheck.views.charts import drawing
from gradcheck.views.record import Record


def write(runs: Sequence[str], out: str | None, figures: str | None, for_paper: str | None) -> list[Path]:
    """Write the page, and charts and figures where a folder is given; returns what was written.

    Raises BadInput where something is no run, or where nothing can be written.
    """
    chosen = to_write("--out", out) if out else None
    folders = [
        None if typed is None else to_write(option, typed)
        for option, typed in (("--figures", figures), ("--paper", for_paper))
    ]
    drawing.require_altair()
    record = Record(*runs)
    place = chosen or (record.folder / "report.html" if isinstance(record.folder, Path) else None)
    if place is None:
        where = f"where the page of {record.runs[0].name} goes"
        raise BadInput(f"--out: must say {where}: the run does not lie on this machine")
    made, written = page.Page(record), [place]
    page.write_page(made.html(), place)
    if any(folder is not None for folder in folders):
        drawn = paper.figures(record, made.bins, made.telling)
        charts, papers = folders
        if charts is not None:
            written += drawing.write_figures({name: figure.chart for name, figure in drawn.items()}, charts)
        if papers is not None:
            written += paper.write(drawn, papers)
    return written
