"""The predicted rounding errors of losses and gradients against those that are there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from exact import EXTENDED, LONG, U, cell, extended
from instances import INSTANCES

import gradcheck.models.rounding as rounding
import gradcheck.models.sums as sums
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Linear, Logistic, OneD, Softmax
from gradcheck.models.batch import Batch
from gradcheck.models.parts import Parts
from gradcheck.models.target import NoTarget
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.schemes import SCHEMES, perturbed_weights, representable_step

SEEDS = range(20)


def in_deviations(model, theta: np.ndarray, batch: Batch) -> tuple[float, np.ndarray]:
    """Rounding error of the loss and of every entry of the gradient, in units of the predicted standard deviation.

    The reference is the same computation in longdouble, whose own rounding is 2048 times smaller than that of float64.
    """
    predicted = model.rounding(theta, batch)
    wide, data = theta.astype(LONG), extended(batch)
    loss = float(model.loss(theta, batch) - model.loss(wide, data))
    gradient = (model.gradient(theta, batch) - model.gradient(wide, data)).astype(float)
    assert predicted.loss > 0 or loss == 0
    # below the smallest normal number errors are no longer relative: they have a bound of their own
    gradient = np.where(np.abs(gradient) <= predicted.underflow, 0.0, gradient)
    assert (gradient[predicted.gradient == 0] == 0).all()
    scale = np.where(predicted.gradient > 0, predicted.gradient, 1.0)
    return loss / (predicted.loss or 1.0), gradient / scale


def rms(values) -> float:
    return math.sqrt(np.mean(np.square(values)))


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_rounding_errors_have_the_predicted_size(instance, dtype):
    batch = instance.batch(dtype)
    losses, gradients = [], []
    for scale in (0.1, 0.7, 4.0):
        for seed in range(12):
            loss, gradient = in_deviations(instance.model, instance.theta(dtype, seed=seed, scale=scale), batch)
            losses.append(loss)
            gradients.append(gradient)
    gradients = np.concatenate(gradients)
    # the prediction is an upper bound of a standard deviation: 1.3 leaves room for the spread of 36 samples, 2 / sqrt(72)
    assert rms(losses) <= 1.3
    assert rms(gradients) <= 1.3
    assert np.abs(losses).max() < DEVIATIONS
    assert np.abs(gradients).max() < DEVIATIONS


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_prediction_is_not_much_too_large(dtype):
    """A bound is of use only if it is not far above what happens: over all instances the median is above a tenth."""
    losses, gradients = [], []
    for instance in INSTANCES:
        batch = instance.batch(dtype)
        if isinstance(instance.model.target, NoTarget):
            continue
        found = [in_deviations(instance.model, instance.theta(dtype, seed=seed), batch) for seed in range(10)]
        losses.append(rms([loss for loss, _ in found]))
        gradients.append(rms(np.concatenate([gradient for _, gradient in found])))
    assert 0.1 < np.median(losses) < 1.1
    assert 0.1 < np.median(gradients) < 1.1


@EXTENDED
@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Linear(), Gaussian(n=2000, d=3, scale=100.0)),
        (Linear("half_sum"), Gaussian(n=500, d=20, correlation=0.9)),
        (Logistic(), Gaussian(n=2000, d=3, scale=0.1)),
        (Logistic(l2=0.5), Gaussian(n=200, d=40, scale=10.0)),
        (MLP([30, 20]), Gaussian(n=100, d=30)),
        (MLP([30, 20], "relu"), Gaussian(n=100, d=30, scale=10.0)),
        (MLP([8] * 6, "softplus"), Gaussian(n=50, d=4)),
        (Softmax([20], "relu", n_classes=7), Gaussian(n=300, d=10)),
    ],
    ids=repr,
)
def test_larger_deeper_and_correlated_problems(model, data):
    dtype = np.dtype(np.float32)
    batch = data.batch(model.target, dtype)
    losses, gradients = [], []
    for seed in range(20):
        theta = Normal(seed, 0.4).theta(model.layout(batch), dtype)
        loss, gradient = in_deviations(model, theta, batch)
        losses.append(loss)
        gradients.append(gradient)
    assert rms(losses) <= 1.3
    assert rms(np.concatenate(gradients)) <= 1.3
    assert np.abs(losses).max() < DEVIATIONS
    assert np.abs(np.concatenate(gradients)).max() < DEVIATIONS


# --- along a line -----------------------------------------------------------------------------------------------------


def line_errors(model, theta: np.ndarray, batch: Batch, h: float) -> np.ndarray:
    """Rounding error of every weight's L(theta + h) - L(theta - h), in units of the predicted standard deviation, sqrt(2) of a
    point's; what the two share has cancelled."""
    step = representable_step(theta, np.full(theta.size, h))
    points = perturbed_weights(theta, step, (-1.0, 1.0))
    index = np.arange(theta.size)
    losses, _ = model.perturbation(theta, batch).losses(index, points)
    exact, _ = model.perturbation(theta.astype(LONG), extended(batch)).losses(index, points.astype(LONG))
    errors = (losses - exact).astype(float)
    predicted = math.sqrt(2) * model.rounding(theta, batch).line
    return (errors[:, 1] - errors[:, 0]) / np.where(predicted > 0, predicted, 1.0)


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_along_a_line_has_the_predicted_size(dtype):
    # so small that the loss's own change, whose noise is counted apart, is nothing beside its noise
    h = 64 * U[np.dtype(dtype)]
    medians = []
    for instance in INSTANCES:
        if isinstance(instance.model.target, NoTarget):
            continue
        batch = instance.batch(dtype)
        found = np.concatenate(
            [line_errors(instance.model, instance.theta(dtype, seed=s), batch, h) for s in range(12)]
        )
        # 1.3 leaves room for the few independent roundings of the last sum that all weights of a theta share
        assert rms(found) <= 1.3, instance
        assert np.abs(found).max() < DEVIATIONS, instance
        medians.append(rms(found))
    # a prediction that is twice too large would make every bound so
    assert 0.6 < np.median(medians) < 1.1


