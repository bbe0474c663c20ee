"""Losses with one weight moved where there are enough examples for every fast way: the definition's, within their rounding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from exact import EXTENDED, LONG, U, cell, extended
from instances import MANY, Instance

from gradcheck.bugs import BUGS
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import Softmax
from gradcheck.models.activations import ACTIVATIONS, Activation
from gradcheck.models.fast import exponentials, factors, sheets
from gradcheck.models.fast.exponentials import MOST_TERMS, Hidden, hidden_of, quotient_variance
from gradcheck.models.fast.fours import Fours, fours_of, fours_variance
from gradcheck.models.fast.perturbation import Perturbation
from gradcheck.models.fast.softmax_lines import SoftmaxLine
from gradcheck.models.heads import CrossEntropy, SigmoidSquaredError, SoftmaxCrossEntropy
from gradcheck.models.in_full import NetInFull
from gradcheck.models.net import Net
from gradcheck.numerics import threads
from gradcheck.numerics.quotients import DEVIATIONS

# one for every number of terms of the series of exp in either dtype, and steps that are too large for it
STEPS = (1e-7, 1e-5, 1e-3, 1e-2, 0.3)
SCALES = [0.02, 4.0, 7.0, 12.0]  # of weights: nets that are flat, and more and more confident


def some_weights(instance: Instance) -> np.ndarray:
    """A few of every parameter."""
    slices = instance.model.layout(instance.batch()).slices.values()
    return np.unique(np.concatenate([np.linspace(s.start, s.stop - 1, 2).astype(int) for s in slices]))


def in_deviations(instance: Instance, dtype: Any, h: float, seed: int, scale: float = 0.7) -> np.ndarray:
    """Errors of L(theta + h) - L(theta - h) in units of the predicted deviation, of some weights."""
    theta, data = instance.theta(dtype, seed, scale), instance.batch(dtype)
    index, model = some_weights(instance), instance.model
    points = theta[index, None] + theta.dtype.type(h) * np.array([-1, 1], dtype)
    losses, _ = model.perturbation(theta, data).losses(index, points)
    wide, net = theta.astype(LONG), model.net
    true, _ = NetInFull(net, wide, extended(data)).losses(index, points.astype(LONG))
    center = net.loss(wide, extended(data))
    predicted = model.rounding(theta, data)
    change = np.abs((true - center).astype(float)).max(axis=1)
    grown = predicted.gradient[index] * 2 * h
    # what the quotients reckon with: noise along the line, errors of the derivative, and rounding of the change itself
    sigma = np.hypot(np.hypot(math.sqrt(2) * predicted.line[index], grown), 4 * U[np.dtype(dtype)] * change)
    found = (losses[:, 1] - losses[:, 0]).astype(LONG) - (true[:, 1] - true[:, 0])
    return np.asarray(found.astype(float) / sigma)


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instance", MANY, ids=str)
def test_differences_have_the_predicted_errors(instance: Instance, dtype: Any) -> None:
    found = {h: in_deviations(instance, dtype, h, 0) for h in STEPS}
    for h, errors in found.items():
        assert np.abs(errors).max() < DEVIATIONS, h
    # 1.3 leaves room for some 200 errors, of which those of one theta share the last sum
    assert math.sqrt(np.mean([np.mean(e**2) for e in found.values()])) < 1.3


@EXTENDED
@pytest.mark.parametrize(
    "instance", [one for one in MANY if any(word in one.name for word in ("softmax", "layers", "inputs"))], ids=str
)
def test_the_prediction_is_not_much_too_large(instance: Instance) -> None:
    found = [in_deviations(instance, np.float64, 1e-7, seed) for seed in range(6)]
    assert math.sqrt(np.mean(np.square(found))) > 0.1


@EXTENDED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", SCALES)
def test_confident_and_flat_nets_have_the_predicted_errors(scale: float, dtype: Any) -> None:
    for n, instance in enumerate(MANY):
        # both steps of each net, at one scale or another
        h = (1e-5, 1e-3)[(n + SCALES.index(scale)) % 2]
        assert np.abs(in_deviations(instance, dtype, h, 0, scale)).max() < DEVIATIONS, (instance, h)


@EXTENDED
def test_a_class_that_is_wrong_about_its_own_examples_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: examples of the class itself are dropped where it has next to no probability, as those of others may be."""
    known = SoftmaxLine.__init__

    def wrong(self: SoftmaxLine, *given: Any) -> None:
        known(self, *given)
        self._live &= self._s > -17 - 7

    monkeypatch.setattr(SoftmaxLine, "__init__", wrong)
    with pytest.raises(AssertionError):
        test_confident_and_flat_nets_have_the_predicted_errors(7.0, np.float32)


