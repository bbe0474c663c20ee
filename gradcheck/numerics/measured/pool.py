"""The noise of a loss, pooled over many weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.line import Line, Rung

Array = np.ndarray

# Weights from which their second differences tell more than the line on which the noise was measured.
LEAST = 8
# The deviation of a normal variable over its median absolute deviation.
NORMAL = 1.4826
# The pool is believed where it differs from the line's noise by no more than this.
LARGER, SMALLER = 2.0, 0.1


class Pairs(NamedTuple):
    """The first two quotients along some weights, each (m,).

    ratio : q, of their steps.   second : Q, below.   growth : of the noise at the larger step over that beside theta.
    """

    ratio: Array
    second: Array
    growth: Array

    def beside(self, other: Pairs) -> Pairs:
        """These and those of other weights."""
        return Pairs(*map(np.concatenate, zip(self, other, strict=True)))


def pairs(lines: Sequence[Line], rungs: Sequence[list[Rung]]) -> Pairs:
    """Of the weights along which two quotients are finite and the first one is not silent."""
    first = [(line, r[0], r[1]) for line, r in zip(lines, rungs, strict=True) if len(r) >= 2 and r[0].moved > 0]
    second = [far.bend * far.step - (far.step / near.step) ** 2 * near.bend * near.step for _, near, far in first]
    return Pairs(
        np.array([far.step / near.step for _, near, far in first]),
        np.array(second),
        np.array([line.growth(far.moved) for line, _, far in first]),
    )


def pooled(lines: Sequence[Line], first: Pairs) -> None:
    """Set the noise of all lines from the second differences at the first two steps of many weights.

    E(h) = f(h) - 2 f(0) + f(-h) is h**2 f'' of a smooth loss, so Q = E(q h) - q**2 E(h) is noise, of variance
    2 (1 + q**4) sigma**2 beside what f(0), which all weights share, adds to all alike.  The median absolute deviation of
    many weights is not moved by the few that have kinks or a short scale.
    """
    q, second, growth = first
    if len(q) < LEAST:
        return
    shared = float(np.median(second / (q**2 - 1)))
    # the noise beside theta that the noise at these steps tells of
    rest = np.abs(second - shared * (q**2 - 1)) / np.sqrt(2 * (1 + q**4)) / growth
    deviation = NORMAL * float(np.median(rest))
    # the median absolute deviation has 37% of the efficiency of the mean square
    freedom = 0.37 * (len(q) - 1)
    for line in lines:
        if SMALLER * line.noise <= deviation <= LARGER * line.noise:
            own = max(deviation, line.floor)
            total = line.degrees + freedom
            line.noise = (
                math.sqrt((line.degrees * line.noise**2 + freedom * own**2) / total)
                if math.isfinite(total)
                else line.noise
            )
            line.degrees = total
