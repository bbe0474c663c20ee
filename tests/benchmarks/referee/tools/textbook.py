"""The rule of textbooks and courses: central differences with a step of 1e-7, a relative error of 1e-7."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.referee.case import Answer, Array, Case, Tool, worst

STEP = LIMIT = 1e-7
FLOOR = 1e-8


def check(case: Case) -> Answer:
    """|a - n| / max(1e-8, |a| + |n|) > 1e-7 in some entry accuses."""
    numeric, claim = slopes(case), case.claim
    relative = np.abs(claim - numeric) / np.maximum(FLOOR, np.abs(claim) + np.abs(numeric))
    score, entry = worst(relative / LIMIT)
    said = f"relative error {relative[entry]:.3g} in entry {entry}"
    return Answer(score > 1, said, score, entry, size=True)


def slopes(case: Case, step: float = STEP) -> Array:
    """(n,), float64: central differences of the function in its own dtype, divided by twice the step, as published."""
    found = np.empty(case.x.size)
    for i in range(case.x.size):
        above, below = case.x.copy(), case.x.copy()
        above[i] += step
        below[i] -= step
        found[i] = (float(case.fun(above)) - float(case.fun(below))) / (2 * step)
    return found


TOOLS = (Tool("textbook", "", "|a - n| / max(1e-8, |a| + |n|) > 1e-7 in some entry, step 1e-7", check),)
