"""Mistakes that people make in gradients of their own, and what is said of them: the kind, and no other.

The first part plants them in functions and checks these with ``check_gradient``; the second in random gradients
(``tests/trials/diagnoses.py``), where also nothing may be read into gradients without a pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import diagnoses, gradients
from trials.planted_laws import LAWS

import gradcheck
from gradcheck.numerics.diagnosis.kinds import KINDS

Array = np.ndarray

RNG = np.random.default_rng(17)
X5, X33 = RNG.normal(size=5) + 0.1, RNG.normal(size=(4, 4))
A = (lambda a: a @ a.T + np.eye(5))(RNG.normal(size=(5, 5)))
WORDS = np.array([0, 1, 1, 2, 2, 2, 3])
V = RNG.normal(size=(7, 3))
D = np.c_[np.ones(20), RNG.normal(size=(20, 4))]
Y, Y3 = RNG.normal(size=20), RNG.normal(size=(20, 3))
UP = RNG.normal(size=(3, 3))


def pool(x: Array) -> Array:
    """The maximum of each window of 2 x 2, which overlap."""
    return np.array([[x[i : i + 2, j : j + 2].max() for j in range(3)] for i in range(3)])


def pool_overwrites(x: Array, up: Array) -> Array:
    g = np.zeros_like(x)
    for i in range(3):
        for j in range(3):
            k = np.unravel_index(x[i : i + 2, j : j + 2].argmax(), (2, 2))
            g[i + k[0], j + k[1]] = up[i, j]  # where windows share a maximum, += is right
    return g


def projected(x: Array) -> Array:
    g = 2 * A @ x
    return np.asarray(g - (g @ x) / (x @ x) * x)


def rows_added_once(E: Array, d: Array) -> Array:
    g = np.zeros_like(E)
    g[WORDS] += d  # the last one of a repeated word stands
    return g


def folded(S: Array) -> Array:
    return np.asarray(np.linalg.inv(S))


def ridge(w: Array, first: int) -> Any:
    return np.mean((D @ w - Y) ** 2) + 0.1 / 2 * np.sum(w[first:] ** 2)


def ridge_gradient(w: Array, size: float) -> Array:
    return np.asarray(2 * D.T @ (D @ w - Y) / 20 + size * w)


@dataclass(frozen=True)
class Case:
    fun: Callable[..., Any]
    jac: Callable[..., Any]
    x0: Any
    kind: str
    says: str
    never: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def outcome(self) -> gradcheck.Outcome:
        return gradcheck.check_gradient(self.fun, self.jac, self.x0, **dict(self.options))


CASES = {
    # what was said wrongly
    "a maximum that overwrites, of ones": Case(
        lambda x: pool(x).sum(),
        lambda x: pool_overwrites(x, np.ones((3, 3))),
        X33,
        "repeated_index",
        "windows overlap",
        ("clip",),
    ),
    "a maximum that overwrites": Case(
        lambda x: np.sum(UP * pool(x)), lambda x: pool_overwrites(x, UP), X33, "", "", ("clip",)
    ),
    "a Riemannian gradient": Case(
        lambda x: x @ A @ x, projected, X5, "tangent", "tangent of a sphere", ("l2", "lambda")
    ),
    "another function": Case(
        lambda x: np.sum(np.sin(x)), lambda x: 2 * x, X5, "of_theta_alone", "2 x, whatever the slope is", ("data term",)
    ),
    "three equal ratios": Case(
        lambda x: np.sum(x**3), lambda x: 2 * x**2, np.ones(3), "unknown", "no evidence of a factor", ("times too",)
    ),
    "a sum": Case(np.sum, lambda x: 2 * np.ones_like(x), np.arange(3.0), "unknown", "no evidence of a factor"),
    "no pattern": Case(
        lambda x: np.sum(x * np.sin(x)), np.exp, X5, "scattered", "no pattern that I know", ("labels", "examples")
    ),
    "the sign of some": Case(
        lambda x: np.sum(np.sin(3 * x)),
        lambda x: np.abs(3 * np.cos(3 * x)),
        np.linspace(0.1, 4, 7),
        "scattered",
        "weights are off in sign",
    ),
    "three entries at one half": Case(
        lambda x: np.sum(np.exp(x)),
        lambda x: np.exp(x) * [1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 1, 1],
        np.arange(10) / 5,
        "entries",
        "3 weights",
    ),
    # what was in plain sight
    "words counted once, a sum": Case(
        lambda E: E[WORDS].sum(),
        lambda E: rows_added_once(E, np.ones((7, 3))),
        RNG.normal(size=(5, 3)),
        "repeated_index",
        "np.add.at",
    ),
    "words counted once": Case(
        lambda E: np.sin(E[WORDS] * V).sum(),
        lambda E: rows_added_once(E, V * np.cos(E[WORDS] * V)),
        RNG.normal(size=(5, 3)),
        "entries",
        "np.add.at",
    ),
    "by the logarithm": Case(
        lambda s: np.sum(s**2 * np.exp(-s)),
        lambda s: (2 * s - s**2) * np.exp(-s) * s,
        abs(X5),
        "logarithm",
        "the weight itself",
    ),
    "not by the logarithm": Case(
        lambda s: np.sum(np.log(s) ** 3),
        lambda s: 3 * np.log(s) ** 2 / s**2,
        abs(X5) + 2,
        "logarithm",
        "1 over the weight",
    ),
    "exp forgotten": Case(
        lambda u: np.sum(np.exp(2 * u) - 3 * np.exp(u)), lambda u: 2 * np.exp(u) - 3, X5, "logarithm", "exp(weight)"
    ),
    "a Cholesky factor": Case(
        lambda S: 2 * np.log(np.diag(np.linalg.cholesky(S))).sum(), folded, A, "one_triangle", "fun reads one triangle"
    ),
    "one triangle is filled": Case(
        lambda S: np.log(np.linalg.det(S)),
        lambda S: np.tril(folded(S)) + np.tril(folded(S), -1),
        A,
        "one_triangle",
        "the gradient fills one triangle",
    ),
    "by a symmetric matrix": Case(
        lambda S: np.log(np.linalg.det(S)),
        lambda S: 2 * folded(S) - np.diag(np.diag(folded(S))),
        A,
        "one_triangle",
        "each pair of entries twice",
    ),
    "a penalty on the intercept": Case(
        lambda w: ridge(w, 1), lambda w: ridge_gradient(w, 0.1), X5, "l2_part", "x[0] has 0.1 times the weight too much"
    ),
    "a penalty missing but on the intercept": Case(
        lambda w: ridge(w, 1),
        lambda w: ridge_gradient(w, 0.0),
        X5,
        "l2_part",
        "All of x but [0] have 0.1 times the weight too little",
    ),
    "a penalty on the intercepts' row": Case(
        lambda w: np.mean((D @ w - Y3) ** 2) + 0.05 * np.sum(w[1:] ** 2),
        lambda w: 2 * D.T @ (D @ w - Y3) / 60 + 0.1 * w,
        RNG.normal(size=(5, 3)),
        "l2_part",
        "Row 0 of x has 0.1 times the weight too much",
    ),
    "a mask": Case(
        lambda x: np.sum((X5 > 0.3) * x**3),
        lambda x: 3 * x**2,
        X5,
        "mask",
        "a mask (relu, dropout, max, clip) is missing",
        options=(("scheme", "complex_step"),),
    ),
    # what was right stays
    "a factor": Case(lambda x: np.sum(np.exp(x)), lambda x: 2 * np.exp(x), X5, "constant_factor", "2 times too large"),
    "a factor of no name": Case(
        lambda x: np.sum(x**3), lambda x: 2 * x**2, np.arange(1.0, 4.0), "constant_factor", "0.666667 times"
    ),
    "a penalty": Case(lambda w: ridge(w, 0), lambda w: ridge_gradient(w, 0.0), X5, "l2", "missing or too small"),
    "gradient clipping": Case(
        lambda x: np.sum(np.exp(x)), lambda x: np.minimum(np.exp(x), 1.2), np.linspace(-1, 2, 9), "clipped", "clipping"
    ),
    "residuals of broadcast labels": Case(
        lambda p: np.mean((D[:, 1:] @ p["W"] + p["b"] - Y) ** 2),
        lambda p: {
            "W": 2 * (D[:, 1:].T @ ((D[:, 1:] @ p["W"] + p["b"])[:, None] - Y)).mean(axis=1) / 20,
            "b": 2 * np.mean(D[:, 1:] @ p["W"] + p["b"] - Y),
        },
        {"W": X5[:4], "b": np.array(0.3)},
        "scattered",
        "(n, 1) minus (n,)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_gets_its_name_and_no_other(name: str) -> None:
    case = CASES[name]
    r = case.outcome()
    assert r.verdict == "mismatch"
    assert r.diagnosis is not None
    assert r.diagnosis_kind in ({case.kind} if case.kind else diagnoses.GENERIC), r.diagnosis
    assert case.says in r.diagnosis
    assert [words for words in case.never if words in r.diagnosis] == []


# --- in random gradients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", diagnoses.PLANTED)
def test_a_planted_kind_is_recognised(name: str) -> None:
    found = diagnoses.recognised(name, 20, 1)
    assert found[diagnoses.PLANTED[name][0]] >= diagnoses.RECOGNISED * 20, found


def test_nothing_is_read_into_a_gradient_without_a_pattern() -> None:
    found = diagnoses.invented(200, 1)
    wrong = sum(count for kind, count in found.items() if kind not in {*diagnoses.GENERIC, "nothing"})
    assert wrong <= diagnoses.INVENTED * 200, found


def test_the_count_sees_a_diagnosis_that_invents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a claim needs no evidence."""
    for module in ("ratios", "penalties", "symmetry", "factors", "patterns"):
        monkeypatch.setattr(f"gradcheck.numerics.diagnosis.{module}.DECADES", -9.0)
    monkeypatch.setattr("gradcheck.numerics.diagnosis.penalties.decay", lambda rest, t, tolerance: 0.1)
    found = diagnoses.invented(60, 1)
    assert found["l2"] + found["l2_part"] > 30


