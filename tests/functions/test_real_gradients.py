"""Gradients that others wrote and that many people use are judged right, and wrong at the one entry that is changed."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest

import gradcheck
from gradcheck.numerics.verdict import REASONS

# The change of one entry that must be seen: 1e-4 of it.
CHANGE = 1 + 1e-4


def judge(fun: Callable[[Any], Any], jac: Callable[[Any], Any], x0: Any, entry: int) -> gradcheck.Outcome:
    """The outcome for the gradient as it is, after the same gradient with one entry changed was found wrong there alone."""
    outcome = gradcheck.check_gradient(fun, jac, x0)
    assert outcome.count("mismatch") == 0, str(outcome)
    for verdict, reason in zip(outcome.table["verdict"], outcome.table["reason"], strict=True):
        assert (reason in REASONS) == (verdict in ("inconclusive", "nondifferentiable"))

    def changed(x: Any) -> Any:
        gradient = np.array(jac(x))
        gradient[np.unravel_index(entry, gradient.shape)] *= CHANGE
        return gradient

    wrong = gradcheck.check_gradient(fun, changed, x0)
    found = [i for i, verdict in enumerate(wrong.table["verdict"]) if verdict == "mismatch"]
    assert found == [entry], str(wrong)
    return outcome


def module(name: str) -> Any:
    """The module; the test is skipped where its package is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")


