"""A few losses of every cell computed once more in full: what structure has made cheap must be what the model says."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from gradcheck.numerics.problem import Losses
from gradcheck.numerics.quotients import DEVIATIONS
from gradcheck.numerics.rounding import Rounding

Array = np.ndarray

# weights of a cell that are looked at
COMPARED = 3
# the step where none was taken, or an imaginary one, in units of the loss's scale
FRACTION = 2.0**-10
# the errors of a derivative move too; what is looked for are mistakes, which are larger
MARGIN = 2


def compare(
    loss: Callable[[Array], Array],
    perturbed: Losses,
    evaluated: tuple[Array, Array] | None,
    theta: Array,
    center: Array,
    rounding_at: Callable[[Array], Rounding],
    rounding: Rounding,
    step: Array,
) -> tuple[int, Array, Array] | None:
    """The first of a few weights whose perturbed loss differs from the full one by more than rounding explains, or None.

    loss : the loss at a theta, in full.   perturbed : the same for one weight moved at a time.
    evaluated : points (size, k) of every weight, and what ``perturbed`` gave there.   center : the loss at theta.
    rounding : at theta; ``rounding_at`` gives it at another one.
    step : (size,) the steps that were taken; 0 where there was none, or not along the points.

    Looked at is the point nearest to a step, on either side, and one of its own for a weight that was moved nowhere.
    Returns the weight's index, its loss by structure and in full.  The weights follow from theta and the steps alone.
    """
    size = theta.size
    first = zlib.crc32(step.tobytes(), zlib.crc32(theta.tobytes()))
    side = 1 if first & 1 else -1
    for i in sorted({(first + k * (size // COMPARED + 1)) % size for k in range(COMPARED)}):
        moved = theta.copy()
        taken = float(step[i])
        if evaluated is None or not taken > 0:
            moved[i] += theta.dtype.type(FRACTION * rounding.length[i])
            value = perturbed(np.array([i]), moved[i : i + 1, None])[0][0, 0]
        else:
            points, losses = evaluated[0][i], evaluated[1][i]
            away = [abs(abs(x) - taken) for x in (points - theta[i])[::side].tolist()]
            c = away.index(min(away))
            moved[i], value = points[::side][c], losses[::side][c]
        h = abs(float(moved[i] - theta[i]))
        full = loss(moved)
        apart = abs(float(value - full))
        change = abs(float(full - center))
        # the loss's noise is that at theta, what its derivative's errors have added on the way, and its own units
        # (a gradient of unknown error is infinite, and a step that vanished adds nothing)
        grown = rounding.gradient[i] * h if h else 0.0
        noise = math.hypot(rounding.loss, rounding.line[i], grown, 4 * rounding.unit * change)
        if apart <= MARGIN * DEVIATIONS * noise + rounding.underflow or not np.isfinite(value):
            continue  # structure may overflow where the plain loss does not; such a loss gives no derivative
        # far above the scale of the loss, examples that did not count at theta may do so there
        noise = math.hypot(noise, rounding_at(moved).loss)
        if not apart <= MARGIN * DEVIATIONS * noise + rounding.underflow:
            return i, value, full
    return None
