"""The quantile by which a measured deviation becomes a bound."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.numerics.measured.student import TABLE, quantile

t = pytest.importorskip("scipy.stats").t


@given(degrees=st.floats(3.0, 1e6))
def test_it_is_that_of_students_t_at_a_ten_millionth(degrees: float) -> None:
    # between the rows of the table log t is linear in 1 / degrees, to 3%
    assert quantile(degrees) == pytest.approx(t.isf(0.5e-7, degrees), rel=0.03)


@pytest.mark.parametrize(("degrees", "expected"), TABLE)
def test_the_rows_of_the_table_are_those_of_scipy(degrees: float, expected: float) -> None:
    known = t.isf(0.5e-7, degrees if math.isfinite(degrees) else 1e9)
    assert expected == pytest.approx(known, rel=1e-3)
    assert quantile(degrees) == pytest.approx(expected, rel=1e-12)


@given(st.floats(3.0, 1e4), st.floats(1.0, 10.0))
def test_better_knowledge_never_makes_a_bound_larger(degrees: float, more: float) -> None:
    assert quantile(degrees * more) <= quantile(degrees) * (1 + 1e-12)


def test_fewer_than_three_degrees_count_as_three() -> None:
    assert quantile(0.5) == quantile(3.0)
