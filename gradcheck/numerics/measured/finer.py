"""The rounding errors of a claimed gradient, as the same gradient shows them in numbers of more digits.

A few spacings beside theta a gradient is often rounded as it is at theta: how it varies there says little of its error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.numerics.problem import Problem
from gradcheck.numerics.rounding import unit_roundoff

Array = np.ndarray

FINER = np.dtype(np.longdouble)
# The rounding that is left in finer numbers is so many times the rounding that was seen, times the ratio of the units: the
# largest of a parameter stands for the size of all its errors, of which one alone may happen to be small.
LEFT = 8.0
# An entry of a gradient may be wrong by so many roundings of the largest: a saturated unit may be exact in few digits, by luck.
ROUNDED = 1e3


class Claim(NamedTuple):
    """A gradient in both numbers of digits: in those of theta, (size,), and in finer ones."""

    coarse: Array
    fine: Array

    @property
    def error(self) -> Array:
        """The rounding errors of the coarse one."""
        return np.abs((self.coarse - self.fine).astype(np.float64))


def in_finer_numbers(problem: Problem) -> Claim | None:
    """The gradient at theta in numbers of more digits; None where these cannot be had."""
    known = problem.measured
    if known is None or not known.follows_dtype or known.gradient_at is None:
        return None
    if not unit_roundoff(FINER) < problem.rounding.unit:
        return None
    try:
        fine = known.gradient_at(problem.theta.astype(FINER))
    except Exception:  # whatever a gradient does that computes well in its own dtype: it cannot in this one
        return None
    return Claim(known.gradient_at(problem.theta), fine) if has_more_digits(fine, problem.theta.dtype) else None


def has_more_digits(values: Array, dtype: np.dtype) -> bool:
    """Whether values are finite, of the finer dtype, and not all computed in the coarser one."""
    if values.dtype != FINER or not np.isfinite(values).all():
        return False
    return bool((values.astype(dtype) != values).any())


def left(problem: Problem, claim: Claim, errors: Array) -> Array:
    """What rounding may have left in finer numbers, (size,), where ``errors`` were seen in the coarse ones."""
    finer = unit_roundoff(FINER)
    split = problem.layout.split(np.fmax(errors, claim.error)).items()
    largest = problem.layout.join({name: np.full(part.shape, part.max(initial=0.0)) for name, part in split}, float)
    most = ROUNDED * finer * float(np.abs(claim.fine).max())
    return np.asarray(np.fmax(LEFT * finer / problem.rounding.unit * largest, most))
