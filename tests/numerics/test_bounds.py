"""The bound of a numeric derivative: never below its true error, not far above it, and found in few evaluations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from covering import covering
from exact import EXTENDED, LONG, REAL, Neighbourhood, U, bound, cell, derivative, error
from instances import INSTANCES, Instance

import gradcheck
import gradcheck.numerics.quotients as quotients
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Linear, Logistic, OneD, Softmax
from gradcheck.models.one_d import CURVES
from gradcheck.models.target import NoTarget
from gradcheck.numerics.bounds import evaluations
from gradcheck.numerics.schemes import SCHEMES, losses_at

STEPS = [None, 1e-12, 1e-8, 1e-5, 1e-3, 1e-2, 1.0]
STORED = 2.0**-53


def schemes(model, dtype) -> list:
    """The formulas that have a meaning for model and dtype."""
    return [s for s in SCHEMES.values() if not s.complex_valued or (model.smooth and dtype != np.float32)]


@cache
def neighbourhood(name: str, dtype, seed: int = 0, scale: float = 0.7) -> tuple[Neighbourhood, np.ndarray]:
    """An instance's loss around a theta, and its true derivative."""
    instance = next(i for i in INSTANCES if i.name == name)
    theta, batch = instance.theta(dtype, seed=seed, scale=scale), instance.batch(dtype)
    return Neighbourhood(instance.model, theta, batch), derivative(instance.model, theta, batch)


def excess(estimate, truth) -> np.ndarray:
    """True error over bound (m,), the rounding of the stored value taken off; 0 where no bound is given."""
    # the stored value is rounded once; so are a truncation that is measured in longdouble, and the sum
    limit = bound(estimate) * (1 + 4 * STORED) + STORED * np.abs(estimate.value)
    known = np.isfinite(limit)
    # of the truth itself 11 bits beyond float64 are known, which matters to the complex step of an exact derivative
    own = 64 * U[np.dtype(LONG)] * np.abs(truth).astype(float)
    off = np.maximum(error(estimate, truth) - own, 0)
    return np.where(known, off, 0) / np.where(known & (limit > 0), limit, 1)


# --- never below the true error ---------------------------------------------------------------------------------------


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_the_bound_covers_the_true_error(instance: Instance, dtype):
    judged = 0
    # every step of every scheme, at either scale in turn
    for scheme, eps, scale in covering(schemes(instance.model, dtype), STEPS, (0.7, 3.0)):
        around, truth = neighbourhood(instance.name, dtype, 1, scale)
        estimate = around.estimate(scheme, eps)
        assert excess(estimate, truth).max() <= 1, (scale, scheme.name, eps)
        judged += np.isfinite(bound(estimate)).sum()
    assert judged >= 20 * truth.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64, LONG])
@pytest.mark.parametrize("curve", CURVES)
def test_the_bound_of_a_curve_covers_the_error_against_50_digits(curve, dtype):
    slopes = {
        "linear": lambda s: 1,
        "quadratic": lambda s: 2 * s,
        "cubic": lambda s: 3 * s**2,
        "exp": mpmath.exp,
        "sin": mpmath.cos,
        "abs": mpmath.sign,
    }
    with mpmath.workdps(50):
        for t in (-1.7, 0.3, 1e-4, 4.0):
            theta = np.array([t], dtype)
            model = OneD(curve, 1.3)
            around = Neighbourhood(model, theta, gradcheck.models.batch.NO_BATCH)
            x, s = (
                mpmath.mpf(np.format_float_scientific(v, precision=40, unique=False)) for v in (dtype(1.3), theta[0])
            )
            exact = x * slopes[curve](x * s)
            for scheme in schemes(model, dtype):
                for eps in STEPS:
                    estimate = around.estimate(scheme, eps)
                    limit = bound(estimate)[0] * (1 + 4 * STORED) + STORED * abs(estimate.value[0])
                    assert abs(mpmath.mpf(float(estimate.value[0])) - exact) <= limit, (t, scheme.name, eps)


@EXTENDED
@pytest.mark.parametrize("scale", [0.1, 30.0, 1000.0])
@pytest.mark.parametrize(
    "model", [Linear(), Logistic(), MLP([4], "softplus"), MLP([4], "relu"), Softmax([4], n_classes=3)], ids=repr
)
def test_the_bound_covers_the_true_error_at_any_scale_of_the_data(model, scale):
    for seed in range(1):
        for dtype in (np.float32, np.float64):
            batch = Gaussian(n=20, d=3, scale=scale, seed=seed).batch(model.target, np.dtype(dtype))
            theta = Normal(seed, 0.5).theta(model.layout(batch), np.dtype(dtype))
            around, truth = Neighbourhood(model, theta, batch), derivative(model, theta, batch)
            for scheme in schemes(model, dtype):
                for eps in STEPS:
                    assert excess(around.estimate(scheme, eps), truth).max() <= 1, (seed, dtype, scheme.name, eps)


