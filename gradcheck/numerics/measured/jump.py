"""A jump of a function of one number: what is left of a change where the interval in which it happens shrinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

# How often the interval is halved, how often the jump stays the same then, and within what part it is the same without a doubt.
HALVED, LAST, SAME = 20, 5, 0.1


def jump(
    places: tuple[float, float], values: tuple[float, float], middle: Callable[[float, float], float], least: float
) -> Generator[float, float, float]:
    """By how much a function jumps between two places; 0 where it does not, or by no more than ``least``.

    A continuous function changes ever less in a shrinking interval; at a jump it does not.  Places are asked for, and their
    values are to be sent.

    middle : a place between two others, or one of them where there is none.
    """
    (low, high), (left, right) = places, values
    sizes = [abs(right - left)]
    for _ in range(HALVED):
        place = middle(low, high)
        if not low < place < high or sizes[-1] <= least:
            break
        value = yield place
        if not math.isfinite(value):
            return 0.0
        if abs(value - left) >= abs(right - value):
            high, right = place, value
        else:
            low, left = place, value
        sizes.append(abs(right - left))
        last = sizes[-LAST:]
        if len(last) == LAST and max(last) - min(last) <= SAME * max(last):
            break
    last = sizes[-LAST:]
    return sizes[-1] if sizes[-1] > least and max(last) <= 2 * sizes[-1] <= 4 * min(last) else 0.0
