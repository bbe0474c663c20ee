"""Which row, column or entry alone is wrong, or alone is right: what a look at each in turn finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradcheck.numerics.diagnosis.penalties import line

SHAPES = array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5)


def one_by_one(wrong: np.ndarray, shown: np.ndarray) -> tuple[int, int, bool] | None:
    """The same by its definition; of a vector of n entries it takes n**2 steps."""
    for axis in range(wrong.ndim):
        for k in range(wrong.shape[axis]):
            inside = np.zeros(wrong.shape, dtype=bool)
            inside[(slice(None),) * axis + (k,)] = True
            if (wrong == inside)[shown].all() and (wrong & inside).any():
                return axis, k, True
            if (wrong == ~inside)[shown].all() and (shown & inside).any():
                return axis, k, False
    return None


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Errors anywhere, or in one line, or everywhere but there, with or without one entry more or less."""
    shape = draw(SHAPES)
    wrong = draw(arrays(bool, shape))
    if wrong.size and draw(st.booleans()):
        axis = draw(st.integers(0, wrong.ndim - 1))
        wrong[...] = spared = draw(st.booleans())
        wrong[(slice(None),) * axis + (draw(st.integers(0, shape[axis] - 1)),)] = not spared
        if draw(st.booleans()):
            wrong.flat[draw(st.integers(0, wrong.size - 1))] ^= True
    return wrong, draw(st.one_of(st.just(np.ones(shape, dtype=bool)), arrays(bool, shape)))


@settings(max_examples=500)
@given(cases())
def test_the_line_is_the_one_that_a_look_at_each_finds(case: tuple[np.ndarray, np.ndarray]) -> None:
    assert line(*case) == one_by_one(*case)


def test_a_long_vector_is_looked_through_once() -> None:
    wrong = np.zeros(3_000_000, dtype=bool)
    wrong[1_234_567] = True
    shown = np.ones(wrong.shape, dtype=bool)
    assert line(wrong, shown) == (0, 1_234_567, True)
    assert line(~wrong, shown) == (0, 1_234_567, False)
    wrong[7] = True
    assert line(wrong, shown) is None


def test_other_shapes_have_no_lines() -> None:
    assert line(np.ones((2, 2, 2), dtype=bool), np.ones((2, 2, 2), dtype=bool)) is None
