"""Few combinations of many choices in which still every two choices meet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any


def covering(*factors: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Combinations of one value of each factor, such that any two values of any two factors are in some combination.

    A mistake that needs two circumstances at once is met as surely as in the product of all; of five factors of two values
    this takes 6 to 8 combinations, where the product has 32.  The order depends on nothing but the numbers of values.
    """
    choices = [list(factor) for factor in factors]
    if len(choices) == 1:
        return [(value,) for value in choices[0]]
    columns = list(itertools.combinations(range(len(choices)), 2))
    open_ = {(i, a, j, b) for i, j in columns for a in range(len(choices[i])) for b in range(len(choices[j]))}
    rows: list[list[int]] = []
    while open_:
        row: list[int | None] = [None] * len(choices)
        i, a, j, b = min(open_)
        row[i], row[j] = a, b
        for k in sorted((k for k in range(len(choices)) if row[k] is None), key=lambda k: -len(choices[k])):
            row[k] = max(range(len(choices[k])), key=lambda value: (_met(open_, row, k, value), -_used(rows, k, value)))
        found = [value for value in row if value is not None]
        open_ -= {(i, found[i], j, found[j]) for i, j in columns}
        rows.append(found)
    return [tuple(choice[value] for choice, value in zip(choices, row, strict=True)) for row in rows]


def _met(open_: set[tuple[int, int, int, int]], row: list[int | None], k: int, value: int) -> int:
    """How many pairs that are still open a value adds to what is chosen."""
    return sum(
        ((i, chosen, k, value) if i < k else (k, value, i, chosen)) in open_
        for i, chosen in enumerate(row)
        if chosen is not None
    )


def _used(rows: list[list[int]], k: int, value: int) -> int:
    return sum(row[k] == value for row in rows)
