"""The hand-written losses and gradients against 50-digit references, the complex step, and identities."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from exact import complex_step
from hypothesis import given
from hypothesis import strategies as st
from instances import INSTANCES, SMOOTH, WITH_DATA, Instance

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.shipped import Sklearn
from gradcheck.models import MLP, Linear, Logistic, Parts, Softmax
from gradcheck.models.batch import Batch
from gradcheck.models.cross_entropy import LOGIT_LIMIT, PROBABILITY_FLOOR
from gradcheck.models.linear import REDUCTIONS
from gradcheck.numerics.schemes import (
    SCHEMES,
    difference_quotient,
    losses_at,
    perturbed_weights,
    textbook_gradient,
)

U = np.finfo(float).eps / 2
DTYPES = [np.float32, np.float64, np.longdouble]

instances = st.sampled_from(INSTANCES)
with_data = st.sampled_from(WITH_DATA)
seeds = st.integers(0, 10**6)


# --- against 50 digits ------------------------------------------------------------------------------------------------


def exact_gradient(model: Linear | Logistic, theta: np.ndarray, batch: Batch) -> tuple[list[mpmath.mpf], np.ndarray]:
    """Gradient of ``model`` to 50 digits, and the scale factor |X|^T |a - y| (/ n) + l2 |W| of each entry."""
    with mpmath.workdps(50):
        design = [[mpmath.mpf(float(x)) for x in row] + [mpmath.mpf(1)] * model.bias for row in batch.X]
        parameters = [mpmath.mpf(float(t)) for t in theta]
        limit = mpmath.log((1 - mpmath.mpf("1e-12")) / mpmath.mpf("1e-12"))
        residuals = []
        for row, y in zip(design, batch.y[:, 0], strict=True):
            z = mpmath.fdot(row, parameters)
            if isinstance(model, Logistic):
                z = 1 / (1 + mpmath.exp(-min(max(z, -limit), limit)))
            residuals.append(z - mpmath.mpf(float(y)))
        mean = isinstance(model, Logistic) or model.reduction.endswith("mean")
        factor = mpmath.mpf(1 if isinstance(model, Logistic) or model.reduction.startswith("half") else 2)
        factor /= len(design) if mean else 1
        gradient, scale = [], []
        for j, column in enumerate(zip(*design, strict=True)):
            penalty = mpmath.mpf(model.l2) * parameters[j] if j < batch.X.shape[1] else 0
            gradient.append(factor * mpmath.fdot(column, residuals) + penalty)
            scale.append(
                factor * mpmath.fsum(abs(x * r) for x, r in zip(column, residuals, strict=True)) + abs(penalty)
            )
        return gradient, np.array([float(s) for s in scale])


def distance(gradient: np.ndarray, exact: list[mpmath.mpf]) -> np.ndarray:
    """|gradient - exact| without rounding the reference first."""
    with mpmath.workdps(50):
        digits = [np.format_float_scientific(g, precision=45, unique=False) for g in gradient]
        return np.array([float(abs(mpmath.mpf(d) - e)) for d, e in zip(digits, exact, strict=True)])


CASES = {f"linear {reduction}": Linear(reduction) for reduction in REDUCTIONS}
CASES |= {
    "linear l2": Linear(l2=0.3),
    "logistic": Logistic(),
    "logistic l2": Logistic(l2=0.3),
    "no bias": Logistic(bias=False),
}
SOURCES = {
    "random": Gaussian(n=60, d=5),
    "random, many rows": Gaussian(n=700, d=3, seed=1),
    "random, large": Gaussian(n=40, d=4, scale=30.0, correlation=0.9),
    "breast_cancer": Sklearn("breast_cancer"),
    "diabetes": Sklearn("diabetes"),
}
# Reductions differ by a factor, to the bit (below): of real data, whose many rows take long, one is enough.
ONE_REDUCTION = ["linear mean", "linear l2"]
OF_REAL_DATA = {"breast_cancer": [*ONE_REDUCTION, "logistic", "logistic l2", "no bias"], "diabetes": ONE_REDUCTION}
PAIRS = [(c, s) for s in SOURCES for c in OF_REAL_DATA.get(s, CASES)]


@pytest.mark.parametrize(("case", "source"), PAIRS)
def test_linear_and_logistic_gradients_agree_with_50_digits(case, source):
    model = CASES[case]
    batch = SOURCES[source].batch(model.target, np.dtype(np.float64))
    theta = Normal(seed=len(case), scale=0.5).theta(model.layout(batch), np.dtype(np.float64))
    exact, scale = exact_gradient(model, theta, batch)
    # relative to the sum of the absolute terms, 1e-14 is 90 roundings: pairwise sums and blocked products need fewer
    assert (distance(model.gradient(theta, batch), exact) <= 1e-14 * scale).all()


@pytest.mark.parametrize("case", CASES)
def test_the_50_digit_check_finds_a_planted_error(case):
    model = CASES[case]
    batch = Gaussian(n=60, d=5).batch(model.target, np.dtype(np.float64))
    theta = Normal(0).theta(model.layout(batch), np.dtype(np.float64))
    exact, scale = exact_gradient(model, theta, batch)
    assert not (distance(model.gradient(theta, batch) * (1 + 1e-12), exact) <= 1e-14 * scale).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gradient_at_the_optimum_is_as_accurate_as_anywhere(reduction):
    """All digits of the gradient cancel there; the bound, which does not, still holds."""
    model, batch = Linear(reduction), Sklearn("diabetes").batch(Linear().target, np.dtype(np.float64))
    design = np.column_stack([batch.X, np.ones(len(batch.X))])
    theta = np.linalg.lstsq(design, batch.y[:, 0], rcond=None)[0]
    exact, scale = exact_gradient(model, theta, batch)
    gradient = model.gradient(theta, batch)
    assert (distance(gradient, exact) <= 1e-14 * scale).all()
    assert np.abs(gradient).max() < 1e-10 * scale.max()


def test_longdouble_gradients_keep_more_digits_than_float64_has():
    if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("longdouble is float64 here")
    for model in CASES.values():
        batch = Gaussian(n=50, d=4).batch(model.target, np.dtype(np.longdouble))
        theta = Normal(1, 0.5).theta(model.layout(batch), np.dtype(np.longdouble))
        exact, scale = exact_gradient(model, theta, batch)
        # the same count of roundings as for float64, whose unit is 2048 times larger
        assert (distance(model.gradient(theta, batch), exact) <= 1e-14 / 2048 * scale).all()


def test_the_gradient_of_a_bias_is_summed_pairwise():
    """The noise floor of many examples: a running sum of n terms loses up to n roundings, one in pairs log2(n)."""
    n, model = 100_000, Softmax(n_classes=3)
    batch = Gaussian(n=n, d=2).batch(model.target, np.dtype(np.float32))
    theta = Normal(0).theta(model.layout(batch), np.dtype(np.float32))
    delta = model.net.head.delta(model.net.forward(theta, batch).zs[-1], batch.y, Parts())
    gradient = model.layout(batch).split(model.gradient(theta, batch))["b1"]
    exact, size = delta.astype(np.float64).mean(axis=0), np.abs(delta).mean(axis=0)
    # log2(n) roundings of random sign, and one of the division
    tolerance = (np.sqrt(np.log2(n)) + 1) * np.finfo(np.float32).eps / 2 * size
    assert (np.abs(gradient - exact) <= tolerance).all()
    running = delta.sum(axis=0) / np.float32(n)
    assert not (np.abs(running - exact) <= tolerance).all()


# --- against the complex step -----------------------------------------------------------------------------------------


def by_complex_step(instance: Instance, theta: np.ndarray, batch: Batch) -> np.ndarray:
    index = np.arange(theta.size)
    return complex_step(lambda t: instance.model.loss(t, batch), theta, index, np.full(theta.size, 1e-100))


@pytest.mark.parametrize("scale", [0.3, 0.7])  # larger weights reach the clipped loss, which is flat by design
@pytest.mark.parametrize("instance", SMOOTH, ids=str)
def test_smooth_gradients_agree_with_the_complex_step(instance, scale):
    batch = instance.batch()
    for seed in range(5):
        theta = instance.theta(seed=seed, scale=scale)
        gradient = instance.model.gradient(theta, batch)
        # the complex step subtracts nothing: rounding alone, of a few hundred operations at most
        np.testing.assert_allclose(
            by_complex_step(instance, theta, batch), gradient, rtol=0, atol=1e-13 * np.abs(gradient).max()
        )


@pytest.mark.parametrize("instance", [i for i in INSTANCES if "relu" in i.name], ids=str)
def test_kinked_nets_agree_with_the_complex_step_off_the_kinks(instance):
    """NumPy compares complex numbers by their real parts first, so that relu is continued analytically off its kink."""
    assert not instance.model.smooth
    batch = instance.batch()
    for seed in range(5):
        theta = instance.theta(seed=seed)
        gradient = instance.model.gradient(theta, batch)
        np.testing.assert_allclose(
            by_complex_step(instance, theta, batch), gradient, rtol=0, atol=1e-13 * np.abs(gradient).max()
        )


def test_the_complex_step_finds_a_planted_error():
    class Wrong(Parts):
        def activation_derivative(self, activation, z, a, layer):
            return super().activation_derivative(activation, z, a, layer) * (1 + 1e-11)

    found = 0
    for instance in SMOOTH:
        if instance.model.lacks.hidden is None:
            batch, theta = instance.batch(), instance.theta()
            wrong = instance.model.gradient(theta, batch, Wrong())
            error = np.abs(wrong - by_complex_step(instance, theta, batch)).max()
            assert error > 1e-13 * np.abs(wrong).max(), instance
            found += 1
    assert found > 10


def test_the_kink_of_the_absolute_value():
    instance = next(i for i in INSTANCES if i.name == "one_d-abs")
    model, batch = instance.model, instance.batch()
    assert not model.smooth
    assert [model.gradient(np.array([t]), batch)[0] for t in (-3.0, 0.0, 3.0)] == [-model.x, 0, model.x]


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_the_loss_is_a_scalar_and_the_gradient_has_an_entry_for_every_parameter(instance):
    batch, theta = instance.batch(), instance.theta()
    assert np.shape(instance.model.loss(theta, batch)) == ()
    assert instance.model.gradient(theta, batch).shape == theta.shape
    assert instance.model.layout(batch).size == theta.size


# --- the dtype is kept ------------------------------------------------------------------------------------------------


class Spy(np.ndarray):
    """An array that notes the floating dtype of everything that is computed from it."""

    seen: set[np.dtype] | None

    def __array_finalize__(self, parent):
        self.seen = getattr(parent, "seen", None)

    @classmethod
    def on(cls, array: np.ndarray, seen: set[np.dtype]) -> Spy:
        spy = np.array(array).view(cls)
        spy.seen = seen
        return spy

    def _bare(self, value):
        if isinstance(value, Spy):
            return value.view(np.ndarray)
        if isinstance(value, list | tuple):
            return type(value)(self._bare(v) for v in value)
        return {k: self._bare(v) for k, v in value.items()} if isinstance(value, dict) else value

    def _note(self, result):
        if isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "fc":
            self.seen.add(result.dtype)
        return Spy.on(result, self.seen) if isinstance(result, np.ndarray | np.generic) else result

    def __getitem__(self, key):
        return Spy.on(super().__getitem__(key), self.seen)  # a scalar would not be watched

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if out := kwargs.get("out"):
            getattr(ufunc, method)(*self._bare(inputs), **self._bare(kwargs))
            self._note(out[0].view(np.ndarray))
            return out[0]
        return self._note(getattr(ufunc, method)(*self._bare(inputs), **kwargs))

    def __array_function__(self, func, types, args, kwargs):
        return self._note(func(*self._bare(args), **self._bare(kwargs)))


def dtypes_seen(model, theta: np.ndarray, batch: Batch, parts: Parts | None = None) -> set[np.dtype]:
    seen: set[np.dtype] = set()
    y = Spy.on(batch.y, seen) if batch.y.dtype.kind == "f" else batch.y
    spied = Batch(Spy.on(batch.X, seen), y)
    model.loss(Spy.on(theta, seen), spied)
    model.gradient(Spy.on(theta, seen), spied, *[parts] * (parts is not None))
    return seen


@pytest.mark.parametrize("dtype", [np.float32, np.longdouble])
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_nothing_is_computed_in_another_dtype(instance, dtype):
    theta, batch = instance.theta(dtype), instance.batch(dtype)
    assert dtypes_seen(instance.model, theta, batch) == {np.dtype(dtype)}


def test_the_spy_sees_a_planted_float64():
    class Wide(Parts):
        def below(self, delta, layer):
            return (delta * np.ones(delta.shape[1])).astype(np.float32)  # computed in float64 behind the scenes

    instance = next(i for i in INSTANCES if i.name == "mlp-tanh-cross_entropy")
    theta, batch = instance.theta(np.float32), instance.batch(np.float32)
    assert np.dtype(np.float64) in dtypes_seen(instance.model, theta, batch, Wide())
    assert instance.model.gradient(theta, batch, Wide()).dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_loss_and_gradient_have_the_dtype_of_the_parameters(instance, dtype):
    theta, batch = instance.theta(dtype), instance.batch(dtype)
    assert instance.model.loss(theta, batch).dtype == dtype
    assert instance.model.gradient(theta, batch).dtype == dtype
    if instance.model.smooth:
        complex_theta = theta + dtype(0) * 1j
        assert instance.model.loss(complex_theta, batch).dtype == np.result_type(dtype, np.complex64)


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_neither_parameters_nor_data_are_changed(instance):
    theta, batch = instance.theta(), instance.batch()
    for array in (theta, batch.X, batch.y):
        array.flags.writeable = False
    instance.model.loss(theta, batch)
    instance.model.gradient(theta, batch)


# --- identities -------------------------------------------------------------------------------------------------------


def with_fixed_classes(instance: Instance, batch: Batch):
    """The model with its number of classes written down, so that it can be evaluated on some of the rows."""
    return instance.model.sized(batch)


def sum_of_sizes(model, theta: np.ndarray, batch: Batch) -> np.ndarray:
    """Sum over the examples of the size of each one's gradient: what rounding errors are relative to."""
    rows = [model.gradient(theta, Batch(batch.X[i : i + 1], batch.y[i : i + 1])) for i in range(len(batch.X))]
    return np.abs(rows).sum(axis=0)


