"""The rounding of a complex step and of the claim that it disputes, of a loss that has no error analysis of its own.

A few spacings beside theta both are rounded as they are at theta: how their rounding varies there says little of its size.  It
is seen in numbers of more digits, or is no larger than central quotients show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck.numerics.measured.estimates import CENTRAL, ROUNDED, estimates
from gradcheck.numerics.measured.together import Evaluate
from gradcheck.numerics.problem import Measured, Problem
from gradcheck.numerics.quotients import DEVIATIONS, Estimate
from gradcheck.numerics.rounding import Rounding, unit_roundoff
from gradcheck.numerics.schemes import losses_at
from gradcheck.numerics.steps import AUTO

Array = np.ndarray

FINER = np.dtype(np.longdouble)
# The rounding that is left in finer numbers is so many times the rounding that was seen, times the ratio of the units: the
# largest of a parameter stands for the size of all its errors, of which one alone may happen to be small.
LEFT = 8.0


@dataclass(frozen=True, eq=False)
class Disputed:
    """The bounds of complex steps that dispute the claim: at ``rows`` of the weights ``index``, whose steps are ``estimate``.

    evaluate : real losses with theta[index[r]] replaced by points[r, c].
    """

    rows: Array
    index: Array
    estimate: Estimate
    evaluate: Evaluate

    @property
    def weights(self) -> Array:
        """Which weights are disputed."""
        return self.index[self.rows]

    def raised(self, error: Array) -> Estimate:
        """The estimate with bounds that are no smaller than the error (m,) of each disputed weight."""
        roundoff = self.estimate.roundoff.copy()
        lacking = error - self.estimate.bound[self.rows]
        roundoff[self.rows] += np.where(lacking <= 0, 0.0, lacking)  # NaN and infinity stay: nothing is known then
        return self.estimate._replace(roundoff=np.where(np.isnan(roundoff), np.inf, roundoff))


def settled(problem: Problem, disputed: Disputed, match_at: float, accept: float) -> tuple[Estimate, Rounding, int]:
    """Complex steps and rounding errors with what is known of them where a weight would be accused.

    The last value counts the evaluations of the loss in complex numbers.
    """
    known = problem.measured
    assert known is not None
    seen = _in_finer_numbers(problem, known, disputed)
    if seen is not None:
        return *seen, len(disputed.rows)
    central, rounding = estimates(problem, disputed.evaluate, CENTRAL, AUTO, match_at, disputed.weights, accept)
    apart = np.abs(disputed.estimate.value[disputed.rows] - central.value)
    error = np.where(central.finite, apart + central.bound, np.inf)
    return disputed.raised(error), rounding, 0


def _in_finer_numbers(problem: Problem, known: Measured, disputed: Disputed) -> tuple[Estimate, Rounding] | None:
    """The errors as the same loss and gradient show them in numbers of more digits; None where these cannot be had."""
    theta, rounding = problem.theta, problem.rounding
    finer = unit_roundoff(FINER)
    if not known.follows_dtype or known.gradient_at is None or not finer < rounding.unit:
        return None
    if rounding.loss == 0:  # a loss of which no digit moves, such as that of saturated units, has few in any numbers
        return None
    fine, weights = theta.astype(FINER), disputed.weights
    step = (rounding.length[weights] * finer**0.75).astype(FINER)
    try:
        gradient = known.gradient_at(fine)
        slope = losses_at(problem.loss, fine, weights, (fine[weights] + 1j * step)[:, None])[:, 0].imag / step
    except Exception:  # whatever a loss does that computes well in its own dtype: it cannot in this one
        return None
    if not all(_has_more_digits(values, theta.dtype) for values in (gradient, slope)):
        return None
    of_claim = np.abs((known.gradient_at(theta) - gradient).astype(np.float64))
    of_slope = np.abs((disputed.estimate.value[disputed.rows] - slope).astype(np.float64))
    excess = np.maximum(of_slope - disputed.estimate.bound[disputed.rows], 0.0)
    seen = rounding.line / rounding.length  # the rounding of the loss over its scale
    seen[weights] = np.fmax(seen[weights], excess)
    left = LEFT * finer / rounding.unit * _largest_of_parameter(problem, np.fmax(seen, of_claim))
    # in few digits a saturated unit is exact, by luck: an entry may be wrong by roundings of the largest
    left = np.fmax(left, ROUNDED * finer * float(np.abs(gradient).max()))
    own = rounding.gradient.copy()
    own[weights] = np.fmax(own[weights], (of_claim + left)[weights] / DEVIATIONS)
    return disputed.raised(of_slope + left[weights]), replace(rounding, gradient=own)


def _has_more_digits(values: Array, dtype: np.dtype) -> bool:
    """Whether values are finite, of the finer dtype, and not all computed in the coarser one."""
    if values.dtype != FINER or not np.isfinite(values).all():
        return False
    return bool((values.astype(dtype) != values).any())


def _largest_of_parameter(problem: Problem, errors: Array) -> Array:
    """Of each weight, the largest error of its parameter; (size,)."""
    found = {name: np.full(part.shape, part.max(initial=0.0)) for name, part in problem.layout.split(errors).items()}
    return problem.layout.join(found, errors.dtype)
