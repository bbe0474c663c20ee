"""Mistakes on the way back through norms and dropout."""

import numpy as np

from gradcheck.bugs.base import Array, BackwardBug, Bug, step_needed, steps_needed, texts
from gradcheck.models.image_steps import Axes

norm_needed = step_needed("norm_axes", "has no norm")
dropout_needed = step_needed("dropout_mask", "has no dropout")


class NormConstantMean(BackwardBug):
    """The mean of a norm is taken for a constant.

    x - mean is differentiated as if the mean did not depend on x: its path is missing in dx.
    """

    name = "norm_constant_mean"
    kind = "shift"
    why = "the loss does not move when a constant is added to what is normalised, the gradient says it does"
    formula = texts(mean_path="0")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/deeplearning4j/deeplearning4j/pull/8379"

    def mean_path(self, derivative: Array) -> Array:
        return np.zeros_like(derivative)


class NormConstantVariance(BackwardBug):
    """The variance of a norm is taken for a constant.

    The derivative of the running statistics, as in evaluation, is used in training; or the path through the variance was
    given up as too long.
    """

    name = "norm_constant_variance"
    kind = "scale"
    why = "the loss does not move when what is normalised is scaled, the gradient says it does"
    formula = texts(variance_path="0")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/facebookresearch/CrypTen/pull/143"

    def variance_path(self, derivative: Array) -> Array:
        return np.zeros_like(derivative)


class NormCount(BackwardBug):
    """The variance is differentiated with the divisor m - 1, where the forward pass has m.

    Two conventions for the variance: the sample's in one pass, that of the numbers at hand in the other.
    """

    name = "norm_count"
    kind = "scale"
    why = "the path through the variance is m / (m - 1) times too large"
    formula = texts(variance_count="({m} - 1)")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/LBANN/lbann/pull/2024"

    def variance_count(self, count: int) -> int:
        return max(count - 1, 1)


class NormWrongAxis(BackwardBug):
    """The sums in the backward pass of a norm run along the other axes.

    The backward pass of a batch norm copied for a layer norm, or the other way round: sums and their count m are those of
    the axes along which nothing was normalised. Broadcasting makes the shapes fit.
    """

    name = "norm_wrong_axis"
    kind = "shift"
    why = "the loss does not move when a constant is added to what is normalised, the gradient says it does"
    formula = texts(norm_axes="along all other axes")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/flagos-ai/FlagGems/issues/5392"

    def norm_axes(self, axes: Axes, dimensions: int) -> Axes:
        return tuple(axis for axis in range(dimensions) if axis not in axes)


class ScaleShiftNotSummed(BackwardBug):
    """The gradients of gamma and beta are those of the last example alone.

    They were broadcast to all examples and have to be summed over these; in a loop that assigns, the last one stays. No
    effect for n = 1.
    """

    name = "scale_shift_not_summed"
    kind = "scattered"
    why = "gamma and beta alone are wrong, by the shares of the other examples"
    formula = texts(scale_shift_sum="{values} of the last example")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/pytorch/pytorch/pull/18233"

    def scale_shift_sum(self, values: Array, axes: Axes) -> Array:
        return super().scale_shift_sum(values[-1:], axes)


class NormScaleForgotten(BackwardBug):
    """The derivative by the input of a norm is made from delta, where gamma * delta belongs.

    The gradient of gamma itself is right. While gamma is still 1, as at the start of training, nothing shows: no effect
    there.
    """

    name = "norm_scale_forgotten"
    kind = "activation_derivative"
    why = "right above a norm, wrong below it"
    formula = texts(norm_scale="")
    needs = (steps_needed, norm_needed)
    source = "https://github.com/denizyuret/Knet.jl/issues/288"

    def norm_scale(self, gamma: Array) -> Array:
        return np.ones_like(gamma)


class DropoutMaskRedrawn(BackwardBug):
    """The backward pass of dropout draws another mask.

    The seed, or the state of the generator, is not handed from the forward to the backward pass. ``seed`` draws the other
    mask.
    """

    name = "dropout_mask_redrawn"
    kind = "activation_derivative"
    why = "right above a dropout, wrong below it"
    formula = texts(dropout_mask="other entries kept")
    needs = (steps_needed, dropout_needed)
    source = "https://github.com/facebookresearch/xformers/issues/173"

    def dropout_mask(self, kept: Array, rate: float) -> Array:
        return self.random().random(kept.shape) >= rate


class DropoutScaleMissing(BackwardBug):
    """The backward pass of inverted dropout lacks the factor 1 / (1 - p).

    The mask is applied, the factor that keeps the mean is forgotten.
    """

    name = "dropout_scale_missing"
    kind = "param_factor"
    why = "right above a dropout, 1 - p times what it should be below; with k of them, (1 - p)^k"
    formula = texts(dropout_scale="")
    needs = (steps_needed, dropout_needed)
    source = "https://github.com/rohitg00/ai-engineering-from-scratch/pull/17"

    def dropout_scale(self, rate: float) -> float:
        return 1.0


NORM_BUGS: tuple[type[Bug], ...] = (
    NormConstantMean,
    NormConstantVariance,
    NormCount,
    NormWrongAxis,
    NormScaleForgotten,
    ScaleShiftNotSummed,
    DropoutMaskRedrawn,
    DropoutScaleMissing,
)
