"""Whether quotients about a step tell of their limit: of a step that reaches beyond a wall, a pole or a spike they do not."""

from __future__ import annotations

import math

from gradcheck.numerics.measured.ladder import SPACED, STRIDES, Found, diverges
from gradcheck.numerics.measured.line import Rung
from gradcheck.numerics.measured.steps import Search, Steps

# Deviations of an even part that are allowed when its fall is looked at.
SPIKED = 3.0
# An even part that falls with a smaller power of the step is that of a wall or a spike; at a kink the power is 1.
CONTINUOUS = 0.75
# A kink is the same at a smaller step, within this part.
HALF = 0.5
# Deviations by which two quotients lie apart that hold an accusation back, and the steps beside the smaller one at which they
# are looked at again.
APART, AGAIN = 3.0, (1.13, 0.83)


def diverging(steps: Steps, found: Found, finite: bool = False) -> Search[bool]:
    """Whether quotients move the faster the smaller the step is, about the step of a derivative that was found.

    Of the quotients at some smaller steps, noise moves one so far in a hundred cases: one beside it must show it again.
    finite : whether larger steps were tried, so that without any the loss is finite at none.
    """
    line, side = steps.line, steps.side
    smaller = [r for r in steps.rungs() if SPACED * r.step <= found.step and not r.silent]
    larger = [r for r in steps.rungs() if SPACED <= r.step / found.step <= STRIDES[2] and not r.silent]
    here = line.rung(found.step, side)
    if here is None:
        return False
    # the windows may have heard a little more noise than was known
    noise = line.noise if found.rough else max(line.noise, steps.heard)
    if not larger:
        return finite and (yield from _diverges_below(steps, here, noise))
    for low in smaller:
        if any(diverges(low, here, high, noise, APART) for high in larger):
            yield steps.wanted(*(factor * low.step for factor in AGAIN))
            again = [line.rung(line.on_grid(factor * low.step), side) for factor in AGAIN]
            if any(r is None or diverges(r, here, high, noise, APART) for r in again for high in larger):
                return True
    return False


def spiked(steps: Steps, found: Found) -> bool:
    """Whether the even part of the loss falls slower than the step, about the step of a derivative.

    That of a kink at theta falls like the step.  That of a wall, a pole or a stair beside theta, which a step reaches beyond,
    hardly falls until a step does not; and then noise may hide what is left.  A window takes a part of it for noise.
    """
    line, here = steps.line, steps.line.rung(found.step, steps.side)
    if here is None or steps.side:
        return False
    # of each even part, which is a difference of three losses, of which that at theta counts twice
    deviation = SPIKED * math.sqrt(6) * line.noise

    def slow(low: Rung, high: Rung, deviations: float) -> bool:
        fallen = (low.step / high.step) ** CONTINUOUS
        return abs(low.bend) * low.step > fallen * abs(high.bend) * high.step + (1 + fallen) * deviations

    below = [r for r in steps.rungs() if STRIDES[0] * r.step <= here.step]
    above = [r for r in steps.rungs() if SPACED * here.step <= r.step <= STRIDES[2] * here.step]
    if below and 2 * sum(slow(low, here, deviation) for low in below) >= len(below):
        # at one of many steps a few digits may look so
        return True
    if not any(slow(here, high, deviation) for high in above):
        return False
    # where larger steps show it, a smaller one must show that it ends here: in a kink, or in a smooth loss
    if found.kink:
        return not any(abs(low.bend - here.bend) + deviation / low.step <= HALF * abs(here.bend) for low in below[-1:])
    return all(slow(low, here, -deviation) for low in below)


def _diverges_below(steps: Steps, here: Rung, noise: float) -> Search[bool]:
    """Whether quotients move the faster the smaller the step is, below the largest step at which the loss is finite.

    Beside a wall, as of a logarithmic barrier, no larger step shows how the truncation grows.
    """
    line, side = steps.line, steps.side
    below = [line.on_grid(here.step / factor) for factor in STRIDES[:2]]
    yield steps.wanted(*below)
    near, low = (line.rung(step, side) for step in below)
    return near is not None and low is not None and diverges(low, near, here, noise, APART)
