"""A disputed derivative: windows of points, in which noise, kinks and structure show at the very scale of the step."""

from __future__ import annotations

import itertools
import math

from gradcheck.numerics.measured import window
from gradcheck.numerics.measured.ladder import MARGIN, STRIDES, Found, roundoff, spaced
from gradcheck.numerics.measured.limits import diverging, spiked
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.stairs import ALIKE, NEXT, stairs
from gradcheck.numerics.measured.steps import TRUSTED, VISIBLE, Claim, Search, Steps, alive, loud
from gradcheck.numerics.measured.student import quantile
from gradcheck.numerics.measured.window import Window

# How far apart windows are.
SHIFT, NEAR = 8.0, 1.5
# Larger steps at which a derivative is looked for that was not seen at a window's step.
HIGHER = STRIDES
# The same where it was seen.
FAR = STRIDES[2], STRIDES[4]
# A window at a smaller step hears the noise anew, so that a gap is to be so many times larger than the noise that is known.
CLEAR = 8.0
# How far below a window a smaller one is, whose cubic is compared with its own.
CUBICS = 2.7


def confirmed(steps: Steps, best: Found) -> Search[Found]:
    """The derivative by windows, the first one at the best quotient's step."""
    line, claim = steps.line, steps.claim
    accepted: Found | None = None
    looked: dict[float, Window] = {}
    kinks = plateaus = 0
    h = best.step
    for _ in range(steps.windows_allowed):
        step = line.on_grid(h)
        if step in looked or not max(line.least, math.ulp(0.0)) <= step < math.inf:
            break
        # a wall that stopped larger steps may lie farther than this one
        yield steps.both_sides(step)
        side = steps.side
        seen = looked[step] = yield from _looked(line, step, side)
        steps.taken(step, side)
        if seen.usable:
            steps.windows.append(seen.beside)
        found = window.bounded(line, seen, side, steps.rungs())
        holds = found is not None and not _contradicted(steps, seen, found)
        if found is not None and holds and _witnessed(steps, seen, found):
            if accepted is None or found.bound + found.doubt < accepted.bound + accepted.doubt:
                accepted = found
            if claim.agrees(accepted) or (not claim.disputes(accepted) and found.roundoff > found.truncation):
                # the claim is right, or noise hides whether it is
                break
        kinks, plateaus = kinks + (seen.state == "kink"), plateaus + (seen.state == "plateau")
        h = _next(line, seen, found if holds else None, claim, accepted)
        if not h or kinks > 1 or plateaus > 1:
            break
    if accepted is None:
        return best._replace(truncation=math.inf)
    beyond = yield from _cubics(steps, looked, accepted)
    accepted = accepted._replace(doubt=accepted.doubt + beyond)
    return (yield from _checked(steps, accepted, looked[accepted.step].beside))


def _cubics(steps: Steps, looked: dict[float, Window], found: Found) -> Search[float]:
    """How far the truncation of a derivative may exceed what the cubic of its window shows of it.

    The cubics of two windows differ by their own truncation.  It falls with the step at least, as where the second derivative
    jumps.
    """
    line, own = steps.line, looked[found.step]
    smaller = [w for w in looked.values() if w.state == "good" and w.step < found.step]
    if not smaller and steps.claim.disputes(found) and abs(found.value - own.slope) > 3 * own.error:
        below = line.on_grid(found.step / CUBICS)
        if below >= line.least:
            seen = yield from _looked(line, below, steps.side)
            smaller = [seen] if seen.state == "good" else []
    doubt = 0.0
    for seen in smaller:
        gap, noise = abs(own.slope - seen.slope), 3 * math.hypot(own.error, seen.error)
        if gap > noise:
            doubt = max(doubt, (MARGIN * gap + noise) * own.step / (own.step - seen.step))
    return doubt


def _looked(line: Line, step: float, side: int) -> Search[Window]:
    """The window at a step, after its points were evaluated."""
    yield [t for t in window.points(line, step, side) if t not in line.changes]
    return window.look(line, step, side)


def _checked(steps: Steps, found: Found, noise: float) -> Search[Found]:
    """What windows found, after smaller and larger steps were asked whether they contradict it.

    noise : the deviation of the noise by the window at the derivative's step.
    """
    claim = steps.claim
    if (yield from diverging(steps, found)) or _only_noise_at_zero(steps):
        return found._replace(truncation=math.inf)
    if abs(claim.value - found.value) <= found.bound:
        if abs(found.value) > found.bound:
            return found
        if steps.line.x == 0:
            return (yield from _at_zero(steps, found))
        if found.rough:
            found = yield from _through(steps, found)
        # a flat loss may be one stair of a loss that has a slope
        yield steps.wanted(*(factor * found.step for factor in HIGHER))
        return found._replace(truncation=found.truncation + _overlooked(steps, found))
    gap = abs(claim.value - found.value) - found.bound
    seen_through = yield from _smaller(steps, found, gap)
    if seen_through is None:
        return found._replace(truncation=math.inf)
    yield from _larger(steps, found, gap)
    if found.step > steps.line.room and not disputed_within(steps):
        return found._replace(doubt=math.inf)
    if (yield from diverging(steps, found, finite=True)):
        return found._replace(truncation=math.inf)
    if spiked(steps, found):
        return found._replace(doubt=math.inf)
    if found.rough and not (yield from _disputed_below(steps, seen_through)):
        return found._replace(doubt=math.inf)
    jump = yield from stairs(steps, found, noise)
    if jump:
        # on larger steps the stairs are noise, whose deviation is that of a number between two of them
        steps.windows = [jump / math.sqrt(12)]
        return found._replace(doubt=math.inf)
    return found._replace(doubt=max(found.doubt, _overlooked(steps, found), _below(steps, found)))


