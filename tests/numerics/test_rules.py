"""Other tools' rules: each accuses just outside its published limit and does not just inside."""

from __future__ import annotations

import dataclasses
import pickle
import re
from typing import NamedTuple

import numpy as np
import pytest
from commands import QUICK, command, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradcheck.experiment.results.rows import CELLS
from gradcheck.numerics.rules import RULES, Gradients, Rule, table

# One entry in the table, as somebody who uses the package would write it.
ENTRY = """
import numpy as np
from gradcheck.numerics.rules import RULES, Rule

RULES["chainer"] = Rule(
    "chainer",
    "|a-n| > 1e-5 + 1e-4 |n| in some entry (check_backward's defaults)",
    "https://docs.chainer.org/en/stable/reference/generated/chainer.gradient_check.check_backward.html",
    lambda evidence: evidence.difference <= 1e-5 + 1e-4 * evidence.size,
)
"""


def added() -> dict[str, Rule]:
    """The table as the entry leaves it; here it is taken out again."""
    exec(ENTRY, {})
    try:
        return dict(RULES)
    finally:
        del RULES["chainer"]


KNOWN = added()
every_rule = pytest.mark.parametrize("name", KNOWN)  # what is drawn is drawn once for all rules

# rules in which a and n may change places
SYMMETRIC = [
    "textbook",
    "textbook_norm",
    "course_norm",
    "cs231n_wrong",
    "cs231n_uncomfortable",
    "cs231n_unhappy",
    "pytensor",
    "caffe",
    "caffe_loose",
    "ceres",
    "autograd",
]


def accuses(name, analytic, numeric, dtype="float64") -> bool:
    return KNOWN[name].accuses(Gradients(np.asarray(analytic, float), np.asarray(numeric, float), dtype))


class Limit(NamedTuple):
    """Where a rule changes its mind: the numeric gradient and the difference to it, by hand from the definition."""

    rule: str
    numeric: list[float]
    difference: list[float]
    dtype: str = "float64"


def relative_to_larger(limit: float) -> float:
    """d with d / (1 + d) = limit: a = 1 + d against n = 1, measured by the larger of the two."""
    return limit / (1 - limit)


def relative_to_sum(limit: float) -> float:
    """d with d / (2 + d) = limit: a = 1 + d against n = 1, measured by their sum."""
    return 2 * limit / (1 - limit)


LIMITS = [
    Limit("textbook", [1.0], [relative_to_sum(1e-7)]),
    Limit("textbook", [-300.0, 5.0], [-300 * relative_to_sum(1e-7), 0.0]),
    Limit("textbook", [0.0], [1e-15]),  # below the floor: 1e-15 / 1e-8
    Limit("textbook", [2e-9], [1e-15]),
    Limit("textbook_norm", [3.0, 4.0], [3 * relative_to_sum(1e-7), 4 * relative_to_sum(1e-7)]),
    Limit("textbook_norm", [3e-12, 4e-12], [3e-12 * relative_to_sum(1e-7), 4e-12 * relative_to_sum(1e-7)]),  # no floor
    Limit("course_norm", [3.0, 4.0], [3 * relative_to_sum(2e-7), 4 * relative_to_sum(2e-7)]),
    Limit("cs231n_wrong", [1.0], [relative_to_larger(1e-2)]),
    Limit("cs231n_wrong", [-2e-12], [2e-14]),  # n is the larger one, and there is no floor
    Limit("cs231n_uncomfortable", [1.0], [relative_to_larger(1e-4)]),
    Limit("cs231n_uncomfortable", [-2e-12], [2e-16]),
    Limit("cs231n_unhappy", [1.0], [relative_to_larger(1e-7)]),
    Limit("cs231n_unhappy", [-2e-12], [2e-19]),
    Limit("pytorch", [1.0], [1e-5 + 1e-3]),
    Limit("pytorch", [1.0], [-1e-5 - 1e-3]),
    Limit("pytorch", [0.0], [1e-5]),
    Limit("pytorch", [-1000.0, 0.0], [1e-5 + 1.0, 0.0]),
    Limit("pytorch", [1.0], [1e-5 + 1e-3], "float32"),
    Limit("jax", [3.0], [4e-5]),
    Limit("jax", [0.0], [1e-5]),
    Limit("jax", [3.0], [8e-3], "float32"),
    Limit("jax", [3.0], [4e-2], "float16"),
    Limit("jax", [3.0], [4e-5], "longdouble"),
    Limit("jax", [3.0], [4e-5], "float128"),
    Limit("scipy", [0.5], [1e-6]),
    Limit("scipy", [-100.0], [1e-4]),
    Limit("pytensor", [1.0], [relative_to_sum(1e-4)]),
    Limit("pytensor", [0.1], [1e-4]),  # the relative error is beyond its tolerance before the absolute one is
    Limit("pytensor", [1.0], [relative_to_sum(1e-2)], "float32"),
    Limit("pytensor", [0.1], [1e-2], "float32"),
    Limit("pytensor", [0.1], [5e-2], "float16"),
    Limit("pytensor", [1.0], [relative_to_sum(1e-4)], "float128"),
    Limit("caffe", [0.5], [1e-3]),
    Limit("caffe", [10.0], [10 * relative_to_larger(1e-3)]),
    Limit("caffe", [10.0], [-1e-2]),
    Limit("caffe_loose", [0.5], [1e-2]),
    Limit("caffe_loose", [10.0], [10 * relative_to_larger(1e-2)]),
    Limit("openmdao", [2.0], [2e-6]),
    Limit("openmdao", [-2e-9, 1.0], [2e-15, 0.0]),
    Limit("openmdao_norm", [30.0, 40.0], [0.6e-6, 0.8e-6]),  # the absolute error is beyond first
    Limit("openmdao_norm", [0.03, 0.04], [3e-8, 4e-8]),
    Limit("ceres", [1.0], [relative_to_larger(1e-8)]),
    Limit("ceres", [-4e-5], [4e-13]),
    Limit("ceres", [0.0], [1e-8]),
    Limit("autograd", [0.1], [1e-6]),
    Limit("autograd", [10.0], [10 * relative_to_sum(1e-6)]),
]