@given(with_data, seeds, st.randoms(use_true_random=False))
def test_permuting_rows_changes_nothing_beyond_rounding(instance, seed, random):
    batch, theta = instance.batch(), instance.theta(seed=seed)
    order = list(range(instance.n))
    random.shuffle(order)
    shuffled = Batch(batch.X[order], batch.y[order])
    model = with_fixed_classes(instance, batch)
    # n terms in another order, and the few products before each of them
    roundings = 4 * (instance.n + 50) * U
    assert model.loss(theta, shuffled) == pytest.approx(model.loss(theta, batch), rel=roundings)
    change = np.abs(model.gradient(theta, shuffled) - model.gradient(theta, batch))
    assert change.max() <= roundings * sum_of_sizes(model, theta, batch).max()


@given(with_data, seeds)
def test_repeating_all_rows_keeps_means_and_doubles_sums(instance, seed):
    batch, theta = instance.batch(), instance.theta(seed=seed)
    twice = Batch(np.concatenate([batch.X] * 2), np.concatenate([batch.y] * 2))
    model = replace(with_fixed_classes(instance, batch), l2=0.0)
    factor = 1 if model.averaged else 2
    roundings = 4 * (2 * instance.n + 50) * U
    assert model.loss(theta, twice) == pytest.approx(factor * model.loss(theta, batch), rel=roundings)
    change = np.abs(model.gradient(theta, twice) - factor * model.gradient(theta, batch))
    assert change.max() <= roundings * sum_of_sizes(model, theta, batch).max()


