"""A value as it was typed, cast to the type of its setting, or refused in one line."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeGuard

from gradcheck.errors import one_line

_WANTED: dict[object, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def cast(key: str, value: object, kind: object) -> object:
    """The value in the type of its setting.  A bool is no number, 1.5 no whole number; 1 becomes 1.0 in a float setting."""
    origin, arguments = _made_of(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return cast(key, value, next(a for a in arguments if a is not type(None)))
    if kind is Any:
        return json_value(key, value)
    if origin is list and isinstance(value, list | tuple):
        return [cast(f"{key}[{i}]", item, arguments[0]) for i, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {str(k): cast(f"{key}.{k}", item, arguments[1]) for k, item in value.items()}
    if kind is float and is_number(value):
        return as_float(key, value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and is_number(value) and isinstance(value, int):
        return value
    if kind is str and isinstance(value, str):
        return value
    wanted = origin if origin in (list, dict) else kind
    raise ValueError(f"{key}={short(value)}: must be {_WANTED.get(wanted, wanted)}")


def as_float(key: str, value: object) -> float:
    """A finite number as a float."""
    if not is_number(value):
        raise ValueError(f"{key}={short(value)}: must be {_WANTED[float]}")
    if not is_finite(value):
        raise ValueError(f"{key}={short(value)}: must be a finite number")
    return float(value)


@lru_cache
def _made_of(kind: object) -> tuple[object, tuple[object, ...]]:
    return typing.get_origin(kind), typing.get_args(kind)


def json_value(key: str, value: object) -> object:
    """Values of any type, as JSON has them."""
    if isinstance(value, list | tuple):
        return [json_value(key, item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): json_value(f"{key}.{k}", item) for k, item in value.items()}
    if is_number(value) and not is_finite(value):
        raise ValueError(f"{key}={short(value)}: must be finite")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"{key}={short(value)}: must be text, a number, a list or a mapping")


def numbers(key: str, value: object) -> object:
    """Nested lists (and mappings) of numbers, all as floats."""
    if isinstance(value, list | tuple):
        return [numbers(key, item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): numbers(f"{key}.{k}", item) for k, item in value.items()}
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, int | float):
        raise ValueError(f"{key}: holds {short(value)}, must hold numbers only")
    if not is_finite(value):
        raise ValueError(f"{key}: holds {short(value)}, must hold finite numbers only")
    return float(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Whether a number is finite; an integer beyond the largest float is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def short(value: object) -> str:
    """A value as it would be typed, on one line, cut off after 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = one_line(value)
    return text if len(text) <= 60 else text[:57] + "..."
