"""A run as figures for a paper: each with its caption and its numbers, and how to cite the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.experiment.truth import PLANTED, Truth, truths
from gradcheck.numerics.steps import eps_text, from_stored
from gradcheck.printable import printable
from gradcheck.views import citation, facets, words
from gradcheck.views.axes import BASE
from gradcheck.views.charts import captions, cell_data, drawing, weight_data
from gradcheck.views.frames import plain_value
from gradcheck.views.numbers import counted
from gradcheck.views.record import Record
from gradcheck.views.sentence import answer

if TYPE_CHECKING:
    import pandas as pd
    from altair.typing import ChartType

# The columns of the numbers of a square, by what became of its cells.
_COUNTS = {
    "caught": Truth.CAUGHT,
    "cannot_be_told": Truth.CANNOT_BE_TOLD,
    "missed": Truth.MISSED,
    "false_alarms": Truth.FALSE_ALARM,
    "right": Truth.RIGHT,
    "truth_unknown": Truth.UNKNOWN,
}


class Figure(NamedTuple):
    """A chart, its caption, and the numbers that it draws."""

    chart: ChartType
    caption: str
    numbers: pd.DataFrame


def figures(record: Record, bins: Sequence[weight_data.Bin], cell: str | None) -> dict[str, Figure]:
    """The figures of a record by name.

    bins : the relative errors of all weights.   cell : whose weights are drawn, where there is one.
    """
    import pandas as pd

    from gradcheck.views.charts.detection import detection
    from gradcheck.views.charts.histogram import histogram
    from gradcheck.views.charts.pieces import empty
    from gradcheck.views.charts.rules import rules
    from gradcheck.views.charts.v_curve import v_curve
    from gradcheck.views.charts.weights import weights

    cells = record.cells
    rows, columns = facets.panels(cells)
    own, runs = weight_data.drawn_weights(record.weights(cell)) if cell else [], ["run"] if record.several else []
    points, curve = cell_data.rule_points(cells), cell_data.v_points(cells, runs)
    drawn: dict[str, tuple[ChartType, pd.DataFrame]] = {
        "detection": (detection(cell_data.squares(cells, rows, columns)), squares(cells, [*rows, *columns])),
        "v_curve": (v_curve(curve), _curve(curve, bool(runs))),
        "rules": (rules(points), pd.DataFrame(points).drop(columns=["row", "column"], errors="ignore")),
        "histogram": (histogram(bins), pd.DataFrame(bins).drop(columns=["start", "end"], errors="ignore")),
        "weights": (
            weights(own) if own else empty("No weights here."),
            pd.DataFrame(own).drop(columns=["row", "column"], errors="ignore"),
        ),
    }
    return {name: Figure(chart, caption(record, name, cell), numbers) for name, (chart, numbers) in drawn.items()}


def _curve(points: Sequence[cell_data.VPoint], several: bool) -> pd.DataFrame:
    import pandas as pd

    named = pd.DataFrame(points).rename(columns={"row": "run", "column": "dtype"})
    return named if several else named.drop(columns="run", errors="ignore")


def caption(record: Record, name: str, cell: str | None) -> str:
    """What a figure shows, of how many cells of which run, made with what."""
    cells = record.cells
    told = truths(cells)
    said = [captions.caption(name, cells, told)]
    if name == "detection":
        rows, columns = facets.panels(cells)
        keys = [words.column(key) for key in (*columns, *rows)]
        said += [f"Panels by {', '.join(keys)}."] if keys else []
        said.append(answer(cells, told))
    if name == "weights" and cell:
        row = record.cell(cell)
        keys = ["model", "bug", "scheme", "dtype", "eps"]
        said.append(f"Cell {cell}: {', '.join(f'{key} {words.setting(key, row[key])}' for key in keys)}.")
    computed = int((cells["status"] == "ok").sum())
    tools = record.runs[0].tools
    return " ".join([*said, f"{counted(computed, 'cell')} of {printable(record.name)}{f'; {tools}' if tools else ''}."])


def squares(cells: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """By the keys of the panels, bug and step: how many cells were caught, cannot be told, were missed, were accused."""
    done = cells[cells["status"] == "ok"]
    by = [*keys, *BASE]
    counts = done[by].assign(**{name: truths(done) == truth for name, truth in _COUNTS.items()}, cells=1)
    found = counts.groupby(by, dropna=False, sort=False)[["cells", *_COUNTS]].sum().reset_index()
    planted = found[[name for name, truth in _COUNTS.items() if truth in PLANTED]].sum(axis=1)
    found["caught_share"] = (found["caught"] / planted).where(planted > 0)
    found["eps"] = [eps_text(from_stored(plain_value(value))) for value in found["eps"]]
    return found.sort_values(by, key=lambda column: column.map(str), ignore_index=True)


def write(made: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and PNG, its caption as text, its numbers as CSV, and a BibTeX entry of the program.

    Raises BadInput where the folder cannot be written.
    """
    written = drawing.write_figures({name: figure.chart for name, figure in made.items()}, folder, "--paper")
    texts = {"gradcheck.bib": citation.bibtex()}
    for name, figure in made.items():
        texts |= {f"{name}.txt": f"{figure.caption}\n", f"{name}.csv": as_csv(figure.numbers)}
    try:
        for name, text in texts.items():
            with store.whole(folder / name) as file:
                file.write(text.encode())
            written.append(folder / name)
    except OSError as error:
        raise BadInput(f"--paper={folder}: {error.strerror or error}") from error
    return written


def as_csv(frame: pd.DataFrame) -> str:
    """Numbers as CSV.  A spreadsheet would compute text that begins like a formula: it gets an apostrophe in front."""
    made = frame.astype(object).map(_field) if len(frame.columns) else frame
    return str(made.to_csv(index=False, lineterminator="\n"))


def _field(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and len(text) > 1 else text
