"""fiddy: ``get_derivative`` and ``NumpyIsCloseDerivativeCheck``, with the settings of its example; it has no defaults."""

from __future__ import annotations

import numpy as np
from fiddy import MethodId, get_derivative
from fiddy.analysis import ApproximateCentral
from fiddy.derivative_check import NumpyIsCloseDerivativeCheck
from fiddy.success import Consistency

from tests.benchmarks.referee.case import Answer, Array, Case, Tool, worst

# doc/examples/derivative.ipynb and tests/test_derivative.py; the absolute tolerance is NumPy's default
SIZES, RTOL, ATOL = [1e-10, 1e-5], 1e-2, 1e-8
METHODS = [MethodId.FORWARD, MethodId.BACKWARD]


def check(case: Case) -> Answer:
    """A check without success accuses: also where no two differences are consistent, so that there is no derivative."""

    def fun(x: Array) -> Array:
        return np.array([float(case.fun(np.asarray(x, case.x.dtype)))])

    x = np.asarray(case.x, float)
    derivative = get_derivative(
        function=fun,
        point=x,
        sizes=SIZES,
        method_ids=METHODS,
        analysis_classes=[ApproximateCentral],
        success_checker=Consistency(),
    )
    found = NumpyIsCloseDerivativeCheck(derivative=derivative, expectation=case.claim[None], point=x)(rtol=RTOL)
    results = found.directional_derivative_check_results
    a, n = (np.array([np.ravel(getattr(r, key))[0] for r in results], float) for key in ("expectation", "test"))
    score, _ = worst(np.abs(a - n) / (ATOL + RTOL * np.abs(a)))
    if found.success:
        return Answer(False, "success", score)
    first = next(i for i, result in enumerate(results) if not result.success)
    return Answer(True, found.df.iloc[first].to_string(), score, first, size=True)


RULE = "no success: |a - n| > 1e-8 + 1e-2 |a|, steps 1e-10 and 1e-5, or no n that is consistent"
TOOLS = (Tool("fiddy", "fiddy", RULE, check),)
