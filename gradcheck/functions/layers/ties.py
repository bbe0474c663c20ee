"""Ties: points at which a layer has no derivative, and points beside them.

At a tie, such as two equal entries under a max, what backward gives is a sum of choices, one at each kink, which need not lie
between the slopes of the whole.  So an accusation at a kink must hold beside it as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.functions.outcome import Outcome
from gradcheck.numerics.verdict import CORNER

Array = np.ndarray

# How far the point lies that is beside a kink, in units of max(|x|, rms of x).
BESIDE = 1e-3
# At a kink the bound has the difference of both slopes in it; elsewhere it is by far a smaller share of the slope than this.
WIDE = 1e-6


def is_at_kink(outcome: Outcome) -> bool:
    """Whether the outcome accuses, and the point lies on a kink along some weight, accused or not."""
    if outcome.verdict != "mismatch":
        return False
    wrong = np.array([v == "mismatch" for v in outcome.table["verdict"]])
    kinked = any(r in (CORNER, "kink") for r in outcome.table["reason"])
    return kinked or bool((wrong & (outcome.table["bound"] > WIDE * np.abs(outcome.table["numeric"]))).any())


def beside(point: Mapping[str, Array], names: Sequence[str], seed: int) -> dict[str, Array]:
    """A point beside, moved in the arrays of these names by 1e-3 max(|x|, rms) N(0, 1)."""
    rng = np.random.default_rng(seed)
    moved = dict(point)
    for name in names:
        x = point[name]
        size = np.maximum(np.abs(x), np.sqrt(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0)
        moved[name] = (x + BESIDE * np.where(size > 0, size, 1.0) * rng.standard_normal(x.shape)).astype(x.dtype)
    return moved
