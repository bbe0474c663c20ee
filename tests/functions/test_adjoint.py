"""check_adjoint: right pairs match whatever their scale and type, each planted mistake is found and named."""

from __future__ import annotations

import re
from collections import namedtuple
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import adjoints

import gradcheck
from gradcheck.functions.second_order import confirmed, pairs
from gradcheck.functions.second_order.adjoint_diagnosis import KINDS
from gradcheck.functions.second_order.operators import Operator
from gradcheck.functions.second_order.spaces import space_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(6, 6))
C = A + 1j * RNG.normal(size=(6, 6))
X0 = RNG.normal(size=6)


def forward(x: Any, v: Any) -> Any:
    return A @ v


def backward(x: Any, u: Any) -> Any:
    return A.T @ u


# ------------------------------------------------------------------------------------------------------ right pairs


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from(adjoints.FAMILIES))
def test_a_right_adjoint_is_not_accused(seed: int, family: Any) -> None:
    r = gradcheck.check_adjoint(*family(np.random.default_rng(seed)), seed=seed % 97)
    assert r.verdict != "mismatch", str(r)
    assert r.diagnosis is None


def test_random_adjoints_and_planted_errors() -> None:
    assert "all found" in adjoints.trial(25, seed=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128, int])
def test_any_type_of_number(dtype: Any) -> None:
    a = C.astype(dtype) if np.dtype(dtype).kind == "c" else A.astype(dtype if dtype is not int else float)
    x0 = np.ones(6, dtype)
    assert gradcheck.check_adjoint(lambda x, v: a @ v, lambda x, u: a.conj().T @ u, x0).ok
    assert not gradcheck.check_adjoint(lambda x, v: a @ v, lambda x, u: 1.001 * (a.conj().T @ u), x0).ok


def test_nested_vectors_keep_their_structure_and_types() -> None:
    State = namedtuple("State", "h c")
    x0 = {"layers": [State(np.ones(2), np.ones((2, 3), np.float32)), State(np.ones(1), np.ones(()))], "b": np.ones(2)}

    def push(x: Any, v: Any) -> Any:
        assert type(v["layers"][0]) is State
        assert v["layers"][0].c.dtype == np.float32
        return (
            v["layers"][0].h * 2 + v["b"],
            {"s": v["layers"][0].c.sum() + v["layers"][1].h[0] * v["layers"][1].c * 0},
        )

    def pull(x: Any, u: Any) -> Any:
        first = State(2 * u[0], np.full((2, 3), u[1]["s"], np.float32))
        return {"layers": [first, State(np.zeros(1), np.zeros(()))], "b": u[0]}

    assert gradcheck.check_adjoint(push, pull, x0).verdict == "match"
    names = [leaf.name for leaf in space_of(x0, "x0")[0].leaves]
    assert names == ["layers[0][0]", "layers[0][1]", "layers[1][0]", "layers[1][1]", "b"]


def test_tensors_are_handed_on_as_they_came() -> None:
    torch = pytest.importorskip("torch")
    a = torch.tensor(A)

    def f(x: Any) -> Any:
        return torch.sin(a @ x)

    def push(x: Any, v: Any) -> Any:
        return torch.func.jvp(f, (x,), (v,))[1]

    def pull(x: Any, u: Any) -> Any:
        return torch.func.vjp(f, x)[1](u)[0]

    assert gradcheck.check_adjoint(push, pull, torch.tensor(X0)).verdict == "match"
    assert gradcheck.check_adjoint(push, lambda x, u: -pull(x, u), torch.tensor(X0)).verdict == "mismatch"
    with pytest.raises(gradcheck.ContractError, match=r"if it is \(value, J v\), take \[1\]"):
        gradcheck.check_adjoint(lambda x, v: torch.func.jvp(f, (x,), (v,)), pull, torch.tensor(X0))


