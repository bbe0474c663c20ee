"""Windows that move over an image: where each entry of each window lies."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gradcheck.errors import Meaningless
from gradcheck.models.layers.layer import Shape, Unfit
from gradcheck.models.parts import TEXTBOOK, Parts

Array = np.ndarray


def require_image(shape: Shape, what: str) -> tuple[int, int, int]:
    """Channels, height and width of an example.  Raises Meaningless unless it is an image."""
    if len(shape) != 3:
        raise Meaningless(
            f"data: {what} takes images (channels, height, width), such as those of data=images; "
            f"these examples have the shape {shape}"
        )
    return shape[0], shape[1], shape[2]


def positions(length: int, size: int, stride: int) -> int:
    """How many windows of ``size`` pixels fit into ``length`` pixels, ``stride`` apart."""
    return (length - size) // stride + 1


def require_fit(shape: Shape, size: int, key: str) -> None:
    """Raise Unfit where a window of ``size`` pixels is larger than the image; ``key`` begins the message."""
    if size > min(shape[1:]):
        raise Unfit(f"{key}: a window of {size} x {size} is larger than the image of {shape[1]} x {shape[2]}")


@lru_cache(maxsize=256)
def places(height: int, width: int, kernel: int, stride: int, dilation: int) -> Array:
    """Flat index of each entry of each window, (kernel * kernel, P), in an image of height x width; read-only."""
    found = placed(height, width, kernel, stride, dilation, TEXTBOOK)
    found.flags.writeable = False
    return found


def placed(height: int, width: int, kernel: int, stride: int, dilation: int, parts: Parts) -> Array:
    """``places``, with windows that begin where ``parts`` say."""
    size = dilation * (kernel - 1) + 1
    inside = dilation * np.arange(kernel)
    rows = inside[:, None] + parts.window_start(np.arange(positions(height, size, stride)), stride)
    columns = inside[:, None] + parts.window_start(np.arange(positions(width, size, stride)), stride)
    flat = rows[:, None, :, None] * width + columns[None, :, None, :]
    return np.asarray(flat.reshape(kernel * kernel, -1))


def windows(x: Array, index: Array) -> Array:
    """The entries of all windows of the images x (n, c, height, width): (n, c, S, P)."""
    return x.reshape(*x.shape[:2], -1).take(index, axis=2)
