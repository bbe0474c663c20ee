"""The derivative along one weight, sought step by step: cheap where it is plain, thorough where it is disputed.

1. Two central quotients, at h and 4 h.  Where they agree with each other and with the claimed gradient, the search ends.
2. Steps above and below, until the quotients show where noise ends and truncation begins.
3. A window of points at the best step.  It measures the noise there anew and shows kinks and structure.  Smaller steps must
   not contradict it beyond that noise.

The order in which steps are tried never depends on the claimed gradient.  Agreement with it may only end the search: two
independent results that agree are evidence for both.
"""

from __future__ import annotations

import math

from gradcheck.numerics.measured.confirm import confirmed
from gradcheck.numerics.measured.explore import explored
from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.steps import Search, Steps

# The second of the first two steps over the first.
RATIO = 4.0
# A derivative that is known to this is not improved.  Else one more step is taken if its bound is FINER times smaller, or
# BETTER times where the derivative is not known well enough yet.
FINE, FINER, BETTER, FURTHEST = 5e-6, 4.0, 1.3, 256.0


def search(steps: Steps, start: float) -> Search:
    """The derivative along a weight.

    start : the first step of the search's own; the losses at the first steps, whichever they were, are there already.
    """
    if steps.still:
        return steps.best()
    claim = steps.claim
    for stage in (_nothing_more, explored):
        best = yield from stage(steps)
        finer = _finer(best, FINER if claim.agrees(best) else BETTER)
        if finer and (claim.agrees(best) or stage is explored):
            # one more step; where it shows a difference that the coarser bound had hidden, the search goes on
            yield steps.wanted(finer)
            best = steps.best()
        if claim.agrees(best):
            return best
    if not claim.disputes(best) and best.roundoff > best.truncation and claim.value != 0:
        # noise hides the derivative, and nothing speaks against the claim: a window would show the same noise; only at an
        # optimum, where the loss nearly vanishes, noise may grow with the step
        return best
    best = steps.clearest()
    return (yield from confirmed(steps, best if math.isfinite(best.bound) else best._replace(step=start)))


def _nothing_more(steps: Steps) -> Search:
    """The best of the quotients that are there."""
    yield from ()
    return steps.best()


def _finer(best: Found, times: float) -> float:
    """The step where noise meets truncation, if its bound is so many times smaller than that of a quotient; else 0."""
    truncation, rounding = best.truncation - best.kink, best.roundoff
    if best.bound <= FINE * abs(best.value) or not 0 < truncation < math.inf or not rounding:
        return 0.0
    # truncation grows with h**2 and noise falls with 1 / h, so their sum is least where the truncation is half of it
    factor = min(max((rounding / (2 * truncation)) ** (1 / 3), 1 / FURTHEST), FURTHEST)
    improved = times * (rounding / factor + truncation * factor**2) < rounding + truncation
    return factor * best.step if improved else 0.0