# a nudge of 1e-6 of a difference of 1e-8 of an entry is 45 of its roundings, and none of the limits needs more digits
NUDGE = 1e-6


def test_every_rule_has_a_limit_to_be_tested_at():
    assert {limit.rule for limit in LIMITS} == set(RULES)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.rule}-{limit.numeric}-{limit.dtype}")
def test_a_rule_accuses_just_outside_its_limit_and_not_just_inside(limit):
    numeric, difference = np.array(limit.numeric), np.array(limit.difference)
    assert not accuses(limit.rule, numeric + (1 - NUDGE) * difference, numeric, limit.dtype)
    assert accuses(limit.rule, numeric + (1 + NUDGE) * difference, numeric, limit.dtype)


@pytest.mark.parametrize(
    ("name", "analytic", "accused"),
    [
        ("pytorch", 1e-5, False),
        ("jax", 1e-5, False),
        ("scipy", 1e-6, False),
        ("pytensor", 1e-4, False),
        ("caffe", 1e-3, False),
        ("caffe_loose", 1e-2, False),
        ("ceres", 1e-8, True),
        ("autograd", 1e-6, True),
    ],
)
def test_at_the_limit_itself_a_rule_does_what_its_tool_does(name, analytic, accused):
    assert accuses(name, [analytic], [0.0]) is accused


# --- known facts ------------------------------------------------------------------------------------------------------


def test_pytorch_passes_a_gradient_scaled_by_1_0009_and_anything_below_its_absolute_tolerance():
    numeric = np.array([-3.0, 0.5, 40.0])
    assert not accuses("pytorch", 1.0009 * numeric, numeric)
    assert accuses("pytorch", 1.0012 * numeric, numeric)
    tiny = np.array([9e-6, -4e-6, 0.0])
    assert not accuses("pytorch", tiny, np.zeros(3))
    assert not accuses("pytorch", np.zeros(3), tiny)


def test_pytorch_takes_the_numeric_gradient_for_the_reference():
    """1.0105e-3 is more than 1e-5 + 1e-3 |1| and less than 1e-5 + 1e-3 |1.0010105|."""
    smaller, larger = [1.0], [1.0010105]
    assert accuses("pytorch", larger, smaller)
    assert not accuses("pytorch", smaller, larger)


def test_the_textbook_accuses_a_relative_difference_of_1e_6():
    numeric = np.array([2.0, -0.1])
    assert accuses("textbook", numeric * [1, 1 + 1e-6], numeric)
    assert not accuses("textbook", numeric * [1, 1 + 1e-8], numeric)


def test_absolute_tolerances_overlook_a_doubled_gradient_that_is_small_and_relative_ones_do_not():
    numeric = np.array([3e-7, -2e-7])
    accusers = {name for name in RULES if accuses(name, 2 * numeric, numeric)}
    assert accusers == {
        "textbook",
        "textbook_norm",
        "course_norm",
        "cs231n_wrong",
        "cs231n_uncomfortable",
        "cs231n_unhappy",
        "openmdao",
        "openmdao_norm",
        "ceres",
    }


