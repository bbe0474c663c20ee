"""numdifftools: ``Gradient`` with its own estimate of its error."""

from __future__ import annotations

import numdifftools
import numpy as np

from tests.benchmarks.referee.case import Answer, Case, Tool
from tests.benchmarks.referee.estimates import beyond


def check(case: Case) -> Answer:
    """|a - n| beyond the estimated error of n accuses."""
    # up to 0.9 the value and what belongs to it, later one tuple that begins with the value and the error
    found, info, *_ = numdifftools.Gradient(case.fun, full_output=True)(case.x)
    return beyond(case, np.ravel(found), np.ravel(getattr(info, "error_estimate", info)))


RULE = "|a - n| > the error that it estimates + the rounding of a"
TOOLS = (Tool("numdifftools", "numdifftools", RULE, check),)
