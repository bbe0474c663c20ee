"""From numbers and bounds to verdicts: their order, the figures that are stored, and every reason by a real case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from exact import cell
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.bugs.output import Scale
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal, Zeros
from gradcheck.models import MLP, Linear, Logistic, OneD
from gradcheck.numerics.compare import absolute_error, medians, norm_difference, relative_error
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import (
    BOUND_BITS,
    OF_MANY,
    REASONS,
    VERDICTS,
    Judgement,
    judge,
    missed,
    shortened,
    whole,
)

INF, NAN = math.inf, math.nan


def judgement(
    analytic=1.0,
    numeric=1.0,
    truncation=0.0,
    roundoff=0.0,
    kink=0.0,
    finite=True,
    step=1e-4,
    clipped=0.0,
    kinked=True,
    match_at=1e-2,
    noise=0.0,
    still=None,
    accept=0.0,
) -> Judgement:
    """The verdict of one weight."""
    estimate = Estimate(
        *(np.array([float(v)]) for v in (step, numeric, truncation, roundoff, kink)),
        np.array([finite]),
        np.array([numeric == 0 if still is None else still]),
    )
    rounding = Rounding(noise, np.array([noise]), np.zeros(1), np.array([clipped]), np.ones(1), 2.0**-53)
    return judge(np.array([float(analytic)]), estimate, rounding, np.zeros(1, int), match_at, kinked, accept)


def verdict(**settings) -> tuple[str, str | None]:
    found = judgement(**settings)
    return found.verdict[0], found.reason[0]


# --- the order of the verdicts ----------------------------------------------------------------------------------------


def test_a_difference_above_the_bound_is_a_mismatch_whatever_else_holds():
    assert verdict(analytic=1.1, truncation=0.05) == ("mismatch", None)
    assert verdict(analytic=1.1, truncation=0.09, kink=0.09) == ("mismatch", None)
    assert verdict(analytic=1.0, numeric=0.0, roundoff=0.5) == ("mismatch", None)
    # match_at never loosens it
    assert verdict(analytic=1.1, truncation=0.05, match_at=100.0) == ("mismatch", None)


def test_at_the_bound_itself_it_is_none():
    found = judgement(analytic=1.5, numeric=1.0, truncation=0.0, roundoff=0.5)
    assert found.verdict == ["inconclusive"]
    assert judgement(analytic=1.5, numeric=1.0, roundoff=0.4999).verdict == ["mismatch"]


def test_a_kink_that_is_most_of_the_bound_comes_before_a_match():
    assert verdict(truncation=1e-3, kink=9e-4) == ("nondifferentiable", "kink")
    assert verdict(truncation=1e-3, kink=4e-4) == ("match", None)
    assert verdict(truncation=1e-3, kink=9e-4, kinked=False) == ("match", None)
    assert verdict(truncation=0.3, kink=0.2, kinked=False) == ("inconclusive", "saturated")


def test_a_match_needs_a_resolution_of_match_at():
    assert verdict(roundoff=4e-3) == ("match", None)
    assert verdict(roundoff=6e-3) == ("inconclusive", "noise")
    assert verdict(roundoff=6e-3, match_at=2e-2) == ("match", None)
    assert verdict(truncation=6e-3) == ("inconclusive", "truncation")


reals = st.floats(-1e3, 1e3)
bounds = st.one_of(st.just(0.0), st.floats(1e-12, 1e3))


@given(
    reals, st.one_of(reals, st.floats(-1e-3, 1e-3)), bounds, bounds, st.floats(0, 1), st.sampled_from([0, 1e-6, 9e-3])
)
def test_what_is_accepted_is_its_definition(analytic, off, truncation, roundoff, kinked, accept):
    """Also of a kink.  The planted fault is every difference that is near one of the two thresholds."""
    settings = {"truncation": truncation, "roundoff": roundoff, "kink": kinked * truncation}
    found = judgement(analytic=analytic, numeric=analytic + off, **settings, accept=accept)
    plain = judgement(analytic=analytic, numeric=analytic + off, **settings)
    assert (found.bound, found.resolution, found.abs_err) == (plain.bound, plain.resolution, plain.abs_err)
    size = max(abs(analytic), abs(analytic + off))
    beyond, wrong = found.abs_err[0] > found.bound[0], found.abs_err[0] > found.bound[0] + accept * size
    assert (found.verdict[0] == "mismatch") == wrong
    if found.verdict[0] == "match":
        assert found.resolution[0] + accept <= 1e-2
        assert found.reason[0] == ("accepted" if beyond else None)
    else:
        assert found.reason[0] != "accepted"
    if not wrong and plain.verdict[0] != "mismatch" and found.resolution[0] + accept <= 1e-2:
        assert found.verdict[0] == plain.verdict[0]


@pytest.mark.parametrize("analytic", [INF, -INF, NAN])
def test_a_gradient_that_is_not_finite_is_never_accepted(analytic):
    assert verdict(analytic=analytic, accept=5e-3) == ("mismatch", None)


@pytest.mark.parametrize("analytic", [INF, -INF, NAN])
@pytest.mark.parametrize("bound", [0.0, 1.0, INF])
def test_a_gradient_that_is_not_finite_is_a_mismatch(analytic, bound):
    assert verdict(analytic=analytic, truncation=bound) == ("mismatch", None)
    assert verdict(analytic=analytic, numeric=0.0, step=0.0, truncation=bound) == ("mismatch", None)


@pytest.mark.parametrize("numeric", [0.0, 1e300, INF, NAN])
def test_an_infinite_bound_is_never_a_mismatch(numeric):
    for settings in ({"truncation": INF}, {"roundoff": INF}, {"truncation": NAN}, {"roundoff": NAN}):
        found = judgement(analytic=1e-5, numeric=numeric, finite=False, **settings)
        assert found.verdict == ["inconclusive"]
        assert found.reason == ["overflow"]
        assert found.bound[0] == INF
        assert found.resolution[0] == INF


def test_reasons_have_an_order_of_their_own():
    lost = {"truncation": INF, "roundoff": INF}
    assert verdict(analytic=0, numeric=0, step=0, finite=False, **lost) == ("inconclusive", "step_vanished")
    assert verdict(analytic=0, numeric=0, finite=False, **lost) == ("inconclusive", "overflow")
    assert verdict(analytic=0, numeric=0, clipped=1.0) == ("inconclusive", "saturated")
    for numeric in (0, 1e-9):
        assert verdict(analytic=0, numeric=numeric, truncation=1e-9) == ("inconclusive", "stationary")
        assert verdict(analytic=0, numeric=numeric, roundoff=1e-9) == ("inconclusive", "stationary")
    assert verdict(analytic=1e-9, numeric=0, truncation=1e-9) == ("inconclusive", "truncation")
    assert verdict(analytic=1e-9, numeric=0, roundoff=1e-9) == ("inconclusive", "noise")


def test_a_derivative_that_no_step_within_the_scale_of_the_loss_can_show_is_flat():
    # the scale is 1, so a derivative g changes the loss by g at most
    for g in (1e-300, 5e-16):
        assert verdict(analytic=g, numeric=0, roundoff=1e-9, noise=1e-16) == ("inconclusive", "flat")
        # at an extremum the derivative is that small, but the loss does change
        assert verdict(analytic=g / 2, numeric=g, roundoff=1e-9, noise=1e-16) == ("inconclusive", "noise")
    assert verdict(analytic=5e-16, numeric=0, roundoff=1e-9, noise=1e-16, still=False) == ("inconclusive", "noise")
    assert verdict(analytic=1e-15, numeric=0, roundoff=1e-9, noise=1e-16) == ("inconclusive", "noise")
    # where a complex step, say, shows it all the same it is judged
    assert verdict(analytic=5e-16, numeric=5e-16, roundoff=1e-30, noise=1e-16) == ("match", None)
    assert verdict(analytic=6e-16, numeric=5e-16, roundoff=1e-30, noise=1e-16) == ("mismatch", None)


ALL_REASONS = {
    "match": [None, "accepted"],
    "mismatch": [None],
    "inconclusive": ["exempt", "stationary", "noise"],
    "nondifferentiable": ["kink", "corner"],
}
one_weight = st.sampled_from([(v, r) for v, reasons in ALL_REASONS.items() for r in reasons])


@given(
    st.lists(st.tuples(one_weight, st.sampled_from("abc")), max_size=14),
    st.one_of(st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.floats(0, 1)),
)
def test_the_verdict_of_many_is_that_of_its_definition(weights, min_judged):
    """Said once more with sets and fractions, sentence by sentence."""
    verdicts, reasons, params = [v for (v, _), _ in weights], [r for (_, r), _ in weights], [p for _, p in weights]
    found = whole(verdicts, reasons, params, min_judged)
    counted = [(v, r, p) for (v, r), p in weights if r != "exempt"]
    judged = [(v, r, p) for v, r, p in counted if v in {"match", "mismatch"} or r == "corner"]
    kinds = {v for v, _, _ in counted}
    if "mismatch" in kinds:
        want = "mismatch"
    elif kinds == {"match"}:
        want = "match"
    elif "match" in kinds:
        want = "partial"
    elif "nondifferentiable" in kinds:
        want = "nondifferentiable"
    else:
        want = "inconclusive"
    assert found.verdict == want
    assert want in OF_MANY
    assert (found.n_weights, found.n_exempt, found.n_judged) == (len(weights), len(weights) - len(counted), len(judged))
    assert found.judged == (len(judged) / len(counted) if counted else 0)
    enough = bool(counted) and found.judged >= min_judged
    somewhere = {p for _, _, p in counted} <= {p for _, _, p in judged} or min_judged == 0
    assert found.ok == (want == "match" or (want in {"partial", "nondifferentiable"} and enough and somewhere))


@pytest.mark.parametrize(("n", "judged"), [(10, 9), (30, 27), (70, 63), (1000, 900), (49, 45)])
def test_a_share_is_compared_as_a_fraction(n, judged):
    """0.9 as it is typed is the float nearest to 9/10, and so is 27/30."""
    weights = (
        ["match"] * judged + ["inconclusive"] * (n - judged),
        [None] * judged + ["noise"] * (n - judged),
        ["x"] * n,
    )
    assert whole(*weights, 0.9).ok
    one_less = ["match"] * (judged - 1) + ["inconclusive"] * (n - judged + 1)
    assert whole(one_less, [*weights[1][1:], "noise"], ["x"] * n, 0.9).ok == ((judged - 1) * 10 >= 9 * n)


def test_a_parameter_of_which_nothing_was_judged_is_not_ok_however_small():
    verdicts, reasons = ["match"] * 99 + ["inconclusive"], [None] * 99 + ["noise"]
    params = ["W"] * 99 + ["b"]
    assert not whole(verdicts, reasons, params).ok
    assert whole(verdicts, reasons, ["W"] * 100).ok
    assert whole(verdicts, [None] * 99 + ["exempt"], params).ok
    assert whole(verdicts, reasons, params, 0).ok


@given(st.lists(st.tuples(*[st.floats(-2, 2)] * 2, st.floats(0, 1), st.sampled_from(VERDICTS)), max_size=9))
def test_missed_is_a_match_that_is_wrong_by_more_than_two_bounds(weights):
    columns = [np.array([w[i] for w in weights], float) for i in range(3)]
    want = sum(v == "match" and abs(a - c) > 2 * b for a, c, b, v in weights)
    assert missed(*columns, np.array([w[3] for w in weights], dtype=object)) == want


# --- the figures ------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(numbers, numbers)
def test_the_relative_error_is_symmetric_and_at_most_one(a, n):
    found = relative_error(np.array([a, n]), np.array([n, a]))
    assert np.array_equal(found[:1], found[1:], equal_nan=True)
    if math.isfinite(abs(a) + abs(n)):
        # |a - n| <= |a| + |n|, and rounding is monotonic
        assert 0 <= found[0] <= 1
        assert found[0] == abs(a - n) / max(1e-8, abs(a) + abs(n))


def test_the_relative_error_of_tiny_numbers_is_measured_against_a_floor():
    assert relative_error(np.array([1e-12]), np.array([0.0]))[0] == 1e-12 / 1e-8
    assert relative_error(np.array([0.0]), np.array([0.0]))[0] == 0


def test_the_norm_difference():
    a, n = np.array([3.0, 4.0]), np.array([3.0, 0.0])
    assert norm_difference(a, n) == 4 / 8
    assert norm_difference(np.zeros(3), np.zeros(3)) == 0
    assert math.isnan(norm_difference(np.array([NAN]), np.array([1.0])))
    assert absolute_error(a, n).tolist() == [0, 4]


CELLS = {
    "logistic": (Logistic(), Gaussian(n=30, d=4), Normal(0, 1.0)),
    "linear": (Linear(), Gaussian(n=30, d=4), Normal(0, 1.0)),
    "relu": (MLP([6], "relu"), Gaussian(n=30, d=4), Normal(3, 1.0)),
    "saturated": (Logistic(), Gaussian(n=30, d=4, scale=100.0), Normal(0, 3.0)),
    "zeros": (MLP([3]), Gaussian(n=30, d=4), Zeros()),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("eps", [None, 1e-12, 1e-6, 1e-2])
@pytest.mark.parametrize("name", CELLS)
def test_stored_figures_are_recomputed_to_the_bit(name, eps, dtype):
    result = cell(*CELLS[name], eps=eps, dtype=dtype)
    w, s = result.weights, result.summary
    a, n = w["analytic"], w["numeric"]
    assert a.dtype == n.dtype == np.float64
    with np.errstate(all="ignore"):
        assert np.array_equal(w["abs_err"], np.abs(a - n))
        assert np.array_equal(w["rel_err"], np.abs(a - n) / np.maximum(1e-8, np.abs(a) + np.abs(n)))
        assert np.array_equal(w["bound"], w["truncation"] + w["roundoff"])
        size = np.maximum(np.abs(a), np.abs(n))
        assert np.array_equal(w["resolution"], np.where(size > 0, 2 * w["bound"] / size, np.inf))
    assert s["norm_difference"] == np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n))
    assert s["max_rel_err"] == np.nanmax(w["rel_err"])
    assert s["median_rel_err"] == np.nanmedian(w["rel_err"])
    assert s["max_resolution"] == w["resolution"].max()
    assert s["median_resolution"] == np.median(w["resolution"])
    assert s["worst_flat_index"] == np.nanargmax(w["rel_err"])
    for i, found in enumerate(w["verdict"]):
        assert (found == "mismatch") == (w["abs_err"][i] > w["bound"][i])
        assert (w["reason"][i] is None) == (found in ("match", "mismatch"))
        if found == "match":
            assert w["resolution"][i] <= 1e-2
    assert [s[f"n_{v}"] for v in VERDICTS] == [w["verdict"].count(v) for v in VERDICTS]
    of_many = whole(w["verdict"], w["reason"], w["param"])
    assert (s["verdict"], s["n_exempt"], s["n_judged"], s["ok"]) == (
        of_many.verdict,
        of_many.n_exempt,
        of_many.n_judged,
        of_many.ok,
    )
    assert s["n_missed"] == 0
    assert s["n_mismatch"] == 0


# --- every reason, by a real case -------------------------------------------------------------------------------------

KINK = {"curve": "abs", "x": 1.0}


def FLAT():
    return cell(Linear(bias=False), [[[1e-200]], [[1.0]]], {"W": [[1.0]]}, eps=1e-3)


REAL_CASES = {
    "step_vanished": lambda: cell(OneD("exp", 1.0), init={"theta": 3.0}, eps=1e-17),
    "overflow": lambda: cell(OneD("exp", 1.0), init={"theta": 709.0}, eps=1.0),
    "saturated": lambda: cell(Logistic(bias=False), [[[40.0], [39.0]], [[0.0], [1.0]]], {"W": [[1.0]]}, eps=1e-4),
    "kink": lambda: cell(OneD(**KINK), init={"theta": 1e-5}, eps=1e-3),
    "corner": lambda: cell(OneD(**KINK), init={"theta": 0.0}, eps=1e-3),
    "exempt": lambda: cell(
        MLP([1], "relu"), [[[1.0], [2.0]], [[0.0], [1.0]]], {"W1": [[-3.0]], "b1": [-1.0], "W2": [[1.0]], "b2": [0.5]}
    ),
    "stationary": lambda: cell(OneD("quadratic", 1.0), init={"theta": 0.0}, eps=1e-3),
    # an input of 1e-200 moves the prediction by less than its last digit
    "flat": FLAT,
    "truncation": lambda: cell(OneD("sin", 1.0), init={"theta": 0.3}, eps=1.0),
    "accepted": lambda: cell(OneD("sin", 1.0), init={"theta": 0.3}, eps=1e-6, bug=Scale(magnitude=1e-7), accept=1e-6),
    "noise": lambda: cell(Logistic(), Gaussian(n=30, d=3), Normal(0, 1.0), eps=1e-14),
}


# what a caller's ``max_nfev`` leaves open; the runner has no such limit
NOT_HERE = {"budget"}


@pytest.mark.parametrize("reason", sorted(set(REASONS) - NOT_HERE))
def test_every_documented_reason_is_that_of_a_real_case(reason):
    weights = REAL_CASES[reason]().weights
    assert reason in weights["reason"]
    assert "mismatch" not in weights["verdict"]
    row = weights["reason"].index(reason)
    others = {"kink": "nondifferentiable", "corner": "nondifferentiable", "accepted": "match"}
    assert weights["verdict"][row] == others.get(reason, "inconclusive")


def test_and_there_is_no_other_reason():
    assert set(REAL_CASES) == set(REASONS) - NOT_HERE
    found: set[str | None] = set()
    for case in CELLS.values():
        for eps in (None, 1e-16, 1e-8, 1e-2, 10.0):
            for scheme in ("central", "forward", "five_point"):
                for dtype in (np.float32, np.float64):
                    found |= set(cell(*case, eps=eps, scheme=scheme, dtype=dtype).weights["reason"])
    assert found - {None} <= set(REASONS)
    assert len(found) >= 5


def test_each_reason_says_what_to_do():
    for name, reason in REASONS.items():
        for auto in (True, False):
            for dtype in ("float32", "float64"):
                assert bool(reason.advice(auto, dtype)) == (name not in ("exempt", "corner", "accepted"))


def test_where_the_step_was_chosen_nobody_is_sent_for_another():
    for reason in REASONS.values():
        assert "eps" not in reason.text(auto=True)


def test_nobody_is_sent_for_a_precision_that_is_there_already():
    for reason in REASONS.values():
        assert "compute in float64" not in reason.text(auto=True, dtype="float64")
    assert "compute in float64 or" in REASONS["truncation"].text(auto=True, dtype="float32")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_correct_gradient_scaled_beyond_three_bounds_is_a_mismatch(scheme):
    model, data, init = CELLS["logistic"]
    right = cell(model, data, init, scheme=scheme).weights
    assert set(right["verdict"]) == {"match"}
    estimate = Estimate(
        right["step"],
        right["numeric"],
        right["truncation"],
        right["roundoff"],
        0 * right["step"],
        right["step"] > 0,
        right["step"] < 0,
    )
    rounding = Rounding(0.0, np.zeros(5), np.zeros(5), np.zeros(5), np.ones(5), 2.0**-53)
    wrong = right["numeric"] + 3 * right["bound"]
    assert set(judge(wrong, estimate, rounding, np.arange(5), 1e-2, False).verdict) == {"mismatch"}
    # the same difference is none where the bound is ten times as large
    wide = estimate._replace(truncation=10 * right["bound"])
    assert "mismatch" not in judge(wrong, wide, rounding, np.arange(5), 1e-2, False).verdict


@given(st.lists(st.floats(0), min_size=1, max_size=30))
def test_medians_are_those_of_numpy_to_the_last_bit(values):
    rows = np.array([values, values[::-1], [NAN, *values[1:]]])
    with np.errstate(all="ignore"):
        known = [row[~np.isnan(row)] for row in rows]
        want = [np.median(row) if len(row) else NAN for row in known]
        assert np.array_equal(medians(rows), want, equal_nan=True)
        assert np.array_equal([medians(row) for row in rows], want, equal_nan=True)


@given(st.floats(min_value=0, allow_nan=False))
def test_a_shortened_bound_is_never_below_and_hardly_above(x):
    short = float(shortened(np.array([x]))[0])
    assert x <= short
    if 2.0**-1000 < x < 2.0**1000:
        assert short <= x * (1 + 2.0 ** (1 - BOUND_BITS))
        assert math.ldexp(math.frexp(short)[0], BOUND_BITS).is_integer()
    assert float(shortened(np.array([short]))[0]) == short