@EXTENDED
@pytest.mark.parametrize(
    ("way", "name", "most"), [(Hidden, "many-mlp-two layers", 4), (Fours, "many-mlp-many inputs", 2)]
)
def test_a_series_with_too_few_terms_would_be_seen(
    way: Any, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = way.terms
    monkeypatch.setattr(way, "terms", lambda self, reach: np.minimum(known(self, reach), most))
    deep = next(one for one in MANY if one.name == name)
    assert max(np.abs(in_deviations(deep, np.float64, h, 0)).max() for h in (1e-3, 5e-3)) > DEVIATIONS


@EXTENDED
def test_a_point_on_another_place_of_its_sheet_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    known = sheets.sheets_of

    def wrong(i: np.ndarray, j: np.ndarray, steps: np.ndarray, width: int) -> sheets.Sheets:
        laid = known(i, j, steps, width)
        return replace(laid, place=width - 1 - laid.place)

    monkeypatch.setattr(sheets, "sheets_of", wrong)
    wide = next(one for one in MANY if one.name == "many-mlp-many inputs")
    assert np.abs(in_deviations(wide, np.float64, 1e-3, 0)).max() > DEVIATIONS


@EXTENDED
def test_another_class_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the first example is counted for another class."""
    known = SoftmaxLine.__init__

    def wrong(self: SoftmaxLine, *given: Any) -> None:
        known(self, *given)
        self._mine[0] = 1 - self._mine[0]

    monkeypatch.setattr(SoftmaxLine, "__init__", wrong)
    plain = next(one for one in MANY if one.name == "many-softmax")
    assert np.abs(in_deviations(plain, np.float64, 1e-3, 0)).max() > DEVIATIONS


# of several outputs one is summed apart
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("instance", [one for one in MANY if one.outputs == 1], ids=str)
def test_a_step_of_zero_changes_no_bit(instance: Instance, dtype: Any) -> None:
    theta, data = instance.theta(dtype), instance.batch(dtype)
    index = np.arange(theta.size)
    found, bent = Perturbation(instance.model.net, theta, data).losses(index, theta[:, None])
    assert (found == instance.model.loss(theta, data)).all()
    assert not bent.any()


@pytest.mark.parametrize("instance", MANY, ids=str)
def test_no_loss_depends_on_other_weights_steps_or_threads(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORTH_NUMBERS", 0)
    theta, data = instance.theta(), instance.batch()
    rng, index = np.random.default_rng(0), np.arange(theta.size)
    # in each row steps of every size, of either sign
    steps = rng.permuted(np.tile([-0.3, -1e-3, -1e-6, 1e-9, 1e-5, 1e-2, 3.0], (theta.size, 1)), axis=1)
    points = theta[:, None] + steps

    def losses(rows: np.ndarray, columns: Any = slice(None)) -> np.ndarray:
        return Perturbation(instance.model.net, theta, data).losses(index[rows], points[rows][:, columns])[0]

    with threads.limit(1):
        whole = losses(index)
    some = rng.permutation(theta.size)[: theta.size // 3]
    for n_threads in (1, 2):
        with threads.limit(n_threads):
            np.testing.assert_array_equal(losses(some), whole[some])
            np.testing.assert_array_equal(losses(index, [2]), whole[:, [2]])
            np.testing.assert_array_equal(losses(index[-1:]), whole[-1:])


@pytest.mark.parametrize("places", [1, 3])
@pytest.mark.parametrize("instance", [one for one in MANY if one.outputs == 1 and "layers" in one.name], ids=str)
def test_sheets_of_any_size_have_the_predicted_errors(
    instance: Instance, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The few inputs of a unit on several sheets, the last one not full."""
    monkeypatch.setattr(sheets, "FEWEST_PLACES", 1)
    monkeypatch.setattr(sheets, "MOST_PLACES", places)
    test_no_loss_depends_on_other_weights_steps_or_threads(instance, monkeypatch)
    test_differences_have_the_predicted_errors(instance, np.float64)


def test_every_point_has_a_place_of_its_own() -> None:
    """Also where weights are asked for several times; on the place of its input."""
    i, j = np.array([4, 0, 4, 4, 2, 0, 3]), np.array([1, 0, 1, 1, 1, 2, 1])
    laid = sheets.sheets_of(i, j, np.arange(1.0, 8.0), 3)
    np.testing.assert_array_equal(laid.steps[laid.sheet, laid.place], np.arange(1.0, 8.0))
    np.testing.assert_array_equal(laid.start[laid.sheet] + laid.place, i)
    np.testing.assert_array_equal(laid.unit[laid.sheet], j)
    assert np.count_nonzero(laid.steps) == 7
    some = [laid.points(slice(k, k + 2)) for k in range(0, len(laid), 2)]
    assert sorted(np.concatenate(some)) == [*range(7)]


def test_each_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    ways = ((Hidden, "after"), (Fours, "output_after"), (SoftmaxLine, "totals"), (factors, "changes"))
    for owner, name in ways:
        way = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, way=way, name=name: taken.append(name) or way(*a))
    seen = {}
    for instance in MANY:
        taken.clear()
        theta, data = instance.theta(), instance.batch()
        Perturbation(instance.model.net, theta, data).losses(np.arange(theta.size), theta[:, None] + 1e-6)
        seen[instance.name] = set(taken)
    assert seen == {
        "many-logistic": {"changes"},
        "many-softmax": {"totals", "changes"},
        "many-mlp-one layer": {"changes"},
        "many-mlp-two layers": {"after", "changes"},
        "many-mlp-three layers-l2": {"after", "changes"},
        "many-mlp-squared error": {"after"},
        "many-mlp-relu": {"changes"},
        "many-mlp-no bias": {"after", "changes"},
        "many-softmax-two layers": {"after", "totals", "changes"},
        "many-mlp-two outputs": {"after", "changes"},
        "many-mlp-many inputs": {"output_after", "changes"},
        "many-mlp-many inputs-no bias": {"output_after", "changes"},
        "many-mlp-many units-l2": {"after", "output_after"},
    }