def spoil(found: gradients.Checked, rng: np.random.Generator) -> gradients.Checked:
    """The same with one wrong entry that is off by a thousand bounds more."""
    wrong = np.flatnonzero(np.abs(found.analytic - found.numeric) > 10 * found.bound)
    at = rng.choice(wrong)
    analytic = found.analytic.copy()
    analytic[at] += np.pi * (1000 * found.bound[at] + 1e-3 * np.abs(found.analytic).max())
    return replace(found, analytic=analytic)


# A mask is told by where both gradients are 0, a law by the numeric gradient.  What is moved lacks values at the border.  What
# lies below a factor is anything.
ALL_VALUES = [
    name
    for name in diagnoses.PLANTED
    if "mask" not in name and (name not in LAWS or name in {"turned", "heads", "vector missing"})
]


@pytest.mark.parametrize("name", ALL_VALUES)
def test_one_entry_that_does_not_fit_is_not_explained_away(name: str) -> None:
    rng = np.random.default_rng(3)
    kind, plant = diagnoses.PLANTED[name]
    assert [spoil(plant(rng), rng).diagnosis().kind == kind for _ in range(15)].count(True) == 0


@settings(max_examples=40)
@given(st.sampled_from(sorted(diagnoses.PLANTED)), st.integers(0, 10**6), st.integers(-12, 12))
def test_the_unit_of_the_loss_changes_nothing(name: str, seed: int, exponent: int) -> None:
    found = diagnoses.PLANTED[name][1](np.random.default_rng(seed))
    scale = 2.0**exponent  # exact, so that only the unit changes
    scaled = replace(found, analytic=scale * found.analytic, numeric=scale * found.numeric, bound=scale * found.bound)
    assert scaled.diagnosis().kind == found.diagnosis().kind


