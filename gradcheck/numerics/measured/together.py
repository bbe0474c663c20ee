"""The searches of many weights, carried on together: evaluated at once, and what some learn helps the rest."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median_low
from typing import TypeAlias

import numpy as np

from gradcheck.numerics.measured.ladder import Found
from gradcheck.numerics.measured.screen import Screen, Wanted
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

    def ended(
        self,
        searches: dict[int, Search[Found]],
        steps: dict[int, Steps],
        screen: Screen | None = None,
        begun: Callable[[int], None] = lambda r: None,
    ) -> dict[int, Found]:
        """What the searches of some weights return, by their place in ``index``.

        Where many wait for windows, FIRST look at theirs; the noise that these show holds for the others as well.

        screen : more weights, of which those that are left get searches of their own.   begun : enters such a search.
        """
        found: dict[int, Found] = {}
        waiting = self._until(searches, steps, list(searches), found, screen, begun)
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
        self,
        searches: dict[int, Search[Found]],
        steps: dict[int, Steps],
        places: list[int],
        found: dict[int, Found],
        screen: Screen | None = None,
        begun: Callable[[int], None] = lambda r: None,
    ) -> list[int]:
        """Let some searches go on until each has ended or waits; returns the places of those that wait."""
        waiting: list[int] = []
        active = list(places)
        while active or screen:
            asked: dict[int, list[float]] = {}
            if screen:
                screen.look()
                for r in screen.left:
                    begun(r)
                active = sorted(active + screen.left)
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
            self.evaluated(asked, steps, screen)
            active = list(asked)
            screen = screen if screen and screen.looking else None
        return sorted(waiting)

    def evaluated(self, asked: dict[int, list[float]], steps: dict[int, Steps], screen: Screen | None = None) -> None:
        """Evaluate what the weights asked for, those with the same number of points together, and tell their lines."""
        groups: dict[int, list[int]] = {}
        for r, wanted in asked.items():
            if wanted:
                groups.setdefault(len(wanted), []).append(r)
        found = [Wanted(np.array(places), np.array([asked[r] for r in places])) for places in groups.values()]
        many = screen.wanted if screen else None
        for group in _with_many(found, many):
            offsets, some = group.offsets, self._index[group.places]
            theta = self._problem.theta
            points = theta[some][:, None] + offsets.astype(theta.dtype)
            losses = self._evaluate(some, points).losses
            with np.errstate(all="ignore"):
                # subtract in the dtype, then convert: float64 would round longdouble losses that are nearly equal
                changes = (losses - self._problem.center).astype(np.float64)
            if screen and group is many:
                screen.take(changes)
                continue
            single = np.ones(len(some), dtype=bool)
            if screen and many and offsets.shape[1] == many.offsets.shape[1]:
                single = ~np.isin(group.places, many.places, assume_unique=True)
                screen.take(changes[~single])
            each = (column[single].tolist() for column in (group.places, offsets, changes))
            for r, ts, cs in zip(*each, strict=True):
                steps[r].line.changes.update(zip(ts, cs, strict=True))


def _with_many(groups: list[Wanted], many: Wanted | None) -> list[Wanted]:
    """The groups with those that many weights ask for, each by place; the group of the first place comes first."""
    if many is None:
        return groups
    if not groups:
        return [many]
    width = many.offsets.shape[1]
    alike = [group for group in groups if group.offsets.shape[1] == width]
    places, offsets = (np.concatenate(columns) for columns in zip(*alike, many, strict=True))
    order = np.argsort(places)
    rest = [group for group in groups if group.offsets.shape[1] != width]
    return sorted([*rest, Wanted(places[order], offsets[order])], key=lambda group: int(group.places[0]))


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
