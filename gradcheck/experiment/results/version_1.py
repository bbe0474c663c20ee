"""The words of version 1 of the columns, in which recomputed cells are compared with its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gradcheck.columns.weights import CellRows
from gradcheck.experiment.truth import UNKNOWN_MODELS
from gradcheck.numerics.verdict import CORNER, EXEMPT


def retold(new: CellRows, recorded: Mapping[str, Sequence[object]]) -> CellRows:
    """Recomputed rows in the words of version 1.

    recorded : the columns of the weights in the record; its ``correct`` is taken for models whose gradient is unknown now.
    """
    if not isinstance(new.weights, Mapping):
        return new
    weights = new.weights.copy()
    words, figures = (
        (weights["verdict"], weights["reason"]),
        (weights["numeric"], weights["truncation"], weights["roundoff"]),
    )
    weights["reason"] = [_reason(*one) for one in zip(*words, *figures, strict=True)]
    if new.cell["model"] in UNKNOWN_MODELS:
        weights["correct"] = np.array([np.nan if value is None else value for value in recorded["correct"]])
    found = set(weights["verdict"])
    verdict = next((v for v in ("mismatch", "match", "nondifferentiable") if v in found), "inconclusive")
    return CellRows(new.cell | {"verdict": verdict}, weights)


def _reason(verdict: str, reason: str | None, numeric: float, truncation: float, roundoff: float) -> str | None:
    """The reason in version 1: a weight was ``flat`` where no difference was seen, whether or not it has a path to the loss."""
    if reason == CORNER:
        return "kink"
    if reason not in (EXEMPT, "stationary"):
        return reason
    if numeric == 0:
        return "flat"
    return "truncation" if truncation > roundoff else "noise"
