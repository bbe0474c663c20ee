"""The models: hand-written loss and gradient, pure NumPy.

A model is a dataclass of settings with ``loss`` and ``gradient`` on a flat parameter vector; ``MODELS`` finds it by name.
"""

from __future__ import annotations

from gradcheck.models.attention import Attention
from gradcheck.models.conv import Conv
from gradcheck.models.interfaces import Model
from gradcheck.models.linear import Linear
from gradcheck.models.logistic import Logistic
from gradcheck.models.mlp import MLP
from gradcheck.models.norm import Norm
from gradcheck.models.one_d import OneD
from gradcheck.models.one_layer import OneLayer
from gradcheck.models.parts import Parts
from gradcheck.models.recurrent import RecurrentNet
from gradcheck.models.softmax import Softmax

MODELS: dict[str, type[Model]] = {
    model.name: model for model in (OneD, Linear, Logistic, MLP, Softmax, Conv, Norm, OneLayer, RecurrentNet, Attention)
}

__all__ = [
    "MLP",
    "MODELS",
    "Attention",
    "Conv",
    "Linear",
    "Logistic",
    "Norm",
    "OneD",
    "OneLayer",
    "Parts",
    "RecurrentNet",
    "Softmax",
]
