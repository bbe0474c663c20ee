"""check_hessian: right Hessians of any kind match, each planted mistake is found and named, wrong uses are refused."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from trials import hessians

import gradcheck
from gradcheck.functions.second_order import drawn, hessian, symmetry
from gradcheck.functions.second_order.diagnosis import KINDS, diagnose_products
from gradcheck.functions.second_order.entries import labels_of
from gradcheck.functions.second_order.evidence import Evidence
from gradcheck.numerics.layout import Layout

X0 = np.array([1.3, 0.7, 0.8, 1.9])
Y = np.array([0.3, 2.1, 1.2, 1.9, 3.4, 0.7])


def normal(t: Any) -> Any:
    """Minus the log-likelihood of the normal distribution by mean and standard deviation."""
    return len(Y) * np.log(t[1]) + np.sum((Y - t[0]) ** 2) / (2 * t[1] ** 2)


def normal_score(t: Any) -> Any:
    r = Y - t[0]
    return np.array([-r.sum() / t[1] ** 2, len(Y) / t[1] - (r @ r) / t[1] ** 3])


def normal_hessian(t: Any) -> Any:
    r = Y - t[0]
    cross = 2 * r.sum() / t[1] ** 3
    return np.array([[len(Y) / t[1] ** 2, cross], [cross, 3 * (r @ r) / t[1] ** 4 - len(Y) / t[1] ** 2]])


T0 = np.array([1.1, 1.4])


def dense(x: Any) -> Any:
    """A function whose Hessian has no entry 0: the sum of exp(a_k x)."""
    return np.exp(A @ x).sum()


A = np.random.default_rng(3).normal(size=(7, 4)) / 2


def dense_gradient(x: Any) -> Any:
    return A.T @ np.exp(A @ x)


def dense_hessian(x: Any) -> Any:
    return (A.T * np.exp(A @ x)) @ A


def check(change: Callable[[Any], Any], x0: Any = X0, **settings: Any) -> gradcheck.HessianOutcome:
    """The outcome of the dense function's Hessian after a change."""
    return gradcheck.check_hessian(dense, dense_gradient, lambda x: change(dense_hessian(x)), x0, **settings)


# --------------------------------------------------------------------------------------------------- right Hessians


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**31), st.sampled_from(hessians.FAMILIES))
def test_a_right_hessian_matches_in_every_entry_that_is_not_exempt(seed: int, family: Any) -> None:
    r = gradcheck.check_hessian(*family(np.random.default_rng(seed)))
    assert r.hessian.count("mismatch") == 0, str(r)
    assert r.symmetric
    assert r.diagnosis is None


def test_random_hessians_and_planted_errors() -> None:
    assert "all found" in hessians.trial(200, seed=11)


