"""HIPS autograd: ``autograd.test_util.check_grads`` of a ``primitive`` with ``defvjp``."""

from __future__ import annotations

import re

import numpy as np
from autograd.extend import defvjp, primitive
from autograd.test_util import RTOL, TOL, check_grads

from tests.benchmarks.referee.case import Answer, Array, Case, Tool


def check(case: Case) -> Answer:
    """AssertionError accuses."""

    @primitive
    def f(x: Array) -> float:
        return case.fun(np.asarray(x, case.x.dtype))

    defvjp(f, lambda value, x: lambda upstream: upstream * case.grad(x))
    np.random.seed(0)
    try:
        check_grads(f, modes=["rev"], order=1)(case.x)
    except AssertionError as error:
        return Answer(True, str(error), _score(str(error)), size=True)
    return Answer(False, "nothing")


def _score(said: str) -> float:
    """By how much the derivatives that it prints differ, over what it allows."""
    a, n = (float(found) for found in re.findall(r"^(?:analytic|numeric):\s*(\S+)$", said, re.MULTILINE))
    with np.errstate(all="ignore"):
        return float(min(abs(a - n) / TOL, np.divide(abs(a - n), abs(a + n)) / RTOL))


RULE = "AssertionError: |v.a - v.n| >= 1e-6 and |v.a - v.n| / |v.a + v.n| >= 1e-6, order 1, reverse"
TOOLS = (Tool("autograd", "autograd", RULE, check),)
