"""Cells counted by the settings that were swept, one by one, in memory that does not grow with their number.

A point is a combination of values of these settings.  Up to MOST points are told apart.  Of more, the counts are those of
each value of each setting alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple, TypeAlias, cast

from gradcheck.columns.weights import AXES
from gradcheck.views.axes import BUG_AND_MODEL, SETTING_NAMES, Axes, chosen, in_order, is_seed
from gradcheck.views.group import CellRow, Group

MOST = 1000  # points that are told apart, and values of one setting
ALWAYS = tuple(name for name in (*AXES.names, "match_at", "accept", "min_judged") if not is_seed(name))
SEEDS = tuple(name for name in SETTING_NAMES if is_seed(name))


class Span(NamedTuple):
    """All values of a setting that has more than MOST; the ends of those that are numbers."""

    low: float | None = None
    high: float | None = None


Value: TypeAlias = str | float | Span | None
Point: TypeAlias = tuple[Value, ...]
ByPoint: TypeAlias = dict[tuple[Point, bool], Group]  # by the values of some settings, and whether a bug was planted
ByValue: TypeAlias = dict[tuple[Value, bool], Group]


@dataclass
class Swept:
    """The counts of a grid by what was swept.

    axes : of the grid, besides bug and step.
    keys : all that differ: bug and step, the axes, and the keys that are paired with one, in the order of a table.
    points : by the values of all keys; None where there are more than MOST.
    by_key : for each key by its values.
    seeds : the smallest and the largest of each seed that differs.
    """

    axes: Axes
    keys: tuple[str, ...]
    points: ByPoint | None
    by_key: dict[str, ByValue]
    seeds: dict[str, tuple[float, float]]


def keys_of(axes: Axes, differ: Collection[str]) -> tuple[str, ...]:
    """The keys of a table in their order: the bug with its settings, the step, the others; each with those paired with it."""
    keys = []
    for name in ("bug", *axes.of_bug, "eps", *axes.others):
        keys += [name] if name in differ else []
        keys += [other for other, teller in axes.paired if teller == name and not is_seed(other)]
    return tuple(keys)


def by_value(points: ByPoint, place: int, found: ByValue) -> ByValue:
    """The counts of some points by their values at a place, added to what was found."""
    for (point, planted), group in points.items():
        found.setdefault((point[place], planted), Group()).merge(group)
    return found


def _total(some: Iterable[tuple[tuple[object, bool], Group]]) -> dict[bool, Group]:
    """The counts of some groups together, by whether a bug was planted."""
    found: dict[bool, Group] = {}
    for (_, planted), group in some:
        found.setdefault(planted, Group()).merge(group)
    return found


class Points:
    """Counts of cells.

    names : the columns of the settings that may differ, seeds apart.
    """

    def __init__(self, names: Sequence[str] = SETTING_NAMES) -> None:
        self.names = tuple(dict.fromkeys(name for name in (*ALWAYS, *names) if not is_seed(name)))
        self._held: ByPoint = {}
        self._folded: dict[str, ByValue] | None = None  # where there are more points than are told apart
        self._spans: dict[str, Span] = {}  # of settings with very many values
        self._tells: _Tells | None = None  # made when it is needed
        self._seeds: dict[str, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, row: CellRow, planted: bool, caught: bool | None) -> None:
        """Count a computed cell: whether a bug was planted, and whether it was caught (`Group.add`)."""
        get = cast("Mapping[str, Value]", row).get
        point = tuple([get(name) for name in self.names])
        try:
            group = self._held.get((point, planted))
        except TypeError:  # a list
            point = tuple(json.dumps(value) if isinstance(value, list | dict) else value for value in point)
            group = self._held.get((point, planted))
        if group is None:
            if len(self._held) >= MOST:
                self._fold()
            group = self._held[point, planted] = Group()
        group.add(row, caught)
        for name in SEEDS:
            if (seed := get(name)) is not None:
                self._add_seed(name, cast("float", seed))

    def _add_seed(self, name: str, seed: float) -> None:
        low, high = self._seeds.setdefault(name, (seed, seed))
        if not low <= seed <= high:
            self._seeds[name] = min(low, seed), max(high, seed)

    def _fold(self) -> None:
        """Count the points that are held by each of their values alone."""
        tells = self._tells = self._tells or _Tells(self.names)
        tells.learn([point for point, _ in self._held])
        folded = self._folded = self._folded or {name: {} for name in self.names}
        total = _total(self._held.items())
        for place, name in enumerate(self.names):
            values = {point[place] for point, _ in self._held}
            if len(values) == 1:  # as most settings have
                (value,) = values
                found = by_value({((value,), of): group for of, group in total.items()}, 0, folded[name])
            else:
                found = by_value(self._held, place, folded[name])
            if name in self._spans or len(found) > 2 * MOST or len({value for value, _ in found}) > MOST:
                tells.forget(name)
                folded[name] = self._together(name, found)
        self._held = {}

    def _together(self, name: str, found: ByValue) -> ByValue:
        """The counts of all values of a setting in one."""
        together: ByValue = {}
        low, high = self._spans.get(name, Span())
        for (value, planted), group in found.items():
            together.setdefault((Span(), planted), Group()).merge(group)
            if isinstance(value, int | float):
                low, high = min(value, value if low is None else low), max(value, value if high is None else high)
        self._spans[name] = Span(low, high)
        return together

    def values(self, name: str) -> list[Value]:
        """The values of a setting."""
        place = self.names.index(name)
        known = [value for value, _ in self._folded[name]] if self._folded else []
        return list(dict.fromkeys([*known, *(point[place] for point, _ in self._held)]))

    def total(self, planted: bool) -> Group:
        """The counts of all cells with a planted bug, or of those without."""
        folded = self._folded[self.names[0]] if self._folded else {}
        return _total((*self._held.items(), *folded.items())).get(planted, Group())

    def swept(self) -> Swept:
        """The counts by what was swept."""
        if self._folded is not None and self._held:
            self._fold()
        tells = self._tells
        if tells is None:
            tells = _Tells(self.names)
            tells.learn([point for point, _ in self._held])
        seeds = {name: ends for name, ends in self._seeds.items() if ends[0] != ends[1]}
        differ = [name for name in self.names if tells.differs(name)]
        found = chosen([name for name in in_order(self.names) if name in differ], tells)
        keys = keys_of(found, differ)
        places = [self.names.index(name) for name in keys]
        if self._folded is None:
            points: ByPoint = {}
            for (point, planted), group in self._held.items():
                points.setdefault((tuple(point[i] for i in places), planted), Group()).merge(group)
            by_key = {name: by_value(self._held, i, {}) for name, i in zip(keys, places, strict=True)}
            return Swept(found, keys, points, by_key, seeds)
        by_key = {
            name: {(self._spans.get(name, value), of): group for (value, of), group in some.items()}
            for name, some in self._folded.items()
            if name in keys
        }
        return Swept(found, keys, None, by_key, seeds)


class _Tells:
    """Which settings tell the values of which others: as far as is known from the points that were learned."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = (*names, BUG_AND_MODEL)
        self._forgotten: set[str] = set()
        self._values: dict[str, set[Value | Point]] = {name: set() for name in self._names}
        # of each value of one setting the value of another; a pair is left out once two points contradict it
        self._pairs: dict[tuple[str, str], dict[Value | Point, Value]] = {
            (a, b): {} for a, b in permutations(self._names, 2) if b != BUG_AND_MODEL
        }

    def __call__(self, axis: str, name: str) -> bool:
        return axis == name or (axis, name) in self._pairs

    def differs(self, name: str) -> bool:
        """Whether a setting has several values."""
        return len(self._values[name]) > 1 or name in self._forgotten

    def learn(self, points: Iterable[Point]) -> None:
        """Take some points into account."""
        columns: dict[str, Sequence[Value | Point]] = dict(zip(self._names, zip(*points, strict=True), strict=False))
        columns[BUG_AND_MODEL] = list(zip(columns["bug"], columns["model"], strict=True))  # type: ignore[arg-type]
        new = {name: set(values) for name, values in columns.items()}
        same = {name for name, values in new.items() if len(values) == 1 and values == self._values[name]}
        # a pair of settings that stayed the same tells nothing new
        for (a, b), known in list(self._pairs.items()):
            if a in same and b in same:
                continue
            for value, told in set(zip(columns[a], columns[b], strict=True)):
                if known.setdefault(value, cast("Value", told)) != told:
                    del self._pairs[a, b]
                    break
        for name, values in new.items():
            if name not in self._forgotten:
                self._values[name] |= values

    def forget(self, name: str) -> None:
        """A setting has too many values: it tells no other, and no other tells it."""
        self._pairs = {pair: known for pair, known in self._pairs.items() if name not in pair}
        self._forgotten.add(name)
