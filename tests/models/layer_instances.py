"""Instances of the models that are chains of layers, with data that suit them: the list that their tests run over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.images import Images
from gradcheck.experiment.sources.init import Normal
from gradcheck.experiment.sources.sequences import Sequences
from gradcheck.models import Attention, Conv, Norm, OneLayer, RecurrentNet
from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import DataSource
from gradcheck.models.layers.layered import LOSSES, Layered

TABLE = Gaussian(n=8, d=3)
IMAGES = Images(n=4, height=6, width=5)
TOKENS = Sequences(n=4, length=4, vocabulary=5)


@dataclass(frozen=True)
class Case:
    """A model and its data, with a name to show in test reports."""

    name: str
    model: Layered
    data: DataSource = field(default_factory=lambda: TABLE)

    def batch(self, dtype: Any = np.float64) -> Batch:
        return self.data.batch(self.model.target, np.dtype(dtype))

    def theta(self, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
        # gamma and beta are drawn as all others are
        return Normal(seed, 0.7).theta(self.model.layout(self.batch()), np.dtype(dtype))

    def __str__(self) -> str:
        return self.name


def _cases() -> list[Case]:
    conv = Conv(filters=[2, 1])
    found = [Case(f"conv-{pool}", replace(conv, pool=pool), IMAGES) for pool in ("max", "average", "none")]
    found += [
        Case("conv-stride", replace(conv, stride=2, pool="none"), IMAGES),
        Case("conv-dilation", replace(conv, dilation=2, padding=2, pool="average", pool_stride=1), IMAGES),
        Case("conv-no padding", replace(conv, padding=0, kernel=2, pool="average", pool_stride=1), IMAGES),
        Case("conv-overlap", replace(conv, pool_size=3, pool_stride=1), IMAGES),
        Case("conv-relu-dropout", replace(conv, activation="relu", dropout=0.4), IMAGES),
        Case("conv-channels-l2", replace(conv, pool="average", l2=0.3), replace(IMAGES, channels=2)),
    ]
    norm = Norm(layers=[6])
    for kind in ("batch", "layer", "group"):
        found += [Case(f"norm-{kind}", replace(norm, norm=kind))]
        found += [Case(f"norm-{kind}-dropout-l2", replace(norm, norm=kind, dropout=0.3, l2=0.2, bias=False))]
        found += [
            Case(f"layer-{kind}_norm-images", OneLayer(layer=f"{kind}_norm", units=2), replace(IMAGES, channels=2))
        ]
    for loss in LOSSES:
        found += [Case(f"norm-{loss}", replace(norm, loss_name=loss))]
        found += [Case(f"conv-{loss}", replace(conv, pool="average", loss_name=loss), IMAGES)]
    return found + _of_sequences()


def _of_sequences() -> list[Case]:
    net = RecurrentNet(vocabulary=5, embedding=3, units=2)
    found = [Case(f"recurrent-{cell}-last", replace(net, cell=cell), TOKENS) for cell in ("rnn", "gru", "lstm")]
    found += [Case("recurrent-lstm-all-l2", replace(net, cell="lstm", output="all", l2=0.3), TOKENS)]
    block = Attention(vocabulary=5, embedding=4, units=2)
    found += [
        Case("attention-last", block, TOKENS),
        Case("attention-all-squared_error", replace(block, output="all", loss_name="squared_error"), TOKENS),
        Case("attention-tied-not causal", replace(block, tied=True, causal=False), TOKENS),
    ]
    return found


CASES = _cases()
SMOOTH = [case for case in CASES if case.model.smooth]
