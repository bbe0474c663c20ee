"""Weights without a path to the loss: the gradient is exactly 0, and no evaluated loss differs from that at theta by a bit.

The steps of a scheme may be too small for a weak effect to change the last digit of the loss.  Before a weight is exempt it is
therefore moved once more to both sides, by a thousandth of its own size or of its parameter's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcheck.numerics.layout import Layout

Array = np.ndarray
Losses = Callable[[Array, Array], Array]

# How far a weight is moved, in units of its size or its parameter's.  A path whose relative effect on the loss is below
# 2**-53 / 1e-3 is hidden by rounding at every step that can be taken.
MOVED = 1e-3


class Unmoved:
    """Records which of some weights have left the loss unchanged so far, at each of s steps that are evaluated together.

    weights : (z,) flat indices in ascending order.   center : the loss at theta.   steps : the number s.
    low, high : the domain (size,), outside which nothing is evaluated; None for none.
    """

    def __init__(self, weights: Array, center: Array, steps: int, low: Array | None, high: Array | None) -> None:
        self._weights, self._center, self._low, self._high = weights, center, low, high
        self._still = np.ones((len(weights), steps), dtype=bool)

    def see(self, index: Array, points: Array, losses: Array, belongs: Array | None = None) -> None:
        """Record real losses (m, k) at points of the weights ``index`` (m,).

        belongs : (s, k) bool, which step needed which point; None where every step needed all.
        """
        place, mine = self._places(index)
        if not len(place):
            return
        same = same_bits(losses[mine], self._center) | self._outside(index[mine], points[mine])
        if belongs is None:
            self._still[place] &= same.all(axis=1)[:, None]
        else:
            self._still[place] &= (same[:, None, :] | ~belongs[None]).all(axis=2)

    def see_complex(self, index: Array, losses: Array, at_theta: Callable[[Array], Array]) -> int:
        """Record losses (m,) at complex points, and return the number of evaluations that this took.

        at_theta : the loss at theta in complex arithmetic, for each weight of an index.
        """
        place, mine = self._places(index)
        kept = self._still[place].any(axis=1) & (losses[mine].imag == 0)
        self._still[place[~kept]] = False
        place, rows = place[kept], np.flatnonzero(mine)[kept]
        if not len(place):
            return 0
        here = at_theta(index[rows])
        self._still[place] &= same_bits(losses[rows].real, here.real)[:, None]
        return len(rows)

    def _places(self, index: Array) -> tuple[Array, Array]:
        """The places among the watched weights of those in ``index``, and a mask of ``index``: which are watched."""
        place = np.minimum(np.searchsorted(self._weights, index), len(self._weights) - 1)
        mine = self._weights[place] == index
        return place[mine], mine

    def _outside(self, index: Array, points: Array) -> Array:
        if self._low is None or self._high is None:
            return np.zeros(points.shape, dtype=bool)
        return (points < self._low[index][:, None]) | (points > self._high[index][:, None])

    def exempt(self, theta: Array, layout: Layout, losses: Losses) -> tuple[Array, Array]:
        """Which weights are exempt (z, s), and the evaluations that this took for each step (s,), as if it were alone."""
        found, counts = np.zeros_like(self._still), np.zeros(self._still.shape[1], dtype=np.int64)
        known: dict[bytes, tuple[Array, int]] = {}
        for step, still in enumerate(self._still.T):
            key = still.tobytes()
            if key not in known:
                known[key] = self._moved(self._weights[still], theta, layout, losses)
            found[still, step], counts[step] = known[key]
        return found, counts

    def _moved(self, index: Array, theta: Array, layout: Layout, losses: Losses) -> tuple[Array, int]:
        """Which weights of ``index`` leave the loss unchanged when moved to both sides, and the number of evaluations."""
        if not len(index):
            return np.zeros(0, dtype=bool), 0
        points = away(theta, index, layout)
        if self._low is not None and self._high is not None:
            points = np.clip(points, self._low[index][:, None], self._high[index][:, None]).astype(theta.dtype)
        moves = points != theta[index][:, None]
        if moves.all():
            return np.asarray(same_bits(losses(index, points), self._center).all(axis=1)), points.size
        same = np.ones(points.shape, dtype=bool)
        for side in range(points.shape[1]):
            some = moves[:, side]
            if some.any():
                same[some, side] = same_bits(losses(index[some], points[some, side : side + 1])[:, 0], self._center)
        # a weight that the domain does not let move is not exempt
        return np.asarray(same.all(axis=1) & moves.any(axis=1)), int(moves.sum())


def away(theta: Array, index: Array, layout: Layout) -> Array:
    """theta -+ 1e-3 max(|theta_i|, rms of its parameter, or 1 where both are 0) for the weights ``index``; (m, 2)."""
    size = np.abs(theta[index])
    for where in layout.slices.values():
        mine = (index >= where.start) & (index < where.stop)
        if mine.any():
            size[mine] = np.maximum(size[mine], root_mean_square(theta[where]))
    size[size == 0] = 1
    step = theta.dtype.type(MOVED) * size
    return np.stack([theta[index] - step, theta[index] + step], axis=1)


def root_mean_square(values: Array) -> Array:
    """The root mean square of some numbers, in their dtype; no square overflows or underflows."""
    largest = np.max(np.abs(values), initial=0)
    return largest * np.sqrt(np.mean((values / largest) ** 2)) if largest > 0 else largest


def same_bits(a: Array, b: Array) -> Array:
    """Where two real numbers are equal, -0 and 0 being different; False where one is NaN."""
    return np.asarray((a == b) & (np.signbit(a) == np.signbit(b)))
