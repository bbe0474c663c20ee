"""Kinks: at them, near them, crossed with little effect, and the clipped loss of saturated examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from covering import covering
from exact import REAL, Neighbourhood, bound, cell, error
from instances import INSTANCES, SMOOTH

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal, Zeros
from gradcheck.models import MLP, Logistic, OneD, Softmax
from gradcheck.models.batch import NO_BATCH, Batch
from gradcheck.models.cross_entropy import LOGIT_LIMIT
from gradcheck.models.kinks import Kinks
from gradcheck.models.target import NoTarget
from gradcheck.numerics.problem import Crossings
from gradcheck.numerics.schemes import SCHEMES

ABS = OneD("abs", 1.0)


@pytest.mark.parametrize("scheme", [s.name for s in REAL])
@pytest.mark.parametrize("eps", [None, 1e-8, 1e-4, 1.0])
def test_at_the_kink_itself_there_is_no_derivative(scheme, eps):
    result = cell(ABS, init={"theta": 0.0}, eps=eps, scheme=scheme).weights
    # the convention f'(0) = 0 is no mistake; the symmetric formulas agree with it, and flat is all they see
    assert result["verdict"][0] in ("nondifferentiable", "inconclusive")
    if scheme in ("forward", "backward"):
        assert result["verdict"] == ["nondifferentiable"]
        assert result["bound"][0] >= 1


@pytest.mark.parametrize("scheme", [s.name for s in REAL])
@pytest.mark.parametrize("theta", [1e-3, -1e-3, -0.7])
def test_near_the_kink(scheme, theta):
    reach = max(map(abs, SCHEMES[scheme].offsets))
    for eps in np.logspace(-10, 0, 21):
        result = cell(ABS, init={"theta": theta}, eps=eps, scheme=scheme).weights
        offsets = [0.0, *SCHEMES[scheme].offsets]
        if (
            min(offsets) * eps < -1.01 * theta < max(offsets) * eps
            or min(offsets) * eps < -theta < 0.99 * max(offsets) * eps
        ):
            assert result["verdict"] == ["nondifferentiable"], eps
        # a step that does not cross is judged, unless the anchors that it is compared with lie across the kink
        assert result["verdict"][0] in ("match", "nondifferentiable")
    if SCHEMES[scheme].order <= 2 or abs(theta) > 0.1:
        # the ladder finds a step that does not cross
        result = cell(ABS, init={"theta": theta}, scheme=scheme).weights
        assert result["verdict"] == ["match"]
        assert result["step"][0] * reach < abs(theta)


def test_a_wrong_gradient_beside_a_kink_is_found_and_across_it_is_not_judged():
    near = Neighbourhood(ABS, np.array([1e-3]), NO_BATCH)
    below, across = (near.estimate(SCHEMES["central"], eps) for eps in (1e-4, 1e-2))
    assert error(below, np.array([1.1]))[0] > 1e3 * bound(below)[0]
    assert error(across, np.array([1.1]))[0] < 2 * bound(across)[0]


@pytest.mark.parametrize("theta", [1e-3, -1e-3, 0.0])
def test_the_deviation_of_abs_is_that_of_its_continuation(theta):
    t, h = np.array([theta]), np.linspace(-0.01, 0.01, 41)
    points = (theta + h)[None]
    _, deviations = ABS.perturbation(t, NO_BATCH).losses(np.zeros(1, int), points)
    continued = np.sign(theta) * points
    assert np.array_equal(deviations, np.abs(np.abs(points) - continued))


def one_unit(theta1: float) -> tuple[MLP, np.ndarray, Batch]:
    """sigmoid(w2 relu(w1 x + b1) + b2) with x = 1, 2, -1 and w1 = theta1."""
    model, batch = MLP([1], "relu"), Batch(np.array([[1.0], [2.0], [-1.0]]), np.array([[1.0], [0.0], [1.0]]))
    return model, np.array([theta1, 0.01, 0.8, -0.2]), batch


@pytest.mark.parametrize("theta1", [0.02, -0.02, 0.005])
def test_the_deviation_of_relu_against_the_exact_piecewise_continuation(theta1):
    """The loss with every unit held on the side where theta has it is what the loss would be without the kink."""
    model, theta, batch = one_unit(theta1)
    held = (batch.X * theta[0] + theta[1] > 0).astype(float)

    def examples(active: np.ndarray, w1: float) -> np.ndarray:
        z = active * (batch.X * w1 + theta[1]) * theta[2] + theta[3]
        return np.logaddexp(0, z) - batch.y * z

    points = theta[0] + np.linspace(-0.1, 0.1, 41)[None]
    _, deviations = model.perturbation(theta, batch).losses(np.zeros(1, int), points)
    now = [(batch.X * p + theta[1] > 0).astype(float) for p in points[0]]
    # the sizes of the examples' effects, of which some may cancel in the loss
    exact = np.array([np.abs(examples(n, p) - examples(held, p)).mean() for n, p in zip(now, points[0], strict=True)])
    crossed = np.array([(n != held).any() for n in now])
    assert crossed.sum() > 10
    assert not crossed.all()
    assert (deviations[0][~crossed] == 0).all()
    # to first order: |w2 z| <= 0.17, and the derivative by it moves by a quarter of that, of 0.4 at least
    # (1e-15: an input of a unit that is 0 up to rounding)
    assert (deviations[0] >= 0.89 * exact - 1e-15).all()
    assert (deviations[0] <= 1.5 * exact + 1e-15).all()


def test_without_the_deviation_a_crossing_step_would_be_a_mismatch(monkeypatch):
    model, _, batch = one_unit(0.02)
    data = [batch.X.tolist(), batch.y.tolist()]
    weights = {"W1": [[0.02]], "b1": [0.01], "W2": [[0.8]], "b2": [-0.2]}
    assert cell(model, data, weights, eps=0.015).summary["n_mismatch"] == 0
    assert "nondifferentiable" in cell(model, data, weights, eps=0.05).weights["verdict"]
    monkeypatch.setattr(Kinks, "crossed", lambda self, layer, z, column=None: 0.0)
    assert "nondifferentiable" not in cell(model, data, weights, eps=0.05).weights["verdict"]


@pytest.mark.parametrize("instance", SMOOTH, ids=str)
def test_smooth_models_are_never_nondifferentiable(instance):
    inits, dtypes = (Normal(0, 2.0), Normal(1, 2.0), Zeros()), (np.float32, np.float64)
    for init, seed, dtype, eps, scheme in covering(inits, (0, 1), dtypes, (None, 1e-3), ("central", "forward")):
        data = Gaussian(n=instance.n, d=instance.d, outputs=instance.outputs, seed=seed, scale=10.0**seed)
        if isinstance(instance.model.target, NoTarget):
            data = None
        result = cell(instance.model, data, init, eps=eps, scheme=scheme, dtype=dtype)
        assert result.summary["n_nondifferentiable"] == 0, (init, seed, dtype, eps, scheme)
        assert result.summary["n_mismatch"] == 0, (init, seed, dtype, eps, scheme)


@pytest.mark.parametrize("instance", [i for i in INSTANCES if "relu" in i.name], ids=str)
@pytest.mark.parametrize("eps", [None, 1e-3, 0.1])
def test_a_correct_relu_net_is_never_a_mismatch(instance, eps):
    for scheme, dtype, seed in covering(REAL, (np.float32, np.float64), (0, 1)):
        data = Gaussian(n=40, d=instance.d, outputs=instance.outputs, seed=seed)
        found = cell(instance.model, data, Normal(seed, 1.0), eps=eps, scheme=scheme.name, dtype=dtype).summary
        assert found["n_mismatch"] == 0, (seed, scheme.name, dtype)


def test_a_large_net_crosses_kinks_with_most_steps_and_still_judges():
    """100-64-32-1 and a thousand examples: at 1e-3 most steps cross some kink, each with little effect."""
    model, data = MLP([64, 32], "relu"), Gaussian(n=1000, d=100)
    batch = data.batch(model.target, np.dtype(float))
    # the scale that keeps the size of the layers' outputs (He et al., 2015)
    layout, rng = model.layout(batch), np.random.default_rng(0)
    theta = layout.join(
        {
            name: rng.normal(size=shape) * np.sqrt(2 / shape[0]) if len(shape) == 2 else np.zeros(shape)
            for name, shape in zip(layout.names, layout.shapes, strict=True)
        }
    )
    around, index = Neighbourhood(model, theta, batch), np.sort(rng.choice(100 * 64, 16, replace=False))
    estimate = around.estimate(SCHEMES["central"], 1e-3, index)
    gradient = model.gradient(theta, batch)[index]
    crossed = estimate.kink > 0
    assert crossed.mean() > 0.5
    assert (np.abs(estimate.value - gradient) <= bound(estimate)).all()
    # a bug that doubles the gradient would be seen in most of them
    seen = np.abs(estimate.value - 2 * gradient) > bound(estimate)
    assert seen[crossed].mean() > 0.8
    shrunk = around.estimate(SCHEMES["central"], None, index[:2])
    assert (np.abs(shrunk.value - gradient[:2]) <= bound(shrunk)).all()
    assert (bound(shrunk) < bound(estimate)[:2] / 10).all()


# --- where they lie, and the step that stays short of them --------------------------------------------------------------


def relu_net(seed: int, layers: list[int], n: int, d: int) -> Neighbourhood:
    model, rng = MLP(layers, "relu"), np.random.default_rng(seed)
    batch = Batch(rng.standard_normal((n, d)), rng.integers(0, 2, (n, 1)).astype(float))
    return Neighbourhood(model, rng.standard_normal(model.layout(batch).size), batch)


@pytest.mark.parametrize("layers", [[4], [4, 3], [4, 3, 3]], ids=str)
def test_the_nearest_crossing_of_each_weight_is_where_a_unit_changes_sides(layers):
    net = relu_net(0, layers, 6, 3)
    index = np.flatnonzero(net.index < net.theta.size - layers[-1] - 1)  # the last layer's weights move no unit
    near = net.perturbation.crossings(index, np.full(len(index), 1e6))
    nearest = np.full(len(index), np.inf)
    np.minimum.at(nearest, near.row, near.distance)
    assert np.isfinite(nearest).mean() > 0.8

    def sides(i: int, h: float) -> list[list[bool]]:
        theta = net.theta.copy()
        theta[i] += h
        return [(z > 0).tolist() for z in net.model.net.forward(theta, net.batch).zs[:-1]]

    for i, distance in zip(index[np.isfinite(nearest)], nearest[np.isfinite(nearest)], strict=True):
        # up to the first kink everything is linear in the weight: rounding alone may move it
        short, beyond = ([sides(i, sign * distance * f) for sign in (1, -1)] for f in (1 - 1e-9, 1 + 1e-9))
        assert short == [sides(i, 0.0)] * 2
        assert beyond != [sides(i, 0.0)] * 2


@pytest.mark.parametrize("layers", [[4], [4, 3]], ids=str)
def test_the_jump_of_a_crossing_is_the_slope_of_what_the_losses_report(layers):
    net = relu_net(1, layers, 6, 3)
    near = net.perturbation.crossings(net.index, np.full(net.theta.size, 1e6))
    checked = 0
    for i in range(net.theta.size):
        mine = near.row == i
        order = np.argsort(near.distance[mine])
        distances, jumps = near.distance[mine][order], near.jump[mine][order]
        if len(distances) < 2 or distances[1] < 1.01 * distances[0]:
            continue
        h = (distances[0] + min(distances[1], 2 * distances[0])) / 2
        _, bent = net.perturbation.losses(np.array([i]), net.theta[i] + np.array([[h, -h]]))
        assert jumps[0] == 0 or np.sign(bent[0, 0] - bent[0, 1]) == near.side[mine][order][0]
        # one kink on one side; the distance cancels in h - d, of which 1e-13 stays right at 1% between the kinks
        assert bent.sum() == pytest.approx(jumps[0] * (h - distances[0]), rel=1e-11)
        checked += 1
    assert checked > 5


def net_beside_kinks() -> Neighbourhood:
    """A relu net of which each unit of the first layer has an example at 1e-2, ..., 1e-7 from its kink."""
    net = relu_net(2, [6, 4], 10, 3)
    params = net.model.layout(net.batch).split(net.theta)
    z = net.model.net.forward(net.theta, net.batch).zs[0]
    params["b1"] += np.logspace(-2, -7, 6) - z[np.arange(6), np.arange(6)]  # a view of theta
    return Neighbourhood(net.model, net.theta, net.batch)


def worst_ratio(net: Neighbourhood, scheme: str) -> float:
    """The largest bound at eps=auto over the least of a sweep of fixed steps."""
    sweep = np.min([bound(net.estimate(SCHEMES[scheme], eps)) for eps in np.logspace(-10, -1, 28)], axis=0)
    found = bound(net.estimate(SCHEMES[scheme], None))
    return float((found / sweep)[np.isfinite(sweep)].max())


@pytest.mark.parametrize("scheme", [s.name for s in REAL])
def test_beside_kinks_auto_is_within_three_times_the_least_bound(scheme):
    net = net_beside_kinks()
    assert worst_ratio(net, scheme) <= 3
    net.count = 0
    net.estimate(SCHEMES[scheme], None)
    assert net.count <= 16 * net.theta.size


@pytest.mark.parametrize("scheme", ["five_point", "richardson"])
def test_which_needs_to_know_where_they_are(scheme, monkeypatch):
    net = net_beside_kinks()
    monkeypatch.setattr(Neighbourhood, "probe", property(lambda self: PROBE(self)._replace(crossings=None)))
    assert worst_ratio(net, scheme) > 100


@pytest.mark.parametrize("scheme", ["forward", "backward"])
@pytest.mark.parametrize("distance", [0.0, 1e-13])
def test_a_one_sided_formula_is_not_spoilt_by_a_kink_on_the_other_side(scheme, distance, monkeypatch):
    net = relu_net(0, [6, 4], 10, 3)
    params = net.model.layout(net.batch).split(net.theta)
    z = net.model.net.forward(net.theta, net.batch).zs[0]
    # at 0 a unit is off, so that one side alone crosses
    params["b1"] += np.resize([distance, -distance], 6) - z[np.arange(6), np.arange(6)]
    net = Neighbourhood(net.model, net.theta, net.batch)
    assert worst_ratio(net, scheme) <= 3
    known = type(net.perturbation).crossings

    def without_sides(self: object, index: np.ndarray, reach: np.ndarray) -> Crossings:
        found = known(self, index, reach)
        return found._replace(side=np.zeros_like(found.side))

    monkeypatch.setattr(type(net.perturbation), "crossings", without_sides)
    # kinks at no distance spoil all steps alike, so that the choice is the same
    assert (worst_ratio(net, scheme) > 10) == (distance > 0)


def test_a_kink_that_nothing_foresees_leaves_a_ladder_that_reaches_far_enough():
    """The first unit is off for the second example, so that nothing tells how near the second is to its own kink there."""
    batch = Batch(np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]]))
    net = Neighbourhood(MLP([1, 1], "relu"), np.array([0.5, 0.499, 1.0, -0.01, 1.0, 0.1]), batch)
    near = net.perturbation.crossings(net.index[:1], np.array([0.1]))
    assert near.jump.tolist() == [0.0]
    assert net.perturbation.losses(net.index[:1], np.array([[0.48]]))[1][0, 0] > 1e-3
    assert worst_ratio(net, "five_point") <= 3


PROBE = Neighbourhood.probe.fget


# --- clipped probabilities --------------------------------------------------------------------------------------------


def test_the_share_of_clipped_examples():
    """Of four examples two are beyond the limit: their part of the textbook gradient is not in the loss."""
    X, y = np.array([[40.0], [-50.0], [0.5], [1.0]]), np.array([[0.0], [1.0], [1.0], [0.0]])
    theta = np.array([1.0])
    model, batch = Logistic(bias=False), Batch(X, y)
    assert (np.abs(X[:, 0]) > LOGIT_LIMIT).tolist() == [True, True, False, False]
    lost = (np.abs(X[:2, 0]) * 1.0).sum() / 4
    clipped = model.rounding(theta, batch).clipped
    assert clipped[0] == pytest.approx(lost, rel=1e-8)
    assert clipped[0] >= lost * (1 - 1e-11)
    result = cell(model, [X.tolist(), y.tolist()], {"W": [[1.0]]}).weights
    # numeric sees the two others alone, and the difference is the share to rounding
    assert result["abs_err"][0] == pytest.approx(lost, rel=1e-6)
    assert (result["verdict"], result["reason"]) == (["inconclusive"], ["saturated"])


@pytest.mark.parametrize("model", [Logistic(), MLP([3]), MLP([3], "relu"), Softmax(n_classes=3)], ids=repr)
@pytest.mark.parametrize("scale", [100.0, 1000.0])
def test_saturated_examples_make_no_correct_gradient_a_mismatch(model, scale):
    reasons: Counter[str | None] = Counter()
    for seed in range(3):
        for eps in (None, 1e-6, 0.1):
            for scheme in ("central", "forward"):
                data = Gaussian(n=25, d=3, seed=seed, scale=scale)
                found = cell(model, data, Normal(seed, 2.0), eps=eps, scheme=scheme)
                assert found.summary["n_mismatch"] == 0, (seed, eps, scheme)
                reasons.update(found.weights["reason"])
    if isinstance(model, Logistic):
        assert reasons["saturated"] > 20


def test_a_step_across_the_limit_of_clipping_is_in_the_bound():
    X, y = [[1.0]], [[0.0]]
    theta = LOGIT_LIMIT - 1e-3
    for eps in np.logspace(-6, 0, 13):
        result = cell(Logistic(bias=False), [X, y], {"W": [[theta]]}, eps=eps).weights
        assert result["verdict"][0] != "mismatch"
        if eps > 2e-3:
            assert result["reason"] == ["saturated"]
        if eps < 0.9e-3:
            assert result["verdict"] == ["match"]
