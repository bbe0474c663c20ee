"""The models that are chains of layers: their gradients beside the complex step and torch, and that none is accused."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from layer_instances import CASES, IMAGES, SMOOTH, TABLE, Case

from gradcheck.errors import Meaningless
from gradcheck.models import MODELS, Conv, Norm, OneLayer, Softmax
from gradcheck.models.batch import Batch
from gradcheck.numerics.check import check
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO


def off(case: Case, gradient: np.ndarray, exact: np.ndarray) -> float:
    """The largest difference over the largest entry of its parameter; a bias before a batch norm has only roundings."""
    slices = case.model.layout(case.batch()).slices
    largest = {name: np.abs(exact[here]).max() for name, here in slices.items()}
    scale = max(largest.values())
    return max(
        np.abs(gradient[here] - exact[here]).max() / (largest[name] if largest[name] > 1e-12 * scale else scale)
        for name, here in slices.items()
    )


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_smooth_gradients_agree_with_the_complex_step(case: Case) -> None:
    theta, batch = case.theta(), case.batch()
    exact = np.array([case.model.loss(theta + 1e-30j * e, batch).imag / 1e-30 for e in np.eye(theta.size)])
    gradient = case.model.gradient(theta, batch)
    # sums of at most 1,000 terms through at most ten layers
    assert off(case, gradient, exact) < 1e-12
    assert off(case, gradient * (1 + 1e-11), exact) > 1e-12


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapes_and_dtypes_are_those_of_the_parameters_and_nothing_is_changed(case: Case) -> None:
    for dtype in (np.float32, np.float64, np.longdouble):
        theta, batch = case.theta(dtype), case.batch(dtype)
        for array in (theta, batch.X, batch.y):
            array.flags.writeable = False
        assert case.model.loss(theta, batch).dtype == dtype
        gradient = case.model.gradient(theta, batch)
        assert (gradient.dtype, gradient.shape) == (dtype, theta.shape)
    assert case.model.width(case.batch()) > 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_right_gradient_is_accused(case: Case) -> None:
    """``python -m tests.trials layers`` takes every dtype, step and scheme, and more weights."""
    with np.errstate(all="ignore"):
        problem = case.model.pose(case.theta(), case.batch())
        found = check(problem, SCHEMES["central"], AUTO, 1e-2).summary
        assert found["n_mismatch"] == 0
        assert check(problem, SCHEMES["central"], 1e-6, 1e-2).summary["n_mismatch"] == 0
        rough = case.model.pose(case.theta(np.float32), case.batch(np.float32))
        assert check(rough, SCHEMES["forward"], 1e-3, 1e-2).summary["n_mismatch"] == 0
    # a bias before a batch norm has no effect, and nothing shows
    if "batch" not in case.name:
        assert found["n_match"] + found["n_exempt"] > 0.9 * found["n_weights"]


@pytest.mark.parametrize("case", CASES[::8], ids=str)
def test_a_gradient_that_is_off_by_a_thousandth_is_accused(case: Case) -> None:
    theta, batch = case.theta(), case.batch()
    with np.errstate(all="ignore"):
        problem = case.model.pose(theta, batch)
        wrong = problem.analytic * (1 + 1e-3)
        found = check(replace(problem, analytic=wrong), SCHEMES["central"], AUTO, 1e-2)
    assert found.summary["verdict"] == "mismatch"


def test_however_far_apart_the_outputs_are_the_gradient_is_that_of_the_loss() -> None:
    model = Norm(layers=[3])
    batch = TABLE.batch(model.target, np.float64)
    layout = model.layout(batch)
    # logits so far apart that every wrong example has a probability below 1e-12
    theta = layout.join({name: np.zeros(shape) for name, shape in zip(layout.names, layout.shapes, strict=True)})
    theta[layout.slices["b2"]] = [0.0, 100.0, -100.0]
    gradient = model.gradient(theta, batch)
    assert (batch.y != 1).any()
    exact = [model.loss(theta + 1e-30j * e, batch).imag / 1e-30 for e in np.eye(theta.size)]
    assert np.array_equal(gradient, exact)


def test_kinks_are_named() -> None:
    assert Conv().kink == "max pooling"
    assert Conv(pool="average").kink is None
    assert Norm(activation="relu").kink == "relu"
    assert Norm().kink is None
    assert OneLayer(layer="max_pool").kink == "max pooling"


def test_a_stale_batch_that_lacks_a_class_keeps_the_model() -> None:
    batch = TABLE.batch(Norm().target, np.float64)
    model = Norm().sized(batch)
    some = batch.y != batch.y.max()
    assert model.layout(Batch(batch.X[some], batch.y[some])) == Norm().layout(batch)


REFUSED = [
    (Conv(), TABLE, Meaningless, "data: a convolution takes images"),
    (Conv(kernel=12), IMAGES, ValueError, "model.kernel=12, padding=1, dilation=1: a window of 12 x 12 is larger"),
    (Conv(pool_size=8), IMAGES, ValueError, "model.pool_size=8: a window of 8 x 8 is larger"),
    (Norm(norm="group", groups=4), TABLE, ValueError, "model.groups=4: must divide the 6 features"),
    (OneLayer(layer="conv", options={"kernel": 9}), IMAGES, ValueError, "model.options.kernel=9, padding=0"),
    (Norm(), IMAGES, Meaningless, "data: model=norm takes"),
    (Softmax(), IMAGES, Meaningless, "data: model=softmax takes"),
]


@pytest.mark.parametrize(("model", "data", "error", "words"), REFUSED, ids=lambda one: str(one)[:40])
def test_data_and_settings_that_do_not_go_together_are_refused_in_a_line(model, data, error, words) -> None:
    batch = data.batch(model.target, np.float64)
    with pytest.raises(error) as raised:
        model.layout(batch)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


INVALID = [
    (Conv(pool="sum"), "model.pool=sum: must be one of max, average, none"),
    (Conv(filters=[]), "model.filters=[]: must have"),
    (Conv(filters=[2, 0]), "model.filters=0: must be a whole number >= 1"),
    (Conv(activation="sin"), "model.activation=sin: must be one of"),
    (Conv(dropout=1.0), "model.dropout=1.0: must be a number >= 0 and < 1"),
    (Conv(loss_name="hinge"), "model.loss=hinge: must be one of"),
    (Norm(norm="none"), "model.norm=none: must be one of batch, layer, group"),
    (Norm(layers=[]), "model.layers=[]: must have"),
    (Norm(epsilon=-1.0), "model.epsilon=-1.0: must be a finite number >= 0"),
    (OneLayer(layer="nonsense"), "model.layer=nonsense: must be one of dense, "),
    (OneLayer(layer="dropout", options={"rate": 1}), "model.options.rate=1: the layer dropout has dropout, "),
    (OneLayer(layer="dropout", options={"dropout": "x"}), "model.options.dropout=x: must be a number"),
    (OneLayer(units=0), "model.units=0: must be a whole number >= 1"),
]


@pytest.mark.parametrize(("model", "words"), INVALID, ids=lambda one: str(one)[:40])
def test_settings_are_refused_by_their_keys(model, words: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        model.validate()


def test_defaults_are_valid_and_small() -> None:
    for name, data in (("conv", IMAGES), ("norm", TABLE), ("layer", TABLE)):
        model = MODELS[name]()
        model.validate()
        assert model.layout(data.batch(model.target, np.float64)).size < 200