def test_a_series_keeps_its_labels() -> None:
    x0 = pd.Series(X0, index=list("abcdef"))

    def push(x: Any, v: Any) -> Any:
        assert list(v.index) == list("abcdef")
        return A @ v.to_numpy()

    assert gradcheck.check_adjoint(push, lambda x, u: pd.Series(A.T @ u, index=x.index), x0).verdict == "match"


@pytest.mark.parametrize(
    "x0", [[1.0, 2.0], (1, 2), [[1.0, 2.0], [3.0, 4.0]], 1.5, np.float64(2.0), np.ones((2, 0, 3)) + 1]
)
def test_numbers_and_lists_of_numbers_are_one_array(x0: Any) -> None:
    if np.size(x0) == 0:
        with pytest.raises(gradcheck.ContractError, match="no entries"):
            gradcheck.check_adjoint(lambda x, v: v, lambda x, u: u, x0)
    else:
        assert gradcheck.check_adjoint(lambda x, v: 2 * np.asarray(v), lambda x, u: 2 * np.asarray(u), x0).ok
        assert len(space_of(x0, "x0")[0].leaves) == 1


def test_a_matrix_of_scipy() -> None:
    matrix = scipy.sparse.random(7, 5, density=0.4, random_state=1, format="csr")
    operator = scipy.sparse.linalg.aslinearoperator(matrix)
    for a in (matrix, operator):
        assert (
            gradcheck.check_adjoint(lambda x, v, a=a: a @ v, lambda x, u, a=a: a.T @ u, np.zeros(5)).verdict == "match"
        )


def test_arguments_points_and_the_number_of_pairs_are_taken() -> None:
    def push(x: Any, v: Any, a: Any, n: Any) -> Any:
        return a @ (np.cos(x) * v) ** n

    def pull(x: Any, u: Any, a: Any, n: Any) -> Any:
        return np.cos(x) * (a.T @ u)

    r = gradcheck.check_adjoint(push, pull, X0, (A, 1), pairs=4, points=3, seed=2)
    assert r.verdict == "match"
    assert r.points == (0,) * 4 + (1,) * 4 + (2,) * 4
    assert set(r.errors["point"]) == {0, 1, 2}
    assert gradcheck.check_adjoint(push, pull, X0, (A, 1), points=[X0, X0 + 1]).ok
    assert gradcheck.check_adjoint(push, pull, X0, (A, 1), points=[X0, X0 + 1]).points[-1] == 1


def test_a_mistake_away_from_x0_is_found_by_points() -> None:
    def pull(x: Any, u: Any) -> Any:
        return backward(x, u) * (1 if np.allclose(x, X0, atol=0.01) else 1.01)

    assert gradcheck.check_adjoint(forward, pull, X0).ok
    assert gradcheck.check_adjoint(forward, pull, X0, points=3).verdict == "mismatch"


def test_it_says_that_j_may_be_the_derivative_of_nothing() -> None:
    r = gradcheck.check_adjoint(forward, backward, X0)
    assert "does not show that J is the derivative of a function: check_gradient with jac=vjp and vjp=True does" in str(
        r
    )
    assert "does not show" in r._repr_html_()


def test_calls_are_counted_and_nothing_is_left_changed() -> None:
    calls = {"jvp": 0, "vjp": 0}
    x0, state = X0.copy(), np.random.get_state()[1].copy()

    def push(x: Any, v: Any) -> Any:
        calls["jvp"] += 1
        np.random.rand()
        return A @ v

    def pull(x: Any, u: Any) -> Any:
        calls["vjp"] += 1
        return A.T @ u

    r = gradcheck.check_adjoint(push, pull, x0)
    assert (r.njvp, r.nvjp) == (calls["jvp"], calls["vjp"])
    assert np.array_equal(x0, X0)
    assert np.array_equal(np.random.get_state()[1], state)


