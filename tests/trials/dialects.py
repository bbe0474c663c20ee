"""Random tables in random dialects: each is read to the bit, or refused in one line that names the cure."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.dialects import outcome, written

from .kills import Failure


def trial(folder: Path, tables: int) -> str:
    """Write and read so many tables, as they are and with what is said of them."""
    read = cured = doubtful = 0
    for seed in range(tables):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            table = written(random.Random(seed), Path(own))
            try:
                bare, said = outcome(table), outcome(table, **table.given)
                if said != "read" and not table.doubtful:
                    raise AssertionError(f"refused though it is said how it is written: {said}")
            except AssertionError as error:
                raise Failure(f"table {seed}: {error}") from None
            read += bare == "read"
            cured += bare != "read" and said == "read"
            doubtful += bare != "read" and said != "read"
    return (
        f"{tables} tables: {read} read as they are, {cured} refused with what to type and read with it, {doubtful} refused"
        " that no setting can save; none misread"
    )
