"""What each chart shows, as the caption of a figure in a paper says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CAPTIONS: Final[Mapping[str, str]] = {
    "detection": (
        "What became of the cells with each planted bug, by step eps: the share that was caught (a weight is judged"
        " mismatch), that cannot be told (no number shows the bug), and that was missed (a wrong weight is judged match"
        " although the numbers show it). In the row “no bug” the share of correct gradients that were accused (false"
        " alarms); of the others, which are white, too little may have been judged for them to be ok."
    ),
    "rules": (
        "Rules of checkers on the same analytic and numeric gradients: the share of correct gradients that a rule accuses"
        " (false alarms) and the share of planted bugs that it accuses (caught). In the upper left corner a rule catches"
        " every bug and accuses no correct gradient. gradcheck is the verdict of the run itself."
    ),
    "v_curve": (
        "Error of the numeric gradient against the step eps, medians over the cells without a planted bug: the observed"
        " error (rel_err, solid) and the bound (bound / max(|analytic|, |numeric|), dashed). Left of the minimum rounding"
        " is most of the error, right of it truncation."
    ),
    "histogram": "Relative errors of all weights by verdict, in bins of half a decade.",
    "weights": (
        "Analytic and numeric gradient of the weights of one cell, with the band numeric ± bound (above), and their"
        " difference with the band that a correct gradient can show (below)."
    ),
}
