"""One instance of every kind of model, with data and parameters: the list that the tests run over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.experiment.sources.gaussian import Gaussian
from gradcheck.experiment.sources.init import Normal
from gradcheck.models import MLP, Linear, Logistic, OneD, Softmax
from gradcheck.models.activations import ACTIVATIONS
from gradcheck.models.batch import Batch
from gradcheck.models.linear import REDUCTIONS
from gradcheck.models.mlp import LOSSES
from gradcheck.models.one_d import CURVES
from gradcheck.models.target import NoTarget


@dataclass(frozen=True)
class Instance:
    """A model with a name to show in test reports, and the generated data that suit it."""

    name: str
    model: Any
    n: int = 13
    d: int = 4
    outputs: int = 1
    seed: int = 0

    def batch(self, dtype: Any = np.float64) -> Batch:
        data = Gaussian(n=self.n, d=self.d, outputs=self.outputs, seed=self.seed)
        return data.batch(self.model.target, np.dtype(dtype))

    def theta(self, dtype: Any = np.float64, seed: int = 0, scale: float = 0.7) -> np.ndarray:
        return Normal(seed, scale).theta(self.model.layout(self.batch()), np.dtype(dtype))

    def __str__(self) -> str:
        return self.name


def _instances() -> list[Instance]:
    found = [Instance(f"one_d-{curve}", OneD(curve)) for curve in CURVES]
    found += [Instance("one_d-cubic-l2", OneD("cubic", x=-1.5, l2=0.3))]
    for reduction in REDUCTIONS:
        found += [Instance(f"linear-{reduction}-l2={l2}", Linear(reduction, l2=l2)) for l2 in (0.0, 0.3)]
    found += [Instance("linear-no bias", Linear(bias=False))]
    found += [Instance(f"logistic-l2={l2}", Logistic(l2=l2)) for l2 in (0.0, 0.3)]
    found += [Instance("logistic-no bias", Logistic(bias=False))]
    for activation in ACTIVATIONS:
        for loss in LOSSES:
            found += [Instance(f"mlp-{activation}-{loss}", MLP([5, 3], activation, loss), outputs=2)]
        found += [Instance(f"softmax-{activation}", Softmax([5], activation))]
    found += [
        Instance("mlp-no hidden layer", MLP([])),
        Instance("mlp-one output-l2", MLP([3], "tanh", l2=0.3)),
        Instance("mlp-no bias-l2", MLP([4, 3, 2], "softplus", bias=False, l2=0.3)),
        Instance("softmax-linear", Softmax()),
        Instance("softmax-four classes-l2", Softmax([4, 3], "sigmoid", n_classes=4, l2=0.3)),
        Instance("softmax-no bias", Softmax([4], "tanh", bias=False)),
    ]
    return found


INSTANCES = _instances()
SMOOTH = [instance for instance in INSTANCES if instance.model.smooth]
WITH_DATA = [instance for instance in INSTANCES if not isinstance(instance.model.target, NoTarget)]


def _of_many_examples() -> list[Instance]:
    models = {
        "logistic": Logistic(),
        "softmax": Softmax(n_classes=4),
        "mlp-one layer": MLP([5]),
        "mlp-two layers": MLP([6, 5]),
        "mlp-three layers-l2": MLP([6, 5, 4], "sigmoid", l2=0.3),
        "mlp-squared error": MLP([6, 5], "sigmoid", "squared_error"),
        "mlp-relu": MLP([6, 5], "relu"),
        "mlp-no bias": MLP([6, 5], "tanh", bias=False),
        "softmax-two layers": Softmax([6, 5], "tanh", n_classes=3),
    }
    found = [Instance(f"many-{name}", model, n=300) for name, model in models.items()]
    return [
        *found,
        Instance("many-mlp-two outputs", MLP([6, 5]), n=300, outputs=2),
        Instance("many-mlp-many inputs", MLP([6, 5]), n=300, d=40),
        Instance("many-mlp-many inputs-no bias", MLP([3, 6], "tanh", bias=False), n=300, d=40),
        Instance("many-mlp-many units-l2", MLP([40, 6, 5], "sigmoid", "squared_error", l2=0.3), n=300),
    ]


# enough examples for every fast way
MANY = _of_many_examples()
