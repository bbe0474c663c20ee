"""Convolution of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradcheck.models.layers.layer import Layer, Params, Shape, require_count
from gradcheck.models.layers.windows import placed, places, positions, require_fit, require_image, windows
from gradcheck.models.parts import Parts
from gradcheck.models.symbols import Symbols

Array = np.ndarray


@dataclass(frozen=True)
class Conv(Layer[Array]):
    """2-D convolution as networks have it (a cross-correlation): (n, c, h, w) -> (n, filters, h', w').

    W (filters, c, kernel, kernel), b (filters,).  h' = (h + 2 padding - dilation (kernel - 1) - 1) // stride + 1.
    """

    filters: int = 1
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    bias: bool = True

    steps = ("window_start", "kernel_gradient", "turned_kernel", "unpadded")

    def require(self) -> None:
        require_count("filters", self.filters, 1)
        require_count("kernel", self.kernel, 1)
        require_count("stride", self.stride, 1)
        require_count("padding", self.padding, 0)
        require_count("dilation", self.dilation, 1)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        channels = require_image(shape, "a convolution")[0]
        found: dict[str, Shape] = {f"W{self.tag}": (self.filters, channels, self.kernel, self.kernel)}
        return found | ({f"b{self.tag}": (self.filters,)} if self.bias else {})

    def output(self, shape: Shape) -> Shape:
        channels, *sides = require_image(shape, "a convolution")
        padded = (channels, *(side + 2 * self.padding for side in sides))
        key = f"kernel={self.kernel}, padding={self.padding}, dilation={self.dilation}"
        require_fit(padded, self.reach, key)
        return (self.filters, *(positions(side, self.reach, self.stride) for side in padded[1:]))

    def width(self, shape: Shape) -> int:
        # the patches times each filter
        channels, (filters, height, width) = shape[0], self.output(shape)
        return (1 + filters) * channels * self.kernel**2 * height * width

    @property
    def reach(self) -> int:
        """Pixels from the first to the last row of a window."""
        return self.dilation * (self.kernel - 1) + 1

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        weight, padded = params[f"W{self.tag}"], self._padded(x)
        height, width = padded.shape[2:]
        index = places(height, width, self.kernel, self.stride, self.dilation)
        patches = windows(padded, index).reshape(len(x), 1, -1, index.shape[1])
        # not a product of BLAS, which may round equal patches differently by their place: maxima of them tie exactly
        z = (patches * weight.reshape(len(weight), -1, 1)).sum(axis=2)
        if self.bias:
            z += params[f"b{self.tag}"][:, None]
        rows, columns = (positions(side, self.reach, self.stride) for side in (height, width))
        return z.reshape(len(x), len(weight), rows, columns), x

    def backward(self, params: Params, cache: Array, dout: Array, parts: Parts) -> tuple[Array, dict[str, Array]]:
        weight, padded = params[f"W{self.tag}"], self._padded(cache)
        delta = dout.reshape(*dout.shape[:2], -1)
        height, width = padded.shape[2:]
        index = placed(height, width, self.kernel, self.stride, self.dilation, parts)
        patches = windows(padded, index)
        summed = np.einsum("nfp,ncsp->fcs", delta, patches, optimize=True).reshape(weight.shape)
        gradients = {f"W{self.tag}": parts.kernel_gradient(summed)}
        if self.bias:
            gradients[f"b{self.tag}"] = delta.transpose(1, 0, 2).reshape(len(weight), -1).sum(axis=1)
        # correlated with the turned kernel: each d times the kernel, laid where its window is
        spread = parts.turned_kernel(weight)[..., ::-1, ::-1].reshape(*weight.shape[:2], -1)
        shares = np.einsum("fcs,nfp->ncsp", spread, delta, optimize=True)
        flat = np.zeros((*padded.shape[:2], padded[0, 0].size), dtype=shares.dtype)
        for entry, where in enumerate(index):
            flat[:, :, where] += shares[:, :, entry]
        return parts.unpadded(flat.reshape(padded.shape), self.padding, cache.shape[2], cache.shape[3]), gradients

    def _padded(self, x: Array) -> Array:
        if self.padding == 0:
            return x
        n, channels, height, width = x.shape
        p = self.padding
        padded = np.zeros((n, channels, height + 2 * p, width + 2 * p), dtype=x.dtype)
        padded[:, :, p : p + height, p : p + width] = x
        return padded

    def derivatives_in_symbols(self, symbols: Symbols) -> dict[str, str]:
        summed = "sum_p d_p x[window p]"
        found = {"dW of a convolution": symbols.step("kernel_gradient", gradient=summed)}
        return found | ({"db of a convolution": "sum_p d_p"} if self.bias else {})

    def made_of(self, symbols: Symbols) -> dict[str, str]:
        dx = f"full correlation of d with {symbols.step('turned_kernel', W='W')}"
        return {
            "window p": f"begins at row and column {symbols.step('window_start', p='p')} of the padded x",
            "dx of a convolution": symbols.step("unpadded", dx=dx),
        }
