"""A run as figures for a paper: each with its caption and its numbers, and how to cite the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gradcheck.columns import store
from gradcheck.errors import BadInput
from gradcheck.experiment.truth import PLANTED, Truth, truths
from gradcheck.numerics.steps import AUTO
from gradcheck.printable import printable
from gradcheck.views import again, citation, facets, words
from gradcheck.views.axes import BASE, SECTIONS, axes
from gradcheck.views.charts import captions, cell_data, drawing, weight_data
from gradcheck.views.frames import plain_value
from gradcheck.views.record import Record
from gradcheck.views.sentence import answer
from gradcheck.views.tally import in_order

if TYPE_CHECKING:
    import pandas as pd
    from altair.typing import ChartType

# The columns of the numbers of a square: how many of its cells have each of the shares of the picture, and none of them.
_COUNTS = {
    "caught": Truth.CAUGHT,
    "cannot_be_told": Truth.CANNOT_BE_TOLD,
    "missed": Truth.MISSED,
    "false_alarms": Truth.FALSE_ALARM,
    "mismatch_truth_unknown": Truth.UNKNOWN,
    "not_judged_enough": words.NOT_ENOUGH,
    "not_accused": words.NOT_ACCUSED,
}
_SECTIONS = tuple(f"{section}_" for section in SECTIONS)


class Figure(NamedTuple):
    """A chart, its caption, and the numbers that it draws."""

    chart: ChartType
    caption: str
    numbers: pd.DataFrame


def figures(record: Record, bins: Sequence[weight_data.Bin], cell: str | None) -> dict[str, Figure]:
    """The figures of a record by name.

    bins : the relative errors of all weights.   cell : whose weights are drawn, where there is one.
    """
    from gradcheck.views.charts.detection import detection
    from gradcheck.views.charts.histogram import histogram
    from gradcheck.views.charts.pieces import empty
    from gradcheck.views.charts.rules import rules
    from gradcheck.views.charts.v_curve import v_curve
    from gradcheck.views.charts.weights import weights

    cells = record.cells
    rows, columns = facets.panels(cells)
    curve_rows, curve_columns = captions.curve_panels(cells)
    stored, points = record.weights(cell) if cell else None, cell_data.rule_points(cells)
    own = [] if stored is None else weight_data.drawn_weights(stored)
    drawn: dict[str, tuple[ChartType, pd.DataFrame]] = {
        "detection": (
            detection(cell_data.squares(cells, rows, columns)),
            in_words(squares(cells, [*columns, *rows]), record.names),
        ),
        "v_curve": (
            v_curve(cell_data.v_points(cells, curve_rows, curve_columns)),
            in_words(cell_data.medians(cell_data.of_curves(cells), [*curve_columns, *curve_rows]), record.names),
        ),
        "rules": (rules(points), _numbers(points, alarms="false_alarm_share", found="caught_share")),
        "histogram": (histogram(bins), _numbers(bins)),
        "weights": (
            weights(own) if own else empty("No weights here."),
            _as_stored(_numbers(own, order="flat_index"), stored) if stored is not None and own else _numbers(own),
        ),
    }
    return {name: Figure(chart, caption(record, name, cell), numbers) for name, (chart, numbers) in drawn.items()}


def _numbers(rows: Sequence[Mapping[str, object]], **names: str) -> pd.DataFrame:
    """The numbers of a chart, without the places where they are drawn."""
    import pandas as pd

    made = pd.DataFrame(rows).drop(columns=["row", "column", "start", "end"], errors="ignore").rename(columns=names)
    return made.replace({"verdict": words.VERDICT_WORDS}) if "verdict" in made else made


def _as_stored(drawn: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """The weights that are drawn, with all of their numbers: a chart has no place for those that are not finite."""
    names = ["analytic", "numeric", "abs_err", "bound"]
    stored = weights.drop_duplicates("flat_index").set_index("flat_index")[names].loc[drawn["flat_index"]]
    return drawn.assign(**{name: stored[name].to_numpy() for name in names})


def caption(record: Record, name: str, cell: str | None) -> str:
    """What a figure shows, of how many cells of which run, made with what."""
    cells = record.cells
    told = truths(cells)
    said = [captions.describing(name, captions.shown(name, cells, told))]
    if name == "detection":
        said.append(answer(cells, told))
    if name == "weights" and cell:
        said.append(of_cell(record, cell))
    return " ".join([*said, captions.source(int((cells["status"] == "ok").sum()), again.names(record), record.tools)])


def of_cell(record: Record, cell: str) -> str:
    """A cell with its settings, its verdict, and what is said of it."""
    row, found = record.cell(cell), axes(record.cells)
    keys = dict.fromkeys((*BASE, *found.names, *facets.ALWAYS, *found.seeds))
    settings = [facets.told(key, row[key], record.names) for key in keys]
    return f"Cell {cell}: {', '.join(settings)}; {row['verdict']}. {printable(row['diagnosis'] or '')}".rstrip()


def squares(cells: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """By the keys of the panels, bug and step: how many cells were caught, cannot be told, were missed, were accused."""
    done = cells[cells["status"] == "ok"]
    by, became = [*keys, *BASE], cell_data.became(done)
    counts = done[by].assign(**{name: became == what for name, what in _COUNTS.items()}, cells=1)
    found = counts.groupby(by, dropna=False, sort=False)[["cells", *_COUNTS]].sum().reset_index()
    planted = found[[name for name, truth in _COUNTS.items() if truth in PLANTED]].sum(axis=1)
    found["caught_share"] = (found["caught"] / planted).where(planted > 0)
    order = [
        [in_order(name, plain_value(value)) for name, value in zip(by, row, strict=True)] for row in found[by].values
    ]
    return found.iloc[sorted(range(len(found)), key=order.__getitem__)].reset_index(drop=True)


def in_words(frame: pd.DataFrame, names: words.Names) -> pd.DataFrame:
    """Settings as a command line names them, with values in the words of all views; a step has all its digits."""
    made = frame.astype({name: object for name in BASE if name in frame})
    if "eps" in made:
        made["eps"] = [_digits(plain_value(value)) for value in frame["eps"]]
    if "bug" in made:
        made["bug"] = [words.setting("bug", value, names) for value in frame["bug"]]
    return made.rename(columns={name: words.column(name) for name in frame if name.startswith(_SECTIONS)})


def _digits(step: float | None) -> str:
    """``1e-04``, ``3.1622776601683795e-02``: as the page has it in a CSV."""
    return AUTO if step is None else np.format_float_scientific(step, trim="-", exp_digits=2)


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