# --- against fifty digits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_units_are_those_of_fifty_digits(name: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exponentials, "FEWEST_EXAMPLES", 0)
    rng, g = np.random.default_rng(3), ACTIVATIONS[name]
    z = (rng.standard_normal((6, 4)) * [0.1, 1, 5, 15]).astype(dtype)
    hidden, variance = hidden_of(g, z), quotient_variance(g, z)
    assert hidden is not None
    assert variance is not None
    following = rng.standard_normal((4, 2)).astype(dtype)
    seen = set()
    for reach in np.geomspace(1e-9, 0.2, 40):
        weights = rng.uniform(-1, 1, (3, 4)).astype(dtype)
        moved = (rng.uniform(-1, 1, (3, 6)) * reach / abs(hidden.of.rate)).astype(dtype)
        terms = int(hidden.terms(np.array([np.abs(moved).max()]))[0])
        seen.add(terms)
        if not terms:
            continue
        found = hidden.after(
            moved, weights, terms, following * dtype(hidden.of.scale), hidden.memory(3), np.empty((3, 6, 2), dtype)
        )
        rows = [(z[n], m[n], w) for m, w in zip(moved, weights, strict=True) for n in range(6)]
        true = np.array([[_change(name, *row, column) for column in following.T] for row in rows]).reshape(3, 6, 2)
        u = U[np.dtype(dtype)]
        # of the units themselves at both ends, and a few roundings of every term of the change
        sigma = u * np.sqrt(2 * (variance @ following.astype(float) ** 2))
        rounded = 8 * u * (np.abs(moved)[..., None] * np.abs(weights[:, None])) @ np.abs(following)
        assert (np.abs(found - true) <= 6 * sigma + rounded).all(), reach
    assert seen <= {0, *range(2, MOST_TERMS + 1)}
    assert len(seen) >= 6


