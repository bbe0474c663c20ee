"""The combinations that stand for the product of many choices."""

from __future__ import annotations

import itertools

from covering import covering
from hypothesis import given
from hypothesis import strategies as st

Rows = list[tuple[int, ...]]


def pairs(rows: Rows) -> set[tuple[int, int, int, int]]:
    """Which two values of which two choices are met."""
    return {(i, j, row[i], row[j]) for row in rows for i, j in itertools.combinations(range(len(row)), 2)}


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_every_two_values_meet_and_no_combination_is_there_twice(sizes: list[int]) -> None:
    every = list(itertools.product(*map(range, sizes)))
    found = covering(*map(range, sizes))
    assert pairs(found) == pairs(every)
    assert len(set(found)) == len(found) <= len(every)
    assert found == covering(*map(range, sizes))


def test_it_is_few_and_a_lost_one_would_be_seen() -> None:
    found = covering(*[range(2)] * 5)
    assert len(found) <= 8
    assert all(pairs([row for row in found if row != lost]) != pairs(found) for lost in found)


def test_one_choice_is_taken_whole() -> None:
    assert covering("abc") == [("a",), ("b",), ("c",)]
