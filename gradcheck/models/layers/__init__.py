"""Layers that people write by hand, each with its forward and backward pass, and the models that are a chain of them.

``LAYERS`` finds a layer by name: ``model=layer model.layer=NAME`` is a net with one of it.
"""

from __future__ import annotations

from typing import Any

from gradcheck.models.layers.attention import SelfAttention
from gradcheck.models.layers.cells import CELLS
from gradcheck.models.layers.convolution import Conv
from gradcheck.models.layers.dense import Activate, Dense, Flatten
from gradcheck.models.layers.dropout import Dropout
from gradcheck.models.layers.embedding import LastStep, Positions
from gradcheck.models.layers.layer import Layer
from gradcheck.models.layers.normalization import BatchNorm, GroupNorm, LayerNorm
from gradcheck.models.layers.pooling import AveragePool, MaxPool

LAYERS: dict[str, type[Layer[Any]]] = {
    "dense": Dense,
    "activation": Activate,
    "flatten": Flatten,
    "conv": Conv,
    "max_pool": MaxPool,
    "average_pool": AveragePool,
    "batch_norm": BatchNorm,
    "layer_norm": LayerNorm,
    "group_norm": GroupNorm,
    "dropout": Dropout,
    **CELLS,
    "self_attention": SelfAttention,
    "positions": Positions,
    "last_step": LastStep,
}
