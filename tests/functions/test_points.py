"""Several points: wrong anywhere is wrong, right somewhere is right, and every number says at which point it was taken."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions.budget import LARGE
from gradcheck.functions.progress import Line

Array = np.ndarray


def loss(x: Array) -> Any:
    return np.sum(np.maximum(x, 0) ** 2)


def gradient(x: Array) -> Array:
    return 2 * np.maximum(x, 0)


# dead, alive, dead by a little
X0 = np.array([-3.0, 2.0, -0.01])


def by_weight(r: gradcheck.Outcome) -> list[str]:
    """The verdict of each weight from the rows at all points, by the definition; exempt is told apart."""
    frame = r.errors
    found = []
    for _, rows in frame.groupby("flat_index"):
        verdicts, reasons = rows["verdict"].tolist(), rows["reason"].tolist()
        if "mismatch" in verdicts:
            found.append("mismatch")
        elif "match" in verdicts:
            found.append("match")
        elif all(reason == "exempt" for reason in reasons):
            found.append("exempt")
        else:
            found.append(verdicts[0])
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 30), st.sampled_from([None, 0, 1, 2]))
def test_a_weight_is_what_its_points_say(k: int, seed: int, wrong: int | None) -> None:
    def jac(x: Array) -> Array:
        g = gradient(x)
        if wrong is not None:
            g[wrong] *= 1.1
        return g

    r = gradcheck.check_gradient(loss, jac, X0, points=k, seed=seed)
    frame = r.errors
    assert ("point" in frame) == (k > 1)
    if k == 1:
        return
    assert sorted(frame["point"].unique()) == list(range(k))
    assert len(frame) == 3 * k
    expected = by_weight(r)
    assert [
        ("exempt" if e == "exempt" else v) for e, v in zip(r.table["reason"], r.table["verdict"], strict=True)
    ] == expected
    counted = [v for v in expected if v != "exempt"]
    judged = sum(v in ("match", "mismatch") for v in counted)
    assert r.judged == (judged / len(counted) if counted else 0)
    assert r.verdict == ("mismatch" if "mismatch" in counted else r.verdict)
    assert (r.verdict == "match") == (bool(counted) and set(counted) == {"match"})
    # every row of the table is one of the rows of a point
    for row, point in enumerate(r.decided):
        there = r.points[point].table
        at = there["flat_index"].tolist().index(r.table["flat_index"][row])
        assert (r.table["analytic"][row], r.table["numeric"][row]) == (there["analytic"][at], there["numeric"][at])


def test_a_weight_that_is_dead_at_x0_is_judged_elsewhere() -> None:
    def wrong(x: Array) -> Array:
        g = gradient(x)
        g[2] *= 1.01
        return g

    one = gradcheck.check_gradient(loss, wrong, X0)
    assert one.ok
    r = gradcheck.check_gradient(loss, wrong, X0, points=12)
    assert r.verdict == "mismatch"
    assert "x[2] at point" in str(r)
    assert "; 12 points; " in str(r)
    assert r.worst(1)["flat_index"].tolist() == [2]
    assert gradcheck.check_gradient(loss, gradient, X0, points=12).ok


def test_the_counts_are_those_of_all_points() -> None:
    calls = [0, 0]

    def fun(x: Array) -> Any:
        calls[0] += 1
        return loss(x)

    def jac(x: Array) -> Array:
        calls[1] += 1
        return gradient(x)

    r = gradcheck.check_gradient(fun, jac, X0, points=3)
    assert [r.nfev, r.njev] == calls


def test_the_first_point_is_x0_and_the_others_are_drawn_by_the_seed_inside_bounds() -> None:
    def weights(**options: Any) -> Array:
        frame = gradcheck.check_gradient(loss, gradient, np.array([0.5, 2.0, 40.0]), **options).to_frame(full=True)
        return np.array(frame.pivot(index="point", columns="flat_index", values="weight"))

    found = weights(points=60, seed=3)
    assert np.array_equal(found[0], [0.5, 2.0, 40.0])
    spread = np.std(found[1:], axis=0)
    # the deviation of 59 draws is off by a tenth of itself, one time in three
    assert np.allclose(spread, 0.1 * np.array([1, 2, 40]), rtol=0.4)
    assert np.array_equal(found, weights(points=60, seed=3))
    assert not np.array_equal(found, weights(points=60, seed=4))
    inside = weights(points=30, bounds=[(0.45, 0.55), (2.0, None), (None, 41)])
    assert (inside >= [0.45, 2.0, -np.inf]).all()
    assert (inside <= [0.55, np.inf, 41]).all()


def tree(k: int) -> Any:
    rng = np.random.default_rng(k)
    return {"W": rng.normal(size=(2, 2)), "b": rng.normal(size=2)}


def tree_loss(p: Any) -> Any:
    return np.sum(np.sin(p["W"])) + np.sum(p["b"] ** 3)


def tree_gradient(p: Any) -> Any:
    return {"W": np.cos(p["W"]), "b": 3 * p["b"] ** 2}


@pytest.mark.parametrize(
    "points", [np.array([X0 + 4, X0 + 5]), [X0 + 4, X0 + 5], (X0 + 4, X0 + 5), [(X0 + 4).tolist(), (X0 + 5).tolist()]]
)
def test_points_are_given_as_an_array_or_as_a_list(points: Any) -> None:
    frame = gradcheck.check_gradient(loss, gradient, X0, points=points).to_frame(full=True)
    assert frame["weight"].tolist() == [*(X0 + 4), *(X0 + 5)]
    assert frame["point"].tolist() == [0, 0, 0, 1, 1, 1]


def test_points_are_structures_like_x0() -> None:
    r = gradcheck.check_gradient(tree_loss, tree_gradient, tree(0), points=[tree(1), tree(2), tree(3)])
    assert r.verdict == "match"
    assert len(r.points) == 3
    assert r.to_frame(full=True).query("point == 1 and param == 'b'")["weight"].tolist() == tree(2)["b"].tolist()


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (0, "points=0: must be a number of points >= 1"),
        (True, "must be a number of points"),
        (2.0, "must be a number of points"),
        ([], "points: there is none"),
        ([{"W": np.ones((2, 2))}], r"points\[0\]: must have the structure"),
        ([tree(1), {"W": np.ones((2, 2)), "b": np.ones(3)}], r"points\[1\]: must have the structure"),
        ([{"W": np.ones((2, 2)), "b": [np.nan, 1]}], r"points\[0\]: x0 \(b\) has an entry that is not finite"),
    ],
)
def test_points_that_do_not_fit_are_refused(points: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gradcheck.check_gradient(tree_loss, tree_gradient, tree(0), points=points)


def test_a_given_point_is_inside_bounds_and_the_function_is_finite_there() -> None:
    with pytest.raises(gradcheck.ContractError, match=r"points\[1\] lies outside bounds"):
        gradcheck.check_gradient(loss, gradient, X0, points=[X0, X0 + 9], bounds=[(-4, 4)] * 3)
    with np.errstate(all="ignore"), pytest.raises(gradcheck.ContractError, match=r"fun is inf at points\[1\]"):
        gradcheck.check_gradient(lambda x: np.sum(np.exp(x)), np.exp, X0, points=[X0, X0 + 999])


def test_random_points_stay_where_the_function_is_finite() -> None:
    x0 = np.full(3, 1e-3)  # a tenth of 1 away the logarithm is not defined, or the argument has changed its sign

    def fun(x: Array) -> float:
        if (x <= 0).any():
            raise ValueError("outside")
        return float(np.sum(np.log(x)))

    r = gradcheck.check_gradient(fun, lambda x: 1 / x, x0, points=6)
    assert r.ok, str(r)
    assert (r.to_frame(full=True)["weight"] > 0).all()


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    r = gradcheck.check_gradient(loss, gradient, X0, points=3)
    r.to_parquet(tmp_path / "points.parquet")
    frame = pd.read_parquet(tmp_path / "points.parquet")
    assert frame["point"].tolist() == r.errors["point"].tolist()
    assert frame["numeric"].tolist() == r.errors["numeric"].tolist()


def test_large_functions_have_points_too() -> None:
    x0 = np.random.default_rng(0).normal(size=20 * LARGE) / 4

    def wrong(x: Array) -> Array:
        g = np.exp(x)
        g[1234] *= np.where(x[1234] == x0[1234], 1, 1.5)
        return g

    def fun(x: Array) -> Any:
        return np.sum(np.exp(x))

    r = gradcheck.check_gradient(fun, np.exp, x0, points=2)
    assert r.verdict == "match"
    assert r.judged == 1
    r = gradcheck.check_gradient(fun, wrong, x0, points=2)
    assert r.verdict == "mismatch"
    assert r.worst(1)["flat_index"].tolist() == [1234]


# --- progress ---------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_progress_is_a_line_on_a_terminal_that_is_wiped(stream: io.StringIO) -> None:
    now = [0.0]
    line = Line(stream, lambda: now[0])
    for nfev in range(1, 2001):
        now[0] += 1e-2
        line(nfev)
    line.wipe()
    text = stream.getvalue()
    if not stream.isatty():
        assert text == ""
        return
    assert "gradcheck: 50 evaluations of fun, 1 s" in text
    assert "evaluations of fun, 20 s" in text
    # ten a second, after half a second
    assert 150 < text.count("evaluations") < 200
    assert "\n" not in text
    assert text.endswith(" \r")


def test_it_changes_no_number(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = gradcheck.check_gradient(loss, gradient, X0)
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("gradcheck.functions.progress.PATIENCE", 0.0)
    monkeypatch.setattr("gradcheck.functions.progress.REDRAW", 0.0)
    shown = gradcheck.check_gradient(loss, gradient, X0, progress=True)
    assert np.array_equal(plain.table["numeric"], shown.table["numeric"])
    assert plain.nfev == shown.nfev
    assert "evaluations of fun" in stream.getvalue()