@given(instances, seeds, st.floats(0.01, 10))
def test_the_penalty_adds_half_the_squares_of_the_weights_and_leaves_the_biases(instance, seed, l2):
    batch, theta = instance.batch(), instance.theta(seed=seed)
    plain, penalised = (replace(instance.model, l2=value) for value in (0.0, l2))
    weight = np.concatenate(
        [
            np.full(np.prod(shape, dtype=int), name[0] != "b")
            for name, shape in zip(*layout_of(plain, batch), strict=True)
        ]
    )
    expected = l2 / 2 * (theta[weight] ** 2).sum()
    losses = plain.loss(theta, batch), penalised.loss(theta, batch)
    assert losses[1] - losses[0] == pytest.approx(expected, abs=4 * theta.size * U * (abs(losses[0]) + expected))
    gradients = plain.gradient(theta, batch), penalised.gradient(theta, batch)
    difference = gradients[1] - gradients[0]
    # two roundings: of the product and of the sum
    assert (
        np.abs(difference - l2 * theta * weight) <= 4 * U * (np.abs(gradients).max(axis=0) + l2 * np.abs(theta))
    ).all()
    assert (difference[~weight] == 0).all()


def layout_of(model, batch: Batch) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    layout = model.layout(batch)
    return layout.names, layout.shapes


