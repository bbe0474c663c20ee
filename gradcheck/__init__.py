"""Gradient checking: is a gradient that was derived by hand the derivative of its function?

``check_gradient`` compares the two weight by weight, and says which entries are wrong and what the mistake looks like:

>>> import gradcheck
>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
>>> def loss(w):
...     return np.mean((X @ w - y) ** 2)
>>> def gradient(w):
...     return X.T @ (X @ w - y) / len(y)
>>> r = gradcheck.check_gradient(loss, gradient, np.zeros(3))
>>> r.verdict, r.diagnosis_kind
('mismatch', 'constant_factor')
>>> print(r.diagnosis)
The whole gradient is 2 times too small.

Every comparison has a bound: the largest difference that a correct gradient could show there.  The verdict is ``match``,
``mismatch`` or, with its reason, "cannot be told here".

Your own gradient
-----------------
check_gradient
    Compare a gradient with finite differences.
assert_gradient
    The same in a test: raise unless the gradient is right.
check_hessian
    Compare gradient and Hessian with finite differences, and the Hessian with its transpose.
check_adjoint
    Check a product with a Jacobian against that with its transpose.
check_layer
    Check a layer with forward and backward: the gradient of its input and of all its parameters.
check_layers, check_intermediates
    Find the first wrong step of a backward pass, by the list of its layers or by its intermediates.
Outcome
    What check_gradient returns: verdict, diagnosis, and all numbers.
ChainOutcome
    What check_layers returns: the first wrong step, and the outcome of each.
DirectionalOutcome
    The outcome of a gradient by many weights, checked along random directions.
HessianOutcome, AdjointOutcome
    What check_hessian and check_adjoint return.
ContractError, GradientMismatch
    Something is wrong with the functions; something is wrong with the gradient.
textbook
    The gradient checks of courses and exercises, with the signatures that they were published with.

Experiments
-----------
``python -m gradcheck.run eps=1e-4,1e-6 -m`` checks a grid of models, data, steps and schemes, and stores every number as
Parquet.  ``python -m gradcheck.run --help`` shows what can be varied; ``gradcheck.show``, ``gradcheck.report``,
``gradcheck.reproduce`` and ``gradcheck.diff`` work on the folder that it writes.

run_experiment
    Run an experiment from a program or a notebook.
load
    Read the results of runs.
Runs
    What both return: cells as a DataFrame, weights as a dataset, charts.
BadInput
    Something typed or recorded cannot be used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0.dev0"

# name -> module; imported when first used, so that ``import gradcheck`` stays light
_EXPORTS = {
    "check_gradient": "gradcheck.functions.gradient",
    "assert_gradient": "gradcheck.functions.gradient",
    "check_hessian": "gradcheck.functions.second_order.hessian",
    "check_adjoint": "gradcheck.functions.second_order.adjoint",
    "check_layer": "gradcheck.functions.layers.check",
    "check_layers": "gradcheck.functions.layers.chain",
    "check_intermediates": "gradcheck.functions.layers.intermediates",
    "ChainOutcome": "gradcheck.functions.layers.chain_outcome",
    "Outcome": "gradcheck.functions.outcome",
    "HessianOutcome": "gradcheck.functions.second_order.outcome",
    "AdjointOutcome": "gradcheck.functions.second_order.adjoint_outcome",
    "DirectionalOutcome": "gradcheck.functions.directions.outcome",
    "BadInput": "gradcheck.errors",
    "ContractError": "gradcheck.errors",
    "GradientMismatch": "gradcheck.errors",
    "load": "gradcheck.views.runs",
    "run_experiment": "gradcheck.views.commands.experiment",
    "Runs": "gradcheck.views.runs",
    "textbook": "gradcheck.textbook",
}

if TYPE_CHECKING:
    from gradcheck import textbook
    from gradcheck.errors import BadInput, ContractError, GradientMismatch
    from gradcheck.functions.directions.outcome import DirectionalOutcome
    from gradcheck.functions.gradient import assert_gradient, check_gradient
    from gradcheck.functions.layers.chain import check_layers
    from gradcheck.functions.layers.chain_outcome import ChainOutcome
    from gradcheck.functions.layers.check import check_layer
    from gradcheck.functions.layers.intermediates import check_intermediates
    from gradcheck.functions.outcome import Outcome
    from gradcheck.functions.second_order.adjoint import check_adjoint
    from gradcheck.functions.second_order.adjoint_outcome import AdjointOutcome
    from gradcheck.functions.second_order.hessian import check_hessian
    from gradcheck.functions.second_order.outcome import HessianOutcome
    from gradcheck.views.commands.experiment import run_experiment
    from gradcheck.views.runs import Runs, load

__all__ = [
    "AdjointOutcome",
    "BadInput",
    "ChainOutcome",
    "ContractError",
    "DirectionalOutcome",
    "GradientMismatch",
    "HessianOutcome",
    "Outcome",
    "Runs",
    "__version__",
    "assert_gradient",
    "check_adjoint",
    "check_gradient",
    "check_hessian",
    "check_intermediates",
    "check_layer",
    "check_layers",
    "load",
    "run_experiment",
    "textbook",
]


if not TYPE_CHECKING:  # a type checker reads the imports above, and knows that there are no other names

    def __getattr__(name: str) -> object:
        if name not in _EXPORTS:
            raise AttributeError(f"module 'gradcheck' has no attribute {name!r}")
        module = import_module(_EXPORTS[name])
        return module if name == "textbook" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
