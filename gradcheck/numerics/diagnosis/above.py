"""The hypothesis that what is wrong nearest the loss has a pattern, and what is wrong below it is so because of it."""

from __future__ import annotations

from collections.abc import Callable

from gradcheck.numerics.diagnosis import factors, orders, ratios
from gradcheck.numerics.diagnosis.evidence import Evidence
from gradcheck.numerics.diagnosis.kinds import Diagnosis

# How many of the lowest wrong parameters may have no pattern.
LEFT = 24
PATTERNS: tuple[Callable[[Evidence], Diagnosis | None], ...] = (
    factors.factors,
    orders.transposed,
    orders.flipped,
    orders.blocks,
    ratios.of_each_slice,
)


def above(e: Evidence) -> Diagnosis | None:
    """The wrong parameters that stand last, as those nearest the loss do, have a pattern, and those before them have none."""
    for k in range(1, min(len(e.broken), LEFT + 1)):
        some = e.without(e.broken[:k])
        for pattern in PATTERNS:
            found = pattern(some)
            if found is not None:
                return found
    return None