@given(seeds, st.integers(1, 40), st.integers(1, 5))
def test_reductions_differ_by_their_factors_to_the_bit(seed, n, d):
    batch = Gaussian(n=n, d=d, seed=seed).batch(Linear().target, np.dtype(np.float64))
    theta = Normal(seed).theta(Linear().layout(batch), np.dtype(np.float64))
    loss = {r: Linear(r).loss(theta, batch) for r in REDUCTIONS}
    gradient = {r: Linear(r).gradient(theta, batch) for r in REDUCTIONS}
    # halving is exact, and the mean is the sum divided once
    assert loss["half_sum"] * 2 == loss["sum"]
    assert loss["half_mean"] * 2 == loss["mean"]
    assert loss["mean"] == loss["sum"] / n
    assert np.array_equal(gradient["half_sum"] * 2, gradient["sum"])
    assert np.array_equal(gradient["half_mean"] * 2, gradient["mean"])
    assert np.array_equal(gradient["mean"], gradient["sum"] / n)


QUADRATICS = [i for i in INSTANCES if i.name.startswith("linear") or i.name in ("one_d-linear", "one_d-quadratic")]
EXACT_ON_QUADRATICS = [s for s in SCHEMES.values() if s.order >= 2 and not s.complex_valued]


@given(st.sampled_from(QUADRATICS), seeds, st.sampled_from([2.0**-8, 0.5, 4.0]), st.sampled_from(EXACT_ON_QUADRATICS))
def test_central_differences_are_exact_on_quadratics_up_to_rounding(instance, seed, h, scheme):
    batch, theta = instance.batch(), instance.theta(seed=seed)
    steps, index = np.full(theta.size, h), np.arange(theta.size)
    points = perturbed_weights(theta, steps, scheme.offsets)
    losses = losses_at(lambda t: instance.model.loss(t, batch), theta, index, points)
    slope = difference_quotient(scheme, theta, points, losses, instance.model.loss(theta, batch))
    # each loss is rounded by some (n + d) u of itself, and a quotient's narrowest pair is h / 2 wide
    rounding = scheme.amplification * 2 * (instance.n + instance.d + 10) * U * np.abs(losses).max() / (h / 2)
    assert np.abs(slope - instance.model.gradient(theta, batch)).max() <= rounding


