"""The derivative along one weight, sought step by step: cheap where it is plain, thorough where it is disputed.

1. Two central quotients, at h and about 4 h.  Where they agree with each other and with the claimed gradient, the search ends.
2. Steps above and below, until the quotients show where noise ends and truncation begins.
3. A window of points at the best step.  It measures the noise there anew and shows kinks and structure.  Smaller steps must
   not contradict it beyond that noise.

The order in which steps are tried never depends on the claimed gradient.  Agreement with it may only end the search: two
independent results that agree are evidence for both.
"""

from __future__ import annotations

import math

from gradcheck.numerics.measured.confirm import confirmed, disputed_within
from gradcheck.numerics.measured.explore import APART, NEAR, contradicted, explored, quadratic
from gradcheck.numerics.measured.ladder import Found, appraised
from gradcheck.numerics.measured.steps import WINDOW, Search, Steps, alive

# A derivative that is known to this is not improved.  Else one more step is taken if its bound is FINER times smaller, or
# BETTER times where the derivative is not known well enough yet.
FINE, FINER, BETTER, FURTHEST = 5e-6, 4.0, 1.3, 256.0
# A window is taken for a claim that nothing disputes only where the bound is at most so many times what is asked for.
NEARLY = 2.0
# Steps at which a loss must move like a parabola where its derivative is 0.
PARABOLIC = 3


def search(steps: Steps, start: float) -> Search[Found]:
    """The derivative along a weight.

    start : the first step of the search's own; the losses at the first steps, whichever they were, are there already.
    """
    if steps.still:
        return steps.best()
    claim = steps.claim
    best = yield from _screened(steps)
    if claim.agrees(best):
        return best
    if claim.disputes(best) and steps.rungs():
        best = yield from contradicted(steps)
        if claim.agrees(best):
            return best
    rungs = steps.rungs()
    unknown = claim.disputes(best) or not math.isfinite(best.bound)
    if unknown and rungs and (rungs[0].silent or rungs[0].step > steps.trusted):
        # whether a loss is flat shows at steps that are believed
        yield steps.wanted(steps.trusted, steps.trusted / 17)
    if unknown and steps.one_sided_at_last:
        # one stair looks like a kink; at larger steps a loss of few digits moves on both sides
        yield steps.wanted(NEAR * steps.rungs()[-1].step, APART * steps.rungs()[-1].step)
    flat = steps.flat()
    if flat is not None and abs(claim.value) > claim.least and claim.disputes(flat):
        return flat
    if claim.disputes(best) or best.roundoff <= best.truncation:
        known = steps.line.noise
        yield from steps.held()
        best = (yield from explored(steps)) if steps.line.noise > known else steps.best()
        if claim.agrees(best):
            return best
    noisy = best.roundoff > best.truncation
    helps = steps.teaches or steps.kinked or claim.nearly(best, NEARLY)
    if not claim.disputes(best) and claim.value != 0 and (noisy or not helps):
        # noise hides the derivative, and nothing speaks against the claim: a window would show the same noise; only at an
        # optimum, where the loss nearly vanishes, noise may grow with the step
        return _beyond(steps, best if steps.kinked else best._replace(kink=0.0))
    if steps.rungs() and all(r.silent for r in steps.rungs()):
        # a loss that moves at no step shows nothing in a window either
        return best
    best = _nearer(steps, steps.clearest())
    if claim.disputes(best) and best.step > steps.line.room and not disputed_within(steps):
        # beyond a wall a step tells nothing, and at smaller steps noise hides whether the claim is wrong
        return best._replace(truncation=math.inf)
    found = yield from confirmed(steps, best if math.isfinite(best.bound) else best._replace(step=start))
    # smaller steps that were taken to contradict an accusation may show that the claim is right
    best = steps.best()
    undecided = not claim.agrees(best) and not claim.disputes(found.doubted)
    if undecided and steps.learn(steps.heard, WINDOW):
        # the windows showed no derivative, but the noise with which it is to be sought
        best = yield from explored(steps)
    return best if claim.agrees(best) and not claim.agrees(found) else found


def _screened(steps: Steps) -> Search[Found]:
    """The best quotient: of the first ones where the claim agrees with it, else after steps above and below were tried."""
    claim = steps.claim
    for stage in (_nothing_more, explored):
        best = yield from stage(steps)
        # the distance from a quotient that was given is most of its bound
        step = 0.0 if steps.own and claim.resolved(best) else finer(best, FINER if claim.resolved(best) else BETTER)
        if step and (claim.resolved(best) or stage is explored):
            # one more step; where it shows a difference that the coarser bound had hidden, the search goes on
            yield steps.wanted(step)
            best = steps.best()
            if not math.isfinite(best.bound):
                # nothing converges with it: the first steps lay above the scale of the loss
                best = yield from explored(steps)
        for further in (NEAR * NEAR, 1 / NEAR):
            if claim.resolved(best) and (unordered := steps.unordered):
                yield steps.wanted(further * unordered)
                best = steps.best()
        if claim.agrees(best):
            return best
        yield steps.other_half()
    return best


def _beyond(steps: Steps, best: Found) -> Found:
    """A derivative that noise hides, with the kinks that may hide as well where the step reaches beyond 0.

    One that is not seen at all there is bounded at steps that reach less far: far above its scale a bounded loss has quotients
    near 0, whatever its slope is.
    """
    here, rungs = steps.line.rung(best.step, steps.side), [r for r in steps.rungs() if not r.silent]
    parabola = here is not None and alive(steps.line, here) and quadratic(steps.line, rungs)
    if here is None or best.step <= steps.line.room or parabola:
        return best
    within = [f for f in steps.appraised() if f.step <= steps.line.room and math.isfinite(f.bound)]
    if abs(best.value) <= best.bound and within:
        return min(within, key=lambda f: f.bound)
    return best._replace(truncation=best.truncation + abs(here.bend) / 2)


def _nearer(steps: Steps, best: Found) -> Found:
    """The derivative at the largest step below the guessed scale, where one that shows nowhere was sought above.

    Noise alone tells the bound of a derivative that is 0, and the largest steps have the least of it.  A loss that moves like a
    parabola at three steps shows there that it is no fast wave, which has quotients near 0 as well.
    """
    near = [r for r in steps.rungs() if r.step <= steps.trusted and alive(steps.line, r)]
    if best.step <= steps.trusted or abs(best.value) > best.bound or len(near) < PARABOLIC:
        return best
    if not (quadratic(steps.line, near) and quadratic(steps.line, near[:-1])):
        return best
    return next(f for f in appraised(steps.line, steps.rungs()) if f.step == near[-1].step)


def _nothing_more(steps: Steps) -> Search[Found]:
    """The best of the quotients that are there."""
    yield from ()
    return steps.best()


def finer(best: Found, times: float) -> float:
    """The step where noise meets truncation, if its bound is so many times smaller than that of a quotient; else 0."""
    truncation, rounding = best.truncation - best.kink, best.roundoff
    if best.bound <= FINE * abs(best.value) or not 0 < truncation < math.inf or not rounding:
        return 0.0
    # truncation grows with h**2 and noise falls with 1 / h, so their sum is least where the truncation is half of it
    factor = min(max((rounding / (2 * truncation)) ** (1 / 3), 1 / FURTHEST), FURTHEST)
    improved = times * (rounding / factor + truncation * factor**2) < rounding + truncation
    return factor * best.step if improved else 0.0
