"""The step that is asked for: one type, one text, and null in tables for auto."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.experiment.config.form import canonical_value
from gradcheck.numerics.steps import AUTO, Step, eps_text, from_stored, stored

steps = st.one_of(st.just(AUTO), st.floats(min_value=0, exclude_min=True, allow_infinity=False))


@given(steps)
def test_a_table_gives_back_the_step_that_was_stored(step: Step) -> None:
    assert from_stored(stored(step)) == step
    assert (stored(step) is None) == (step == AUTO)


@given(steps)
def test_its_text_is_read_as_the_same_step_to_seven_digits(step: Step) -> None:
    read = canonical_value("eps", eps_text(step)) if step == AUTO else float(eps_text(step))
    # seven digits round by half of the seventh; below 1e-300 a subnormal number has fewer than that
    assert read == AUTO if step == AUTO else read == pytest.approx(step, rel=5.1e-7, abs=5e-324)


@pytest.mark.parametrize(("step", "text"), [(AUTO, "auto"), (1e-4, "1e-04"), (2.5e-7, "2.5e-07"), (1.0, "1e+00")])
def test_texts(step: Step, text: str) -> None:
    assert eps_text(step) == text


@given(steps)
def test_a_canonical_step_is_a_step(step: Step) -> None:
    made = canonical_value("eps", step)
    assert made == step
    assert made == AUTO or type(made) is float