def test_a_norm_hides_a_small_wrong_entry_among_large_right_ones():
    numeric = np.array([1e5, 1e-3])
    assert not accuses("textbook_norm", numeric * [1, 2], numeric)
    assert accuses("textbook", numeric * [1, 2], numeric)


def test_openmdao_forgives_nothing_where_the_numeric_gradient_is_zero():
    assert accuses("openmdao", [1e-300], [0.0])
    assert accuses("openmdao_norm", [1e-12], [0.0])  # measured by the analytic gradient: 100 %
    assert not accuses("openmdao", [0.0], [0.0])
    assert not accuses("openmdao_norm", [0.0, 0.0], [0.0, 0.0])


def test_the_tolerance_follows_the_dtype_where_the_tool_has_one_for_it():
    numeric = np.array([3.0])
    for name, scale in [("jax", 1.001), ("pytensor", 1.01)]:
        assert accuses(name, scale * numeric, numeric, "float64")
        assert accuses(name, scale * numeric, numeric, "longdouble")
        assert not accuses(name, scale * numeric, numeric, "float32")


# --- against implementations that are not ours ------------------------------------------------------------------------

# entries of ordinary size, tiny ones and zeros, with differences on both sides of every tolerance
sizes = st.one_of(st.just(0.0), st.floats(1e-12, 1e3), st.floats(-1e3, -1e-12))
relative_differences = st.one_of(
    st.just(0.0), st.sampled_from([-9, -8, -7, -6, -5, -4, -3, -2, 0]).map(lambda k: 10.0**k)
)
entries = st.tuples(sizes, relative_differences, st.floats(-2, 2)).map(
    lambda e: (e[0] + e[2] * e[1] * (abs(e[0]) or 1.0), e[0])
)
pairs = st.lists(entries, min_size=1, max_size=5).map(lambda rows: tuple(np.array(rows).T))


