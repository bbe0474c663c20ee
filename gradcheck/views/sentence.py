"""What cells say, in a sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.experiment.truth import COLUMNS, UNKNOWN_MODELS, Truth, truths
from gradcheck.views import words

if TYPE_CHECKING:
    import pandas as pd


def answer(cells: pd.DataFrame, told: pd.Series | None = None) -> str:
    """``No false alarm. 1,226 of 1,680 planted bugs caught, 445 could not be told, 9 missed.``

    told : the truth of each cell, where it is known already.
    """
    computed = cells["status"] == "ok"
    done = cells.loc[computed, [*COLUMNS, "ok"]]
    of = truths(done) if told is None else told[computed]
    counts = {str(truth): int(n) for truth, n in of.value_counts().items()}
    own = done[done["model"].isin(UNKNOWN_MODELS) & ~done["bug_injected"].fillna(False).astype(bool)]
    verdicts = {str(verdict): int(n) for verdict, n in own["verdict"].value_counts().items()}
    right = done[of == Truth.RIGHT]
    # a run of version 1 does not say which cells are ok
    little = int((~right["ok"].fillna(True).astype(bool)).sum())
    return words.answer(counts, verdicts, little, int(right["verdict"].isin(words.UNJUDGED).sum()))
