"""The first quotients of many weights as arrays: most claims agree with these, and need no search of their own.

What ``search`` does first is done here for many weights at once, to the bit: two central quotients, and a third one where
that is finer, or shows the order of the truncation.  A weight at which anything is unusual, or whose claim does not agree, is
left to ``search``, which goes the same way once more with the losses that are known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcheck.numerics.measured.columns import (
    ROUNDED,
    Columns,
    Rungs,
    apart,
    appraised,
    best,
    every,
    on_grid,
    rungs,
    spread,
)
from gradcheck.numerics.measured.explore import NEAR
from gradcheck.numerics.measured.given import RATIO
from gradcheck.numerics.measured.line import Line
from gradcheck.numerics.measured.pool import Pairs
from gradcheck.numerics.measured.search import FINE, FINER, FURTHEST, finer
from gradcheck.numerics.measured.steps import Claim

Array = np.ndarray


class Wanted(NamedTuple):
    """The points that some weights ask for.   places : (m,) of the weights, ascending.   offsets : (m, c)."""

    places: Array
    offsets: Array


class Along(NamedTuple):
    """Many weights, each (m,).

    places : which they are, ascending.   x, start, claim : the weight, the first step and the claimed derivative.
    room : how far the weight may be moved both ways.
    """

    places: Array
    x: Array
    start: Array
    claim: Array
    room: Array

    def some(self, rows: Array) -> Along:
        """Those for which ``rows`` is true."""
        return self if rows.all() else Along(*(column[rows] for column in self))


class Ended(NamedTuple):
    """Weights that need no search.   places : (m,).   found : what is known of their derivatives.   agree : bool (m,)."""

    places: Array
    found: Columns
    agree: Array


class Screen:
    """Weights whose first quotients are evaluated and judged together.

    line : what all of them have in common, the loss at theta and its noise.   claim : what is asked of every claim.
    wanted : the points that are to be evaluated next; None for none.   ended : what was found.
    left : places of those that are left to searches of their own since the last look.
    """

    def __init__(self, along: Along, line: Line, claim: Claim) -> None:
        self.line, self.ended, self._claim = line, list[Ended](), claim
        steps = on_grid(line, along.x[:, None], np.stack([along.start, RATIO * along.start], axis=1))
        usual = (steps[:, 0] > 0) & (steps[:, 0] < steps[:, 1]) & (steps[:, 1] < np.inf) & (steps[:, 1] <= along.room)
        self.left: list[int] = along.places[~usual].tolist()
        self._along, self._steps = along.some(usual), steps[usual]
        # the rows that asked for points, the offsets and the changes of the loss there
        self._known: list[tuple[Array, Array, Array]] = []
        self._first: Rungs | None = None
        self.wanted: Wanted | None = None
        self._want(np.arange(len(self._steps)), self._steps)

    def _want(self, rows: Array, steps: Array) -> None:
        """Ask for the points of central quotients at further steps (m, c) of some rows."""
        self._asking = rows
        if len(rows):
            self.wanted = Wanted(self._along.places[rows], np.stack([steps, -steps], axis=2).reshape(len(rows), -1))

    @property
    def looking(self) -> bool:
        """Whether points were taken whose claims were not judged yet."""
        return self._first is not None or bool(len(self._asking))

    def take(self, changes: Array) -> None:
        """The changes of the loss at the points that were asked for, (m, c)."""
        assert self.wanted is not None
        self._known.append((self._asking, self.wanted.offsets, changes))
        self.wanted = None

    def known(self, place: int) -> dict[float, float]:
        """The changes of the loss that are known of a weight that is left, by offset."""
        found: dict[float, float] = {}
        row = int(np.searchsorted(self._along.places, place))
        if row < len(self._along.places) and self._along.places[row] == place:
            for rows, offsets, changes in self._known:
                k = int(np.searchsorted(rows, row))
                if k < len(rows) and rows[k] == row:
                    found.update(zip(offsets[k].tolist(), changes[k].tolist(), strict=True))
        return found

    def pairs(self) -> Pairs:
        """What the first two quotients say of the noise, as ``pool.pairs`` of single weights."""
        with np.errstate(all="ignore"):
            seen = self._quotients(*self._known[0]) if self._known else None
            self._first = seen
            if seen is None:
                return Pairs(np.empty(0), np.empty(0), np.empty(0))
            some = seen.some(every(np.isfinite(seen.moved)) & (seen.moved[:, 0] > 0))
            near, far = some.at(0), some.at(1)
            second = far.bend * far.step - near.square * near.bend * near.step
            return Pairs(far.step / near.step, second, far.growth)

    def look(self) -> None:
        """Judge the claims whose points were taken: some have ended, some are left, and some want a third quotient."""
        self.left = []
        with np.errstate(all="ignore"):
            if self._first is not None:
                first, self._first = self._first, None
                self._judge_two(np.arange(len(self._steps)), first)
            elif self.wanted is None and len(self._asking):
                rows, self._asking = self._asking, self._asking[:0]
                self._judge_three(rows)

    def _quotients(self, rows: Array, offsets: Array, changes: Array) -> Rungs:
        return rungs(self.line, self._along.x[rows], offsets[:, ::2], changes[:, ::2], changes[:, 1::2])

    def _judge_two(self, rows: Array, seen: Rungs) -> None:
        claims = self._along.claim
        still = every(seen.moved == 0) & (claims == 0)
        none = np.full(int(still.sum()), np.inf)
        unmoved = Columns(seen.step[still, 0], seen.value[still, 0], none, none, np.zeros(len(none)))
        self._end(rows[still], unmoved, np.zeros(len(none), dtype=bool))
        rows, found = self._appraised(rows[~still], seen.some(~still))
        resolved = self._resolved(found, np.abs(found.value))
        third = np.where(resolved, self._finer(found), 0.0)
        near = self._steps[rows, 0]
        unknown = resolved & (third == 0) & self._unordered(seen)[rows]
        third[unknown] = NEAR * NEAR * near[unknown]
        more = third > 0
        self._end_or_leave(rows[~more], found.some(~more))
        h = on_grid(self.line, self._along.x[rows], third)
        usual = (h > 0) & (h < np.inf) & (h <= self._along.room[rows]) & every(h[:, None] != self._steps[rows])
        self._leave(rows[more & ~usual])
        self._want(rows[more & usual], h[more & usual][:, None])

    def _judge_three(self, rows: Array) -> None:
        every, offsets, changes = self._known[0]
        assert len(every) == len(self._steps)
        offsets = np.concatenate([offsets[rows], self._known[1][1]], axis=1)
        changes = np.concatenate([changes[rows], self._known[1][2]], axis=1)
        by_step = np.argsort(offsets[:, ::2], axis=1)
        above, below = (np.take_along_axis(changes[:, k::2], by_step, axis=1) for k in (0, 1))
        steps = np.take_along_axis(offsets[:, ::2], by_step, axis=1)
        seen = rungs(self.line, self._along.x[rows], steps, above, below)
        self._end_or_leave(*self._appraised(rows, seen))

    def _appraised(self, rows: Array, seen: Rungs) -> tuple[Array, Columns]:
        """The best quotients of the rows at which all is usual; the others are left."""
        usual = apart(seen.step) & every(np.isfinite(seen.moved) & (seen.moved > 0))
        usual &= np.isfinite(self._along.claim[rows])
        found = appraised(self.line, seen.some(usual))
        known = every(~np.isnan(found.bound))
        self._leave(np.concatenate([rows[~usual], rows[usual][~known]]))
        return rows[usual][known], best(found.some(known))

    def _finer(self, found: Columns) -> Array:
        """``search.finer`` of each."""
        finer_steps = np.zeros(len(found.step))
        truncation, rounding = found.truncation - found.kink, found.roundoff
        factor = np.clip(np.cbrt(rounding / (2 * truncation)), 1 / FURTHEST, FURTHEST)
        improved = FINER * (rounding / factor + truncation * factor**2) < (rounding + truncation) * (1 + ROUNDED)
        for row in np.flatnonzero((found.bound > FINE * np.abs(found.value)) & improved).tolist():
            finer_steps[row] = finer(found.of(row), FINER)
        return finer_steps

    def _unordered(self, seen: Rungs) -> Array:
        """Whether ``Steps.unordered`` of each is not 0."""
        near, far = seen.at(0), seen.at(1)
        rest = np.abs(far.value - near.value) / (near.square - 1)
        return np.asarray(rest > spread(self.line, near))

    def _resolved(self, found: Columns, size: Array) -> Array:
        """``Claim.resolved`` of each."""
        asked = self._claim
        return np.asarray(2 * found.bound + asked.accept * size <= asked.match_at * size)

    def _end_or_leave(self, rows: Array, found: Columns) -> None:
        """End the weights whose claims agree, as ``Claim.agrees`` says, and leave the others."""
        claims = self._along.claim[rows]
        size = np.maximum(np.abs(claims), np.abs(found.value))
        within = np.abs(claims - found.value) <= found.bound + self._claim.accept * size
        agree = within & self._resolved(found, size)
        self._leave(rows[~agree])
        self._end(rows[agree], found.some(agree), np.ones(int(agree.sum()), dtype=bool))

    def _end(self, rows: Array, found: Columns, agree: Array) -> None:
        self.ended.append(Ended(self._along.places[rows], found, agree))

    def _leave(self, rows: Array) -> None:
        self.left += self._along.places[rows].tolist()