@given(pairs)
def test_pytorch_agrees_with_allclose(pair):
    analytic, numeric = pair
    assert accuses("pytorch", analytic, numeric) is not np.allclose(analytic, numeric, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(("dtype", "tol"), [("float32", 2e-3), ("float64", 1e-5)])
@given(pair=pairs)
def test_jax_agrees_with_assert_allclose_along_each_axis(dtype, tol, pair):
    def fails(a, n) -> bool:
        try:
            np.testing.assert_allclose(a, n, atol=tol, rtol=tol)
        except AssertionError:
            return True
        return False

    assert accuses("jax", *pair, dtype) is any(fails(a, n) for a, n in zip(*pair, strict=True))


@given(pairs)
def test_scipy_agrees_with_its_check_derivative(pair):
    """At 0 the finite differences of n.x are exactly n: the step is a power of 2 and every other term is 0."""
    from scipy.optimize._numdiff import check_derivative

    analytic, numeric = pair
    accuracy = check_derivative(lambda x: numeric @ x, lambda x: analytic, np.zeros(numeric.size))
    assert accuses("scipy", analytic, numeric) is not bool(accuracy <= 1e-6)


def test_the_random_entries_fall_on_both_sides_of_every_rule():
    seen: dict[str, set[bool]] = {name: set() for name in RULES}

    # of a hundred entries, none may be on the rarer side of one of the rules
    @settings(max_examples=500)
    @given(pairs)
    def look(pair):
        for name, verdicts in seen.items():
            if len(verdicts) < 2:
                verdicts.add(accuses(name, *pair))

    look()
    assert all(verdicts == {False, True} for verdicts in seen.values()), seen


# --- what holds for every rule ----------------------------------------------------------------------------------------

finite = arrays(np.float64, st.integers(1, 6), elements=st.floats(allow_nan=False, allow_infinity=False))


@given(gradient=finite)
def test_a_gradient_equal_to_the_numeric_one_is_never_accused(gradient):
    with np.errstate(all="raise"):
        assert [name for name in KNOWN if accuses(name, gradient, gradient)] == []


@every_rule
def test_a_gradient_of_the_wrong_sign_is_always_accused(name):
    numeric = np.array([1.0, -2.0, 0.5])
    assert accuses(name, -numeric, numeric)


@every_rule
def test_one_wrong_entry_suffices_wherever_it_is(name):
    numeric = np.linspace(-1, 2, 7)
    for i in range(7):
        assert accuses(name, numeric + 0.5 * (np.arange(7) == i), numeric)


def verdicts(pair, names=KNOWN) -> dict[str, bool]:
    """What each rule says of a pair of gradients."""
    return {name: accuses(name, *pair) for name in names}


@given(pair=pairs, data=st.data())
def test_the_order_of_the_entries_does_not_matter(pair, data):
    order = data.draw(st.permutations(range(pair[0].size)))
    assert verdicts((pair[0][order], pair[1][order])) == verdicts(pair)


@given(pair=pairs)
def test_the_sign_of_both_gradients_does_not_matter(pair):
    assert verdicts((-pair[0], -pair[1])) == verdicts(pair)


@given(pair=pairs)
def test_a_symmetric_rule_lets_the_two_gradients_change_places(pair):
    assert verdicts(pair[::-1], SYMMETRIC) == verdicts(pair, SYMMETRIC)


@given(pair=pairs)
def test_a_stricter_band_accuses_whatever_a_more_lenient_one_does(pair):
    for strict, lenient in [
        ("cs231n_unhappy", "cs231n_uncomfortable"),
        ("cs231n_uncomfortable", "cs231n_wrong"),
        ("textbook_norm", "course_norm"),
        ("caffe", "caffe_loose"),
    ]:
        assert accuses(strict, *pair) or not accuses(lenient, *pair), (strict, lenient)


@every_rule
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_accused_even_if_both_are_not(name, value):
    right, wrong = np.array([1.0, 2.0]), np.array([1.0, value])
    with np.errstate(all="raise"):
        assert accuses(name, wrong, right)
        assert accuses(name, right, wrong)
        assert accuses(name, wrong, wrong)


@every_rule
def test_nothing_is_said_of_an_empty_gradient(name):
    assert accuses(name, [], []) is False


@given(analytic=finite, data=st.data())
def test_every_pair_of_finite_gradients_gets_a_plain_bool_without_a_warning(analytic, data):
    numeric = data.draw(arrays(np.float64, analytic.size, elements=st.floats(allow_nan=False, allow_infinity=False)))
    with np.errstate(all="raise"):
        for name, found in verdicts((analytic, numeric)).items():
            assert type(found) is bool, name


@given(
    analytic=arrays(np.float64, 3, elements=st.floats()),
    numeric=arrays(np.float64, (4, 3), elements=st.floats()),
    dtype=st.sampled_from(["float32", "float64", "longdouble"]),
)
def test_several_numeric_gradients_are_judged_each_by_itself(analytic, numeric, dtype):
    numeric[0] = analytic
    for name, rule in KNOWN.items():
        several = rule.accuses(Gradients(analytic, numeric, dtype))
        assert several == [accuses(name, analytic, row, dtype) for row in numeric], name


@every_rule
def test_a_rule_changes_neither_gradient(name):
    analytic, numeric = np.array([1.0, 0.0]), np.array([1.0, 1e-9])
    analytic.flags.writeable = numeric.flags.writeable = False
    accuses(name, analytic, numeric)


# --- names, words and sources -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_a_frozen_value_that_travels_to_other_processes(name):
    rule = RULES[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.name = "other"
    assert pickle.loads(pickle.dumps(rule)).accuses(Gradients(np.array([2.0]), np.array([1.0]), "float64"))


def test_the_table_has_a_row_for_every_rule_with_its_words_and_source():
    rows = table()
    assert [row["rule"] for row in rows] == list(RULES) == [rule.name for rule in RULES.values()]
    for row in rows:
        assert row["rule"].isidentifier()
        assert row["rule"] == row["rule"].lower()
        assert row["accuses when"]
        assert "\n" not in row["accuses when"]
        assert "https://" in row["source"] or "http://" in row["source"]


def test_one_entry_in_the_table_makes_a_rule_of_the_program(tmp_path):
    """Its column is stored, and shown by a process that knows nothing of the entry."""
    grid = ["model=linear", "bug=scale", "bug.magnitude=1e-6,1e-1", "eps=1e-4", "data.n=8", "data.d=2", "-m"]
    run = tmp_path / "run"
    status, out, err = command("gradcheck.run", *grid, *QUICK, f"hydra.sweep.dir={run}", prelude=ENTRY, cwd=tmp_path)
    assert (status, err) == (0, "")
    cells, _ = rows(run)
    assert {row["bug_magnitude"]: row["rule_chainer"] for row in cells} == {1e-6: False, 1e-1: True}
    status, out, _ = command("gradcheck.show", str(run), "--all", cwd=tmp_path)
    assert status == 0
    assert re.search(r"(?m)^ *chainer .*\b1/2\b", out)
    # where the entry is not made, there is no such column
    assert "rule_chainer" not in CELLS.names


def test_every_rule_is_a_column_of_cells():
    columns = [name for name in CELLS.names if name.startswith("rule_")]
    assert columns == [f"rule_{name}" for name in RULES]
