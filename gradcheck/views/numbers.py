"""Numbers of a record that may be unknown (None), NaN or infinite."""

from __future__ import annotations

import math


def or_zero(value: float | None) -> float:
    """The number; 0 where it is unknown."""
    return 0.0 if value is None or math.isnan(value) else float(value)


def larger(a: float | None, b: float | None) -> float | None:
    """The larger of two numbers; the known one where only one is known; None where none is."""
    if a is None or math.isnan(a):
        return None if b is None or math.isnan(b) else b
    return a if b is None or not b > a else b


def finite(value: float | None) -> float | None:
    """The number; None where it is unknown or not finite."""
    return value if value is not None and math.isfinite(value) else None


def counted(number: int, what: str) -> str:
    """So many of something, as ``1 cell``, ``2 cells`` or ``2,016 cells``."""
    return f"{number:,} {what}{'s'[: number != 1]}"


def in_json(value: object) -> object:
    """A value as JSON can hold it: NaN is None, infinite numbers are the strings "inf" and "-inf"."""
    if isinstance(value, dict):
        return {str(key): in_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
