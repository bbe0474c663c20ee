"""Arrow arrays made buffer by buffer are those that pyarrow itself makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.columns import arrow

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
COLUMNS = {
    "texts": (arrow.texts, pa.string(), st.none() | TEXT),
    "counts": (arrow.counts, pa.int64(), st.none() | INT64),
    "flags": (arrow.flags, pa.bool_(), st.none() | st.booleans()),
    "positions": (arrow.positions, pa.list_(pa.int32()), st.lists(st.integers(0, 2**31 - 1), max_size=3)),
}


@pytest.mark.parametrize("name", COLUMNS)
@given(data=st.data())
def test_a_column_is_what_pyarrow_makes_of_the_same_values(name: str, data: st.DataObject) -> None:
    make, kind, value = COLUMNS[name]
    values: list[Any] = data.draw(st.lists(value, max_size=70))
    made: pa.Array = make(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))
    assert made.null_count == values.count(None)
    assert made.to_pylist() == values


@given(values=st.lists(st.floats(), max_size=70), known=st.randoms(use_true_random=False))
def test_reals_keep_every_bit_and_are_null_where_not_valid(values: list[float], known: Any) -> None:
    valid = np.array([known.random() < 0.7 for _ in values], dtype=bool)
    made = arrow.reals(values, valid)
    made.validate(full=True)
    expected = pa.array([v if ok else None for v, ok in zip(values, valid, strict=True)], pa.float64())
    assert made.is_null().equals(expected.is_null())
    kept = np.asarray(made.fill_null(0.0)).view(np.uint64)
    assert (kept == np.asarray(expected.fill_null(0.0)).view(np.uint64)).all()
    assert arrow.reals(values).null_count == 0


def test_counts_of_a_numpy_array_are_those_of_its_list() -> None:
    values = np.arange(9, dtype=np.int32)[::2]
    assert arrow.counts(values).equals(arrow.counts(values.tolist()))


def test_a_column_that_is_too_long_for_its_offsets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_LARGEST", 10)
    assert len(arrow.texts(["ten bytes."])) == 1
    with pytest.raises(pa.ArrowCapacityError, match="11 entries"):
        arrow.texts(["ten bytes.", "x"])