@given(seeds, st.sampled_from([2.0**-8, 0.5]))
def test_the_textbook_quotient_is_exact_on_quadratics_where_the_step_is(seed, epsilon):
    instance = next(i for i in QUADRATICS if i.name.startswith("linear-mean"))
    batch, theta = instance.batch(), np.round(instance.theta(seed=seed) * 2**10) / 2**10
    slope = textbook_gradient(lambda t: instance.model.loss(t, batch), theta, epsilon)
    largest = max(float(instance.model.loss(theta + s * epsilon, batch)) for s in (-1, 0, 1))
    rounding = 2 * (instance.n + instance.d + 10) * U * 4 * (largest + 1) / epsilon
    assert np.abs(slope - instance.model.gradient(theta, batch)).max() <= rounding


def test_one_sided_differences_are_not_exact_on_quadratics():
    instance = next(i for i in QUADRATICS if i.name == "one_d-quadratic")
    batch, theta = instance.batch(), instance.theta()
    points = perturbed_weights(theta, np.array([0.5]), SCHEMES["forward"].offsets)
    losses = losses_at(lambda t: instance.model.loss(t, batch), theta, np.array([0]), points)
    slope = difference_quotient(SCHEMES["forward"], theta, points, losses, instance.model.loss(theta, batch))
    # (x (theta + h))^2 has the slope error x^2 h
    assert slope[0] - instance.model.gradient(theta, batch)[0] == pytest.approx(instance.model.x**2 * 0.5, rel=1e-12)