# --------------------------------------------------------------------------------------------------------------- SciPy


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_the_rosenbrock_function(n: int) -> None:
    optimize = module("scipy.optimize")
    x0 = np.random.default_rng(n).normal(size=n)
    assert judge(optimize.rosen, optimize.rosen_der, x0, n // 2).count("match") == n


# Their cdf is a numerical integral, whose own error a difference cannot tell from a slope: it has no closed form.
INTEGRALS = {"gausshyper", "geninvgauss", "genhyperbolic", "norminvgauss", "levy_stable", "studentized_range"}
# kstwobign: SciPy's derivative of the Kolmogorov distribution is itself wrong in the 8th digit, see the test below.
INACCURATE = {"kstwobign"}


@cache
def shapes() -> dict[str, list[tuple[float, ...]]]:
    """Continuous distributions of scipy.stats, each with its own example values of the shape parameters."""
    try:
        listed = importlib.import_module("scipy.stats._distr_params").distcont
    except ModuleNotFoundError:
        return {}
    found: dict[str, list[tuple[float, ...]]] = {}
    for distribution, values in listed:
        if isinstance(distribution, str):
            found.setdefault(distribution, []).append(values)
    return found


def test_the_distributions_left_out_are_those_whose_cdf_is_integrated_numerically() -> None:
    stats = module("scipy.stats")

    def integrated(name: str) -> bool:
        kind = type(getattr(stats, name))
        if kind._cdf is stats.rv_continuous._cdf:
            return True
        source = inspect.getsource(getattr(kind._cdf, "pyfunc", kind._cdf))
        return "quad" in source or "_integrate_pdf(" in source

    assert {name for name in shapes() if integrated(name)} == INTEGRALS & shapes().keys()


@pytest.mark.parametrize("name", sorted(shapes().keys() - INTEGRALS - INACCURATE) or ["scipy"])
def test_the_density_of_a_distribution_is_the_derivative_of_its_cdf(name: str) -> None:
    stats = module("scipy.stats")
    rng = np.random.default_rng(sum(map(ord, name)))
    for values in shapes()[name][:2]:
        distribution = getattr(stats, name)(*values)
        x = np.sort(distribution.ppf(rng.uniform(0.005, 0.995, 3)))
        weights = rng.uniform(0.3, 2.0, 3)
        outcome = judge(
            lambda x, d=distribution, w=weights: w @ d.cdf(x),
            lambda x, d=distribution, w=weights: w * d.pdf(x),
            x,
            int(rng.integers(3)),
        )
        assert outcome.count("match") == 3, str(outcome)


def test_a_density_that_is_wrong_in_the_eighth_digit_is_found() -> None:
    stats = module("scipy.stats")
    x = 0.83505626
    with mpmath.workdps(30):
        true = 2 * sum((-1) ** (k - 1) * 4 * k * k * mpmath.mpf(x) * mpmath.exp(-2 * k * k * mpmath.mpf(x) ** 2)
                       for k in range(1, 40))  # fmt: skip
        error = abs(float(stats.kstwobign.pdf(x) / true - 1))
    if error < 1e-9:
        pytest.skip("this SciPy computes the density to full precision")
    outcome = gradcheck.check_gradient(stats.kstwobign.cdf, stats.kstwobign.pdf, x)
    assert outcome.verdict == "mismatch"
    # the check's own number is the right one: its error is within its bound
    assert abs(outcome.table["numeric"][0] - float(true)) <= outcome.table["bound"][0]
    assert gradcheck.check_gradient(stats.kstwobign.cdf, lambda _: float(true), x).ok


# -------------------------------------------------------------------------------------------------------- scikit-learn

LOSSES: dict[str, dict[str, Any]] = {
    "HalfSquaredError": {},
    "AbsoluteError": {},
    "PinballLoss": {"quantile": 0.3},
    "HuberLoss": {"delta": 1.3},
    "HalfPoissonLoss": {},
    "HalfGammaLoss": {},
    "HalfTweedieLoss": {"power": 1.5},
    "HalfTweedieLossIdentity": {"power": 2},
    "HalfBinomialLoss": {},
    "HalfMultinomialLoss": {"n_classes": 3},
    "ExponentialLoss": {},
}


def linear_data(loss: str, real: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """X (n, d) and a target that the loss accepts, drawn at random or one of scikit-learn's data sets."""
    datasets = module("sklearn.datasets")
    if real and loss in ("HalfBinomialLoss", "ExponentialLoss", "HalfMultinomialLoss"):
        load = datasets.load_wine if loss == "HalfMultinomialLoss" else datasets.load_breast_cancer
        X, y = load(return_X_y=True)
    elif real:
        X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
        if loss in ("HalfSquaredError", "AbsoluteError", "PinballLoss", "HuberLoss"):
            y = (y - y.mean()) / y.std()  # else all residuals have one sign, and the gradient is the mean of X, 0
    else:
        X = rng.normal(size=(60, 5))
        slope = X @ rng.normal(size=5) * 0.5
        y = {
            "HalfPoissonLoss": lambda: rng.poisson(np.exp(slope)),
            "HalfGammaLoss": lambda: np.exp(slope) + 0.1,
            "HalfTweedieLoss": lambda: np.exp(slope) + 0.1,
            "HalfTweedieLossIdentity": lambda: np.exp(slope) + 0.1,
            "HalfBinomialLoss": lambda: slope + rng.normal(size=60) > 0,
            "ExponentialLoss": lambda: slope + rng.normal(size=60) > 0,
            "HalfMultinomialLoss": lambda: rng.integers(0, 3, 60),
        }.get(loss, lambda: slope + rng.normal(size=60))()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if loss == "HalfTweedieLossIdentity":
        X = np.abs(X)  # predictions must be positive
    return X, np.asarray(y, np.float64)


@pytest.mark.parametrize(
    ("real", "intercept", "l2"),
    [(False, True, 0.0), (False, False, 0.7), (True, True, 0.7), (True, False, 0.0)],
    ids=["random-intercept", "random-l2", "real-intercept-l2", "real"],
)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_losses_of_scikit_learns_linear_models(loss: str, real: bool, intercept: bool, l2: float) -> None:
    linear, losses = module("sklearn.linear_model._linear_loss"), module("sklearn._loss.loss")
    rng = np.random.default_rng(7)
    X, y = linear_data(loss, real, rng)
    objective = linear.LinearModelLoss(base_loss=getattr(losses, loss)(**LOSSES[loss]), fit_intercept=intercept)
    d = X.shape[1] + intercept
    x0 = rng.normal(size=(3, d) if loss == "HalfMultinomialLoss" else d) * 0.1
    if loss == "HalfTweedieLossIdentity":
        x0 = np.abs(x0)
    outcome = judge(
        lambda w: objective.loss(w, X, y, l2_reg_strength=l2),
        lambda w: objective.gradient(w, X, y, l2_reg_strength=l2),
        x0,
        int(rng.integers(x0.size)),
    )
    assert outcome.count("match") == x0.size, str(outcome)
    if l2:
        both = gradcheck.check_gradient(lambda w: objective.loss_gradient(w, X, y, l2_reg_strength=l2), True, x0)
        assert both.ok, str(both)


# --------------------------------------------------------------------------------------------------------- statsmodels

MODELS: dict[str, tuple[str, str, dict[str, str]]] = {
    "Logit-spector": ("Logit", "spector", {}),
    "Probit-spector": ("Probit", "spector", {}),
    "Logit-fair": ("Logit", "fair", {}),
    "Probit-fair": ("Probit", "fair", {}),
    "Poisson-randhie": ("Poisson", "randhie", {}),
    "NegativeBinomial-nb1": ("NegativeBinomial", "randhie", {"loglike_method": "nb1"}),
    "NegativeBinomial-nb2": ("NegativeBinomial", "randhie", {"loglike_method": "nb2"}),
    "NegativeBinomial-geometric": ("NegativeBinomial", "randhie", {"loglike_method": "geometric"}),
    "MNLogit-anes96": ("MNLogit", "anes96", {}),
}


@cache
def likelihood(name: str) -> tuple[Any, int]:
    """A model of statsmodels on one of its data sets, and how many parameters its score has."""
    discrete, datasets = module("statsmodels.discrete.discrete_model"), module("statsmodels.datasets")
    model, data, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of reading the data and of making the model
        found = getattr(datasets, data).load_pandas()
        y, X = np.asarray(found.endog, np.float64), np.asarray(found.exog, np.float64)
        y = (y > 0).astype(np.float64) if data == "fair" else y
        if data == "randhie":
            y, X = y[::8], X[::8]  # 2500 of 20190 persons
        made = getattr(discrete, model)(y, np.column_stack([np.ones(len(X)), X]), **options)
    size = X.shape[1] + 1
    if model == "MNLogit":
        size *= int(y.max())
    return made, size + (options.get("loglike_method") in ("nb1", "nb2"))


@pytest.mark.parametrize("name", MODELS)
def test_the_scores_of_statsmodels(name: str) -> None:
    model, size = likelihood(name)
    rng = np.random.default_rng(3)
    spread = np.maximum(np.abs(np.asarray(model.exog)).mean(axis=0), 1.0)
    x0 = 0.1 * rng.normal(size=size) / np.resize(spread, size)
    if name.endswith(("nb1", "nb2")):
        x0[-1] = 0.5  # the dispersion is positive
    outcome = judge(model.loglike, model.score, x0, int(rng.integers(size)))
    assert outcome.count("match") == size, str(outcome)


@pytest.mark.parametrize("name", ["Logit-spector", "Probit-spector", "MNLogit-anes96"])
def test_at_the_maximum_the_score_is_hidden_by_noise_and_no_false_alarm(name: str) -> None:
    model, _ = likelihood(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x0 = np.asarray(model.fit(disp=0).params).ravel(order="F")
    outcome = gradcheck.check_gradient(model.loglike, model.score, x0)
    assert outcome.count("mismatch") == 0, str(outcome)
    assert outcome.reason == "noise"
    assert "rounding of the loss hides the derivative" in str(outcome)
    # and yet a score that is wrong by 1e-3 of what it is elsewhere is found
    shift = 1e-3 * model.score(0.5 * x0)
    assert gradcheck.check_gradient(model.loglike, lambda x: model.score(x) + shift, x0).verdict == "mismatch"


# -------------------------------------------------------------------------------------------------------- numdifftools

POINTS = (-0.3, 0.0, 0.1, 0.5, 0.9, 1.0, 1.7, 3.0)


@cache
def examples() -> list[str]:
    """Names of numdifftools' example functions."""
    try:
        return list(importlib.import_module("numdifftools.example_functions").function_names)
    except ModuleNotFoundError:
        return []


@pytest.mark.parametrize("name", examples() or ["numdifftools"])
def test_the_example_functions_of_numdifftools(name: str) -> None:
    fun, derivative = module("numdifftools.example_functions").get_function(name, n=1)
    if derivative is None:
        pytest.skip("numdifftools gives no derivative in closed form")
    judged = 0
    for x0 in POINTS:
        with np.errstate(all="ignore"):
            value, slope = fun(np.array(x0)), derivative(np.array(x0))
        if not (np.isfinite(value) and np.isfinite(slope)):
            continue
        if slope == 0:
            outcome = gradcheck.check_gradient(fun, derivative, x0)
            assert outcome.reason == "stationary", str(outcome)
            continue
        outcome = judge(fun, derivative, x0, 0)
        assert outcome.ok, str(outcome)
        judged += 1
    assert judged