@EXTENDED
def test_it_is_less_than_that_of_the_whole_loss_where_much_lies_before_the_line():
    model, dtype = MLP([30, 30, 30], "tanh"), np.dtype(np.float64)
    batch = Gaussian(n=20, d=30).batch(model.target, dtype)
    theta = Normal(0, 0.5).theta(model.layout(batch), dtype)
    predicted, parts = model.rounding(theta, batch), model.layout(batch).slices
    last, first = predicted.line[parts["W4"]].max(), predicted.line[parts["W1"]].max()
    assert last < first < predicted.loss
    assert last < predicted.loss / 2


@pytest.mark.parametrize("n", [1, 2, 7, 8, 12, 100, 128, 129, 1000, 20_000])
def test_the_partial_sums_of_a_sum_of_equal_terms(n):
    gathered, often = sums._partial_sums(n)
    # a sum of n terms takes n - 1 additions, the last of which has them all
    assert often.sum() == n - 1
    assert n == 1 or gathered.max() == n
    # with terms (j of them make the number j) each partial sum is exact, and its binade known
    assert sums.sum_roundings(float(n), n) == sum(
        k * 4.0 ** math.floor(math.log2(j)) for j, k in zip(gathered, often, strict=True)
    )


# --- equal examples ---------------------------------------------------------------------------------------------------


def repeated(model, times: int, dtype) -> Batch:
    batch = Gaussian(n=4, d=3).batch(model.target, np.dtype(dtype))
    return Batch(np.tile(batch.X, (times, 1)), np.tile(batch.y, (times,) + (1,) * (batch.y.ndim - 1)))


REPEATED = [Logistic(), MLP([3]), Softmax(n_classes=3), Linear()]


@EXTENDED
@pytest.mark.parametrize("model", REPEATED, ids=repr)
def test_equal_examples_make_equal_errors(model):
    batch = repeated(model, 256, np.float32)
    found = [
        in_deviations(model, Normal(seed, 0.7).theta(model.layout(batch), np.dtype(np.float32)), batch)
        for seed in SEEDS
    ]
    assert rms([loss for loss, _ in found]) <= 1.3
    assert max(abs(loss) for loss, _ in found) < DEVIATIONS
    gradients = np.concatenate([gradient for _, gradient in found])
    assert rms(gradients) <= 1.3
    assert np.abs(gradients).max() < DEVIATIONS


def summed_in_turn(model, theta: np.ndarray, batch: Batch) -> tuple[slice, np.ndarray]:
    """The last layer's gradient with its examples added one after the other, and which weights these are.

    An order that a BLAS may take, and the same on every machine: ``cumsum`` adds in turn, in the dtype.
    """
    trace = model.net.forward(theta, batch)
    delta = model.net.head.delta(trace.zs[-1], batch.y, Parts()).astype(theta.dtype)
    products = trace.inputs[-1][:, :, None] * delta[:, None, :]
    total = np.cumsum(products, axis=0, dtype=theta.dtype)[-1] * theta.dtype.type(1 / len(batch.X))
    name = [name for name in trace.params if name[0] == "W"][-1]
    return model.layout(batch).slices[name], total.ravel()


