"""What a check takes, and how far the evaluations reach that a caller allows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.functions.calls import LAST, Calls

Array = np.ndarray

# More weights than this are checked along directions, and a sample of them entry by entry.
LARGE = 2_000
# Entries of a large function that are taken one by one in any case.
SAMPLED = 5
# Evaluations that are planned: for the noise of a function, for one direction, for one entry.  What one entry takes is then
# counted, so that a guess that is off makes the first groups smaller or larger, no more.
NOISE, DIRECTION, ENTRY = 24, 26, 6
# Entries that are taken before their cost is known.
GROUP = 4
# Calls of ``jac`` with x near x0; where ``fun`` returns both, each is one of ``fun``.
GRADIENTS = 10


def entries_taken(n: int) -> int:
    """How many of n weights are taken one by one: all, up to LARGE; then fewer, the more there are."""
    return n if n <= LARGE else max(SAMPLED, LARGE * LARGE // n)


def require_enough(calls: Calls, points: int, dtype: np.dtype[np.floating]) -> None:
    """Raise ValueError where ``max_nfev`` is too small to tell anything at some points."""
    contract = 2 + (GRADIENTS if calls.paired else 0) + (4 if calls.stacked else 0)
    if dtype == np.float32:
        contract += 2  # float64 is tried
    if points > 1:
        contract += 1  # whether the point will do
    # a call that was made already, to see what is a parameter, counts too
    least = calls.nfev + points * (contract + NOISE + DIRECTION + LAST)
    if calls.max_nfev is not None and calls.max_nfev < least:
        raise ValueError(
            f"max_nfev={calls.max_nfev}: must be at least {least}"
            + (f" for {points} points" if points > 1 else "")
            + ": the noise of fun and one direction take as many evaluations"
        )


def reaches(calls: Calls, entries: int) -> bool:
    """Whether what is left is enough for so many entries."""
    return calls.left is None or calls.left >= entries * ENTRY


def groups(calls: Calls, index: Array) -> Iterator[Array]:
    """The weights of ``index`` in groups, one after the other, as many as the evaluations that are left reach."""
    if calls.left is None:
        if len(index):
            yield index
        return
    start, cost = 0, float(ENTRY)
    while start < len(index) and calls.left >= cost:
        # twice as many as were taken so far, and no more than there is for
        size = int(min(max(GROUP, start), calls.left / cost, len(index) - start))
        before = calls.nfev
        yield index[start : start + size]
        start += size
        cost = max(1.0, (calls.nfev - before) / size)