@settings(max_examples=25)
@given(
    st.integers(2, 30),
    st.floats(-9, 9).filter(lambda c: abs(c) > 0.05 and abs(c - 1) > 0.05),
    st.floats(-5, 5).filter(lambda v: abs(v) > 1e-3),
)
def test_equal_numbers_are_one_comparison(count: int, factor: float, slope: float) -> None:
    """At a symmetric point every entry has the same two numbers, whatever the mistake is."""
    r = gradcheck.check_gradient(lambda x: slope * np.sum(x**2), lambda x: 2 * factor * slope * x, np.ones(count))
    assert r.diagnosis_kind == "unknown", r.diagnosis
    assert "no evidence of a factor" in (r.diagnosis or "")


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_labels_are_spoken_of_only_where_there_are_some(seed: int, known: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = gradients.draw(rng, gradients.vector(rng))
    found = truth.checked(gradients.additive_noise(truth, rng), rng)
    found = replace(found, n=20) if known else found
    words = found.diagnosis().words or ""
    if found.diagnosis().kind == "scattered":
        assert ("labels" in words) == known
        assert ("check_layer" in words) == (not known)


def test_every_kind_of_a_function_is_a_kind() -> None:
    assert {case.kind for case in CASES.values()} - {""} <= set(KINDS)
    assert {kind for kind, _ in diagnoses.PLANTED.values()} <= set(KINDS)
