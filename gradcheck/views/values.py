"""The values of a setting by which cells are counted; of very many, neighbours are taken together.

Neighbours are numbers whose first digits are the same: so many digits as leave few enough of them.  It does not matter in
which order the cells come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gradcheck.views.group import Group

EXACT = 17  # digits of a double


class Span(NamedTuple):
    """Several values of a setting: the ends of numbers; None of what has no order."""

    low: float | None = None
    high: float | None = None


Value: TypeAlias = str | float | Span | None
Point: TypeAlias = tuple[Value, ...]
ByPoint: TypeAlias = dict[tuple[Point, bool], Group]  # by the values of some settings, and whether a bug was planted
ByValue: TypeAlias = dict[tuple[Value, bool], Group]


def fewer(found: ByValue, most: int, digits: int = EXACT) -> tuple[ByValue, int]:
    """The counts by at most so many values, and how many digits tell numbers apart.

    digits : so many at most; EXACT leaves the values as they are.
    """
    values = list({value: None for value, _ in found})
    digits = _digits(values, most, digits)
    return found if digits >= EXACT else _together(found, digits), digits


def _digits(values: Sequence[Value], most: int, digits: int) -> int:
    """How many digits leave at most so many groups of neighbours; `digits` at most."""
    if len(values) <= most:
        return digits
    whole = np.array(values) if all(type(value) is int and abs(value) < 10**17 for value in values) else None
    return next((d for d in range(min(digits, EXACT - 1), 0, -1) if _many(values, whole, d) <= most), 0)


class _Ends(dict[object, tuple[float, float]]):
    """The ends of the numbers that are neighbours, by what they have in common."""

    def add(self, key: object, value: Value) -> None:
        low, high = value if isinstance(value, Span) else (value, value)
        if is_number(low) and is_number(high):
            least, most = self.get(key, (low, high))
            self[key] = min(low, least), max(high, most)

    def shown(self, key: object, value: Value) -> Value:
        """What neighbours are shown as: one value as it is."""
        if key not in self:
            return value
        low, high = self[key]
        return low if low == high else Span(low, high)


def _together(found: ByValue, digits: int) -> ByValue:
    ends, place = _Ends(), {value: _neighbours(value, digits) for value, _ in found}
    for value, key in place.items():
        ends.add(key, value)
    kept: ByValue = {}
    for (value, planted), group in found.items():
        kept.setdefault((ends.shown(place[value], place[value]), planted), Group()).merge(group)
    return kept


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value has an order."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _neighbours(value: Value, digits: int) -> Value:
    """What a value has in common with its neighbours."""
    number = value.low if isinstance(value, Span) else value
    if number is None:
        return value
    if not is_number(number):
        return number if digits else Span()
    mantissa, _, exponent = f"{number:.16e}".partition("e")
    sign = number < 0
    return f"{mantissa[: 1 + sign + (digits > 1) * digits]}e{exponent}" if digits else "number"


def spans(values: Sequence[Value], most: int) -> Mapping[Value, Value]:
    """What each of many values is shown as: the same as `fewer` finds."""
    if len(values) <= most:
        return {value: value for value in values}
    digits = _digits(values, most, EXACT)
    keys = [_neighbours(value, digits) for value in values]
    ends = _Ends()
    for value, key in zip(values, keys, strict=True):
        ends.add(key, value)
    return {value: ends.shown(key, key) for value, key in zip(values, keys, strict=True)}


def _many(values: Sequence[Value], whole: NDArray[np.int64] | None, digits: int) -> int:
    """How many groups of neighbours there are."""
    return (
        len({_neighbours(value, digits) for value in values}) if whole is None else len(np.unique(_keys(whole, digits)))
    )


def _keys(whole: NDArray[np.int64], digits: int) -> NDArray[np.int64]:
    """Integers with zeros after so many digits: the same for neighbours."""
    size = np.abs(whole)
    long = np.searchsorted(10 ** np.arange(18, dtype=np.int64), size, side="right")
    power = 10 ** np.maximum(long - digits, 0)
    return np.sign(whole) * (size // power * power)
