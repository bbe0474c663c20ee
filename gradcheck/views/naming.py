"""What the views of some cells call a step, and a gradient without a planted bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.views.frames import plain_value
from gradcheck.views.words import MOST_STEPS, Names, names

if TYPE_CHECKING:
    import pandas as pd


def named(cells: pd.DataFrame) -> Names:
    """The names in a run with these cells, whether they were computed or not: `Tally.names` is the same, cell by cell."""
    steps = cells["eps"].unique()
    few = steps if len(steps) <= MOST_STEPS else steps[:0]
    return names(map(plain_value, few), set(cells.loc[cells["bug"] == "none", "model"].unique()))
