"""The searches of many weights, carried on together: evaluated at once, and what some learn helps the rest."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median_low
from typing import TypeAlias

import numpy as np

from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.steps import WINDOW, Search, Steps
from gradcheck.numerics.problem import Evaluations, Problem

Array = np.ndarray
Evaluate: TypeAlias = Callable[[Array, Array], Evaluations]

# Of the weights that wait for windows, so many look at theirs first.
FIRST = 4
# So many of these look for what the others learn, where so many wait.
TEACHERS, LEARNERS = 2, 8


class Together:
    """Weights under search.

    index : (m,) the weights of the problem.   evaluate : losses with theta[index[r]] replaced by points[r, c].
    """

    def __init__(self, problem: Problem, evaluate: Evaluate, index: Array) -> None:
        self._problem, self._evaluate, self._index = problem, evaluate, index
        self._looked: list[tuple[Steps, Found]] = []

    def ended(self, searches: dict[int, Search[Found]], steps: dict[int, Steps]) -> dict[int, Found]:
        """What the searches of some weights return, by their place in ``index``.

        Where many wait for windows, FIRST look at theirs; the noise that these show holds for the others as well.
        """
        found: dict[int, Found] = {}
        waiting = self._until(searches, steps, list(searches), found)
        few = FIRST - len(self._looked)
        first = waiting[:: -(-len(waiting) // few)] if 0 < few < len(waiting) else waiting[: max(few, 0)]
        for r in first[:TEACHERS] if len(waiting) >= LEARNERS else []:
            steps[r].teaches = True
        self._through(searches, steps, first, found)
        self._looked += [(steps[r], found[r]) for r in first]
        rest = [r for r in waiting if r not in found]
        if rest:
            _taught([steps[r] for r in rest], self._looked)
            self._through(searches, steps, rest, found)
        return found

    def _through(
        self, searches: dict[int, Search[Found]], steps: dict[int, Steps], places: list[int], found: dict[int, Found]
    ) -> None:
        """Let some searches go on to their ends."""
        while places:
            places = self._until(searches, steps, places, found)

    def _until(
        self, searches: dict[int, Search[Found]], steps: dict[int, Steps], places: list[int], found: dict[int, Found]
    ) -> list[int]:
        """Let some searches go on until each has ended or waits; returns the places of those that wait."""
        waiting: list[int] = []
        active = list(places)
        while active:
            asked: dict[int, list[float]] = {}
            for r in active:
                while r not in found and r not in asked and r not in waiting:
                    try:
                        offsets = next(searches[r])
                    except StopIteration as end:
                        found[r] = end.value
                    else:
                        if offsets:
                            asked[r] = offsets
                        elif steps[r].waits:
                            steps[r].waits = False
                            waiting.append(r)
            self.evaluated(asked, steps)
            active = list(asked)
        return sorted(waiting)

    def evaluated(self, asked: dict[int, list[float]], steps: dict[int, Steps]) -> None:
        """Evaluate what the weights asked for, those with the same number of points together, and tell their lines."""
        groups: dict[int, list[int]] = {}
        for r, wanted in asked.items():
            if wanted:
                groups.setdefault(len(wanted), []).append(r)
        theta = self._problem.theta
        for places in groups.values():
            offsets = np.array([asked[r] for r in places])
            some = self._index[places]
            points = theta[some][:, None] + offsets.astype(theta.dtype)
            losses = self._evaluate(some, points).losses
            with np.errstate(all="ignore"):
                # subtract in the dtype, then convert: float64 would round longdouble losses that are nearly equal
                changes = (losses - self._problem.center).astype(np.float64)
            for r, ts, cs in zip(places, offsets.tolist(), changes.tolist(), strict=True):
                steps[r].line.changes.update(zip(ts, cs, strict=True))


def _taught(rest: list[Steps], looked: list[tuple[Steps, Found]]) -> None:
    """Tell some weights what the windows of others showed: the noise, or nothing.

    looked : weights that looked at windows, with what they found.  Those that accuse their claim tell nothing: what they heard
    may be the structure of the loss.
    """
    accusing = sum(s.claim.disputes(found.doubted) for s, found in looked)
    unaccused = [s for s, found in looked if s.windows and not s.claim.disputes(found.doubted)]
    if len(unaccused) > accusing:
        noise = median_low([s.heard for s in unaccused])
        for one in rest:
            one.learn(noise, WINDOW)
    if all(s.claim.undecided(found) for s, found in looked):
        for one in rest:
            # windows showed nothing; one more is for a claim that is disputed
            one.windows_allowed = min(one.windows_allowed, int(one.claim.disputes(one.best())))
