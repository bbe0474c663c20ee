"""A few losses of every cell computed once more in full: what structure has made cheap must be what the model says."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from gradcheck.models.perturbation import Losses
from gradcheck.models.rounding import Rounding
from gradcheck.quotients import DEVIATIONS

Array = np.ndarray

# weights of a cell that are looked at
COMPARED = 3
# the step where none was taken, or an imaginary one, in units of the loss's scale
FRACTION = 2.0**-10
# the errors of a derivative move too; what is looked for are mistakes, which are larger
MARGIN = 2


def compare(
    loss: Callable[[Array], Array], perturbed: Losses, theta: Array, center: Array, rounding: Rounding, step: Array
) -> tuple[Array, Array, Array] | None:
    """The first of a few weights whose perturbed loss differs from the full one by more than rounding explains, or None.

    loss : the loss at a theta, in full.   perturbed : the same for one weight moved at a time.
    center : the loss at theta.   step : (size,) the steps that were taken; 0 where there was none.

    Returns the weight's index, its loss by structure and in full.  The weights follow from theta and the steps alone.
    """
    size = theta.size
    first = zlib.crc32(step.tobytes(), zlib.crc32(theta.tobytes()))
    index = np.unique((first + np.arange(COMPARED) * (size // COMPARED + 1)) % size)
    h = np.where(step > 0, step, FRACTION * rounding.length)[index]
    points = theta[index] + h.astype(theta.dtype)
    found = perturbed(index, points[:, None])[0][:, 0]
    # at a far point the loss's noise is that at theta, what its derivative's errors have added on the way, and its own units
    noises = np.hypot(np.hypot(rounding.loss, rounding.line[index]), rounding.gradient[index] * h)
    for i, point, value, noise in zip(index, points, found, noises, strict=True):
        moved = theta.copy()
        moved[i] = point
        full = loss(moved)
        if not np.isfinite(full) and not np.isfinite(value):
            continue
        change = abs(float(full - center))
        allowed = MARGIN * DEVIATIONS * np.hypot(noise, 4 * rounding.unit * change) + rounding.underflow
        if not abs(float(value - full)) <= allowed:
            return i, value, full
    return None
