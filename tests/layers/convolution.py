"""Convolution and pooling of images (n, channels, height, width)."""

from __future__ import annotations

import numpy as np
from layers.base import Array, Layer


def windows(x: Array, size: int, stride: int) -> Array:
    """All windows of an image, (n, c, rows, columns, size, size), as views of x."""
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return seen[:, :, ::stride, ::stride]


def add_windows(parts: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The sum of overlapping windows, each at its place in an image: the transpose of ``windows``."""
    _, _, rows, columns, size, _ = parts.shape
    image = np.zeros(shape)
    for i in range(size):
        for j in range(size):
            image[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride] += parts[..., i, j]
    return image


class Conv2d(Layer):
    """Cross-correlation with W (k, c, size, size) and a bias b (k,), with zeros around the image."""

    def __init__(
        self, channels: int, kernels: int, size: int, rng: np.random.Generator, stride: int = 1, padding: int = 0
    ) -> None:
        scale = 1 / np.sqrt(channels * size**2)
        super().__init__(W=scale * rng.normal(size=(kernels, channels, size, size)), b=rng.normal(size=kernels))
        self.stride, self.padding = stride, padding

    def forward(self, x: Array) -> Array:
        """The output (n, k, rows, columns)."""
        p = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        W = self.params["W"]
        self.kept = padded
        seen = windows(padded, W.shape[2], self.stride)
        return np.einsum("ncrsij,kcij->nkrs", seen, W) + self.params["b"][:, None, None]

    def backward(self, dout: Array) -> Array:
        """The gradient by the input (n, c, height, width)."""
        padded, W, p = self.kept, self.params["W"], self.padding
        seen = windows(padded, W.shape[2], self.stride)
        self.grads = {"W": np.einsum("ncrsij,nkrs->kcij", seen, dout), "b": dout.sum(axis=(0, 2, 3))}
        parts = np.einsum("nkrs,kcij->ncrsij", dout, W)
        image = add_windows(parts, padded.shape, self.stride)
        return image[:, :, p : image.shape[2] - p, p : image.shape[3] - p]


class MaxPool2d(Layer):
    """The largest entry of each window."""

    def __init__(self, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Array) -> Array:
        """The output (n, c, rows, columns)."""
        seen = windows(x, self.size, self.stride)
        flat = seen.reshape(*seen.shape[:4], -1)
        self.kept = (x.shape, flat.argmax(axis=-1))
        return flat.max(axis=-1)

    def backward(self, dout: Array) -> Array:
        """dy at the place of each largest entry; where windows overlap the gradients add up."""
        shape, places = self.kept
        parts = np.zeros((*dout.shape, self.size**2))
        np.put_along_axis(parts, places[..., None], dout[..., None], axis=-1)
        return add_windows(parts.reshape(*dout.shape, self.size, self.size), shape, self.stride)


class AvgPool2d(Layer):
    """The mean of each window."""

    def __init__(self, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Array) -> Array:
        """The output (n, c, rows, columns)."""
        self.kept = x.shape
        return windows(x, self.size, self.stride).mean(axis=(-2, -1))

    def backward(self, dout: Array) -> Array:
        """dy / size^2 at every entry of its window."""
        share = dout / self.size**2
        parts = np.broadcast_to(share[..., None, None], (*dout.shape, self.size, self.size))
        return add_windows(parts, self.kept, self.stride)
