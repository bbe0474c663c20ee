"""SciPy: ``optimize.check_grad``, and ``differentiate.jacobian`` with its own estimate of its error."""

from __future__ import annotations

import numpy as np
from scipy.differentiate import jacobian
from scipy.optimize import check_grad

from tests.benchmarks.referee.case import Answer, Array, Case, Tool
from tests.benchmarks.referee.estimates import beyond

# Of ``check_derivative``, SciPy's own check in optimize/_numdiff.py; ``check_grad`` names no limit.
LIMIT = 1e-6


def check(case: Case) -> Answer:
    """||a - n|| > 1e-6 max(1, ||a||) accuses."""
    norm = float(check_grad(case.fun, case.grad, case.x))
    score = norm / (LIMIT * max(1.0, float(np.linalg.norm(case.claim))))
    return Answer(not score <= 1, f"{norm!r}", score, size=True)


def differentiate(case: Case) -> Answer:
    """|a - n| beyond the estimated error of n accuses; n without an estimate does not."""

    def f(stacked: Array) -> Array:
        points = np.asarray(stacked, case.x.dtype)
        values = [case.fun(point) for point in np.moveaxis(points, 0, -1).reshape(-1, case.x.size)]
        return np.asarray(values).reshape(points.shape[1:])

    r = jacobian(f, case.x)
    return beyond(case, np.ravel(r.df), np.ravel(r.error))


TOOLS = (
    Tool("scipy check_grad", "scipy", "||a - n|| > 1e-6 max(1, ||a||): the limit is that of check_derivative", check),
    Tool("scipy differentiate", "scipy", "|a - n| > the error that it estimates + the rounding of a", differentiate),
)
