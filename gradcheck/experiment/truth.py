"""What a verdict is worth where the right gradient is known: right, a false alarm, a bug caught or missed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Nobody knows whether the gradient of somebody else's function is right, with or without a planted bug.
UNKNOWN_MODELS = ("function",)
COLUMNS = ("model", "bug_injected", "verdict", "n_missed")


class Truth(StrEnum):
    """What is known of a computed cell and its verdict."""

    RIGHT = "right"  # a correct gradient that was not accused
    FALSE_ALARM = "false alarm"  # a correct gradient that was
    CAUGHT = "caught"  # a planted bug that was accused
    MISSED = "missed"  # a planted bug in a weight that was judged a match although the numbers show it
    CANNOT_BE_TOLD = "cannot be told"  # a planted bug that no number shows
    UNKNOWN = "unknown"  # nobody knows whether the gradient was right

    @property
    def planted(self) -> bool:
        """Whether the cell has a planted bug."""
        return self in PLANTED


PLANTED = (Truth.CAUGHT, Truth.MISSED, Truth.CANNOT_BE_TOLD)


def truth(row: Mapping[str, object]) -> Truth:
    """The truth of a row of ``cells`` that has COLUMNS."""
    if row["model"] in UNKNOWN_MODELS:
        return Truth.UNKNOWN
    accused = row["verdict"] == "mismatch"
    if not row["bug_injected"]:
        return Truth.FALSE_ALARM if accused else Truth.RIGHT
    if accused:
        return Truth.CAUGHT
    return Truth.MISSED if row["n_missed"] else Truth.CANNOT_BE_TOLD


def truths(cells: pd.DataFrame) -> pd.Series:
    """The truths of the rows of a frame that has COLUMNS, as words.  ``truth``, row by row, is the definition."""
    import pandas as pd

    planted = cells["bug_injected"].fillna(False).astype(bool)
    accused = cells["verdict"] == "mismatch"
    missed = cells["n_missed"].fillna(0).astype(int) > 0
    found = pd.Series(str(Truth.RIGHT), index=cells.index, dtype=object)
    found[accused] = str(Truth.FALSE_ALARM)
    found[planted] = str(Truth.CANNOT_BE_TOLD)
    found[planted & missed] = str(Truth.MISSED)
    found[planted & accused] = str(Truth.CAUGHT)
    found[cells["model"].isin(UNKNOWN_MODELS)] = str(Truth.UNKNOWN)
    return found