def _only_noise_at_zero(steps: Steps) -> bool:
    """Whether a loss only makes noise at all steps from a weight of 0, far above its last digits.

    It may be a wave whose scale lies below these steps and whose height lies below the noise: 0 does not tell its scale.
    """
    line = steps.line
    return line.x == 0 and loud(line) and not any(alive(line, rung) for rung in steps.rungs())


def _at_zero(steps: Steps, found: Found) -> Search[Found]:
    """A derivative that is not seen at a weight of 0, where the scale is a guess: far smaller steps may see one."""
    smaller = [steps.line.on_grid(found.step / STRIDES[-1] ** k) for k in (1, 2)]
    yield steps.wanted(*smaller)
    gaps = [0.0]
    for rung in (steps.line.rung(h, steps.side) for h in smaller):
        if rung is not None:
            gap, noise = abs(rung.value - found.value), roundoff(rung, steps.beforehand, steps.line.degrees)
            gaps.append((1 + ALIKE) * gap if gap > noise + found.bound else 0.0)
    return found._replace(truncation=found.truncation + max(gaps))


def _through(steps: Steps, found: Found) -> Search[Found]:
    """A derivative that noise hides, where that may be a fast wave: its slope lies where a far smaller step sees it."""
    line, step = steps.line, steps.line.on_grid(found.step / STRIDES[3])
    yield steps.wanted(step)
    rung = line.rung(step, steps.side)
    if rung is None:
        return found._replace(truncation=math.inf)
    beyond = abs(rung.value - found.value) + roundoff(rung, steps.beforehand, line.degrees) - found.bound
    return found._replace(truncation=found.truncation + max(0.0, beyond))


def _smaller(steps: Steps, found: Found, gap: float) -> Search[float | None]:
    """Take smaller steps.  Returns the smallest at which a window shows a gap through noise; None where they contradict.

    gap : how far a claim lies beyond the bound.
    """
    line, low = steps.line, found.step
    if not any(r.step <= found.step / 8 for r in steps.rungs()):
        yield steps.wanted(found.step / STRIDES[1], found.step / STRIDES[3])
    seen_through = clear = low
    deep = found.rough or found.step > TRUSTED * (line.room if line.x else 0.0)
    while deep and low > line.least and quantile(line.degrees) * line.noise / low < gap:
        # what looks like noise, or lies far above the weight's own size, may be structure: smaller steps see through it
        clear = low if CLEAR * quantile(line.degrees) * line.noise / low < gap else clear
        seen_through, low = low, low / STRIDES[1]
        yield steps.wanted(low)
    if _contradicted(steps, Window("good", found.step, line.noise, line.degrees), found):
        return None
    return clear if clear < found.step else seen_through


def _larger(steps: Steps, found: Found, gap: float) -> Search[None]:
    """Take larger steps, which may show a derivative that was not seen; ``Steps.windows`` has the noise of stairs then."""
    line, unseen = steps.line, abs(found.value) <= found.bound
    for factor in HIGHER if unseen else FAR:
        if _overlooked(steps, found) > gap:
            # this window lies on a stair; the noise of the stairs shows at the larger step
            seen = yield from _looked(line, line.on_grid(factor * found.step), steps.side)
            steps.windows = [seen.beside] if seen.usable else []
            break
        yield steps.wanted(factor * found.step)
    top = steps.rungs()[-1].step
    if unseen and NEXT[0] * top <= line.scale and _overlooked(steps, found) <= gap:
        yield steps.wanted(*(factor * top for factor in NEXT))


def _disputed_below(steps: Steps, step: float) -> Search[bool]:
    """Whether a window at a smaller step disputes the claim as well: a fast wave looks like noise at every step above it."""
    line, side, h = steps.line, steps.side, steps.line.on_grid(step)
    seen = yield from _looked(line, h, side)
    rung = line.rung(h, side)
    if seen.state == "plateau":
        return True
    apart = abs(steps.claim.value - rung.value) if rung else 0.0
    return seen.usable and rung is not None and apart > roundoff(rung, seen.beside, seen.degrees)


def disputed_within(steps: Steps) -> bool:
    """Whether a step that lies well within the room of the weight disputes the claim beyond the noise."""
    line, claim, room = steps.line, steps.claim.value, steps.line.room
    return any(
        abs(r.value - claim) > roundoff(r, line.noise, line.degrees)
        for r in steps.rungs()
        if r.step <= room / 2 and not r.silent
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
        if gap > roundoff(rung, seen.beside, seen.degrees) + found.bound:
            return True
        if k + 1 < len(smaller) and gap > found.bound:
            both = smaller[k : k + 2]
            # what windows taught may have been structure; but on one stair of a loss it moves less than those show
            noise = steps.beforehand if all(alive(line, r) for r in both) else line.noise
            spread = max(roundoff(r, noise, line.degrees) for r in both)
            if spread + abs(both[0].value - both[1].value) < 0.1 * (gap - found.bound):
                return True
    return False


def _witnessed(steps: Steps, seen: Window, found: Found) -> bool:
    """Whether a window lies below the scale of the loss: by the guess of it, or because a smaller step shows the derivative.

    Far above its scale a bounded loss has quotients near 0 that agree with each other, whatever its slope is.
    """
    if seen.step <= steps.trusted:
        return True
    return any(
        abs(r.value - found.value) + roundoff(r, seen.beside, seen.degrees) <= VISIBLE * abs(found.value)
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