def test_where_both_products_are_zero_nothing_is_said() -> None:
    r = gradcheck.check_adjoint(lambda x, v: np.maximum(x, 0) * v, lambda x, u: np.maximum(x, 0) * u, -np.ones(3))
    assert (r.verdict, r.ok, r.judged) == ("inconclusive", False, 0.0)
    assert "take another x0" in str(r)


# ------------------------------------------------------------------------------------------------------------ bounds


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 30), st.floats(-9, 0))
def test_an_error_of_one_entry_is_seen_above_the_bound(seed: int, m: int, n: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n))
    wrong = a.copy()
    wrong[:, rng.integers(0, n)] *= 1 + 10.0**size
    r = gradcheck.check_adjoint(lambda x, v: a @ v, lambda x, u: wrong.T @ u, np.zeros(n))
    assert r.verdict == "mismatch"


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(-6, 6))
def test_an_error_of_a_column_of_another_scale_is_seen(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(5, 4)) * np.array([1, 1, 1, 10.0**scale])
    wrong = a.copy()
    wrong[:, 3] *= 1.001
    r = gradcheck.check_adjoint(lambda x, v: a @ v, lambda x, u: wrong.T @ u, np.zeros(4))
    assert r.verdict == "mismatch"


def test_an_output_of_another_scale_is_seen() -> None:
    rows = np.array([1.0, 1e-10, 1e4])[:, None] * A[:3]
    wrong = rows * np.array([1, 1.01, 1])[:, None]
    assert gradcheck.check_adjoint(lambda x, v: rows @ v, lambda x, u: rows.T @ u, X0).ok
    assert not gradcheck.check_adjoint(lambda x, v: rows @ v, lambda x, u: wrong.T @ u, X0).ok


def test_an_entry_that_vjp_forgets_is_seen_whatever_its_scale() -> None:
    a = A * np.array([1, 1, 1, 1, 1, 1e-7])

    def pull(x: Any, u: Any) -> Any:
        return (a.T @ u) * [1, 1, 1, 1, 1, 0]

    assert gradcheck.check_adjoint(lambda x, v: a @ v, pull, X0).verdict == "mismatch"


@pytest.mark.parametrize("x", [5.0, 17.0, 18.5, 30.0, 100.0])
def test_few_digits_are_no_mistake_and_a_mistake_beside_them_is_one(x: float) -> None:
    """1 - tanh(x)**2 has no digit left at 19, 1 / cosh(x)**2 has all."""

    def push(x: Any, v: Any) -> Any:
        return (1 - np.tanh(x) ** 2) * v

    x0 = np.array([x, 0.3, -x])
    assert gradcheck.check_adjoint(push, lambda x, u: u / np.cosh(x) ** 2, x0).verdict != "mismatch"
    assert gradcheck.check_adjoint(push, lambda x, u: u / np.cosh(x) ** 2, x0[:1]).verdict != "mismatch"
    r = gradcheck.check_adjoint(push, lambda x, u: u / np.cosh(x) ** 2 * [1, 1.001, 1], x0)
    assert r.verdict == "mismatch"


def test_the_bound_is_at_least_that_of_a_dot_product() -> None:
    space, x = space_of(X0, "x0")
    for p in pairs.drawn(Operator(forward, backward, (), space, space), x, 6, 0.0, np.random.default_rng(0)):
        assert p.bound >= 2.0**-53 * np.sqrt(6) * np.linalg.norm(p.u) * np.linalg.norm(p.jv)
        assert p.push.real > 0  # no term cancels another


