"""What each chart shows, as the caption of a figure in a paper says it.

The page composes its captions in the same way (``assets/captions.js``), of the same sentences and what it has chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from gradcheck.experiment.truth import PLANTED, Truth
from gradcheck.views import facets, words
from gradcheck.views.axes import BASE
from gradcheck.views.charts import cell_data
from gradcheck.views.numbers import counted

if TYPE_CHECKING:
    import pandas as pd

CHARTS: Final = {
    "detection": "What became of the cells, by step eps.",
    "rules": (
        "Rules of checkers on the same analytic and numeric gradients: the share of correct gradients that a rule accuses"
        " (false alarms) and the share of planted bugs that it accuses (caught). In the upper left corner a rule catches"
        " every bug and accuses no correct gradient. gradcheck is the verdict of the run itself."
    ),
    "v_curve": (
        "Error of the numeric gradient against the step eps. Of each cell without a planted bug the median over its weights"
        " is taken, and of these the median for each scheme and step: of the observed error (rel_err, solid) and of the"
        " bound (bound / max(|analytic|, |numeric|), dashed). An error as large as its bound lies up to a factor of 2 below"
        " the dashed line, since rel_err divides by the sum |analytic| + |numeric|."
    ),
    "histogram": "Relative errors of all weights by verdict, in bins of half a decade.",
    "weights": (
        "Analytic and numeric gradient of the weights of one cell, with the band numeric ± bound (above), and their"
        f" difference with the band that a correct gradient can show (below). A band with the sign {cell_data.INFINITE} has"
        " no edge: the bound of its weight is infinite."
    ),
}
# What else is said where it is there.  The first three are of the cells of which the truth is known, and of the others.
SENTENCES: Final = {
    "planted": (
        "With a planted bug, the share that was caught (a weight is judged mismatch), that cannot be told (no number shows"
        " the bug), and that was missed (a wrong weight is judged match although the numbers show it)."
    ),
    "correct": (
        f"In the row “{words.NO_BUG}”, the share of correct gradients that were accused (false alarms), and of those that"
        f" were {words.NOT_ENOUGH} to be ok; the rest is blank."
    ),
    "unknown": (
        "Of gradients that nobody knows to be right or wrong, the share that is a mismatch, and of those without a planted"
        f" bug that were {words.NOT_ENOUGH} to be ok; the rest is blank."
    ),
    "minimum": "Left of the minimum truncation is most of the error, right of it rounding.",
    "auto": "Right of the least step stands eps=auto, which has no line: a sign for the error, a dash for the bound.",
    "no_plane": "The plane of the rules needs cells with a planted bug and cells without one: there are not both here.",
    "bounds_alone": "Every cell has a planted bug: there are bounds alone.",
    cell_data.INFINITE: (
        f"{cell_data.INFINITE}: the bound is infinite in half of the weights, since none can be given there or both"
        " gradients are 0."
    ),
    cell_data.ZERO: f"{cell_data.ZERO}: the median is 0, which a logarithmic axis has no place for.",
}
# What takes the cells of several values of a key together.
EACH: Final = {"detection": "Each square", "v_curve": "Each median", "rules": "Each dot"}
CURVE: Final = 3  # steps of which one may be a minimum between two others


class Shown(NamedTuple):
    """What a chart shows, as far as its caption depends on it.

    sentences : names of SENTENCES.   panels, together : the keys that make panels, and those whose values are taken together.
    """

    sentences: Sequence[str] = ()
    panels: Sequence[str] = ()
    together: Sequence[str] = ()


def shown(name: str, cells: pd.DataFrame, told: pd.Series) -> Shown:
    """What a chart of all these cells shows.  told : the truth of each."""
    if name == "detection":
        there = set(told[cells["status"] == "ok"])
        kinds = {"planted": PLANTED, "correct": (Truth.RIGHT, Truth.FALSE_ALARM), "unknown": (Truth.UNKNOWN,)}
        said = [kind for kind, of in kinds.items() if there & {str(truth) for truth in of}]
        rows, columns = facets.panels(cells)
        return Shown(said, [*columns, *rows], facets.together(cells, [*BASE, *columns, *rows]))
    if name == "v_curve":
        own = cell_data.of_curves(cells)
        rows, columns = curve_panels(cells)
        points = cell_data.v_points(cells, rows, columns)
        said = ["bounds_alone"] if bool(own["bug_injected"].fillna(False).any()) else []
        said += ["minimum"] if not said and own["eps"].nunique() >= CURVE else []
        said += ["auto"] if any(one["eps"] is None for one in points) else []
        said += [sign for sign in (cell_data.INFINITE, cell_data.ZERO) if any(one["beyond"] == sign for one in points)]
        return Shown(said, [*columns, *rows], facets.together(own, ["scheme", "eps", *columns, *rows]))
    if name == "rules" and not any(one["correct"] and one["planted"] for one in cell_data.rule_points(cells)):
        return Shown(["no_plane"])
    return Shown((), (), facets.together(cells, ()) if name in EACH else ())


def curve_panels(cells: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The keys that make the rows and the columns of the V curve of these cells: schemes are told apart by colour."""
    return facets.panels(cell_data.of_curves(cells), ("scheme",))


def describing(name: str, of: Shown) -> str:
    """What a chart shows and how it is to be read."""
    # a chart that is not there has no caption that describes it
    said = [*([] if "no_plane" in of.sentences else [CHARTS[name]]), *(SENTENCES[one] for one in of.sentences)]
    said += [f"Panels by {listed(of.panels)}."] if of.panels else []
    said += [f"{EACH[name]} takes all values of {listed(of.together)} together."] if of.together else []
    return " ".join(said)


def source(computed: int, run: str, tools: str) -> str:
    """Of what a chart is made: of so many cells of which run, made with which tools."""
    return f"{counted(computed, 'cell')} of {run}{f'; {tools}' if tools else ''}."


def listed(keys: Sequence[str]) -> str:
    """Keys as a sentence names them."""
    return ", ".join(map(words.column, keys))
