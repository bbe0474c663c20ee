"""jacobi: ``jacobi.jacobi`` with its own estimate of its error."""

from __future__ import annotations

import numpy as np
from jacobi import jacobi

from tests.benchmarks.referee.case import Answer, Case, Tool
from tests.benchmarks.referee.estimates import beyond


def check(case: Case) -> Answer:
    """|a - n| beyond the estimated error of n accuses."""
    found, error = jacobi(lambda x: float(case.fun(np.asarray(x, case.x.dtype))), case.x)
    return beyond(case, np.ravel(found), np.ravel(error))


RULE = "|a - n| > the error that it estimates + the rounding of a"
TOOLS = (Tool("jacobi", "jacobi", RULE, check),)