@pytest.mark.parametrize("jac", [normal_score, None])
def test_the_numbers_are_the_second_derivatives_within_their_bounds(jac: Any) -> None:
    """mpmath differentiates with 40 digits."""
    r = gradcheck.check_hessian(normal, jac, normal_hessian, T0)
    with mpmath.workdps(40):

        def exact(m: Any, s: Any) -> Any:
            return len(Y) * mpmath.log(s) + sum((mpmath.mpf(float(y)) - m) ** 2 for y in Y) / (2 * s**2)

        for row in range(4):
            i, j = r.hessian.table["position"][row]
            orders = (int(i == 0) + int(j == 0), int(i == 1) + int(j == 1))
            truth = mpmath.diff(exact, tuple(mpmath.mpf(float(t)) for t in T0), orders)
            assert abs(r.hessian.table["numeric"][row] - float(truth)) <= r.hessian.table["bound"][row]
    assert r.verdict == "match"
    # without jac two differences follow each other: a thousand times less is seen
    assert r.resolution < (1e-7 if jac else 1e-4)
    assert (r.njev > 0) == (jac is not None)


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        np.asmatrix,
        scipy.sparse.csr_array,
        scipy.sparse.coo_matrix,
        scipy.sparse.linalg.aslinearoperator,
        lambda h: h.tolist(),
        np.asfortranarray,
    ],
)
def test_a_hessian_may_be_any_kind_of_matrix(kind: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # NumPy's matrix
        r = check(kind)
    assert r.verdict == "match"
    assert r.hessian.count("match") == 16


@pytest.mark.parametrize("flat", [True, False])
def test_x_may_be_an_array_of_any_shape(flat: bool) -> None:
    def hess(x: Any) -> Any:
        h = dense_hessian(x.ravel())
        return h if flat else h.reshape(2, 2, 2, 2)

    args = (lambda x: dense(x.ravel()), lambda x: dense_gradient(x.ravel()).reshape(2, 2), hess, X0.reshape(2, 2))
    r = gradcheck.check_hessian(*args)
    assert r.verdict == "match"
    assert r.errors["entry"].tolist()[4] == "H[(0,0),(0,0)]"


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("returned", [(), (1,), (1, 1), (1, 1, 1, 1)])
def test_one_entry_may_have_any_shape(shape: tuple[int, ...], returned: tuple[int, ...]) -> None:
    r = gradcheck.check_hessian(
        lambda x: np.sum(x**3), lambda x: 3 * x**2, lambda x: 6 * np.reshape(x, returned), np.full(shape, 2.0)
    )
    assert r.verdict == "match"
    wrong = gradcheck.check_hessian(
        lambda x: np.sum(x**3), lambda x: 3 * x**2, lambda x: 3 * np.reshape(x, returned), np.full(shape, 2.0)
    )
    assert wrong.verdict == "mismatch"


def blocks(t: Any) -> Any:
    h = normal_hessian([t["mu"], t["sigma"]])
    names = ["mu", "sigma"]
    return {a: {b: h[i, j] for j, b in enumerate(names)} for i, a in enumerate(names)}


def of_dict(hess: Any) -> gradcheck.HessianOutcome:
    def score(t: Any) -> Any:
        return dict(zip(("mu", "sigma"), normal_score([t["mu"], t["sigma"]]), strict=True))

    return gradcheck.check_hessian(lambda t: normal([t["mu"], t["sigma"]]), score, hess, {"mu": 1.1, "sigma": 1.4})


def test_a_dict_has_a_matrix_over_the_flat_order_or_a_dict_of_dicts() -> None:
    for hess in (blocks, lambda t: normal_hessian([t["mu"], t["sigma"]])):
        r = of_dict(hess)
        assert r.verdict == "match"
        assert r.errors["entry"].tolist()[2:] == ["H[mu,mu]", "H[mu,sigma]", "H[sigma,mu]", "H[sigma,sigma]"]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_rows_stand_in_the_order_of_the_matrix_whatever_the_structure(seed: int) -> None:
    """Each entry is wrong by its own amount, so no two can be exchanged."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 3, 3)
    a = rng.normal(size=(5, sizes.sum()))
    ends = np.cumsum(sizes)[:-1]
    wrong = rng.uniform(1, 2, (sizes.sum(), sizes.sum()))

    def join(x: Any) -> Any:
        return np.concatenate(x)

    def gradient(x: Any) -> Any:
        return np.split(a.T @ np.exp(a @ join(x)), ends)

    r = gradcheck.check_hessian(
        lambda x: np.exp(a @ join(x)).sum(),
        gradient,
        lambda x: (a.T * np.exp(a @ join(x))) @ a * wrong,
        np.split(rng.normal(size=sizes.sum()) / 3, ends),
    )
    table = r.hessian.table
    assert table["flat_index"].tolist() == list(range(wrong.size))
    assert [list(np.unravel_index(i, wrong.shape)) for i in table["flat_index"]] == table["position"]
    # the analytic entry is the wrong one, the numeric one the right one, to five digits
    assert np.allclose(table["analytic"] / table["numeric"], wrong.ravel(), rtol=1e-5)


def test_a_series_keeps_its_labels_which_name_the_entries() -> None:
    x0 = pd.Series(X0, index=["age", "sex", "bmi", "dose"])

    def hess(x: Any) -> Any:
        h = dense_hessian(x.to_numpy())
        h[0, 2] = h[2, 0] = h[2, 0] / 2
        return pd.DataFrame(h, index=x.index, columns=x.index)

    def gradient(x: Any) -> Any:
        return pd.Series(dense_gradient(x.to_numpy()), index=x.index)

    def fun(x: Any) -> Any:
        assert list(x.index) == ["age", "sex", "bmi", "dose"]
        return dense(x.to_numpy())

    r = gradcheck.check_hessian(fun, gradient, hess, x0, points=2)
    assert "H[age,bmi] and H[bmi,age] are both half" in str(r)
    with pytest.raises(gradcheck.ContractError, match="columns of the Hessian are in another order than x0"):
        gradcheck.check_hessian(fun, gradient, lambda x: hess(x).iloc[::-1, ::-1], x0)


def test_x_may_be_any_nesting_and_arguments_may_have_names() -> None:
    x0 = {"loc": {"mu": 1.1}, "scale": [1.4]}

    def flat(x: Any) -> Any:
        return [x["loc"]["mu"], x["scale"][0]]

    def score(x: Any, *, k: float) -> Any:
        g = k * normal_score(flat(x))
        return {"loc": {"mu": g[0]}, "scale": [g[1]]}

    def hessp(x: Any, p: Any, *, k: float) -> Any:
        h = k * normal_hessian(flat(x)) @ flat(p)
        return {"loc": {"mu": h[0]}, "scale": [h[1]]}

    def run(hess: Any, **more: Any) -> gradcheck.HessianOutcome:
        return gradcheck.check_hessian(lambda x, *, k: k * normal(flat(x)), score, hess, x0, kwargs={"k": 2.0}, **more)

    r = run(lambda x, *, k: k * normal_hessian(flat(x)), hessp=hessp, points=3, bounds={"scale": (0.1, None)})
    assert r.verdict == "match"
    assert "H[loc.mu,scale[0]]" in r.errors["entry"].tolist()
    assert run(lambda x, *, k: normal_hessian(flat(x))).diagnosis_kind == "constant_factor"


def test_tensors_are_handed_on_as_they_came() -> None:
    torch = pytest.importorskip("torch")
    a = torch.tensor(A)

    def fun(x: Any) -> Any:
        return torch.exp(a @ x).sum()

    def gradient(x: Any) -> Any:
        return torch.func.grad(fun)(x)

    r = gradcheck.check_hessian(fun, gradient, torch.func.hessian(fun), torch.tensor(X0))
    assert r.verdict == "match"


def test_value_and_gradient_may_come_from_one_function() -> None:
    r = gradcheck.check_hessian(lambda x: (dense(x), dense_gradient(x)), True, dense_hessian, X0)
    assert r.verdict == "match"
    assert r.gradient is not None


def test_several_points_and_settings_are_handed_on() -> None:
    r = check(lambda h: h, points=4, seed=3, match_at=1e-3, scheme="five_point")
    assert len(r.gradient.points) == len(r.hessian.points) == len(r.symmetry) == 4  # type: ignore[union-attr]
    assert (r.hessian.scheme, r.hessian.match_at) == ("five_point", 1e-3)
    theta = [[p.table["weight"][0] for p in part.points] for part in r.parts]
    assert theta[0] == theta[1]  # the same points for both
    assert len(set(theta[0])) == 4
    assert set(r.errors["point"]) == {0, 1, 2, 3}
    assert check(lambda h: h, points=np.stack([X0, X0 + 1])).verdict == "match"


def test_a_mistake_away_from_x0_is_found_by_points() -> None:
    def hess(x: Any) -> Any:
        return dense_hessian(x) * (1 if x[0] == X0[0] else 2)

    assert gradcheck.check_hessian(dense, dense_gradient, hess, X0 * 1, sample=1).judged > 0
    r = gradcheck.check_hessian(dense, dense_gradient, hess, X0, points=[X0 + 0.1, X0])
    assert r.verdict == "mismatch"
    assert r.diagnosis_kind == "constant_factor"


def test_no_point_lies_outside_of_bounds() -> None:
    seen = []

    def fun(x: Any) -> Any:
        seen.append(x.copy())
        return normal(x)

    def score(x: Any) -> Any:
        seen.append(x.copy())
        return normal_score(x)

    bounds = [(None, None), (1.39, None)]
    r = gradcheck.check_hessian(fun, score, normal_hessian, T0, bounds=bounds, points=5)
    assert r.verdict == "match"
    assert min(x[1] for x in seen) >= 1.39
    seen.clear()
    assert gradcheck.check_hessian(fun, None, normal_hessian, T0, bounds=[(None, None), (0.5, None)]).verdict == "match"
    assert min(x[1] for x in seen) >= 0.5


def test_the_numbers_have_the_columns_of_an_outcome() -> None:
    r = check(pair(0.5))
    assert r.errors.columns.tolist() == ["entry", *r.hessian.errors.columns]
    assert set(r.to_frame(full=True)) == {"entry", *r.hessian.to_frame(full=True)}
    assert len(r.errors) == 4 + 16
    assert r.errors["param"].value_counts().to_dict() == {"H": 16, "x": 4}


def test_calls_are_counted() -> None:
    counts = {"fun": 0, "jac": 0, "hess": 0}

    def counted(name: str, function: Any) -> Any:
        def call(x: Any) -> Any:
            counts[name] += 1
            return function(x)

        return call

    functions = [counted(n, f) for n, f in zip(counts, (dense, dense_gradient, dense_hessian), strict=True)]
    r = gradcheck.check_hessian(*functions, X0)
    assert (r.nfev, r.njev, r.nhev) == tuple(counts.values())
    counts.update(dict.fromkeys(counts, 0))
    r = gradcheck.check_hessian(functions[0], None, functions[2], X0)
    assert (r.nfev, r.njev, r.nhev) == tuple(counts.values())


def test_nothing_is_left_changed() -> None:
    x0, before = X0.copy(), np.random.get_state()[1].copy()
    gradcheck.check_hessian(lambda x: dense(x) + 0 * np.random.rand(), dense_gradient, dense_hessian, x0, points=3)
    assert np.array_equal(x0, X0)
    assert np.array_equal(np.random.get_state()[1], before)


def test_at_an_optimum_the_hessian_is_what_counts() -> None:
    best = np.array([Y.mean(), Y.std()])
    r = gradcheck.check_hessian(normal, normal_score, normal_hessian, best)
    assert r.ok
    assert "0 beside the diagonal" in str(r)
    assert not gradcheck.check_hessian(normal, normal_score, lambda t: -normal_hessian(t), best).ok
    assert not gradcheck.check_hessian(normal, lambda t: normal_score(t) + 1, normal_hessian, best).ok


def test_a_linear_function_has_a_hessian_of_zeros() -> None:
    r = gradcheck.check_hessian(lambda x: x @ [3, 1], lambda x: np.array([3.0, 1]), lambda x: np.zeros((2, 2)), [1, 2])
    assert (r.verdict, r.ok) == ("match", True)
    assert "all 4 entries of the Hessian are 0 and exempt" in str(r)
    assert (
        gradcheck.check_hessian(
            lambda x: x @ [3, 1], lambda x: np.array([3.0, 2]), lambda x: np.zeros((2, 2)), [1, 2]
        ).verdict
        == "mismatch"
    )


def huber(x: Any) -> Any:
    return np.sum(np.where(abs(x) < 1, x * x / 2, abs(x) - 0.5))


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_at_a_kink_of_the_gradient_an_entry_lies_between_both_slopes(slope: float) -> None:
    x0 = [0.5, 1.0, 2.0]
    r = gradcheck.check_hessian(huber, lambda x: np.clip(x, -1, 1), lambda x: np.diag([1.0, slope, 0.0]), x0)
    assert r.hessian.count("mismatch") == 0
    assert r.hessian.table["reason"][4] == "corner"
    assert "kink of the gradient" in str(r)
    wrong = gradcheck.check_hessian(huber, lambda x: np.clip(x, -1, 1), lambda x: np.diag([1.0, slope + 2, 0.0]), x0)
    assert wrong.verdict == "mismatch"


def test_a_large_hessian_is_checked_by_columns() -> None:
    d = np.linspace(1, 2, 600)
    r = gradcheck.check_hessian(
        lambda x: d @ x**2, lambda x: 2 * d * x, lambda x: scipy.sparse.diags_array(2 * d), np.ones(600), sample=2
    )
    assert r.hessian.count("match") == 2
    assert r.hessian.count("mismatch") == 0


# ------------------------------------------------------------------------------------------------- planted mistakes


def scaled(part: Callable[[Any], Any], factor: float) -> Callable[[Any], Any]:
    return lambda h: h + (factor - 1) * part(h)


def off(h: Any) -> Any:
    return h - np.diag(np.diag(h))


def pair(factor: float) -> Callable[[Any], Any]:
    def change(h: Any) -> Any:
        h = h.copy()
        h[0, 2] *= factor
        h[2, 0] *= factor
        return h

    return change


def single(factor: float) -> Callable[[Any], Any]:
    def change(h: Any) -> Any:
        h = h.copy()
        h[1, 3] *= factor
        return h

    return change


def row(h: Any) -> Any:
    h = h.copy()
    h[2] *= 1.7
    h[:, 2] += np.array([0.3, -0.2, 0.1, 0.4])
    h[2] = h[:, 2]
    return h


def logarithm(p: int) -> Callable[[Any], Any]:
    def change(h: Any) -> Any:
        h = h.copy()
        h[p] *= X0[p]
        h[:, p] *= X0[p]
        h[p, p] += 0.7
        return h

    return change


MISTAKES: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda h: -h, "constant_factor", "observed information"),
    (lambda h: 2 * h, "constant_factor", "twice what it should be"),
    (lambda h: h / 2, "constant_factor", "half of what it should be"),
    (lambda h: h / 17, "constant_factor", "0.0588"),
    (lambda h: h * (1 + 1e-6), "constant_factor", "1.000001"),
    (np.tril, "one_triangle", "Only the lower triangle"),
    (np.triu, "one_triangle", "Only the upper triangle"),
    (scaled(lambda h: np.triu(h, 1), 2.0), "one_triangle", "the upper triangle is twice"),
    (scaled(lambda h: np.tril(h, -1), 0.5), "one_triangle", "the lower triangle is half"),
    (scaled(lambda h: np.tril(h, -1), -1.0), "one_triangle", "the lower triangle has the wrong sign"),
    (scaled(lambda h: np.tril(h, -1), 1.3), "one_triangle", "the lower triangle is 1.3"),
    (lambda h: 2 * np.tril(h, -1) + np.diag(np.diag(h)), "one_triangle", "halve it, and mirror it"),
    (scaled(off, 0.5), "both_half", "All beside the diagonal is half"),
    (scaled(off, 2.0), "off_diagonal", "All beside the diagonal is twice"),
    (lambda h: np.diag(np.diag(h)), "off_diagonal", "mixed derivatives are missing"),
    (scaled(lambda h: np.diag(np.diag(h)), 2.0), "diagonal", "The diagonal is twice"),
    (lambda h: h + 0.3 * np.eye(4), "diagonal", "0.3 too large"),
    (lambda h: h - 0.3 * np.eye(4), "diagonal", "ridge (l2) term is missing"),
    (pair(0.5), "both_half", "H[0,2] and H[2,0] are both half of what they should be"),
    (pair(-1.0), "entries", "H[0,2] and H[2,0] both have the wrong sign"),
    (pair(0.0), "entries", "H[0,2] and H[2,0] are both 0"),
    (pair(1.37), "entries", "H[0,2] and H[2,0] are wrong; the other 14"),
    (single(1.1), "asymmetric", "H[1,3] is wrong, and H[3,1] is right"),
    (single(1 + 1e-11), "asymmetric", "H[3,1] and its transpose differ by more than rounding"),
    (row, "row", "derivatives by x[2]"),
    (logarithm(3), "by_the_logarithm", "x[3]"),
    (np.linalg.inv, "inverse", "the inverse of the Hessian"),
    (lambda h: -np.linalg.inv(h), "inverse", "minus the inverse"),
    (single(np.nan), "not_finite", "H[1,3] is not finite"),
    (single(np.inf), "not_finite", "H[1,3] is not finite"),
]


@pytest.mark.parametrize(("change", "kind", "words"), MISTAKES, ids=[words for _, _, words in MISTAKES])
def test_a_mistake_is_found_and_named(change: Any, kind: str, words: str) -> None:
    r = check(change)
    assert (r.verdict, bool(r)) == ("mismatch", False)
    assert words in (r.diagnosis or ""), str(r)
    assert r.diagnosis_kind == kind
    assert kind in KINDS
    assert r.diagnosis in str(r)  # type: ignore[operator]
    assert "<td>" in r._repr_html_()


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_entries_changed_at_random_have_no_pattern(seed: int, n: int) -> None:
    """A diagnosis of a factor, a triangle or a constant needs evidence; noise on every entry has none."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(8, n)) / 2
    noise = rng.uniform(0.5, 1.5, (n, n))
    noise = (noise + noise.T) / 2
    r = gradcheck.check_hessian(
        lambda x: np.exp(a @ x).sum(),
        lambda x: a.T @ np.exp(a @ x),
        lambda x: ((a.T * np.exp(a @ x)) @ a) * noise,
        rng.normal(size=n) / 3,
    )
    assert r.diagnosis_kind in ("entries", "row")


def test_two_parameters_whose_mixed_derivative_is_half() -> None:
    r = of_dict(lambda t: normal_hessian([t["mu"], t["sigma"]]) * [[1, 0.5], [0.5, 1]])
    assert r.diagnosis_kind == "both_half"
    assert "H[mu,sigma] and H[sigma,mu] are both half" in str(r)


@pytest.mark.parametrize("jac", [dense_gradient, None])
def test_names_are_those_that_are_given(jac: Any) -> None:
    names = ["one", "two", "three", "four"]
    r = gradcheck.check_hessian(dense, jac, lambda x: pair(0.5)(dense_hessian(x)), X0, names=names)
    assert "H[one,three] and H[three,one] are both half" in str(r)
    assert set(r.worst(2)["entry"]) == {"H[one,three]", "H[three,one]"}
    if jac is not None:
        assert r.errors["entry"].tolist()[:4] == [f"x[{name}]" for name in names]


@pytest.mark.parametrize("claim", [5.0, 1e-3])
@pytest.mark.parametrize("points", [None, 3])
def test_an_entry_is_wrong_where_the_gradient_does_not_change_at_all(claim: float, points: Any) -> None:
    """Half of the Hessian of the Rosenbrock function is 0."""

    def hess(x: Any) -> Any:
        h = rosen_hess(x)
        h[0, 3] = h[3, 0] = claim * abs(rosen_der(x)).max()
        return h

    r = gradcheck.check_hessian(rosen, rosen_der, hess, X0, points=points)
    wrong = [p for p, v in zip(r.hessian.table["position"], r.hessian.table["verdict"], strict=True) if v == "mismatch"]
    assert wrong == [[0, 3], [3, 0]]
    assert "H[0,3] and H[3,0] are wrong" in str(r)


@pytest.mark.parametrize("x", [0.5, 3.0, 50.0, 1e6])
@pytest.mark.parametrize("digits", [3, 6])
def test_a_gradient_of_few_digits_is_no_gradient_that_does_not_change(x: float, digits: int) -> None:
    """Printed with so many digits it is constant near x0, and far away it is not."""

    def score(t: Any) -> Any:
        return np.array([float(f"{g:.{digits}g}") for g in (t[0] + t[1] / 100, t[0] / 100 + t[1])])

    r = gradcheck.check_hessian(
        lambda t: t @ t / 2 + t[0] * t[1] / 100, score, lambda t: np.array([[1, 0.01], [0.01, 1]]), [x, x / 3]
    )
    assert r.hessian.count("mismatch") == 0, str(r)


def test_a_wrong_gradient_is_said_first() -> None:
    r = gradcheck.check_hessian(dense, lambda x: -dense_gradient(x), lambda x: -dense_hessian(x), X0)
    assert (r.verdict, r.diagnosis_kind) == ("mismatch", "gradient")
    assert "wrong sign" in str(r)
    assert "may have the same mistake" in str(r)
    r = gradcheck.check_hessian(dense, lambda x: -dense_gradient(x), dense_hessian, X0)
    assert "mend jac first" in str(r)


def test_the_expected_information_is_asked_about() -> None:
    """Gauss-Newton of a sum of squares has no negative eigenvalue, the Hessian at this point has one."""
    a, y = np.array([[1.0, 0.5], [0.3, 2.0], [1.5, -0.7]]), np.array([-4.0, 3.0, -5.0])

    def parts(x: Any) -> tuple[Any, Any, Any]:
        return np.sin(a @ x) - y, np.cos(a @ x), -np.sin(a @ x)

    r = gradcheck.check_hessian(
        lambda x: np.sum(parts(x)[0] ** 2) / 2,
        lambda x: a.T @ (parts(x)[0] * parts(x)[1]),
        lambda x: (a.T * parts(x)[1] ** 2) @ a,
        [0.9, 0.4],
    )
    assert r.verdict == "mismatch"
    assert "Gauss-Newton" in str(r)


# ------------------------------------------------------------------------------------------------ symmetry, products


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(2, 12))
def test_a_sum_in_another_order_is_symmetric(seed: int, m: int, n: int) -> None:
    """Both triangles added in another order differ by rounding, which is no asymmetry."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, n)) * 10.0 ** rng.uniform(-4, 4, n)

    def hessian(x: Any) -> Any:
        d = np.exp(a[:, 0] / np.abs(a[:, 0]).max() * x[0])
        upper = np.einsum("ki,k,kj->ij", a, d, a)
        lower = np.cumsum((a[::-1] * d[::-1, None])[:, :, None] * a[::-1][:, None, :], axis=0)[-1]
        return np.triu(upper) + np.tril(lower, -1)

    assert symmetry.symmetry(hessian, rng.normal(size=n), None, None, 0.0).symmetric


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(-11, 0))
def test_an_asymmetry_above_rounding_is_seen(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(5, 5))
    h = half @ half.T + 5 * np.eye(5)
    changed = h.copy()
    changed[3, 1] += 10.0**size * abs(h[3, 1]) + 1e-11
    found = symmetry.symmetry(lambda x: changed * np.cos(x[0]), rng.normal(size=5), None, None, 0.0)
    assert found.pairs == [(3, 1)]
    accepted = symmetry.symmetry(lambda x: changed, rng.normal(size=5), None, None, 1.1)
    assert accepted.symmetric or h[3, 1] * changed[3, 1] < 0


def test_hessp_alone_is_the_hessian() -> None:
    r = gradcheck.check_hessian(rosen, rosen_der, None, X0, hessp=rosen_hess_prod)
    assert r.verdict == "match"
    wrong = gradcheck.check_hessian(rosen, rosen_der, None, X0, hessp=lambda x, p: 2 * rosen_hess_prod(x, p))
    assert wrong.diagnosis_kind == "constant_factor"
    assert wrong.nhev > 0


def slopes(n: int) -> Any:
    return np.linspace(1, 2, n)


def curved(x: Any) -> Any:
    """The diagonal of the Hessian of slopes @ x**4."""
    return 12 * slopes(len(x)) * x**2


@pytest.mark.parametrize(
    ("hess", "size"),
    [
        ({"hess": lambda x: scipy.sparse.diags_array(curved(x))}, 501),
        ({"hess": lambda x: scipy.sparse.linalg.aslinearoperator(scipy.sparse.diags_array(curved(x)))}, 101),
        ({"hess": lambda x: np.diag(curved(x))}, 101),
        ({"hess": None, "hessp": lambda x, p: curved(x) * p}, 101),
    ],
    ids=["sparse", "operator", "dense", "hessp"],
)
def test_a_large_hessian_is_multiplied_by_drawn_vectors(
    hess: dict[str, Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(factor: Any, **more: Any) -> gradcheck.HessianOutcome:
        changed = {k: v and (lambda x, *p, v=v: factor(v(x, *p), x, *p)) for k, v in hess.items()}
        d = slopes(size)
        return gradcheck.check_hessian(lambda x: d @ x**4, lambda x: 4 * d * x**3, x0=np.ones(size), **changed, **more)

    if size > hessian.COLUMNS + 1:
        assert size == hessian.LARGEST + 1
    else:  # of a matrix so many entries are no trouble; here they are to be
        monkeypatch.setattr(hessian, "LARGEST", size - 1)
    r = run(lambda h, *_: h)
    assert (r.verdict, r.drawn, r.symmetric) == ("match", 6, True)
    assert r.hessian.count("match") == 6 * size
    if "hessp" in hess:
        there = [np.ones(size), np.ones(size) + 0.1]
        away = run(lambda h, x, p: h if x[0] == 1.0 else h * (1 + 1e-3 * (np.arange(size) == 3)), points=there)
        # whatever was not judged, the wrong row shows, never matches, and is the only one that is accused
        said = away.hessian.errors.assign(row=lambda e: [place[0] for place in e["position"]])
        assert away.verdict == "mismatch"
        assert set(said.loc[said["verdict"] == "mismatch", "row"]) == {3}
        assert "match" not in set(said.loc[said["row"] == 3, "verdict"])


def test_a_wrong_row_and_an_asymmetry_of_a_large_hessian_are_named() -> None:
    def wrong(x: Any, p: Any) -> Any:
        h = rosen_hess_prod(x, p)
        h[7] *= 1 + 1e-4
        return h

    x0 = np.random.default_rng(0).normal(size=150)
    r = gradcheck.check_hessian(rosen, rosen_der, None, x0, hessp=wrong)
    assert r.verdict == "mismatch"
    assert r.diagnosis == "The row of H by x[7] is wrong; all others are right."
    assert not r.symmetric
    assert "(H v0)[7]" in str(r)
    assert set(r.errors.query("verdict == 'mismatch'")["position"].str[0]) == {7}

    turned = drawn.BothSides(lambda x, v: (np.eye(5) + 1e-9 * np.eye(5, k=1)) @ v, np.eye(5), (), {})
    assert not symmetry.symmetry(turned, np.ones(5), None, None, 0.0).symmetric
    found = diagnose_products(evidence_without_wrong(5))
    assert found is not None
    assert "u H v and v H u differ" in found.words


def evidence_without_wrong(n: int) -> Evidence:
    none, one = np.zeros((n, 2), bool), np.ones((n, 2))
    labels = labels_of(Layout(("x",), ((n,),)), True)
    return Evidence(one, one, one, none, np.ones((2, 2), bool), np.ones(n), labels)


def test_no_vector_of_a_large_hessian_leads_outside_of_bounds() -> None:
    least = []

    def score(x: Any) -> Any:
        least.append(x.min())
        return -1 / x

    r = gradcheck.check_hessian(
        lambda x: -np.log(x).sum(),
        score,
        None,
        np.full(120, 2.0),
        hessp=lambda x, p: p / x**2,
        bounds=[(1.99, None)] * 120,
    )
    assert r.hessian.count("mismatch") == 0
    assert min(least) >= 1.99


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0])
def test_hessp_and_hess_are_compared(size: float) -> None:
    both = gradcheck.check_hessian(rosen, rosen_der, rosen_hess, X0, hessp=rosen_hess_prod)
    assert both.verdict == "match"
    assert len(both.products) == 1

    def wrong(x: Any, p: Any) -> Any:
        return rosen_hess_prod(x, p) * np.array([1, 1, 1 + size, 1])

    r = gradcheck.check_hessian(rosen, rosen_der, rosen_hess, X0, hessp=wrong)
    assert (r.verdict, r.diagnosis_kind) == ("mismatch", "products")
    assert r.hessian.count("mismatch") == 0
    assert "[2]" in str(r)
    assert "hessp is not the product with it" in str(r)


def test_hessp_takes_the_structure_of_x() -> None:
    def hessp(t: Any, p: Any) -> Any:
        h = normal_hessian([t["mu"], t["sigma"]]) @ [p["mu"], p["sigma"]]
        return {"mu": h[0], "sigma": h[1]}

    def score(t: Any) -> Any:
        return dict(zip(("mu", "sigma"), normal_score([t["mu"], t["sigma"]]), strict=True))

    r = gradcheck.check_hessian(
        lambda t: normal([t["mu"], t["sigma"]]), score, blocks, {"mu": 1.1, "sigma": 1.4}, hessp=hessp
    )
    assert r.verdict == "match"


# ------------------------------------------------------------------------------------------------------- wrong uses

TURN = iter(range(10**6))


def drifting(x: Any) -> Any:
    return dense_hessian(x) + next(TURN)


def changing(x: Any) -> Any:
    h = dense_hessian(x)
    x += 1
    return h


def changing_args(x: Any, a: Any) -> Any:
    a += 1
    return dense_hessian(x)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"fun": None}, "fun=None: must be a function; check_gradient(jac, hess, x0) checks hess against jac alone"),
    ({"jac": 3}, "jac=3: must be a function, True if fun returns (value, gradient), or None"),
    ({"hess": None}, "hess=None: give hess or hessp"),
    (
        {"hess": "2-point"},
        "hess='2-point': must be a function of x; a difference formula of SciPy leaves nothing to check",
    ),
    ({"hessp": True}, "hessp=True: must be a function of x, p"),
    ({"hess": dense_hessian(X0)}, "hess=<ndarray>: must be a function of x"),
    ({"hess": lambda x, y: x}, "hess cannot be called as hess(x): missing a required argument: 'y'; args= holds"),
    ({"hessp": lambda x: x}, "hessp cannot be called as hessp(x, p): too many positional arguments"),
    ({"args": (3,)}, "fun cannot be called as fun(x, …): too many positional arguments"),
    ({"hess": lambda x: None}, "the Hessian is None: hess must return an array of shape (4, 4)"),
    ({"hess": dense_gradient}, "it is like a gradient; where only the diagonal is known, np.diag makes a matrix of it"),
    ({"hess": lambda x: dense_hessian(x)[:3]}, "the Hessian has the shape (3, 4), but must have (4, 4)"),
    ({"hess": lambda x: np.eye(3)}, "the Hessian has the shape (3, 3), but must have (4, 4): x0 has 4 entries"),
    ({"hess": lambda x: dense_hessian(x).ravel()}, "the same number of entries in another shape"),
    ({"hess": lambda x: np.ones(10)}, "it is a packed triangle; fill in both"),
    ({"hess": lambda x: dense_hessian(x) + 0j}, "the Hessian has dtype complex128: it must be real numbers"),
    ({"hess": lambda x: [[1, 2], [3]]}, "the Hessian is no array of numbers"),
    ({"hess": lambda x: {"a": 1}}, "the Hessian is a dict, but x0 is not"),
    (
        {"hess": lambda x: dense_hessian(x).astype("f4")},
        "the Hessian has dtype float32, but x0 and the value of jac have float64",
    ),
    ({"hess": drifting}, "hess is not deterministic: two calls with the same x differ"),
    ({"hess": changing}, "hess changes its argument x in place: let it work on a copy"),
    ({"jac": lambda x: np.ones(3)}, "the gradient has the shape (3,), but must have (4,)"),
    ({"jac": lambda x: np.full(4, np.nan)}, "jac is nan at x0: it must be finite there"),
    ({"jac": lambda x: np.ones(4)}, "jac returned the same value"),
    ({"fun": lambda x: np.nan}, "fun is nan at x0"),
    ({"hessp": lambda x, p: np.ones(3)}, "the product of hessp has the shape (3,), but must have (4,)"),
    ({"hessp": lambda x, p: None}, "the product of hessp is None: it must be like x0"),
    ({"names": ["a", "b"]}, "names: 2 names for 4 entries of x0"),
    ({"names": ["a", "b", "c", "a"]}, "names: a stands there twice"),
    ({"x0": X0 + 1j}, "x0 (x) is complex: give its real and its imaginary part as two arrays"),
    ({"x0": []}, "x0 has no entries: there is no Hessian"),
    ({"x0": np.ones(501), "jac": None}, "second differences of fun by 501 entries of x0 take too long; give jac"),
    ({"jac": None, "max_nfev": 100}, "max_nfev: needs jac"),
    ({"jac": None, "fun": lambda x: np.log(x[0] - 1.3 + 1e-300)}, "fun is not finite beside x0"),
    ({"points": 0}, "points=0"),
    ({"eps": -1}, "eps=-1: must be a finite number > 0"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_wrong_use_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    given = {"fun": dense, "jac": dense_gradient, "hess": dense_hessian, "x0": X0} | change
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        gradcheck.check_hessian(**given)
    assert "\n" not in str(refused.value)


def test_blocks_that_are_missing_or_turned_are_named() -> None:
    def turned(t: Any) -> Any:
        return {"mu": {"mu": np.ones((2, 2)), "sigma": np.ones((1, 2))}, "sigma": {}}

    def run(hess: Any) -> None:
        gradcheck.check_hessian(
            lambda t: np.sum(t["mu"] ** 2) + np.sum(t["sigma"] ** 2),
            lambda t: {k: 2 * v for k, v in t.items()},
            hess,
            {"mu": np.ones(2), "sigma": np.ones(1)},
        )

    with pytest.raises(gradcheck.ContractError, match=r"block \[mu\]\[sigma\] .* it is the transpose"):
        run(turned)
    with pytest.raises(gradcheck.ContractError, match=r"no block \[mu\]\[sigma\]: give zeros"):
        run(lambda t: {"mu": {"mu": np.ones((2, 2))}})
    with pytest.raises(gradcheck.ContractError, match="has no dict for mu"):
        run(lambda t: {})


def test_an_argument_that_hess_changes_is_named() -> None:
    with pytest.raises(gradcheck.ContractError, match=r"hess changes its argument args\[0\] in place"):
        gradcheck.check_hessian(
            lambda x, a: dense(x), lambda x, a: dense_gradient(x), changing_args, X0, args=(np.ones(3),)
        )


def test_an_outcome_can_be_pickled() -> None:
    r = check(pair(0.5))
    assert str(pickle.loads(pickle.dumps(r))) == str(r)
