"""The rounding of a complex step and of the claim that it disputes, of a loss that has no error analysis of its own.

It is seen in numbers of more digits; where these cannot be had, it is no larger than central quotients show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradcheck.numerics.measured.estimates import estimates
from gradcheck.numerics.measured.finer import FINER, has_more_digits, in_finer_numbers, left
from gradcheck.numerics.measured.together import Evaluate
from gradcheck.numerics.measured.weight import CENTRAL
from gradcheck.numerics.problem import Problem
from gradcheck.numerics.quotients import DEVIATIONS, Estimate
from gradcheck.numerics.rounding import Rounding, unit_roundoff
from gradcheck.numerics.schemes import losses_at
from gradcheck.numerics.steps import AUTO

Array = np.ndarray


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
    seen = _in_finer_numbers(problem, disputed)
    if seen is not None:
        return *seen, len(disputed.rows)
    central, rounding = estimates(problem, disputed.evaluate, CENTRAL, AUTO, match_at, disputed.weights, accept)
    apart = np.abs(disputed.estimate.value[disputed.rows] - central.value)
    error = np.where(central.finite, apart + central.bound, np.inf)
    return disputed.raised(error), rounding, 0


def _in_finer_numbers(problem: Problem, disputed: Disputed) -> tuple[Estimate, Rounding] | None:
    """The errors as the same loss and gradient show them in numbers of more digits; None where these cannot be had."""
    rounding, weights = problem.rounding, disputed.weights
    # a loss of which no digit moves, such as that of saturated units, has few in any numbers
    claim = in_finer_numbers(problem) if rounding.loss > 0 else None
    if claim is None:
        return None
    theta = problem.theta.astype(FINER)
    step = (rounding.length[weights] * unit_roundoff(FINER) ** 0.75).astype(FINER)
    try:
        slope = losses_at(problem.loss, theta, weights, (theta[weights] + 1j * step)[:, None])[:, 0].imag / step
    except Exception:  # as of the gradient
        return None
    if not has_more_digits(slope, problem.theta.dtype):
        return None
    of_slope = np.abs((disputed.estimate.value[disputed.rows] - slope).astype(np.float64))
    seen = rounding.line / rounding.length  # the rounding of the loss over its scale
    seen[weights] = np.fmax(seen[weights], of_slope - disputed.estimate.bound[disputed.rows])
    still = left(problem, claim, seen)[weights]
    own = rounding.gradient.copy()
    own[weights] = np.fmax(own[weights], (claim.error[weights] + still) / DEVIATIONS)
    return disputed.raised(of_slope + still), replace(rounding, gradient=own)
