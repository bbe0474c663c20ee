"""statsmodels: ``tools.numdiff.approx_fprime``, compared by NumPy's ``allclose``."""

from __future__ import annotations

import numpy as np
from statsmodels.tools.numdiff import approx_fprime

from tests.benchmarks.referee.case import Answer, Case, Tool, worst

ATOL, RTOL = 1e-8, 1e-5


def check(case: Case) -> Answer:
    """|a - n| > 1e-8 + 1e-5 |n| accuses."""
    numeric = np.ravel(approx_fprime(case.x, lambda x: case.fun(np.asarray(x, case.x.dtype))))
    score, entry = worst(np.abs(case.claim - numeric) / (ATOL + RTOL * np.abs(numeric)))
    return Answer(score > 1, f"{numeric[entry]!r}", score, size=True)


RULE = "numpy.allclose(a, n): |a - n| > 1e-8 + 1e-5 |n|; the function gives n alone and names no limit"
TOOLS = (Tool("statsmodels", "statsmodels", RULE, check),)
