"""``max_nfev`` is never exceeded; what it does not reach is a sample, or says that more would help."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.functions.budget import LARGE
from gradcheck.functions.directions.outcome import DirectionalOutcome

Array = np.ndarray


class Counted:
    """sum of exp(x), of cosines, ... with its gradient; ``calls`` counts the points at which the function is called."""

    def __init__(self, kind: str = "exp", both: bool = False, wrong: int | None = None, stacked: bool = False) -> None:
        self.calls, self.both, self.wrong, self.stacked = 0, both, wrong, stacked
        self.value, self.slope = {
            "exp": (np.exp, np.exp),
            "sin": (np.sin, np.cos),
            "root": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
            "raises": (self.log, lambda x: 1 / x),
            "flat": (lambda x: 0 * x + 0.5, lambda x: 0 * x + 1e-3),
            "kink": (np.abs, np.sign),
            "noise": (lambda x: np.round(np.exp(x), 4), np.exp),
        }[kind]

    def log(self, x: Array) -> Array:
        if (x <= 0).any():
            raise ValueError("outside the domain")
        return np.log(x)

    def fun(self, x: Array) -> Any:
        self.calls += len(x) if self.stacked else 1
        value = np.sum(self.value(x), axis=1 if self.stacked else None)
        return (value, self.jac(x)) if self.both else value

    def jac(self, x: Array) -> Array:
        g = np.asarray(self.slope(x), float).copy()
        if self.wrong is not None:
            g[self.wrong % len(g)] += 0.1
        return g


KINDS = ["exp", "sin", "root", "raises", "flat", "kink", "noise"]


def least(fun: Any, jac: Any, x0: Array, **options: Any) -> int:
    with pytest.raises(ValueError, match=r"^max_nfev=1: must be at least \d+") as error:
        gradcheck.check_gradient(fun, jac, x0, **options, max_nfev=1)
    found = re.search(r"at least (\d+)", str(error.value))
    assert found
    return int(found[1])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([1, 2, 7, 40]),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([None, 3]),
    st.sampled_from(["auto", 1e-4]),
    st.sampled_from(["central", "five_point", "forward"]),
    st.sampled_from([None, 3]),
    st.integers(0, 99),
)
def test_fun_is_never_called_more_often_than_that(
    kind: str,
    n: int,
    share: float,
    both: bool,
    wrong: int | None,
    eps: Any,
    scheme: Any,
    points: int | None,
    seed: int,
) -> None:
    """The planted fault is any call that is not counted, at an edge of a domain, on a plateau, in the search of an entry."""
    x0 = np.random.default_rng(seed).uniform(0.5, 1.5, n)
    c = Counted(kind, both, wrong)
    options: dict[str, Any] = {"eps": eps, "scheme": scheme, "points": points, "seed": seed}
    jac = True if both else c.jac
    small = least(c.fun, jac, x0, **options)
    assert c.calls == 0
    limit = small + int(share * 30 * min(n, 60))
    r = None
    try:
        r = gradcheck.check_gradient(c.fun, jac, x0, **options, max_nfev=limit)
    except gradcheck.ContractError:
        assert kind == "flat"
    assert c.calls <= limit
    if r is not None:
        assert r.nfev == c.calls
        if wrong is None and kind in ("exp", "sin", "root"):
            assert r.verdict != "mismatch"


@pytest.mark.parametrize("kind", ["exp", "raises"])
@pytest.mark.parametrize("limit", [80, 131, 400])
def test_nor_a_vectorized_one(kind: str, limit: int) -> None:
    c = Counted(kind, stacked=True)
    r = gradcheck.check_gradient(c.fun, lambda x: c.slope(x), np.full(5, 1e-3), vectorized=True, max_nfev=limit)
    assert r.nfev == c.calls <= limit


@pytest.mark.parametrize("n", [1, 2, 30, 500, LARGE + 1])
@pytest.mark.parametrize("both", [False, True])
def test_the_least_number_is_enough_for_a_verdict_and_one_less_is_refused(n: int, both: bool) -> None:
    x0 = np.random.default_rng(n).uniform(0.5, 1.5, n)
    c = Counted("exp", both)
    jac = True if both else c.jac
    small = least(c.fun, jac, x0)
    with pytest.raises(ValueError, match=f"max_nfev={small - 1}: must be at least {small}: the noise of fun"):
        gradcheck.check_gradient(c.fun, jac, x0, max_nfev=small - 1)
    assert gradcheck.check_gradient(c.fun, jac, x0, max_nfev=small).verdict == "match"


@pytest.mark.parametrize("n", [50, 500])
def test_where_it_does_not_reach_all_entries_directions_are_taken_and_a_wrong_entry_is_still_seen(n: int) -> None:
    x0 = np.random.default_rng(n).uniform(0.5, 1.5, n)
    right, wrong = Counted("exp"), Counted("exp", wrong=17)
    r = gradcheck.check_gradient(right.fun, right.jac, x0, max_nfev=150)
    assert isinstance(r, DirectionalOutcome)
    assert (r.verdict, r.judged) == ("match", 1.0)
    assert 0 < len(r.table["verdict"]) < n
    # the budget was asked for, so that strict does not ask for more
    gradcheck.assert_gradient(right.fun, right.jac, x0, max_nfev=150, strict=True)
    assert gradcheck.check_gradient(wrong.fun, wrong.jac, x0, max_nfev=150).verdict == "mismatch"


def test_where_it_reaches_all_nothing_changes() -> None:
    x0 = np.random.default_rng(0).uniform(0.5, 1.5, 20)
    c = Counted("exp")
    plain = gradcheck.check_gradient(c.fun, c.jac, x0)
    found = gradcheck.check_gradient(c.fun, c.jac, x0, max_nfev=10_000)
    assert found.verdict == plain.verdict
    assert len(found.table["verdict"]) == 20
    assert len(gradcheck.check_gradient(c.fun, c.jac, x0, max_nfev=10_000, sample=7).table["verdict"]) == 7


def test_outputs_that_it_does_not_reach_are_a_sample() -> None:
    A = np.random.default_rng(0).normal(size=(3, 40))
    calls = [0]

    def fun(x: Array) -> Array:
        calls[0] += 1
        return np.sin(A @ x)

    r = gradcheck.check_gradient(fun, lambda x: np.cos(A @ x)[:, None] * A, np.ones(40) / 9, max_nfev=120)
    assert calls[0] == r.nfev <= 120
    assert r.verdict == "match", str(r)
    assert 0 < len(r.table["verdict"]) < 120
    assert len(r.table["verdict"]) % 3 == 0
    assert f"{len(r.table['verdict'])} sampled of 120 weights" in str(r)


def test_weights_that_were_begun_and_not_ended_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a plan that takes every entry for almost nothing, so that many are begun."""
    monkeypatch.setattr("gradcheck.functions.budget.ENTRY", 1)
    monkeypatch.setattr("gradcheck.functions.budget.GROUP", 20)
    found: set[str | None] = set()
    for kind in ("exp", "sin", "root", "raises", "kink"):
        for limit in range(60, 260, 20):
            c = Counted(kind)
            r = gradcheck.check_gradient(c.fun, c.jac, np.linspace(0.5, 1.5, 20), max_nfev=limit, sample=20)
            assert c.calls == r.nfev <= limit
            assert r.verdict != "mismatch", str(r)
            found |= set(r.table["reason"])
            if "budget" in r.table["reason"]:
                assert "budget: max_nfev was spent before this weight could be judged: take a larger max_nfev" in str(r)
    assert "budget" in found


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "all"])
def test_a_budget_is_a_whole_number(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_nfev=.*must be a whole number >= 1"):
        gradcheck.check_gradient(np.sum, np.ones_like, np.ones(3), max_nfev=bad)
