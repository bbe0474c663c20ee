"""Layers by themselves: every entry of the table, and what each computes beside a definition in loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.errors import Meaningless
from gradcheck.models.layers import LAYERS
from gradcheck.models.layers.convolution import Conv
from gradcheck.models.layers.dropout import Dropout
from gradcheck.models.layers.layer import Layer, Unfit
from gradcheck.models.layers.normalization import BatchNorm, GroupNorm, LayerNorm, Norm
from gradcheck.models.layers.pooling import AveragePool, MaxPool, Pool
from gradcheck.models.parts import TEXTBOOK, Parts

Array = np.ndarray
SHAPES = ((6,), (2, 6, 5), (5, 4))
SEEDS = st.integers(0, 10**6)


def of(layer: Layer[Any], shape: tuple[int, ...], seed: int, n: int = 4) -> tuple[dict[str, Array], Array]:
    """Parameters and an input for a layer."""
    rng = np.random.default_rng(seed)
    params = {name: rng.standard_normal(own) for name, own in layer.parameters(shape).items()}
    return params, rng.standard_normal((n, *shape))


def taken(layer: Layer[Any]) -> list[tuple[int, ...]]:
    """The shapes that a layer takes."""
    found = []
    for shape in SHAPES:
        try:
            layer.output(shape)
            found.append(shape)
        except (Meaningless, Unfit):
            continue
    return found


def worst_error(layer: Layer[Any], params: dict[str, Array], x: Array, terms: float = 0.0) -> float:
    """How far its backward pass is from the complex step, over the largest entry of each derivative (at least ``terms``).

    The loss is sum(out * weights): a complex step of 1e-30 leaves no truncation, and rounds as the forward pass does.
    """
    out, cache = layer.forward(params, x)
    weights = np.random.default_rng(0).standard_normal(out.shape)
    dx, gradients = layer.backward(params, cache, weights, TEXTBOOK)
    given_ = {"": x, **params}
    found = {"": dx, **gradients}
    assert found.keys() == given_.keys()
    worst = 0.0
    for name, values in given_.items():
        assert found[name].shape == values.shape
        exact = np.empty(values.size)
        for i in range(values.size):
            moved = {key: value.astype(complex) for key, value in given_.items()}
            moved[name].reshape(-1)[i] += 1e-30j
            exact[i] = (layer.forward(moved, moved.pop(""))[0] * weights).sum().imag / 1e-30
        largest = max(np.abs(exact).max(initial=0.0), terms) or 1.0
        worst = max(worst, float(np.abs(found[name].reshape(-1) - exact).max(initial=0.0)) / largest)
    return worst


# --- every layer of the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_the_table_keeps_the_contract(name: str) -> None:
    layer = LAYERS[name](tag="2")
    layer.require()
    shapes = taken(layer)
    assert shapes
    assert all(step in dir(Parts) for step in layer.steps)
    for shape in shapes:
        params, x = of(layer, shape, 1)
        kept = [array.copy() for array in (x, *params.values())]
        out, cache = layer.forward(params, x)
        assert out.shape == (len(x), *layer.output(shape))
        assert all(own.endswith("2") for own in params)
        assert layer.width(shape) >= 0
        # each sum has at most 100 terms of about one size, and a norm a quotient of two of them
        assert worst_error(layer, params, x) < 1e-12
        assert all(np.array_equal(*pair) for pair in zip(kept, (x, *params.values()), strict=True))
        small = {own: value.astype(np.float32) for own, value in params.items()}
        out, cache = layer.forward(small, x.astype(np.float32))
        dx, gradients = layer.backward(small, cache, out, TEXTBOOK)
        assert {array.dtype for array in (out, dx, *gradients.values())} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", LAYERS)
def test_the_contract_sees_a_wrong_backward_pass(name: str) -> None:
    """Planted: a derivative that is wrong in the tenth digit."""
    layer = LAYERS[name](tag="2")
    shape = taken(layer)[0]

    class Wrong(type(layer)):  # type: ignore[misc]
        def backward(self, params, cache, dout, parts):
            dx, gradients = super().backward(params, cache, dout, parts)
            return dx * (1 + 1e-10), gradients

    assert worst_error(Wrong(tag="2"), *of(layer, shape, 1)) > 1e-12


# --- definitions in loops -------------------------------------------------------------------------------------------------

convolutions = st.builds(
    Conv,
    filters=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    bias=st.booleans(),
)
images = st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6))


def convolved(layer: Conv, params: dict[str, Array], x: Array) -> Array:
    """The sum over channels and kernel, one output at a time; pixels outside the image are 0."""
    n, channels, height, width = x.shape
    filters, rows, columns = layer.output(x.shape[1:])
    out = np.zeros((n, filters, rows, columns))
    for i, f, r, c in np.ndindex(out.shape):
        for ch, u, v in np.ndindex(channels, layer.kernel, layer.kernel):
            row = r * layer.stride + u * layer.dilation - layer.padding
            column = c * layer.stride + v * layer.dilation - layer.padding
            if 0 <= row < height and 0 <= column < width:
                out[i, f, r, c] += params["W"][f, ch, u, v] * x[i, ch, row, column]
        out[i, f, r, c] += params["b"][f] if layer.bias else 0
    return out


@given(convolutions, images, SEEDS)
def test_a_convolution_is_its_sum_and_its_backward_pass_the_derivative(layer, shape, seed) -> None:
    side = layer.dilation * (layer.kernel - 1) + 1
    if side > min(shape[1:]) + 2 * layer.padding:
        with pytest.raises(
            Unfit, match=rf"^kernel={layer.kernel}, padding={layer.padding}, dilation=.* is larger than"
        ):
            layer.output(shape)
        return
    params, x = of(layer, shape, seed, n=2)
    out = layer.forward(params, x)[0]
    # 18 products and sums of numbers of about 1
    np.testing.assert_allclose(out, convolved(layer, params, x), rtol=0, atol=1e-13)
    assert worst_error(layer, params, x) < 1e-12


@given(st.sampled_from([MaxPool, AveragePool]), st.integers(1, 3), st.integers(0, 3), images, SEEDS)
def test_pooling_is_its_definition_and_its_backward_pass_the_derivative(cls, size, stride, shape, seed) -> None:
    layer: Pool = cls(pool_size=size, pool_stride=stride)
    if size > min(shape[1:]):
        with pytest.raises(Unfit, match=rf"^pool_size={size}: a window of"):
            layer.output(shape)
        return
    _, x = of(layer, shape, seed, n=2)
    out = layer.forward({}, x)[0]
    step = stride or size
    for i, c, r, s in np.ndindex(out.shape):
        window = x[i, c, r * step : r * step + size, s * step : s * step + size]
        # a mean of at most 9 numbers
        assert out[i, c, r, s] == pytest.approx(window.max() if cls is MaxPool else window.mean(), abs=1e-14)
    assert worst_error(layer, {}, x) < 1e-12


def test_equal_windows_have_equal_outputs_to_the_bit() -> None:
    """So that maxima of them tie: wherever they stand, and however many others there are."""
    rng = np.random.default_rng(0)
    tile = rng.standard_normal((2, 3, 3))
    for n, height, width in itertools.product((1, 2, 5), (1, 3, 4), (1, 2, 5)):
        x = np.tile(tile, (n, 1, height, width))
        layer = Conv(filters=3, kernel=3, stride=3)
        params, _ = of(layer, x.shape[1:], 3)
        out = layer.forward(params, x)[0]
        assert all(np.unique(out[:, f]).size == 1 for f in range(3))


def normalized(layer: Norm, x: Array) -> list[Array]:
    """Each group of entries that share mean and variance, as index arrays into x."""
    index = np.arange(x.size).reshape(x.shape)
    if isinstance(layer, BatchNorm):
        moved = np.moveaxis(index, 1 if x.ndim == 4 else -1, 0)
        return [entries.reshape(-1) for entries in moved]
    if isinstance(layer, GroupNorm):
        moved = np.moveaxis(index, 1 if x.ndim == 4 else -1, 1)
        split = moved.reshape(len(x), layer.groups, -1) if x.ndim != 3 else None
        if split is None:
            rows = index.reshape(-1, layer.groups, x.shape[-1] // layer.groups)
            return [rows[i, g] for i, g in np.ndindex(rows.shape[:2])]
        return [split[i, g] for i, g in np.ndindex(split.shape[:2])]
    flat = index.reshape(len(x), -1) if x.ndim == 4 else index.reshape(-1, x.shape[-1])
    return list(flat)


@given(
    st.sampled_from([BatchNorm(), LayerNorm(), GroupNorm(groups=2), GroupNorm(groups=1), BatchNorm(epsilon=0.1)]),
    st.sampled_from([(4,), (2,), (3, 4), (2, 3, 2), (4, 1, 2)]),
    st.integers(2, 5),
    SEEDS,
)
def test_a_norm_has_mean_0_and_variance_1_over_its_axes(layer, shape, n, seed) -> None:
    params, x = of(layer, shape, seed, n=n)
    plain = {name: np.ones_like(v) if name[0] == "g" else np.zeros_like(v) for name, v in params.items()}
    out = layer.forward(plain, x)[0].reshape(-1)
    for entries in normalized(layer, x):
        variance = x.reshape(-1)[entries].var()
        # sums of at most 20 numbers; variance over variance + epsilon
        assert abs(out[entries].mean()) < 1e-12
        assert out[entries].var() == pytest.approx(variance / (variance + layer.epsilon), rel=1e-9)
    # of few entries hardly anything is left of dx = (d gamma - its parts along 1 and x) / s
    smallest = min(x.reshape(-1)[entries].var() for entries in normalized(layer, x))
    assert worst_error(layer, params, x, np.abs(params["gamma"]).max() / np.sqrt(smallest + layer.epsilon)) < 1e-12


@given(st.floats(0.0, 0.95), SEEDS, st.sampled_from([(5, 3), (2, 1, 4, 4)]))
def test_a_dropout_mask_depends_on_shape_and_seed_alone(rate, seed, shape) -> None:
    x = np.random.default_rng(seed).standard_normal(shape)
    layer = Dropout("1", rate, seed)
    first, second = layer.forward({}, x)[0], layer.forward({}, x + 1)[0]
    kept = first != 0
    assert np.array_equal(kept, second != 0)
    # a quotient, rounded once
    np.testing.assert_allclose(first[kept], (x / (1 - rate))[kept], rtol=1e-15)
    assert worst_error(layer, {}, x) < 1e-12


def test_dropout_keeps_the_expected_share_and_other_seeds_and_layers_draw_other_masks() -> None:
    x = np.ones((200, 50))
    masks = [Dropout(tag, 0.3, seed).forward({}, x)[0] != 0 for tag in "12" for seed in (0, 1)]
    # 10,000 draws: a standard deviation of 0.005
    assert all(abs(kept.mean() - 0.7) < 0.025 for kept in masks)
    # masks of one seed agree in 0.7^2 + 0.3^2 of the entries by chance
    assert all(abs((a == b).mean() - 0.58) < 0.025 for a, b in itertools.combinations(masks, 2))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Conv(filters=0), "filters=0: must be a whole number >= 1"),
        (Conv(kernel=True), "kernel=True: must be a whole number >= 1"),
        (Conv(stride=0), "stride=0: must be"),
        (Conv(padding=-1), "padding=-1: must be a whole number >= 0"),
        (Conv(dilation=1.5), "dilation=1.5: must be"),  # type: ignore[arg-type]
        (MaxPool(pool_size=0), "pool_size=0: must be"),
        (AveragePool(pool_stride=-2), "pool_stride=-2: must be"),
        (LayerNorm(epsilon=-1.0), "epsilon=-1.0: must be a finite number >= 0"),
        (GroupNorm(groups=0), "groups=0: must be"),
        (Dropout(dropout=1.0), "dropout=1.0: must be a number >= 0 and < 1"),
        (Dropout(dropout_seed=-1), "dropout_seed=-1: must be"),
    ],
)
def test_settings_that_a_layer_cannot_have_are_named(layer, words: str) -> None:
    with pytest.raises(Unfit) as raised:
        layer.require()
    assert str(raised.value).startswith(words)


def test_groups_that_do_not_divide_the_features_are_named() -> None:
    with pytest.raises(Unfit, match=r"^groups=3: must divide the 4 features of the layer$"):
        GroupNorm(groups=3).output((4,))
