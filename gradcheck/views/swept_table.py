"""The table at the end of a run: what was found for each value that was swept, in about a dozen rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from gradcheck.views import words
from gradcheck.views.group import Group
from gradcheck.views.layout import Table
from gradcheck.views.points import Swept
from gradcheck.views.tally import Tally, in_order
from gradcheck.views.values import ByPoint, Span, Value, is_number

MAX_ROWS = 12  # of the points of a grid
MAX_VALUES = 14  # rows of the values of its keys, where there are more points than that
LEAST = 2  # rows of a key, unless MORE are
MORE = {"bug": 4, "eps": 3}


def swept_tables(tally: Tally, most: int | None = MAX_VALUES) -> list[Table]:
    """What was found, by point of the grid, seeds too where these are few points; of more, by each value of each seed as well;
    and where there are many points without seeds, by each value of each key that was swept.

    most : about so many rows of values, of which neighbours share one; None: a row for each.
    """
    if tally.widths is None:
        return []
    swept = tally.swept
    if _few(swept.with_seeds):
        return [_by_point(swept.with_seeds or {}, (*swept.keys, *swept.seeds), tally)]
    if _few(swept.points):
        return [_by_point(swept.points or {}, swept.keys, tally), _by_key(swept, swept.seeds, tally.names, most)]
    return [_by_key(swept, (*swept.keys, *swept.seeds), tally.names, most)]


def _few(points: ByPoint | None) -> bool:
    return points is not None and len({point for point, _ in points}) <= MAX_ROWS


def _by_point(found: ByPoint, keys: Sequence[str], tally: Tally) -> Table:
    groups: dict[tuple[Value, ...], Group] = {}
    for (point, _), group in found.items():
        groups.setdefault(point, Group()).merge(group)
    points = sorted(groups, key=lambda point: [in_order(k, v) for k, v in zip(keys, point, strict=True)])
    labels = [
        [words.setting(key, value, tally.names) for key, value in zip(keys, point, strict=True)] for point in points
    ]
    header = [words.column(key) for key in keys]
    if not keys:  # a step is worth a column even where it is the only one
        header, labels = ["eps"], [[words.setting("eps", tally.points.values("eps")[0], tally.names)]]
    rows = [[*label, *row] for label, row in zip(labels, _figures([groups[point] for point in points]), strict=True)]
    texts = {name for i, name in enumerate(header) if any(isinstance(point[i], str) for point in points if keys)}
    return Table("", [*header, *_names([*groups.values()])], rows, _note(rows), frozenset(texts), keys=len(header))


class _Line(NamedTuple):
    """A row of the table of values: the key, which values, and the counts by whether a bug was planted."""

    key: str
    value: str
    found: dict[bool, Group]


def _by_key(swept: Swept, keys: Sequence[str], run: words.Names, most: int | None) -> Table:
    taken = {key: _by_value(swept, key) for key in keys}
    rows_of = _rows_of({key: len(found) for key, found in taken.items()}, most)
    lines = [line for key, found in taken.items() for line in _lines(key, found, rows_of[key], run)]
    correct = any(False in line.found for line in lines)
    shown = [line.found.get(False) if correct else line.found.get(True) for line in lines]
    names = _names([group for group in shown if group is not None])
    figures = _figures(shown)
    planted = [line.found.get(True, Group()) for line in lines]
    caught = [f"{group.caught:,}/{group.planted:,}" if group.planted else None for group in planted]
    rows = [
        [words.column(line.key), line.value, *row, *([share] if any(caught) else [])]
        for line, row, share in zip(lines, figures, caught, strict=True)
    ]
    header = ["key", "value", *names, *(["caught"] if any(caught) else [])]
    both = correct and any(True in line.found for line in lines)
    note = [f"match to {words.VISIBLE_FROM}: weights of cells with {run.unplanted}"] if both else []
    return Table(
        "", header, rows, "; ".join([*note, *filter(None, [_note(rows)])]), frozenset({"key", "value"}), keys=2
    )


def _by_value(swept: Swept, key: str) -> dict[Value, dict[bool, Group]]:
    found: dict[Value, dict[bool, Group]] = {}
    for (value, planted), group in swept.by_key[key].items():
        found.setdefault(value, {})[planted] = group
    return {value: found[value] for value in sorted(found, key=lambda value: in_order(key, _first(value)))}


def _rows_of(values: Mapping[str, int], most: int | None) -> dict[str, int]:
    """How many rows each key gets, by the number of its values: the key with most rows gives way first."""
    rows = dict(values)
    while most is not None and sum(rows.values()) > most:
        wide = {key: n for key, n in rows.items() if n > MORE.get(key, LEAST)}
        if not wide:
            break
        rows[max(wide, key=lambda key: wide[key])] -= 1
    return rows


def _lines(key: str, found: Mapping[Value, dict[bool, Group]], most: int, run: words.Names) -> list[_Line]:
    """The values of a key in so many rows: of numbers neighbours are taken together, of others the last ones."""
    values = list(found)
    numbers = [value for value in values if is_number(_first(value))]
    others = [value for value in values if value not in numbers]
    together: list[list[Value]]
    if len(values) <= most:
        together = [[value] for value in values]
    elif len(numbers) > len(others):
        parts = max(1, most - min(len(others), most - 1))
        ends = [len(numbers) * i // parts for i in range(parts + 1)]
        together = [[*numbers[start:stop]] for start, stop in pairwise(ends)]
        rest = [[value] for value in others[: most - parts - 1]] + [others[max(0, most - parts - 1) :]]
        together += [some for some in rest if some]
    else:
        together = [[value] for value in values[: most - 1]] + [values[most - 1 :]]
    lines = []
    for some in together:
        merged: dict[bool, Group] = {}
        for value in some:
            for planted, group in found[value].items():
                merged.setdefault(planted, Group()).merge(group)
        lines.append(_Line(key, _said(key, some, len(some) == len(values), run), merged))
    return lines


def _said(key: str, values: Sequence[Value], whole: bool, run: words.Names) -> str:
    """Some values of a key in words: ``1e-02``, ``1e-02 to 1e-05``, ``no bug``, ``12 others``."""
    if values == [Span()]:
        return "very many values"
    if all(is_number(_first(value)) for value in values):
        known = [end for value in values for end in (value if isinstance(value, Span) else (value, value))]
        ends = sorted(known, key=partial(in_order, key))
        said = [words.setting(key, end, run) for end in (ends[0], ends[-1])]
        return said[0] if ends[0] == ends[-1] else " to ".join(said)
    if len(values) == 1:
        return words.setting(key, values[0], run)
    return f"{len(values):,} {'values' if whole else 'others'}"


def _names(groups: Sequence[Group]) -> list[str]:
    exempt = ["exempt"] if any(group.exempt for group in groups) else []
    return ["match", "mismatch", words.NOT_JUDGED, *exempt, words.WORST, words.VISIBLE_FROM]


def _figures(groups: Sequence[Group | None]) -> list[list[object]]:
    """The counts of some groups as rows; a group without a cell has none."""
    exempt = any(group.exempt for group in groups if group is not None)
    return [
        [None] * (5 + exempt)
        if group is None
        else [
            group.counts["match"],
            group.counts["mismatch"],
            group.open,
            *([group.exempt] if exempt else []),
            words.error(group.worst),
            words.visible_from(group.visible, group.half),
        ]
        for group in groups
    ]


def _first(value: Value) -> str | float | None:
    """A value, or the lower end of several."""
    return value.low if isinstance(value, Span) else value


def _note(rows: Sequence[Sequence[object]]) -> str:
    """What a star means."""
    return words.HALF if any(str(value).endswith("*") for row in rows for value in row[1:]) else ""
