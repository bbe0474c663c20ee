"""Cells counted by the settings that were swept, one by one, in memory that does not grow with their number.

A point is a combination of values of these settings.  Up to MOST points are told apart.  Of more, the counts are those of
each value of each setting alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import cast

from gradcheck.columns.weights import AXES
from gradcheck.views.axes import BUG_AND_MODEL, SETTING_NAMES, Axes, chosen, in_order, is_seed
from gradcheck.views.group import CellRow, Group
from gradcheck.views.values import EXACT, ByPoint, ByValue, Point, Value, fewer

MOST = 1000  # points that are told apart, and values of one setting
ALWAYS = tuple(name for name in (*AXES.names, "match_at", "accept", "min_judged") if not is_seed(name))
SEEDS = tuple(name for name in SETTING_NAMES if is_seed(name))


@dataclass
class Swept:
    """The counts of a grid by what was swept.

    axes : of the grid, besides bug and step.
    keys : all that differ: bug and step, the axes, and the keys that are paired with one, in the order of a table.
    seeds : those that differ.
    points : by the values of all keys; None where there are more than MOST.   with_seeds : by those of all keys and seeds.
    by_key : for each key and seed by its values, of which neighbours are taken together where there are more than MOST.
    """

    axes: Axes
    keys: tuple[str, ...]
    seeds: tuple[str, ...]
    points: ByPoint | None
    with_seeds: ByPoint | None
    by_key: dict[str, ByValue]


def keys_of(axes: Axes, differ: Collection[str]) -> tuple[str, ...]:
    """The keys of a table in their order: the bug with its settings, the step, the others; each with those paired with it."""
    keys = []
    for name in ("bug", *axes.of_bug, "eps", *axes.others):
        keys += [name] if name in differ else []
        keys += [other for other, teller in axes.paired if teller == name and not is_seed(other)]
    return tuple(keys)


def by_some(points: ByPoint, places: Sequence[int]) -> ByPoint:
    """The counts of some points by their values at some places."""
    found: ByPoint = {}
    for (point, planted), group in points.items():
        found.setdefault((tuple(point[i] for i in places), planted), Group()).merge(group)
    return found


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

    Points are told apart by seeds too as long as there are at most MOST; then seeds are counted on their own.

    names : the columns of the settings that may differ.
    """

    def __init__(self, names: Sequence[str] = SETTING_NAMES) -> None:
        self.names = tuple(dict.fromkeys(name for name in (*ALWAYS, *names) if not is_seed(name)))
        self._seeds = tuple(dict.fromkeys(name for name in (*SEEDS, *names) if is_seed(name)))
        self._told = (*self.names, *self._seeds)  # what the points that are held are told apart by
        self._held: ByPoint = {}
        self._by_seed: dict[str, ByValue] = {}  # once seeds are counted on their own
        self._same: dict[str, Value] = {}  # then those that were the same so far
        self._folded: dict[str, ByValue] | None = None  # where there are more points than are told apart
        self._digits: dict[str, int] = {}  # of settings with more than MOST values
        self._tells: _Tells | None = None  # made when it is needed

    def add(self, row: CellRow, planted: bool, caught: bool | None) -> None:
        """Count a computed cell: whether a bug was planted, and whether it was caught (`Group.add`)."""
        get = cast("Mapping[str, Value]", row).get
        point = tuple([get(name) for name in self._told])
        try:
            group = self._held.get((point, planted))
        except TypeError:  # a list
            point = tuple(json.dumps(value) if isinstance(value, list | dict) else value for value in point)
            group = self._held.get((point, planted))
        if group is None and len(self._held) >= MOST:
            self._make_room()
            point = point[: len(self._told)]
        if self._by_seed:
            self._add_seeds(row, planted, caught)
        if group is None:
            group = self._held.setdefault((point, planted), Group())
        group.add(row, caught)

    def _add_seeds(self, row: CellRow, planted: bool, caught: bool | None) -> None:
        get = cast("Mapping[str, Value]", row).get
        for name, found in self._by_seed.items():
            value = get(name)
            if name in self._same:
                if value == self._same[name]:
                    continue
                same, so_far = self._same.pop(name), _total(self._all())
                found |= {(same, of): group for of, group in so_far.items()}
            found.setdefault((value, planted), Group()).add(row, caught)
            if len(found) > 2 * MOST:  # each has half a kilobyte; taking them together more often costs little
                self._by_seed[name] = self._shortened(name, found)

    def _make_room(self) -> None:
        """Count seeds on their own; where they are so already, or where that is not enough, each value alone."""
        if len(self._told) > len(self.names):
            for place, name in enumerate(self._seeds, len(self.names)):
                found = by_value(self._held, place, {})
                values = {value for value, _ in found}
                # a seed that stays the same is not counted cell by cell
                self._by_seed[name] = found if len(values) > 1 else {}
                if len(values) == 1:
                    self._same[name] = values.pop()
            self._told, self._held = self.names, by_some(self._held, range(len(self.names)))
        if len(self._held) >= MOST:
            self._fold()

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
            folded[name] = self._shortened(name, found)
            if name in self._digits:
                tells.forget(name)
        self._held = {}

    def _shortened(self, name: str, found: ByValue) -> ByValue:
        """The counts of a setting, of which neighbours are taken together where there are more than MOST values."""
        kept, digits = fewer(found, MOST, self._digits.get(name, EXACT))
        if digits < EXACT:
            self._digits[name] = digits
        return kept

    def values(self, name: str) -> list[Value]:
        """The values of a setting that is no seed."""
        place = self.names.index(name)
        known = [value for value, _ in self._folded[name]] if self._folded else []
        return list(dict.fromkeys([*known, *(point[place] for point, _ in self._held)]))

    def total(self, planted: bool) -> Group:
        """The counts of all cells with a planted bug, or of those without."""
        return _total(self._all()).get(planted, Group())

    def _all(self) -> Iterator[tuple[tuple[object, bool], Group]]:
        """Groups in which each cell is once."""
        yield from self._held.items()
        yield from self._folded[self.names[0]].items() if self._folded else ()

    def swept(self) -> Swept:
        """The counts by what was swept."""
        if self._folded is not None and self._held:
            self._fold()
        tells = self._tells
        if tells is None:
            tells = _Tells(self.names)
            tells.learn([point for point, _ in self._held])
        differ = [name for name in self.names if tells.differs(name)]
        found = chosen([name for name in in_order(self.names) if name in differ], tells)
        apart = {name: self._shortened(name, some) for name, some in self._by_seed.items()} or {
            name: by_value(self._held, place, {}) for place, name in enumerate(self._seeds, len(self.names))
        }
        seeds = {name: some for name, some in apart.items() if len({v for v, _ in some if v is not None}) > 1}
        keys = keys_of(found, differ)
        if self._folded is not None:
            by_key = {name: some for name, some in self._folded.items() if name in keys}
            return Swept(found, keys, tuple(seeds), None, None, by_key | seeds)
        places = [self._told.index(name) for name in (*keys, *(seeds if not self._by_seed else ()))]
        by_key = {name: by_value(self._held, place, {}) for name, place in zip(keys, places, strict=False)} | seeds
        points = by_some(self._held, places[: len(keys)])
        with_seeds = None if self._by_seed else by_some(self._held, places)
        return Swept(found, keys, tuple(seeds), points, with_seeds, by_key)


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
