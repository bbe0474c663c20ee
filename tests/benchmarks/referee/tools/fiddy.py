"""fiddy: ``gradient_check`` with its default protocol of five steps."""

from __future__ import annotations

import numpy as np
from fiddy import gradient_check

from tests.benchmarks.referee.case import Answer, Array, Case, Tool

TOLERANCE = 1e-2


def check(case: Case) -> Answer:
    """An entry without a step at which |a - n| < 1e-2 or |a - n| / |a| < 1e-2 accuses."""

    def fun(x: Array) -> float:
        return float(case.fun(np.asarray(x, case.x.dtype)))

    def grad(x: Array) -> Array:
        return np.asarray(case.grad(np.asarray(x, case.x.dtype)), float)

    success, results = gradient_check(fun, np.asarray(case.x, float), grad)
    best = results[["|aerr|", "|rerr|"]].min(axis=1).groupby(results["dimension"]).min()
    score = float(best.max()) / TOLERANCE
    if success:
        return Answer(False, "success", score)
    passed = results.groupby("dimension")["success"].any()
    entry = int(passed.index[~passed][0])
    said = results[results["dimension"] == entry].to_string()
    return Answer(True, said, score, entry=entry, size=True)


RULE = "not success: no step of five with |a - n| < 1e-2 or |a - n| / |a| < 1e-2 in some entry"
TOOLS = (Tool("fiddy", "fiddy", RULE, check),)
