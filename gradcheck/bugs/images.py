"""Mistakes on the way back through convolution and pooling."""

import numpy as np

from gradcheck.bugs.base import Array, BackwardBug, Bug, step_needed, steps_needed, texts

convolution_needed = step_needed("turned_kernel", "has no convolution")


class FlippedKernel(BackwardBug):
    """The gradient of a kernel is turned by 180 degrees.

    What networks call a convolution is a correlation; a backward pass that was derived for the other one, or that calls a
    convolution of a library, puts each value at the opposite end of the kernel. No effect where kernels are one pixel.
    """

    name = "flipped_kernel"
    kind = "flipped"
    why = "the values of each kernel's dW stand reversed along rows and columns"
    formula = texts(kernel_gradient="{gradient}, turned by 180 degrees")
    needs = (steps_needed, convolution_needed)
    source = "https://github.com/nntrainer/nntrainer/issues/705"

    def kernel_gradient(self, gradient: Array) -> Array:
        return gradient[..., ::-1, ::-1]


class KernelNotTurned(BackwardBug):
    """The kernel is not turned by 180 degrees for the derivative by the input.

    dx of a correlation is the full correlation of delta with the turned kernel; the turn is forgotten, or made twice. No
    effect where kernels are one pixel, and none without a layer with parameters below.
    """

    name = "kernel_not_turned"
    kind = "activation_derivative"
    why = "right down to the highest convolution, wrong below it"
    formula = texts(turned_kernel="{W}")
    needs = (steps_needed, convolution_needed)
    source = "https://github.com/nntrainer/nntrainer/issues/705"

    def turned_kernel(self, weight: Array) -> Array:
        return weight


class PaddingOffByOne(BackwardBug):
    """The border of padding is cut off one pixel too early.

    The slice that takes the padding away again begins at padding - 1, or the padding of one side is taken for the other's:
    dx stands one pixel too far down and to the right. No effect without padding, and none without a layer with parameters
    below.
    """

    name = "padding_off_by_one"
    kind = "activation_derivative"
    why = "right down to the highest convolution, wrong below it"
    formula = texts(unpadded="{dx} without its border, which is taken to begin a row and a column too early")
    needs = (steps_needed, convolution_needed)
    source = "https://github.com/renmengye/np-conv2d/pull/2"

    def unpadded(self, padded: Array, padding: int, height: int, width: int) -> Array:
        return super().unpadded(padded, max(padding - 1, 0), height, width)


class StrideIgnored(BackwardBug):
    """The backward pass of a convolution moves its windows by one pixel, whatever the stride is.

    The slice begins at (row, column) of the output where it must begin at stride times these; tests with stride 1 pass. No
    effect for stride 1.
    """

    name = "stride_ignored"
    kind = "activation_derivative"
    why = "right above the highest convolution, wrong in it and below"
    formula = texts(window_start="{p}")
    needs = (steps_needed, convolution_needed)
    source = "https://github.com/Kulbear/deep-learning-coursera/pull/34"

    def window_start(self, positions: Array, stride: int) -> Array:
        return positions


class PoolAllTies(BackwardBug):
    """Every entry that is equal to the maximum of its window gets the whole derivative.

    The mask is x == max: where several entries tie, delta is counted several times. No effect without ties, and none where
    the tied entries hand nothing down, as behind a relu that is 0 in the whole window.
    """

    name = "pool_all_ties"
    kind = "activation_derivative"
    why = "right above a pooling, wrong below it"
    formula = texts(pool_choice="any maximum")
    needs = (steps_needed, step_needed("pool_choice", "has no max pooling"))
    source = "https://github.com/Theano/Theano/issues/4568"

    def pool_choice(self, windows: Array) -> Array:
        return np.asarray(windows == windows.max(axis=2, keepdims=True))


class PoolOverwrites(BackwardBug):
    """Where windows of a pooling overlap, the last one overwrites what the others left.

    dx[window] = delta for dx[window] += delta. No effect where no entry is in two windows (pool_stride below pool_size makes
    some), or the maximum of two.
    """

    name = "pool_overwrites"
    kind = "activation_derivative"
    why = "right above a pooling, wrong below it"
    formula = texts(add_window="the last of {values}")
    needs = (steps_needed, step_needed("add_window", "has no pooling"))
    source = "https://github.com/FluxML/NNlib.jl/issues/205"

    def add_window(self, there: Array, values: Array, chosen: Array) -> Array:
        return np.where(chosen, values, there)


IMAGE_BUGS: tuple[type[Bug], ...] = (
    FlippedKernel,
    KernelNotTurned,
    PaddingOffByOne,
    StrideIgnored,
    PoolAllTies,
    PoolOverwrites,
)
