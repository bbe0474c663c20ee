"""Batch, layer and group norm as in training: mean and variance are those of the very input."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gradcheck.models.image_steps import Axes, count
from gradcheck.models.layers.layer import Layer, Params, Shape, Unfit, require_count, require_not_negative
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


class Form(NamedTuple):
    """How a norm sees its input.

    view : the shape of an example.   axes : along which mean and variance are taken, the examples being axis 0.
    scale : the shape of gamma and beta beside ``view``, with 1 where they are the same.
    """

    view: Shape
    axes: Axes
    scale: Shape

    @property
    def shared(self) -> Axes:
        """The axes along which gamma and beta are the same, that of the examples among them."""
        return (0, *(axis for axis, size in enumerate(self.scale, start=1) if size == 1))


class Normalized(NamedTuple):
    """What the backward pass needs: x less its mean, 1 / sqrt(variance + epsilon), and x's shape."""

    centred: Array
    inverse: Array
    shape: Shape


@dataclass(frozen=True)
class Norm(Layer[Normalized]):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, with the variance of divisor m."""

    epsilon: float = 1e-5

    steps = ("norm_scale", "norm_axes", "variance_path", "mean_path", "variance_count", "scale_shift_sum")

    @abstractmethod
    def form(self, shape: Shape) -> Form:
        """How it sees examples of this shape."""

    def require(self) -> None:
        require_not_negative("epsilon", self.epsilon)

    def parameter_shape(self, shape: Shape) -> Shape:
        """The shape of gamma and of beta."""
        return (math.prod(self.form(shape).scale),)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        own = self.parameter_shape(shape)
        return {f"gamma{self.tag}": own, f"beta{self.tag}": own}

    def output(self, shape: Shape) -> Shape:
        self.form(shape)
        return shape

    def width(self, shape: Shape) -> int:
        return 3 * math.prod(shape)

    def forward(self, params: Params, x: Array) -> tuple[Array, Normalized]:
        form = self.form(x.shape[1:])
        seen = x.reshape(len(x), *form.view)
        m = count(seen.shape, form.axes)
        centred = seen - seen.sum(axis=form.axes, keepdims=True) / m
        variance = (centred * centred).sum(axis=form.axes, keepdims=True) / m
        inverse = 1 / np.sqrt(variance + self.epsilon)
        gamma, beta = params[f"gamma{self.tag}"], params[f"beta{self.tag}"]
        out = centred * inverse * gamma.reshape(form.scale) + beta.reshape(form.scale)
        return out.reshape(x.shape), Normalized(centred, inverse, x.shape)

    def backward(self, params: Params, cache: Normalized, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        centred, inverse, shape = cache
        form = self.form(shape[1:])
        gamma = params[f"gamma{self.tag}"]
        delta = dout.reshape(centred.shape)
        axes = parts.norm_axes(form.axes, centred.ndim)
        m = count(centred.shape, axes)
        by_normalized = delta * parts.norm_scale(gamma).reshape(form.scale)
        by_variance = -0.5 * inverse**3 * (by_normalized * centred).sum(axis=axes, keepdims=True)
        by_mean = -inverse * by_normalized.sum(axis=axes, keepdims=True)
        dx = by_normalized * inverse
        dx = dx + parts.variance_path(by_variance) * 2 * centred / parts.variance_count(m)
        dx = dx + parts.mean_path(by_mean) / m
        gradients = {
            f"gamma{self.tag}": parts.scale_shift_sum(delta * centred * inverse, form.shared).reshape(gamma.shape),
            f"beta{self.tag}": parts.scale_shift_sum(delta, form.shared).reshape(gamma.shape),
        }
        return dx.reshape(shape), gradients

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        return {
            "dgamma of a norm": symbols.step("scale_shift_sum", values="d * (x - mean) / s"),
            "dbeta of a norm": symbols.step("scale_shift_sum", values="d"),
        }

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        by_variance = symbols.step("variance_path", derivative="dvariance")
        by_mean = symbols.step("mean_path", derivative="dmean")
        m = symbols.step("variance_count", m="m")
        axes = symbols.step("norm_axes")
        d = f"d{symbols.step('norm_scale')}"
        dx = f"{d} / s"
        if by_variance != "0":
            dx += f" + {by_variance} 2 (x - mean) / {m}"
        if by_mean != "0":
            dx += f" + {by_mean} / m"
        return {
            "dx of a norm": dx,
            "dvariance": f"-1/2 sum({d} (x - mean)) / s^3 {axes}",
            "dmean": f"-sum({d}) / s {axes}",
        }


def channel_axis(shape: Shape) -> int:
    """The axis of the features in an example: the first of an image, the last of anything else."""
    return 0 if len(shape) == 3 else len(shape) - 1


@dataclass(frozen=True)
class BatchNorm(Norm):
    """Each feature (channel of an image) over the examples and positions."""

    def form(self, shape: Shape) -> Form:
        own = channel_axis(shape)
        axes = tuple(axis for axis in range(len(shape) + 1) if axis != own + 1)
        return Form(shape, axes, tuple(size if axis == own else 1 for axis, size in enumerate(shape)))


@dataclass(frozen=True)
class LayerNorm(Norm):
    """Each example over its features; an image over channels, rows and columns."""

    def form(self, shape: Shape) -> Form:
        if len(shape) == 3:
            return Form(shape, (1, 2, 3), shape)
        return Form(shape, (len(shape),), (*(1 for _ in shape[:-1]), shape[-1]))

    def parameter_shape(self, shape: Shape) -> Shape:
        return shape if len(shape) == 3 else shape[-1:]


@dataclass(frozen=True)
class GroupNorm(Norm):
    """Each example over the features of a group; an image over the channels of a group, rows and columns."""

    groups: int = 2

    def require(self) -> None:
        super().require()
        require_count("groups", self.groups, 1)

    def form(self, shape: Shape) -> Form:
        own = channel_axis(shape)
        features = shape[own]
        if features % self.groups:
            raise Unfit(f"groups={self.groups}: must divide the {features} features of the layer")
        split = (self.groups, features // self.groups)
        before, after = shape[:own], shape[own + 1 :]
        axes = tuple(range(own + 2, len(shape) + 2))
        return Form((*before, *split, *after), axes, (*(1 for _ in before), *split, *(1 for _ in after)))
