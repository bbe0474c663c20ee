"""Steps above and below the first ones, until the quotients show where noise ends and truncation begins."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradcheck.numerics.measured.ladder import SEEN, STRIDES, Found, jump_seen, roundoff
from gradcheck.numerics.measured.line import Line, Rung
from gradcheck.numerics.measured.steps import TRUSTED, Claim, Search, Steps, alive

# Steps lie so far apart, at least and at most.
NEAR, APART = STRIDES[:2]
FAR = STRIDES[3]
# A step is hidden by noise where this is above so much of the derivative; two steps are alike within this.
HIDDEN, ALIKE = 0.3, 0.05
# A derivative is not seen at all where the noise is above so much of it.
UNSEEN = 0.7
# So many steps at which the loss does not move are close to each other.
SILENT = 4
# A kink at theta shows at every step; it is followed down to so many steps.
BENT = 7
# No step above this many times the guessed scale is tried.
HIGHEST = 1e9
# Further steps between two that were taken, and how far above what is asked for the noise may be there.
BETWEEN, WITHIN = 2, 4.0
# The even part of the loss is that of a parabola within this.
PARABOLA = 0.1
# The bound at the next step is to be this fraction of what is asked for.
AIM = 0.5


def explored(steps: Steps) -> Search[Found]:
    """The best quotient after steps above and below were tried."""
    claim = steps.claim
    for _ in range(steps.strides_allowed):
        wanted = _stride(steps, claim.agrees)
        if not wanted:
            break
        yield wanted
        if not steps.rungs():
            yield steps.one_sided()
    for _ in range(BETWEEN):
        step = _between(claim, steps.best(), steps.rungs())
        if step:
            yield steps.wanted(step)
    return steps.best()


def contradicted(steps: Steps) -> Search[Found]:
    """The best quotient after smaller steps were asked whether they contradict it, and what they show was followed."""
    best = steps.best()
    yield steps.wanted(best.step / APART, best.step / FAR)
    return (yield from explored(steps))


def scouted(steps: Steps) -> Search[Found]:
    """The best quotient after steps above and below were tried, whatever is claimed, but 0 of a loss that does not move."""
    for _ in range(0 if steps.still else steps.strides_allowed):
        wanted = _stride(steps, steps.claim.resolved)
        if not wanted:
            break
        yield wanted
    return steps.best()


def _stride(steps: Steps, enough: Callable[[Found], bool]) -> list[float]:
    """The offsets of the step to be tried next; none where the best quotient is enough, or none helps."""
    best = steps.best()
    step = 0.0 if enough(best) else _next(steps.line, steps.claim, best, steps.rungs(), steps.lowest)
    return steps.wanted(step) if step else []


def _between(claim: Claim, best: Found, rungs: list[Rung]) -> float:
    """A step between the best one and the next larger one, where noise hides the derivative just so; else 0.

    It is worth its points only if its bound will do: noise falls with the step, and truncation, of which the larger step tells,
    grows with its square.
    """
    above = [r for r in rungs if r.step > best.step][:1]
    noisy = best.roundoff > best.truncation and best.roundoff < WITHIN * claim.match_at * abs(best.value)
    if claim.resolved(best) or not noisy or not above or above[0].step < NEAR / 2 * best.step:
        return 0.0
    square = above[0].step / best.step
    truncation = abs(above[0].value - best.value) / square**2
    will_do = best.roundoff / math.sqrt(square) + truncation * square <= claim.match_at * abs(best.value) / 2
    return math.sqrt(best.step * above[0].step) if will_do else 0.0


def _next(line: Line, claim: Claim, best: Found, rungs: list[Rung], lowest: float) -> float:
    """The step to be tried next; 0 where none helps."""
    if not rungs:
        return lowest / FAR if lowest > line.least else 0.0
    if len(rungs) == 1:
        return rungs[0].step / NEAR if rungs[0].step > line.least else 0.0
    low = rungs[0].step
    downwards = low / APART if low > line.least and _downwards(line, claim, rungs) else 0.0
    if downwards and not math.isfinite(best.bound):
        # nothing converges at the steps so far
        return downwards
    return _upwards(line, claim, best, rungs) or downwards


def quadratic(line: Line, rungs: list[Rung]) -> bool:
    """Whether the even part of the loss may be that of a parabola at the largest steps: there is no scale to exceed."""
    if len(rungs) < 2:
        return False
    near, far = rungs[-2:]
    even = far.step / near.step * near.bend
    # three losses, of which that at theta counts twice
    noise = math.sqrt(6) * line.noise * (far.step / near.step / near.step + 1 / far.step)
    return abs(far.bend - even) <= PARABOLA * abs(even) + SEEN * noise


def _downwards(line: Line, claim: Claim, rungs: list[Rung]) -> bool:
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
    return apart > 2 * spread + ALIKE * size or (2 * jump > claim.match_at * size and len(rungs) < BENT)


def _upwards(line: Line, claim: Claim, best: Found, rungs: list[Rung]) -> float:
    """A larger step where noise hides the derivative at the largest one so far; else 0.

    Above the guessed scale only a derivative is sought that was not seen at all.
    """
    top = rungs[-1]
    if top.step >= HIGHEST * line.scale:
        return 0.0
    sounding = [r for r in rungs if not r.silent]
    if len(sounding) < 2 or not math.isfinite(best.bound):
        # a loss that did not move at several steps is searched for with larger strides
        return (APART if sounding or len(rungs) < SILENT else FAR) * top.step
    if claim.resolved(best) or best.step < sounding[-2].step or best.roundoff < (best.truncation - best.kink) / 4:
        return 0.0
    unseen = roundoff(top, line.noise, line.degrees) > UNSEEN * abs(top.value)
    if unseen and alive(line, top) and top.step * NEAR > TRUSTED * line.scale and not quadratic(line, sounding):
        return 0.0
    asked = AIM * claim.match_at * abs(best.value) / 2
    factor = min(max(best.roundoff / asked, NEAR), APART) if asked > 0 else APART
    step = factor * best.step
    # a step that lies beside one that was taken shows nothing new
    return step if step > 2 * top.step else NEAR * top.step
