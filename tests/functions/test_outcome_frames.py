"""The DataFrames of an outcome: ten columns for a person, all columns on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.columns.weights import ERRORS

Array = np.ndarray

TEN = ["param", "position", "flat_index", "analytic", "numeric", "ratio", "abs_err", "bound", "verdict", "reason"]


def loss(p: dict[str, Array]) -> float:
    return float(np.sum(np.maximum(p["W"], 0) ** 2) + p["b"] ** 3)


def gradient(p: dict[str, Array]) -> dict[str, Array]:
    return {"W": 2 * np.maximum(p["W"], 0), "b": 3 * p["b"] ** 2}


def wrong(p: dict[str, Array]) -> dict[str, Array]:
    g = gradient(p)
    return {"W": g["W"] * [[1.0, 1.0], [-1.0, 1.0]], "b": 1.001 * g["b"]}


# two entries below 0, where the relu is flat
X0 = {"W": np.array([[-3.0, 1.0], [2.0, -4.0]]), "b": np.array(2.0)}


def along_directions(**settings: Any) -> gradcheck.Outcome:
    def many(x: Array) -> Array:
        g = 2 * x
        g[777] *= 2
        return g

    return gradcheck.check_gradient(lambda x: x @ x, many, np.linspace(1, 2, 3000), **settings)


OUTCOMES: dict[str, Callable[[], gradcheck.Outcome]] = {
    "one point": lambda: gradcheck.check_gradient(loss, wrong, X0),
    "several points": lambda: gradcheck.check_gradient(loss, wrong, X0, points=3),
    "a sample": lambda: gradcheck.check_gradient(loss, wrong, X0, sample=2),
    "directions": along_directions,
    "directions at two points": lambda: along_directions(points=2),
}


@cache
def outcome(name: str) -> gradcheck.Outcome:
    """One of them, measured when the first test asks for it, and not where the tests are only collected."""
    return OUTCOMES[name]()


EVERY = pytest.mark.parametrize("name", OUTCOMES)


@EVERY
def test_errors_have_ten_columns_and_the_full_frame_all(name: str) -> None:
    r = outcome(name)
    point = ["point"] if r.points else []
    assert list(r.errors.columns) == [*point, *TEN]
    assert list(r.to_frame().columns) == [*point, *TEN]
    assert list(r.to_frame(full=True).columns) == [*point, *ERRORS.names]


@EVERY
def test_both_frames_hold_the_same_rows(name: str) -> None:
    r = outcome(name)
    few, all_ = r.errors, r.to_frame(full=True)
    shared = [c for c in few.columns if c != "ratio"]
    pd.testing.assert_frame_equal(few[shared], all_[shared])
    assert len(few) == sum(len(o.table["flat_index"]) for o in r.points or [r])


@EVERY
def test_a_row_is_what_was_measured(name: str) -> None:
    r = outcome(name)
    for number, one in enumerate(r.points or [r]):
        rows = r.errors if not r.points else r.errors.query(f"point == {number}")
        for column in ("analytic", "numeric", "abs_err", "bound", "flat_index"):
            assert np.array_equal(rows[column].to_numpy(), one.table[column], equal_nan=True)  # type: ignore[literal-required]
        assert rows["verdict"].tolist() == one.table["verdict"]
        assert [None if pd.isna(v) else v for v in rows["reason"]] == one.table["reason"]
        assert rows["position"].tolist() == one.table["position"]


def test_a_row_that_is_found_can_be_used_as_an_index() -> None:
    row = outcome("one point").errors.query("verdict == 'mismatch'").iloc[0]
    assert X0[row["param"]][tuple(row["position"])] == 2.0


@settings(max_examples=25)
@given(st.lists(st.floats(-4, 4).filter(lambda v: abs(v) > 0.01), min_size=1, max_size=6))
def test_the_ratio_is_the_factor_of_a_wrong_gradient(factors: list[float]) -> None:
    c = np.array(factors)
    r = gradcheck.check_gradient(lambda x: x @ x, lambda x: 2 * c * x, np.ones(len(c)))
    # numeric is known to its bound, 1e-6 of it at least where weights are judged well
    assert np.allclose(r.errors["ratio"], c, rtol=1e-5)


def test_there_is_no_ratio_beside_a_slope_of_0() -> None:
    frame = outcome("one point").errors
    flat = frame["numeric"] == 0
    assert flat.sum() == 2
    assert frame["ratio"].isna().tolist() == flat.tolist()


def test_a_correct_gradient_has_the_ratio_1() -> None:
    frame = gradcheck.check_gradient(loss, gradient, X0).errors
    assert np.allclose(frame["ratio"].dropna(), 1, atol=1e-6)


@EVERY
def test_the_worst_rows_are_rows_of_errors(name: str) -> None:
    r = outcome(name)
    worst = r.worst(2)
    assert list(worst.columns) == list(r.errors.columns)
    pd.testing.assert_frame_equal(worst, r.errors.loc[worst.index])
    assert worst["verdict"].iloc[0] == "mismatch"


@EVERY
def test_parquet_holds_the_full_frame(name: str, tmp_path: Path) -> None:
    r = outcome(name)
    r.to_parquet(tmp_path / "r.parquet")
    stored = pd.read_parquet(tmp_path / "r.parquet")
    assert list(stored.columns) == list(r.to_frame(full=True).columns)
    assert np.array_equal(stored["numeric"], r.to_frame(full=True)["numeric"], equal_nan=True)


def test_no_weight_is_an_empty_frame_with_the_same_columns() -> None:
    r = gradcheck.check_gradient(lambda p: float(np.sum(p["x"])), lambda p: p, {"x": np.zeros(0)})
    assert list(r.errors.columns) == TEN
    assert len(r.errors) == len(r.to_frame(full=True)) == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.to_frame(True, 1), TypeError, "positional"),
        (lambda r: r.to_frame(everything=True), TypeError, "everything"),
        (lambda r: r.errors["rel_err"], KeyError, "rel_err"),
        (lambda r: setattr(r, "errors", None), AttributeError, "errors|cannot assign"),
    ],
)
def test_what_is_not_there_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(outcome("one point"))
