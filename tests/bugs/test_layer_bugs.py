"""The mistakes of layers: each makes the gradient that its words say, computed anew here entry by entry, and is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trials.layers import caught

from gradcheck.bugs import BUGS
from gradcheck.bugs.base import BackwardBug
from gradcheck.bugs.images import IMAGE_BUGS
from gradcheck.bugs.norms import NORM_BUGS
from gradcheck.errors import Meaningless, NoEffect
from gradcheck.experiment.cell import Cell, check_cell, pose
from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import Conv, Norm, OneLayer
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers.convolution import Conv as Convolution
from gradcheck.models.layers.dropout import Dropout, drawn
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.layered import Layered
from gradcheck.models.layers.normalization import BatchNorm, GroupNorm, LayerNorm
from gradcheck.models.layers.pooling import AveragePool, MaxPool
from gradcheck.models.parts import TEXTBOOK
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.streams import stream

Array = np.ndarray
Gradients = dict[str, Array]
OURS = {bug.name: bug for bug in IMAGE_BUGS + NORM_BUGS}


# --- each mistake in a layer, entry by entry ------------------------------------------------------------------------------


def windows_of(layer: Any, dout: Array, stride: int) -> Any:
    """Each entry of dout with the rows and columns of its window in the padded image."""
    size, dilation = (layer.kernel, layer.dilation) if isinstance(layer, Convolution) else (layer.pool_size, 1)
    for i, f, r, c in np.ndindex(dout.shape):
        for u, v in np.ndindex(size, size):
            yield i, f, r, c, u, v, r * stride + u * dilation, c * stride + v * dilation


def convolved_back(
    layer: Convolution, params: Gradients, x: Array, dout: Array, *, stride: int, flip: bool = False, early: int = 0
) -> Gradients:
    """dx and dW of a convolution; ``flip`` uses W[-u, -v] for dx, ``early`` cuts the border so many pixels too early."""
    p, k, weight = layer.padding, layer.kernel, params["W"]
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for i, f, r, c, u, v, row, column in windows_of(layer, dout, stride):
        for ch in range(x.shape[1]):
            dweight[f, ch, u, v] += dout[i, f, r, c] * padded[i, ch, row, column]
            w = weight[f, ch, k - 1 - u, k - 1 - v] if flip else weight[f, ch, u, v]
            dpadded[i, ch, row, column] += dout[i, f, r, c] * w
    dx = np.zeros_like(x)
    for i, ch, r, c in np.ndindex(x.shape):
        dx[i, ch, r, c] = dpadded[i, ch, r + p - early, c + p - early]
    return {"": dx, "W": dweight, "b": dout.sum(axis=(0, 2, 3))}


def flipped(layer: Any, params: Gradients, x: Array, dout: Array) -> Gradients:
    found = convolved_back(layer, params, x, dout, stride=layer.stride)
    turned = np.zeros_like(found["W"])
    for f, c, u, v in np.ndindex(turned.shape):
        turned[f, c, u, v] = found["W"][f, c, layer.kernel - 1 - u, layer.kernel - 1 - v]
    return found | {"W": turned}


def pooled_back(layer: Any, x: Array, dout: Array, ties: bool, overwrite: bool) -> Gradients:
    dx = np.zeros_like(x)
    step, size = layer.stride, layer.pool_size
    for i, c in np.ndindex(dout.shape[:2]):
        for r, s in np.ndindex(dout.shape[2:]):
            window = x[i, c, r * step : r * step + size, s * step : s * step + size]
            taken = [place for place in np.ndindex(window.shape) if window[place] == window.max()]
            if isinstance(layer, AveragePool):
                taken = list(np.ndindex(window.shape))
            elif not ties:
                taken = taken[:1]
            for u, v in taken:
                d = dout[i, c, r, s] / (size**2 if isinstance(layer, AveragePool) else 1)
                here = (i, c, r * step + u, s * step + v)
                dx[here] = d if overwrite else dx[here] + d
    return {"": dx}


def frozen(layer: Any, params: Gradients, x: Array, dout: Array, freeze: str) -> Array:
    """dx of a norm as the complex step of a forward pass that takes its mean, its variance or its divisor otherwise."""
    form = layer.form(x.shape[1:])
    seen = x.reshape(len(x), *form.view)
    gamma = params["gamma"].reshape(form.scale)
    mean0, m = seen.mean(axis=form.axes, keepdims=True), np.prod([seen.shape[axis] for axis in form.axes])
    variance0 = seen.var(axis=form.axes, keepdims=True)
    dx = np.zeros(x.size)
    for j in range(x.size):
        moved = x.astype(complex)
        moved.reshape(-1)[j] += 1e-30j
        moved = moved.reshape(seen.shape)
        centred = moved - (mean0 if freeze == "mean" else moved.sum(axis=form.axes, keepdims=True) / m)
        variance = (centred**2).sum(axis=form.axes, keepdims=True) / m
        if freeze == "variance":
            variance = variance0
        if freeze == "count":  # what moves it is m / (m - 1) times too large
            variance = variance0 + (variance - variance0) * m / (m - 1)
        out = centred / np.sqrt(variance + layer.epsilon) * (1 if freeze == "scale" else gamma)
        dx[j] = (out.reshape(x.shape) * dout).sum().imag / 1e-30
    return dx.reshape(x.shape)


def normed(freeze: str) -> Callable[..., Gradients]:
    def found(layer: Any, params: Gradients, x: Array, dout: Array) -> Gradients:
        return {"": frozen(layer, params, x, dout, freeze)}

    return found


def across(layer: Any, params: Gradients, x: Array, dout: Array) -> Gradients:
    """dx of a batch or layer norm of rows, with sums over the other axis."""
    own = 0 if isinstance(layer, BatchNorm) else 1
    mean, s = x.mean(axis=own, keepdims=True), np.sqrt(x.var(axis=own, keepdims=True) + layer.epsilon)
    dx = np.zeros_like(x)
    d = dout * params["gamma"]
    for i, j in np.ndindex(x.shape):
        inverse = 1 / s[0, j] if own == 0 else 1 / s[i, 0]
        centred = x[i, j] - (mean[0, j] if own == 0 else mean[i, 0])
        others = [(i, k) for k in range(x.shape[1])] if own == 0 else [(k, j) for k in range(x.shape[0])]
        products = sum(d[o] * (x[o] - (mean[0, o[1]] if own == 0 else mean[o[0], 0])) for o in others)
        dx[i, j] = d[i, j] * inverse - centred * inverse**3 * products / len(others)
        dx[i, j] -= sum(d[o] for o in others) * inverse / len(others)
    return {"": dx}


def last_example(layer: Any, params: Gradients, x: Array, dout: Array) -> Gradients:
    plain = {"gamma": np.ones_like(params["gamma"]), "beta": np.zeros_like(params["beta"])}
    normal = layer.forward(plain, x)[0]
    moved = np.moveaxis(normal * dout, 1, -1)[-1], np.moveaxis(dout, 1, -1)[-1]
    sums = [values.reshape(-1, values.shape[-1]).sum(axis=0) for values in moved]
    return {"gamma": sums[0], "beta": sums[1]}


def of_dropout(mask: str) -> Callable[..., Gradients]:
    def found(layer: Any, params: Gradients, x: Array, dout: Array) -> Gradients:
        kept = drawn(x.shape, layer.dropout, layer.dropout_seed, 1)
        if mask == "redrawn":
            kept = stream(0, "bug").random(x.shape) >= layer.dropout
            return {"": np.where(kept, dout / (1 - layer.dropout), 0)}
        return {"": np.where(kept, dout, 0)}

    return found


CONVOLUTION = Convolution(filters=2, kernel=3, stride=2, padding=1, dilation=1)
DILATED = Convolution(filters=2, kernel=2, stride=1, padding=2, dilation=2)
FORMULAS: list[tuple[str, Layer[Any], tuple[int, ...], Callable[..., Gradients]]] = []
for conv in (CONVOLUTION, DILATED):
    FORMULAS += [
        ("flipped_kernel", conv, (2, 5, 6), flipped),
        ("kernel_not_turned", conv, (2, 5, 6), lambda c, *a: convolved_back(c, *a, stride=c.stride, flip=True)),
        ("padding_off_by_one", conv, (2, 5, 6), lambda c, *a: convolved_back(c, *a, stride=c.stride, early=1)),
        ("stride_ignored", conv, (2, 5, 6), lambda c, *a: convolved_back(c, *a, stride=1)),
    ]
for cls in (MaxPool, AveragePool):
    for pool in (cls(), cls(pool_size=3, pool_stride=1)):
        FORMULAS.append(("pool_overwrites", pool, (2, 5, 6), lambda c, p, x, d: pooled_back(c, x, d, False, True)))
FORMULAS.append(("pool_all_ties", MaxPool(), (2, 4, 6), lambda c, p, x, d: pooled_back(c, x, d, True, False)))
FORMULAS.append(
    (
        "pool_all_ties",
        MaxPool(pool_size=3, pool_stride=2),
        (1, 5, 7),
        lambda c, p, x, d: pooled_back(c, x, d, True, False),
    )
)
for norm, shape in (
    (BatchNorm(), (4,)),
    (BatchNorm(), (2, 3, 2)),
    (LayerNorm(), (5,)),
    (LayerNorm(), (2, 2, 3)),
    (GroupNorm(groups=2), (6,)),
    (GroupNorm(groups=2), (4, 2, 2)),
):
    FORMULAS += [
        ("norm_constant_mean", norm, shape, normed("mean")),
        ("norm_constant_variance", norm, shape, normed("variance")),
        ("norm_count", norm, shape, normed("count")),
        ("norm_scale_forgotten", norm, shape, normed("scale")),
    ]
    if not (isinstance(norm, LayerNorm) and len(shape) == 3):
        FORMULAS.append(("scale_shift_not_summed", norm, shape, last_example))
FORMULAS += [("norm_wrong_axis", BatchNorm(), (4,), across), ("norm_wrong_axis", LayerNorm(), (4,), across)]
FORMULAS += [("dropout_mask_redrawn", Dropout("1", 0.4, 3), (7,), of_dropout("redrawn"))]
FORMULAS += [("dropout_scale_missing", Dropout("1", 0.4, 3), (2, 3, 3), of_dropout("kept"))]


def made(name: str, layer: Layer[Any], shape: tuple[int, ...]) -> tuple[Gradients, Gradients, Any]:
    """The gradients with the bug, the right ones, and what they were made from; the input has ties."""
    rng = np.random.default_rng(len(name))
    x = np.round(rng.standard_normal((3, *shape)) * 2) / 2
    if not isinstance(layer, MaxPool):
        x = rng.standard_normal(x.shape)
    params = {own: rng.standard_normal(size) for own, size in layer.parameters(shape).items()}
    out, cache = layer.forward(params, x)
    dout = rng.standard_normal(out.shape)
    bug = OURS[name]()
    assert isinstance(bug, BackwardBug)
    both = []
    for parts in (bug, TEXTBOOK):
        dx, gradients = layer.backward(params, cache, dout, parts)
        both.append({"": dx, **gradients})
    return both[0], both[1], (params, x, dout)


NAMES = [f"{name}-{type(layer).__name__}-{i}" for i, (name, layer, *_) in enumerate(FORMULAS)]


@pytest.mark.parametrize(("name", "layer", "shape", "formula"), FORMULAS, ids=NAMES)
def test_each_mistake_makes_the_gradient_that_its_words_say(name, layer, shape, formula) -> None:
    wrong, right, given = made(name, layer, shape)
    said = right | formula(layer, *given)
    assert wrong.keys() == said.keys()
    for own, values in wrong.items():
        assert values.shape == right[own].shape
        # some 100 roundings of numbers of about 1
        np.testing.assert_allclose(values, said[own], rtol=0, atol=1e-12 * max(1.0, np.abs(said[own]).max()))


@pytest.mark.parametrize("name", OURS)
def test_each_mistake_is_wrong_in_a_layer_that_has_it(name: str) -> None:
    """Planted: the right gradient in place of the wrong one would be seen above."""
    cases = [(layer, shape) for bug, layer, shape, _ in FORMULAS if bug == name]
    found = [made(name, *case) for case in cases]
    assert any(not np.allclose(wrong[own], right[own], rtol=1e-3) for wrong, right, _ in found for own in wrong)


def test_where_the_mistake_changes_nothing_there_is_no_effect() -> None:
    for name, layer, shape in (
        ("flipped_kernel", Convolution(kernel=1), (2, 4, 4)),
        ("kernel_not_turned", Convolution(kernel=1), (2, 4, 4)),
        ("padding_off_by_one", Convolution(padding=0), (2, 4, 4)),
        ("stride_ignored", Convolution(stride=1), (2, 4, 4)),
        ("pool_overwrites", MaxPool(), (2, 4, 4)),
        ("pool_overwrites", AveragePool(), (2, 4, 4)),
    ):
        wrong, right, _ = made(name, layer, shape)
        assert all(np.array_equal(wrong[own], right[own]) for own in wrong), name
    layer = MaxPool()
    x = np.arange(16.0).reshape(1, 1, 4, 4)  # without ties
    dx = [layer.backward({}, x, np.ones((1, 1, 2, 2)), parts)[0] for parts in (OURS["pool_all_ties"](), TEXTBOOK)]
    assert np.array_equal(*dx)


# --- in the models ----------------------------------------------------------------------------------------------------

IMAGES = Images(n=5, height=6, width=6)
NETS: list[tuple[str, Layered, DataSource]] = [
    ("conv", Conv(l2=0.1), IMAGES),
    ("conv-stride", Conv(stride=2, pool="none", dropout=0.3), IMAGES),
    ("conv-overlap", Conv(pool_size=3, pool_stride=1, pool="average", activation="sigmoid"), IMAGES),
    ("conv-ties", Conv(kernel=2, activation="identity"), replace(IMAGES, grid=3.0)),
    ("norm-layer", Norm(layers=[4], l2=0.1), Gaussian(n=10, d=3)),
    ("norm-batch", Norm(layers=[4, 3], norm="batch", dropout=0.3), Gaussian(n=12, d=3)),
    ("norm-group", Norm(layers=[6], norm="group", loss_name="squared_error"), Gaussian(n=10, d=3)),
    ("layer", OneLayer(layer="group_norm", loss_name="sigmoid"), replace(IMAGES, channels=2)),
]


def of_cell(name: str, model: Layered, data: DataSource) -> Cell:
    return Cell(model, data, Normal(2, 0.7), BUGS[name](), SCHEMES["central"], np.dtype(np.float64), 1e-2)


def refusal(name: str, model: Layered, data: DataSource) -> str | None:
    """Why there is nothing to check; None where the bug makes another gradient of the same shape."""
    with np.errstate(all="ignore"):
        try:
            posed = pose(of_cell(name, model, data))
        except (Meaningless, NoEffect) as error:
            return str(error)
    assert posed.correct is not None
    assert (posed.analytic.shape, posed.analytic.dtype) == (posed.correct.shape, posed.correct.dtype)
    return None


@pytest.mark.parametrize("name", [name for name in BUGS if name != "none"])
def test_every_bug_has_an_effect_in_the_nets_or_is_refused_in_a_line(name: str) -> None:
    found = [(model, refusal(name, model, data)) for _, model, data in NETS]
    for model, words in found:
        assert words is None or "\n" not in words
        assert words is None or words.startswith((f"bug={name}: {model.name} ", "no effect here"))
    # what no net has is said of each of them
    assert any(words is None for _, words in found) or all(words.startswith("bug=") for _, words in found)
    assert name not in OURS or any(words is None for _, words in found)


@pytest.mark.parametrize("name", OURS)
def test_mistakes_of_layers_are_caught(name: str) -> None:
    """``python -m tests.trials layers`` plants them in random nets."""
    here = [(model, data) for _, model, data in NETS if refusal(name, model, data) is None]
    assert caught(check_cell(of_cell(name, *here[-1]))) == "caught"


def test_parameters_that_a_bug_may_name_are_those_that_it_can_hit() -> None:
    model = Norm()
    layout = model.layout(Gaussian().batch(model.target, np.float64))
    assert BUGS["dropped_bias"]().params(model, layout) == ("b1", "b2", "b3")
    assert BUGS["missing_l2"]().params(model, layout) == ("W1", "W2", "W3")


@pytest.mark.parametrize("name", OURS)
def test_each_names_a_public_report(name: str) -> None:
    assert OURS[name].source.startswith("https://")
