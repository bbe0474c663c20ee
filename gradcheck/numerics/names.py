"""The verdicts that users read, as types; each is held equal to its table by a test."""

from __future__ import annotations

from typing import Literal

# Of one weight, and of many: of an outcome or a cell.
WeightVerdict = Literal["match", "mismatch", "inconclusive", "nondifferentiable"]
Verdict = Literal["match", "mismatch", "partial", "inconclusive", "nondifferentiable"]
