"""What the slopes along random directions say of each parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradcheck.functions.directions.slopes import Slope
from gradcheck.functions.settings import Thresholds
from gradcheck.numerics.names import WeightVerdict
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.verdict import BUDGET, EXEMPT

Array = np.ndarray


@dataclass(frozen=True)
class Parameter:
    """What the directions say of one parameter.

    resolution : 2 bound / sqrt(sum (v_j g_j)**2), the relative error of the parameter's whole gradient that would be seen.
    entry : the error of any one entry that would be seen, in units of the parameter's largest gradient.
    """

    name: str
    size: int
    verdict: WeightVerdict
    reason: str | None
    resolution: float
    entry: float


def parameter(problem: Problem, name: str, slopes: list[Slope], gradient: Array, against: Thresholds) -> Parameter:
    """What the slopes say of the parameter of this name."""
    where = problem.layout.slices[name]
    size = where.stop - where.start
    if not size:
        return Parameter(name, 0, "inconclusive", None, math.inf, math.inf)
    g = np.where(np.isfinite(gradient[where]), gradient[where], 0.0)
    largest = float(np.max(np.abs(g), initial=0.0))
    found = [s for s in slopes if s.where.start <= where.start and where.stop <= s.where.stop]
    own = next((s for s in slopes if s.name == name), None)
    alone = len(problem.layout.names) == 1
    if (own and own.verdict == "mismatch") or (alone and any(s.verdict == "mismatch" for s in found)):
        return Parameter(name, size, "mismatch", None, math.inf, math.inf)
    resolution = entry = math.inf
    for s in found:
        v = np.abs(s.v[where.start - s.where.start : where.stop - s.where.start].astype(np.float64))
        smallest = float(np.min(v, initial=math.inf, where=v > 0))
        if largest > 0 and s.verdict not in ("nondifferentiable", "mismatch"):
            resolution = min(resolution, 2 * s.bound / float(np.linalg.norm(v * g)))
            entry = min(entry, 2 * s.bound / (smallest * largest))
    if resolution + against.accept <= against.match_at:
        return Parameter(name, size, "match", None, resolution, entry)
    if own is None:
        return Parameter(name, size, "inconclusive", BUDGET, resolution, entry)
    verdict: WeightVerdict = "nondifferentiable" if own.verdict == "nondifferentiable" else "inconclusive"
    reason = own.reason or ("stationary" if largest == 0 else "noise")
    if reason == EXEMPT and largest > 0:
        reason = "noise"  # the slope is 0 by chance
    return Parameter(name, size, verdict, reason, resolution, entry)
