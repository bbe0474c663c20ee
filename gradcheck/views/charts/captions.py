"""What each chart shows, as the caption of a figure in a paper says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gradcheck.experiment.truth import PLANTED, Truth
from gradcheck.views import words

if TYPE_CHECKING:
    import pandas as pd

CAPTIONS: Final[Mapping[str, str]] = {
    "detection": "What became of the cells, by step eps.",
    "rules": (
        "Rules of checkers on the same analytic and numeric gradients: the share of correct gradients that a rule accuses"
        " (false alarms) and the share of planted bugs that it accuses (caught). In the upper left corner a rule catches"
        " every bug and accuses no correct gradient. gradcheck is the verdict of the run itself."
    ),
    "v_curve": (
        "Error of the numeric gradient against the step eps, medians over the cells without a planted bug: the observed"
        " error (rel_err, solid) and the bound (bound / max(|analytic|, |numeric|), dashed)."
    ),
    "histogram": "Relative errors of all weights by verdict, in bins of half a decade.",
    "weights": (
        "Analytic and numeric gradient of the weights of one cell, with the band numeric ± bound (above), and their"
        " difference with the band that a correct gradient can show (below)."
    ),
}
# What the picture of squares shows of the cells of which the truth is known, and of the others.
_PLANTED: Final = (
    "With a planted bug, the share that was caught (a weight is judged mismatch), that cannot be told (no number shows the"
    " bug), and that was missed (a wrong weight is judged match although the numbers show it)."
)
_CORRECT: Final = (
    f"In the row “{words.NO_BUG}”, the share of correct gradients that were accused (false alarms), and of those that were"
    f" {words.NOT_ENOUGH} to be ok; the rest is blank."
)
_UNKNOWN: Final = (
    "Of gradients that nobody knows to be right or wrong, the share that is a mismatch, and of those without a planted bug"
    f" that were {words.NOT_ENOUGH} to be ok; the rest is blank."
)
_MINIMUM: Final = "Left of the minimum rounding is most of the error, right of it truncation."
_CURVE = 3  # steps of which one may be a minimum between two others


def caption(name: str, cells: pd.DataFrame, told: pd.Series) -> str:
    """What a chart shows of these cells.  told : the truth of each."""
    computed = cells["status"] == "ok"
    said = [CAPTIONS[name]]
    if name == "detection":
        there = set(told[computed])
        for text, of in (
            (_PLANTED, PLANTED),
            (_CORRECT, (Truth.RIGHT, Truth.FALSE_ALARM)),
            (_UNKNOWN, (Truth.UNKNOWN,)),
        ):
            said += [text] if there & {str(truth) for truth in of} else []
    if name == "v_curve" and cells.loc[computed, "eps"].nunique() >= _CURVE:
        said.append(_MINIMUM)
    return " ".join(said)
