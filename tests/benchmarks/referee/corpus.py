"""The corpus: functions of the zoo, reported mistakes and nets of layers, right and wrong, in two dtypes, at many points.

What cannot be evaluated in its dtype is left out, and so is a mistake that leaves its gradient as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.errors import Meaningless, NoEffect
from tests.benchmarks.referee import nets, zoo
from tests.benchmarks.referee.case import Case
from tests.benchmarks.referee.entry import Entry

# A planted error of a float32 gradient that is smaller may be gone when the gradient is rounded.
SMALLEST_FLOAT32 = 1e-6


def planned() -> list[Entry]:
    """Every entry of which there is a case; those of one source lie apart, so that any part of the list has all kinds."""
    return sorted((entry for entry in _all() if _is_there(entry)), key=lambda entry: entry.id)


def case(entry: Entry) -> Case:
    """The case that an entry draws.  Raises Meaningless or NoEffect where there is none."""
    with np.errstate(all="ignore"):
        found = zoo.case(entry) if entry.source == zoo.SOURCE else nets.case(entry)
        value, claim = found.fun(found.x), found.claim
        if not (np.isfinite(value) and np.isfinite(claim).all() and np.isfinite(found.correct).all()):
            raise Meaningless(f"{entry.family}: not finite in {entry.dtype}")
        if entry.wrong and found.size <= (SMALLEST_FLOAT32 if entry.dtype == "float32" else 0.0):
            raise NoEffect(f"{entry.family}: no effect here")
    return found


def _all() -> Iterator[Entry]:
    yield from zoo.entries()
    yield from nets.entries()


def _is_there(entry: Entry) -> bool:
    try:
        case(entry)
    except (Meaningless, NoEffect, ArithmeticError):
        return False
    return True