@pytest.mark.parametrize("units", [1, 4, 6, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_units_in_fours_are_those_of_fifty_digits(
    name: str, dtype: Any, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exponentials, "FEWEST_EXAMPLES", 0)
    rng, g = np.random.default_rng(5), ACTIVATIONS[name]
    # the fifth power of exp(2 z) is a number of float32
    z = np.clip(rng.standard_normal((6, units)) * np.resize([0.1, 1, 3, 6], units), -8, 8).astype(dtype)
    following = rng.standard_normal(units).astype(dtype)
    fours, variance = fours_of(g, z, following), fours_variance(g, z, following.astype(float))
    assert fours is not None
    assert variance is not None
    seen, u = set(), U[np.dtype(dtype)]
    for reach in np.geomspace(1e-10, 0.1, 24):
        weights = rng.uniform(-1, 1, units).astype(dtype)
        moved = (rng.uniform(-1, 1, (6, 3)) * reach).astype(dtype)
        terms = int(fours.terms(np.array([np.abs(moved).max()]))[0])
        seen.add(terms)
        if not terms:
            continue

        def fill(some: slice, m: np.ndarray, moved: np.ndarray = moved) -> None:
            m[...] = moved[some]

        out = np.empty((3, 6), dtype)
        fours.output_after(fours.row(weights, terms), fill, fours.memory(3), out)
        true = [[_change(name, row, m, weights, following) for m in some] for row, some in zip(z, moved, strict=True)]
        # of the sum itself at both ends, and a few roundings of every term of the change
        sigma = u * np.sqrt(2 * variance)[:, None]
        rounded = 8 * u * np.abs(moved) * float(np.abs(weights) @ np.abs(following))
        assert (np.abs(out.T - true) <= 6 * sigma + rounded).all(), reach
    assert seen <= {0, *range(2, MOST_TERMS + 1, 2)}
    assert len(seen) >= 3


def _change(name: str, z: np.ndarray, moved: Any, weights: np.ndarray, following: np.ndarray) -> float:
    with mpmath.workdps(50):
        g = mpmath.tanh if name == "tanh" else lambda x: 1 / (1 + mpmath.exp(-x))
        exact = [[mpmath.mpf(float(x)) for x in row] for row in (z, weights, following)]
        m = mpmath.mpf(float(moved))
        return float(sum(v * (g(x + m * w) - g(x)) for x, w, v in zip(*exact, strict=True)))


# --- saturated ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2.0, 12.0, 60.0])
def test_clipped_classes_are_those_of_the_definition(scale: float) -> None:
    """Logits that reach the limit, and classes whose probability is next to nothing."""
    model = Softmax(n_classes=4)
    data = Gaussian(n=400, d=3).batch(model.target, np.dtype(float))
    theta = Normal(1, scale).theta(model.layout(data), np.dtype(float))
    fast, slow = Perturbation(model.net, theta, data), NetInFull(model.net, theta, data)
    index = np.arange(theta.size)
    points = theta[:, None] + np.array([-0.5, -1e-3, 1e-5, 0.2])
    (losses, bent), (same, as_bent) = (way.losses(index, points) for way in (fast, slow))
    # sums of 400 examples of some roundings each, of the largest logit
    tolerance = 400 * 16 * U[np.dtype(float)] * np.abs(fast.trace.zs[-1]).max() / 400
    np.testing.assert_allclose(losses, same, rtol=0, atol=tolerance)
    np.testing.assert_allclose(bent, as_bent, rtol=2.0**-40, atol=tolerance)
    assert bent.any() == (scale > 5)


@pytest.mark.parametrize("instance", MANY, ids=str)
def test_no_right_gradient_is_accused_and_a_wrong_one_is(instance: Instance) -> None:
    source = Gaussian(n=instance.n, d=instance.d, outputs=instance.outputs)
    steps = (("central", "auto"), ("forward", "auto"), ("central", 1e-3))
    starts = ((0.3, "float64"), (3.0, "float64"), (20.0, "float64"), (0.7, "float32"))
    for n, (scale, dtype) in enumerate(starts):
        for scheme, eps in (steps[n % 3], steps[(n + 1) % 3]):
            found = cell(instance.model, source, Normal(0, scale), scheme=scheme, eps=eps, dtype=dtype)
            assert found.summary["n_mismatch"] == 0, (scheme, eps, scale, dtype)
    for scheme, eps in steps:
        wrong = cell(instance.model, source, Normal(0, 0.3), scheme=scheme, eps=eps, bug=BUGS["scale"]())
        assert wrong.summary["n_mismatch"] > 0, (scheme, eps)


# --- no derivative enters the numeric gradient ------------------------------------------------------------------------------


def wrong_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every function of the models that is a derivative gives something else."""
    monkeypatch.setattr(Net, "gradient", lambda self, theta, batch, parts=None: np.full_like(theta, 3.0))
    for head in (CrossEntropy, SigmoidSquaredError, SoftmaxCrossEntropy):
        monkeypatch.setattr(head, "delta", lambda self, z, y, parts: np.full(z.shape, 2.0, z.dtype))
    for name, g in list(ACTIVATIONS.items()):
        wrong = Activation(**{**vars(g), "derivative": lambda z: np.full_like(z, 5.0)})
        monkeypatch.setitem(ACTIVATIONS, name, wrong)


@pytest.mark.parametrize("scheme", ["central", "forward", "richardson"])
def test_with_wrong_derivatives_the_numeric_gradient_has_the_same_bits(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numeric() -> list[np.ndarray]:
        found = []
        for instance in MANY:
            source = Gaussian(n=instance.n, d=instance.d, outputs=instance.outputs)
            result = cell(instance.model, source, Normal(0, 0.7), scheme=scheme, eps=1e-5)
            found.append(result.weights["numeric"])
            analytic.append(result.weights["analytic"])
        return found

    analytic: list[np.ndarray] = []
    before = numeric()
    wrong_derivatives(monkeypatch)
    after = numeric()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    # the planted ones are seen where a gradient is computed
    half = len(analytic) // 2
    assert all(not np.allclose(a, b) for a, b in zip(analytic[:half], analytic[half:], strict=True))


def test_a_numeric_gradient_that_is_made_of_derivatives_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: losses along a weight from the gradient at theta."""

    def expanded(self: Perturbation, index: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = self.net.gradient(self.theta, self.batch)[index, None]
        return self.net.loss(self.theta, self.batch) + slope * (points - self.theta[index, None]), np.zeros(
            points.shape
        )

    monkeypatch.setattr(Perturbation, "losses", expanded)
    monkeypatch.setattr("gradcheck.numerics.plain.compare", lambda *given: None)
    with pytest.raises(AssertionError):
        test_with_wrong_derivatives_the_numeric_gradient_has_the_same_bits("central", monkeypatch)
