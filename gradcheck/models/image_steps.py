"""The steps of the backward passes of convolution, pooling, norms and dropout, one method each."""

from __future__ import annotations


class ImageSteps:
    """The correct steps."""
