"""A model may say no more than its loss and its gradient: then its bounds are measured, and they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from instances import INSTANCES, Instance

from gradcheck.models.batch import Batch
from gradcheck.models.interfaces import Model
from gradcheck.models.target import Real
from gradcheck.numerics.check import check
from gradcheck.numerics.layout import Layout
from gradcheck.numerics.measured.pose import around
from gradcheck.numerics.schemes import SCHEMES
from gradcheck.numerics.steps import AUTO

Array = np.ndarray


@dataclass
class Quartic(Model):
    """mean((X w - y)**4): a loss and a gradient, and nothing else."""

    factor: float = 4.0

    name = "quartic"
    target = Real(1)

    def validate(self) -> None:
        pass

    def layout(self, batch: Batch) -> Layout:
        return Layout(("w",), ((batch.X.shape[1],),))

    def loss(self, theta: Array, batch: Batch) -> Array:
        return np.mean((batch.X @ theta - batch.y[:, 0]) ** 4)

    def gradient(self, theta: Array, batch: Batch) -> Array:
        residual = batch.X @ theta - batch.y[:, 0]
        return theta.dtype.type(self.factor) * batch.X.T @ residual**3 / theta.dtype.type(len(residual))


QUARTIC = Instance("quartic", Quartic(), n=40, d=25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scheme", ["central", "forward", "richardson"])
def test_a_loss_and_a_gradient_are_a_model(dtype: type, scheme: str) -> None:
    theta, batch = QUARTIC.theta(dtype), QUARTIC.batch(dtype)
    right = check(QUARTIC.model.pose(theta, batch), SCHEMES[scheme], AUTO, 5e-2)
    assert right.summary["n_mismatch"] == 0
    assert right.summary["n_match"] >= 23
    # the planted fault: a factor of the gradient is forgotten
    wrong = check(Quartic(3.0).pose(theta, batch), SCHEMES[scheme], AUTO, 5e-2)
    assert wrong.summary["n_mismatch"] >= 23


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_measured_and_derived_bounds_agree(instance: Instance) -> None:
    """The derivative lies within both bounds, so the two intervals meet; no right gradient is accused by either."""
    analysed = instance.model.pose(instance.theta(), instance.batch())
    posed = around(
        analysed.layout, analysed.theta, analysed.loss, lambda t: instance.model.gradient(t, instance.batch())
    )
    one, two = (check(problem, SCHEMES["central"], AUTO, 1e-2) for problem in (analysed, posed))
    assert one.summary["n_mismatch"] == two.summary["n_mismatch"] == 0
    known, found = one.weights, two.weights
    finite = np.isfinite(found["bound"]) & np.isfinite(known["bound"])
    apart = np.abs(known["numeric"] - found["numeric"])[finite]
    assert (apart <= (known["bound"] + found["bound"])[finite]).all()
    # what the analysis shows, measurement shows as well, but for a weight here and there
    assert two.summary["n_match"] + two.summary["n_nondifferentiable"] >= 0.9 * one.summary["n_match"]
    # and a gradient that is wrong by 1% is found in every weight that matched
    wrong = check(replace(posed, analytic=posed.analytic * 1.01), SCHEMES["central"], AUTO, 1e-2)
    matched = [i for i, v in enumerate(found["verdict"]) if v == "match" and found["resolution"][i] < 5e-3]
    assert all(wrong.weights["verdict"][i] == "mismatch" for i in matched)
