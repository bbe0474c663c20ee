"""A disputed derivative: windows of points, in which noise, kinks and structure show at the very scale of the step."""

from __future__ import annotations

import itertools
import math

from gradcheck.numerics.measured import window
from gradcheck.numerics.measured.ladder import Found, roundoff, spaced
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.steps import TRUSTED, VISIBLE, Claim, Search, Steps, alive
from gradcheck.numerics.measured.student import quantile
from gradcheck.numerics.measured.window import Window

# Windows that are tried at most, and how far apart.
WINDOWS, SHIFT, NEAR = 5, 8.0, 1.5
# Larger steps at which a derivative is looked for that was not seen at a window's step.
HIGHER = (4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
# The same where it was seen.
FAR = (64.0, 1024.0)
# Two steps show the derivative alike within this.
ALIKE = 0.2


def confirmed(steps: Steps, best: Found) -> Search:
    """The derivative by windows, the first one at the best quotient's step."""
    line, claim = steps.line, steps.claim
    accepted: Found | None = None
    looked: dict[float, Window] = {}
    kinks = 0
    h = best.step
    for _ in range(WINDOWS):
        step = line.on_grid(h)
        if step in looked or step < line.least:
            break
        side = steps.side
        yield [t for t in window.points(line, step, side) if t not in line.changes]
        steps.taken(step, side)
        seen = looked[step] = window.look(line, step, side)
        found = window.bounded(line, seen, side, steps.rungs())
        holds = found is not None and not _contradicted(steps, seen, found)
        if found is not None and holds and _witnessed(steps, seen, found):
            if accepted is None or found.bound + found.doubt < accepted.bound + accepted.doubt:
                accepted = found
            if claim.agrees(accepted):
                return accepted
        kinks += seen.state == "kink"
        h = _next(line, seen, found if holds else None, claim, accepted)
        if not h or kinks > 1:
            break
    if accepted is None:
        return best._replace(truncation=math.inf)
    return (yield from _checked(steps, accepted))


def _checked(steps: Steps, found: Found) -> Search:
    """What windows found, after smaller and larger steps were asked whether they contradict it."""
    claim = steps.claim
    if abs(claim.value - found.value) <= found.bound:
        return found
    if not any(r.step <= found.step / 8 for r in steps.rungs()):
        yield steps.wanted(found.step / 16, found.step / 256)
        if _contradicted(steps, Window("good", found.step, steps.line.noise, steps.line.degrees), found):
            return found._replace(truncation=math.inf)
    gap, low = abs(claim.value - found.value) - found.bound, found.step
    deep = found.rough or found.step > TRUSTED * abs(steps.line.x)
    while deep and low > steps.line.least and quantile(steps.line.degrees) * steps.line.noise / low < gap:
        # what looks like noise, or lies far above the weight's own size, may be structure: smaller steps see through it
        low /= 16
        yield steps.wanted(low)
    for factor in HIGHER if abs(found.value) <= found.bound else FAR:
        if _overlooked(steps, found) > gap:
            break
        yield steps.wanted(factor * found.step)
    if steps.line.x != 0 and found.step > abs(steps.line.x) and not _disputed_within(steps):
        return found._replace(doubt=math.inf)
    return found._replace(doubt=max(found.doubt, _overlooked(steps, found), _below(steps, found)))


def _disputed_within(steps: Steps) -> bool:
    """Whether a step that does not cross 0, where a loss may have a pole or a wall, disputes the claim beyond the noise."""
    line, claim = steps.line, steps.claim.value
    return any(
        abs(r.value - claim) > roundoff(r, line.noise, line.degrees)
        for r in steps.rungs()
        if r.step <= abs(line.x) / 2 and not r.silent
    )


def _below(steps: Steps, found: Found) -> float:
    """How far smaller steps contradict a derivative beyond the noise that was known beforehand."""
    line, doubt = steps.line, 0.0
    for rung in steps.rungs():
        if rung.step < found.step and not rung.silent:
            gap, noise = abs(rung.value - found.value), roundoff(rung, line.noise, line.degrees)
            if gap > noise + found.bound:
                doubt = max(doubt, (1 + ALIKE) * gap + noise)
    return doubt


def _overlooked(steps: Steps, found: Found) -> float:
    """How far a derivative that is not seen at its step lies from one that two larger steps show alike, without a kink.

    A loss of few digits has steps like stairs.  On one of them it is flat, but for another noise or a slight wave.
    """
    unseen = abs(found.value) <= found.bound
    most = math.inf if unseen else TRUSTED * steps.line.scale
    above = [r for r in steps.rungs() if found.step <= r.step <= most]
    line = steps.line
    larger = [
        r for r in (spaced(above, 0)[1:] if above else []) if abs(r.value) > 2 * roundoff(r, line.noise, line.degrees)
    ]
    apart = 0.0
    for near, far in itertools.pairwise(larger):
        size = max(abs(near.value), abs(far.value))
        bent = max(abs(near.bend), abs(far.bend)) > size / 2 and abs(far.bend) < 2 * abs(near.bend)
        if abs(near.value - far.value) <= ALIKE * size and not bent and abs(found.value) <= ALIKE * size:
            apart = max(apart, (1 + 2 * ALIKE) * size)
    here = line.rung(found.step, steps.side)
    if unseen and here is not None and not alive(line, here):
        # where the loss does not move at all, one larger step that shows a derivative is enough, unless the loss is flat on one
        # side there: then it shows a kink
        for rung in larger:
            flat = abs(abs(rung.bend) - 2 * abs(rung.value)) <= ALIKE * abs(rung.value)
            if rung.step <= line.scale and not flat:
                apart = max(apart, (1 + 2 * ALIKE) * abs(rung.value))
    return apart


def _contradicted(steps: Steps, seen: Window, found: Found) -> bool:
    """Whether smaller steps give another derivative, which the noise of this window does not explain.

    Noise explains a single quotient.  It does not where two smaller steps agree with each other by the noise that was known
    beforehand: then the loss has structure within the window.
    """
    line = steps.line
    smaller = [r for r in steps.rungs() if r.step < seen.step and not r.silent]
    for k, rung in enumerate(smaller):
        gap = abs(rung.value - found.value)
        if gap > roundoff(rung, seen.noise, seen.degrees) + found.bound:
            return True
        if k + 1 < len(smaller) and gap > found.bound:
            both = smaller[k : k + 2]
            spread = max(roundoff(r, line.noise, line.degrees) for r in both)
            if spread + abs(both[0].value - both[1].value) < 0.1 * (gap - found.bound):
                return True
    return False


def _witnessed(steps: Steps, seen: Window, found: Found) -> bool:
    """Whether a window lies below the scale of the loss: by the guess of it, or because a smaller step shows the derivative.

    Far above its scale a bounded loss has quotients near 0 that agree with each other, whatever its slope is.
    """
    if seen.step <= TRUSTED * (abs(steps.line.x) or steps.line.scale):
        return True
    return any(
        abs(r.value - found.value) + roundoff(r, seen.noise, seen.degrees) <= VISIBLE * abs(found.value)
        for r in steps.rungs()
        if r.step <= seen.step / 2
    )


def _next(line: Line, seen: Window, found: Found | None, claim: Claim, accepted: Found | None) -> float:
    """The step of the next window; 0 where no further one helps."""
    if seen.state == "plateau":
        return seen.step * SHIFT * 2
    if found is None or seen.state != "good" or (accepted is not None and found is not accepted):
        return seen.step / SHIFT
    if claim.resolved(found):
        return 0.0
    # what the common cubic does not show beyond its own noise is no truncation
    visible = abs(found.value - seen.slope) > 3 * seen.error
    if visible:
        truncation = max(found.truncation - found.kink, 1e-300)
        # truncation grows with h**2 and noise falls with 1 / h, so their sum is least where the truncation is half of it
        return seen.step * min(max((found.roundoff / (2 * truncation)) ** (1 / 3), 1 / SHIFT), 1 / NEAR)
    rung = line.rung(seen.step, 0)
    further = seen.step * SHIFT / 2
    shown = found.roundoff <= 2 * VISIBLE * abs(found.value) or not (rung and alive(line, rung))
    return further if shown or further <= TRUSTED * line.scale else 0.0
