"""The steps of the backward passes of convolution, pooling, norms and dropout, one method each.

Images are (n, c, height, width): examples, channels, rows, columns.  P is the number of windows of a layer, S that of the
entries of one.
"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray
Axes = tuple[int, ...]


class ImageSteps:
    """The correct steps."""

    # --- convolution ----------------------------------------------------------------------------------------------------

    def window_start(self, positions: Array, stride: int) -> Array:
        """Row (or column) of the padded image where the window of each output position begins: stride times it."""
        return positions * stride

    def kernel_gradient(self, gradient: Array) -> Array:
        """dW of a convolution (filters, c, kernel, kernel): sum over examples and positions of d times the window."""
        return gradient

    def turned_kernel(self, weight: Array) -> Array:
        """The kernel with which d is correlated for dx: W turned by 180 degrees."""
        return weight[..., ::-1, ::-1]

    def unpadded(self, padded: Array, padding: int, height: int, width: int) -> Array:
        """dx from the derivative by the padded image: without the border."""
        return padded[..., padding : padding + height, padding : padding + width]

    # --- pooling --------------------------------------------------------------------------------------------------------

    def pool_choice(self, windows: Array) -> Array:
        """Which entry of each window (n, c, S, P) gets the derivative of its maximum: the first that is largest."""
        first = windows.argmax(axis=2, keepdims=True)
        return np.asarray(np.arange(windows.shape[2])[:, None] == first)

    def add_window(self, there: Array, values: Array, chosen: Array) -> Array:
        """dx in one window, (n, c, S), from what other windows left there: values are added where ``chosen``."""
        return there + values * chosen

    # --- norms ----------------------------------------------------------------------------------------------------------

    def norm_scale(self, gamma: Array) -> Array:
        """The factor of the normalised x, and so of what is handed down: gamma."""
        return gamma

    def norm_axes(self, axes: Axes, dimensions: int) -> Axes:
        """The axes along which mean and variance were taken."""
        return axes

    def variance_path(self, derivative: Array) -> Array:
        """The derivative by the variance."""
        return derivative

    def mean_path(self, derivative: Array) -> Array:
        """The derivative by the mean."""
        return derivative

    def variance_count(self, count: int) -> int:
        """The m by which the sum of squares was divided for the variance."""
        return count

    def scale_shift_sum(self, values: Array, axes: Axes) -> Array:
        """dgamma or dbeta from the values of all examples: their sum over examples and positions, axes kept."""
        return np.asarray(values.sum(axis=axes, keepdims=True))

    # --- dropout --------------------------------------------------------------------------------------------------------

    def dropout_mask(self, kept: Array, rate: float) -> Array:
        """Which entries were kept, (n, …), each with probability 1 - rate."""
        return kept

    def dropout_scale(self, rate: float) -> float:
        """The factor of what is kept: 1 / (1 - rate)."""
        return 1 / (1 - rate)


def count(shape: tuple[int, ...], axes: Axes) -> int:
    """How many entries are along these axes."""
    return math.prod(shape[axis] for axis in axes)
