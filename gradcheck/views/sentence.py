"""What cells say, in a sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.experiment.truth import COLUMNS, UNKNOWN_MODELS, truths
from gradcheck.views import words

if TYPE_CHECKING:
    import pandas as pd


def answer(cells: pd.DataFrame, told: pd.Series | None = None) -> str:
    """``No false alarm. 1,226 of 1,680 planted bugs caught, 445 could not be told, 9 missed.``

    told : the truth of each cell, where it is known already.
    """
    computed = cells["status"] == "ok"
    done = cells.loc[computed, list(COLUMNS)]
    of = truths(done) if told is None else told[computed]
    counts = {str(truth): int(n) for truth, n in of.value_counts().items()}
    own = done[done["model"].isin(UNKNOWN_MODELS) & ~done["bug_injected"].fillna(False).astype(bool)]
    return words.answer(counts, {str(verdict): int(n) for verdict, n in own["verdict"].value_counts().items()})