@EXTENDED
def test_counting_them_as_independent_would_be_too_small(monkeypatch):
    """Adding the same number again makes the same error again, as long as the sum stays in its binade: they add up."""
    for model in REPEATED:
        batch = repeated(model, 256, np.float32)
        found = []
        for seed in SEEDS:
            theta = Normal(seed, 0.7).theta(model.layout(batch), np.dtype(np.float32))
            where, summed = summed_in_turn(model, theta, batch)
            error = (summed - model.gradient(theta.astype(LONG), extended(batch))[where]).astype(float)
            predicted = model.rounding(theta, batch).gradient[where]
            with monkeypatch.context() as patch:
                patch.setattr(rounding, "repetitions", lambda z: np.ones(len(z)))
                independent = model.rounding(theta, batch).gradient[where]
            found.append((error / predicted, error / independent))
        together, apart = (np.concatenate(errors) for errors in zip(*found, strict=True))
        assert rms(together) <= 1.3, model
        assert np.abs(together).max() < DEVIATIONS, model
        assert np.abs(apart).max() > DEVIATIONS, model


def test_repetition_is_the_mean_size_of_the_groups_of_equal_examples():
    assert sums.repetition(np.arange(6.0)[:, None]) == 1
    assert sums.repetition(np.array([[1.0], [1.0], [1.0], [2.0]])) == (3 + 3 + 3 + 1) / 4
    assert sums.repetition(np.zeros((5, 2))) == 5


# --- underflow --------------------------------------------------------------------------------------------------------

NOISE_OF_SUBNORMAL_NUMBERS = {
    "loss of float32": (lambda s: (OneD("quadratic", x=1e-20), None, {"theta": s}), "float32"),
    "sum of squares in float32": (
        lambda s: (Linear(bias=False), [[[1e-21], [2e-21], [-3e-21]], [0.0] * 3], {"W": [[s]]}),
        "float32",
    ),
    "square of a small loss in float64": (lambda s: (OneD("quadratic", x=1e-100), None, {"theta": s}), "float64"),
    "loss of float64": (lambda s: (OneD("quadratic", x=1e-160), None, {"theta": s}), "float64"),
}


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "backward"])
@pytest.mark.parametrize("case", NOISE_OF_SUBNORMAL_NUMBERS)
def test_numbers_next_to_zero_make_no_correct_gradient_a_mismatch(case, scheme):
    problem, dtype = NOISE_OF_SUBNORMAL_NUMBERS[case]
    if scheme == "complex_step" and dtype == "float32":
        pytest.skip("complex step needs float64")
    for s in (0.3, 1.0, 3.0):
        for eps in (None, 1e-6, 1e-3, 1e-1, 1.0):
            result = cell(*problem(s), eps=eps, scheme=scheme, dtype=dtype)
            assert result.summary["n_mismatch"] == 0, (s, eps)


@pytest.mark.parametrize("logit", [-600.0, -680.0, -700.0, -730.0])
@pytest.mark.parametrize("eps", [None, 1e-3, 1e-8, 1e-20, 1e-100, 1e-300])
def test_a_complex_step_whose_product_with_the_derivative_underflows_is_no_mismatch(logit, eps):
    """The third class has a probability near 1e-300: h times its derivative is no number of full precision."""
    X, y = [[0.3, -1.1], [0.8, 0.2], [-0.5, 0.9], [1.4, 0.1]], [0, 1, 0, 1]
    weights = {"W1": [[0.1, 0.2, 0.3], [0.2, 0.1, 0.0]], "b1": [0.0, 0.0, logit]}
    result = cell(Softmax(n_classes=3), [X, y], weights, eps=eps, scheme="complex_step")
    assert result.summary["n_mismatch"] == 0
    if eps != 1e-300:
        assert result.summary["n_match"] >= 6


def test_underflow_is_a_thousand_spacings_next_to_zero():
    base = Linear().rounding(np.zeros(2), Gaussian(n=3, d=1).batch(Linear().target, np.dtype(float)))
    for dtype in (np.float32, np.float64):
        scaled = replace(base, unit=U[np.dtype(dtype)])
        assert scaled.underflow == 1024 * float(np.nextafter(dtype(0), dtype(1)))
    assert replace(base, unit=U[np.dtype(LONG)]).underflow <= 1024 * 2.0**-1074
