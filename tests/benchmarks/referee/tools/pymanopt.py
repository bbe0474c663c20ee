"""pymanopt: ``tools.diagnostics.check_gradient`` on a Euclidean space, whose picture is read as it says."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pymanopt
from pymanopt.manifolds import Euclidean
from pymanopt.tools import diagnostics

from tests.benchmarks.referee.case import Answer, Array, Case, Tool

# "The slope of the continuous line should match that of the dashed (reference) line", which is 2: nearer to it than to 1,
# that of an error in the gradient.
SLOPE = 1.5


def check(case: Case) -> Answer:
    """A slope of the error below 1.5 accuses, unless the linear model is exact."""
    manifold = Euclidean(case.x.size)

    @pymanopt.function.numpy(manifold)
    def cost(x: Array) -> float:
        return float(case.fun(np.asarray(x, case.x.dtype)))

    @pymanopt.function.numpy(manifold)
    def gradient(x: Array) -> Array:
        return np.asarray(case.grad(np.asarray(x, case.x.dtype)), float)

    problem = pymanopt.Problem(manifold, cost, euclidean_gradient=gradient)
    np.random.seed(0)
    with redirect_stdout(io.StringIO()) as said, np.errstate(all="ignore"):
        diagnostics.check_gradient(problem, np.asarray(case.x, float))
        reference, fitted = plt.gca().get_lines()[2], plt.gca().get_lines()[1]
        slope = _slope(fitted.get_xdata(), fitted.get_ydata())
        assert np.isclose(_slope(reference.get_xdata(), reference.get_ydata()), 2)
        plt.close("all")
    exact = "model is exact" in said.getvalue()
    score = 0.0 if exact else (2 - slope) / (2 - SLOPE)
    return Answer(not exact and slope < SLOPE, f"slope {slope:.3g} {said.getvalue()}", score)


def _slope(x: Array, y: Array) -> float:
    """Of a line in a picture with two logarithmic axes."""
    return float(np.log(y[-1] / y[0]) / np.log(x[-1] / x[0]))


RULE = "the slope of the drawn line is below 1.5, where it should be 2 and an error in the gradient gives 1"
TOOLS = (Tool("pymanopt", "pymanopt", RULE, check),)
