"""The columns that a check fills: those of the schema, each once, and verdicts that come back from them as they were."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest
from exact import cell
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.columns.weights import WEIGHTS
from gradcheck.experiment.results.rows import SUMMARY
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import Logistic
from gradcheck.numerics.verdict import REASONS, VERDICTS, Judgement
from gradcheck.numerics.weight_columns import WeightColumns, judgement_of

FIGURES = [field.name for field in fields(Judgement)][:6]
rows = st.lists(
    st.tuples(*[st.floats()] * 6, st.sampled_from(VERDICTS), st.sampled_from([None, *REASONS])), min_size=1, max_size=12
)


def judgement(weights: list[tuple]) -> Judgement:
    columns = list(zip(*weights, strict=True))
    return Judgement(*(np.array(c, float) for c in columns[:6]), *(np.array(c, dtype=object) for c in columns[6:]))


def same(one: Judgement, other: Judgement) -> bool:
    """Whether two judgements are the same to the bit."""
    figures = all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in FIGURES)
    shapes = all(getattr(one, f.name).shape == getattr(other, f.name).shape for f in fields(Judgement))
    return (
        figures
        and shapes
        and one.verdict.tolist() == other.verdict.tolist()
        and one.reason.tolist() == other.reason.tolist()
    )


def test_the_columns_of_a_weight_are_those_of_the_schema() -> None:
    assert set(get_type_hints(WeightColumns)) == set(WEIGHTS.names)
    found = cell(Logistic(), Gaussian(n=8, d=3), Normal())
    assert set(found.weights) == set(WEIGHTS.names)
    assert {len(column) for column in found.weights.values() if column is not None} == {4}
    assert set(found.summary) == set(SUMMARY.names)


@given(rows)
def test_verdicts_come_back_from_columns_as_they_were(weights: list[tuple]) -> None:
    judged = judgement(weights)
    table = {f.name: getattr(judged, f.name).tolist() for f in fields(Judgement)} | {"param": ["W"] * len(weights)}
    assert same(judgement_of(table), judged)


@given(rows, st.integers(1, 5))
def test_a_judgement_put_together_from_blocks_is_the_whole(weights: list[tuple], size: int) -> None:
    judged = judgement(weights)
    filled = Judgement.empty(len(weights))
    for start in range(0, len(weights), size):
        filled.put(start, judgement(weights[start : start + size]))
    assert same(filled, judged)
    assert same(judged.one_step().at(0), judged)


@pytest.mark.parametrize("name", [field.name for field in fields(Judgement)])
def test_a_column_in_another_order_would_be_seen(name: str) -> None:
    judged = judgement([(*range(6), "match", "kink"), (*range(6, 12), "mismatch", None)])
    assert not same(replace(judged, **{name: getattr(judged, name)[::-1]}), judged)
