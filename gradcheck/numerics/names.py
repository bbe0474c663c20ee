"""The names that users type and read, as types; each is held equal to its table by a test."""

from __future__ import annotations

from typing import Literal

SchemeName = Literal["central", "forward", "backward", "five_point", "seven_point", "richardson", "complex_step"]
# Of one weight, and of many: of an outcome or a cell.
WeightVerdict = Literal["match", "mismatch", "inconclusive", "nondifferentiable"]
Verdict = Literal["match", "mismatch", "partial", "inconclusive", "nondifferentiable"]