def test_a_bound_without_repetitions_would_accuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 inside both functions is rounding that only the repetitions show."""
    case = adjoints.float32_inside(np.random.default_rng(5))
    assert gradcheck.check_adjoint(*case).ok
    monkeypatch.setattr(pairs, "quantile", lambda degrees: 0.0)
    assert not gradcheck.check_adjoint(*case).ok


def test_an_accusation_that_is_not_confirmed_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    case = (lambda x, v: (1 - np.tanh(x) ** 2) * v, lambda x, u: u / np.cosh(x) ** 2, np.array([17.3]))
    assert gradcheck.check_adjoint(*case).verdict == "inconclusive"
    monkeypatch.setattr(pairs, "keeps_its_share", lambda *_: True)
    assert gradcheck.check_adjoint(*case).verdict == "mismatch"
    assert len(confirmed.towards_zero(np.ones(2), np.random.default_rng(0))) == confirmed.POINTS


def test_a_difference_that_is_accepted() -> None:
    def pull(x: Any, u: Any) -> Any:
        return backward(x, u) * (1 + 1e-6)

    assert gradcheck.check_adjoint(forward, pull, X0).verdict == "mismatch"
    r = gradcheck.check_adjoint(forward, pull, X0, accept=1e-5)
    assert r.ok
    assert r.resolution > 1e-5


# ------------------------------------------------------------------------------------------------- planted mistakes


def bump(x: Any, u: Any) -> Any:
    g = backward(x, u)
    g[2] += u[0]
    return g


TREE = {"W": np.ones((2, 3)), "b": np.ones(2)}


def tree_forward(x: Any, v: Any) -> Any:
    return v["W"] @ X0[:3] + v["b"]


MISTAKES: list[tuple[Any, Any, Any, str, str]] = [
    (forward, lambda x, u: A @ u, X0, "not_transposed", "the transpose is missing"),
    (forward, lambda x, u: -(A.T @ u), X0, "constant_factor", "wrong sign"),
    (forward, lambda x, u: 2 * (A.T @ u), X0, "constant_factor", "2.000 times"),
    (forward, lambda x, u: A.T @ u / 6, X0, "constant_factor", "6 is the number of outputs"),
    (forward, lambda x, u: 0.37 * (A.T @ u), X0, "constant_factor", "0.370 times"),
    (lambda x, v: np.fft.fft(v), lambda x, u: np.fft.ifft(u), X0 + 0j, "constant_factor", "6 is the number of"),
    (lambda x, v: C @ v, lambda x, u: C.T @ u, X0 + 0j, "conjugate", "np.conj(vjp(x, np.conj(u)))"),
    (forward, bump, X0, "entries", "the entry x[2]"),
    (forward, lambda x, u: np.roll(A.T @ u, 1), X0, "entries", "all 6 entries"),
    (forward, lambda x, u: 0 * u, X0, "zero", "What vjp returns is 0"),
    (lambda x, v: 0 * v, backward, X0, "zero", "What jvp returns is 0"),
    (lambda x, v: A @ v + 1, backward, X0, "not_linear", "jvp is not linear in its vector: jvp(x, 0) is not 0"),
    (lambda x, v: A @ v**2, backward, X0, "not_linear", "jvp is not linear in its vector"),
    (lambda x, v: A @ np.abs(v), backward, X0, "not_linear", "jvp is not linear in its vector"),
    (forward, lambda x, u: A.T @ np.maximum(u, 0), X0, "not_linear", "vjp is not linear in its vector"),
    (
        tree_forward,
        lambda x, u: {"W": np.outer(u, X0[:3]), "b": 2 * u},
        TREE,
        "part",
        "What vjp returns for b is wrong",
    ),
    (
        lambda x, v: {"y": A @ v, "z": v[:3]},
        lambda x, u: A.T @ u["y"] + np.r_[2 * u["z"], 0, 0, 0],
        X0,
        "part",
        "The output z is wrong",
    ),
    (forward, lambda x, u: (A.T @ u) * [1, 1, np.nan, 1, 1, 1], X0, "not_finite", "What vjp returns is not finite"),
]


@pytest.mark.parametrize(("jvp", "vjp", "x0", "kind", "words"), MISTAKES, ids=[case[-1] for case in MISTAKES])
def test_a_mistake_is_found_and_named(jvp: Any, vjp: Any, x0: Any, kind: str, words: str) -> None:
    r = gradcheck.check_adjoint(jvp, vjp, x0)
    assert (r.verdict, bool(r)) == ("mismatch", False)
    assert r.diagnosis_kind == kind, str(r)
    assert kind in KINDS
    assert words in str(r)
    assert r.worst(1)["verdict"].tolist() == ["mismatch"]


def test_the_plain_convention_leaves_the_conjugate_out() -> None:
    args = (lambda x, v: C @ v, lambda x, u: C.T @ u, X0 + 0j)
    assert gradcheck.check_adjoint(*args, convention="plain").ok
    assert not gradcheck.check_adjoint(*args).ok
    hermitian = (lambda x, v: C @ v, lambda x, u: C.conj().T @ u, X0 + 0j)
    assert gradcheck.check_adjoint(*hermitian).ok
    assert not gradcheck.check_adjoint(*hermitian, convention="plain").ok


# ------------------------------------------------------------------------------------------------------- wrong uses

TURN = iter(range(10**6))


def changing(x: Any, v: Any) -> Any:
    v *= 2
    return A @ v


OPERATOR = scipy.sparse.linalg.aslinearoperator(A)

WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"jvp": A},
        "jvp=<ndarray>: must be a function of (x, v); of a matrix or LinearOperator A it is lambda x, v: A @ v",
    ),
    ({"vjp": OPERATOR}, "lambda x, u: A.T @ u, A.H @ u where complex"),
    ({"vjp": None}, "vjp=None: must be a function of (x, u)"),
    (
        {"jvp": lambda x: x},
        "jvp cannot be called as jvp(x, v): too many positional arguments; args= holds what it gets",
    ),
    ({"vjp": lambda x, u, a: u}, "vjp cannot be called as vjp(x, u): missing a required argument: 'a'"),
    ({"jvp": lambda x, v: None}, "what jvp returns is None"),
    ({"jvp": lambda x, v: np.ones(0)}, "what jvp returns has no entries"),
    ({"jvp": lambda x, v: "text"}, "what jvp returns is a str: it must be an array of real or complex numbers"),
    ({"jvp": lambda x, v: (np.cos(x), A @ v)}, "if it is (value, J v), take [1]"),
    ({"vjp": lambda x, u: (A.T @ u,)}, "must be like one array (6,): take its first and only entry, [0]"),
    ({"vjp": lambda x, u: (A.T @ u, u)}, "return that of x0 alone"),
    ({"vjp": lambda x, u: (A.T @ u)[:4]}, "what vjp returns has the shape (4,), but must have (6,)"),
    ({"vjp": lambda x, u: np.ones((2, 3)), "x0": np.ones((3, 2))}, "it is the transpose"),
    ({"jvp": lambda x, v: A @ v * next(TURN)}, "jvp is not deterministic: two calls with the same x and vector differ"),
    ({"jvp": changing}, "jvp changes its argument v in place: let it work on a copy"),
    ({"x0": []}, "x0 has no entries"),
    ({"x0": {"a": None}}, "x0 is None in a: it must be an array"),
    ({"x0": [1.0, np.nan]}, "x0 has an entry that is not finite"),
    ({"x0": np.array(["a"])}, "x0 is a ndarray of dtype <U1: it must be an array of real or complex numbers"),
    ({"convention": "torch"}, "convention='torch': must be 'conjugate' or 'plain'"),
    ({"pairs": 0}, "pairs=0: must be a whole number >= 1"),
    ({"points": 0}, "points=0: must be a number of points >= 1, or the points"),
    ({"points": [np.ones(3)]}, "points[0] has the shape (3,), but must have (6,)"),
    ({"accept": 1.0}, "accept=1.0: must be a number >= 0 below match_at"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_use_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    given = {"jvp": forward, "vjp": backward, "x0": X0} | change
    if change.get("x0") is not None and np.shape(change["x0"]) == (3, 2):
        given["jvp"] = lambda x, v: v
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        gradcheck.check_adjoint(**given)
    assert "\n" not in str(refused.value)
