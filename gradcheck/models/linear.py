"""Linear regression with squared error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from gradcheck.models.dense import Dense
from gradcheck.models.heads import SquaredError
from gradcheck.models.interfaces import Lacks
from gradcheck.models.net import Net
from gradcheck.models.settings import require_choice
from gradcheck.models.target import Real

REDUCTIONS = ("mean", "sum", "half_sum", "half_mean")


@dataclass
class Linear(Dense):
    """Squared error of the residual r = X W + b - y: sum(r**2), times 1/2 for ``half_*``, over n for ``*mean``.

    Gradient X^T r times 2 (1 for ``half_*``), over n for ``*mean``.  ``bias`` is the x0 = 1 column.
    """

    reduction: str = "mean"
    bias: bool = True
    l2: float = 0.0

    name = "linear"
    choices: ClassVar[Mapping[str, Sequence[object]]] = {"reduction": REDUCTIONS, **Dense.choices}

    @property
    def net(self) -> Net:
        head = SquaredError(0.5 if self.reduction.startswith("half") else 1.0)
        averaged = self.reduction in ("mean", "half_mean")
        return Net(head, bias=self.bias, l2=self.l2, averaged=averaged, numbered=False)

    @property
    def lacks(self) -> Lacks:
        lacks = super().lacks
        return replace(lacks, mean=lacks.mean and f"with model.reduction={self.reduction} {lacks.mean}")

    @property
    def target(self) -> Real:
        return Real(1)

    def validate(self) -> None:
        super().validate()
        require_choice("model.reduction", self.reduction, REDUCTIONS)
