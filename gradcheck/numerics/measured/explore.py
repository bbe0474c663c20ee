"""Steps above and below the first ones, until the quotients show where noise ends and truncation begins."""

from __future__ import annotations

import math

from gradcheck.numerics.measured.ladder import Found, jump_seen, roundoff
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.steps import TRUSTED, Claim, Search, Steps, alive

# Steps lie so far apart, at least and at most, and so many are tried.
NEAR, APART, EXPLORED = 4.0, 16.0, 14
FAR = 256.0
# A step is hidden by noise where this is above so much of the derivative; two steps are alike within this.
HIDDEN, ALIKE = 0.3, 0.05
# A derivative is not seen at all where the noise is above so much of it.
UNSEEN = 0.7
# A kink at theta shows at every step; it is followed down to so many steps.
BENT = 7
# No step above this many times the guessed scale is tried.
HIGHEST = 1e9
# The bound at the next step is to be this fraction of what is asked for.
AIM = 0.5


def explored(steps: Steps) -> Search:
    """The best quotient after steps above and below were tried."""
    line, claim = steps.line, steps.claim
    checked = False
    for _ in range(EXPLORED):
        best, rungs = steps.best(), steps.rungs()
        if claim.agrees(best):
            break
        step = _next(line, claim, best, rungs, steps.lowest)
        wanted = steps.wanted(step) if step else []
        if wanted:
            yield wanted
            if not steps.rungs():
                yield steps.one_sided()
        elif not checked and rungs and claim.disputes(best):
            # what the claim disputes must not be contradicted by smaller steps
            checked = True
            yield steps.wanted(best.step / APART, best.step / FAR)
        else:
            break
    return steps.best()


def _next(line: Line, claim: Claim, best: Found, rungs: list[Rung], lowest: float) -> float:
    """The step to be tried next; 0 where none helps."""
    if not rungs:
        return lowest / FAR if lowest > line.least else 0.0
    if len(rungs) == 1:
        return rungs[0].step / NEAR if rungs[0].step > line.least else 0.0
    upwards = _upwards(line, claim, best, rungs)
    if upwards:
        return upwards
    low = rungs[0].step
    return low / APART if low > line.least and _downwards(line, rungs) else 0.0


def _downwards(line: Line, rungs: list[Rung]) -> bool:
    """Whether a smaller step may show more: the two smallest steps disagree, and noise hides neither."""
    if rungs[0].silent:
        return False
    low, next_one = rungs[:2]
    spread = roundoff(low, line.noise, line.degrees)
    if spread > HIDDEN * abs(low.value):
        return False
    jump = jump_seen(low, next_one, line.noise)
    apart = abs(low.value - next_one.value)
    size = max(abs(low.value), abs(next_one.value))
    return apart > 2 * spread + ALIKE * size or (jump > ALIKE * size and len(rungs) < BENT)


def _upwards(line: Line, claim: Claim, best: Found, rungs: list[Rung]) -> float:
    """A larger step where noise hides the derivative at the largest one so far; else 0.

    Above the guessed scale only a derivative is sought that was not seen at all.
    """
    top = rungs[-1]
    if top.step >= HIGHEST * line.scale:
        return 0.0
    sounding = [r for r in rungs if not r.silent]
    if len(sounding) < 2 or not math.isfinite(best.bound):
        return APART * top.step
    if claim.resolved(best) or best.step < sounding[-2].step or best.roundoff < (best.truncation - best.kink) / 4:
        return 0.0
    unseen = roundoff(top, line.noise, line.degrees) > UNSEEN * abs(top.value)
    if unseen and alive(line, top) and top.step * NEAR > TRUSTED * line.scale:
        return 0.0
    asked = AIM * claim.match_at * abs(best.value) / 2
    factor = min(max(best.roundoff / asked, NEAR), APART) if asked > 0 else APART
    step = factor * best.step
    # a step that lies beside one that was taken shows nothing new
    return step if step > 2 * top.step else NEAR * top.step