# --- models that are special cases of others --------------------------------------------------------------------------


@given(seeds)
def test_a_perceptron_without_hidden_layers_is_logistic_regression(seed):
    batch = Gaussian(seed=seed).batch(Logistic().target, np.dtype(np.float64))
    theta = Normal(seed).theta(Logistic().layout(batch), np.dtype(np.float64))
    assert MLP([]).loss(theta, batch) == Logistic().loss(theta, batch)
    assert np.array_equal(MLP([]).gradient(theta, batch), Logistic().gradient(theta, batch))


@given(seeds)
def test_softmax_of_two_classes_is_logistic_regression_of_the_difference(seed):
    batch = Gaussian(n=30, seed=seed).batch(Logistic().target, np.dtype(np.float64))
    labelled = Batch(batch.X, batch.y[:, 0].astype(np.intp))
    model = Softmax(n_classes=2)
    parameters = Normal(seed).theta(model.layout(labelled), np.dtype(np.float64))
    W, b = model.layout(labelled).split(parameters).values()
    theta = Logistic().layout(batch).join({"W": W[:, 1:] - W[:, :1], "b": b[1:] - b[:1]})
    size = 1 + np.abs(batch.X @ np.abs(W)).max()
    assert model.loss(parameters, labelled) == pytest.approx(Logistic().loss(theta, batch), abs=60 * U * size)
    gradient = model.layout(labelled).split(model.gradient(parameters, labelled))
    expected = Logistic().layout(batch).split(Logistic().gradient(theta, batch))
    for one, other in ((gradient["W1"], expected["W"]), (gradient["b1"], expected["b"])):
        np.testing.assert_allclose(one[..., 1:], other, rtol=0, atol=60 * U * size * np.abs(batch.X).max())
        np.testing.assert_allclose(one[..., :1], -other, rtol=0, atol=60 * U * size * np.abs(batch.X).max())


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_logistic_loss_is_clipped_and_its_gradient_is_the_textbooks(label):
    model, batch = Logistic(bias=False), Batch(np.ones((1, 1)), np.array([[label]]))
    for z, loss in ((100.0, -np.log(PROBABILITY_FLOOR)), (-100.0, PROBABILITY_FLOOR)):
        theta = np.array([z if label == 0 else -z])
        # log(1 - 1e-12) and log(1e-12), to the accuracy of 1 - 1e-12 in the limit of z
        assert model.loss(theta, batch) == pytest.approx(loss, rel=1e-3 if loss < 1 else 1e-15)
        a = 1 - PROBABILITY_FLOOR if theta[0] > 0 else PROBABILITY_FLOOR
        assert model.gradient(theta, batch)[0] == pytest.approx(a - label, rel=1e-3)
    inside = np.array([LOGIT_LIMIT * 0.99])
    assert model.loss(inside, batch) != model.loss(inside * 1.001, batch)