@pytest.mark.parametrize("eps", [1e-3, 1e-2, 1e-1, 1.0])
def test_a_step_far_above_the_scale_of_the_loss_looks_converged_and_is_caught(eps):
    """With data of size 1000 the logistic loss is a broken line at these steps: h and 2 h agree on a wrong slope."""
    model, fooled = Logistic(), 0
    for seed in range(20):
        batch = Gaussian(n=30, d=3, scale=1000.0, seed=seed).batch(model.target, np.dtype(float))
        theta = Normal(seed, 1e-3).theta(model.layout(batch), np.dtype(float))
        around, truth = Neighbourhood(model, theta, batch), derivative(model, theta, batch)
        single, double = (around.estimate(SCHEMES["central"], h) for h in (eps, 2 * eps))
        by_doubling = np.abs(double.value - single.value) / 3 + single.roundoff
        fooled += int((error(single, truth) > by_doubling).sum())
        assert excess(single, truth).max() <= 1
        assert excess(double, truth).max() <= 1
    assert fooled >= 5


@pytest.mark.parametrize("curve", ["cubic", "sin"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_sided_steps_where_the_loss_is_next_to_zero(curve, dtype):
    """There its noise is almost nothing, and far below the truncation of the anchor that small steps are trusted to be."""
    for t in np.logspace(-6, 0, 7):
        theta = np.array([t], dtype)
        around = Neighbourhood(OneD(curve, 1.3), theta, gradcheck.models.batch.NO_BATCH)
        truth = derivative(around.model, theta, around.batch)
        for scheme in ("forward", "backward"):
            for eps in (None, *np.logspace(-12, 0, 13)):
                assert excess(around.estimate(SCHEMES[scheme], eps), truth).max() <= 1, (t, scheme, eps)


# --- planted faults ---------------------------------------------------------------------------------------------------

FAULTY = ["linear-mean-l2=0.0", "logistic-l2=0.0", "mlp-tanh-cross_entropy", "softmax-tanh", "one_d-exp"]


def exceeded(change=lambda estimate: estimate, steps=(1e-9, 1e-6, 1e-3, 1e-1), seeds=2) -> int:
    """How many weights have an error above their bound, over some instances, seeds and steps; ``change`` plants a fault."""
    found = 0
    for name in FAULTY:
        for seed in range(seeds):
            around, truth = neighbourhood(name, np.float64, seed)
            for scheme in REAL:
                for eps in steps:
                    found += int((excess(change(around.estimate(scheme, eps)), truth) > 1).sum())
    return found


@EXTENDED
def test_no_bound_is_exceeded_where_the_faults_are_planted():
    assert exceeded() == 0


@EXTENDED
def test_without_truncation_bounds_are_exceeded():
    assert exceeded(lambda e: e._replace(truncation=e.kink), steps=(1e-1,)) > 100


@EXTENDED
def test_without_roundoff_bounds_are_exceeded():
    assert exceeded(lambda e: e._replace(roundoff=0 * e.roundoff), steps=(1e-9,)) > 100


@EXTENDED
def test_with_half_a_standard_deviation_bounds_are_exceeded(monkeypatch):
    monkeypatch.setattr(quotients, "DEVIATIONS", 0.5)
    assert exceeded(steps=(1e-9,)) > 100


@EXTENDED
def test_with_half_of_the_deviations_some_bounds_are_exceeded(monkeypatch):
    """2.75 of 5.5 deviations are too few among thousands of weights."""
    monkeypatch.setattr(quotients, "DEVIATIONS", quotients.DEVIATIONS / 2)
    assert exceeded(steps=(1e-9, 1e-8, 3e-8, 1e-7, 3e-7), seeds=6) > 0


def noise_free(seed: int) -> tuple[list, dict]:
    """A linear problem at its true theta: targets rounded once, so that residuals are rounding and nothing else."""
    rng = np.random.default_rng(seed)
    X, W, b = rng.normal(size=(40, 6)), rng.normal(size=(6, 1)), rng.normal(size=1)
    y = (X.astype(LONG) @ W.astype(LONG) + b).astype(float)
    return [X.tolist(), y.tolist()], {"W": W.tolist(), "b": b.tolist()}


@pytest.mark.parametrize("eps", [None, 1e-6, 1e-3, 1.0])
def test_a_noise_free_linear_model_at_its_true_theta_is_no_mismatch(eps):
    for seed in range(5):
        for scheme in SCHEMES:
            assert cell(Linear(), *noise_free(seed), eps=eps, scheme=scheme).summary["n_mismatch"] == 0


def test_without_the_rounding_of_the_gradient_it_would_be(monkeypatch):
    rounding = Linear.rounding

    def without(self, theta, batch):
        found = rounding(self, theta, batch)
        return replace(found, gradient=np.zeros_like(found.gradient))

    def plainly(self, theta, batch):
        # losses from structure would share the residuals with the gradient, and their errors
        def losses(index, points):
            return losses_at(lambda t: self.loss(t, batch), theta, index, points), np.zeros(points.shape)

        return SimpleNamespace(losses=losses)

    monkeypatch.setattr(Linear, "rounding", without)
    monkeypatch.setattr(Linear, "perturbation", plainly)
    wrong = [cell(Linear(), *noise_free(seed), eps=1e-6).summary["n_mismatch"] for seed in range(20)]
    # 15% of the 140 weights at least
    assert sum(wrong) >= 21


# --- not far above it -------------------------------------------------------------------------------------------------

DENSE = [
    "linear-mean-l2=0.0",
    "logistic-l2=0.3",
    "mlp-tanh-cross_entropy",
    "mlp-sigmoid-squared_error",
    "softmax-softplus",
]
SWEEP = np.logspace(-11, 0, 34)


@cache
def dense_sweep(name: str, scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """The least bound over a dense sweep of steps, and the true error where it is least; (m,) each."""
    around, truth = neighbourhood(name, np.float64, 2)
    estimates = [around.estimate(SCHEMES[scheme], eps) for eps in SWEEP]
    found = np.array([bound(e) for e in estimates])
    best, rows = found.argmin(axis=0), np.arange(truth.size)
    return found[best, rows], np.array([error(e, truth) for e in estimates])[best, rows]


@EXTENDED
@pytest.mark.parametrize("scheme", [s.name for s in REAL])
def test_auto_is_within_three_times_the_least_bound_of_a_dense_sweep(scheme):
    ratios = []
    for name in DENSE:
        around, _ = neighbourhood(name, np.float64, 2)
        ratios.append(bound(around.estimate(SCHEMES[scheme], None)) / dense_sweep(name, scheme)[0])
    ratios = np.concatenate(ratios)
    assert ratios.max() <= 3
    # a formula of three pairs reaches over several steps of the ladder, so fewer are left to choose from
    assert np.median(ratios) <= (1.4 if len(SCHEMES[scheme].pairs) > 2 else 1.2)


@pytest.mark.parametrize("scheme", [s.name for s in REAL])
def test_and_where_the_penalty_is_all_that_moves(scheme):
    """A weight of units that are silent has no scale but that of its penalty, above which the noise grows with the step."""
    model, data = MLP([6, 4], "tanh", l2=0.01), Gaussian(n=12, d=6, scale=0.1)
    batch = data.batch(model.target, np.dtype(float))
    around = Neighbourhood(model, np.zeros(model.layout(batch).size), batch)
    sweep = np.min([bound(around.estimate(SCHEMES[scheme], eps)) for eps in np.logspace(-9, 2, 45)], axis=0)
    assert (bound(around.estimate(SCHEMES[scheme], None)) <= 3 * sweep).all()


@EXTENDED
@pytest.mark.parametrize(("scheme", "limit"), [("central", 8), ("forward", 8), ("backward", 8), ("complex_step", 150)])
def test_tightness(scheme, limit):
    """Bound over true error at the step of least bound: the median over the weights.

    The complex step's error is that of a gradient, whose 16 deviations are below the last digit that is stored.
    """
    ratios = []
    for instance in INSTANCES:
        if isinstance(instance.model.target, NoTarget) or not instance.model.smooth:
            continue
        around, truth = neighbourhood(instance.name, np.float64, 0)
        estimate = around.estimate(SCHEMES[scheme], None)
        off = error(estimate, truth)
        ratios.append(bound(estimate)[off > 0] / off[off > 0])
    assert 1 <= np.median(np.concatenate(ratios)) <= limit


# --- the price --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("instance", [i for i in INSTANCES if i.model.smooth and "l2" not in i.name], ids=str)
def test_evaluations_are_within_their_budget(instance, scheme):
    around, truth = neighbourhood(instance.name, np.float64)
    m = truth.size
    for eps in (1e-9, 1e-4, 1.0):
        around.count = 0
        around.estimate(SCHEMES[scheme], eps)
        assert SCHEMES[scheme].evaluations * m <= around.count <= 3 * SCHEMES[scheme].evaluations * m
        if not SCHEMES[scheme].complex_valued:
            assert around.count == evaluations(SCHEMES[scheme]) * m
    around.count = 0
    around.estimate(SCHEMES[scheme], None)
    assert around.count <= 8 * SCHEMES["central"].evaluations * m


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cell_counts_what_it_evaluates(scheme):
    model, data, init = MLP([12, 6]), Gaussian(n=10, d=8), Normal(0, 1.0)
    for eps in (1e-5, None):
        each = 3 * SCHEMES[scheme].evaluations if eps else 16
        summary = cell(model, data, init, eps=eps, scheme=scheme).summary
        assert summary["n_weights"] >= 100
        assert summary["n_weights"] < summary["n_evals"] <= each * summary["n_weights"] + 20


# --- functions that say nothing of themselves -------------------------------------------------------------------------


def wavy(small, rate):
    return (
        lambda x: (x * x).sum() + x.dtype.type(small) * np.sin(x.dtype.type(rate) * x).sum(),
        lambda x: 2 * x + x.dtype.type(small * rate) * np.cos(x.dtype.type(rate) * x),
    )


FUNCTIONS = {
    "sin(1e3 x)": (lambda x: np.sin(1e3 * x[0]), lambda x: 1e3 * np.cos(1e3 * x[:1])),
    "x^2 + 1e-3 sin(1e3 x)": wavy(1e-3, 1e3),
    "x^2 + 1e-6 sin(1e4 x)": wavy(1e-6, 1e4),
    "x^2 + 1e-2 sin(1e2 x)": wavy(1e-2, 1e2),
    "log(1e-6 + x^2)": (lambda x: np.log(1e-6 + x[0] ** 2), lambda x: 2 * x / (1e-6 + x**2)),
    "tanh(1e4 (x - 1))": (lambda x: np.tanh(1e4 * (x[0] - 1)), lambda x: 1e4 * (1 - np.tanh(1e4 * (x - 1)) ** 2)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", FUNCTIONS)
def test_hidden_small_scales_of_an_opaque_function_are_no_mismatch(case, dtype):
    fun, jac = FUNCTIONS[case]
    for x in (1.0, 1.00003):
        for scheme in ("central", "forward", "richardson"):
            for eps in ("auto", 1e-4, 1.0):
                outcome = gradcheck.check_gradient(fun, jac, np.array([x], dtype), eps=eps, scheme=scheme)
                assert outcome.verdict != "mismatch", (x, scheme, eps, str(outcome))


@pytest.mark.parametrize("scheme", ["central", "forward"])
@pytest.mark.parametrize("eps", ["auto", 1e-8, 1e-5, 1e-2])
def test_a_million_waves_for_each_unit_of_x(scheme, eps):
    outcome = gradcheck.check_gradient(
        lambda x: np.sin(1e6 * x[0]), lambda x: 1e6 * np.cos(1e6 * x), np.array([1.0]), scheme=scheme, eps=eps
    )
    assert outcome.verdict != "mismatch"


@pytest.mark.parametrize("case", ["sin(1e3 x)", "x^2 + 1e-3 sin(1e3 x)", "x^2 + 1e-2 sin(1e2 x)"])
def test_and_their_wrong_gradients_are_found(case):
    fun, jac = FUNCTIONS[case]
    for x in (1.0, 0.73, 1.00003):
        right = gradcheck.check_gradient(fun, jac, np.array([x]))
        wrong = gradcheck.check_gradient(fun, lambda x: jac(x) * 1.1, np.array([x]))
        assert (right.verdict, wrong.verdict) == ("match", "mismatch"), x


EDGES = {
    "sqrt(x)^3 at 0": (lambda x: (x**1.5).sum(), lambda x: 1.5 * x**0.5, [0.0], [(0, None)]),
    "exp at its lower bound": (lambda x: np.exp(x).sum(), np.exp, [0.0], [(0, None)]),
    "exp at its upper bound": (lambda x: np.exp(x).sum(), np.exp, [1.0], [(None, 1)]),
    "log near 0": (lambda x: np.log(x).sum(), lambda x: 1 / x, [1e-9], [(0, None)]),
    "both": (lambda x: (x**3 + x).sum(), lambda x: 3 * x**2 + 1, [0.0, 1.0], [(0, 1), (0, 1)]),
}


@pytest.mark.parametrize("case", EDGES)
def test_at_the_edge_of_a_domain_the_derivative_is_one_sided(case):
    fun, jac, x0, limits = EDGES[case]

    def inside(x):
        assert all(
            (low is None or v >= low) and (high is None or v <= high) for v, (low, high) in zip(x, limits, strict=True)
        )
        return fun(x)

    right = gradcheck.check_gradient(inside, jac, x0, bounds=limits)
    assert right.verdict != "mismatch"
    if case != "sqrt(x)^3 at 0":
        assert right.verdict == "match"
        assert (right.errors["verdict"] == "match").all()
        assert gradcheck.check_gradient(inside, lambda x: jac(x) * 1.05, x0, bounds=limits).verdict == "mismatch"
