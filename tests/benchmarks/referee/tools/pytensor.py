"""PyTensor: ``pytensor.gradient.verify_grad`` of an ``Op`` with a ``pullback``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import GradientError, verify_grad
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from tests.benchmarks.referee.case import Answer, Array, Case, Tool

# Compiling C takes a second a case; the answers are the same.
pytensor.config.cxx = ""


class _Vector(Op):  # type: ignore[misc]
    def __init__(self, case: Case) -> None:
        self.case = case
        super().__init__()

    def _out(self) -> Any:
        return pt.vector(dtype=self.case.x.dtype.name)

    def _value(self, x: Array) -> Array:
        return np.asarray(self.case.grad(x), self.case.x.dtype)

    def make_node(self, x: Any) -> Apply:
        return Apply(self, [pt.as_tensor_variable(x)], [self._out()])

    def perform(self, node: Apply, inputs: list[Array], outputs: list[list[Array]]) -> None:
        outputs[0][0] = self._value(inputs[0])


class _Scalar(_Vector):
    def _out(self) -> Any:
        return pt.scalar(dtype=self.case.x.dtype.name)

    def _value(self, x: Array) -> Array:
        return np.asarray(self.case.fun(x), self.case.x.dtype)

    def pullback(self, inputs: list[Any], outputs: list[Any], upstream: list[Any]) -> list[Any]:
        return [upstream[0] * _Vector(self.case)(inputs[0])]

    def grad(self, inputs: list[Any], upstream: list[Any]) -> list[Any]:
        return self.pullback(inputs, [], upstream)


def check(case: Case) -> Answer:
    """GradientError accuses."""
    try:
        verify_grad(_Scalar(case), [case.x], rng=np.random.default_rng(0), mode="FAST_COMPILE")
    except GradientError as error:
        score = min(error.abs_err / error.abs_tol, error.rel_err / error.rel_tol)
        return Answer(True, str(error), float(score), int(error.err_pos), size=True)
    return Answer(False, "nothing")


RULE = "GradientError: |a - n| > tol and |a - n| / max(|a| + |n|, 1e-8) > tol"
TOOLS = (Tool("pytensor", "pytensor", RULE, check),)
