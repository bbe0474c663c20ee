"""Tools that give a derivative with an estimate of its error, and no rule."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.referee.case import Answer, Array, Case, worst


def beyond(case: Case, found: Array, error: Array) -> Answer:
    """|a - n| > error + eps |a| in some entry accuses; an entry without an estimate does not."""
    claim = case.claim
    found, error = np.asarray(found, float), np.asarray(error, float)
    allowed = error + np.finfo(case.x.dtype).eps * np.abs(claim)
    with np.errstate(all="ignore"):
        scores = np.where(claim == found, 0.0, np.abs(claim - found) / allowed)
    score, entry = worst(np.where(np.isfinite(found) & np.isfinite(error), scores, 0.0))
    return Answer(score > 1, f"{found[entry]:.6g} ± {error[entry]:.2g} in entry {entry}", score, size=True)
