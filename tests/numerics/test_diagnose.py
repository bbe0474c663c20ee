"""The diagnosis: which kind of mistake explains a wrong gradient, in words."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import bug_kinds
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kinds import KINDS, OVERLAPS, Wrong, accepted
from trials import diagnoses

from gradcheck.bugs import BUGS
from gradcheck.experiment.cell import Cell, check_cell
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Linear, Softmax
from gradcheck.numerics.diagnosis import evidence, kinds, wording
from gradcheck.numerics.diagnosis.diagnose import diagnose
from gradcheck.numerics.diagnosis.kinds import Diagnosis
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.quotients import Estimate
from gradcheck.numerics.rounding import Rounding
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.verdict import Judgement, judge

NET = Layout(("W1", "b1", "W2", "b2", "W3", "b3"), ((4, 5), (5,), (5, 3), (3,), (3, 2), (2,)))
ERROR = 1e-10


@dataclass(frozen=True)
class Claimed:
    layout: Layout
    theta: np.ndarray
    analytic: np.ndarray
    n: int | None = 50
    n_classes: int | None = 3


def judged(analytic: np.ndarray, numeric: np.ndarray, bound: np.ndarray) -> Judgement:
    m = len(analytic)
    zero = np.zeros(m)
    estimate = Estimate(np.ones(m), numeric, bound, zero, zero, np.ones(m, dtype=bool), np.zeros(m, dtype=bool))
    with np.errstate(all="ignore"):
        rounding = Rounding(0.0, zero, zero, zero, np.ones(m), 2.0**-53)
        return judge(analytic.astype(np.float64), estimate, rounding, np.arange(m), 1e-2, False)


@dataclass(frozen=True)
class Truth:
    """A true gradient, its numeric estimate within ``bound``, and theta."""

    layout: Layout
    theta: np.ndarray
    true: np.ndarray
    numeric: np.ndarray
    bound: np.ndarray

    @classmethod
    def draw(cls, layout: Layout = NET, seed: int = 0) -> Truth:
        rng = np.random.default_rng(seed)
        m = layout.size
        true = rng.normal(size=m)
        return cls(layout, rng.normal(size=m), true, true + ERROR * rng.uniform(-0.9, 0.9, m), np.full(m, ERROR))

    def diagnose(self, analytic: np.ndarray, **known: Any) -> Diagnosis:
        claimed = Claimed(self.layout, self.theta, analytic, **known)
        return diagnose(claimed, self.numeric, judged(analytic, self.numeric, self.bound))

    def part(self, values: np.ndarray, name: str) -> np.ndarray:
        return values[self.layout.slices[name]]


TRUTH = Truth.draw()
WEIGHTS = np.concatenate(
    [np.full(NET.slices[name].stop - NET.slices[name].start, name[0] == "W") for name in NET.names]
)


def changed(**by_name: Any) -> np.ndarray:
    """The true gradient with some parameters replaced by a function of them."""
    a = TRUTH.true.copy()
    for name, change in by_name.items():
        a[NET.slices[name]] = change(a[NET.slices[name]])
    return a


def noisy(g: np.ndarray) -> np.ndarray:
    return g * (1 + 0.3 * np.random.default_rng(1).normal(size=g.shape))


def at(index: int, value: float) -> np.ndarray:
    a = TRUTH.true.copy()
    a[index] = value
    return a


G, T = TRUTH.true, TRUTH.theta
DECAY = 0.1 * T * WEIGHTS
# wrong gradient, its kind, what the words must hold
CASES: dict[str, tuple[np.ndarray, str, list[str]]] = {
    "nan": (at(1, np.nan), "not_finite", ["W1[0,1]", "nan"]),
    "infinite": (at(21, -np.inf), "not_finite", ["b1[1]", "infinite"]),
    "zero entry": (at(7, 0.0), "zero_entries", ["W1[1,2]"]),
    "zero parameter": (changed(W2=np.zeros_like), "zero_param", ["W2", "dW2"]),
    "everything zero": (0 * G, "zero_param", ["whole gradient"]),
    "biases zero": (changed(b1=np.zeros_like, b2=np.zeros_like, b3=np.zeros_like), "bias", ["b1, b2 and b3", "0"]),
    "biases wrong": (changed(b1=noisy, b2=noisy), "bias", ["b1 and b2"]),
    "detached": (changed(W1=np.zeros_like, b1=np.zeros_like), "detached", ["layer 1"]),
    "detached twice": (changed(**dict.fromkeys(("W1", "b1", "W2", "b2"), np.zeros_like)), "detached", ["layer 2"]),
    "detached, penalty left": (
        np.where(np.arange(NET.size) < NET.slices["W2"].start, DECAY, G),
        "detached",
        ["layer 1", "W1 and b1"],
    ),
    "float32": (G.astype(np.float32).astype(np.float64), "precision", ["float32", "float64"]),
    "float16": (G.astype(np.float16).astype(np.float64), "precision", ["float16"]),
    "sign": (-G, "constant_factor", ["whole gradient", "wrong sign"]),
    "2": (2 * G, "constant_factor", ["2 times too large"]),
    "1/2": (G / 2, "constant_factor", ["2 times too small"]),
    "n": (50 * G, "constant_factor", ["50", "number of examples", "mean"]),
    "1/n": (G / 50, "constant_factor", ["50 times too small", "number of examples"]),
    "classes": (3 * G, "constant_factor", ["3", "number of classes"]),
    "1/classes": (G / 3, "constant_factor", ["3 times too small", "number of classes"]),
    "1.001": (1.001 * G, "constant_factor", ["1.001 times", "±"]),
    "1 - 1e-6": ((1 - 1e-6) * G, "constant_factor", ["0.999999 times"]),
    "-7.25": (-7.25 * G, "constant_factor", ["-7.25 times"]),
    "1e12": (1e12 * G, "constant_factor", ["1e+12 times"]),
    "data term": (2 * (G - DECAY) + DECAY, "constant_factor", ["data term", "2 times", "0.1 times the weights"]),
    "data term, n": (50 * (G - DECAY) + DECAY, "constant_factor", ["data term", "number of examples"]),
    "data term, 0.7": (0.7 * (G - DECAY) + DECAY, "constant_factor", ["data term", "0.7"]),
    "l2 missing": (G - DECAY, "l2", ["W1, W2 and W3", "too little", "0.1", "missing"]),
    "l2 twice": (G + DECAY, "l2", ["too much", "0.1", "twice"]),
    "l2 on the biases": (G + 0.1 * T * ~WEIGHTS, "l2", ["b1, b2 and b3", "biases"]),
    "l2 missing in one": (np.where(np.arange(NET.size) < 20, G - DECAY, G), "l2", ["W1 has 0.1 W1 too little"]),
    "transposed": (
        changed(W1=lambda g: g.reshape(4, 5).T.ravel(), W2=lambda g: g.reshape(5, 3).T.ravel()),
        "transposed",
        ["W1 and W2", ".T"],
    ),
    "transposed, other way": (changed(W1=lambda g: g.reshape(5, 4).T.ravel()), "transposed", ["W1 has"]),
    "reversed": (changed(W1=lambda g: g[::-1]), "flipped", ["W1", "axes 0 and 1"]),
    "rolled": (changed(W1=lambda g: np.roll(g, 7)), "permutation", ["W1"]),
    "2 and 4": (changed(W2=lambda g: 2 * g, b1=lambda g: 4 * g), "param_factor", ["W2 is 2 times", "b1 is 4", "db1"]),
    "sign of two": (changed(W1=np.negative, b3=np.negative), "param_factor", ["W1 and b3 have the wrong sign"]),
    "clipped": (np.clip(G, -0.8, 0.8), "clipped", ["0.8"]),
    "derivative of layer 2": (
        changed(W1=noisy, b1=noisy, W2=noisy, b2=noisy),
        "activation_derivative",
        ["layer 2", "right above"],
    ),
    "some units": (
        np.where(np.isin(np.arange(25) % 5, (0, 3)), 1 + np.arange(25) / 7, 1).tolist() * G[:25].reshape(1, 25),
        "activation_derivative",
        ["layer 1"],
    ),
    "one entry": (at(26, 5.0), "entries", ["W2[0,1] alone", "5"]),
    "three entries": (
        G + 0.1 * np.isin(np.arange(NET.size), (2, 27, 44)),
        "entries",
        ["W1[0,2], W2[0,2] and W3[0,1]", "3 weights"],
    ),
    "noise": (noisy(G), "scattered", ["Every judged parameter", "noise"]),
    "noise in one": (changed(W3=noisy), "scattered", ["W3 is", "dW3"]),
    "labels of a softmax": (
        changed(W1=noisy, b1=noisy, W2=noisy, b2=noisy, W3=noisy, b3=lambda g: g + np.array([0.1, -0.1])),
        "scattered",
        ["b3 add up to 0"],
    ),
}
CASES["some units"] = (
    np.concatenate([CASES["some units"][0].ravel(), G[25:]]),
    *CASES["some units"][1:],
)


@pytest.mark.parametrize("case", CASES)
def test_each_kind_is_named_with_what_is_wrong(case: str) -> None:
    analytic, kind, phrases = CASES[case]
    found = TRUTH.diagnose(analytic)
    assert found.kind == kind, found.words
    assert found.words is not None
    assert [phrase for phrase in phrases if phrase not in found.words] == [], found.words
    assert len(found.words) < wording.LONGEST


# of functions of somebody's own, in tests/numerics/test_kinds_of_mistakes.py, and of check_hessian
ELSEWHERE = {
    *("mask", "of_theta_alone", "logarithm", "tangent", "l2_part", "one_triangle", "repeated_index"),
    *("causality", "padding", "truncated", "slice_factor", "blocks", "shifted", "shift", "scale", "tied"),
}


def test_every_kind_has_a_case() -> None:
    here = {kind for _, kind, _ in CASES.values()} | {"unknown"}
    assert here | ELSEWHERE | {"asymmetric_hessian"} == set(kinds.KINDS)
    assert not here & ELSEWHERE
    assert {kind for kind, _ in diagnoses.PLANTED.values()} >= ELSEWHERE


def test_a_right_gradient_has_no_diagnosis() -> None:
    assert TRUTH.diagnose(G) == Diagnosis(None, None)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1] != "not_finite"])
def test_a_planted_exception_is_not_explained_away(case: str) -> None:
    """One wrong entry off by 1000 bounds more: what held for all holds no longer, unless nothing was said of values."""
    analytic, kind, _ = CASES[case]
    where = int(np.flatnonzero(analytic != G)[-1]) if kind != "entries" else 40
    spoiled = analytic.copy()
    # a value of few digits would still be a rounded number
    spoiled[where] += 1000 * ERROR * (1 + abs(analytic[where])) * np.pi
    found = TRUTH.diagnose(spoiled)
    assert found.kind != kind or kind in {"bias", "activation_derivative", "entries", "scattered"}


# a lower precision has a smallest number of its own, in whatever unit
@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1] != "precision"])
@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
def test_the_kind_does_not_depend_on_the_unit_of_the_loss(case: str, scale: float) -> None:
    analytic, kind, _ = CASES[case]
    a, numeric, bound = (scale * values for values in (analytic, TRUTH.numeric, TRUTH.bound))
    moved = replace(TRUTH, true=scale * G, numeric=numeric, bound=bound)
    assert moved.diagnose(a).kind == kind


@pytest.mark.parametrize(
    "case", ["sign", "2", "l2 missing", "data term", "2 and 4", "clipped", "transposed", "detached"]
)
def test_weights_without_a_bound_change_nothing(case: str) -> None:
    analytic, kind, _ = CASES[case]
    bound = TRUTH.bound.copy()
    bound[::6] = np.inf
    numeric = TRUTH.numeric.copy()
    numeric[::12] = np.nan
    assert replace(TRUTH, bound=bound, numeric=numeric).diagnose(analytic).kind == kind


@pytest.mark.parametrize("seed", range(12))
def test_only_weights_that_match_are_called_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, wrong = rng.normal(size=NET.size) + np.sign(rng.normal(size=NET.size)), int(rng.integers(NET.size))
    claim = Claimed(NET, rng.normal(size=NET.size), np.where(np.arange(NET.size) == wrong, -1.5 * true, true))
    known = np.zeros(NET.size, dtype=bool)
    for count in (0, int(rng.integers(2, 20))):
        known[rng.permutation(np.delete(np.arange(NET.size), wrong))[:count]] = True
        # a bound as large as the gradient leaves a weight open, though it is finite
        bound = np.where(known | (np.arange(NET.size) == wrong), ERROR, 3.0)
        outcome = judged(claim.analytic, true, bound)
        matches = int((outcome.verdict == "match").sum())
        assert (outcome.verdict == "mismatch").sum() == 1
        assert matches == known.sum()
        told = diagnose(claim, true, outcome)
        if matches:
            assert told.kind == "entries"
            assert f"the other {matches} judged are right" in told.words
        else:
            assert "right" not in told.words


def test_a_sample_of_the_weights_is_enough() -> None:
    index = np.arange(0, NET.size, 3)
    claimed = Claimed(NET, T, 2 * G)
    verdicts = judged(2 * G[index], TRUTH.numeric[index], TRUTH.bound[index])
    found = diagnose(claimed, TRUTH.numeric[index], verdicts, index)
    assert found.kind == "constant_factor"


def test_the_most_precise_weights_give_the_number() -> None:
    bound = np.where(np.arange(NET.size) % 5 == 0, 1e-13, 1e-3)
    rng = np.random.default_rng(3)
    numeric = G + bound * rng.uniform(-0.9, 0.9, NET.size)
    found = replace(TRUTH, numeric=numeric, bound=bound).diagnose(1.0123456 * G)
    assert found.words is not None
    assert "1.01235 times" in found.words or "1.0123456" in found.words


@pytest.mark.parametrize("seed", range(5))
def test_two_weights_are_too_few_for_a_pattern(seed: int) -> None:
    truth = Truth.draw(Layout(("W", "b"), ((1, 1), (1,))), seed)
    found = truth.diagnose(truth.true * np.array([1.37, 0.61]))
    assert found.kind == "unknown"
    assert found.words is not None
    assert "W[0,0] and b[0]" in found.words


def test_one_weight_is_off_by_a_factor_whatever_happened() -> None:
    truth = Truth.draw(Layout(("theta",), ((),)))
    found = truth.diagnose(truth.true * 1.37, n=None, n_classes=None)
    assert found.kind == "constant_factor"
    assert found.words is not None
    assert "theta is 1.37 times" in found.words


def test_differences_close_to_the_bound_make_no_pattern() -> None:
    bound = np.abs(G) * 0.3
    found = replace(TRUTH, numeric=G, bound=bound).diagnose(noisy(G))
    assert found.kind == "unknown"
    assert found.words is not None
    assert "less than 10 times" in found.words


def test_a_factor_near_2_is_not_called_2() -> None:
    found = TRUTH.diagnose((2 + 1e-8) * G)
    assert found.kind == "constant_factor"
    assert found.words is not None
    assert "±" in found.words


@pytest.mark.parametrize("names", [("x",), ("weights", "offset"), ("Ω" * 300, "b" * 300), ("W²", "b1"), ("0" * 5000,)])
@pytest.mark.parametrize(
    "change", [lambda g: -g, lambda g: 0 * g, noisy, lambda g: g + 1e-3 * (np.arange(len(g)) == 3)]
)
def test_names_of_any_kind_and_length(names: tuple[str, ...], change: Any) -> None:
    truth = Truth.draw(Layout(names, tuple((7,) for _ in names)))
    found = truth.diagnose(change(truth.true), n=None, n_classes=None)
    assert found.kind in kinds.KINDS
    assert found.words is not None
    assert len(found.words) <= wording.LONGEST


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("b", "b2", "b_2", "layers.0.bias", "out_bias1")),
        *((name, False) for name in ("beta", "W1", "x", "batch", "b2W")),
    ],
)
def test_biases_are_told_by_name(name: str, expected: bool) -> None:
    assert evidence.is_bias(name) is expected


def test_many_parameters_make_no_long_words() -> None:
    names = tuple(f"{kind}{layer}" for layer in range(1, 60) for kind in ("W", "b"))
    truth = Truth.draw(Layout(names, tuple((3, 2) if name[0] == "W" else (2,) for name in names)))
    rng = np.random.default_rng(0)
    factors = np.concatenate([np.full(6 if name[0] == "W" else 2, rng.integers(2, 9)) for name in names])
    found = truth.diagnose(factors * truth.true)
    assert found.kind == "param_factor"
    assert found.words is not None
    assert not found.words.endswith("…")


numbers = st.floats(width=64) | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 1e308, 5e-324, 1.0, 2.0])
LAYOUTS = [NET, Layout(("W", "b"), ((2, 3), (3,))), Layout(("theta",), ((),)), Layout(("x",), ((6,),)), Layout((), ())]


@settings(max_examples=400)
@given(st.data())
def test_no_numbers_raise_or_warn(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    m = layout.size
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.longdouble]))
    column = arrays(np.float64, m, elements=numbers)
    with np.errstate(all="ignore"):
        theta, analytic = data.draw(column).astype(dtype), data.draw(column).astype(dtype)
        numeric, bound = data.draw(column), np.abs(data.draw(column))
        verdicts = judged(analytic, numeric, bound)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(Claimed(layout, theta, analytic), numeric, verdicts)
    assert (found.kind is None) == ("mismatch" not in verdicts.verdict)
    assert found.kind is None or (found.kind in kinds.KINDS and 0 < len(found.words or "") <= wording.LONGEST)


@pytest.mark.parametrize("small", [1e-200, 1e-210])
def test_numbers_whose_products_are_0_are_no_evidence_of_a_tangent(small: float) -> None:
    layout = LAYOUTS[1]
    theta = np.append(np.full(6, 1e-100), np.ones(3))
    analytic = np.append(small * np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0]), np.ones(3))
    numeric = analytic - np.append(np.full(6, 2 * small), np.zeros(3))
    verdicts = judged(analytic, numeric, np.append(np.full(6, 1e-250), np.full(3, 1e-9)))
    assert diagnose(Claimed(layout, theta, analytic), numeric, verdicts).kind != "tangent"


@settings(max_examples=400)
@given(st.data())
def test_gradients_related_at_random_raise_nothing(data: st.DataObject) -> None:
    """Closer to what a hypothesis looks for than independent numbers are."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    exponent = data.draw(st.integers(-300, 300))
    factor = data.draw(st.sampled_from([-1.0, 0.0, 1e-300, 0.5, 2.0, 1e300, 1 + 1e-12]))
    slope = data.draw(st.sampled_from([0.0, 0.1, 1e200]))
    n = rng.normal(size=NET.size) * 10.0**exponent * (rng.random(NET.size) < data.draw(st.floats(0, 1)))
    theta = rng.normal(size=NET.size) * (rng.random(NET.size) < data.draw(st.floats(0, 1)))
    with np.errstate(all="ignore"):
        a = np.where(rng.random(NET.size) < data.draw(st.floats(0, 1)), factor * n + slope * theta, n)
        verdicts = judged(a, n, np.abs(n) * 10.0 ** data.draw(st.integers(-16, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(Claimed(NET, theta, a), n, verdicts)
    assert found.kind in kinds.KINDS or found.kind is None


# --- with the catalogue -----------------------------------------------------------------------------------------------


def cell(model: Any, bug: str, n: int = 40, **settings: Any) -> Cell:
    source = Gaussian(n=n, d=4, seed=1)
    return Cell(model, source, Normal(2), BUGS[bug](**settings), SCHEMES["central"], np.dtype(np.float64), 1e-2)


@pytest.mark.parametrize(
    ("checked", "kind", "phrase"),
    [
        (
            cell(Linear(l2=0.1), "missing_mean"),
            "constant_factor",
            "40 times too large, 40 being the number of examples",
        ),
        (cell(Linear(l2=0.25), "missing_l2"), "l2", "lambda = 0.25"),
        (cell(MLP([5, 3], l2=0.1), "course_pair"), "param_factor", "look at db1 and dW2 alone"),
        (cell(MLP([5, 3], l2=0.1), "detached_layer", param="W1"), "detached", "layer 1"),
        (cell(MLP([5, 3]), "missing_activation_derivative", param="W2"), "activation_derivative", "layer 2"),
        (cell(Softmax([4], n_classes=5), "label_flip"), "scattered", "b2 add up to 0"),
        (cell(Linear(), "broadcast"), "scattered", "b is right"),
    ],
    ids=lambda value: value.bug.name if isinstance(value, Cell) else "",
)
def test_words_of_cells(checked: Cell, kind: str, phrase: str) -> None:
    summary = check_cell(checked).summary
    assert summary["diagnosis_kind"] == kind
    assert phrase in summary["diagnosis"]


def test_every_bug_has_a_kind_and_every_kind_exists() -> None:
    assert set(KINDS) == set(BUGS) - {"none"}
    assert {kind.name for kind in KINDS.values()} | {c.kind for c in OVERLAPS} <= set(kinds.KINDS)


def test_overlaps_are_no_free_pass() -> None:
    """A gradient that is off without a pattern coincides with nothing."""
    wrong = Wrong(NET, T, G, noisy(G))
    assert accepted("stale_batch", wrong) == {"scattered"}
    assert accepted("scale", Wrong(NET, T, G, 2 * G)) == {"constant_factor", "param_factor"}


@pytest.mark.parametrize("overlap", OVERLAPS, ids=lambda c: f"{c.kind}: {c.why}")
def test_each_overlap_holds_somewhere_and_not_everywhere(overlap: Any) -> None:
    one = Layout(("W", "b"), ((1, 1), (1,)))
    few = Wrong(one, np.array([0.3, 0.4]), np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    two = Wrong(one, np.array([0.3, 0.4]), np.array([1.0, 2.0]), np.array([1.5, 3.7]))
    flat = Wrong(one, np.array([0.3, 0.4]), np.array([0.0, 2.0]), np.array([1.0, 2.0]))
    parts = {name: part.copy() for name, part in NET.split(G).items()}
    parts["W3"] *= [[2.0], [3.0], [4.0]]
    wrongs = [
        few,
        two,
        flat,
        Wrong(NET, T, G, NET.join(parts, float)),
        *(Wrong(NET, T, G, analytic) for analytic, kind, _ in CASES.values() if kind != "not_finite"),
    ]
    assert {overlap.holds(wrong) for wrong in wrongs} == {True, False}


@pytest.fixture(scope="module")
def tally() -> bug_kinds.Tally:
    return bug_kinds.measure(seed=2, count=16)


def test_kinds_are_named_rightly_over_the_catalogue(tally: bug_kinds.Tally) -> None:
    assert sum(tally.total.values()) > 200
    # the mistakes of layers, each with a public report, are made in nets of their own
    assert len(tally.total) >= sum(not BUGS[name].source for name in KINDS) - 1
    assert tally.share >= 0.95, bug_kinds.table(tally)


def test_nothing_is_claimed_where_nothing_can_be_known(tally: bug_kinds.Tally) -> None:
    assert tally.hopeless > 60
    assert tally.overconfidence <= 0.01, bug_kinds.table(tally)


def test_the_measure_sees_a_wrong_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: every cell is called a constant factor."""
    monkeypatch.setattr(
        "gradcheck.numerics.diagnosis.diagnose.diagnose", lambda *given: Diagnosis("constant_factor", "so it is")
    )
    spoiled = bug_kinds.measure(seed=2, count=4, bugs=("zero_entry", "transposed", "missing_l2", "stale_batch"))
    assert spoiled.share < 0.5
    assert spoiled.overconfidence > 0.5
